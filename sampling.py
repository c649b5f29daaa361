"""From logits to the next token: temperature, epsilon, top-k and top-p.

Each function is one decision and leaves a (B, V) tensor of probabilities; ``sample`` chains them.
Shapes: B batch, V vocabulary.
"""

from __future__ import annotations

import torch


def temperature_softmax(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Probabilities sharpened (temperature < 1) or flattened (temperature > 1).

    ``p_i = exp(z_i / temperature) / sum_j exp(z_j / temperature)``: divide the logits, then softmax.

    Args:
        logits: (B, V).
        temperature: above 0; ``sample`` treats 0 as greedy and never calls this.

    Returns:
        (B, V) probabilities, each row summing to 1.
    """
    ### BEGIN SOLUTION temperature
    return torch.softmax(logits.float() / temperature, dim=-1)
    ### END SOLUTION temperature


def epsilon_filter(probs: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Keep only tokens whose probability is at least epsilon (Hewitt et al. 2022, section 3).

    A model gives a little probability to every token, and over 50,000 tokens the little adds up: sooner or later
    nonsense is drawn. A fixed threshold cuts that tail. The most likely token always stays, so that a flat
    distribution, where no token reaches epsilon, still gives something to draw.

    Args:
        probs: (B, V), rows summing to 1.
        epsilon: threshold in [0, 1); 0 keeps everything.

    Returns:
        (B, V), the rest set to 0 and each row divided by its sum.
    """
    ### BEGIN SOLUTION epsilon
    keep = probs >= epsilon
    keep |= probs == probs.amax(dim=-1, keepdim=True)
    return _renormalise(probs * keep)
    ### END SOLUTION epsilon


def top_k_filter(probs: torch.Tensor, k: int) -> torch.Tensor:
    """Keep the k most likely tokens (Fan et al. 2018, section 5.4) and renormalise: (B, V) -> (B, V)."""
    top = probs.topk(min(k, probs.shape[-1]), dim=-1)
    return _renormalise(torch.zeros_like(probs).scatter(-1, top.indices, top.values))


def top_p_filter(probs: torch.Tensor, p: float) -> torch.Tensor:
    """Keep the smallest set of most likely tokens whose probability reaches p (Holtzman et al. 2020, section 3.1).

    The token that crosses p is kept, so the set is never empty.

    Args:
        probs: (B, V), rows summing to 1.
        p: in (0, 1]; 1 keeps everything.

    Returns:
        (B, V), the rest set to 0 and each row divided by its sum.
    """
    ordered, index = probs.sort(dim=-1, descending=True)
    before = ordered.cumsum(dim=-1) - ordered  # the probability of all more likely tokens
    return _renormalise(torch.zeros_like(probs).scatter(-1, index, ordered * (before < p)))


def sample(
    logits: torch.Tensor,
    temperature: float = 1.0,
    epsilon: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Choose the next token of every row.

    Temperature 0 is greedy: the most likely token, no division. Otherwise: temperature, then top-k, top-p and
    epsilon on what is left, then one draw. The thresholds come after the temperature, because they are meant for
    the distribution that is drawn from.

    Args:
        logits: (B, V).
        temperature: 0 or more.
        epsilon, top_k, top_p: see the filters; 0, None and None switch them off.
        generator: for reproducible draws; None uses torch's global one.

    Returns:
        (B, 1) token ids.

    Raises:
        ValueError: a setting outside its range.
    """
    _check(temperature, epsilon, top_k, top_p)
    ### BEGIN SOLUTION sample
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)  # (B, 1)
    probs = temperature_softmax(logits, temperature)  # (B, V)
    if top_k is not None:
        probs = top_k_filter(probs, top_k)
    if top_p is not None:
        probs = top_p_filter(probs, top_p)
    if epsilon > 0:
        probs = epsilon_filter(probs, epsilon)
    return torch.multinomial(probs, num_samples=1, generator=generator)  # (B, 1)
    ### END SOLUTION sample


def _renormalise(probs: torch.Tensor) -> torch.Tensor:
    return probs / probs.sum(dim=-1, keepdim=True)


def _check(temperature: float, epsilon: float, top_k: int | None, top_p: float | None) -> None:
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature must be 0 or more, not {temperature}")
    if not 0 <= epsilon < 1:
        raise ValueError(f"epsilon must be at least 0 and below 1, not {epsilon}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, not {top_p}")

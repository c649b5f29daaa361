"""Text in, text out: what stands between a tokenizer and ``Llama.generate``."""

from __future__ import annotations

import inspect
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from llamalab.data.sentences import pad_right
from llamalab.errors import UserError

if TYPE_CHECKING:
    from llama import Llama
    from tokenizer import Tokenizer


@dataclass(frozen=True)
class Completion:
    """One continued prompt."""

    prompt_ids: list[int]
    new_ids: list[int]  # without the stop token
    text: str  # prompt and continuation


@dataclass
class Timing:
    """Seconds to the first token (the prompt's forward pass) and for those after it."""

    first_token_s: float = 0.0
    decode_s: float = 0.0
    steps: int = 0
    last: float = field(default_factory=time.perf_counter)  # when the last token came, or the clock was started

    def tick(self) -> None:
        """Count one more token, which has just come."""
        passed = time.perf_counter() - self.last
        if self.steps:
            self.decode_s += passed
        else:
            self.first_token_s = passed
        self.steps, self.last = self.steps + 1, self.last + passed

    def summary(self) -> str:
        """One line for a person.

        >>> Timing(first_token_s=0.25, decode_s=2.0, steps=75).summary()
        '75 tokens, first after 0.25 s, then 37.0 tokens/s'
        """
        speed = f"then {self.tokens_per_second:.1f} tokens/s"
        return f"{self.steps} tokens, first after {self.first_token_s:.2f} s, {speed}"

    @property
    def tokens_per_second(self) -> float:
        """Decoding speed of one row, the first token left out; 0 when there was no second one."""
        return (self.steps - 1) / self.decode_s if self.steps > 1 else 0.0


def prompt_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of a prompt. An empty prompt is the tokenizer's BOS token: the model starts from nothing."""
    ids = tokenizer.encode(text, bos=tokenizer.add_bos, eos=False)
    return ids or tokenizer.encode("", bos=True, eos=False)  # which says so where there is no BOS


def stop_ids(tokenizer: Tokenizer) -> set[int]:
    """Tokens that end a text: every EOS, and BOS, with which a model that has finished begins the next document."""
    return {*tokenizer.eos_ids, tokenizer.bos_id}


def left_pad(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of unequal length as one rectangle that ends where every row ends.

    >>> left_pad([[5, 6, 7], [8]], pad_id=0)
    (tensor([[5, 6, 7], [0, 0, 8]]), tensor([[1, 1, 1], [0, 0, 1]]))

    Returns:
        token ids (B, T) and the attention mask (B, T), 1 for real tokens.
    """
    ids, mask = pad_right([row[::-1] for row in rows], pad_id)
    return ids.flip(1), mask.flip(1)


def complete(
    llama: Llama,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    max_new_tokens: int,
    seed: int | None = None,
    on_text: Callable[[str], None] | None = None,
    timing: Timing | None = None,
    **sampling: Any,
) -> list[Completion]:
    """Continue several prompts as one batch.

    Args:
        seed: of the draws; None continues torch's global generator.
        on_text: called with the prompt and then every new piece of text, whole characters only, as they
            come; takes a single prompt.
        timing: filled in, when given.
        **sampling: temperature, epsilon, top_k, top_p; only what differs from the defaults of ``Llama.generate``.

    Raises:
        UserError: a setting that this model's ``generate`` does not know, or a prompt that is no text.
        ValueError: a setting out of range.
    """
    try:
        rows = [prompt_ids(tokenizer, text) for text in prompts]
    except ValueError as error:  # text that is no UTF-8, or none at all for a vocabulary without BOS
        raise UserError(str(error)) from error
    if on_text is not None and len(rows) != 1:
        raise ValueError("only a single prompt can be streamed")
    stream = tokenizer.decoder(rows[0]) if on_text is not None else None
    if on_text is not None:
        on_text(tokenizer.decode(rows[0]))

    timing = timing or Timing()
    timing.last = time.perf_counter()
    stop = stop_ids(tokenizer)

    def on_token(ids: torch.Tensor) -> None:
        timing.tick()
        if stream is not None and ids.item() not in stop:
            on_text(stream.feed(ids.item()))

    outputs = _generate(llama, tokenizer, rows, max_new_tokens, seed, on_token, sampling)
    if stream is not None:
        on_text(stream.flush())
    completions = []
    for row, output in zip(rows, outputs, strict=True):
        new = list(itertools.takewhile(lambda token: token not in stop, output))
        completions.append(Completion(row, new, tokenizer.decode(row + new)))
    return completions


def _generate(llama, tokenizer, rows, max_new_tokens, seed, on_token, sampling) -> list[list[int]]:
    """New token ids of every row, through whichever ``generate`` this model has.

    A ``generate`` written for an earlier course takes (idx, max_new_tokens, temperature) and perhaps epsilon. It
    gets one prompt at a time, does not stop at EOS, and its tokens stream once it is done.
    """
    known = inspect.signature(llama.generate).parameters
    if unknown := [name for name in sampling if name not in known]:
        raise UserError(f"this model's generate() does not take {unknown[0]!r}; leave --{unknown[0]} out")
    generator = None if seed is None else torch.Generator(llama.device).manual_seed(seed)
    ours = {"attention_mask", "stop_ids", "generator", "on_token"} <= set(known)
    if ours:
        ids, mask = left_pad(rows, tokenizer.pad_id)
        ids, mask = ids.to(llama.device), mask.to(llama.device)
        output = llama.generate(
            ids,
            max_new_tokens,
            attention_mask=None if mask.all() else mask,
            stop_ids=stop_ids(tokenizer),
            generator=generator,
            on_token=on_token,
            **sampling,
        )
        return [row[ids.shape[1] :] for row in output.tolist()]
    if seed is not None:
        torch.manual_seed(seed)
    outputs = []
    for row in rows:
        output = llama.generate(torch.tensor([row], device=llama.device), max_new_tokens, **sampling)
        new = output[0, len(row) :].tolist()
        outputs.append(list(itertools.takewhile(lambda token: token not in stop_ids(tokenizer), new)))
    if len(rows) == 1:
        for token in outputs[0]:
            on_token(torch.tensor([[token]]))
    return outputs

"""Right ways to draw that look different."""

from functools import partial

from autograder.instructor.contract import Edit, FileEdit, right

from ..generate_greedy.mistakes import earlier_form
from .mistakes import DRAW, EARLIER_DRAW, FILTERED, MOST_LIKELY_STAYS, SOFTMAX

SIGNATURE = "temperature=1.0, epsilon=0.0"
TOP_P = """probs = F.softmax(logits / temperature, dim=-1)
                ordered, order = probs.sort(dim=-1, descending=True)
                gone = ordered.cumsum(dim=-1) > top_p
                {crossing}
                probs = probs.masked_fill(torch.zeros_like(gone).scatter(-1, order, gone), 0.0)"""
CROSSING_KEPT = "gone = F.pad(gone, (1, -1), value=False)"
CROSSING_DROPPED = "gone[:, 0] = False"


def with_top_p(crossing: str):
    """An earlier course's generate, with a top_p of 0.9 that nobody asked for."""
    return earlier_form(
        (SIGNATURE, f"{SIGNATURE}, top_p=0.9"),
        ("probs = F.softmax(logits / temperature, dim=-1)", TOP_P.format(crossing=crossing)),
    )


in_epsilon = partial(Edit, "epsilon")
in_sample = partial(Edit, "sample")
in_temperature = partial(Edit, "temperature")

BANK = right(
    "epsilon",
    earlier_form=[earlier_form(), FileEdit("llama.py", "from sampling import sample\n", "")],
    default_epsilon=earlier_form((SIGNATURE, "temperature=0.5, epsilon=0.05")),
    default_top_p_crossing_kept=with_top_p(CROSSING_KEPT),
    default_top_p_crossing_dropped=with_top_p(CROSSING_DROPPED),
    default_top_k=earlier_form(
        (SIGNATURE, f"{SIGNATURE}, top_k=5"),
        (
            "probs = F.softmax(logits / temperature, dim=-1)",
            "logits = logits.masked_fill(logits < "
            "logits.topk(top_k).values[:, -1:], float('-inf'))\n"
            "                probs = F.softmax(logits / temperature, dim=-1)",
        ),
    ),
    row_by_row=earlier_form((EARLIER_DRAW, "torch.stack([torch.multinomial(row, num_samples=1) for row in probs])")),
    in_place=earlier_form(("logits / temperature", "logits.div_(temperature)")),
    categorical=in_sample(DRAW, "torch.distributions.Categorical(probs).sample()[:, None]"),
    inverse_cumulative=in_sample(
        DRAW, "torch.searchsorted(probs.cumsum(dim=-1), torch.rand(len(probs), 1)).clamp(max=probs.shape[-1] - 1)"
    ),
    gumbel=in_sample(DRAW, "(probs / torch.empty_like(probs).exponential_()).argmax(dim=-1, keepdim=True)"),
    exponentials=in_temperature(SOFTMAX, "_renormalise(torch.exp(logits.double() / temperature)).float()"),
    left_to_multinomial_to_renormalise=in_epsilon(FILTERED, "probs * keep"),
    minus_infinity=in_epsilon(FILTERED, 'probs.log().masked_fill(~keep, float("-inf")).softmax(dim=-1)'),
    all_if_none_is_left=in_epsilon(MOST_LIKELY_STAYS, "keep |= ~keep.any(dim=-1, keepdim=True)"),
    alike_if_none_is_left="""
kept = probs * (probs >= epsilon)
kept = torch.where(kept.sum(dim=-1, keepdim=True) == 0, torch.ones_like(kept), kept)
return _renormalise(kept)
""",
)

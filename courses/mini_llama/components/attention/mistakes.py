"""What goes wrong in attention.

Existing courses attend with and without a causal mask, so most mistakes are kept in both forms.
"""

from collections.abc import Sequence

from autograder.instructor.contract import Change, Edit, Mistake

EQUATION = "Vaswani et al. 2017, equation 1"
SCALING = "Vaswani et al. 2017, section 3.2.1"
MASKING = "Vaswani et al. 2017, section 3.2.3"
DROPOUT = "Srivastava et al. 2014, section 4"
FULL = Edit("attention", "self.causal and T > 1", "False")
SCALE = " / math.sqrt(query.shape[-1])"
MASK = 'scores = scores.masked_fill(~mask, float("-inf"))'
DROP = "self.attn_dropout(weights.type_as(query))"
SOFTMAX = "F.softmax(scores, dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))"
RESULT = "return weights @ value"


def _both(name: str, says: str, advice: str, *changes: Change) -> Sequence[Mistake]:
    """A mistake in causal attention, and in attention that sees everything."""
    return (
        Mistake(name, says, advice, changes),
        Mistake(f"{name}_without_mask", says, advice, (*changes, FULL)),
    )


def _scaled(name: str, says: str, scale: str) -> Sequence[Mistake]:
    advice = f"Divide the scores by sqrt(head_dim), the root of the number of channels a head has ({SCALING})"
    return _both(name, says, advice, Edit("attention", SCALE, scale))


def _masked(name: str, says: str, advice: str, *changes: Change) -> Mistake:
    return Mistake(name, says, f"{advice} ({MASKING})", changes)


BANK = [
    *_scaled("no_scaling", "scores that are not scaled", ""),
    *_scaled("scaled_by_head_dim", "scores divided by head_dim, not by its root", " / query.shape[-1]"),
    *_scaled(
        "scaled_by_root_of_dim",
        "scores divided by the root of the model's dim",
        " / math.sqrt(query.shape[1] * query.shape[-1])",
    ),
    *_scaled("scaled_by_dim", "scores divided by the model's dim", " / (query.shape[1] * query.shape[-1])"),
    *_scaled("scaled_by_length", "scores divided by the root of the sequence length", " / math.sqrt(S)"),
    *_scaled("scaled_by_heads", "scores divided by the root of the number of heads", " / math.sqrt(query.shape[1])"),
    *_scaled("scaled_up", "scores multiplied by the root of head_dim", " * math.sqrt(query.shape[-1])"),
    *_both(
        "scaled_after_softmax",
        "weights, not scores, divided by the root of head_dim",
        f"Scale the scores, before the softmax ({EQUATION})",
        Edit("attention", SCALE, ""),
        Edit("attention", RESULT, "return weights @ value / math.sqrt(query.shape[-1])"),
    ),
    Mistake(
        "root_of_int",
        "torch.sqrt of a Python number",
        "torch.sqrt wants a tensor: use math.sqrt(head_dim), or head_dim ** 0.5 (torch.sqrt)",
        [Edit("attention", "math.sqrt(", "torch.sqrt(")],
    ),
    *_both(
        "value_forgotten",
        "the weights returned, not multiplied with the values",
        f"The output is weights @ value ({EQUATION})",
        Edit("attention", RESULT, "return weights"),
    ),
    *_both(
        "key_as_value",
        "the weights multiplied with the keys",
        f"The output is weights @ value ({EQUATION})",
        Edit("attention", RESULT, "return weights @ key"),
    ),
    *_both(
        "query_and_key_swapped",
        "query and key exchanged",
        f"Scores are query @ key^T: a row for every query ({EQUATION})",
        Edit("attention", "query @ key.transpose(-2, -1)", "key @ query.transpose(-2, -1)"),
    ),
    Mistake(
        "key_not_transposed",
        "a key that is not transposed",
        f"Scores are query @ key.transpose(-2, -1): (B, H, T, D) x (B, H, D, T) ({EQUATION})",
        [Edit("attention", "query @ key.transpose(-2, -1)", "query @ key")],
    ),
    *_both(
        "key_reshaped",
        "a key that is reshaped in place of transposed",
        f"view and reshape keep the order of the numbers; use key.transpose(-2, -1) ({EQUATION})",
        Edit("attention", "key.transpose(-2, -1)", "key.reshape(*key.shape[:2], -1, S)"),
    ),
    *_both(
        "softmax_over_queries",
        "a softmax over the queries",
        f"Weights sum to one over the keys: softmax over the last axis, dim=-1 ({EQUATION})",
        Edit("attention", "dim=-1", "dim=-2"),
    ),
    *_both(
        "softmax_over_heads",
        "a softmax over the heads",
        f"Weights sum to one over the keys: softmax over the last axis, dim=-1 ({EQUATION})",
        Edit("attention", "dim=-1", "dim=1"),
    ),
    *_both(
        "softmax_over_the_batch",
        "a softmax over the batch",
        f"Weights sum to one over the keys: softmax over the last axis, dim=-1 ({EQUATION})",
        Edit("attention", "dim=-1", "dim=0"),
    ),
    *_both(
        "no_softmax",
        "no softmax",
        f"Weights are the softmax of the scores, over the last axis ({EQUATION})",
        Edit("attention", SOFTMAX, "scores"),
    ),
    *_both(
        "log_softmax",
        "log_softmax for softmax",
        f"Weights are probabilities, not their logarithms: use softmax ({EQUATION})",
        Edit("attention", "F.softmax", "F.log_softmax"),
    ),
    *_both(
        "softmax_overflow",
        "an exponential without its row's largest score taken off first",
        "exp overflows in float32 from 89 on: use torch's softmax, or subtract the largest score of every row "
        "(Goodfellow et al. 2016, section 4.1)",
        Edit("attention", SOFTMAX, "scores.exp() / scores.exp().sum(-1, keepdim=True)"),
    ),
    _masked(
        "mask_after_softmax",
        "a mask after the softmax, so that weights no longer sum to one",
        "Set the scores of hidden keys to minus infinity before the softmax",
        Edit("attention", MASK, "pass"),
        Edit("attention", DROP, f"{DROP}\nif mask is not None:\n    weights = weights.masked_fill(~mask, 0.0)"),
    ),
    _masked(
        "mask_times_infinity",
        "a mask multiplied by minus infinity, which is NaN where the mask is 0",
        'Use masked_fill(hidden, float("-inf")): 0 times infinity is NaN',
        Edit("attention", MASK, "scores = scores + (~mask).float() * float('-inf')"),
    ),
    _masked(
        "mask_with_zero",
        "hidden scores set to 0",
        "Set the scores of hidden keys to minus infinity: exp(0) is 1",
        Edit("attention", MASK, "scores = scores.masked_fill(~mask, 0.0)"),
    ),
    _masked(
        "mask_inverted",
        "the keys that may be looked at hidden, and the others seen",
        "Hide the keys after the query",
        Edit("attention", "masked_fill(~mask", "masked_fill(mask"),
    ),
    _masked(
        "mask_backwards",
        "queries that see their own position and those after it",
        "A query sees its own position and those before it: tril, not triu",
        Edit("attention", ".tril(diagonal=S - T)", ".triu(diagonal=S - T)"),
    ),
    _masked(
        "own_position_hidden",
        "queries that do not see their own position",
        "A query sees its own position too: the diagonal belongs to the mask",
        Edit("attention", ".tril(diagonal=S - T)", ".tril(diagonal=S - T - 1)"),
    ),
    _masked(
        "next_position_seen",
        "queries that see one position ahead",
        "A query sees its own position and those before it, and none after",
        Edit("attention", ".tril(diagonal=S - T)", ".tril(diagonal=S - T + 1)"),
    ),
    *_both(
        "heads_merged",
        "heads merged here, and again in forward",
        "Return (B, H, T, D), as the docstring says; forward merges the heads",
        Edit("attention", RESULT, "return (weights @ value).transpose(1, 2).reshape(query.shape[0], T, -1)"),
    ),
    *_both(
        "axes_transposed",
        "heads and positions swapped on return",
        "Return (B, H, T, D), as the docstring says; forward swaps the axes",
        Edit("attention", RESULT, "return (weights @ value).transpose(1, 2)"),
    ),
    *_both(
        "dropout_missing",
        "no dropout on the weights",
        f"Apply self.attn_dropout to the weights, before they meet the values ({DROPOUT})",
        Edit("attention", DROP, "weights.type_as(query)"),
    ),
    *_both(
        "dropout_before_softmax",
        "dropout on the scores, before the softmax",
        f"Drop weights, not scores: a score of 0 is a weight like any other ({DROPOUT})",
        Edit("attention", DROP, "weights.type_as(query)"),
        Edit("attention", "(scores, dim=-1,", "(self.attn_dropout(scores), dim=-1,"),
    ),
    *_both(
        "dropout_on_output",
        "dropout on the output in place of the weights",
        f"Apply self.attn_dropout to the weights, before they meet the values ({DROPOUT})",
        Edit("attention", DROP, "weights.type_as(query)"),
        Edit("attention", RESULT, "return self.attn_dropout(weights @ value)"),
    ),
    *_both(
        "dropout_always_on",
        "dropout in evaluation as well",
        f"Call self.attn_dropout, or give F.dropout training=self.training ({DROPOUT})",
        Edit("attention", DROP, "F.dropout(weights.type_as(query), self.attn_dropout.p)"),
    ),
    *_both(
        "dropout_twice",
        "dropout twice",
        f"Apply self.attn_dropout once, to the weights ({DROPOUT})",
        Edit("attention", RESULT, "return self.attn_dropout(weights @ value)"),
    ),
]

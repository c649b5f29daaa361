"""What goes wrong in attention.

Existing courses attend with and without a causal mask, so most mistakes are kept in both forms.
"""

from functools import partial

from autograder.instructor.contract import Edit, Mistake, wrong

EQUATION = "Vaswani et al. 2017, equation 1"
MASKING = "Vaswani et al. 2017, section 3.2.3"
ROOT = (
    "Divide the scores by sqrt(head_dim), the root of the number of channels a head has"
    " (Vaswani et al. 2017, section 3.2.1)"
)
OVER_KEYS = f"Weights sum to one over the keys: softmax over the last axis, dim=-1 ({EQUATION})"
OUTPUT = f"The output is weights @ value ({EQUATION})"
DROPOUT = "Srivastava et al. 2014, section 4"
DROPPED = f"Apply self.attn_dropout to the weights, before they meet the values ({DROPOUT})"
SCALE = " / math.sqrt(query.shape[-1])"
MASK = 'scores = scores.masked_fill(~mask, float("-inf"))'
VISIBLE = ".tril(diagonal=S - T)"
DROP = "self.attn_dropout(weights.type_as(query))"
SOFTMAX = "F.softmax(scores, dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))"
RESULT = "return weights @ value"

edit = partial(Edit, "attention")
FULL = edit("self.causal and T > 1", "False")


def _both(**told: tuple) -> list[Mistake]:
    """Each mistake in causal attention, and in attention that sees everything."""
    forms = {}
    for name, (says, advice, changes) in told.items():
        forms |= {name: (says, advice, changes), f"{name}_without_mask": (says, advice, (*changes, FULL))}
    return wrong(**forms)


BANK = [
    *_both(
        no_scaling=edit(SCALE, "").matches("scores that are not scaled", ROOT),
        scaled_by_head_dim=edit(SCALE, " / query.shape[-1]").matches(
            "scores divided by head_dim, not by its root", ROOT
        ),
        scaled_by_root_of_dim=edit(SCALE, " / math.sqrt(query.shape[1] * query.shape[-1])").matches(
            "scores divided by the root of the model's dim", ROOT
        ),
        scaled_by_dim=edit(SCALE, " / (query.shape[1] * query.shape[-1])").matches(
            "scores divided by the model's dim", ROOT
        ),
        scaled_by_length=edit(SCALE, " / math.sqrt(S)").matches(
            "scores divided by the root of the sequence length", ROOT
        ),
        scaled_by_heads=edit(SCALE, " / math.sqrt(query.shape[1])").matches(
            "scores divided by the root of the number of heads", ROOT
        ),
        scaled_up=edit(SCALE, " * math.sqrt(query.shape[-1])").matches(
            "scores multiplied by the root of head_dim", ROOT
        ),
        scaled_after_softmax=edit(SCALE, "")
        .then(edit(RESULT, f"{RESULT}{SCALE}"))
        .matches(
            "weights, not scores, divided by the root of head_dim", f"Scale the scores, before the softmax ({EQUATION})"
        ),
    ),
    *wrong(
        root_of_int=edit("math.sqrt(", "torch.sqrt(").matches(
            "torch.sqrt of a Python number",
            "torch.sqrt wants a tensor: use math.sqrt(head_dim), or head_dim ** 0.5 (torch.sqrt)",
        )
    ),
    *_both(
        value_forgotten=edit(RESULT, "return weights").matches(
            "the weights returned, not multiplied with the values", OUTPUT
        ),
        key_as_value=edit(RESULT, "return weights @ key").matches("the weights multiplied with the keys", OUTPUT),
        query_and_key_swapped=edit("query @ key.transpose(-2, -1)", "key @ query.transpose(-2, -1)").matches(
            "query and key exchanged", f"Scores are query @ key^T: a row for every query ({EQUATION})"
        ),
    ),
    *wrong(
        key_not_transposed=edit("query @ key.transpose(-2, -1)", "query @ key").matches(
            "a key that is not transposed",
            f"Scores are query @ key.transpose(-2, -1): (B, H, T, D) x (B, H, D, T) ({EQUATION})",
        )
    ),
    *_both(
        key_reshaped=edit("key.transpose(-2, -1)", "key.reshape(*key.shape[:2], -1, S)").matches(
            "a key that is reshaped in place of transposed",
            f"view and reshape keep the order of the numbers; use key.transpose(-2, -1) ({EQUATION})",
        ),
        softmax_over_queries=edit("dim=-1", "dim=-2").matches("a softmax over the queries", OVER_KEYS),
        softmax_over_heads=edit("dim=-1", "dim=1").matches("a softmax over the heads", OVER_KEYS),
        softmax_over_the_batch=edit("dim=-1", "dim=0").matches("a softmax over the batch", OVER_KEYS),
        no_softmax=edit(SOFTMAX, "scores").matches(
            "no softmax", f"Weights are the softmax of the scores, over the last axis ({EQUATION})"
        ),
        log_softmax=edit("F.softmax", "F.log_softmax").matches(
            "log_softmax for softmax", f"Weights are probabilities, not their logarithms: use softmax ({EQUATION})"
        ),
        softmax_overflow=edit(SOFTMAX, "scores.exp() / scores.exp().sum(-1, keepdim=True)").matches(
            "an exponential without its row's largest score taken off first",
            "exp overflows in float32 from 89 on: use torch's softmax, or subtract the largest score of every row "
            "(Goodfellow et al. 2016, section 4.1)",
        ),
    ),
    *wrong(
        mask_after_softmax=edit(MASK, "pass")
        .then(edit(DROP, f"{DROP}\nif mask is not None:\n    weights = weights.masked_fill(~mask, 0.0)"))
        .matches(
            "a mask after the softmax, so that weights no longer sum to one",
            f"Set the scores of hidden keys to minus infinity before the softmax ({MASKING})",
        ),
        mask_times_infinity=edit(MASK, "scores = scores + (~mask).float() * float('-inf')").matches(
            "a mask multiplied by minus infinity, which is NaN where the mask is 0",
            f'Use masked_fill(hidden, float("-inf")): 0 times infinity is NaN ({MASKING})',
        ),
        mask_with_zero=edit(MASK, "scores = scores.masked_fill(~mask, 0.0)").matches(
            "hidden scores set to 0", f"Set the scores of hidden keys to minus infinity: exp(0) is 1 ({MASKING})"
        ),
        mask_inverted=edit("masked_fill(~mask", "masked_fill(mask").matches(
            "the keys that may be looked at hidden, and the others seen", f"Hide the keys after the query ({MASKING})"
        ),
        mask_backwards=edit(VISIBLE, ".triu(diagonal=S - T)").matches(
            "queries that see their own position and those after it",
            f"A query sees its own position and those before it: tril, not triu ({MASKING})",
        ),
        own_position_hidden=edit(VISIBLE, ".tril(diagonal=S - T - 1)").matches(
            "queries that do not see their own position",
            f"A query sees its own position too: the diagonal belongs to the mask ({MASKING})",
        ),
        next_position_seen=edit(VISIBLE, ".tril(diagonal=S - T + 1)").matches(
            "queries that see one position ahead",
            f"A query sees its own position and those before it, and none after ({MASKING})",
        ),
    ),
    *_both(
        heads_merged=edit(RESULT, "return (weights @ value).transpose(1, 2).reshape(query.shape[0], T, -1)").matches(
            "heads merged here, and again in forward",
            "Return (B, H, T, D), as the docstring says; forward merges the heads",
        ),
        axes_transposed=edit(RESULT, "return (weights @ value).transpose(1, 2)").matches(
            "heads and positions swapped on return",
            "Return (B, H, T, D), as the docstring says; forward swaps the axes",
        ),
        dropout_missing=edit(DROP, "weights.type_as(query)").matches("no dropout on the weights", DROPPED),
        dropout_before_softmax=edit(DROP, "weights.type_as(query)")
        .then(edit("(scores, dim=-1,", "(self.attn_dropout(scores), dim=-1,"))
        .matches(
            "dropout on the scores, before the softmax",
            f"Drop weights, not scores: a score of 0 is a weight like any other ({DROPOUT})",
        ),
        dropout_on_output=edit(DROP, "weights.type_as(query)")
        .then(edit(RESULT, "return self.attn_dropout(weights @ value)"))
        .matches("dropout on the output in place of the weights", DROPPED),
        dropout_always_on=edit(DROP, "F.dropout(weights.type_as(query), self.attn_dropout.p)").matches(
            "dropout in evaluation as well",
            f"Call self.attn_dropout, or give F.dropout training=self.training ({DROPOUT})",
        ),
        dropout_twice=edit(RESULT, "return self.attn_dropout(weights @ value)").matches(
            "dropout twice", f"Apply self.attn_dropout once, to the weights ({DROPOUT})"
        ),
    ),
]

"""What goes wrong in greedy generation."""

from functools import partial

from autograder.instructor.contract import Edit, FileEdit, wrong

BASICS = "Radford et al. 2019, section 2"
ONE_ROW = f"idx is (batch, position): take the argmax over the last axis, one a row, shape (batch, 1) ({BASICS})"
BRANCH = "if temperature == 0:"
ARGMAX = "logits.argmax(dim=-1, keepdim=True)"
CROPPED = "self(idx[:, -window:], attention_mask=attention_mask)"
EARLIER_ARGMAX = "torch.argmax(logits, dim=-1, keepdim=True)"

EARLIER_FORM = """
    @torch.inference_mode()
    def generate(self, idx, max_new_tokens, temperature=1.0, epsilon=0.0):
        prompt = idx
        for _ in range(max_new_tokens):
            context = idx[:, -self.params.max_seq_len :]
            logits, _ = self(context)
            logits = logits[:, -1, :]
            if temperature == 0.0:
                idx_next = torch.argmax(logits, dim=-1, keepdim=True)
            else:
                probs = F.softmax(logits / temperature, dim=-1)
                keep = (probs >= epsilon) | (probs == probs.max(dim=-1, keepdim=True).values)
                probs = probs * keep
                probs = probs / probs.sum(dim=-1, keepdim=True)
                idx_next = torch.multinomial(probs, num_samples=1)
            idx = torch.cat((idx, idx_next), dim=1)
        return idx

    def _new_cache("""


def earlier_form(*replacements: tuple[str, str]) -> FileEdit:
    """``generate`` as the existing courses have it, all in llama.py and without a cache, with (old, new) texts."""
    text = EARLIER_FORM
    for old, new in replacements:
        if text.count(old) != 1:
            raise ValueError(f"{old!r} is not in the earlier form exactly once")
        text = text.replace(old, new)
    return FileEdit("llama.py", "\n    def _new_cache(", text)


edit = partial(Edit, "sample")
LOOP = dict(  # sampling runs the same loop
    return_in_loop=earlier_form(("        return idx", "            return idx")).matches(
        "a return inside the loop: one token, whatever max_new_tokens says",
        f"Return after the loop over max_new_tokens; a text is written one token at a time ({BASICS})",
    ),
    whole_context=FileEdit("llama.py", "if idx.shape[1] <= window:", "if True:").matches(
        "the whole text given to the model when it is longer than the window",
        "Give the model the last max_seq_len tokens; it knows no later position (Su et al. 2021, section 3.2)",
    ),
    first_tokens_kept=FileEdit("llama.py", CROPPED, CROPPED.replace("-window:", ":window")).matches(
        "the first max_seq_len tokens given to the model in place of the last",
        f"Crop from the left, idx[:, -max_seq_len:]: the next token follows the newest ({BASICS})",
    ),
    window_one_short=FileEdit("llama.py", CROPPED, CROPPED.replace("-window:", "-window + 1 :")).matches(
        "one token less given to the model than its window holds",
        f"The window holds max_seq_len tokens, the newest included: idx[:, -max_seq_len:] ({BASICS})",
    ),
    only_last_token=earlier_form(("-self.params.max_seq_len :", "-1:")).matches(
        "only the newest token given to the model, without a cache",
        f"Every next token depends on all that the window holds, p(s_n | s_1, ..., s_(n-1)) ({BASICS}, equation 1)",
    ),
    prompt_only=earlier_form(("context = idx[", "context = prompt[")).matches(
        "the prompt alone given to the model at every step",
        f"Each new token becomes context for the next, p(s_n | s_1, ..., s_(n-1)) ({BASICS}, equation 1)",
    ),
    prompt_left_out=earlier_form(("        return idx", "        return idx[:, prompt.shape[1] :]")).matches(
        "new tokens returned without the prompt",
        "Return the prompt and what follows it, (batch, T + max_new_tokens), as the docstring of generate says",
    ),
    prepended=earlier_form(("torch.cat((idx, idx_next), dim=1)", "torch.cat((idx_next, idx), dim=1)")).matches(
        "new tokens put before the text",
        f"Append at the end: torch.cat((idx, idx_next), dim=1), since text is written left to right ({BASICS})",
    ),
)

BANK = [
    *wrong(also=("generate_sampling",), **LOOP),
    *wrong(
        samples_at_zero=edit(f"{BRANCH}\n    return {ARGMAX}  # (B, 1)", "temperature = temperature or 1.0").matches(
            "sampling at temperature 0, as at temperature 1",
            "Temperature 0 is the limit in which the most likely token has all the probability: take the argmax "
            "(Ackley et al. 1985, section 2.1)",
        ),
        division_by_zero=edit(BRANCH, "if False:").matches(
            "logits divided by temperature 0",
            "Handle temperature 0 before you divide by it: take the argmax, the limit of equation 1 of "
            "Hinton et al. 2015 as T goes to 0",
        ),
        least_likely=edit(ARGMAX, "logits.argmin(dim=-1, keepdim=True)").matches(
            "the least likely token chosen", f"Greedy takes the token with the largest logit: argmax ({BASICS})"
        ),
        second_most_likely=edit(ARGMAX, "logits.topk(2, dim=-1).indices[:, 1:]").matches(
            "the second most likely token chosen",
            f"Greedy takes the token with the largest logit, place 0 of a descending order ({BASICS})",
        ),
        value_for_index=edit(ARGMAX, "logits.max(dim=-1, keepdim=True)[0]").matches(
            "the largest logit appended in place of its index",
            f"torch.max over a dim returns (values, indices), and the token is the index: use torch.argmax ({BASICS})",
        ),
        argmax_over_the_batch=edit(ARGMAX, "logits.argmax(dim=0, keepdim=True)[:, : len(logits)].view(-1, 1)").matches(
            "the argmax taken over the rows of the batch",
            "The vocabulary is the last axis of (batch, vocabulary): argmax with dim=-1"
            " (Touvron et al. 2023, section 2.2)",
        ),
        one_row_item=edit(ARGMAX, "torch.tensor([[logits.argmax(dim=-1).item()]])").matches(
            "code for one row: .item() of the argmax", ONE_ROW
        ),
        one_row_int=edit(ARGMAX, "torch.tensor([[int(logits.argmax(dim=-1))]])").matches(
            "code for one row: int() of the argmax", ONE_ROW
        ),
        axis_lost=earlier_form((EARLIER_ARGMAX, "torch.argmax(logits, dim=-1)")).matches(
            "new tokens of shape (batch,), without a position",
            f"The argmax drops an axis: keepdim=True leaves (batch, 1), which can be appended to the text ({BASICS})",
        ),
        one_row_flattened=earlier_form((EARLIER_ARGMAX, "torch.argmax(logits).view(1, 1)")).matches(
            "code for one row: new tokens of shape (1, ...), whatever the size of the batch", ONE_ROW
        ),
        one_row_flattened_for_all=edit(ARGMAX, "logits.argmax().view(1, 1)").matches(
            "code for one row: the argmax over all rows at once, given to every row", ONE_ROW
        ),
        one_row_for_all=edit(ARGMAX, "logits[:1].argmax(dim=-1, keepdim=True).expand(len(logits), 1)").matches(
            "code for one row: the first row's token given to every row", ONE_ROW
        ),
    ),
]

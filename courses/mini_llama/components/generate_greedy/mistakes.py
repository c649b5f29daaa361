"""What goes wrong in greedy generation."""

from autograder.instructor.contract import Edit, FileEdit, Mistake

BASICS = "Radford et al. 2019, section 2"
SAMPLING = ("generate_sampling",)  # runs the same loop
ONE_ROW = f"idx is (batch, position): take the argmax over the last axis, one a row, shape (batch, 1) ({BASICS})"
BRANCH = "if temperature == 0:"
ARGMAX = "logits.argmax(dim=-1, keepdim=True)"
CROPPED = "self(idx[:, -window:], attention_mask=attention_mask)"

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


RETURN_IN_LOOP = Mistake(
    "return_in_loop",
    "a return inside the loop: one token, whatever max_new_tokens says",
    f"Return after the loop over max_new_tokens; a text is written one token at a time ({BASICS})",
    [earlier_form(("        return idx", "            return idx"))],
)
WHOLE_CONTEXT = Mistake(
    "whole_context",
    "the whole text given to the model when it is longer than the window",
    "Give the model the last max_seq_len tokens; it knows no later position (Su et al. 2021, section 3.2)",
    [FileEdit("llama.py", "if idx.shape[1] <= window:", "if True:")],
)
FIRST_TOKENS = Mistake(
    "first_tokens_kept",
    "the first max_seq_len tokens given to the model in place of the last",
    f"Crop from the left, idx[:, -max_seq_len:]: the next token follows the newest ({BASICS})",
    [FileEdit("llama.py", CROPPED, CROPPED.replace("-window:", ":window"))],
)
WINDOW_ONE_SHORT = Mistake(
    "window_one_short",
    "one token less given to the model than its window holds",
    f"The window holds max_seq_len tokens, the newest included: idx[:, -max_seq_len:] ({BASICS})",
    [FileEdit("llama.py", CROPPED, CROPPED.replace("-window:", "-window + 1 :"))],
)
ONLY_LAST_TOKEN = Mistake(
    "only_last_token",
    "only the newest token given to the model, without a cache",
    f"Every next token depends on all that the window holds, p(s_n | s_1, ..., s_(n-1)) ({BASICS}, equation 1)",
    [earlier_form(("-self.params.max_seq_len :", "-1:"))],
)
PROMPT_ONLY = Mistake(
    "prompt_only",
    "the prompt alone given to the model at every step",
    f"Each new token becomes context for the next, p(s_n | s_1, ..., s_(n-1)) ({BASICS}, equation 1)",
    [earlier_form(("context = idx[", "context = prompt["))],
)
PROMPT_LEFT_OUT = Mistake(
    "prompt_left_out",
    "new tokens returned without the prompt",
    "Return the prompt and what follows it, (batch, T + max_new_tokens), as the docstring of generate says",
    [earlier_form(("        return idx", "        return idx[:, prompt.shape[1] :]"))],
)
PREPENDED = Mistake(
    "prepended",
    "new tokens put before the text",
    f"Append at the end: torch.cat((idx, idx_next), dim=1), since text is written left to right ({BASICS})",
    [earlier_form(("torch.cat((idx, idx_next), dim=1)", "torch.cat((idx_next, idx), dim=1)"))],
)
LOOP = [
    RETURN_IN_LOOP,
    WHOLE_CONTEXT,
    FIRST_TOKENS,
    WINDOW_ONE_SHORT,
    ONLY_LAST_TOKEN,
    PROMPT_ONLY,
    PROMPT_LEFT_OUT,
    PREPENDED,
]


def also(component: str) -> list[Mistake]:
    """The mistakes in the loop, as a bank's entries that cost another component's marks as well."""
    return [Mistake(e.name, e.says, e.advice, e.changes, also=(component,)) for e in LOOP]


BANK = [
    *also("generate_sampling"),
    Mistake(
        "samples_at_zero",
        "sampling at temperature 0, as at temperature 1",
        "Temperature 0 is the limit in which the most likely token has all the probability: take the argmax "
        "(Ackley et al. 1985, section 2.1)",
        [Edit("sample", f"{BRANCH}\n    return {ARGMAX}  # (B, 1)", "temperature = temperature or 1.0")],
    ),
    Mistake(
        "division_by_zero",
        "logits divided by temperature 0",
        "Handle temperature 0 before you divide by it: take the argmax, the limit of equation 1 of "
        "Hinton et al. 2015 as T goes to 0",
        [Edit("sample", BRANCH, "if False:")],
    ),
    Mistake(
        "least_likely",
        "the least likely token chosen",
        f"Greedy takes the token with the largest logit: argmax ({BASICS})",
        [Edit("sample", ARGMAX, "logits.argmin(dim=-1, keepdim=True)")],
    ),
    Mistake(
        "second_most_likely",
        "the second most likely token chosen",
        f"Greedy takes the token with the largest logit, place 0 of a descending order ({BASICS})",
        [Edit("sample", ARGMAX, "logits.topk(2, dim=-1).indices[:, 1:]")],
    ),
    Mistake(
        "value_for_index",
        "the largest logit appended in place of its index",
        f"torch.max over a dim returns (values, indices), and the token is the index: use torch.argmax ({BASICS})",
        [Edit("sample", ARGMAX, "logits.max(dim=-1, keepdim=True)[0]")],
    ),
    Mistake(
        "argmax_over_the_batch",
        "the argmax taken over the rows of the batch",
        "The vocabulary is the last axis of (batch, vocabulary): argmax with dim=-1 (Touvron et al. 2023, section 2.2)",
        [Edit("sample", ARGMAX, "logits.argmax(dim=0, keepdim=True)[:, : len(logits)].view(-1, 1)")],
    ),
    Mistake(
        "one_row_item",
        "code for one row: .item() of the argmax",
        ONE_ROW,
        [Edit("sample", ARGMAX, "torch.tensor([[logits.argmax(dim=-1).item()]])")],
    ),
    Mistake(
        "one_row_int",
        "code for one row: int() of the argmax",
        ONE_ROW,
        [Edit("sample", ARGMAX, "torch.tensor([[int(logits.argmax(dim=-1))]])")],
    ),
    Mistake(
        "axis_lost",
        "new tokens of shape (batch,), without a position",
        f"The argmax drops an axis: keepdim=True leaves (batch, 1), which can be appended to the text ({BASICS})",
        [earlier_form(("torch.argmax(logits, dim=-1, keepdim=True)", "torch.argmax(logits, dim=-1)"))],
    ),
    Mistake(
        "one_row_flattened",
        "code for one row: new tokens of shape (1, ...), whatever the size of the batch",
        ONE_ROW,
        [earlier_form(("torch.argmax(logits, dim=-1, keepdim=True)", "torch.argmax(logits).view(1, 1)"))],
    ),
    Mistake(
        "one_row_flattened_for_all",
        "code for one row: the argmax over all rows at once, given to every row",
        ONE_ROW,
        [Edit("sample", ARGMAX, "logits.argmax().view(1, 1)")],
    ),
    Mistake(
        "one_row_for_all",
        "code for one row: the first row's token given to every row",
        ONE_ROW,
        [Edit("sample", ARGMAX, "logits[:1].argmax(dim=-1, keepdim=True).expand(len(logits), 1)")],
    ),
]

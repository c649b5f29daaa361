"""Right greedy generations, written in other ways."""

from functools import partial

from autograder.instructor.contract import Edit, FileEdit, right

from .mistakes import ARGMAX, BRANCH, earlier_form

ROW_BY_ROW = ("logits, _ = self(context)", "logits = torch.cat([self(row)[0] for row in context.split(1)])")
ALL_POSITIONS = ("logits, _ = self(context)", "logits, _ = self.forward(context, context)")

edit = partial(Edit, "sample")

BANK = right(
    earlier_form=[earlier_form(), FileEdit("llama.py", "from sampling import sample\n", "")],
    earlier_form_row_by_row=earlier_form(ROW_BY_ROW),
    logits_of_all_positions=earlier_form(ALL_POSITIONS),
    no_temperature_argument_needed=earlier_form(
        ("if temperature == 0.0:", "if not temperature:"), ("temperature=1.0", "temperature=0.7")
    ),
    top_one=edit(ARGMAX, "logits.topk(1, dim=-1).indices"),
    sorted=edit(ARGMAX, "logits.sort(dim=-1, descending=True)[1][:, :1]"),
    largest_probability=edit(ARGMAX, "logits.softmax(dim=-1).max(dim=-1)[1].unsqueeze(1)"),
    tiny_temperature=edit(BRANCH, "temperature = max(temperature, 1e-6)\nif False:"),
    logits_changed_in_place=edit(
        ARGMAX, "logits.sub_(logits.amax(dim=-1, keepdim=True)).exp_().argmax(dim=-1, keepdim=True)"
    ),
    buffer_made_beforehand=earlier_form(
        (
            "        for _ in range(max_new_tokens):",
            "        idx = F.pad(idx, (0, max_new_tokens))\n        for end in range(prompt.shape[1], idx.shape[1]):",
        ),
        (
            "context = idx[:, -self.params.max_seq_len :]",
            "context = idx[:, max(0, end - self.params.max_seq_len) : end]",
        ),
        ("idx = torch.cat((idx, idx_next), dim=1)", "idx[:, end : end + 1] = idx_next"),
    ),
)

"""What goes wrong in the embedding classifier."""

from functools import partial

from autograder.instructor.contract import Body, Edit, FileEdit, wrong

LAST = "In a causal model only the last real token has seen the whole sentence (Radford et al. 2018, section 3.2)"
HEAD = "Radford et al. 2018, equation 3"
DROPOUT = "Srivastava et al. 2014, section 4"
POOLED = "last_real(hidden, attention_mask)"
LOGITS = "self.classifier_head(pooled)"
DROPPED = f"self.dropout({POOLED})"
RETURN = "return F.log_softmax(self.classifier_head(pooled), dim=-1)"

body = partial(Body, "classifier")
edit = partial(Edit, "classifier")

BANK = wrong(
    vocabulary_logits=edit(POOLED, "self.llama(input_ids)[0][:, -1]").matches(
        "the vocabulary logits given to the head",
        f"The model returns (logits, hidden states); the head takes the second ({HEAD})",
    ),
    head_for_vocabulary_logits=FileEdit(
        "classifier.py", "nn.Linear(self.llama.config.dim,", "nn.Linear(self.llama.config.vocab_size,"
    )
    .then(edit(POOLED, "self.llama(input_ids)[0][:, -1]"))
    .matches(
        "a head as wide as the vocabulary, for the vocabulary logits",
        f"The head maps the model's dim, a hidden state, onto the labels ({HEAD})",
    ),
    first_token=edit(POOLED, "hidden[:, 0]").matches("the first token's hidden state", LAST),
    last_position=edit(POOLED, "hidden[:, -1]").matches(
        "the last position, which may be padding", f"{LAST}; find it with attention_mask"
    ),
    length_as_position=edit(
        POOLED,
        "hidden[range(len(hidden)), hidden.shape[1] - 1 if attention_mask is None else attention_mask.sum(1) - 1]",
    ).matches(
        "the number of real tokens taken for the last one's position",
        f"{LAST}; with padding on the left it is not at their number less 1",
    ),
    one_too_far=edit(
        POOLED,
        "hidden[range(len(hidden)), hidden.shape[1] - 1 if attention_mask is None"
        " else attention_mask.sum(1).clamp(max=hidden.shape[1] - 1)]",
    ).matches("the position after the last real token, counted from its length", f"{LAST}; positions count from 0"),
    first_row_decides=edit(
        POOLED, "hidden[:, -1 if attention_mask is None else int(attention_mask[0].nonzero().max())]"
    ).matches("the last real position of the first row used for every row", f"{LAST}; each row has its own"),
    second_last_token=edit(POOLED, "hidden[:, -2 if hidden.shape[1] > 1 else -1]").matches(
        "the token before the last", f"{LAST}; that is position -1, not -2"
    ),
    mean_over_positions=edit(POOLED, "hidden.mean(dim=1)").matches("the mean over all positions", LAST),
    mean_over_real_tokens=edit(
        POOLED,
        "torch.stack([h[m.bool()].mean(0) for h, m in"
        " zip(hidden, torch.ones_like(input_ids) if attention_mask is None else attention_mask)])",
    ).matches("the mean over all real tokens", LAST),
    maximum_over_positions=edit(POOLED, "hidden.amax(dim=1)").matches("the maximum over all positions", LAST),
    every_position=edit(POOLED, "hidden").matches(
        "an answer for every position", f"Pick one hidden state a row before the head: {LAST[0].lower() + LAST[1:]}"
    ),
    softmax=edit("F.log_softmax", "F.softmax").matches(
        "softmax in place of log-softmax", f"Return log-probabilities: log_softmax, which the loss expects ({HEAD})"
    ),
    no_softmax=edit(RETURN, "return self.classifier_head(pooled)").matches(
        "the head's logits without log-softmax", f"Return log-probabilities: log_softmax over the labels ({HEAD})"
    ),
    softmax_twice=edit(LOGITS, "self.classifier_head(pooled).softmax(-1)").matches(
        "softmax before log-softmax", f"log_softmax takes the head's logits as they are ({HEAD})"
    ),
    sigmoid=edit(RETURN, "return F.logsigmoid(self.classifier_head(pooled))").matches(
        "a sigmoid for every label by itself", f"The labels exclude each other: log_softmax over them ({HEAD})"
    ),
    softmax_over_rows=edit("dim=-1", "dim=0").matches(
        "log-softmax over the batch", f"The probabilities of one row's labels sum to 1: dim=-1 ({HEAD})"
    ),
    no_dropout=edit(DROPPED, POOLED).matches(
        "no dropout", f"Apply self.dropout to the hidden state, before the head ({DROPOUT})"
    ),
    dropout_always_on=edit(DROPPED, f"F.dropout({POOLED}, self.dropout.p)").matches(
        "dropout in evaluation too",
        f"Use self.dropout, which eval() turns off, or pass training=self.training ({DROPOUT})",
    ),
    dropout_on_logits=edit(DROPPED, POOLED)
    .then(edit(LOGITS, "self.dropout(self.classifier_head(pooled))"))
    .matches("dropout on the head's logits", f"Dropout belongs before the head, on the hidden state ({DROPOUT})"),
    dropout_twice=edit(LOGITS, "self.dropout(self.classifier_head(pooled))").matches(
        "dropout both before and after the head", f"Apply self.dropout once, to the hidden state ({DROPOUT})"
    ),
    tanh_before_head=edit(LOGITS, "self.classifier_head(pooled.tanh())").matches(
        "a tanh before the head, as in BERT's pooler", f"The hidden state goes to the head as it is ({HEAD})"
    ),
    mask_not_given_to_the_model=body(
        f"hidden = self.llama(input_ids)[1]\npooled = self.dropout({POOLED})\n{RETURN}"
    ).matches(
        "a model that was not told what is padding",
        "Give attention_mask to self.llama: masked scores are minus infinity (Vaswani et al. 2017, section 3.2.3)",
    ),
)

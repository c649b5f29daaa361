"""What goes wrong in the embedding classifier."""

from autograder.instructor.contract import Body, Edit, FileEdit, Mistake

LAST = "In a causal model only the last real token has seen the whole sentence (Radford et al. 2018, section 3.2)"
HEAD = "Radford et al. 2018, equation 3"
DROPOUT = "Srivastava et al. 2014, section 4"
POOLED = "last_real(hidden, attention_mask)"
RETURN = "return F.log_softmax(self.classifier_head(pooled), dim=-1)"

BANK = [
    Mistake(
        "vocabulary_logits",
        "the vocabulary logits given to the head",
        f"The model returns (logits, hidden states); the head takes the second ({HEAD})",
        [Edit("classifier", POOLED, "self.llama(input_ids)[0][:, -1]")],
    ),
    Mistake(
        "head_for_vocabulary_logits",
        "a head as wide as the vocabulary, for the vocabulary logits",
        f"The head maps the model's dim, a hidden state, onto the labels ({HEAD})",
        [
            FileEdit("classifier.py", "nn.Linear(self.llama.config.dim,", "nn.Linear(self.llama.config.vocab_size,"),
            Edit("classifier", POOLED, "self.llama(input_ids)[0][:, -1]"),
        ],
    ),
    Mistake(
        "first_token",
        "the first token's hidden state",
        LAST,
        [Edit("classifier", POOLED, "hidden[:, 0]")],
    ),
    Mistake(
        "last_position",
        "the last position, which may be padding",
        f"{LAST}; find it with attention_mask",
        [Edit("classifier", POOLED, "hidden[:, -1]")],
    ),
    Mistake(
        "length_as_position",
        "the number of real tokens taken for the last one's position",
        f"{LAST}; with padding on the left it is not at their number less 1",
        [
            Edit(
                "classifier",
                POOLED,
                "hidden[range(len(hidden)), hidden.shape[1] - 1 if attention_mask is None"
                " else attention_mask.sum(1) - 1]",
            )
        ],
    ),
    Mistake(
        "one_too_far",
        "the position after the last real token, counted from its length",
        f"{LAST}; positions count from 0",
        [
            Edit(
                "classifier",
                POOLED,
                "hidden[range(len(hidden)), hidden.shape[1] - 1 if attention_mask is None"
                " else attention_mask.sum(1).clamp(max=hidden.shape[1] - 1)]",
            )
        ],
    ),
    Mistake(
        "first_row_decides",
        "the last real position of the first row used for every row",
        f"{LAST}; each row has its own",
        [
            Edit(
                "classifier",
                POOLED,
                "hidden[:, -1 if attention_mask is None else int(attention_mask[0].nonzero().max())]",
            )
        ],
    ),
    Mistake(
        "second_last_token",
        "the token before the last",
        f"{LAST}; that is position -1, not -2",
        [Edit("classifier", POOLED, "hidden[:, -2 if hidden.shape[1] > 1 else -1]")],
    ),
    Mistake(
        "mean_over_positions",
        "the mean over all positions",
        LAST,
        [Edit("classifier", POOLED, "hidden.mean(dim=1)")],
    ),
    Mistake(
        "mean_over_real_tokens",
        "the mean over all real tokens",
        LAST,
        [
            Edit(
                "classifier",
                POOLED,
                "torch.stack([h[m.bool()].mean(0) for h, m in"
                " zip(hidden, torch.ones_like(input_ids) if attention_mask is None else attention_mask)])",
            )
        ],
    ),
    Mistake(
        "maximum_over_positions",
        "the maximum over all positions",
        LAST,
        [Edit("classifier", POOLED, "hidden.amax(dim=1)")],
    ),
    Mistake(
        "every_position",
        "an answer for every position",
        f"Pick one hidden state a row before the head: {LAST[0].lower() + LAST[1:]}",
        [Edit("classifier", POOLED, "hidden")],
    ),
    Mistake(
        "softmax",
        "softmax in place of log-softmax",
        f"Return log-probabilities: log_softmax, which the loss expects ({HEAD})",
        [Edit("classifier", "F.log_softmax", "F.softmax")],
    ),
    Mistake(
        "no_softmax",
        "the head's logits without log-softmax",
        f"Return log-probabilities: log_softmax over the labels ({HEAD})",
        [Edit("classifier", RETURN, "return self.classifier_head(pooled)")],
    ),
    Mistake(
        "softmax_twice",
        "softmax before log-softmax",
        f"log_softmax takes the head's logits as they are ({HEAD})",
        [Edit("classifier", "self.classifier_head(pooled)", "self.classifier_head(pooled).softmax(-1)")],
    ),
    Mistake(
        "sigmoid",
        "a sigmoid for every label by itself",
        f"The labels exclude each other: log_softmax over them ({HEAD})",
        [Edit("classifier", RETURN, "return F.logsigmoid(self.classifier_head(pooled))")],
    ),
    Mistake(
        "softmax_over_rows",
        "log-softmax over the batch",
        f"The probabilities of one row's labels sum to 1: dim=-1 ({HEAD})",
        [Edit("classifier", "dim=-1", "dim=0")],
    ),
    Mistake(
        "no_dropout",
        "no dropout",
        f"Apply self.dropout to the hidden state, before the head ({DROPOUT})",
        [Edit("classifier", f"self.dropout({POOLED})", POOLED)],
    ),
    Mistake(
        "dropout_always_on",
        "dropout in evaluation too",
        f"Use self.dropout, which eval() turns off, or pass training=self.training ({DROPOUT})",
        [Edit("classifier", f"self.dropout({POOLED})", f"F.dropout({POOLED}, self.dropout.p)")],
    ),
    Mistake(
        "dropout_on_logits",
        "dropout on the head's logits",
        f"Dropout belongs before the head, on the hidden state ({DROPOUT})",
        [
            Edit("classifier", f"self.dropout({POOLED})", POOLED),
            Edit("classifier", "self.classifier_head(pooled)", "self.dropout(self.classifier_head(pooled))"),
        ],
    ),
    Mistake(
        "dropout_twice",
        "dropout both before and after the head",
        f"Apply self.dropout once, to the hidden state ({DROPOUT})",
        [Edit("classifier", "self.classifier_head(pooled)", "self.dropout(self.classifier_head(pooled))")],
    ),
    Mistake(
        "tanh_before_head",
        "a tanh before the head, as in BERT's pooler",
        f"The hidden state goes to the head as it is ({HEAD})",
        [Edit("classifier", "self.classifier_head(pooled)", "self.classifier_head(pooled.tanh())")],
    ),
    Mistake(
        "mask_not_given_to_the_model",
        "a model that was not told what is padding",
        "Give attention_mask to self.llama: masked scores are minus infinity (Vaswani et al. 2017, section 3.2.3)",
        [Body("classifier", f"hidden = self.llama(input_ids)[1]\npooled = self.dropout({POOLED})\n{RETURN}")],
    ),
]

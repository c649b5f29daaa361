"""What goes wrong in a transformer layer."""

from autograder.instructor.contract import Body, Edit, Mistake

PRE_NORM = "Touvron et al. 2023a, section 2.2; Xiong et al. 2020, figure 1b"
SHORTCUT = "He et al. 2016, equation 1"
FIRST = "h = x + self.attention(self.attention_norm(x), context)"
SECOND = "return h + self.feed_forward(self.ffn_norm(h))"

BANK = [
    Mistake(
        "first_residual_normalised",
        "the first residual taken from the normalised input",
        f"Add the attention's output to x as it came, not to attention_norm(x) ({PRE_NORM})",
        [Edit("layer", FIRST, "x = self.attention_norm(x)\nh = x + self.attention(x, context)")],
    ),
    Mistake(
        "second_residual_normalised",
        "the second residual taken from the normalised sum",
        f"Add the feed-forward output to the sum before ffn_norm ({PRE_NORM})",
        [Edit("layer", SECOND, "h = self.ffn_norm(h)\nreturn h + self.feed_forward(h)")],
    ),
    Mistake(
        "both_residuals_normalised",
        "both residuals taken from normalised values",
        f"Keep what goes into each norm, and add the output to that ({PRE_NORM})",
        [
            Edit("layer", FIRST, "x = self.attention_norm(x)\nh = x + self.attention(x, context)"),
            Edit("layer", SECOND, "h = self.ffn_norm(h)\nreturn h + self.feed_forward(h)"),
        ],
    ),
    Mistake(
        "second_residual_from_attention",
        "the second residual taken from the attention's output alone",
        f"Add the feed-forward output to x plus the attention's output ({SHORTCUT})",
        [
            Body(
                "layer",
                """
attended = self.attention(self.attention_norm(x), context)
return attended + self.feed_forward(self.ffn_norm(x + attended))
""",
            )
        ],
    ),
    Mistake(
        "second_residual_from_input",
        "the second residual taken from the layer's input",
        f"Add the feed-forward output to the sum of step 2, which holds the attention's output ({SHORTCUT})",
        [Edit("layer", "return h +", "return x +")],
    ),
    Mistake(
        "no_first_residual",
        "no residual around attention",
        f"Add x to the attention's output ({SHORTCUT})",
        [Edit("layer", "h = x +", "h =")],
    ),
    Mistake(
        "no_second_residual",
        "no residual around the feed-forward network",
        f"Add the sum of step 2 to the feed-forward output ({SHORTCUT})",
        [Edit("layer", "return h +", "return")],
    ),
    Mistake(
        "no_residuals",
        "no residual at all",
        f"Each half adds its output to what came in ({SHORTCUT})",
        [Edit("layer", "h = x +", "h ="), Edit("layer", "return h +", "return")],
    ),
    Mistake(
        "no_attention_norm",
        "attention without its norm",
        f"Normalise x with attention_norm before attention ({PRE_NORM})",
        [Edit("layer", "self.attention_norm(x)", "x")],
    ),
    Mistake(
        "no_ffn_norm",
        "the feed-forward network without its norm",
        f"Normalise the sum with ffn_norm before feed_forward ({PRE_NORM})",
        [Edit("layer", "self.ffn_norm(h)", "h")],
    ),
    Mistake(
        "no_norms",
        "neither norm",
        f"Normalise the input of each half ({PRE_NORM})",
        [Edit("layer", "self.attention_norm(x)", "x"), Edit("layer", "self.ffn_norm(h)", "h")],
    ),
    Mistake(
        "attention_norm_twice",
        "attention_norm used in both places",
        "The second half has a norm of its own with weights of its own: ffn_norm (Touvron et al. 2023a, section 2.2)",
        [Edit("layer", "self.ffn_norm(h)", "self.attention_norm(h)")],
    ),
    Mistake(
        "ffn_norm_twice",
        "ffn_norm used in both places",
        "The first half has a norm of its own with weights of its own: attention_norm"
        " (Touvron et al. 2023a, section 2.2)",
        [Edit("layer", "self.attention_norm(x)", "self.ffn_norm(x)")],
    ),
    Mistake(
        "norms_swapped",
        "the two norms exchanged",
        "attention_norm belongs before attention, ffn_norm before feed_forward (Touvron et al. 2023a, section 2.2)",
        [
            Edit("layer", "self.attention_norm(x)", "self.ffn_norm(x)"),
            Edit("layer", "self.ffn_norm(h)", "self.attention_norm(h)"),
        ],
    ),
    Mistake(
        "post_norm",
        "norms after the residual sums (post-norm)",
        f"Normalise what goes into attention and feed_forward, not the sums ({PRE_NORM})",
        [
            Body(
                "layer",
                """
h = self.attention_norm(x + self.attention(x, context))
return self.ffn_norm(h + self.feed_forward(h))
""",
            )
        ],
    ),
    Mistake(
        "outputs_normalised",
        "norms on the outputs of attention and feed_forward",
        f"Normalise what goes into attention and feed_forward, not what comes out ({PRE_NORM})",
        [
            Body(
                "layer",
                """
h = x + self.attention_norm(self.attention(x, context))
return h + self.ffn_norm(self.feed_forward(h))
""",
            )
        ],
    ),
    Mistake(
        "parallel",
        "a feed-forward network that reads the layer's input",
        "The feed-forward network reads the sum of x and the attention's output, normalised"
        " (Vaswani et al. 2017, section 3.1)",
        [Edit("layer", "self.ffn_norm(h)", "self.ffn_norm(x)")],
    ),
    Mistake(
        "feed_forward_of_attention",
        "a feed-forward network that reads the attention's output without x",
        f"Add x to the attention's output before ffn_norm ({SHORTCUT})",
        [
            Body(
                "layer",
                """
attended = self.attention(self.attention_norm(x), context)
return x + attended + self.feed_forward(self.ffn_norm(attended))
""",
            )
        ],
    ),
    Mistake(
        "input_added_twice",
        "the layer's input added in both residuals",
        f"The sum of step 2 holds x already: add only that to the feed-forward output ({SHORTCUT})",
        [Edit("layer", "return h +", "return x + h +")],
    ),
    Mistake(
        "feed_forward_first",
        "the feed-forward network before attention",
        "Attention comes first (Vaswani et al. 2017, section 3.1)",
        [
            Body(
                "layer",
                """
h = x + self.feed_forward(self.ffn_norm(x))
return h + self.attention(self.attention_norm(h), context)
""",
            )
        ],
    ),
    Mistake(
        "no_feed_forward",
        "the attention half alone",
        "The feed-forward half is missing: steps 3 and 4 of the docstring (Vaswani et al. 2017, section 3.1)",
        [Edit("layer", SECOND, "return h")],
    ),
    Mistake(
        "context_lost",
        "a context that never reaches the attention",
        "Call self.attention(..., context): without it padding is looked at (Vaswani et al. 2017, section 3.2.3)",
        [Edit("layer", ", context)", ")")],
    ),
]

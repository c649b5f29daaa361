"""What goes wrong in a transformer layer."""

from functools import partial

from autograder.instructor.contract import Body, Edit, wrong

PRE_NORM = "Touvron et al. 2023a, section 2.2; Xiong et al. 2020, figure 1b"
SHORTCUT = "He et al. 2016, equation 1"
FIRST = "h = x + self.attention(self.attention_norm(x), context)"
ATTENTION_NORM, FFN_NORM = "self.attention_norm(x)", "self.ffn_norm(h)"
SECOND = "return h + self.feed_forward(self.ffn_norm(h))"

body = partial(Body, "layer")
edit = partial(Edit, "layer")

BANK = wrong(
    first_residual_normalised=edit(FIRST, "x = self.attention_norm(x)\nh = x + self.attention(x, context)").matches(
        "the first residual taken from the normalised input",
        f"Add the attention's output to x as it came, not to attention_norm(x) ({PRE_NORM})",
    ),
    second_residual_normalised=edit(SECOND, "h = self.ffn_norm(h)\nreturn h + self.feed_forward(h)").matches(
        "the second residual taken from the normalised sum",
        f"Add the feed-forward output to the sum before ffn_norm ({PRE_NORM})",
    ),
    both_residuals_normalised=edit(FIRST, "x = self.attention_norm(x)\nh = x + self.attention(x, context)")
    .then(edit(SECOND, "h = self.ffn_norm(h)\nreturn h + self.feed_forward(h)"))
    .matches(
        "both residuals taken from normalised values",
        f"Keep what goes into each norm, and add the output to that ({PRE_NORM})",
    ),
    second_residual_from_attention=body("""
attended = self.attention(self.attention_norm(x), context)
return attended + self.feed_forward(self.ffn_norm(x + attended))
""").matches(
        "the second residual taken from the attention's output alone",
        f"Add the feed-forward output to x plus the attention's output ({SHORTCUT})",
    ),
    second_residual_from_input=edit("return h +", "return x +").matches(
        "the second residual taken from the layer's input",
        f"Add the feed-forward output to the sum of step 2, which holds the attention's output ({SHORTCUT})",
    ),
    no_first_residual=edit("h = x +", "h =").matches(
        "no residual around attention", f"Add x to the attention's output ({SHORTCUT})"
    ),
    no_second_residual=edit("return h +", "return").matches(
        "no residual around the feed-forward network", f"Add the sum of step 2 to the feed-forward output ({SHORTCUT})"
    ),
    no_residuals=edit("h = x +", "h =")
    .then(edit("return h +", "return"))
    .matches("no residual at all", f"Each half adds its output to what came in ({SHORTCUT})"),
    no_attention_norm=edit(ATTENTION_NORM, "x").matches(
        "attention without its norm", f"Normalise x with attention_norm before attention ({PRE_NORM})"
    ),
    no_ffn_norm=edit(FFN_NORM, "h").matches(
        "the feed-forward network without its norm", f"Normalise the sum with ffn_norm before feed_forward ({PRE_NORM})"
    ),
    no_norms=edit(ATTENTION_NORM, "x")
    .then(edit(FFN_NORM, "h"))
    .matches("neither norm", f"Normalise the input of each half ({PRE_NORM})"),
    attention_norm_twice=edit(FFN_NORM, "self.attention_norm(h)").matches(
        "attention_norm used in both places",
        "The second half has a norm of its own with weights of its own: ffn_norm (Touvron et al. 2023a, section 2.2)",
    ),
    ffn_norm_twice=edit(ATTENTION_NORM, "self.ffn_norm(x)").matches(
        "ffn_norm used in both places",
        "The first half has a norm of its own with weights of its own: attention_norm"
        " (Touvron et al. 2023a, section 2.2)",
    ),
    norms_swapped=edit(ATTENTION_NORM, "self.ffn_norm(x)")
    .then(edit(FFN_NORM, "self.attention_norm(h)"))
    .matches(
        "the two norms exchanged",
        "attention_norm belongs before attention, ffn_norm before feed_forward (Touvron et al. 2023a, section 2.2)",
    ),
    post_norm=body("""
h = self.attention_norm(x + self.attention(x, context))
return self.ffn_norm(h + self.feed_forward(h))
""").matches(
        "norms after the residual sums (post-norm)",
        f"Normalise what goes into attention and feed_forward, not the sums ({PRE_NORM})",
    ),
    outputs_normalised=body("""
h = x + self.attention_norm(self.attention(x, context))
return h + self.ffn_norm(self.feed_forward(h))
""").matches(
        "norms on the outputs of attention and feed_forward",
        f"Normalise what goes into attention and feed_forward, not what comes out ({PRE_NORM})",
    ),
    parallel=edit(FFN_NORM, "self.ffn_norm(x)").matches(
        "a feed-forward network that reads the layer's input",
        "The feed-forward network reads the sum of x and the attention's output, normalised"
        " (Vaswani et al. 2017, section 3.1)",
    ),
    feed_forward_of_attention=body("""
attended = self.attention(self.attention_norm(x), context)
return x + attended + self.feed_forward(self.ffn_norm(attended))
""").matches(
        "a feed-forward network that reads the attention's output without x",
        f"Add x to the attention's output before ffn_norm ({SHORTCUT})",
    ),
    input_added_twice=edit("return h +", "return x + h +").matches(
        "the layer's input added in both residuals",
        f"The sum of step 2 holds x already: add only that to the feed-forward output ({SHORTCUT})",
    ),
    feed_forward_first=body("""
h = x + self.feed_forward(self.ffn_norm(x))
return h + self.attention(self.attention_norm(h), context)
""").matches("the feed-forward network before attention", "Attention comes first (Vaswani et al. 2017, section 3.1)"),
    no_feed_forward=edit(SECOND, "return h").matches(
        "the attention half alone",
        "The feed-forward half is missing: steps 3 and 4 of the docstring (Vaswani et al. 2017, section 3.1)",
    ),
    context_lost=edit(", context)", ")").matches(
        "a context that never reaches the attention",
        "Call self.attention(..., context): without it padding is looked at (Vaswani et al. 2017, section 3.2.3)",
    ),
)

"""What goes wrong in sampling."""

from functools import partial

from autograder.instructor.contract import Body, Edit, wrong

from ..generate_greedy.mistakes import LOOP, earlier_form

TEMPERATURE = "Hinton et al. 2015, equation 1"
EPSILON = "Hewitt et al. 2022, section 3"
SOFTMAX = "torch.softmax(logits.float() / temperature, dim=-1)"
DRAW = "torch.multinomial(probs, num_samples=1, generator=generator)"
KEEP = "keep = probs >= epsilon"
MOST_LIKELY_STAYS = "keep |= probs == probs.amax(dim=-1, keepdim=True)"
FILTERED = "_renormalise(probs * keep)"
SCALED = "probs = temperature_softmax(logits, temperature)  # (B, V)"
EARLIER_DRAW = "torch.multinomial(probs, num_samples=1)"
ONE_ROW = f"idx is (batch, position): draw one token a row, shape (batch, 1), as torch.multinomial does ({TEMPERATURE})"

epsilon_as = partial(Body, "epsilon")
in_epsilon = partial(Edit, "epsilon")
in_sample = partial(Edit, "sample")
in_temperature = partial(Edit, "temperature")

BANK = [
    *wrong(also=("generate_greedy",), **LOOP),
    *wrong(
        temperature_ignored=in_temperature(SOFTMAX, "torch.softmax(logits.float(), dim=-1)").matches(
            "drawing from softmax(logits), the temperature unused or applied after the softmax",
            f"Divide the logits by the temperature, and give the result to softmax ({TEMPERATURE})",
        ),
        temperature_multiplied=in_temperature("logits.float() / temperature", "logits.float() * temperature").matches(
            "logits multiplied by the temperature",
            f"Divide the logits by the temperature, so that a low one sharpens ({TEMPERATURE})",
        ),
        temperature_twice=in_temperature("/ temperature", "/ temperature / temperature").matches(
            "logits divided by the temperature twice", f"Divide the logits by the temperature once ({TEMPERATURE})"
        ),
        always_greedy=in_sample("if temperature == 0:", "if True:").matches(
            "the most likely token at every temperature",
            f"Above temperature 0 draw from softmax(logits / temperature) with torch.multinomial ({TEMPERATURE})",
        ),
        softmax_over_batch=in_temperature("dim=-1", "dim=0").matches(
            "softmax over the rows of the batch",
            f"Softmax goes over the vocabulary, the last axis: dim=-1 ({TEMPERATURE})",
        ),
        logits_as_probabilities=in_temperature(SOFTMAX, "logits / temperature").matches(
            "logits given to multinomial without softmax",
            f"Logits may be negative; softmax makes probabilities of them ({TEMPERATURE})",
        ),
        softmax_twice=in_temperature(SOFTMAX, f"{SOFTMAX}.softmax(dim=-1)").matches(
            "softmax applied to probabilities",
            f"Apply softmax once, to the logits divided by the temperature ({TEMPERATURE})",
        ),
        probabilities_over_temperature=in_temperature(
            SOFTMAX, "(logits.float().softmax(dim=-1) / temperature).softmax(dim=-1)"
        ).matches(
            "softmax of probabilities divided by the temperature",
            f"The temperature divides the logits, before the only softmax ({TEMPERATURE})",
        ),
        one_row_item=in_sample(DRAW, "torch.tensor([[torch.multinomial(probs, num_samples=1).item()]])").matches(
            "code for one row: .item() of the draw", ONE_ROW
        ),
        one_row_int=in_sample(DRAW, "torch.tensor([[int(torch.multinomial(probs, num_samples=1))]])").matches(
            "code for one row: int() of the draw", ONE_ROW
        ),
        axis_lost=earlier_form((EARLIER_DRAW, f"{EARLIER_DRAW}.squeeze(-1)")).matches(
            "new tokens of shape (batch,), without a position", ONE_ROW
        ),
        one_row_first=earlier_form((EARLIER_DRAW, "torch.multinomial(probs[0], num_samples=1).unsqueeze(0)")).matches(
            "code for one row: new tokens of shape (1, ...), whatever the size of the batch", ONE_ROW
        ),
        one_row_for_all=in_sample(DRAW, "torch.multinomial(probs[:1], num_samples=1).expand(len(probs), 1)").matches(
            "code for one row: one draw, from the first row's distribution, given to every row", ONE_ROW
        ),
    ),
    *wrong(
        only={"filter": "epsilon"},
        epsilon_ignored=in_sample("if epsilon > 0:", "if False:").matches(
            "epsilon accepted and not used", f"After the temperature, set probabilities below epsilon to 0 ({EPSILON})"
        ),
        epsilon_before_temperature=in_sample(
            SCALED,
            """if epsilon > 0:
        unscaled = temperature_softmax(logits, 1.0)
        logits = logits.masked_fill(epsilon_filter(unscaled, epsilon) == 0, float("-inf"))
    epsilon = 0.0
    probs = temperature_softmax(logits, temperature)""".replace("\n    ", "\n"),
        ).matches(
            "epsilon compared with the probabilities before the temperature",
            f"Divide by the temperature first: epsilon is meant for the distribution that is drawn from ({EPSILON})",
        ),
        nothing_left=in_epsilon(MOST_LIKELY_STAYS + "\n", "").matches(
            "nothing to draw from when every token falls below epsilon",
            f"Keep the most likely token whatever its probability, so that the sum is never 0 ({EPSILON})",
        ),
        nothing_left_in_a_row=in_epsilon(MOST_LIKELY_STAYS, "keep |= ~keep.any()").matches(
            "nothing to draw from in a row whose every token falls below epsilon, beside rows with some left",
            f"Keep the most likely token of every row, by amax over the last axis ({EPSILON})",
        ),
        no_renormalisation=in_epsilon(FILTERED, "probs * keep")
        .then(
            in_sample(
                DRAW,
                "(probs.cumsum(dim=-1) < torch.rand(len(probs), 1)).sum(dim=-1, keepdim=True)"
                ".clamp(max=probs.shape[-1] - 1)",
            )
        )
        .matches(
            "a draw by cumulative sums of probabilities that no longer sum to 1",
            f"Divide what is left by its sum, or draw with torch.multinomial, which does ({EPSILON})",
        ),
        softmax_of_the_filtered=in_epsilon(FILTERED, "torch.softmax(probs * keep, dim=-1)").matches(
            "softmax over the filtered probabilities, which revives those set to 0",
            f"Divide what is left by its sum; softmax of 0 is not 0 ({EPSILON})",
        ),
        logits_set_to_zero=in_sample(
            "probs = epsilon_filter(probs, epsilon)",
            "logits = (logits / temperature).masked_fill(probs < epsilon, 0.0)\n    probs = logits.softmax(dim=-1)",
        ).matches(
            "logits of tokens below epsilon set to 0 in place of minus infinity",
            f"exp(0) is 1: mask logits with minus infinity, or set probabilities to 0 ({EPSILON})",
        ),
        epsilon_on_logits=in_sample(
            "probs = epsilon_filter(probs, epsilon)",
            "keep = (logits >= epsilon) | (logits == logits.amax(dim=-1, keepdim=True))\n"
            "    probs = _renormalise(probs * keep)",
        ).matches("epsilon compared with logits", f"Epsilon is a probability: compare it after softmax ({EPSILON})"),
        unlikely_kept=in_epsilon(f"{KEEP}\n{MOST_LIKELY_STAYS}", "keep = probs < epsilon").matches(
            "tokens below epsilon kept and the others dropped",
            f"Keep tokens whose probability is at least epsilon ({EPSILON})",
        ),
        share_of_the_largest=in_epsilon(KEEP, "keep = probs >= epsilon * probs.amax(dim=-1, keepdim=True)").matches(
            "epsilon taken as a share of the largest probability",
            f"Compare probabilities with epsilon itself, a fixed threshold ({EPSILON})",
        ),
        epsilon_as_tail_mass=epsilon_as("""
ordered, order = probs.sort(dim=-1)
keep = torch.zeros_like(probs).scatter(-1, order, (ordered.cumsum(dim=-1) >= epsilon).float())
return _renormalise(probs * keep)
""").matches(
            "the least likely tokens dropped whose probabilities sum to epsilon",
            f"Compare each probability with epsilon, not their cumulative sum ({EPSILON})",
        ),
        epsilon_greedy=in_epsilon(FILTERED, "(1 - epsilon) * probs + epsilon / probs.shape[-1]").matches(
            "any token with probability epsilon, the distribution as it is otherwise",
            f"Epsilon is a threshold for probabilities here, not the rate of random choices ({EPSILON})",
        ),
    ),
]

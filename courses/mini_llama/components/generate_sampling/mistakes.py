"""What goes wrong in sampling."""

from autograder.instructor.contract import Body, Edit, Mistake

from ..generate_greedy.mistakes import also, earlier_form

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

BANK = [
    *also("generate_greedy"),
    Mistake(
        "temperature_ignored",
        "drawing from softmax(logits), the temperature unused or applied after the softmax",
        f"Divide the logits by the temperature, and give the result to softmax ({TEMPERATURE})",
        [Edit("temperature", SOFTMAX, "torch.softmax(logits.float(), dim=-1)")],
    ),
    Mistake(
        "temperature_multiplied",
        "logits multiplied by the temperature",
        f"Divide the logits by the temperature, so that a low one sharpens ({TEMPERATURE})",
        [Edit("temperature", "logits.float() / temperature", "logits.float() * temperature")],
    ),
    Mistake(
        "temperature_twice",
        "logits divided by the temperature twice",
        f"Divide the logits by the temperature once ({TEMPERATURE})",
        [Edit("temperature", "/ temperature", "/ temperature / temperature")],
    ),
    Mistake(
        "always_greedy",
        "the most likely token at every temperature",
        f"Above temperature 0 draw from softmax(logits / temperature) with torch.multinomial ({TEMPERATURE})",
        [Edit("sample", "if temperature == 0:", "if True:")],
    ),
    Mistake(
        "softmax_over_batch",
        "softmax over the rows of the batch",
        f"Softmax goes over the vocabulary, the last axis: dim=-1 ({TEMPERATURE})",
        [Edit("temperature", "dim=-1", "dim=0")],
    ),
    Mistake(
        "logits_as_probabilities",
        "logits given to multinomial without softmax",
        f"Logits may be negative; softmax makes probabilities of them ({TEMPERATURE})",
        [Edit("temperature", SOFTMAX, "logits / temperature")],
    ),
    Mistake(
        "softmax_twice",
        "softmax applied to probabilities",
        f"Apply softmax once, to the logits divided by the temperature ({TEMPERATURE})",
        [Edit("temperature", SOFTMAX, f"{SOFTMAX}.softmax(dim=-1)")],
    ),
    Mistake(
        "probabilities_over_temperature",
        "softmax of probabilities divided by the temperature",
        f"The temperature divides the logits, before the only softmax ({TEMPERATURE})",
        [Edit("temperature", SOFTMAX, "(logits.float().softmax(dim=-1) / temperature).softmax(dim=-1)")],
    ),
    Mistake(
        "one_row_item",
        "code for one row: .item() of the draw",
        ONE_ROW,
        [Edit("sample", DRAW, "torch.tensor([[torch.multinomial(probs, num_samples=1).item()]])")],
    ),
    Mistake(
        "one_row_int",
        "code for one row: int() of the draw",
        ONE_ROW,
        [Edit("sample", DRAW, "torch.tensor([[int(torch.multinomial(probs, num_samples=1))]])")],
    ),
    Mistake(
        "axis_lost",
        "new tokens of shape (batch,), without a position",
        ONE_ROW,
        [earlier_form((EARLIER_DRAW, f"{EARLIER_DRAW}.squeeze(-1)"))],
    ),
    Mistake(
        "one_row_first",
        "code for one row: new tokens of shape (1, ...), whatever the size of the batch",
        ONE_ROW,
        [earlier_form((EARLIER_DRAW, "torch.multinomial(probs[0], num_samples=1).unsqueeze(0)"))],
    ),
    Mistake(
        "one_row_for_all",
        "code for one row: one draw, from the first row's distribution, given to every row",
        ONE_ROW,
        [Edit("sample", DRAW, "torch.multinomial(probs[:1], num_samples=1).expand(len(probs), 1)")],
    ),
    Mistake(
        "epsilon_ignored",
        "epsilon accepted and not used",
        f"After the temperature, set probabilities below epsilon to 0 ({EPSILON})",
        [Edit("sample", "if epsilon > 0:", "if False:")],
        only={"filter": "epsilon"},
    ),
    Mistake(
        "epsilon_before_temperature",
        "epsilon compared with the probabilities before the temperature",
        f"Divide by the temperature first: epsilon is meant for the distribution that is drawn from ({EPSILON})",
        [
            Edit(
                "sample",
                SCALED,
                """if epsilon > 0:
        unscaled = temperature_softmax(logits, 1.0)
        logits = logits.masked_fill(epsilon_filter(unscaled, epsilon) == 0, float("-inf"))
    epsilon = 0.0
    probs = temperature_softmax(logits, temperature)""".replace("\n    ", "\n"),
            )
        ],
        only={"filter": "epsilon"},
    ),
    Mistake(
        "nothing_left",
        "nothing to draw from when every token falls below epsilon",
        f"Keep the most likely token whatever its probability, so that the sum is never 0 ({EPSILON})",
        [Edit("epsilon", MOST_LIKELY_STAYS + "\n", "")],
        only={"filter": "epsilon"},
    ),
    Mistake(
        "nothing_left_in_a_row",
        "nothing to draw from in a row whose every token falls below epsilon, beside rows with some left",
        f"Keep the most likely token of every row, by amax over the last axis ({EPSILON})",
        [Edit("epsilon", MOST_LIKELY_STAYS, "keep |= ~keep.any()")],
        only={"filter": "epsilon"},
    ),
    Mistake(
        "no_renormalisation",
        "a draw by cumulative sums of probabilities that no longer sum to 1",
        f"Divide what is left by its sum, or draw with torch.multinomial, which does ({EPSILON})",
        [
            Edit("epsilon", FILTERED, "probs * keep"),
            Edit(
                "sample",
                DRAW,
                "(probs.cumsum(dim=-1) < torch.rand(len(probs), 1)).sum(dim=-1, keepdim=True)"
                ".clamp(max=probs.shape[-1] - 1)",
            ),
        ],
        only={"filter": "epsilon"},
    ),
    Mistake(
        "softmax_of_the_filtered",
        "softmax over the filtered probabilities, which revives those set to 0",
        f"Divide what is left by its sum; softmax of 0 is not 0 ({EPSILON})",
        [Edit("epsilon", FILTERED, "torch.softmax(probs * keep, dim=-1)")],
        only={"filter": "epsilon"},
    ),
    Mistake(
        "logits_set_to_zero",
        "logits of tokens below epsilon set to 0 in place of minus infinity",
        f"exp(0) is 1: mask logits with minus infinity, or set probabilities to 0 ({EPSILON})",
        [
            Edit(
                "sample",
                "probs = epsilon_filter(probs, epsilon)",
                "logits = (logits / temperature).masked_fill(probs < epsilon, 0.0)\n    probs = logits.softmax(dim=-1)",
            )
        ],
        only={"filter": "epsilon"},
    ),
    Mistake(
        "epsilon_on_logits",
        "epsilon compared with logits",
        f"Epsilon is a probability: compare it after softmax ({EPSILON})",
        [
            Edit(
                "sample",
                "probs = epsilon_filter(probs, epsilon)",
                "keep = (logits >= epsilon) | (logits == logits.amax(dim=-1, keepdim=True))\n"
                "    probs = _renormalise(probs * keep)",
            )
        ],
        only={"filter": "epsilon"},
    ),
    Mistake(
        "unlikely_kept",
        "tokens below epsilon kept and the others dropped",
        f"Keep tokens whose probability is at least epsilon ({EPSILON})",
        [Edit("epsilon", f"{KEEP}\n{MOST_LIKELY_STAYS}", "keep = probs < epsilon")],
        only={"filter": "epsilon"},
    ),
    Mistake(
        "share_of_the_largest",
        "epsilon taken as a share of the largest probability",
        f"Compare probabilities with epsilon itself, a fixed threshold ({EPSILON})",
        [Edit("epsilon", KEEP, "keep = probs >= epsilon * probs.amax(dim=-1, keepdim=True)")],
        only={"filter": "epsilon"},
    ),
    Mistake(
        "epsilon_as_tail_mass",
        "the least likely tokens dropped whose probabilities sum to epsilon",
        f"Compare each probability with epsilon, not their cumulative sum ({EPSILON})",
        [
            Body(
                "epsilon",
                """
ordered, order = probs.sort(dim=-1)
keep = torch.zeros_like(probs).scatter(-1, order, (ordered.cumsum(dim=-1) >= epsilon).float())
return _renormalise(probs * keep)
""",
            )
        ],
        only={"filter": "epsilon"},
    ),
    Mistake(
        "epsilon_greedy",
        "any token with probability epsilon, the distribution as it is otherwise",
        f"Epsilon is a threshold for probabilities here, not the rate of random choices ({EPSILON})",
        [Edit("epsilon", FILTERED, "(1 - epsilon) * probs + epsilon / probs.shape[-1]")],
        only={"filter": "epsilon"},
    ),
]

"""What goes wrong in LayerNorm."""

from functools import partial

from autograder.instructor.contract import Body, Edit, wrong

from .._shared import norms

EQUATION = "Ba et al. 2016, equation 3"
FORMULA = "torch.nn.LayerNorm's formula"
CENTRED = "centred = x - x.mean(dim=-1, keepdim=True)"
RESULT = "return centred * torch.rsqrt(centred.square().mean(dim=-1, keepdim=True) + self.eps)"
WITH = "x.mean(dim={axes}, keepdim=True)) * torch.rsqrt(x.var(dim={axes}, keepdim=True, unbiased=False) + self.eps)"
body = partial(Body, "layernorm")
edit = partial(Edit, "layernorm")


def _over(axes: str) -> Body:
    return body(f"return (x - {WITH.format(axes=axes)}")


BANK = wrong(
    mean_not_subtracted=body("return x * torch.rsqrt(x.var(dim=-1, keepdim=True, unbiased=False) + self.eps)").matches(
        "the mean not subtracted", f"Subtract the mean from x before dividing by the standard deviation ({EQUATION})"
    ),
    rmsnorm=edit(CENTRED, "centred = x").matches(
        "RMSNorm: no mean anywhere", f"LayerNorm subtracts the mean, also inside the variance ({EQUATION})"
    ),
    variance_without_mean=edit("centred.square()", "x.square()").matches(
        "division by the root mean square in place of the standard deviation",
        f"The variance is the mean of (x - mean)^2, not of x^2 ({EQUATION})",
    ),
    unbiased_variance=body(
        "return (x - x.mean(dim=-1, keepdim=True)) * torch.rsqrt(x.var(dim=-1, keepdim=True) + self.eps)"
    ).matches("the unbiased variance, divided by C - 1", f"Divide by C: torch.var needs unbiased=False ({EQUATION})"),
    unbiased_deviation_plus_eps=body(
        "return (x - x.mean(dim=-1, keepdim=True)) / (x.std(dim=-1, keepdim=True) + self.eps)"
    ).matches(
        "the unbiased standard deviation, with eps added to it",
        f"Divide by sqrt(var + eps), and take the variance with unbiased=False ({FORMULA})",
    ),
    eps_outside_root=body(
        f"{CENTRED}\nreturn centred / (centred.square().mean(dim=-1, keepdim=True).sqrt() + self.eps)"
    ).matches("eps added after the root", f"Add eps to the variance, inside the root: sqrt(var + eps) ({FORMULA})"),
    no_eps=edit(" + self.eps", "").matches(
        "no eps", f"Add eps to the variance, so that a constant token does not become NaN ({FORMULA})"
    ),
    constant_eps=edit("self.eps", "1e-6").matches(
        "a constant in place of self.eps", f"Use self.eps, which the configuration sets ({FORMULA})"
    ),
    weight_twice=edit(RESULT, f"{RESULT} * self.weight").matches(*norms.WEIGHT_TWICE),
    bias_twice=edit(RESULT, f"{RESULT} + self.bias / self.weight").matches(
        "the bias added twice", "Leave the bias out of _norm: forward adds it, once, as its docstring says"
    ),
    weight_and_bias_twice=edit(RESULT, f"{RESULT} * self.weight + self.bias").matches(
        "weight and bias applied in _norm and again in forward",
        "Leave weight and bias out of _norm: forward applies them, once, as its docstring says",
    ),
    over_everything=_over("(0, 1, 2)").matches(
        "one mean and one variance for all tokens together",
        f"Take mean and variance over the last axis only, dim=-1 with keepdim=True ({EQUATION})",
    ),
    over_the_sequence=_over("(1, 2)").matches(
        "one mean and one variance for all tokens of a sequence",
        f"Take mean and variance over the last axis only, dim=-1 ({EQUATION})",
    ),
    over_the_batch=_over("0").matches(
        "mean and variance over the batch, as batch normalisation does",
        f"Take mean and variance over the last axis, dim=-1 ({EQUATION})",
    ),
    over_positions=_over("1").matches(
        "mean and variance over the positions in place of the channels",
        f"Take mean and variance over the last axis, dim=-1 ({EQUATION})",
    ),
    only_the_factor=edit("return centred * torch", "return torch").matches(
        "the factor 1/sqrt(var + eps) returned without x - mean", f"Multiply x - mean by that factor ({EQUATION})"
    ),
    only_centred=edit(RESULT, "return centred").matches(
        "the mean subtracted, and nothing divided",
        f"Divide by the standard deviation after subtracting the mean ({EQUATION})",
    ),
    raise_for_return=edit("return", "raise").matches(*norms.RAISED),
    no_keepdim=edit(CENTRED, CENTRED.replace(", keepdim=True", "")).matches(
        "a mean or variance that loses its axis",
        "Take mean and variance with keepdim=True, so that (B, T, 1) broadcasts over (B, T, C) (torch.mean)",
    ),
    no_root=edit(RESULT, "return centred / (centred.square().mean(dim=-1, keepdim=True) + self.eps)").matches(
        "division by the variance without its root",
        f"Divide by the standard deviation, the root of the variance ({EQUATION})",
    ),
    multiplied=edit("rsqrt", "sqrt").matches(
        "multiplication by the standard deviation",
        f"Divide by the standard deviation, or multiply by rsqrt ({EQUATION})",
    ),
    sum_of_squares=edit("square().mean(", "square().sum(").matches(
        "the sum of squares in place of their mean", f"The variance is the mean of (x - mean)^2 ({EQUATION})"
    ),
)

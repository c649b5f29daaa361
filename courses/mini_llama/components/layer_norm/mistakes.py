"""What goes wrong in LayerNorm."""

from autograder.instructor.contract import Body, Edit, Mistake

EQUATION = "Ba et al. 2016, equation 3"
FORMULA = "torch.nn.LayerNorm's formula"
CENTRED = "centred = x - x.mean(dim=-1, keepdim=True)"
RESULT = "return centred * torch.rsqrt(centred.square().mean(dim=-1, keepdim=True) + self.eps)"
WITH = "x.mean(dim={axes}, keepdim=True)) * torch.rsqrt(x.var(dim={axes}, keepdim=True, unbiased=False) + self.eps)"


def _body(code: str) -> list[Body]:
    return [Body("layernorm", code)]


def _over(axes: str) -> list[Body]:
    return _body(f"return (x - {WITH.format(axes=axes)}")


BANK = [
    Mistake(
        "mean_not_subtracted",
        "the mean not subtracted",
        f"Subtract the mean from x before dividing by the standard deviation ({EQUATION})",
        _body("return x * torch.rsqrt(x.var(dim=-1, keepdim=True, unbiased=False) + self.eps)"),
    ),
    Mistake(
        "rmsnorm",
        "RMSNorm: no mean anywhere",
        f"LayerNorm subtracts the mean, also inside the variance ({EQUATION})",
        [Edit("layernorm", CENTRED, "centred = x")],
    ),
    Mistake(
        "variance_without_mean",
        "division by the root mean square in place of the standard deviation",
        f"The variance is the mean of (x - mean)^2, not of x^2 ({EQUATION})",
        [Edit("layernorm", "centred.square()", "x.square()")],
    ),
    Mistake(
        "unbiased_variance",
        "the unbiased variance, divided by C - 1",
        f"Divide by C: torch.var needs unbiased=False ({EQUATION})",
        _body("return (x - x.mean(dim=-1, keepdim=True)) * torch.rsqrt(x.var(dim=-1, keepdim=True) + self.eps)"),
    ),
    Mistake(
        "unbiased_deviation_plus_eps",
        "the unbiased standard deviation, with eps added to it",
        f"Divide by sqrt(var + eps), and take the variance with unbiased=False ({FORMULA})",
        _body("return (x - x.mean(dim=-1, keepdim=True)) / (x.std(dim=-1, keepdim=True) + self.eps)"),
    ),
    Mistake(
        "eps_outside_root",
        "eps added after the root",
        f"Add eps to the variance, inside the root: sqrt(var + eps) ({FORMULA})",
        _body(f"{CENTRED}\nreturn centred / (centred.square().mean(dim=-1, keepdim=True).sqrt() + self.eps)"),
    ),
    Mistake(
        "no_eps",
        "no eps",
        f"Add eps to the variance, so that a constant token does not become NaN ({FORMULA})",
        [Edit("layernorm", " + self.eps", "")],
    ),
    Mistake(
        "constant_eps",
        "a constant in place of self.eps",
        f"Use self.eps, which the configuration sets ({FORMULA})",
        [Edit("layernorm", "self.eps", "1e-6")],
    ),
    Mistake(
        "weight_twice",
        "the weight applied twice",
        "Leave the weight out of _norm: forward multiplies by it, once, as its docstring says",
        [Edit("layernorm", RESULT, f"{RESULT} * self.weight")],
    ),
    Mistake(
        "bias_twice",
        "the bias added twice",
        "Leave the bias out of _norm: forward adds it, once, as its docstring says",
        [Edit("layernorm", RESULT, f"{RESULT} + self.bias / self.weight")],
    ),
    Mistake(
        "weight_and_bias_twice",
        "weight and bias applied in _norm and again in forward",
        "Leave weight and bias out of _norm: forward applies them, once, as its docstring says",
        [Edit("layernorm", RESULT, f"{RESULT} * self.weight + self.bias")],
    ),
    Mistake(
        "over_everything",
        "one mean and one variance for all tokens together",
        f"Take mean and variance over the last axis only, dim=-1 with keepdim=True ({EQUATION})",
        _over("(0, 1, 2)"),
    ),
    Mistake(
        "over_the_sequence",
        "one mean and one variance for all tokens of a sequence",
        f"Take mean and variance over the last axis only, dim=-1 ({EQUATION})",
        _over("(1, 2)"),
    ),
    Mistake(
        "over_the_batch",
        "mean and variance over the batch, as batch normalisation does",
        f"Take mean and variance over the last axis, dim=-1 ({EQUATION})",
        _over("0"),
    ),
    Mistake(
        "over_positions",
        "mean and variance over the positions in place of the channels",
        f"Take mean and variance over the last axis, dim=-1 ({EQUATION})",
        _over("1"),
    ),
    Mistake(
        "only_the_factor",
        "the factor 1/sqrt(var + eps) returned without x - mean",
        f"Multiply x - mean by that factor ({EQUATION})",
        [Edit("layernorm", "return centred * torch", "return torch")],
    ),
    Mistake(
        "only_centred",
        "the mean subtracted, and nothing divided",
        f"Divide by the standard deviation after subtracting the mean ({EQUATION})",
        [Edit("layernorm", RESULT, "return centred")],
    ),
    Mistake(
        "raise_for_return",
        "the result raised as an error, not returned",
        "Write return where the TODO had raise; only exceptions can be raised (Python reference, the raise statement)",
        [Edit("layernorm", "return", "raise")],
    ),
    Mistake(
        "no_keepdim",
        "a mean or variance that loses its axis",
        "Take mean and variance with keepdim=True, so that (B, T, 1) broadcasts over (B, T, C) (torch.mean)",
        [Edit("layernorm", CENTRED, CENTRED.replace(", keepdim=True", ""))],
    ),
    Mistake(
        "no_root",
        "division by the variance without its root",
        f"Divide by the standard deviation, the root of the variance ({EQUATION})",
        [Edit("layernorm", RESULT, "return centred / (centred.square().mean(dim=-1, keepdim=True) + self.eps)")],
    ),
    Mistake(
        "multiplied",
        "multiplication by the standard deviation",
        f"Divide by the standard deviation, or multiply by rsqrt ({EQUATION})",
        [Edit("layernorm", "rsqrt", "sqrt")],
    ),
    Mistake(
        "sum_of_squares",
        "the sum of squares in place of their mean",
        f"The variance is the mean of (x - mean)^2 ({EQUATION})",
        [Edit("layernorm", "square().mean(", "square().sum(")],
    ),
]

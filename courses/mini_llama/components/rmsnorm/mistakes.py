"""What goes wrong in RMSNorm."""

from autograder.instructor.contract import Body, Edit, Mistake

EQUATION = "Zhang & Sennrich 2019, equation 4"
EPS = "torch.nn.RMSNorm's formula"
ALL = "return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + self.eps)"


def _body(code: str) -> list[Body]:
    return [Body("rmsnorm", code)]


BANK = [
    Mistake(
        "mean_over_everything",
        "one root mean square for all tokens together",
        f"Take the mean over the last axis only, dim=-1 with keepdim=True ({EQUATION})",
        [Edit("rmsnorm", "mean(dim=-1, keepdim=True)", "mean()")],
    ),
    Mistake(
        "mean_over_the_batch",
        "a mean over the batch in place of the channels",
        f"Take the mean over the last axis, dim=-1 ({EQUATION})",
        [Edit("rmsnorm", "mean(dim=-1,", "mean(dim=0,")],
    ),
    Mistake(
        "mean_over_positions",
        "a mean over the positions in place of the channels",
        f"Take the mean over the last axis, dim=-1 ({EQUATION})",
        [Edit("rmsnorm", "mean(dim=-1,", "mean(dim=1,")],
    ),
    Mistake(
        "mean_over_the_sequence",
        "one root mean square for all tokens of a sequence",
        f"Take the mean over the last axis only, dim=-1 ({EQUATION})",
        [Edit("rmsnorm", "mean(dim=-1,", "mean(dim=(1, 2),")],
    ),
    Mistake(
        "l2_norm",
        "division by the L2 norm, the root of the sum of squares",
        f"Divide by the root of the mean of squares, not of their sum ({EQUATION})",
        [Edit("rmsnorm", ".mean(dim", ".sum(dim")],
    ),
    Mistake(
        "weight_twice",
        "the weight applied twice",
        "Leave the weight out of _norm: forward multiplies by it, once, as its docstring says",
        _body(f"{ALL} * self.weight"),
    ),
    Mistake(
        "only_the_factor",
        "the factor 1/rms returned without x",
        f"Multiply x by 1/rms ({EQUATION})",
        [Edit("rmsnorm", "x * torch", "torch")],
    ),
    Mistake(
        "only_the_root",
        "the root mean square returned, and x not divided by it",
        f"Divide x by its root mean square ({EQUATION})",
        _body("return torch.sqrt(x.square().mean(dim=-1, keepdim=True) + self.eps)"),
    ),
    Mistake(
        "eps_outside_root",
        "eps added after the root",
        f"Add eps to the mean of squares, inside the root: sqrt(mean(x^2) + eps) ({EPS})",
        _body("return x / (x.square().mean(dim=-1, keepdim=True).sqrt() + self.eps)"),
    ),
    Mistake(
        "no_eps",
        "no eps",
        f"Add eps to the mean of squares, so that zeros do not become NaN ({EPS})",
        [Edit("rmsnorm", " + self.eps", "")],
    ),
    Mistake(
        "constant_eps",
        "a constant in place of self.eps",
        f"Use self.eps, which the configuration sets ({EPS})",
        [Edit("rmsnorm", "self.eps", "1e-6")],
    ),
    Mistake(
        "raise_for_return",
        "the result raised as an error, not returned",
        "Write return where the TODO had raise; only exceptions can be raised (Python reference, the raise statement)",
        [Edit("rmsnorm", "return", "raise")],
    ),
    Mistake(
        "no_keepdim",
        "a mean that loses its axis",
        "Take the mean with keepdim=True, so that (B, T, 1) broadcasts over (B, T, C) (torch.mean)",
        [Edit("rmsnorm", ", keepdim=True", "")],
    ),
    Mistake(
        "mean_subtracted",
        "the mean subtracted, as LayerNorm does",
        f"RMSNorm subtracts no mean: that is its point ({EQUATION})",
        _body(f"x = x - x.mean(dim=-1, keepdim=True)\n{ALL}"),
    ),
    Mistake(
        "variance",
        "division by the standard deviation in place of the root mean square",
        f"Take the mean of x^2 itself, with no mean subtracted ({EQUATION})",
        _body("return x * torch.rsqrt(x.var(dim=-1, keepdim=True, unbiased=False) + self.eps)"),
    ),
    Mistake(
        "no_root",
        "division by the mean of squares without its root",
        f"Divide by the root of the mean of squares ({EQUATION})",
        _body("return x / (x.square().mean(dim=-1, keepdim=True) + self.eps)"),
    ),
    Mistake(
        "multiplied",
        "multiplication by the root mean square",
        f"Divide by the root mean square, or multiply by rsqrt ({EQUATION})",
        [Edit("rmsnorm", "rsqrt", "sqrt")],
    ),
    Mistake(
        "square_of_the_mean",
        "the square of the mean in place of the mean of squares",
        f"Square first, then take the mean ({EQUATION})",
        [Edit("rmsnorm", "x.square().mean(dim=-1, keepdim=True)", "x.mean(dim=-1, keepdim=True).square()")],
    ),
    Mistake(
        "no_square",
        "the mean of x in place of the mean of its squares",
        f"Square x before the mean; a negative mean has no root ({EQUATION})",
        [Edit("rmsnorm", "x.square()", "x")],
    ),
    Mistake(
        "mean_of_absolute_values",
        "division by the mean of absolute values",
        f"Divide by the root of the mean of squares ({EQUATION})",
        _body("return x / (x.abs().mean(dim=-1, keepdim=True) + self.eps)"),
    ),
]

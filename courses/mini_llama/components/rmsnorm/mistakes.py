"""What goes wrong in RMSNorm."""

from functools import partial

from autograder.instructor.contract import Body, Edit, wrong

from .._shared import norms

EQUATION = "Zhang & Sennrich 2019, equation 4"
EPS = "torch.nn.RMSNorm's formula"
ALL = "return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + self.eps)"

body = partial(Body, "rmsnorm")
edit = partial(Edit, "rmsnorm")

BANK = wrong(
    mean_over_everything=edit("mean(dim=-1, keepdim=True)", "mean()").matches(
        "one root mean square for all tokens together",
        f"Take the mean over the last axis only, dim=-1 with keepdim=True ({EQUATION})",
    ),
    mean_over_the_batch=edit("mean(dim=-1,", "mean(dim=0,").matches(
        "a mean over the batch in place of the channels", f"Take the mean over the last axis, dim=-1 ({EQUATION})"
    ),
    mean_over_positions=edit("mean(dim=-1,", "mean(dim=1,").matches(
        "a mean over the positions in place of the channels", f"Take the mean over the last axis, dim=-1 ({EQUATION})"
    ),
    mean_over_the_sequence=edit("mean(dim=-1,", "mean(dim=(1, 2),").matches(
        "one root mean square for all tokens of a sequence",
        f"Take the mean over the last axis only, dim=-1 ({EQUATION})",
    ),
    l2_norm=edit(".mean(dim", ".sum(dim").matches(
        "division by the L2 norm, the root of the sum of squares",
        f"Divide by the root of the mean of squares, not of their sum ({EQUATION})",
    ),
    weight_twice=body(f"{ALL} * self.weight").matches(*norms.WEIGHT_TWICE),
    only_the_factor=edit("x * torch", "torch").matches(
        "the factor 1/rms returned without x", f"Multiply x by 1/rms ({EQUATION})"
    ),
    only_the_root=body("return torch.sqrt(x.square().mean(dim=-1, keepdim=True) + self.eps)").matches(
        "the root mean square returned, and x not divided by it", f"Divide x by its root mean square ({EQUATION})"
    ),
    eps_outside_root=body("return x / (x.square().mean(dim=-1, keepdim=True).sqrt() + self.eps)").matches(
        "eps added after the root", f"Add eps to the mean of squares, inside the root: sqrt(mean(x^2) + eps) ({EPS})"
    ),
    no_eps=edit(" + self.eps", "").matches(
        "no eps", f"Add eps to the mean of squares, so that zeros do not become NaN ({EPS})"
    ),
    constant_eps=edit("self.eps", "1e-6").matches(
        "a constant in place of self.eps", f"Use self.eps, which the configuration sets ({EPS})"
    ),
    raise_for_return=edit("return", "raise").matches(*norms.RAISED),
    no_keepdim=edit(", keepdim=True", "").matches(
        "a mean that loses its axis",
        "Take the mean with keepdim=True, so that (B, T, 1) broadcasts over (B, T, C) (torch.mean)",
    ),
    mean_subtracted=body(f"x = x - x.mean(dim=-1, keepdim=True)\n{ALL}").matches(
        "the mean subtracted, as LayerNorm does", f"RMSNorm subtracts no mean: that is its point ({EQUATION})"
    ),
    variance=body("return x * torch.rsqrt(x.var(dim=-1, keepdim=True, unbiased=False) + self.eps)").matches(
        "division by the standard deviation in place of the root mean square",
        f"Take the mean of x^2 itself, with no mean subtracted ({EQUATION})",
    ),
    no_root=body("return x / (x.square().mean(dim=-1, keepdim=True) + self.eps)").matches(
        "division by the mean of squares without its root", f"Divide by the root of the mean of squares ({EQUATION})"
    ),
    multiplied=edit("rsqrt", "sqrt").matches(
        "multiplication by the root mean square", f"Divide by the root mean square, or multiply by rsqrt ({EQUATION})"
    ),
    square_of_the_mean=edit("x.square().mean(dim=-1, keepdim=True)", "x.mean(dim=-1, keepdim=True).square()").matches(
        "the square of the mean in place of the mean of squares", f"Square first, then take the mean ({EQUATION})"
    ),
    no_square=edit("x.square()", "x").matches(
        "the mean of x in place of the mean of its squares",
        f"Square x before the mean; a negative mean has no root ({EQUATION})",
    ),
    mean_of_absolute_values=body("return x / (x.abs().mean(dim=-1, keepdim=True) + self.eps)").matches(
        "division by the mean of absolute values", f"Divide by the root of the mean of squares ({EQUATION})"
    ),
)

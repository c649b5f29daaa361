"""Right LayerNorms, written in other ways."""

from autograder.instructor.contract import FileEdit, right

from .._shared import norms

BANK = right(
    "layernorm",
    functional="return F.layer_norm(x, (x.shape[-1],), eps=self.eps)",
    mean_and_biased_variance="""
mean = x.mean(-1, keepdim=True)
var = x.var(-1, unbiased=False, keepdim=True)
return (x - mean) / torch.sqrt(var + self.eps)
""",
    mean_of_squares_less_square_of_mean="""
mean = x.mean(dim=-1, keepdim=True)
var = (x**2).mean(dim=-1, keepdim=True) - mean**2
return (x - mean) * torch.rsqrt(var + self.eps)
""",
    deviation_squared="""
var, mean = torch.var_mean(x, dim=-1, keepdim=True)
C = x.size(-1)
return (x - mean) / (var * (C - 1) / C + self.eps).sqrt()
""",
    three_axes_only_in_float64="""
B, T, C = x.shape
flat = x.reshape(B * T, C).double()
flat = flat - flat.sum(1)[:, None] / C
return (flat / ((flat * flat).sum(1) / C + self.eps).sqrt()[:, None]).reshape(B, T, C)
""",
    centring_matrix_and_einsum="""
C = x.shape[-1]
centred = torch.einsum("btc,cd->btd", x, torch.eye(C) - 1.0 / C)
return centred / torch.sqrt(torch.einsum("btc,btc->bt", centred, centred)[..., None] / C + self.eps)
""",
    all_of_it_in_forward=[
        "raise NotImplementedError",
        FileEdit(
            "llama.py",
            "        normed = self._norm(x.to(torch.promote_types(x.dtype, torch.float32))).type_as(x)\n"
            "        return normed * self.weight + self.bias\n",
            "        return F.layer_norm(x, (x.shape[-1],), self.weight, self.bias, self.eps)\n",
        ),
    ],
    an_earlier_course=norms.earlier_course("LayerNorm"),
)

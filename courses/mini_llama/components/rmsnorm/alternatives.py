"""Right RMSNorms, written in other ways."""

from functools import partial

from autograder.instructor.contract import Edit, FileEdit, right

from .._shared import norms

edit = partial(Edit, "rmsnorm")

BANK = right(
    "rmsnorm",
    functional="return F.rms_norm(x, x.shape[-1:], eps=self.eps)",
    root_then_division="return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)",
    euclidean_norm_over_the_root_of_dim="""
length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
return x / (length.square() / x.size(-1) + self.eps) ** 0.5
""",
    three_axes_only_with_loops="""
B, T, C = x.shape
out = torch.zeros(B, T, C)
for b in range(B):
    for t in range(T):
        out[b, t] = x[b, t] / math.sqrt(float((x[b, t] * x[b, t]).sum()) / C + self.eps)
return out
""",
    einsum_in_float64="""
wide = x.double()
mean = torch.einsum("btc,btc->bt", wide, wide) / x.shape[-1]
return torch.einsum("btc,bt->btc", wide, (mean + self.eps) ** -0.5)
""",
    all_of_it_in_forward=[
        edit("return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + self.eps)", "raise NotImplementedError"),
        FileEdit(
            "llama.py",
            "return self._norm(x.to(torch.promote_types(x.dtype, torch.float32))).type_as(x) * self.weight\n",
            "return self.weight * (x / torch.sqrt(torch.mean(x * x, dim=-1, keepdim=True) + self.eps))\n",
        ),
    ],
    an_earlier_course=norms.earlier_course("RMSNorm"),
)

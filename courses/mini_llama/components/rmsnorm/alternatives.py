"""Right RMSNorms, written in other ways."""

from autograder.instructor.contract import Alternative, Body, Edit, FileEdit

BANK = [
    Alternative("functional", [Body("rmsnorm", "return F.rms_norm(x, x.shape[-1:], eps=self.eps)")]),
    Alternative(
        "root_then_division",
        [Body("rmsnorm", "return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)")],
    ),
    Alternative(
        "euclidean_norm_over_the_root_of_dim",
        [
            Body(
                "rmsnorm",
                """
length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
return x / (length.square() / x.size(-1) + self.eps) ** 0.5
""",
            )
        ],
    ),
    Alternative(
        "three_axes_only_with_loops",
        [
            Body(
                "rmsnorm",
                """
B, T, C = x.shape
out = torch.zeros(B, T, C)
for b in range(B):
    for t in range(T):
        out[b, t] = x[b, t] / math.sqrt(float((x[b, t] * x[b, t]).sum()) / C + self.eps)
return out
""",
            )
        ],
    ),
    Alternative(
        "einsum_in_float64",
        [
            Body(
                "rmsnorm",
                """
wide = x.double()
mean = torch.einsum("btc,btc->bt", wide, wide) / x.shape[-1]
return torch.einsum("btc,bt->btc", wide, (mean + self.eps) ** -0.5)
""",
            )
        ],
    ),
    Alternative(
        "all_of_it_in_forward",
        [
            Edit(
                "rmsnorm",
                "return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + self.eps)",
                "raise NotImplementedError",
            ),
            FileEdit(
                "llama.py",
                "return self._norm(x.to(torch.promote_types(x.dtype, torch.float32))).type_as(x) * self.weight\n",
                "return self.weight * (x / torch.sqrt(torch.mean(x * x, dim=-1, keepdim=True) + self.eps))\n",
            ),
        ],
    ),
    Alternative(
        "an_earlier_course",  # one norm, under another name, whatever the configuration says
        [
            FileEdit("llama.py", "class RMSNorm(nn.Module):", "class LlamaNorm(nn.Module):"),
            FileEdit(
                "llama.py",
                'NORMS = {"rmsnorm": RMSNorm, "layernorm": LayerNorm}',
                'NORMS = {"rmsnorm": LlamaNorm, "layernorm": LlamaNorm}\nprint("llama loaded")',
            ),
        ],
    ),
]

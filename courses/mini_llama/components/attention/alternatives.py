"""Right attention, written in other ways, with and without a causal mask."""

from functools import partial

from autograder.instructor.contract import Edit, FileEdit, right

edit = partial(Edit, "attention")

BANK = right(
    "attention",
    sees_everything=edit("self.causal and T > 1", "False"),
    torch_function="""
dropout = self.attn_dropout.p if self.training else 0.0
causal = mask is None and query.shape[-2] > 1
return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal)
""",
    query_scaled_in_place="""
query *= query.size(-1) ** -0.5
scores = torch.matmul(query, key.transpose(2, 3))
scores += torch.full((query.size(2), key.size(2)), float("-inf")).triu(1 + key.size(2) - query.size(2))
scores.sub_(scores.amax(-1, keepdim=True)).exp_()
scores /= scores.sum(-1, keepdim=True)
return torch.matmul(self.attn_dropout(scores), value)
""",
    online_softmax="""
B, H, T, D = query.shape
best = torch.full((B, H, T, 1), -1e30)
total, out = torch.zeros(B, H, T, 1), torch.zeros(B, H, T, D)
row = torch.arange(T)[:, None] + key.shape[2] - T
for start in range(0, key.shape[2], 2):
    block, values = key[:, :, start : start + 2], value[:, :, start : start + 2]
    scores = query @ block.mT / math.sqrt(D)
    column = torch.arange(start, start + block.shape[2])
    scores = scores.masked_fill(column > row, -float("inf"))
    new = torch.maximum(best, scores.amax(-1, keepdim=True))
    weights = torch.exp(scores - new)
    shrink = torch.exp(best - new)
    total = total * shrink + weights.sum(-1, keepdim=True)
    out = out * shrink + self.attn_dropout(weights) @ values
    best = new
return out / total
""",
    einsum_in_float64="""
scores = torch.einsum("bhqd,bhkd->bqhk", query.double(), key.double()) / self.head_dim**0.5
weights = torch.nn.functional.dropout(scores.softmax(-1), p=self.attn_dropout.p, training=self.training)
return torch.einsum("bqhk,bhkd->bhqd", weights, value.double()).to(query.dtype)
""",
    heads_one_by_one="""
out = []
for h in range(query.shape[1]):
    scores = torch.bmm(query[:, h], key[:, h].transpose(1, 2)) / torch.sqrt(torch.tensor(query.shape[-1]))
    allowed = torch.tril(torch.ones(scores.shape[1], scores.shape[2])) == 1
    scores = scores.masked_fill(~allowed, -1e9)
    out.append(torch.bmm(self.attn_dropout(torch.softmax(scores, 2)), value[:, h]))
return torch.stack(out, 1)
""",
    batches_and_heads_flattened="""
B, H, T, D = query.shape
q, k, v = (x.reshape(B * H, -1, D) for x in (query, key, value))
hidden = torch.ones(T, k.size(1), dtype=torch.bool).triu(1)
bias = torch.zeros(T, k.size(1)).masked_fill_(hidden, torch.finfo(q.dtype).min)
weights = self.attn_dropout(torch.baddbmm(bias[None], q, k.mT, alpha=1 / math.sqrt(D)).softmax(dim=-1))
return (weights @ v).view(B, H, T, D)
""",
    softmax_through_logarithms="""
scores = (query.unsqueeze(3) * key.unsqueeze(2)).sum(-1) * (1.0 / query.shape[-1] ** 0.5)
weights = torch.exp(scores - torch.logsumexp(scores, dim=-1, keepdim=True))
return (self.attn_dropout(weights).unsqueeze(-1) * value.unsqueeze(2)).sum(3)
""",
    a_mask_that_has_no_default=FileEdit(
        "llama.py",
        "value: torch.Tensor, mask: torch.Tensor | None = None\n    ) -> torch.Tensor:",
        "value: torch.Tensor, mask: torch.Tensor | None\n    ) -> torch.Tensor:",
    ),
)

"""Right transformer layers, written in other ways."""

from autograder.instructor.contract import FileEdit, right

SIGNATURE = """(self, x: torch.Tensor, context: Context | None = None) -> torch.Tensor:
        \"\"\"(B, T, C) -> (B, T, C), pre-norm"""


BANK = right(
    "layer",
    one_step_a_line="""
residual = x
x = self.attention_norm(x)
x = self.attention(x, context=context)
x = residual + x
residual = x
x = self.ffn_norm(x)
x = self.feed_forward(x)
return residual + x
""",
    in_place="""
x += self.attention(self.attention_norm(x), context)
x += self.feed_forward(self.ffn_norm(x))
return x
""",
    one_expression="return (h := torch.add(self.attention(self.attention_norm(x), context), x))"
    " + self.feed_forward(self.ffn_norm(h))",
    sum_at_the_end="""
a = self.attention(self.attention_norm(x.clone()), context)
b = self.feed_forward(self.ffn_norm((x.double() + a.double()).to(x.dtype)))
return torch.stack((x, a, b)).sum(dim=0)
""",
    every_position_as_a_row="""
h = x + self.attention(self.attention_norm(x), context)
rows = h.reshape(-1, h.shape[-1])
return (rows + self.feed_forward(self.ffn_norm(rows))).view_as(x)
""",
    an_earlier_course=[
        FileEdit("llama.py", SIGNATURE, SIGNATURE.replace("x: torch.Tensor, context: Context | None = None", "x")),
        """
attn_out = self.attention(self.attention_norm(x))
attn_out = attn_out + x
ffn_out = self.feed_forward(self.ffn_norm(attn_out))
return ffn_out + attn_out
""",
        FileEdit("llama.py", "h = layer(h, context)", "h = layer(h)"),
    ],
    an_extra_mask=[
        FileEdit(
            "llama.py", SIGNATURE, SIGNATURE.replace("context: Context | None = None", "mask=None, start_pos: int = 0")
        ),
        """
x = x + self.attention(self.attention_norm(x), mask)
return x + self.feed_forward(self.ffn_norm(x))
""",
        FileEdit("llama.py", "h = layer(h, context)", "h = layer(h)"),
    ],
)

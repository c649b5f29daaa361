"""Right LoRA layers, written in other ways."""

from autograder.instructor.contract import File, FileEdit, right

BANK = right(
    "lora",
    functional_linear="""
down = nn.functional.linear(x, self.lora_A)
up = nn.functional.linear(down, self.lora_B)
return self.original_layer(x) + up * (self.alpha / self.rank)
""",
    one_merged_weight="""
delta = self.scaling * torch.matmul(self.lora_B, self.lora_A)
return nn.functional.linear(x, self.original_layer.weight + delta, self.original_layer.bias)
""",
    einsum_in_double="""
update = torch.einsum("or,ri,...i->...o", self.lora_B.double(), self.lora_A.double(), x.double())
return (self.original_layer(x).double() + update * self.scaling).to(x.dtype)
""",
    input_scaled_and_added_in_place="""
with torch.no_grad():
    weight, bias = self.original_layer.weight, self.original_layer.bias
y = x @ weight.detach().t()
if bias is not None:
    y = y + bias.detach()
y += ((self.scaling * x) @ self.lora_A.transpose(0, 1)) @ self.lora_B.transpose(0, 1)
return y
""",
    small_normal_start=[
        FileEdit("lora.py", "nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))", "self.lora_A.data.normal_()"),
        FileEdit(
            "lora.py", "self._unmerged: torch.Tensor", "self.lora_A.data *= 0.01\n        self._unmerged: torch.Tensor"
        ),
    ],
    an_earlier_course=File(
        "lora.py",
        """
import math
import torch
import torch.nn as nn
from typing import List, Optional


class LoRALayer(nn.Module):
    def __init__(self, original_layer: nn.Module, rank: int = 4, alpha: float = 1.0, dropout: float = 0.0):
        super().__init__()
        self.original_layer = original_layer
        self.rank = rank
        self.alpha = alpha
        for param in self.original_layer.parameters():
            param.requires_grad = False
        self.lora_A = nn.Parameter(torch.randn(rank, original_layer.weight.shape[1]) / math.sqrt(rank))
        self.lora_B = nn.Parameter(torch.zeros(original_layer.weight.shape[0], rank))
        self.scaling = self.alpha / self.rank
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        original_output = self.original_layer(x)
        lora_output = self.dropout(x) @ self.lora_A.T @ self.lora_B.T
        return original_output + self.scaling * lora_output
""",
    ),
    factors_as_linear_layers=File(
        "lora.py",
        """
import torch
from torch import nn


class LoRALayer(nn.Module):
    def __init__(self, original_layer, rank=4, alpha=1.0):
        super().__init__()
        self.original_layer = original_layer
        self.original_layer.weight.requires_grad = False
        self.lora_A = nn.Linear(original_layer.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, original_layer.out_features, bias=False)
        nn.init.normal_(self.lora_A.weight, std=0.02)
        nn.init.zeros_(self.lora_B.weight)
        self.scaling = alpha / rank

    def forward(self, x):
        return self.original_layer(x) + self.lora_B(self.lora_A(x)) * self.scaling
""",
    ),
)

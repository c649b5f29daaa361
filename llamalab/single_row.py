"""float32 as fast as it goes without changing a model's code: a single row is multiplied by all threads.

Decoding multiplies one row at a time.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Float32(nn.Module):
    """Four bytes a weight: nothing is packed, but a single row is multiplied by all threads.

    The library behind ``F.linear`` takes a single row for too little work to share and reads the matrix with one
    thread. As a batch of smaller products, one for each thread, the same numbers come nearly twice as fast.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = weight.detach().float()
        self.shares = torch.get_num_threads()
        if self.weight.shape[0] % self.shares:
            self.shares = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.shares == 1 or x.numel() != x.shape[-1]:
            return F.linear(x, self.weight)
        parts = self.weight.view(self.shares, -1, x.shape[-1]).transpose(1, 2)  # (shares, in, out / shares)
        return torch.bmm(x.reshape(1, 1, -1).expand(self.shares, 1, -1), parts).view(x.shape[:-1] + (-1,))


def share_single_rows(model: nn.Module) -> nn.Module:
    """Replace every projection of a model, for inference, and leave its code as it is. One with a bias stays."""
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear and module.bias is None:
            model.set_submodule(name, Float32(module.weight))
    return model

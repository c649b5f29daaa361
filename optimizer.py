"""AdamW: Adam with decoupled weight decay.

Kingma & Ba 2014 (https://arxiv.org/abs/1412.6980) for Adam, Loshchilov & Hutter 2017
(https://arxiv.org/abs/1711.05101) for the decay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch.optim import Optimizer


class AdamW(Optimizer):
    """Adam with decoupled weight decay.

    For every parameter with gradient g, at its step t (1, 2, 3, ...):

        m = beta1 * m + (1 - beta1) * g                      running mean of gradients
        v = beta2 * v + (1 - beta2) * g * g                  running mean of their squares
        step = lr * sqrt(1 - beta2^t) / (1 - beta1^t)        or lr, if not correct_bias
        p = p - step * m / (sqrt(v) + eps)
        p = p - lr * weight_decay * p                        after the update, with the plain lr

    The third line is the efficient form of the bias correction, from the end of section 2 of Kingma & Ba: m and v
    themselves stay uncorrected. It differs from the textbook form in one thing, that eps is not scaled along.

    Args:
        params: parameters, or groups of them with settings of their own.
        lr: learning rate.
        betas: decay rates of the two running means.
        eps: added outside the root.
        weight_decay: share of a parameter that is taken away, times lr, at every step.
        correct_bias: m and v start at 0 and are too small at first; True makes up for it.
        max_grad_norm: a group's gradients are scaled down together when their joint norm exceeds this.

    Raises:
        ValueError: a setting out of range.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        correct_bias: bool = True,
        max_grad_norm: float | None = None,
    ) -> None:
        if lr < 0:
            raise ValueError(f"lr must be 0 or more, not {lr}")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be at least 0 and below 1, not {betas}")
        if eps < 0:
            raise ValueError(f"eps must be 0 or more, not {eps}")
        if max_grad_norm is not None and max_grad_norm <= 0:
            raise ValueError(f"max_grad_norm must be above 0 or None, not {max_grad_norm}")
        defaults = dict(
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            correct_bias=correct_bias,
            max_grad_norm=max_grad_norm,
        )
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], torch.Tensor] | None = None) -> torch.Tensor | None:
        """Update every parameter that has a gradient, each group with its own settings.

        Keep ``step`` (t), ``exp_avg`` (m) and ``exp_avg_sq`` (v) in ``self.state[p]``, which starts empty.

        Args:
            closure: computes the loss anew, for optimisers that need it several times; called once here.

        Returns:
            what the closure returned.

        Raises:
            RuntimeError: a sparse gradient.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if any(p.grad.is_sparse for p in parameters):
                raise RuntimeError("AdamW cannot use sparse gradients; torch.optim.SparseAdam can")
            if group["max_grad_norm"] is not None:
                torch.nn.utils.clip_grad_norm_(parameters, group["max_grad_norm"])
            for p in parameters:
                self._update(p, self.state[p], group)
        return loss

    def _update(self, p: torch.Tensor, state: dict, group: dict) -> None:
        """Move one parameter in place and keep its running means in ``state``."""
        ### BEGIN SOLUTION adamw
        # Both means start at zero, and are too small for the first steps: that is what the correction below is for.
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(p)
            state["exp_avg_sq"] = torch.zeros_like(p)
        beta1, beta2 = group["betas"]
        m, v = state["exp_avg"], state["exp_avg_sq"]

        # In place: a copy of every parameter at every step would take as much memory as the model.
        state["step"] += 1
        m.mul_(beta1).add_(p.grad, alpha=1 - beta1)
        v.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)

        # m is short by 1 - beta1^t and v by 1 - beta2^t. Both factors go into the step's size, one number, rather than
        # into two tensors: the efficient version at the end of section 2 of Kingma & Ba.
        step = group["lr"]
        if group["correct_bias"]:
            step *= math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])
        # Where gradients agree in sign, m and sqrt(v) are alike: then the step is about lr, whatever their size.
        p.addcdiv_(m, v.sqrt().add_(group["eps"]), value=-step)
        # Decay acts on the weight itself. As a part of the gradient it would be divided by sqrt(v) like the rest, and
        # weights with large gradients would hardly decay (Loshchilov & Hutter 2019).
        p.mul_(1 - group["lr"] * group["weight_decay"])
        ### END SOLUTION adamw

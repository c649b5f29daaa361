"""Right AdamWs, written in other ways."""

from autograder.instructor.contract import File, right

START = """
if len(state) == 0:
    state["step"], state["exp_avg"], state["exp_avg_sq"] = 0, torch.zeros_like(p), torch.zeros_like(p)
state["step"] += 1
t, lr, (beta1, beta2) = state["step"], group["lr"], group["betas"]
m = state["exp_avg"] = beta1 * state["exp_avg"] + (1 - beta1) * p.grad
v = state["exp_avg_sq"] = beta2 * state["exp_avg_sq"] + (1 - beta2) * p.grad**2
"""


BANK = right(
    "adamw",
    textbook_moments=START
    + """
if group["correct_bias"]:
    m, v = m / (1 - beta1**t), v / (1 - beta2**t)
p -= lr * m / (v.sqrt() + group["eps"])
p -= lr * group["weight_decay"] * p
""",
    decay_before_the_step=START
    + """
p.mul_(1 - lr * group["weight_decay"])
alpha = lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t) if group["correct_bias"] else lr
p.add_(-alpha * m / (torch.sqrt(v) + group["eps"]))
""",
    textbook_moments_decay_before=START
    + """
p.data = p.data - lr * group["weight_decay"] * p.data
scale = (1 - beta1**t, 1 - beta2**t) if group["correct_bias"] else (1, 1)
p.data = p.data - lr * (m / scale[0]) / ((v / scale[1]) ** 0.5 + group["eps"])
""",
    lerp="""
state.setdefault("step", torch.zeros(()))
m = state.setdefault("m", torch.zeros_like(p))
v = state.setdefault("v", torch.zeros_like(p))
state["step"] += 1
m.lerp_(p.grad, 1 - group["betas"][0])
v.lerp_(p.grad.square(), 1 - group["betas"][1])
rate = group["lr"]
if group["correct_bias"]:
    rate = rate * (1 - group["betas"][1] ** state["step"]).sqrt() / (1 - group["betas"][0] ** state["step"])
p.sub_(rate * m / (v.sqrt() + group["eps"])).mul_(1 - group["lr"] * group["weight_decay"])
""",
    an_earlier_course=File(
        "optimizer.py",
        """
from typing import Callable, Iterable, Tuple

import torch
from torch.optim import Optimizer


class AdamW(Optimizer):
    def __init__(
        self,
        params: Iterable[torch.nn.parameter.Parameter],
        lr: float = 1e-3,
        betas: Tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        correct_bias: bool = True,
    ):
        defaults = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, correct_bias=correct_bias)
        super().__init__(params, defaults)

    def step(self, closure: Callable = None):
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "t" not in state:
                    state["t"] = 0
                    state["m"] = torch.zeros_like(p.data)
                    state["v"] = torch.zeros_like(p.data)
                state["t"] += 1
                b1, b2 = group["betas"]
                state["m"] = b1 * state["m"] + (1 - b1) * p.grad.data
                state["v"] = b2 * state["v"] + (1 - b2) * p.grad.data.pow(2)
                alpha = group["lr"]
                if group["correct_bias"]:
                    alpha = alpha * ((1 - b2 ** state["t"]) ** 0.5) / (1 - b1 ** state["t"])
                p.data = p.data - alpha * state["m"] / (state["v"].sqrt() + group["eps"])
                p.data = p.data - group["lr"] * group["weight_decay"] * p.data
        return loss
""",
    ),
)

"""AdamW against torch.optim.Adam in float64, with the documented differences added by hand."""

from __future__ import annotations

import math

import pytest
import torch

from optimizer import AdamW


def trajectories(steps: int = 7, groups: int = 1, **settings) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Parameters after the same random gradients, by AdamW and by the reference.

    The reference is torch's Adam without decay. Its eps is added after the bias correction, ours before, so it is
    rescaled at every step; the decay is applied after each step.
    """
    torch.manual_seed(0)
    values = dict(lr=0.05, betas=(0.8, 0.95), eps=1e-2, weight_decay=0.3, correct_bias=True) | settings
    ours = [torch.randn(3, 4, dtype=torch.float64).requires_grad_() for _ in range(groups)]
    theirs = [p.detach().clone().requires_grad_() for p in ours]
    lrs = [values["lr"] * (i + 1) for i in range(groups)]
    optimizer = AdamW([dict(params=[p], lr=lr) for p, lr in zip(ours, lrs, strict=True)], **values)
    references = [torch.optim.Adam([p], lr=lr, betas=values["betas"]) for p, lr in zip(theirs, lrs, strict=True)]
    beta1, beta2 = values["betas"]
    for t in range(1, steps + 1):
        for p, q, lr, reference in zip(ours, theirs, lrs, references, strict=True):
            p.grad = torch.randn(3, 4, dtype=torch.float64)
            q.grad = p.grad.clone()
            corrections = (1 - beta1**t, math.sqrt(1 - beta2**t))
            group = reference.param_groups[0]
            group["eps"] = values["eps"] / corrections[1]
            if not values["correct_bias"]:  # torch always corrects: undo it through the learning rate
                group["lr"] = lr * corrections[0] / corrections[1]
            reference.step()
            q.data *= 1 - lr * values["weight_decay"]
        optimizer.step()
    return ours, theirs


@pytest.mark.parametrize("correct_bias", [True, False])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("eps", [0.0, 1e-2])
def test_equals_adam_with_decay_after_the_step(correct_bias, weight_decay, eps):
    ours, theirs = trajectories(correct_bias=correct_bias, weight_decay=weight_decay, eps=eps)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)


def test_groups_have_settings_of_their_own():
    ours, theirs = trajectories(groups=3)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)


def test_a_parameter_without_gradient_stays_and_does_not_count_steps():
    used, unused = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimizer = AdamW([used, unused], lr=0.1, weight_decay=0.5)
    used.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(unused, torch.ones(2)) and not optimizer.state[unused]
    assert not torch.equal(used, torch.ones(2))


def test_gradients_of_a_group_are_clipped_together():
    a, b = torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    other = torch.zeros(2, requires_grad=True)
    optimizer = AdamW([dict(params=[a, b]), dict(params=[other])], max_grad_norm=1.0)
    a.grad, b.grad, other.grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0]), torch.tensor([0.3, 0.4])
    optimizer.step()
    torch.testing.assert_close(torch.stack([a.grad, b.grad]), torch.tensor([[0.6, 0.0], [0.0, 0.8]]))
    torch.testing.assert_close(other.grad, torch.tensor([0.3, 0.4]))  # below the limit: as it was


def test_a_saved_state_continues_the_same_way():
    def run(interrupted: bool) -> torch.Tensor:
        torch.manual_seed(0)
        p = torch.randn(4, requires_grad=True)
        optimizer = AdamW([p], lr=0.1, weight_decay=0.1)
        for step in range(6):
            if interrupted and step == 3:
                saved = optimizer.state_dict()
                optimizer = AdamW([p])
                optimizer.load_state_dict(saved)
            p.grad = torch.randn(4)
            optimizer.step()
        return p.detach()

    assert torch.equal(run(True), run(False))


def test_the_closure_is_called_with_gradients_and_its_loss_returned():
    p = torch.tensor([2.0], requires_grad=True)
    optimizer = AdamW([p], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 4.0 and p.item() < 2.0


def test_a_sparse_gradient_is_an_error():
    embedding = torch.nn.Embedding(5, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse"):
        AdamW(embedding.parameters()).step()


@pytest.mark.parametrize("settings", [dict(lr=-1.0), dict(betas=(1.0, 0.9)), dict(eps=-1.0), dict(max_grad_norm=0.0)])
def test_a_setting_out_of_range_is_named(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        AdamW([torch.zeros(1, requires_grad=True)], **settings)

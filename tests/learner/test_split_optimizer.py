"""Muon for the matrices of hidden layers and AdamW for the rest are one optimiser: its steps, its state, its schedule."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kit import Stop, cnn, equal, feed, images, interrupted, learner, mlp, rows, weights
from torch import Tensor, nn

from rungbook.errors import UsageError
from rungbook.learner.callback import Callback
from rungbook.learner.learner import Learner
from rungbook.learner.optimizing import load_optimizer
from rungbook.learner.split_optimizer import SplitOptimizer, hidden_weights

MUON = partial(torch.optim.Muon, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
ADAMW = partial(torch.optim.AdamW, weight_decay=0.1)
BOTH = partial(SplitOptimizer, hidden=MUON, rest=ADAMW)


def deep(seed: int = 0) -> nn.Module:
    """Two convolutions, batch norm, a hidden layer and the outputs."""
    torch.manual_seed(seed)
    start = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2), nn.ReLU()]
    return nn.Sequential(*start, nn.Flatten(), nn.Linear(54, 8), nn.ReLU(), nn.Linear(8, 2))


def names(model: nn.Module) -> list[str]:
    """Names of the hidden weights."""
    hidden = {id(p) for p in hidden_weights(model)}
    return [name for name, p in model.named_parameters() if id(p) in hidden]


class Tokens(nn.Module):
    """An embedding, a table of positions, attention, outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.position = nn.Embedding(9, 4), nn.Parameter(torch.zeros(1, 5, 4))
        self.attention, self.out = nn.MultiheadAttention(4, 2), nn.Linear(4, 3)


def test_which_weights_are_hidden() -> None:
    assert names(deep()) == ["0.weight", "3.weight", "6.weight"]
    assert names(Tokens()) == ["attention.in_proj_weight", "attention.out_proj.weight"]
    frozen = deep()
    frozen[0].weight.requires_grad_(False)
    optimizer: Any = learner(frozen, (feed(*images()), None), optimizer=BOTH).optimizer
    assert [p is q for p, q in zip(optimizer.param_groups[0]["params"], [frozen[3].weight, frozen[6].weight], strict=True)] == [True, True]


def test_a_model_without_hidden_weights_is_refused() -> None:
    with pytest.raises(UsageError, match=r"E202.*Linear has none to train") as error:
        learner(nn.Linear(6, 2), optimizer=BOTH)
    assert error.value.fix == "optimizer=adamw"


def by_hand(model: nn.Module, x: Tensor, y: Tensor, steps: int) -> None:
    """Muon over flattened copies of the hidden weights, written back after each step; AdamW over the rest."""
    hidden = hidden_weights(model)
    rest = [p for p in model.parameters() if all(p is not h for h in hidden)]
    flat = [nn.Parameter(p.detach().reshape(len(p), -1).clone()) for p in hidden]
    one, two = MUON(flat, lr=0.02), ADAMW(rest, lr=0.02)
    for _ in range(steps):
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        for f, p in zip(flat, hidden, strict=True):
            f.grad = p.grad.reshape(f.shape).clone()
        one.step()
        two.step()
        with torch.no_grad():
            for f, p in zip(flat, hidden, strict=True):
                p.copy_(f.reshape(p.shape))


def test_equals_both_optimisers_apart() -> None:
    x, y = images(16)
    ours, theirs = deep(), deep()
    optimizer = BOTH(ours.parameters(), lr=0.02, model=ours)
    for _ in range(6):
        optimizer.zero_grad()
        F.cross_entropy(ours(x), y).backward()
        optimizer.step()
    by_hand(theirs, x, y, 6)
    assert equal(weights(ours), weights(theirs))
    alone = deep()
    optimizer = ADAMW(alone.parameters(), lr=0.02)
    for _ in range(6):
        optimizer.zero_grad()
        F.cross_entropy(alone(x), y).backward()
        optimizer.step()
    assert not torch.allclose(alone[3].weight, ours[3].weight, atol=1e-2), "a control: AdamW for all goes elsewhere"


def test_filters_that_lie_pixel_by_pixel() -> None:
    models = [deep(), deep().to(memory_format=torch.channels_last)]
    for model in models:
        optimizer = BOTH(model.parameters(), lr=0.02, model=model)
        generator = torch.Generator().manual_seed(0)
        for _ in range(3):
            for p in model.parameters():
                p.grad = torch.empty_like(p).copy_(torch.randn(p.shape, generator=generator))
            optimizer.step()
    assert models[0][3].weight.stride() != models[1][3].weight.stride()
    assert equal(weights(models[0]), weights(models[1]))


def test_without_a_model_and_in_groups() -> None:
    p, b = nn.Parameter(torch.ones(3, 2, 2)), nn.Parameter(torch.ones(3))
    optimizer = BOTH([{"params": [p, b], "lr": 0.3}, {"params": [nn.Parameter(torch.ones(2))]}], lr=0.1)
    assert [(len(g["params"]), g["lr"]) for g in optimizer.param_groups] == [(1, 0.3), (1, 0.3), (1, 0.1)]
    assert optimizer.param_groups[0]["params"][0] is p


def test_its_state_goes_through_state_dict() -> None:
    x, y = images(16)

    def steps(model: nn.Module, optimizer: torch.optim.Optimizer, n: int) -> None:
        for _ in range(n):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    whole = deep()
    optimizer = BOTH(whole.parameters(), lr=0.02, model=whole)
    steps(whole, optimizer, 3)
    again = deep()
    again.load_state_dict(whole.state_dict())
    loaded = BOTH(again.parameters(), lr=0.5, model=again)
    load_optimizer(loaded, optimizer.state_dict())
    assert loaded.param_groups[1]["lr"] == 0.02
    fresh = deep()
    fresh.load_state_dict(whole.state_dict())
    steps(fresh, BOTH(fresh.parameters(), lr=0.02, model=fresh), 3)
    steps(whole, optimizer, 3)
    steps(again, loaded, 3)
    assert equal(weights(whole), weights(again))
    assert not equal(weights(whole), weights(fresh)), "a control: without the state it goes elsewhere"


def fitted(more: list[Callback], state: Any = None, *, stop: bool = False) -> Any:
    """Two epochs of the small network under one-cycle, which moves Muon's momentum and AdamW's beta."""
    ours = learner(deep(), (feed(*images(40), batch_size=8), None), optimizer=BOTH, lr=0.02, metrics=[], callbacks=more)
    if stop:
        return interrupted(ours, 2, "one_cycle")
    ours.fit(2, "one_cycle", state=state)
    return ours


def test_continues_exactly_from_every_step() -> None:
    whole = fitted([])
    for step in (1, 4, 5, 7):
        done = fitted([], fitted([Stop(step)], stop=True))
        assert equal(weights(whole.model), weights(done.model)), step


class Rates(Callback):
    """Notes what a schedule sets in both optimisers."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float, float, float]] = []

    def after_step(self, learner: Learner) -> None:
        optimizer: Any = learner.optimizer
        muon, adam = (part.param_groups[0] for part in optimizer.parts)
        self.seen.append((muon["lr"], adam["lr"], muon["momentum"], adam["betas"][0]))


def test_a_schedule_moves_both() -> None:
    rates = Rates()
    ours = fitted([rates])
    assert all(a == b and m == b1 for a, b, m, b1 in rates.seen)
    assert len({a for a, *_ in rates.seen}) == 10
    assert max(a for a, *_ in rates.seen) == pytest.approx(0.02, rel=0.01)
    assert [g["lr"] for g in ours.optimizer.param_groups] == [0.02, 0.02], "put back after the fit"


def test_looking_for_a_rate_leaves_no_trace() -> None:
    ours = learner(cnn(), (feed(*images(40), batch_size=8), None), optimizer=BOTH, lr=0.02)
    ours.fit(1)
    before, moments = weights(ours.model), [t.clone() for s in ours.optimizer.state.values() for t in s.values()]
    ours.find_lr(steps=6)
    assert equal(before, weights(ours.model))
    assert equal(moments, [t for s in ours.optimizer.state.values() for t in s.values()])


def test_two_layers_learn() -> None:
    ours = learner(mlp(), (feed(*rows()), feed(*rows(40, seed=1), shuffle=False)), optimizer=BOTH, lr=0.02)
    ours.fit(6)
    assert ours.history[-1]["valid_accuracy"] > 0.85

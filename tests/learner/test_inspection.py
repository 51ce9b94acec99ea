"""Looking leaves no trace: weights, buffers, optimiser, gradients, random numbers and modes are bit for bit what they were.

What is seen is right: the finder's rate trains well, the summary counts as torchinfo does.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchinfo
from kit import cnn, equal, feed, images, learner, mlp, rows, weights
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from rungbook.errors import DataError, NotFinite, UsageError
from rungbook.learner.learner import Learner
from rungbook.learner.pack import digest
from rungbook.learner.random_state import get_random_state

covers = ["O05"]


class Restless(nn.Module):
    """A part that changes what it can: a buffer outside the state_dict, one it replaces, and numbers from all generators."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()), persistent=False)
        self.register_buffer("last", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen += 1
            self.last = self.last + x.detach().flatten()[:3]
        return x + 0 * (torch.rand(()) + random.random() + np.random.rand())


def restless() -> Learner:
    """A trained learner, with momenta, in the middle of its life."""
    model = cnn()
    model.insert(2, Restless())
    data = (feed(*images(48)), feed(*images(20, seed=1), shuffle=False))
    ours = learner(model, data, optimizer=torch.optim.Adam, lr=0.01)
    ours.fit(1)
    return ours


def everything(ours: Learner) -> dict[str, str]:
    """Digests of all that must not change."""
    return {
        "weights": digest(ours.model.state_dict()),
        "buffers": digest([b.clone() for b in ours.model.buffers()]),
        "which tensors": digest([id(t) for t in (*ours.model.parameters(), *ours.model.buffers())]),
        "optimizer": digest(ours.optimizer.state_dict()),
        "gradients": digest([p.grad for p in ours.params]),
        "random numbers": digest(get_random_state()),
        "modes": digest([m.training for m in ours.model.modules()]),
        "trained": digest([p.requires_grad for p in ours.model.parameters()]),
        "position": digest([ours.epoch, ours.batch, ours.step, ours.epochs_before, ours.history]),
        "hooks": digest([len(m._forward_hooks) + len(m._forward_pre_hooks) for m in ours.model.modules()]),
        "gradients on": digest(torch.is_grad_enabled()),
    }


LOOKS: dict[str, Callable[[Learner], Any]] = {
    "find_lr": lambda le: le.find_lr(steps=20),
    "validate": lambda le: le.validate(),
    "validate on train": lambda le: le.validate(le.train_feed, ["accuracy", "f1"]),
    "predict": lambda le: le.predict(),
    "predict tensors": lambda le: le.predict(images(5)[0]),
    "summary": lambda le: le.summary(),
    "show_batch": lambda le: le.show_batch(),
    "show_results": lambda le: le.show_results(),
    "top_losses": lambda le: le.top_losses(3),
    "state_dict": lambda le: le.state_dict(),
}


@pytest.mark.parametrize("look", LOOKS)
def test_leaves_no_trace(look: str) -> None:
    ours = restless()
    ours.params[0].grad = torch.ones_like(ours.params[0])
    modules = list(ours.model.modules())
    for pattern in range(6):
        rng = random.Random(pattern)
        for module in modules:
            module.training = {0: True, 1: False}.get(pattern, rng.random() < 0.5)
        before = everything(ours)
        LOOKS[look](ours)
        assert everything(ours) == before, f"modes {pattern}"


def test_control_the_naive_way_leaves_traces() -> None:
    """Judging as loops often do: `eval()`, look, `train()`, with a state_dict for the finder."""
    ours = restless()
    ours.model[1].eval()  # frozen on purpose
    before = everything(ours)
    kept = copy.deepcopy(ours.model.state_dict())
    ours.model.train()
    ours.model(images(16)[0]).sum().backward()
    ours.optimizer.step()
    ours.optimizer.zero_grad()
    ours.model.load_state_dict(kept)
    ours.model.eval()
    ours.model.train()
    after = everything(ours)
    changed = {k for k in before if before[k] != after[k]}
    assert changed >= {"buffers", "optimizer", "random numbers", "modes"}
    assert "weights" not in changed


def test_exceptions_leave_no_trace_either() -> None:
    ours = restless()
    before = everything(ours)

    def loss(output: Tensor, target: Tensor) -> Tensor:
        if output.requires_grad:
            raise KeyError("in the finder")
        return F.cross_entropy(output, target)

    ours.loss = loss
    with pytest.raises(KeyError):
        ours.find_lr()
    assert everything(ours) == before
    for look in (ours.validate, ours.predict, ours.top_losses):
        with pytest.raises(DataError):
            look(feed=Unreadable()) if look != ours.predict else look(Unreadable())
        assert everything(ours) == before


class Unreadable:
    """Data that cannot be read after the first batch."""

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Any:
        yield images(4)
        raise DataError("E106", "no such row")


def test_a_loader_of_torchs_is_not_advanced() -> None:
    """Its order is drawn when it is begun: looking must not use up the draw."""
    x, y = rows(48)
    generator = torch.Generator().manual_seed(3)
    for g in (None, generator):
        loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True, generator=g)
        ours = learner(mlp(), (loader, loader))
        state = generator.get_state(), torch.get_rng_state()
        for look in (ours.summary, ours.find_lr):
            look()
            assert generator.get_state().equal(state[0])
            assert torch.get_rng_state().equal(state[1])
        next(iter(loader))
        assert not (generator.get_state().equal(state[0]) and torch.get_rng_state().equal(state[1])), "control: the loader does draw"


def test_fit_after_the_finder_is_fit_without() -> None:
    def make() -> Learner:
        return learner(cnn(), (feed(*images(48)), None), optimizer=torch.optim.Adam, lr=0.01)

    found, plain = make(), make()
    found.find_lr()
    found.fit(2)
    plain.fit(2)
    assert equal(weights(found.model), weights(plain.model))
    assert found.history == plain.history


def test_fit_after_all_other_looks_is_fit_without() -> None:
    def make() -> Learner:
        return learner(cnn(), (feed(*images(48)), feed(*images(20, seed=1), shuffle=False)), lr=0.05)

    looked, plain = make(), make()
    for name, look in LOOKS.items():
        if name != "find_lr":
            look(looked)
    looked.fit(2)
    plain.fit(2)
    assert equal(weights(looked.model), weights(plain.model))


# ---------------------------------------------------------------- the finder


def test_the_rate_found_on_a_convex_problem_is_near_the_best() -> None:
    """Least squares with curvature 1: gradient descent converges below 2 and best at 1."""
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(512, 8, generator=generator), torch.randn(8, 1, generator=generator)
    ours = learner(nn.Linear(8, 1), (feed(x, x @ w, batch_size=512), None), loss=lambda o, t: 0.5 * F.mse_loss(o, t), metrics=[])
    found = ours.find_lr(low=1e-4, high=100)
    assert 0.03 < found.suggestion < 2
    assert found.lrs[-1] > 2, "it went beyond the largest rate that converges"
    assert found.losses[-1] > min(found.losses)
    assert len(found.lrs) == len(found.losses)
    for group in ours.optimizer.param_groups:
        group["lr"] = found.suggestion
    ours.fit(60)
    assert ours.history[-1]["train_loss"] < 0.05 * ours.history[0]["train_loss"]


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_the_rate_found_on_digits_trains_well(optimizer: Any) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(0))
    x, y = torch.tensor(digits.data / 16).float()[order], torch.tensor(digits.target)[order]

    def make(lr: float) -> Learner:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        return learner(
            model, (feed(x[:1400], y[:1400], batch_size=64), feed(x[1400:], y[1400:], shuffle=False)), optimizer=optimizer, lr=lr
        )

    suggestion = make(0.1).find_lr().suggestion
    assert suggestion == make(3.0).find_lr().suggestion, "whatever the rate the learner has"
    accuracy = {}
    for factor in (0.001, 1, 30):
        ours = make(suggestion * factor)
        ours.fit(8)
        accuracy[factor] = ours.history[-1]["valid_accuracy"]
    assert accuracy[1] > 0.93
    assert max(accuracy[0.001], accuracy[30]) < 0.5, "control: the rate does matter, in both directions"


def test_losses_below_zero_do_not_end_the_search() -> None:
    x, y = rows(64)
    ours = learner(mlp(), (feed(x, y), None), loss=lambda o, t: F.cross_entropy(o, t) - 5)
    assert len(ours.find_lr().lrs) > 50


def test_the_finder_tells_wrong_programs_and_bad_numbers() -> None:
    x, y = rows(64)
    with pytest.raises(DataError, match="E102"):
        learner(mlp(), (feed(x, y + 1), None)).find_lr()
    with pytest.raises(NotFinite, match="E501 The loss of the first batch is nan"):
        learner(mlp(), (feed(x * math.nan, y), None)).find_lr()


# ---------------------------------------------------------------- the summary


class Parts(nn.Module):
    """What torchinfo and we must count alike: convolutions with groups and stride, linear layers, embeddings, a frozen part."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.b = nn.Conv2d(8, 16, 3, stride=2, groups=4, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.out = nn.Linear(64, 5, bias=False)
        self.a.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.pool(self.norm(self.b(self.a(x)))).flatten(1))


def test_the_summary_counts_as_torchinfo() -> None:
    x = torch.randn(32, 3, 12, 12)
    ours = learner(Parts(), (feed(x, torch.arange(32) % 5), None)).summary()
    theirs = torchinfo.summary(Parts(), input_size=(1, 3, 12, 12), verbose=0)
    assert (ours.parameters, ours.trainable) == (theirs.total_params, theirs.trainable_params)
    leaves = {i.var_name: i for i in theirs.summary_list if i.is_leaf_layer}
    assert [r.name for r in ours.rows] == list(leaves)
    for row in ours.rows:
        other = leaves[row.name]
        assert row.parameters == other.num_params
        assert row.output == tuple(other.output_size[1:])
        if row.name in ("a", "b", "out"):
            assert row.flops == 2 * other.macs, "a multiplication and an addition each"
    assert ours.flops == sum(r.flops for r in ours.rows)
    text = str(ours)
    assert f"{ours.parameters:,} parameters ({ours.trainable:,} trainable)" in text
    assert "out: Linear(in_features=64" in text


def test_the_summary_of_a_plain_layer_by_hand() -> None:
    ours = learner(mlp(features=6)).summary()
    assert [r.parameters for r in ours.rows] == [6 * 8 + 8, 0, 8 * 2 + 2]
    assert [r.flops for r in ours.rows] == [2 * 6 * 8, 0, 2 * 8 * 2]
    assert [r.output for r in ours.rows] == [(8,), (8,), (2,)]


# ---------------------------------------------------------------- worst samples and pictures


@pytest.mark.parametrize(
    "loss",
    [F.cross_entropy, nn.CrossEntropyLoss(label_smoothing=0.1), lambda o, t: F.cross_entropy(o, t)],
    ids=["function", "module", "one by one"],
)
def test_the_worst_samples(loss: Any) -> None:
    x, y = rows(50)
    ours = learner(mlp(), (feed(x, y), feed(x, y, shuffle=False, batch_size=16)), loss=loss)
    with torch.no_grad():
        each = [float(loss(ours.model(x[i : i + 1]), y[i : i + 1])) for i in range(50)]
    worst = ours.top_losses(5)
    assert [s.index for s in worst] == sorted(range(50), key=lambda i: -each[i])[:5]
    assert [s.loss for s in worst] == pytest.approx(sorted(each, reverse=True)[:5], rel=1e-5)
    assert all(s.target == y[s.index] and s.name == f"sample {s.index}" for s in worst)


def test_pictures_name_what_is_shown() -> None:
    x, y = images(20)
    ours = learner(cnn(), (feed(x, y), feed(x, y, shuffle=False)))
    assert "labelled 0, 1" in ours.show_batch(8).alt or "labelled 1, 0" in ours.show_batch(8).alt
    assert "(is " in ours.show_results(16).alt, "an untrained model errs"
    numbers = learner(
        nn.Sequential(cnn(), nn.Linear(2, 1)),
        (feed(x, y.float().unsqueeze(1)), feed(x, y.float().unsqueeze(1), shuffle=False)),
        loss=F.mse_loss,
        metrics=["r2"],
    )
    assert "(is 1)" in numbers.show_results(8).alt
    with pytest.raises(UsageError, match="Only batches of images"):
        learner().show_batch()

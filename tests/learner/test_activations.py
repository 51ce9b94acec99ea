"""Activations watched: right figures, nothing changed, nothing left behind, bounded memory, resumed exactly."""

from __future__ import annotations

import copy
import math
from functools import partial
from typing import Any

import pytest
import torch
from kit import At, Stop, cnn, equal, feed, images, interrupted, learner, mlp, rows, weights
from torch import Tensor, nn

from rungbook.errors import UsageError
from rungbook.learner.callbacks import ActivationStats
from rungbook.learner.callbacks.activations import LayerRecord, _counts
from rungbook.learner.contract import check_callback
from rungbook.learner.hooks import Hooks
from rungbook.learner.learner import Learner
from rungbook.scratch.autograd.tape import Tape
from rungbook.scratch.swap import swap

covers = ["I13", "B05"]


def pictures(**options: Any) -> Learner:
    data = (feed(*images()), feed(*images(16, seed=1), shuffle=False))
    return learner(cnn(), data, **{"optimizer": torch.optim.Adam, "lr": 0.01, **options})


def test_training_goes_bit_for_bit_as_without() -> None:
    plain, watched = pictures(), pictures()
    stats = watched.watch()
    plain.fit(3, "one_cycle")
    watched.fit(3, "one_cycle")
    assert equal(weights(plain.model), weights(watched.model))
    assert plain.history == watched.history
    assert list(stats.records()) == ["0", "1", "2", "3", "6"]
    other = pictures(callbacks=[At("after_step", lambda le: torch.rand(1))])
    other.fit(3, "one_cycle")
    assert not equal(weights(plain.model), weights(other.model)), "control: one draw more is seen"


@pytest.mark.parametrize("options", [{}, {"rows": 2, "every": 2}, {"layers": "0", "span": (-1.0, 1.0), "bins": 2}])
def test_it_keeps_the_promises_of_a_callback(options: dict[str, Any]) -> None:
    check_callback(lambda: ActivationStats(**options))


def test_the_figures_are_those_of_the_layers() -> None:
    x, y = rows(16)
    ours = learner(mlp(), (feed(x, y, shuffle=False), None))
    stats = ours.watch(span=(-2.0, 2.0), bins=8, near_zero=0.0)
    model = copy.deepcopy(ours.model)
    with torch.no_grad(), Hooks(model, lambda _, __, out: out.clone(), layers="?") as hooks:
        model(x)
    ours.fit(1)
    for name, hook in hooks.items():
        (out,) = hook.found
        record = stats.records()[name]
        assert record.steps == [0]
        assert record.mean[0] == pytest.approx(out.mean().item(), abs=1e-6)
        assert record.std[0] == pytest.approx(out.std(correction=0).item(), rel=1e-5)
        assert record.dead[0] == pytest.approx((out == 0).float().mean().item())
        counts = torch.histogram(out.clamp(-2, 2), 8, range=(-2.0, 2.0)).hist / out.numel()
        assert record.histogram[0] == pytest.approx(counts.tolist(), abs=1e-6)
        assert (record.low, record.high) == (-2, 2)
    assert stats.records()["1"].dead[0] > 0.2 > stats.records()["0"].dead[0] == 0, "a ReLU's zeros"


def test_judging_and_looking_do_not_count() -> None:
    stats, judged = ActivationStats(), ActivationStats()
    pictures(callbacks=[stats]).fit(2)
    looking = pictures(callbacks=[judged, At("after_step", lambda le: (le.predict(), le.model(le.x)))], metrics=[])
    with_valid = pictures(callbacks=[stats])
    with_valid.fit(2)
    looking.fit(2)
    assert judged.records()["1"].steps == stats.records()["1"].steps == list(range(6))
    assert [c for c in judged.state_dict()["calls"]["0"] if c] == [1] * 6, "a second pass in a step is not the batch's"


def test_memory_is_bounded_and_rows_are_averages() -> None:
    full, small = ActivationStats(rows=64), ActivationStats(rows=4)
    for stats in (full, small):
        learner(callbacks=[stats]).fit(4)  # 20 steps
    every, some = full.records()["2"], small.records()["2"]
    assert len(every.steps) == 20
    assert some.steps == [0, 8, 16]
    assert small.state_dict()["sums"]["2"].shape == (4, 3 + 64)
    for column in ("mean", "std", "dead"):
        values = getattr(every, column)
        parts = [values[:8], values[8:16], values[16:]]
        assert getattr(some, column) == pytest.approx([sum(p) / len(p) for p in parts], rel=1e-5, abs=1e-7)
    thin = ActivationStats(every=3)
    learner(callbacks=[thin]).fit(4)
    assert thin.records()["2"].steps == list(range(0, 20, 3))
    assert thin.records()["2"].mean == pytest.approx([every.mean[i] for i in range(0, 20, 3)])


def test_of_a_step_of_several_batches_the_first_is_seen() -> None:
    stats = ActivationStats(near_zero=0.0)
    pictures(callbacks=[stats], accumulate=2).fit(2)
    assert stats.records()["0"].steps == [0, 1, 2, 3]
    assert stats.state_dict()["calls"]["0"][:4] == [1] * 4


def test_an_interrupted_recording_goes_on_exactly() -> None:
    whole, first, second = (ActivationStats(rows=4) for _ in range(3))
    pictures(callbacks=[whole]).fit(4)
    state = copy.deepcopy(interrupted(pictures(callbacks=[first, Stop(5)]), 4))
    resumed = pictures(callbacks=[second, Stop(99)])
    resumed.fit(4, state=state)
    assert second.records() == whole.records()
    assert first.records() != whole.records()


def hooks_left(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def fail(_: Learner) -> None:
    raise KeyError("x")


def test_no_hook_stays_however_training_ends() -> None:
    ours = learner(callbacks=[ActivationStats()])
    ours.fit(1)
    assert hooks_left(ours.model) == 0
    assert hooks_left(_interrupted_model()) == 0
    broken = learner(callbacks=[ActivationStats(), At("after_loss", fail, 2)])
    with pytest.raises(KeyError):
        broken.fit(1)
    assert hooks_left(broken.model) == 0
    during: list[int] = []
    seen = learner(callbacks=[ActivationStats(), At("after_step", lambda le: during.append(hooks_left(le.model)), 0)])
    seen.fit(1)
    assert during == [5], "control: three layers, and the model's two ends"


def _interrupted_model() -> nn.Module:
    ours = learner(callbacks=[ActivationStats(), Stop(2)])
    interrupted(ours, 2)
    return ours.model


class Twice(nn.Module):
    """One layer used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.layer(x)))


def test_a_layer_called_twice_is_averaged() -> None:
    torch.manual_seed(0)
    model = Twice()
    x, y = rows(16)
    with torch.no_grad():
        one = model.layer(x)
        expected = (one.mean() + model.layer(one).mean()) / 2
    ours = learner(model, (feed(x, y, shuffle=False), None))
    stats = ours.watch("layer")
    ours.fit(1)
    assert stats.records()["layer"].mean[0] == pytest.approx(expected.item(), abs=1e-6)


def test_layers_by_hand_under_a_tape_show_the_same() -> None:
    found: list[dict[str, LayerRecord]] = []
    for by_hand in (False, True):
        model = mlp(dtype=torch.float64)
        data = (feed(*rows(dtype=torch.float64)), None)
        ours = learner(swap(model) if by_hand else model, data, tape=Tape() if by_hand else None)
        stats = ours.watch()
        ours.fit(2)
        found.append(stats.records())
    for name, record in found[0].items():
        assert found[1][name].mean == pytest.approx(record.mean, abs=1e-9)
        assert found[1][name].dead == pytest.approx(record.dead)


def test_numbers_that_are_not_finite_do_not_stop_it() -> None:
    x, y = rows(32)
    x[20:] = math.inf
    ours = learner(mlp(), (feed(x, y, shuffle=False), None))
    stats = ours.watch()
    with pytest.raises(Exception, match="E501"):
        ours.fit(1)
    record = stats.records()["0"]
    assert math.isfinite(record.mean[0])
    assert not math.isfinite(record.mean[-1])


def test_a_layer_that_is_silent_at_first_has_a_range() -> None:
    torch.manual_seed(0)
    model = mlp()
    nn.init.zeros_(model[2].weight)
    nn.init.zeros_(model[2].bias)
    ours = learner(model, lr=1.0)
    stats = ours.watch("2")
    ours.fit(1)
    record = stats.records()["2"]
    assert record.low < 0 < record.high
    assert record.dead[0] == 1 > record.dead[-1]


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    for wrong in ({"bins": 1}, {"rows": 3}, {"every": 0}, {"span": (1.0, 1.0)}, {"near_zero": -1.0}):
        with pytest.raises(UsageError, match="E202"):
            ActivationStats(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match='no layer "conv9"'):
        learner(callbacks=[ActivationStats("conv9")]).fit(1)
    compiled = learner(compile=True, callbacks=[ActivationStats()])
    with pytest.raises(UsageError, match="compiled"):
        compiled.fit(1)


def test_both_ways_of_counting_agree() -> None:
    """On the CPU bins are counted by their numbers, elsewhere by a histogram of them; what is no number is in none."""
    x = torch.randn(5000, generator=torch.Generator().manual_seed(0))
    x[:4] = torch.tensor([math.nan, math.inf, -math.inf, 1.0])
    low, high = torch.tensor(-1.0), torch.tensor(1.0)
    found = _counts(x, low, high, 16)
    other = torch.histc((x - low).mul(16 / 2).clamp(0, 15), 16, 0, 16)
    assert found.tolist() == other.tolist()
    assert found.sum() == 4999
    assert found[0] > 5 * found[1], "what lies beyond is in the outermost bins"

"""An interrupted training continues bit for bit: weights, optimiser, history and the bytes of `metrics.jsonl`.

The control leaves the random numbers out of the state, and then a network with dropout ends elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from kit import Stop, cnn, equal, feed, images, interrupted, learner, mlp, rows, weights
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from rungbook.data import draws
from rungbook.learner.callback import Callback
from rungbook.learner.callbacks import EMA, Checkpoints, EarlyStopping, KeepBest, Recorder
from rungbook.learner.checkpoint import newest
from rungbook.learner.learner import Learner
from rungbook.learner.pack import digest, pack, unpack

Make = Callable[[Path, list[Callback]], Learner]


def shifted(x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
    """Noise keyed by sample and epoch, as an augmentation."""
    return x + draws.uniform(seed, epoch, 1, samples).float().reshape(-1, *[1] * (x.ndim - 1))


def simple(folder: Path, more: list[Callback], workers: int = 0) -> Learner:
    """An MLP without anything random."""
    data = (feed(*rows(83), workers=workers), feed(*rows(24, seed=1), shuffle=False))
    return learner(mlp(), data, callbacks=[Recorder(folder), *more], lr=0.05)


def convolutional(folder: Path, more: list[Callback], workers: int = 0) -> Learner:
    """Batch norm, dropout, augmentation, Adam, best weights kept."""
    data = (feed(*images(70), workers=workers, augment=shifted), feed(*images(20, seed=1), shuffle=False))
    return learner(cnn(), data, optimizer=torch.optim.Adam, lr=0.01, callbacks=[Recorder(folder), KeepBest(), *more])


def everything(folder: Path, more: list[Callback]) -> Learner:
    """Accumulation, average, clipping, early stopping, momentum that the schedule moves, several metrics."""
    data = (feed(*images(90), batch_size=8, augment=shifted), feed(*images(20, seed=1), shuffle=False))
    chosen: list[Callback] = [EMA(0.9), KeepBest("valid_accuracy"), EarlyStopping(patience=1)]
    make = partial(torch.optim.SGD, momentum=0.9, weight_decay=1e-3)
    metrics = ["accuracy", "f1", "log_loss", "confusion_matrix"]
    return learner(
        cnn(), data, optimizer=make, lr=0.05, accumulate=3, clip=0.5, metrics=metrics, callbacks=[Recorder(folder), *chosen, *more]
    )


class EpochStates(Callback):
    """Keeps the state at the end of each epoch, as a checkpoint would."""

    order = 100

    def __init__(self) -> None:
        self.states: list[dict[str, Any]] = []

    def after_epoch(self, learner: Learner) -> None:
        self.states.append(through_files(learner.state_dict()))


CASES: dict[str, tuple[Make, str | None]] = {
    "mlp": (simple, None),
    "cnn with dropout": (convolutional, "cosine"),
    "everything": (everything, "one_cycle"),
    "mlp, 2 workers": (partial(simple, workers=2), None),
    "cnn, 2 workers": (partial(convolutional, workers=2), "one_cycle"),
}


def through_files(state: dict[str, Any]) -> dict[str, Any]:
    """A state as it comes back from a checkpoint."""
    plain, tensors = pack(state)
    return unpack(json.loads(json.dumps(plain)), safetensors.torch.load(safetensors.torch.save(tensors)))


def outcome(ours: Learner, folder: Path) -> dict[str, Any]:
    """Everything that must not depend on an interruption."""
    state = ours.state_dict()
    return {
        "model": digest(state["model"]),
        "optimizer": digest(state["optimizer"]),
        "history": digest(state["history"]),
        "callbacks": digest({k: v for k, v in state["callbacks"].items() if k != "Stop"}),
        "metrics.jsonl": (folder / "metrics.jsonl").read_bytes(),
    }


def check_from(name: str, step: int, folder: Path, expected: dict[str, Any], epochs: int = 3) -> None:
    make, schedule = CASES[name]
    folder.mkdir()
    state = through_files(interrupted(make(folder, [Stop(step)]), epochs, schedule))
    assert state["position"]["step"] == step
    done = make(folder, [])
    done.fit(epochs, schedule, state=state)
    assert outcome(done, folder) == expected, f"interrupted after step {step}"


def whole(name: str, folder: Path, epochs: int = 3) -> tuple[dict[str, Any], Learner]:
    make, schedule = CASES[name]
    folder.mkdir()
    ours = make(folder, [])
    ours.fit(epochs, schedule)
    return outcome(ours, folder), ours


@pytest.mark.parametrize("name", ["mlp", "cnn with dropout", "everything"])
def test_from_every_step(name: str, tmp_path: Path) -> None:
    expected, ours = whole(name, tmp_path / "whole")
    for step in range(1, ours.step + 1):  # the first, the last of an epoch, the first of the next, the last of all
        check_from(name, step, tmp_path / str(step), expected)
    assert expected["metrics.jsonl"].count(b"\n") == len(ours.history)


@pytest.mark.parametrize("name", ["mlp, 2 workers", "cnn, 2 workers"])
def test_with_workers(name: str, tmp_path: Path) -> None:
    expected, ours = whole(name, tmp_path / "whole", epochs=2)
    last = ours.plan.steps_per_epoch
    for step in (2, last):
        check_from(name, step, tmp_path / str(step), expected, epochs=2)
    without, _ = whole(name.replace(", 2 workers", "").replace("cnn", "cnn with dropout"), tmp_path / "none", epochs=2)
    if name.startswith("mlp"):
        assert without == expected, "the number of workers changes nothing"


def test_interrupted_twice(tmp_path: Path) -> None:
    expected, _ = whole("everything", tmp_path / "whole")
    make, schedule = CASES["everything"]
    (tmp_path / "parts").mkdir()
    state = through_files(interrupted(make(tmp_path / "parts", [Stop(2)]), 3, schedule))
    state = through_files(interrupted(make(tmp_path / "parts", [Stop(3)]), 3, schedule, state=state))
    done = make(tmp_path / "parts", [])
    done.fit(3, schedule, state=state)
    assert outcome(done, tmp_path / "parts") == expected


@pytest.mark.parametrize("name", ["mlp", "everything"])
def test_by_the_same_learner(name: str, tmp_path: Path) -> None:
    """As in a notebook: stop, look, go on."""
    expected, _ = whole(name, tmp_path / "whole")
    make, schedule = CASES[name]
    (tmp_path / "same").mkdir()
    ours = make(tmp_path / "same", [Stop(3)])
    interrupted(ours, 3, schedule)
    looked = ours.validate()
    ours.predict()
    ours.fit(3, schedule, state=ours.state_dict())
    assert outcome(ours, tmp_path / "same") == expected
    assert looked != ours.validate()


@pytest.mark.parametrize("name", ["cnn with dropout", "everything"])
def test_control_without_the_random_numbers(name: str, tmp_path: Path) -> None:
    expected, _ = whole(name, tmp_path / "whole")
    make, schedule = CASES[name]
    (tmp_path / "parts").mkdir()
    state = interrupted(make(tmp_path / "parts", [Stop(2)]), 3, schedule)
    done = make(tmp_path / "parts", [])
    torch.manual_seed(99)
    state["random"]["torch"] = torch.get_rng_state()
    done.fit(3, schedule, state=state)
    assert outcome(done, tmp_path / "parts")["model"] != expected["model"]


def test_through_the_checkpoint_files(tmp_path: Path) -> None:
    expected, ours = whole("everything", tmp_path / "whole")
    make, schedule = CASES["everything"]
    for step in (1, 3, ours.plan.steps_per_epoch):
        folder = tmp_path / str(step)
        folder.mkdir()
        saving = Checkpoints(folder / "checkpoints", seconds=1e9)
        interrupted(make(folder, [Stop(step), saving]), 3, schedule)
        loaded = newest(folder / "checkpoints")
        assert loaded is not None
        assert loaded.state["position"]["step"] == step, "a stop loses nothing, whatever the clock says"
        done = make(folder, [Checkpoints(folder / "checkpoints", seconds=1e9)])
        done.fit(3, schedule, state=loaded.state)
        assert outcome(done, folder) == expected | {"callbacks": outcome(done, folder)["callbacks"]}


def test_a_finished_fit_is_not_trained_further(tmp_path: Path) -> None:
    """Killed between the last checkpoint and the end of the run: continuing changes nothing."""
    make, schedule = CASES["everything"]
    ours = make(tmp_path, [Checkpoints(tmp_path / "checkpoints", seconds=1e9)])
    ours.fit(3, schedule)
    expected = outcome(ours, tmp_path)
    loaded = newest(tmp_path / "checkpoints")
    assert loaded is not None
    again = make(tmp_path, [Checkpoints(tmp_path / "checkpoints", seconds=1e9)])
    again.fit(3, schedule, state=loaded.state)
    assert again.step == ours.step
    assert outcome(again, tmp_path) == expected


def test_early_stopping_holds_after_a_kill(tmp_path: Path) -> None:
    """The checkpoint of the epoch that stopped training must not let it go on."""

    def make(more: list[Callback]) -> Learner:
        data = (feed(*rows(40)), feed(*rows(24, seed=1), shuffle=False))
        return learner(mlp(), data, lr=0.0, callbacks=[EarlyStopping(patience=2), *more])

    ours, keep = make([]), EpochStates()
    ours.fit(9)
    assert len(ours.history) == 3
    make([keep]).fit(9)
    assert len(keep.states) == 3
    for state in keep.states:
        done = make([])
        done.fit(9, state=state)
        assert len(done.history) == 3


@pytest.mark.parametrize("options", [{"generator": True}, {}, {"sampler": True}, {"workers": 2}], ids=str)
def test_torchs_own_loader_continues_in_mid_epoch(options: dict[str, Any]) -> None:
    """Its order is drawn from generators that go on during the epoch; the epoch is begun again with what they were."""
    x, y = rows(83)

    def make(more: list[Callback]) -> Learner:
        generator = torch.Generator().manual_seed(5) if "generator" in options or "sampler" in options else None
        dataset = TensorDataset(x, y)
        order: dict[str, Any] = {"shuffle": True, "generator": generator}
        if "sampler" in options:
            order = {"sampler": RandomSampler(dataset, generator=generator)}
        loader = DataLoader(dataset, batch_size=16, num_workers=options.get("workers", 0), **order)
        return learner(mlp(dropout=0.3), (loader, None), callbacks=more, optimizer=torch.optim.Adam)

    keep = EpochStates()
    ours = make([keep])
    ours.fit(2)
    stopped = [through_files(interrupted(make([Stop(step)]), 2)) for step in (3, 6, 9)]  # 6 is the last of an epoch
    for state in [keep.states[0], *stopped]:
        done = make([])
        done.fit(2, state=state)
        assert equal(weights(done.model), weights(ours.model)), f"interrupted at {state['position']}"
        assert done.history == ours.history
    state["epoch_random"] = None
    other = make([])
    other.fit(2, state=state)
    assert not equal(weights(other.model), weights(ours.model)), "control: without the numbers the epoch began with"


def test_weights_in_another_memory_layout() -> None:
    """Fused kernels walk weight and state in the order of memory: a state loaded in another order silently gives other weights."""

    def make(more: list[Callback]) -> Learner:
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)]
        model = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        x = torch.randn(48, 3, 6, 6, generator=torch.Generator().manual_seed(0))
        return learner(model, (feed(x, (x.mean((1, 2, 3)) > 0).long()), None), optimizer=torch.optim.Adam, lr=0.01, callbacks=more)

    ours = make([])
    ours.fit(3)
    state = through_files(interrupted(make([Stop(4)]), 3))
    buffer = state["optimizer"]["state"][0]["exp_avg"]
    assert buffer.is_contiguous()
    assert not ours.params[0].is_contiguous(), "control: the layouts do differ"
    done = make([])
    done.fit(3, state=state)
    assert equal(weights(done.model), weights(ours.model))


def test_states_do_not_share_memory_with_the_learner_they_go_to() -> None:
    first = learner(optimizer=torch.optim.Adam, callbacks=[Stop(3)])
    state = interrupted(first, 2)
    before = digest(state)
    second = learner(optimizer=torch.optim.Adam)
    second.fit(2, state=state)
    assert digest(state) == before
    first.callbacks = []
    first.fit(1)
    assert digest(second.optimizer.state_dict()["state"]) != digest(first.optimizer.state_dict()["state"])
    assert digest(state) != before, "control: the state is the live one of the learner it came from, as torch's"


def test_a_lost_metrics_file_is_written_again(tmp_path: Path) -> None:
    expected, _ = whole("mlp", tmp_path / "whole")
    make, schedule = CASES["mlp"]
    damages = (Path.unlink, lambda p: p.write_bytes(b""), lambda p: p.write_bytes(p.read_bytes() + b'{"epoch": 2, "tra'))
    for i, damage in enumerate(damages):
        folder = tmp_path / str(i)
        folder.mkdir()
        state = interrupted(make(folder, [Stop(8)]), 3, schedule)
        damage(folder / "metrics.jsonl")
        done = make(folder, [])
        done.fit(3, schedule, state=state)
        assert (folder / "metrics.jsonl").read_bytes() == expected["metrics.jsonl"]


def test_a_second_fit_begins_its_own_metrics_and_choices(tmp_path: Path) -> None:
    ours = simple(tmp_path, [KeepBest(), EarlyStopping(patience=1)])
    ours.fit(2)
    ours.fit(3)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    assert len(ours.history) == 5
    best = ours.callbacks[1]
    assert isinstance(best, KeepBest)
    rows_of_second = ours.history[2:]
    assert -best.best == min(r["valid_loss"] for r in rows_of_second), "what an earlier fit found is no measure of this one"

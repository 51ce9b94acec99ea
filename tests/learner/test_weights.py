"""Weights from elsewhere fill the model wholly or not at all, and a file that is more than data is refused with nothing run."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from kit import cnn, equal, learner, mlp, weights
from torch import Tensor, nn

from rungbook.errors import DataError, UsageError
from rungbook.learner.weights import load_weights, read_weights


def other() -> dict[str, Tensor]:
    """Weights of the same architecture, drawn otherwise."""
    return {k: v.clone() for k, v in cnn(seed=5).state_dict().items()}


def test_all_of_them_are_loaded_and_counted() -> None:
    model, given = cnn(), other()
    assert not equal(weights(model), list(given.values())), "control: they were others"
    match = load_weights(model, given)
    assert equal(weights(model), list(given.values()))
    assert (match.tensors, match.parameters) == (len(given), sum(t.numel() for t in given.values()))
    assert str(match) == f"8 of 8 tensors, {match.parameters:,} parameters"


def test_counters_that_are_filled_in_are_not_counted() -> None:
    """Files from before batch norm counted its batches fill all but that number."""
    match = load_weights(cnn(), {k: v for k, v in other().items() if not k.endswith("num_batches_tracked")})
    assert str(match) == f"7 of 7 tensors, {match.parameters:,} parameters"


def renamed(given: dict[str, Tensor]) -> dict[str, Tensor]:
    return {("6.weigth" if k == "6.weight" else k): v for k, v in given.items()}


def missing(given: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in given.items() if k != "1.running_mean"}


def reshaped(given: dict[str, Tensor]) -> dict[str, Tensor]:
    return given | {"6.weight": torch.zeros(10, 64), "6.bias": torch.zeros(10)}


def left_over(given: dict[str, Tensor]) -> dict[str, Tensor]:
    return given | {"7.weight": torch.zeros(3)}


def counters_missing(given: dict[str, Tensor]) -> dict[str, Tensor]:
    """As old files are, from before batch norm counted its batches; a weight is wrong besides."""
    return {k: v for k, v in renamed(given).items() if not k.endswith("num_batches_tracked")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed, r'fit 7 of 8 tensors\. "6\.weight" is missing; the file has "6\.weigth"\. Rename the keys'),
        (counters_missing, r'fit 6 of 7 tensors\. "6\.weight" is missing; the file has "6\.weigth"\. Rename the keys'),
        (missing, r'fit 7 of 8 tensors\. "1\.running_mean" is missing\. Use weights of this very architecture'),
        (reshaped, r'fit 6 of 8 tensors\. "6\.weight" is \(10, 64\) in the file, \(2, 64\) in the model'),
        (left_over, r'fit 8 of 8 tensors\. "7\.weight" is in the file and not in the model'),
    ],
)
def test_a_poor_match_is_refused_and_changes_nothing(change: Any, message: str) -> None:
    model = cnn()
    before = weights(model)
    with pytest.raises(DataError, match=f"E303 resnet.pt {message}") as caught:
        load_weights(model, change(other()), name="resnet.pt")
    assert caught.value.exit_code == 3
    assert equal(before, weights(model))


def test_control_torch_says_nothing() -> None:
    """With `strict=False`, as many programs load, one renamed key leaves the layer as it was drawn."""
    model = cnn()
    before = model[6].weight.detach().clone()
    model.load_state_dict(renamed(other()), strict=False)
    assert before.equal(model[6].weight)


@pytest.mark.parametrize(
    "form", ["safetensors", "torch zip", "torch legacy", "inside a checkpoint", "from DataParallel", "with parameters"]
)
def test_files_of_every_kind(form: str, tmp_path: Path) -> None:
    given = other()
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pt")
    if form == "safetensors":
        safetensors.torch.save_file(given, path)
    elif form == "torch zip":
        torch.save(given, path)
    elif form == "torch legacy":
        torch.save(given, path, _use_new_zipfile_serialization=False)
    elif form == "inside a checkpoint":
        torch.save({"state_dict": given, "epoch": 3, "optimizer": {"lr": 0.1}}, path)
    elif form == "from DataParallel":
        torch.save({f"module.{k}": v for k, v in given.items()}, path)
    else:
        torch.save({k: nn.Parameter(v) if v.is_floating_point() else v for k, v in given.items()}, path)
    model = cnn()
    load_weights(model, read_weights(path))
    assert equal(weights(model), list(given.values()))


class Canary:
    """What a hostile file holds: unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("form", ["pickle", "torch zip", "torch legacy", "among weights", "named safetensors"])
def test_a_pickle_is_refused_and_nothing_is_run(form: str, tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / ("w.safetensors" if form == "named safetensors" else "w.pt")
    content = other() | {"6.weight": Canary(canary)} if form == "among weights" else Canary(canary)
    if form in ("pickle", "named safetensors"):
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form != "torch legacy")
    with pytest.raises(UsageError, match=r"E302 .*nothing in it was run.*safetensors") as caught:
        read_weights(path)
    assert caught.value.exit_code == 2
    assert str(path) in str(caught.value)
    assert not canary.exists()
    if form == "pickle":
        pickle.loads(path.read_bytes())
    elif form != "named safetensors":
        torch.load(path, weights_only=False)
    else:
        return
    assert canary.exists(), "control: the careless way runs it"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02", b"not weights", bytes(100)])
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_damaged_files_are_refused(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match="E302"):
        read_weights(path)


def test_what_holds_no_tensors_and_what_is_not_there(tmp_path: Path) -> None:
    for content in ({"lr": 0.1}, [torch.zeros(3)], {}, {3: torch.zeros(2)}):
        torch.save(content, tmp_path / "w.pt")
        with pytest.raises(UsageError, match=r"E302 .* does not hold named tensors"):
            read_weights(tmp_path / "w.pt")
    with pytest.raises(UsageError, match="E105 There is no weights file"):
        read_weights(tmp_path / "none.pt")


def test_saved_weights_load_again(tmp_path: Path) -> None:
    model = mlp()
    model.append(nn.Linear(2, 2, bias=False))
    model[-1].weight = nn.Parameter(torch.eye(2).t())
    tied = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2))
    tied[1].weight = tied[0].weight
    for saved in (model, tied, cnn()):
        path = learner(saved).save(tmp_path / "weights")
        assert path == tmp_path / "weights.safetensors"
        again = copy.deepcopy(saved)
        for p in again.parameters():
            p.data.zero_()
        load_weights(again, read_weights(path))
        assert equal(weights(again), weights(saved))


def test_where_weights_cannot_be_saved_is_said_with_its_remedy(tmp_path: Path) -> None:
    import shlex
    import subprocess

    ours, wanted = learner(), tmp_path / "my models" / "w.safetensors"
    with pytest.raises(UsageError, match=r"E105 There is no folder .*my models for w.safetensors") as missing_folder:
        ours.save(wanted)
    command = shlex.split(missing_folder.value.fix.removeprefix("Make it first: "))
    subprocess.run(command, check=True)
    assert ours.save(wanted) == wanted, "the fix works as it stands"
    (tmp_path / "a.b").mkdir()
    with pytest.raises(UsageError, match=r"E202 .*a\.b is a folder") as folder:
        ours.save(tmp_path / "a.b")
    assert ours.save(folder.value.fix.removeprefix("Try ")).is_file()
    with pytest.raises(UsageError, match="E202"):
        ours.save("")


def test_a_place_that_cannot_be_written_names_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from rungbook.errors import EnvironmentProblem
    from rungbook.learner import checkpoint

    def refused(*_: Any) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(checkpoint, "write_bytes", refused)
    with pytest.raises(EnvironmentProblem, match=r"E405 .*Permission denied") as problem:
        learner().save(tmp_path / "w")
    assert "RUNG_RUNS" not in problem.value.fix

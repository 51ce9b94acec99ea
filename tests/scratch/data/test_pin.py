"""Pinned batches, and what is done where there is nothing to pin for."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import pytest
import torch

from rungbook.scratch.data import DataLoader, TensorDataset, loader, pin

pytestmark = pytest.mark.filterwarnings("ignore:.*worker processes")
Point = namedtuple("Point", ["x", "y"])


class Marked:
    """Something with its own way to be pinned."""

    def __init__(self, pinned: bool = False) -> None:
        self.pinned = pinned

    def pin_memory(self) -> Marked:
        return Marked(True)


def test_whole_batches_are_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self + 100)
    x = torch.zeros(1)
    got = pin.pin_memory({"a": [x, "text", b"bytes"], "p": Point(x, 3), "t": (x,), "own": Marked(), "none": None})
    assert (got["a"][0].item(), *got["a"][1:]) == (100, "text", b"bytes")
    assert isinstance(got["p"], Point)
    assert (got["p"].x.item(), got["p"].y, got["t"][0].item()) == (100, 3, 100)
    assert isinstance(got["t"], tuple)
    assert got["own"].pinned
    assert got["none"] is None


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is an accelerator here")
@pytest.mark.parametrize("workers", [0, 2])
def test_without_an_accelerator(workers: int) -> None:
    batches = DataLoader(TensorDataset(torch.arange(6)), batch_size=3, pin_memory=True, num_workers=workers)
    with pytest.warns(UserWarning, match="no accelerator"):
        assert [b[0].tolist() for b in batches] == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("stop_early", [False, True])
def test_the_thread_pins_in_order_and_ends(monkeypatch: pytest.MonkeyPatch, stop_early: bool) -> None:
    """The thread itself, with a stand-in for pinning, so that it is tested where there is nothing to pin for."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self + 100)
    monkeypatch.setattr(torch.accelerator, "set_device_index", lambda index: None)
    monkeypatch.setattr(torch.accelerator, "current_device_index", lambda: 0)
    monkeypatch.setattr(loader, "_pins", lambda _: True)
    epoch: Any = iter(DataLoader(TensorDataset(torch.arange(40)), batch_size=4, num_workers=2))
    thread, workers = epoch.pinning.thread, list(epoch.pool.workers)
    seen = [next(epoch)[0].tolist()] if stop_early else [b[0].tolist() for b in epoch]
    assert seen == [list(range(i + 100, i + 104)) for i in range(0, 4 if stop_early else 40, 4)]
    del epoch
    assert not thread.is_alive()
    assert not any(w.is_alive() for w in workers)


def test_errors_come_through_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no memory to pin")

    monkeypatch.setattr(torch.Tensor, "pin_memory", broken)
    monkeypatch.setattr(torch.accelerator, "set_device_index", lambda index: None)
    monkeypatch.setattr(torch.accelerator, "current_device_index", lambda: 0)
    monkeypatch.setattr(loader, "_pins", lambda _: True)
    with pytest.raises(RuntimeError, match="no memory to pin"):
        list(DataLoader(TensorDataset(torch.arange(4)), num_workers=1))


@pytest.mark.gpu
@pytest.mark.parametrize("workers", [0, 2])
def test_on_an_accelerator(workers: int) -> None:
    if not torch.accelerator.is_available():
        pytest.skip("there is no accelerator here")
    batches = list(DataLoader(TensorDataset(torch.arange(60.0)), batch_size=5, pin_memory=True, num_workers=workers))
    assert all(b[0].is_pinned() for b in batches)
    assert torch.cat([b[0] for b in batches]).tolist() == list(range(60))
    assert torch.equal(batches[1][0].to(torch.accelerator.current_accelerator(), non_blocking=True).cpu(), torch.arange(5.0, 10.0))

"""Every part by hand has a size at which its cost is measured, and recording costs leaves the counts of cases alone; nothing is timed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import torch

from rungbook.scratch.twins import TWINS

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

bench_parts = importlib.import_module("bench_parts")  # scripts beside the library, no packages
Row = importlib.import_module("common").Row
part_sizes, without_size = bench_parts.part_sizes, bench_parts.without_size

NAMES = [cls.__name__ for cls in TWINS]


def test_every_row_has_a_size() -> None:
    assert not without_size(NAMES, part_sizes()), "give them a size in benchmarks/part_sizes.py"


def test_every_size_is_of_a_row() -> None:
    assert set(part_sizes()) <= set(NAMES)


def test_a_row_without_a_size_stops_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unheard(torch.nn.Module):
        pass

    monkeypatch.setitem(TWINS, Unheard, Unheard)
    with pytest.raises(SystemExit, match=r"no size in part_sizes.py for Unheard$"):
        bench_parts.contestants()


def test_every_size_fits_its_part() -> None:
    sizes = part_sizes()
    for cls in TWINS:
        size = sizes[cls.__name__]
        torch.manual_seed(0)
        try:
            cls(*size.make, **size.options)(*size.inputs())
        except (TypeError, ValueError, RuntimeError) as e:
            pytest.fail(f"{cls.__name__}: {e}")


def test_all_optimisers_that_torch_has_are_timed() -> None:
    found = bench_parts.optimisers()
    assert {"SGD", "Adam", "LBFGS", "SparseAdam"} <= set(found)
    assert not {"Lion", "LAMB", "StatefulOptimizer", "lr_scheduler"} & set(found)


def test_parts_that_differ_are_not_timed() -> None:
    runs = {"torch": lambda: [torch.ones(3)], "ours": lambda: [torch.tensor([1.0, 1.0, 1.01])]}
    with pytest.raises(AssertionError, match=r"nn\.Wrong, result 0"):
        bench_parts.check("nn.Wrong", runs)


def test_costs_lie_beside_what_is_there() -> None:
    before = {
        "torch": "2",
        "other": 1,
        "parts": {"tape.add": {"passed": 4}, "nn.Linear": {"passed": 3, "listed": {"why": 1}, "cost": [9, 9, 9]}},
    }
    rows = {"nn.Linear": Row("ours", 0.1, 1.23456, 1.0, 2.0, 1.2, 7), "optim.Adam": Row("ours", 0.1, 0.5, 0.25, 1.0, 0.5, 7)}
    after = bench_parts.with_costs(before, rows, {"cores": 2})
    assert after == {
        "torch": "2",
        "other": 1,
        "machine": {"cores": 2},
        "parts": {
            "tape.add": {"passed": 4},
            "nn.Linear": {"passed": 3, "listed": {"why": 1}, "cost": [1.235, 1.0, 2.0]},
            "optim.Adam": {"cost": [0.5, 0.25, 1.0]},
        },
    }
    assert before["parts"]["nn.Linear"]["cost"] == [9, 9, 9]

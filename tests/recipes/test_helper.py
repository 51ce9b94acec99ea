"""The helper does what this process would do, bit for bit; without it, or when it dies, nothing changes; nothing of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest
from beside_work import gone, loaded, unlucky, whose

from rungbook.data.data import Data
from rungbook.data.named import named_data
from rungbook.data.tabular import table_data
from rungbook.recipes import helper
from rungbook.recipes.baseline import baselines, beside
from rungbook.recipes.helper import Helper, each, helping

ME = os.getpid()


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of one core has no helper; what it does is tested there too."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)


@pytest.fixture(scope="module")
def working() -> Iterator[Helper]:
    """A helper for all tests that leave it alive; Ctrl-C has reached it in its first moment."""
    made = Helper()
    os.kill(made.pid, signal.SIGINT)
    yield made
    made.end()


@pytest.fixture
def helped(working: Helper, monkeypatch: pytest.MonkeyPatch) -> Helper:
    monkeypatch.setattr(helper, "_helper", working)
    return working


def test_work_is_done_there_in_order_without_torch(helped: Helper) -> None:
    assert list(each(whose, [1, 2])) == [helped.pid] * 2
    assert list(each(loaded, ["sklearn.ensemble", "torch"])) == [True, False]
    assert list(each(unlucky, range(5))) == [0, 1, 2, 3, 4]
    assert list(each(unlucky, [])) == []


def test_what_fails_there_fails_here_with_its_message(helped: Helper) -> None:
    answers = each(unlucky, [1, 13, 2])
    assert next(answers) == 1
    with pytest.raises(ValueError, match="13 cannot be done"):
        next(answers)
    helped.take()  # what the third gave
    assert list(each(whose, [0])) == [helped.pid]


def test_one_lot_at_a_time(helped: Helper) -> None:
    first, second = each(whose, [1, 2]), each(whose, [1])
    assert list(second) == [ME]
    assert list(first) == [helped.pid] * 2


def test_what_cannot_be_sent_is_done_here(helped: Helper) -> None:
    assert list(each(lambda item: os.getpid(), [1])) == [ME]
    assert list(each(whose, [1])) == [helped.pid]


def table(target: str) -> Data:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"n{i}": rng.normal(size=300) for i in range(3)}).assign(c=rng.choice(["p", "q"], 300))
    frame["y"] = frame["n0"] * 2 + (frame["c"] == "p") + rng.normal(0, 0.1, 300)
    frame["k"] = np.where(frame["n1"] + rng.normal(size=300) > 0.5, "yes", "no")
    return table_data(frame[["n0", "n1", "n2", "c", target]], target=target, name="t")


def texts() -> Data:
    rng = np.random.default_rng(0)
    words = np.array([f"word{chr(97 + i)}" for i in range(16)])
    label = rng.integers(0, 2, 200)
    said = [" ".join([*rng.choice(words, 8), "wonderful" if v else "dreadful"]) for v in label]
    return table_data(pd.DataFrame({"t": said, "y": np.where(label, "good", "bad")}), target="y", name="t")


CASES: dict[str, Callable[[], Data]] = {
    "numbers": lambda: table("y"),
    "classes": lambda: table("k"),
    "texts": texts,
    "images": lambda: named_data("digits", valid=0.1, test=0.1),
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_baselines_bit_for_bit(case: str, helped: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    data = CASES[case]()
    there = list(beside([data], seed=3))
    monkeypatch.setattr(helper, "_helper", None)
    assert there == [baselines(data, seed=3)]


def test_the_helper_is_what_fits(helped: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    from rungbook.recipes import fits

    monkeypatch.setattr(fits, "TREES", 1)  # here only
    data = table("y")
    there = baselines(data)
    monkeypatch.setattr(helper, "_helper", None)
    assert baselines(data)["random_forest"] != there["random_forest"]


def test_a_helper_that_dies_is_not_missed() -> None:
    with helping() as made:
        assert made is not None
        answers = each(whose, [1, 2])
        os.kill(made.pid, signal.SIGKILL)
        assert list(answers) == [ME, ME]
        assert list(each(whose, [1])) == [ME], "nor is it asked again"


def test_no_process_is_left() -> None:
    with helping() as made:
        assert made is not None
        assert not gone(made.pid, 0.1)
    assert gone(made.pid)
    with pytest.raises(KeyboardInterrupt), helping() as made:
        raise KeyboardInterrupt
    assert made is not None
    assert gone(made.pid)
    assert list(each(whose, [1])) == [ME]


def test_a_single_core_and_a_machine_that_starts_no_process_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Helper) -> None:
        raise BlockingIOError("no more processes")

    with monkeypatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
        with helping() as made:
            assert made is None
            assert list(each(whose, [1])) == [ME]
    monkeypatch.setattr(Helper, "__init__", refuse)
    with helping() as made:
        assert made is None
        assert list(each(whose, [1])) == [ME]


def test_the_helper_of_a_killed_process_ends() -> None:
    code = "import time\nfrom rungbook.recipes.helper import Helper\nprint(Helper().pid, flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid, 0.1)
        parent.kill()
    assert gone(pid)


def test_a_training_on_every_core_leaves_none_for_it(helped: Helper) -> None:
    data = named_data("iris", valid=0.2, test=0.2)
    later = beside([data], threads=2)
    assert helped.give(whose, [1]), "it has nothing to do"
    assert helped.take() == (True, helped.pid)
    assert next(later) == baselines(data, threads=2)

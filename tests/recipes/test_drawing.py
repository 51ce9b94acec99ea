"""A report's pictures are drawn by the helper, with the same bytes as here; the process that trains does not load matplotlib for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rungbook.plot.curves import curve
from rungbook.plot.style import Picture
from rungbook.recipes import drawing, helper
from rungbook.recipes.drawing import drawn
from rungbook.recipes.helper import Helper
from rungbook.recipes.report import ReportFacts, StudyFacts, render

HISTORY = [{"epoch": i, "step": i, "lr": 0.1 / i, "train_loss": 1 / i, "valid_loss": 1.2 / i} for i in (1, 2, 3)]
rng = np.random.default_rng(0)
FACTS = {
    "a training": ReportFacts(
        "r",
        test={"accuracy": 0.5},
        baselines={"majority": {"accuracy": 0.4}},
        history=HISTORY,
        rates=lambda position: 1 - position,
        truth=rng.integers(0, 3, 40),
        prediction=rng.dirichlet(np.ones(3), 40),
        classes=("a", "b", "c"),
    ),
    "a study": ReportFacts(
        "s",
        study=StudyFacts(
            "Why?", "c", ["", "test"], [["v", "1"]], pictures=[partial(curve, HISTORY, "loss"), Picture("<svg/>", "drawn already")]
        ),
    ),
}


@pytest.fixture(scope="module")
def working() -> Iterator[Helper]:
    made = Helper()
    yield made
    made.end()


@pytest.mark.parametrize("kind", FACTS)
def test_the_same_page_with_and_without_a_helper(kind: str, working: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    here = render(FACTS[kind])
    drawn_there: list[bool] = []

    def take(self: Helper, take: Callable[[Helper], tuple[bool, Any]] = Helper.take) -> tuple[bool, Any]:
        done, picture = take(self)
        drawn_there.append(done)
        return done, picture

    monkeypatch.setattr(helper, "_helper", working)
    monkeypatch.setattr(Helper, "take", take)
    assert render(FACTS[kind]) == here
    assert drawn_there == [True] * here.count("<svg "), "each picture but the one that was drawn already comes from the helper"


def test_what_is_bulky_is_drawn_here(working: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper, "_helper", working)
    content: dict[str, Any] = {"who": partial(os.getpid), "sums": [partial(np.sum, np.ones(3)), "text"]}
    assert drawn(content) == {"who": working.pid, "sums": [3.0, "text"]}
    monkeypatch.setattr(drawing, "BULKY", 8)
    assert drawn(content) == {"who": os.getpid(), "sums": [3.0, "text"]}


def test_a_training_does_not_load_matplotlib(tmp_path: Path) -> None:
    """And, as the control, without a helper it does, and writes the same pictures."""
    code = (
        "import atexit, os, sys\n"
        "if __name__ == '__main__':\n"
        "    os.sched_getaffinity = lambda _, cores=set(range(int(sys.argv.pop()))): cores\n"
        "    atexit.register(lambda: print('loaded', 'matplotlib' in sys.modules, file=sys.stderr))\n"
        "    from rungbook.cli.main import main\n"
        "    main()\n"
    )
    (tmp_path / "run.py").write_text(code)
    pages = []
    for cores, loads in (("2", "False"), ("1", "True")):
        command = [sys.executable, str(tmp_path / "run.py"), "train", "line", "epochs=2", "threads=1", "--json", cores]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "RUNG_RUNS": str(tmp_path / cores)})
        assert f"loaded {loads}" in done.stderr
        page = (Path(json.loads(done.stdout.splitlines()[-1])["run"]) / "report.html").read_text()
        pages.append(page[page.index('<section aria-labelledby="training">') : page.index('id="made"')])
    assert pages[0] == pages[1]

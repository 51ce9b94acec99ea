"""Nothing that is opened as weights, checkpoint or run can run code, write, reach the network, or eat memory and time.

Each hostile file is opened in a process of its own with limited memory, and must be refused with a code within a second and 100 MB.
The controls: the naive way runs what is hidden (so the traps work), and honest files open.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from malicious_files import WEIGHTS, Case
from malicious_runs import CHECKPOINTS, RUNS, control, good_weights

CASES: dict[str, Case] = {**WEIGHTS, **CHECKPOINTS, **RUNS}
SECONDS, MEGABYTES = 1.0, 100.0
CODES = {
    "weights": {"E105": 2, "E302": 2, "E303": 3},
    "checkpoint": {"E301": 3, "E304": 4},
    "run": {"E201": 2, "E204": 2, "E301": 3},
    "record": {"E204": 2},
}
"""Codes a refusal may have, with their exit codes."""

Results = dict[str, dict[str, Any]]


def open_all(requests: list[tuple[str, str, Path]]) -> Results:
    """What happened to each file; one process for all, a fork for each."""
    script = Path(__file__).with_name("open_files.py")
    result = subprocess.run(
        [sys.executable, str(script)],
        input=json.dumps([(name, how, str(path)) for name, how, path in requests]),
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Every hostile file opened by rungbook; those that run code also the naive way, "naive: ..."; and the honest ones, "honest: ..."."""
    requests, canaries = [], {}
    for name, case in CASES.items():
        for title, how in [(name, case.how), *([(f"naive: {name}", "naive")] if case.live else [])]:
            canaries[title] = tmp_path_factory.mktemp("canary") / "it_ran"
            requests.append((title, how, case.write(tmp_path_factory.mktemp("case"), canaries[title])))
    folder = tmp_path_factory.mktemp("honest")
    run = control(folder)
    honest = {"weights": good_weights(folder), "run": run, "record": run, "checkpoint": run / "checkpoints" / "final"}
    requests += [(f"honest: {how}", how, path) for how, path in honest.items()]
    found = open_all(requests)
    return {name: {**found[name], "path": path, "ran": name in canaries and canaries[name].exists()} for name, _, path in requests}


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_and_nothing_runs(results: Results, name: str) -> None:
    result, how = results[name], CASES[name].how
    assert not result["ran"], "code out of the file ran"
    assert result["deeds"] == []
    assert result["outcome"] == "refused", result
    assert CODES[how].get(result["code"]) == result["exit"], result
    assert result["seconds"] < SECONDS
    assert result["megabytes"] < MEGABYTES
    assert result["fix"]
    if how == "weights":
        assert result["path"].name in result["message"]


def test_there_are_enough_of_each() -> None:
    assert len(CASES) == len(WEIGHTS) + len(CHECKPOINTS) + len(RUNS) >= 100  # no name hides another


def test_the_naive_way_runs_them(results: Results) -> None:
    naive = {name: result["ran"] for name, result in results.items() if name.startswith("naive: ")}
    assert len(naive) >= 20
    assert [name for name, ran in naive.items() if not ran] == []


@pytest.mark.parametrize("how", ["weights", "run", "record", "checkpoint"])
def test_honest_files_open(results: Results, how: str) -> None:
    result = results[f"honest: {how}"]
    assert result["outcome"] == "opened", result
    assert result["deeds"] == []

"""Studies and contrasts: the same samples for every variant, one figure a seed, a table and a report, done again where stopped."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from rich.console import Console

import rungbook
from rungbook.errors import DataError, EnvironmentProblem, UsageError
from rungbook.recipes import prepare, session
from rungbook.recipes.contrast import Contrast
from rungbook.recipes.ending import Stopped
from rungbook.recipes.once import train_once
from rungbook.recipes.recipe import RECIPES, recipe
from rungbook.recipes.runs import all_runs, find_run
from rungbook.recipes.settings import Count, Rate, Reported
from rungbook.recipes.study import Found, Say, Study, gather

SEEN: list[int] = []
"""Seeds the counting study was asked for."""


@pytest.fixture(scope="module", autouse=True)
def own_recipes() -> Iterator[None]:
    """Two recipes of the tests' own, taken off the table afterwards."""
    before = dict(RECIPES)

    @recipe("width_test")
    @dataclass(frozen=True, kw_only=True)
    class Width(Contrast):
        """Does a wider layer help?"""

        variants: ClassVar[dict[str, dict[str, Any]]] = {"2 units": {"hidden": (2,)}, "64 units": {"hidden": (64,)}}
        reported: ClassVar[tuple[Reported, ...]] = (Reported(0.9, "accuracy", "a course", variant="64 units", fault="S1-3"),)
        data: str = "digits"
        model: str = "mlp"
        hidden: tuple[int, ...] = (8,)
        epochs: Count | None = 2
        lr: Rate = 1e-2
        seeds: Count = 2

    @recipe("count_test")
    @dataclass(frozen=True, kw_only=True)
    class Counting(Study):
        """How far does it count?"""

        metric: ClassVar[str] = "mean_squared_error"
        split: ClassVar[str] = "fit"
        fits: ClassVar[tuple[str, ...]] = ("digits", "world:line")
        data: str = "digits"
        fail: bool = False
        wrong: str = ""

        def find(self, say: Say, *, pictures: bool = False) -> Found:
            SEEN.append(self.seed)
            say(f"counting from {self.seed}")
            if self.fail and len(SEEN) > 1:
                raise KeyboardInterrupt
            if self.wrong:
                raise DataError("E113", "no samples", "") if self.wrong == "data" else EnvironmentProblem("E401", "a full disk", "")
            errors = {"far": {"fit": {self.metric: 10.0 + self.seed}}, "near": {"fit": {self.metric: 1.0 + self.seed}}}
            return Found(errors, 100, {"name": "digits", "fingerprint": "f", "test": "t", "facts": {}}, sentences=[f"seed {self.seed}"])

    yield
    RECIPES.clear()
    RECIPES.update(before)


def made(name: str, **settings: Any) -> Any:
    return RECIPES[name](**settings)


def carry_out(study: Any) -> tuple[dict[str, Any], str]:
    out = io.StringIO()
    return session.train(study, label=study.name, console=Console(file=out, width=100)), out.getvalue()


def test_a_contrast_trains_each_variant_as_the_recipe_it_is() -> None:
    study = made("width_test", seeds=1, seed=5)
    found = study.find(lambda line: None)
    assert list(found.results) == ["2 units", "64 units"]
    assert set(found.results["2 units"]) == {"train", "valid", "test"}
    assert found.results["64 units"] == train_once(replace(study, hidden=(64,))).scores()
    assert found.results["2 units"]["train"]["accuracy"] < found.results["64 units"]["train"]["accuracy"]
    assert found.samples == 180
    assert {"majority", "random_forest"} <= set(found.baselines)
    assert found.pictures == []


def test_the_run_of_a_contrast() -> None:
    result, text = carry_out(made("width_test"))
    run = find_run(result["run"])
    record = run.record()
    assert (record["status"], record["headline"], record["looks"]) == ("finished", "accuracy", 2)
    figure = record["result"]["variants"]["64 units"]["test"]["accuracy"]
    assert len(figure["values"]) == 2
    assert figure["mean"] == pytest.approx(sum(figure["values"]) / 2)
    assert result["test"]["accuracy"] == record["result"]["variants"]["2 units"]["test"]["accuracy"]["mean"], (
        "the first variant stands for it"
    )
    for words in ("Does a wider layer help?", "2 units", "64 units", "±", "random forest", "a course reports", "S1-3", "seed=2"):
        assert words in text, words
    page = (run.path / "report.html").read_text()
    assert "What was found" in page
    assert page.count("<svg") == 3, "the variants side by side, and the loss curves of each"
    assert "<script" not in page
    with pytest.raises(UsageError, match="compared variants") as error:
        rungbook.load(run)
    assert error.value.code == "E204"


def test_the_record_says_with_how_many_threads_it_was_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    threads = {"small": carry_out(made("width_test", seeds=1))[0]["run"]}
    monkeypatch.setattr(prepare, "SMALL_BATCH", 0.0)
    threads |= {"large": carry_out(made("width_test", seeds=1))[0]["run"]}
    threads |= {"as told": carry_out(made("width_test", seeds=1, threads=3))[0]["run"]}
    assert {size: find_run(run).record()["threads"] for size, run in threads.items()} == {"small": 1, "large": 2, "as told": 3}


def test_the_same_seed_gives_the_same_figures() -> None:
    first, again = (made("width_test", seeds=1).find(lambda line: None).results for _ in range(2))
    assert first == again
    assert made("width_test", seeds=1, seed=1).find(lambda line: None).results != first


def test_what_varies_cannot_be_set() -> None:
    with pytest.raises(UsageError, match="hidden is what width_test compares") as error:
        made("width_test", hidden=(5,)).check()
    assert error.value.fix == "Leave out hidden=..."
    made("width_test", lr=0.1).check()


def test_a_study_is_given_data_it_is_made_for() -> None:
    with pytest.raises(UsageError, match="count_test asks its question of certain data; iris is none of it") as error:
        carry_out(made("count_test", data="iris"))
    assert error.value.fix == "These fit: data=digits, data=world:line."
    made("count_test", data="world:line(noise=0.5)").check()


def test_every_seed_is_done_once_and_chance_is_told_from_difference() -> None:
    SEEN.clear()
    result, text = carry_out(made("count_test", seed=3, seeds=4))
    assert SEEN == [3, 4, 5, 6]
    assert result["fit"]["mean_squared_error"] == pytest.approx(10 + 4.5)
    assert gather([made("count_test", seed=1).find(lambda line: None)])["near"]["fit"]["mean_squared_error"] == [2.0]
    assert "fit: judged on the samples it was fitted to" in text
    assert re.search(r"near .*better", text), text
    one, text = carry_out(made("count_test", seeds=1))
    assert "One seed shows no spread" in text
    assert one["variants"]["far"]["fit"]["mean_squared_error"]["sd"] == 0


def test_a_stopped_study_is_done_again_in_its_folder() -> None:
    SEEN.clear()
    with pytest.raises(Stopped) as stopped:
        carry_out(made("count_test", fail=True))
    run = stopped.value.run
    assert run.record()["status"] == "interrupted"
    assert session.newest_resumable().path == run.path
    SEEN[:] = []
    record = json.loads((run.path / "run.json").read_text())
    record["settings"]["fail"] = False
    (run.path / "run.json").write_text(json.dumps(record))
    out = io.StringIO()
    result = session.resume(run, changes={}, console=Console(file=out))
    assert Path(result["run"]) == run.path
    assert SEEN == [0, 1, 2]
    assert "done again" in out.getvalue()
    with pytest.raises(UsageError, match="is finished") as error:
        session.resume(run, changes={}, console=Console(file=out))
    assert "report.html" in error.value.fix


def test_a_study_that_cannot_be_done_is_not_offered_again() -> None:
    with pytest.raises(DataError):
        carry_out(made("count_test", wrong="data"))
    failed = all_runs()[-1]
    assert (failed.record()["status"], failed.record()["error"]["error"]) == ("failed", "E113")
    with pytest.raises(UsageError, match="would fail again: no samples") as error:
        session.resume(failed, changes={}, console=Console(file=io.StringIO()))
    assert error.value.fix == "Start anew: rung train count_test"
    with pytest.raises(EnvironmentProblem):
        carry_out(made("count_test", wrong="disk"))
    assert session.newest_resumable().record()["status"] == "interrupted", "a disk can be emptied"


def test_a_study_done_again_keeps_its_settings() -> None:
    with pytest.raises(EnvironmentProblem):
        carry_out(made("count_test", wrong="disk", seeds=2))
    run = session.newest_resumable()
    with pytest.raises(UsageError, match="seeds was 2, now 5") as error:
        session.resume(run, changes={"seeds": 5, "seed": 0}, console=Console(file=io.StringIO()))
    assert error.value.code == "E204"
    assert error.value.fix == "Leave them out, or start a new run: rung train count_test seeds=5 wrong=disk"

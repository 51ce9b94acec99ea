"""`rung runs compare`: what a person reads, what a program reads, and a next command that can be typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Rung

TINY = "train mlp data=iris hidden=4"


@pytest.fixture
def trained(rung: Rung) -> list[str]:
    """Names of two trainings that differ in steps, seed 0."""
    rung.quick()
    return [Path(rung(f"{TINY} steps={steps} --json").json["run"]).name for steps in (2, 12)]


def test_one_seed_then_more(rung: Rung, trained: list[str]) -> None:
    a, b = trained
    alone = rung(f"runs compare {a} {b}")
    assert alone.code == 0
    assert "on the same 15 test samples" in alone.text
    assert "how the next seed would fare, this does not say" in alone.text
    assert "settings.steps 2 12" in alone.text
    assert "test.accuracy" in alone.text
    commands = rung(f"runs compare {a} {b} --json").json["commands"]
    assert len(commands) == 4
    assert alone.out.splitlines()[-1].strip() == commands[-1], "the next useful command comes last"
    for command in commands:
        assert rung(command.removeprefix("rung ") + " --json").code == 0, "and can be typed as it stands"

    both = rung(f"runs compare {a} {b}")
    assert "mean ± standard deviation over seeds 0, 1, 2" in both.text
    assert "3 seeds)." in both.text or "3 seeds." in both.text
    assert "test.accuracy" not in both.text, "the figure of one seed would be read as the answer"
    found = rung(f"runs compare {a} {b} --json").json
    assert found["seeds"] == [0, 1, 2]
    assert found["metric"] == "accuracy"
    assert found["comparison"]["paired"] is True
    assert found["comparison"]["n"] == 3
    values = [[s["test"]["accuracy"] for s in g["seeds"].values()] for g in found["groups"]]
    assert found["comparison"]["difference"] == pytest.approx(sum(values[0]) / 3 - sum(values[1]) / 3)
    assert found["comparison"]["words"] in both.text
    assert found["differences"]["settings.steps"] == [2, 12]


def test_nothing_to_compare_sample_by_sample(rung: Rung, trained: list[str]) -> None:
    a, b = trained
    (rung.runs / b / "test.safetensors").write_bytes(b"\xff" * 40)
    said = rung(f"runs compare {a} {b}")
    assert said.code == 0
    assert "one seed each cannot be compared" in said.text
    assert f"test.safetensors of {b} cannot be read" in said.text
    assert said.out.splitlines()[-1].strip().startswith("rung train mlp data=iris")
    assert rung(f"runs compare {a} {b} --json").json["comparison"] == {}
    assert rung(f"predict {b} --json").code != 70, "the model does not depend on it"


def test_unknown_run(rung: Rung) -> None:
    answer = rung("runs compare 1 2 --json")
    assert answer.code == 2
    assert answer.json["error"] == "E201"
    assert answer.json["fix"]

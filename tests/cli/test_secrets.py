"""Nothing of the user's environment gets into a run, a report or a crash report (RELIABILITY row 23)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tables
from commands import Rung

CANARY = "hunter2-c4n4ry"


@pytest.fixture
def secretive(rung: Rung, monkeypatch: pytest.MonkeyPatch) -> Rung:
    """A user with secrets wherever people keep them."""
    for i, name in enumerate(("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "WANDB_API_KEY", "PASSWORD", "DATABASE_URL", "MY_OWN_THING")):
        value = f"postgres://u:{CANARY}-{i}@host/db" if name == "DATABASE_URL" else f"{CANARY}-{i}"
        monkeypatch.setenv(name, value)
    return rung


def hits(folder: Path, word: str = CANARY) -> list[str]:
    """The files below a folder that hold a word."""
    return [str(p) for p in folder.rglob("*") if p.is_file() and word.encode() in p.read_bytes()]


def test_a_run_with_its_report_holds_no_secret(secretive: Rung) -> None:
    answer = secretive("train softmax_regression epochs=1 --json")
    assert answer.code == 0
    (run,) = secretive.runs.iterdir()
    assert (run / "report.html").stat().st_size > 20_000
    assert hits(secretive.runs) == []
    assert CANARY not in answer.out + answer.err
    (run / "planted.txt").write_text(f"x{CANARY}")
    assert hits(secretive.runs) == [str(run / "planted.txt")], "a hit would be seen"


def test_a_report_can_be_passed_on(rung: Rung) -> None:
    """It names the data, and not the folders above it."""
    rung.quick()
    import rungbook.recipes.judge as judge

    seen = []
    rung._patch.setattr(judge, "write_report", lambda path, facts: seen.append(facts))
    home = rung.here / "home" / CANARY
    home.mkdir(parents=True)
    tables.write(home / "t.csv", tables.rows())
    assert rung("train", f"./home/{CANARY}/t.csv", "--target", "ok", "epochs=1", "hidden=2").code == 0
    assert CANARY not in repr(seen[0])
    assert seen[0].settings["data"] == "t.csv"


@pytest.mark.parametrize("debug", [False, True])
def test_a_crash_report_holds_no_secret(secretive: Rung, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, debug: bool) -> None:
    """Even where the error's own message quotes the environment and the command."""
    import os

    argument = f"token={CANARY}-argument"

    def fail(*words: object, **settings: object) -> None:
        raise RuntimeError(f"broken with {os.environ['HF_TOKEN']}, {os.environ['DATABASE_URL']} and {argument}")

    monkeypatch.setattr("rungbook.recipes.session.train", fail)
    monkeypatch.setattr("sys.argv", ["rung", "train", "digits", argument])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    answer = secretive("train digits epochs=1" + " --debug" * debug)
    assert answer.code == 70
    assert "E701 RuntimeError inside rungbook: this is our fault, not yours" in answer.text
    (named,) = re.findall(r"report it with (\S+)", answer.text)
    report = Path(named)
    assert report.parent == tmp_path
    text = report.read_text()
    assert "RuntimeError: broken with [...]" in text
    assert "in fail" in text, "the place of the fault is there"
    assert '"torch": "2.' in text, "and the versions"
    assert hits(tmp_path) == []
    assert ("Traceback" in answer.err) == debug
    if not debug:
        assert CANARY not in answer.out + answer.err


def test_a_crash_report_that_cannot_be_written(rung: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rungbook.recipes.session.train", lambda *words, **settings: 1 / 0)
    monkeypatch.setattr("tempfile.tempdir", str(rung.here / "no"))
    answer = rung("train digits --json")
    assert answer.code == 70
    assert answer.json["error"] == "E701"
    assert "ZeroDivisionError: division by zero" in answer.err


def test_recorded_versions_are_an_allow_list(secretive: Rung) -> None:
    import json

    secretive.quick()
    assert secretive("train softmax_regression epochs=1").code == 0
    (run,) = secretive.runs.iterdir()
    record = json.loads((run / "run.json").read_text())
    assert set(record) == {
        *("format", "name", "created", "status", "recipe", "settings", "threads", "device", "versions", "data"),
        *("looks", "step", "headline", "result"),
    }
    assert set(record["versions"]) <= {"python", "torch", "numpy", "rungbook", "scikit-learn", "pandas"}

"""Data that has moved: a run is told the new place once, and only the same data is taken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pictures
import pytest
import tables
from commands import Rung

from rungbook.learner.learner import Learner


@pytest.fixture(autouse=True)
def moment(rung: Rung) -> Rung:
    rung.quick()
    return rung


def stopped(rung: Rung, monkeypatch: pytest.MonkeyPatch, command: str, at: int = 3) -> Path:
    """A run that somebody stopped."""
    with monkeypatch.context() as patch:
        fit = Learner.fit

        def cut(self: Learner, *args: object, **options: object) -> Learner:
            batches = self.train_feed.batches

            def some(*a: object, **k: object):  # type: ignore[no-untyped-def]
                for i, batch in enumerate(batches(*a, **k)):
                    if i == at:
                        self.request_stop()
                    yield batch

            self.train_feed.batches = some
            return fit(self, *args, **options)  # type: ignore[arg-type]

        patch.setattr(Learner, "fit", cut)
        answer = rung(command)
    assert answer.code == 5, answer.text
    return max(rung.runs.iterdir())


def result(run: Path) -> dict[str, dict[str, float]]:
    found = json.loads((run / "run.json").read_text())["result"]
    return {split: found[split] for split in ("valid", "test")}


def test_a_table_that_moved_while_its_run_was_stopped(rung: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    tables.write(rung.here / "t.csv", tables.rows(200))
    words = "--target ok epochs=2 hidden=2 batch_size=16"
    assert rung(f"train t.csv {words}").code == 0
    whole = result(max(rung.runs.iterdir()))
    run = stopped(rung, monkeypatch, f"train t.csv {words}")
    (rung.here / "elsewhere").mkdir()
    moved = (rung.here / "t.csv").rename(rung.here / "elsewhere" / "renamed.csv")
    lost = rung(f"resume {run.name} --json")
    assert (lost.code, lost.json["error"]) == (2, "E105")
    assert lost.json["fix"] == f"Where is it now? rung resume {run.name} data=PLACE"

    other = tables.write(rung.here / "other.csv", tables.rows(201))
    refused = rung(f"resume {run.name} data={other} --json")
    assert (refused.code, refused.json["error"]) == (3, "E117")
    assert json.loads((run / "run.json").read_text())["settings"]["data"] == str(rung.here / "t.csv"), "and not remembered"
    assert rung(f"resume {run.name} data=./elsewhere/renamed.csv lr=0.5 --json").json["error"] == "E204"

    answer = rung(f"resume {run.name} data=./elsewhere/renamed.csv")
    assert answer.code == 0, answer.text
    assert result(run) == whole, "it is the same run"
    record = json.loads((run / "run.json").read_text())
    assert (record["settings"]["data"], record["data"]["name"]) == (str(moved), "t")
    assert rung(f"eval {run.name}").code == 0, "the place was said once"


def test_a_folder_that_moved_after_its_run_was_finished(rung: Rung) -> None:
    folder = pictures.folder(rung.here / "p", each=14)
    assert rung("train ./p epochs=1 widths=4 image_size=8").code == 0
    (run,) = rung.runs.iterdir()
    shutil.move(folder, rung.here / "q")
    lost = rung(f"eval {run.name} --json")
    assert (lost.code, lost.json["error"]) == (2, "E105")
    assert lost.json["fix"] == f"Where is it now? rung eval {run.name} data=PLACE"
    found = rung(f"eval {run.name} data=./q --json")
    assert found.code == 0, found.text
    assert found.json["test"] == result(run)["test"]
    assert found.json["looks"] == 2, "it is the same test part, looked at again"
    assert rung(f"eval {run.name} --json").json["test"] == found.json["test"]
    pictures.save(rung.here / "q" / "cat" / "new.png", pictures.photo(77))
    changed = rung(f"eval {run.name} data=./q --json")
    assert (changed.code, changed.json["error"]) == (3, "E117")
    assert "rung eval" in changed.json["fix"]
    assert rung(f"eval {run.name} data=./nowhere --json").json["error"] == "E105"

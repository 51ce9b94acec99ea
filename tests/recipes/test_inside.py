"""`init=lsuv` and `watch=true` on any recipe: what they do, that they are exact, what they exclude."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Rung
from rich.console import Console

from rungbook.errors import UsageError
from rungbook.learner.callback import Callback
from rungbook.learner.hooks import Hooks
from rungbook.learner.learner import Learner
from rungbook.plot.style import Picture
from rungbook.recipes import judge, session
from rungbook.recipes.contrast import Contrast
from rungbook.recipes.ending import Stopped
from rungbook.recipes.prepare import LSUV_SAMPLES, make_model, prepare_data
from rungbook.recipes.recipe import RECIPES, Recipe, load_recipes
from rungbook.recipes.report import ReportFacts, render

load_recipes()
covers = ["I04", "I13"]


@pytest.fixture(autouse=True)
def moment(rung: Rung) -> Rung:
    rung.quick()
    return rung


def recipe(**settings: Any) -> Recipe:
    return RECIPES["mlp"](**{"epochs": 1, **settings})


def train(**settings: Any) -> dict[str, Any]:
    return session.train(recipe(**settings), label="mlp", console=Console(file=io.StringIO()))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be drawn for each report, in place of the pictures."""
    records: list[Any] = []
    monkeypatch.setattr(judge, "activation_pictures", lambda found: records.append(found) or [])
    return records


def rows(result: dict[str, Any]) -> str:
    return (Path(result["run"]) / "metrics.jsonl").read_text()


def test_the_start_has_unit_variance_and_is_of_the_seed() -> None:
    data = prepare_data(recipe())
    x = data.one_batch(LSUV_SAMPLES)[0]
    found = {}
    for name, made in (
        ("plain", recipe()),
        ("lsuv", recipe(init="lsuv")),
        ("again", recipe(init="lsuv")),
        ("other", recipe(init="lsuv", seed=1)),
    ):
        model, _ = make_model(made, data)
        with torch.no_grad(), Hooks(model, lambda _, __, out: out.std().item(), layers=torch.nn.Linear) as hooks:
            model.eval()(x)
        found[name] = [h.found[0] for _, h in hooks.items()], [p.detach().clone() for p in model.parameters()]
    assert all(abs(s - 1) <= 0.021 for s in found["lsuv"][0])
    assert not all(abs(s - 1) <= 0.3 for s in found["plain"][0]), "control"
    assert all(torch.equal(a, b) for a, b in zip(found["lsuv"][1], found["again"][1], strict=True))
    assert not torch.equal(found["lsuv"][1][0], found["other"][1][0])


def test_a_watched_training_is_the_same(drawn: list[Any]) -> None:
    plain, watched, scaled = train(), train(watch=True), train(init="lsuv")
    assert rows(plain) == rows(watched) != rows(scaled)
    (records,) = drawn
    assert len(records) >= 3
    assert all(len(r.steps) > 3 for r in records.values())


def test_the_report_looks_inside() -> None:
    picture = Picture("<svg><title>a</title></svg>", "Histograms of 3 layers.")
    page = render(ReportFacts("run", activations=[picture]))
    assert "Inside the layers" in page
    assert "Histograms of 3 layers." in page
    assert "Inside the layers" not in render(ReportFacts("run"))


class StopsOnce(Callback):
    """Asks for a stop after seven steps."""

    def after_step(self, learner: Learner) -> None:
        if learner.step == 7:
            learner.request_stop()


def test_a_stopped_run_with_both_is_resumed_exactly(rung: Rung, drawn: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(epochs=2, init="lsuv", watch=True)
    attendants = session.attendants
    with monkeypatch.context() as patch:
        patch.setattr(session, "attendants", lambda work: [StopsOnce(), *attendants(work)])
        with pytest.raises(Stopped):
            train(epochs=2, init="lsuv", watch=True)
    resumed = rung("resume --json")
    assert resumed.code == 0, resumed.text
    assert rows(resumed.json) == rows(whole)
    assert drawn[0] == drawn[1]


def test_what_excludes_each_other(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"")
    with pytest.raises(UsageError, match="init=lsuv scales new weights"):
        recipe(init="lsuv", weights=str(weights)).check()
    with pytest.raises(UsageError, match="watch looks into the layers"):
        recipe(watch=True, compile=True).check()
    several = next(cls for cls in RECIPES.values() if issubclass(cls, Contrast) and cls.variants)
    with pytest.raises(UsageError, match="watch shows the layers of one training"):
        several(watch=True).check()


def test_both_are_off_and_named_on_the_command_line(rung: Rung) -> None:
    assert (recipe().init, recipe().watch) == (None, False)
    wrong = rung("train mlp init=lsvu --json")
    assert (wrong.code, wrong.json["error"]) == (2, "E202")
    assert json.dumps(wrong.json).count("lsuv")

"""Runs stand for their siblings; only what shares the test samples is compared; what cannot be said is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from scipy import stats

from rungbook.recipes.per_sample import FILE
from rungbook.recipes.recipe import find_recipe
from rungbook.recipes.runs import Run, create_run
from rungbook.recipes.siblings import compare_runs, group_of


@pytest.fixture(autouse=True)
def own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNG_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def make(accuracy: float | None, *, seed: int = 0, test: str = "", status: str = "finished", data: str = "digits", **settings: Any) -> Run:
    """A run folder as `rung train mlp` leaves it."""
    recipe = find_recipe("mlp")(data=data, seed=seed, **settings)
    result = {} if accuracy is None else {"test": {"accuracy": accuracy, "log_loss": 1 - accuracy}}
    return create_run(
        "mlp",
        {
            "recipe": "mlp",
            "settings": json.loads(json.dumps(recipe.settings())),
            "data": {"name": data, "fingerprint": f"f{seed}", "test": test or f"t{seed}"},
            "headline": "accuracy",
            "result": result,
            "status": status,
        },
    )


def keep(run: Run, right: list[int], order: str = "o") -> None:
    """Answers to the test samples, and the figure that they give."""
    tensors = {"right": torch.tensor(right, dtype=torch.uint8), "loss": torch.rand(len(right))}
    (run.path / FILE).write_bytes(safetensors.torch.save(tensors, {"samples": order}))
    run.update(result={"test": {"accuracy": sum(right) / len(right)}})


def test_siblings_differ_in_seed_and_speed_only() -> None:
    run = make(0.90, seed=0)
    make(0.91, seed=1, threads=2)
    make(0.92, seed=2, workers=1)
    make(0.10, seed=3, lr=0.5)
    make(0.20, seed=4, data="iris")
    make(None, seed=5, status="interrupted")
    make(0.30, seed=6, status="failed")
    make(0.50, seed=2)
    make(0.60, seed=0)
    group = group_of(run)
    assert group.values("accuracy", list(group.by_seed)) == [0.90, 0.91, 0.50], "of one seed itself, else the newest"
    assert list(group.by_seed) == [0, 1, 2]


def test_settings_that_came_later_count_with_their_default() -> None:
    run, old, other = make(0.9), make(0.8, seed=1), make(0.7, seed=2)
    for r, changes in ((old, {}), (other, {"lr": 0.25})):
        settings = {k: v for k, v in r.record()["settings"].items() if k != "ema"} | changes
        r.update(settings=settings)
    assert list(group_of(run).by_seed) == [0, 1]


def test_pairs_by_seed_decide() -> None:
    a, b = [0.95, 0.90, 0.97, 0.93], [0.93, 0.87, 0.95, 0.90]
    first = [make(v, seed=s) for s, v in enumerate(a)]
    second = [make(v, seed=s, lr=0.5) for s, v in reversed(list(enumerate(b)))]
    make(0.1, seed=9, lr=0.5)  # a seed that only one has
    found = compare_runs(first[2], second[0])
    assert found.seeds == [0, 1, 2, 3]
    assert found.comparison is not None
    expected = stats.ttest_rel(a, b).confidence_interval()
    assert (found.comparison.low, found.comparison.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert found.comparison.better == first[2].name
    assert not found.commands
    assert stats.ttest_ind(a, b).pvalue > 0.05, "the control: without the pairs it would not show"


def test_indistinguishable_runs_ask_for_more_seeds() -> None:
    runs = [make(v, seed=s) for s, v in enumerate((0.9, 0.8))] + [make(v, seed=s, epochs=7) for s, v in enumerate((0.8, 0.9))]
    found = compare_runs(runs[0], runs[2])
    assert found.comparison is not None
    assert not found.comparison.better
    assert set(found.commands) == {_recipe(r).command(seed=s) for r in (runs[0], runs[2]) for s in (2, 3, 4)}


def _recipe(run: Run) -> Any:
    from rungbook.recipes.recipe import restore_recipe

    record = run.record()
    return restore_recipe(record["recipe"], record["settings"])


def test_seeds_that_one_side_has_are_asked_of_the_other_first() -> None:
    first, second = make(0.9, seed=0), make(0.8, seed=0, epochs=7)
    make(0.9, seed=5)
    found = compare_runs(first, second)
    assert found.comparison is None
    assert set(found.commands) == {_recipe(second).command(seed=5), _recipe(first).command(seed=1), _recipe(second).command(seed=1)}
    assert "one seed each cannot be compared" in found.why


def test_one_seed_each_goes_by_samples() -> None:
    first, second = make(0.9), make(0.8, lr=0.5)
    keep(first, [1] * 60 + [0] * 10 + [1] * 30)
    keep(second, [1] * 60 + [1] * 2 + [0] * 38)
    found = compare_runs(first, second)
    assert found.comparison is not None
    assert found.comparison.unit == "sample"
    assert found.comparison.better == first.name
    assert found.comparison.p == pytest.approx(stats.binomtest(30, 32).pvalue)
    assert found.commands, "one seed each is not the last word"


@pytest.mark.parametrize("spoil", ["order", "length", "figure", "gone", "damaged"])
def test_samples_that_do_not_match_are_not_compared(spoil: str) -> None:
    first, second = make(0.9), make(0.8, lr=0.5)
    keep(first, [1] * 9 + [0])
    keep(second, [1] * 8 + [0] * (3 if spoil == "length" else 2), "p" if spoil == "order" else "o")
    if spoil == "figure":
        second.update(result={"test": {"accuracy": 0.95}})
    elif spoil == "gone":
        (second.path / FILE).unlink()
    elif spoil == "damaged":
        (second.path / FILE).write_bytes(b"x")
    found = compare_runs(first, second)
    assert found.comparison is None
    assert "not sample by sample either" in found.why
    assert len(found.commands) == 4


def test_other_data_and_other_samples_are_refused() -> None:
    run = make(0.9)
    assert "different data (digits, iris)" in compare_runs(run, make(0.8, data="iris")).why
    other = compare_runs(run, make(0.8, lr=0.5, test="changed"))
    assert other.comparison is None
    assert "different test samples" in other.why
    assert "not finished" in compare_runs(run, make(None, lr=0.1, status="interrupted")).why


def test_pairs_on_other_samples_do_not_count() -> None:
    first, second = make(0.9, seed=0), make(0.8, seed=0, lr=0.5)
    make(0.9, seed=1)
    make(0.1, seed=1, lr=0.5, test="changed")
    found = compare_runs(first, second)
    assert found.seeds == [0]
    assert found.comparison is None


def test_one_group() -> None:
    first, second = make(0.9, seed=0), make(0.95, seed=1)
    found = compare_runs(first, second)
    assert found.same
    assert found.comparison is None
    assert found.seeds == [0, 1]
    assert "chance" in found.why
    assert found.commands == [_recipe(first).command(seed=2)]
    assert "one run" in compare_runs(first, first).why


@pytest.mark.parametrize(
    "result", [{"test": []}, {"test": {"accuracy": "high"}}, {"test": {"accuracy": None}}, {"test": {"accuracy": 10**400}}, {}]
)
def test_strange_records_are_no_comparison(result: dict[str, Any]) -> None:
    first, second = make(0.9), make(0.8, lr=0.5)
    second.update(result=result)
    found = compare_runs(first, second)
    assert found.comparison is None
    assert found.why


def test_one_seed_on_changed_data_is_not_called_chance() -> None:
    run, again, other = make(0.9), make(0.7), make(0.7)
    other.update(data={**other.record()["data"], "fingerprint": "changed"})
    assert "versions, threads or device" in compare_runs(run, again).why
    assert "the data changed between them" in compare_runs(run, other).why

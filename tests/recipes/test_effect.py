"""Settings that would change nothing are refused with the reason; those that change something are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import tables
from commands import Rung

from rungbook.errors import UsageError
from rungbook.recipes.contrast import Contrast
from rungbook.recipes.effect import without_effect
from rungbook.recipes.prepare import prepare_data
from rungbook.recipes.recipe import RECIPES, Recipe, load_recipes

load_recipes()

IDLE: list[tuple[str, dict[str, Any], str]] = [
    ("mlp", {"data": "diabetes", "class_weights": "balanced"}, "class_weights"),
    ("mlp", {"data": "diabetes", "label_smoothing": 0.1}, "label_smoothing"),
    ("mlp", {"data": "diabetes", "momentum": 0.5}, "momentum"),
    ("mlp", {"data": "iris", "optimizer": "lion", "momentum": 0.5}, "momentum"),
    ("mlp", {"data": "iris", "epochs": 3, "swa": 0.25}, "swa"),
    ("mlp", {"data": "iris", "epochs": 2, "steps": 5}, "steps"),
    ("mlp", {"data": "world:line", "image_size": 32}, "image_size"),
    ("mlp", {"data": "iris", "tta": "flip"}, "tta"),
    ("mlp", {"data": "iris", "sizes": (4, 8)}, "sizes"),
    ("mlp", {"data": "iris", "channels_last": True}, "channels_last"),
    ("digits", {"mix_alpha": 0.4}, "mix_alpha"),
    ("digits", {"model": "mlp", "widths": (8,)}, "widths"),
    ("digits", {"model": "lenet", "image_size": 28, "dropout": 0.5}, "dropout"),
]
BUSY: list[tuple[str, dict[str, Any]]] = [
    ("mlp", {"data": "iris", "class_weights": "balanced", "label_smoothing": 0.1, "steps": 5, "hidden": (4,), "dropout": 0.5}),
    ("mlp", {"data": "diabetes", "optimizer": "sgd", "momentum": 0.5}),
    ("mlp", {"data": "iris", "optimizer": "muon", "momentum": 0.5, "epochs": 4, "swa": 0.25}),
    ("mlp", {"image_size": 12, "epochs": 2}),
    ("digits", {"widths": (8, 8), "epochs": None, "steps": 5}),
    ("lenet", {"model": "two_conv"}),
    (
        "digits",
        {"mix": "cutmix", "mix_alpha": 0.4, "sizes": (12, 16), "tta": "crop", "channels_last": True, "activation_checkpointing": True},
    ),
    ("mlp", {"data": "diabetes", "mix": "mixup"}),
]


def made(name: str, settings: dict[str, Any]) -> Recipe:
    recipe = RECIPES[name](**settings)
    assert isinstance(recipe, Recipe)
    return recipe


@pytest.mark.parametrize(("name", "settings", "idle"), IDLE)
def test_what_changes_nothing_is_found(name: str, settings: dict[str, Any], idle: str) -> None:
    recipe = made(name, {k: v for k, v in settings.items() if k != "image_size" or idle != "image_size"})
    data = prepare_data(recipe)
    assert list(without_effect(made(name, settings), data)) == [idle]
    assert not without_effect(made(name, {k: v for k, v in settings.items() if k != idle}), data), "without it all is well"


@pytest.mark.parametrize(("name", "settings"), BUSY)
def test_what_changes_something_is_not(name: str, settings: dict[str, Any]) -> None:
    recipe = made(name, settings)
    assert not without_effect(recipe, prepare_data(recipe))


def test_a_training_is_refused_before_it_begins(rung: Rung) -> None:
    tables.write(rung.here / "t.csv", [[*row[:3], str(row[3]) + "x"] for row in tables.rows()])
    for command, parts in (
        ("train mlp data=diabetes label_smoothing=0.1 class_weights=balanced", ("label_smoothing has no effect", "class_weights has no")),
        ("train t.csv --target ok log=true", ("log has no effect", "for numbers")),
        ("train t.csv --target ok image_size=32", ("image_size has no effect here: t has no images",)),
        ("train digits steps=10", ("epochs=15", "epochs=none")),
    ):
        answer = rung(command + " --json")
        assert (answer.code, answer.json["error"]) == (2, "E202"), answer.text
        for part in parts:
            assert part in answer.json["message"]
        assert answer.json["fix"].startswith("Leave out ")
    assert not rung.runs.exists() or not list(rung.runs.iterdir())


@dataclass(frozen=True, kw_only=True)
class Steps(Contrast):
    """Do two optimisers differ?"""

    variants: ClassVar[dict[str, dict[str, Any]]] = {"adam": {"optimizer": "adam"}, "sgd": {"optimizer": "sgd"}}
    with_baselines: ClassVar[bool] = False
    data: str = "iris"
    model: str = "softmax_regression"
    seeds: int = 1


def test_of_a_contrast_only_what_changes_nothing_in_any_variant() -> None:
    Steps(momentum=0.5, epochs=1).find(lambda line: None)
    with pytest.raises(UsageError, match="steps has no effect here: epochs=1 says how long"):
        Steps(steps=8, epochs=1).find(lambda line: None)

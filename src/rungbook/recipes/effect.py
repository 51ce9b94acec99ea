"""Settings that would change nothing: somebody who gave one expects something of it, and is told before a training takes its time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from rungbook.data.data import Data
from rungbook.errors import UsageError
from rungbook.models.registry import MODELS, model_entry
from rungbook.recipes.build import count_epochs
from rungbook.recipes.recipe import Recipe

OF_CLASSES = ("label_smoothing", "class_weights")
OF_NUMBERS = ("log", "ridge_share")
OF_IMAGES = ("image_size", "augment", "sizes", "tta", "channels_last")

WITH_MOMENTUM = ("sgd", "lars", "muon")


def without_effect(recipe: Recipe, data: Data) -> dict[str, str]:
    """Settings that differ from the recipe's defaults and yet change nothing here, each with the reason.

    Args:
        recipe: as it is to be trained.
        data: what it is trained on.
    """
    chosen = recipe.chosen()
    found: dict[str, str] = {}
    if data.task == "regression":
        found |= dict.fromkeys(OF_CLASSES, f'"{data.target.name}" is a number, and it is for classes')
    else:
        found |= dict.fromkeys(OF_NUMBERS, f'"{data.target.name}" has classes, and it is for numbers')
    if data.encoder is not None and data.encoder.kind != "image":
        found |= dict.fromkeys(OF_IMAGES, f"{data.name} has no images")
    if recipe.optimizer not in WITH_MOMENTUM:
        found["momentum"] = f"{recipe.optimizer} has its own; it is for optimizer={', '.join(WITH_MOMENTUM)}"
    if recipe.swa is not None and (epochs := count_epochs(recipe, data)) * recipe.swa < 1:
        found["swa"] = f"a share of {recipe.swa:g} of {epochs} epochs is less than one, and there is nothing to average"
    if recipe.mix is None:
        found["mix_alpha"] = "nothing is mixed; it is for mix=mixup, cutmix or both"
    if recipe.epochs is not None:
        found["steps"] = f"epochs={recipe.epochs} says how long; for steps say epochs=none"
    if "ridge_share" in chosen and recipe.model != "tabular_mlp":
        found["ridge_share"] = f"the model {recipe.model} has no place for it; it is for tabular_mlp"
    takes = set(model_entry(recipe.model).parameters())
    common = {f.name for f in dataclasses.fields(Recipe)}
    if others := chosen - takes - common:  # seldom, and looking for them in every model loads them all
        of_models = {p for entry in MODELS.values() for p in entry.parameters()}
        found |= dict.fromkeys(others & of_models, f"the model {recipe.model} has no such part")
    return {name: reason for name, reason in found.items() if name in chosen}


def for_all(variants: Iterable[Recipe], data: Data, chosen: set[str]) -> dict[str, str]:
    """Those of the `chosen` settings that change nothing in any of the variants, each with the first one's reason."""
    each = [without_effect(variant, data) for variant in variants]
    return {name: reason for name, reason in each[0].items() if name in chosen and all(name in found for found in each)}


def refuse(found: dict[str, str]) -> None:
    """Raise UsageError E202 naming each setting that was found to change nothing, with its reason."""
    if found:
        listing = "; ".join(f"{name} has no effect here: {reason}" for name, reason in sorted(found.items()))
        raise UsageError("E202", f"{listing}.", f"Leave out {' and '.join(f'{name}=...' for name in sorted(found))}")

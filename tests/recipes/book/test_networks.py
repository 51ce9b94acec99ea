"""The networks' recipes: small forms are small, full forms are what course and paper have."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rungbook.models.registry import create_model, model_entry
from rungbook.recipes.book.few_images import FewImages
from rungbook.recipes.book.networks import Network
from rungbook.recipes.recipe import RECIPES, Recipe, load_recipes
from rungbook.recipes.settings import parse_settings

load_recipes()
NETWORKS = sorted(name for name, cls in RECIPES.items() if issubclass(cls, Network))


def settings_of(name: str, words: str = "") -> Any:
    cls = RECIPES[name]
    return cls(**parse_settings(cls, words.split()))


def parameters(recipe: Recipe, channels: int, classes: int) -> int:
    side = recipe.image_size or 32
    options = {"in_channels": channels, "num_classes": classes, "image_size": (side, side), **recipe.model_options()}
    with torch.device("meta"):
        return sum(p.numel() for p in create_model(recipe.model, **options).parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_small_form_is_small_and_the_full_form_is_not(name: str) -> None:
    cls: Any = RECIPES[name]
    small, full = settings_of(name), settings_of(name, cls.full)
    small.check()
    assert model_entry(small.model).inputs == "image"
    assert parameters(small, 3, 4) < 1_000_000
    assert parameters(full, 3, 10) > 5 * parameters(small, 3, 10) or name == "nin", "1 x 1 convolutions are few weights in any form"


@pytest.mark.parametrize(("name", "classes", "published"), [("vit", 2, 11_019_650), ("resnet", 2, 11_177_538)])
def test_full_forms_have_the_courses_numbers_of_parameters(name: str, classes: int, published: int) -> None:
    cls: Any = RECIPES[name]
    assert parameters(settings_of(name, cls.full), 3, classes) == published


def test_a_part_of_the_training_images(real_data: Any) -> None:
    recipe: FewImages = settings_of("resnet", "data=cifar10 train_samples=500")
    data = recipe.load()
    assert data.train.samples + data.valid.samples == 500
    assert data.test.samples == 1000

"""`augment=` of a recipe: off unless said, checked before any data is read, passed to images and refused for tables."""

from __future__ import annotations

from typing import Any

import pytest

from rungbook.data.augment.policy import RandAugment
from rungbook.errors import UsageError
from rungbook.recipes.effect import refuse, without_effect
from rungbook.recipes.recipe import Recipe, augmentation, find_recipe, restore_recipe
from rungbook.recipes.settings import parse_settings


def made(name: str, *words: str) -> Any:
    recipe = find_recipe(name)
    return recipe(**parse_settings(recipe, list(words)))


def test_off_by_default() -> None:
    """So lines measured before there was the setting stay valid."""
    assert made("digits").augment is None
    assert made("digits").load().train.augment is None
    assert Recipe.augment is None


def test_a_name_reaches_the_training_images() -> None:
    data = made("digits", "augment=randaugment(n=1, m=4)").load()
    assert isinstance(data.train.augment, RandAugment)
    assert data.valid is not None
    assert data.valid.augment is None
    assert data.facts["augment"] == "RandAugment(n=1, m=4)"


@pytest.mark.parametrize(("word", "stands_for"), [("true", "flip_crop"), ("false", None), ("none", None), ("flip+erase", "flip+erase")])
def test_words(word: str, stands_for: str | None) -> None:
    value = made("images", f"augment={word}").augment
    assert augmentation(value) in (stands_for, word if word == "none" else stands_for)
    recipe = made("digits", f"augment={word}")
    restored = restore_recipe("digits", recipe.settings())
    assert restored.augment == recipe.augment


def test_images_of_ones_own_are_flipped_and_cropped_unless_said() -> None:
    assert made("images").source_options()["augment"] == "flip_crop"
    assert made("images", "augment=false").source_options()["augment"] is None
    assert made("images", "augment=trivial").source_options()["augment"] == "trivial"


@pytest.mark.parametrize(
    ("word", "message"),
    [("augment=randaugmet", r"E201.*Did you mean augment=randaugment"), ("augment=erase(p=2)", "E202.*p=2"), ("augment=flip+flip", "E202")],
)
def test_wrong_names_are_found_before_data(word: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        made("digits", word).check()


def test_a_table_has_no_images() -> None:
    plain = made("diabetes", "epochs=1") if "augment" in find_recipe("diabetes")().settings() else made("cars_network", "epochs=1")
    data = plain.load()
    chosen = type(plain)(**{**plain.settings(), "augment": "flip"})
    with pytest.raises(UsageError, match=r"E202.*augment has no effect here.*has no images"):
        refuse(without_effect(chosen, data))

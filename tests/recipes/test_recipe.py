"""Settings: checked against their fields, all mistakes at once, with the nearest name."""

from __future__ import annotations

import dataclasses
import pkgutil
import subprocess
import sys
from importlib import import_module
from typing import Any, get_type_hints

import pytest

import rungbook
from rungbook.errors import UsageError
from rungbook.recipes import book
from rungbook.recipes.places import HOLDS
from rungbook.recipes.recipe import RECIPES, Recipe, find_recipe, load_recipes, restore_recipe
from rungbook.recipes.settings import parse_settings

load_recipes()
TRAININGS = {name: cls for name, cls in RECIPES.items() if issubclass(cls, Recipe)}
GOOD = {
    "epochs": {"3": 3, "none": None, "": None},
    "steps": {"10": 10},
    "batch_size": {"1": 1, "1000": 1000},
    "lr": {"0.1": 0.1, "1e-3": 1e-3, "find": "find"},
    "optimizer": {"sgd": "sgd", "radam": "radam", "muon": "muon"},
    "momentum": {"0": 0.0, "0.95": 0.95},
    "weight_decay": {"0": 0.0, "0.1": 0.1},
    "schedule": {"cosine": "cosine", "step(milestones=(0.5,), gamma=0.2)": "step(milestones=(0.5,), gamma=0.2)"},
    "clip": {"1": 1.0, "none": None},
    "accumulate": {"4": 4},
    "label_smoothing": {"0.1": 0.1},
    "mix": {"mixup": "mixup", "cutmix": "cutmix", "both": "both", "none": None},
    "mix_alpha": {"0.4": 0.4, "none": None},
    "class_weights": {"balanced": "balanced", "none": None},
    "patience": {"3": 3, "None": None},
    "ema": {"0.99": 0.99, "none": None},
    "swa": {"0.25": 0.25, "none": None},
    "lookahead": {"5": 5, "none": None},
    "sam": {"0.05": 0.05, "none": None},
    "clip_value": {"0.5": 0.5, "none": None},
    "clip_adaptive": {"0.01": 0.01, "none": None},
    "final": {"best": "best", "last": "last"},
    "seed": {"0": 0, "77": 77},
    "valid": {"0.2": 0.2},
    "test": {"0.2": 0.2},
    "device": {"cpu": "cpu", "none": None},
    "threads": {"2": 2, "none": None},
    "workers": {"0": 0, "3": 3},
    "precision": {"bf16": "bf16", "fp16_by_hand": "fp16_by_hand"},
    "compile": {"true": True, "false": False, "1": True, "no": False},
    "channels_last": {"true": True, "false": False},
    "activation_checkpointing": {"true": True, "false": False},
    "weights": {"w.safetensors": "w.safetensors", "none": None},
    "pretrained": {"true": "true", "imagenet1k_v2": "imagenet1k_v2", "hf:a/b": "hf:a/b", "none": None},
    "freeze": {"body": "body", "all_but_norm": "all_but_norm", "norm": "norm", "none": None},
    "unfreeze": {"2": (2,), "1,2": (1, 2), "": ()},
    "head": {"linear": "linear", "concat_pool": "concat_pool", "none": None},
    "layer_decay": {"0.75": 0.75, "none": None},
    "head_lr": {"10": 10.0, "none": None},
    "init": {"lsuv": "lsuv", "none": None},
    "watch": {"true": True, "false": False},
    "image_size": {"32": 32, "none": None},
    "sizes": {"96,128": (96, 128), "": ()},
    "augment": {"flip_crop": "flip_crop", "randaugment(m=5)+erase": "randaugment(m=5)+erase", "true": True, "false": False, "none": None},
    "tta": {"flip": "flip", "crop": "crop", "flip_crop": "flip_crop", "none": None},
    "checkpoint_seconds": {"0.5": 0.5},
    "data": {"mnist": "mnist"},
    "model": {"lenet": "lenet"},
    "scratch": {"all": ("all",), "layers,optim": ("layers", "optim"), "": ()},
    "mine": {"Conv2d:/a/b.py:C,SGD:/a/b.py:S": ("Conv2d:/a/b.py:C", "SGD:/a/b.py:S"), "": ()},
}
BAD = {
    "epochs": {"0": "1 or more", "-1": "1 or more", "2.5": "a whole number", "x": "a whole number", "1e3": "a whole number"},
    "steps": {"0": "1 or more", "none": "a whole number"},
    "batch_size": {"0": "1 or more", "none": "a whole number"},
    "lr": {
        "0": "above 0",
        "-1": "above 0",
        "inf": "a finite number",
        "nan": "a finite number",
        "fnd": 'a number or "find"',
        "none": "a number",
    },
    "optimizer": {"adamm": '"sgd", "adam", "adamw"', "none": '"sgd"'},
    "momentum": {"1": "below 1", "-0.1": "0 or more", "x": "a number"},
    "weight_decay": {"-1": "0 or more", "inf": "a finite number"},
    "clip": {"0": "above 0", "x": "a number"},
    "accumulate": {"0": "1 or more"},
    "label_smoothing": {"1": "below 1"},
    "mix": {"mix": '"mixup", "cutmix" or "both"', "true": '"mixup"'},
    "mix_alpha": {"0": "above 0", "inf": "a finite number"},
    "class_weights": {"even": '"balanced"'},
    "patience": {"0": "1 or more"},
    "ema": {"1": "below 1", "2": "below 1"},
    "swa": {"0": "above 0", "1": "below 1"},
    "lookahead": {"0": "1 or more", "2.5": "a whole number"},
    "sam": {"0": "above 0", "x": "a number"},
    "clip_value": {"0": "above 0"},
    "clip_adaptive": {"-1": "above 0"},
    "final": {"first": '"best" or "last"'},
    "seed": {"-1": "0 or more", "x": "a whole number"},
    "valid": {"1": "below 1", "-0.1": "0 or more"},
    "test": {"1.5": "below 1"},
    "threads": {"0": "1 or more"},
    "workers": {"-1": "0 or more"},
    "precision": {"fp8": '"fp32", "bf16", "fp16" or "fp16_by_hand"'},
    "compile": {"maybe": "true or false"},
    "channels_last": {"nchw": "true or false"},
    "activation_checkpointing": {"2": "true or false"},
    "freeze": {"head": '"body", "all_but_norm" or "norm"', "true": '"body"'},
    "unfreeze": {"0": "1 or more", "half": "a whole number"},
    "head": {"concat": '"linear" or "concat_pool"', "true": '"linear"'},
    "layer_decay": {"0": "above 0", "1": "below 1"},
    "head_lr": {"0": "above 0", "x": "a number"},
    "init": {"lsvu": '"lsuv"', "true": '"lsuv"'},
    "watch": {"layers": "true or false"},
    "image_size": {"0": "1 or more", "28x28": "a whole number"},
    "sizes": {"96,0": "1 or more", "small": "a whole number"},
    "tta": {"mirror": '"flip", "crop" or "flip_crop"', "true": '"flip"'},
    "checkpoint_seconds": {"0": "above 0"},
    "scratch": {"layer": '"layers", "functions", "losses", "optim", "loader", "autograd" or "all"'},
}
FREE = {"data", "model", "device", "weights", "pretrained", "schedule", "mine", "augment"}
"""Fields of which not every value can be judged by its type; `Recipe.check` judges them."""


def test_every_field_has_good_and_bad_values_here() -> None:
    fields = {f.name for f in dataclasses.fields(Recipe)}
    assert set(GOOD) == fields
    assert set(BAD) == fields - FREE


@pytest.mark.parametrize("key", GOOD)
def test_good_values(key: str) -> None:
    for recipe in TRAININGS.values():
        for text, value in GOOD[key].items():
            found = parse_settings(recipe, [f"{key}={text}"])[key]
            if key in ("weights",) and value:
                assert found.endswith(f"/{value}"), "files are found again from anywhere"
            else:
                assert (found, type(found)) == (value, type(value)), (recipe.name, text)


@pytest.mark.parametrize("key", BAD)
def test_bad_values(key: str) -> None:
    for recipe in TRAININGS.values():
        for text, wanted in BAD[key].items():
            with pytest.raises(UsageError) as error:
                parse_settings(recipe, [f"{key}={text}"])
            assert error.value.code == "E202"
            assert f'{key} is "{text}"; it must be ' in error.value.message
            assert wanted in error.value.message, error.value.message
            assert f"For example {key}=" in error.value.fix
            example = error.value.fix.removeprefix("For example ")
            parse_settings(recipe, [example])  # what is offered works


def test_a_recipe_narrows_no_type_of_a_common_field() -> None:
    """A subclass that gives a field another default must annotate it anew, and could lose the field's limits by that."""
    common = get_type_hints(Recipe, include_extras=True)
    for recipe in TRAININGS.values():
        own = get_type_hints(recipe, include_extras=True)
        assert {k: own[k] for k in common} == common, recipe.name


def test_fields_of_the_recipes_themselves() -> None:
    assert parse_settings(RECIPES["mlp"], ["hidden=256,128"]) == {"hidden": (256, 128)}
    assert parse_settings(RECIPES["mlp"], ["hidden="]) == {"hidden": ()}, "no hidden layer makes a linear model"
    assert parse_settings(RECIPES["images"], ["augment=false", "widths=8,16"]) == {"augment": False, "widths": (8, 16)}
    for text, value in (("auto", "auto"), ("true", True), ("false", False)):
        (found,) = parse_settings(RECIPES["table"], [f"log={text}"]).values()
        assert found is value or found == value == "auto"
    for recipe, word in (
        ("mlp", "hidden=0"),
        ("mlp", "hidden=a,b"),
        ("table", "log=maybe"),
        ("text", "embed_dim=0"),
        ("images", "widths=0,4"),
    ):
        with pytest.raises(UsageError) as error:
            parse_settings(RECIPES[recipe], [word])
        assert error.value.code == "E202", word


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(UsageError) as error:
        parse_settings(RECIPES["mlp"], ["epochs=x", "lrr=1", "hidden=a", "lr=0.1", "oops", "batch_size=0"])
    message = error.value.message
    assert message.startswith("5 settings are wrong:")
    assert len(message.splitlines()) == 6
    for part in (
        'epochs is "x"',
        'no setting "lrr". Did you mean lr=...?',
        'hidden is "a"',
        '"oops" is not a setting',
        'batch_size is "0"',
    ):
        assert part in message
    with pytest.raises(UsageError) as single:
        parse_settings(RECIPES["mlp"], ["lrr=1"])
    assert single.value.message == 'mlp has no setting "lrr".'


@pytest.mark.parametrize(
    ("typo", "near"),
    [
        ("epoch", "epochs"),
        ("bs", ""),
        ("batchsize", "batch_size"),
        ("learning_rate", ""),
        ("LR", "lr"),
        ("optimiser", "optimizer"),
        ("sede", "seed"),
    ],
)
def test_nearest_names(typo: str, near: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_settings(RECIPES["digits"], [f"{typo}=1"])
    assert error.value.code == "E201"
    assert error.value.fix == (f"Did you mean {near}=...?" if near else error.value.fix)
    assert near or "Known: " in error.value.fix


def test_options_and_settings_have_each_their_form() -> None:
    for option in ("target", "text", "keep", "strict"):
        with pytest.raises(UsageError) as error:
            parse_settings(RECIPES["table"], [f"{option}=x"])
        assert error.value.fix == f"Say --{option} x"


@pytest.mark.parametrize("name", TRAININGS)
def test_recipes_survive_their_record(name: str) -> None:
    import json

    recipe = RECIPES[name](epochs=3, lr="find", clip=0.5)
    written = json.loads(json.dumps(recipe.settings()))
    assert restore_recipe(name, written) == recipe
    assert restore_recipe(name, {**written, "of_a_later_version": 1}) == recipe
    assert restore_recipe(name, {}) == RECIPES[name](), "fields added since take their defaults"
    assert recipe.chosen() == {"epochs", "lr", "clip"}
    with pytest.raises(UsageError, match="does not fit this rungbook: epochs") as misfit:
        restore_recipe(name, {**written, "epochs": "many"})
    assert misfit.value.code == "E204"
    recipe_field = dataclasses.fields(recipe)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(recipe, recipe_field, "x")


def test_names() -> None:
    names = rungbook.list_recipes()
    assert names == sorted(names)
    assert {"digits", "lenet", "mlp", "softmax_regression"} <= set(names)
    assert not {"images", "table", "text"} & set(names), "those for a user's own files are trained by path"
    with pytest.raises(UsageError, match='no recipe "lenett"') as error:
        find_recipe("lenett")
    assert error.value.fix == "Did you mean rung train lenet?"


@pytest.mark.parametrize(
    ("settings", "code", "part"),
    [
        ({"model": "lnet"}, "E201", "lenet"),
        ({"schedule": "cosin"}, "E201", "cosine"),
        ({"schedule": "one_cycle(oops=1)"}, "E202", "one_cycle"),
        ({"schedule": "__import__('os')"}, "E202", "no schedule"),
        ({"valid": 0.5, "test": 0.5}, "E202", "below 1"),
        ({"valid": 0.0}, "E202", "valid=0 "),
        ({"weights": "no/such.pt"}, "E105", "no/such"),
        ({"weights": "/"}, "E105", "folder"),
    ],
)
def test_what_no_type_can_tell_is_checked_before_data_is_read(settings: dict[str, Any], code: str, part: str) -> None:
    with pytest.raises(UsageError) as error:
        RECIPES["digits"](**settings).check()
    assert error.value.code == code
    assert part in str(error.value)
    RECIPES["digits"]().check()


def test_the_command_of_a_recipe_makes_the_recipe_again(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import shlex

    import tables

    from rungbook.cli.train import choose

    monkeypatch.chdir(tmp_path)
    path = tables.write(tmp_path / "my table.csv", tables.rows())
    made = [
        choose("mlp", ["hidden=8,4", "lr=0.25", "data=iris"], {})[0],
        choose(str(path), ["epochs=2", "log=false"], {"target": "ok", "keep": ("size", "weight"), "strict": True, "text": None})[0],
    ]
    for recipe in made:
        verb, what, *words = shlex.split(recipe.command().removeprefix("rung "))
        options: dict[str, Any] = {"target": None, "text": None, "keep": [], "strict": False}
        settings = []
        while words:
            word = words.pop(0)
            if word == "--strict":
                options["strict"] = True
            elif word == "--keep":
                options["keep"].append(words.pop(0))
            elif word.startswith("--"):
                options[word[2:]] = words.pop(0)
            else:
                settings.append(word)
        options["keep"] = tuple(options["keep"])
        assert verb == "train"
        assert choose(what, settings, options)[0] == recipe
    assert "lr=0.5" in made[0].command(lr=0.5)


def test_every_recipe_is_found_in_the_module_that_is_said_to_hold_it() -> None:
    for module in pkgutil.iter_modules(book.__path__):  # one that is forgotten there would be loaded by nobody
        import_module(f"{book.__name__}.{module.name}")
    where = {name: cls.__module__.removeprefix("rungbook.recipes.") for name, cls in RECIPES.items() if "rungbook" in cls.__module__}
    assert where == {name: module for module, names in HOLDS.items() for name in names}


def test_only_the_recipe_that_is_asked_for_is_loaded() -> None:
    """And, as the control, the list of all of them loads another."""
    said = (
        "import sys; from rungbook.recipes.recipe import find_recipe, list_recipes; find_recipe('line'); "
        "print('rungbook.recipes.book.norms' in sys.modules); list_recipes(); print('rungbook.recipes.book.norms' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True).stdout.split() == ["False", "True"]

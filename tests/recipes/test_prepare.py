"""Before the first step: threads, device, first weights, and the same training with and without a run folder."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from rich.console import Console

from rungbook.errors import UsageError
from rungbook.recipes import prepare, session
from rungbook.recipes.companion import cores
from rungbook.recipes.once import train_once
from rungbook.recipes.recipe import RECIPES, Recipe, load_recipes

load_recipes()


def recipe(name: str, **settings: Any) -> Recipe:
    made = RECIPES[name](**{"epochs": 1, **settings})
    assert isinstance(made, Recipe)
    return made


def test_threads_follow_from_the_model_or_from_the_user() -> None:
    for settings, threads in (({}, 1), ({"threads": 3}, 3)):
        made = recipe("softmax_regression", **settings)
        data = prepare.prepare_data(made)
        model, _ = prepare.make_model(made, data)
        before = [p.clone() for p in model.state_dict().values()]
        assert prepare.pick_threads(made, model, data) == threads
        assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))
        assert model.training
    large = recipe("digits", widths=(256, 256, 256), batch_size=1024)
    data = prepare.prepare_data(large)
    assert prepare.pick_threads(large, prepare.make_model(large, data)[0], data) == cores()


def test_devices() -> None:
    assert prepare.pick_device("cpu") == torch.device("cpu")
    assert prepare.pick_device(None).type in ("cpu", "cuda", "mps")
    for name in ("cuda:99", "gpu", "tpu:0"):
        with pytest.raises(UsageError, match=f'device is "{name}"') as error:
            prepare.pick_device(name)
        assert error.value.fix.startswith("device=")


def test_the_models_first_weights_follow_from_the_seed_alone() -> None:
    made = recipe("digits")
    data = prepare.prepare_data(made)
    torch.manual_seed(99)
    first, _ = prepare.make_model(made, data)
    torch.rand(5)
    state = torch.get_rng_state()
    second, _ = prepare.make_model(made, data)
    assert torch.equal(torch.get_rng_state(), state), "and making it leaves no trace"
    other, _ = prepare.make_model(recipe("digits", seed=1), data)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_a_training_without_a_run_folder_is_the_same_training() -> None:
    made = recipe("softmax_regression", seed=3)
    with_run = session.train(made, label="same", console=Console(file=io.StringIO()))
    trained = train_once(made)
    assert trained.scores("valid", "test") == {k: with_run[k] for k in ("valid", "test")}
    assert torch.get_num_threads() == 1
    other = train_once(made, lr=1e-6).scores("test")
    assert other["test"] != with_run["test"], "the rate that is given counts"
    data = prepare.prepare_data(made)
    again = train_once(made, prepare.prepare_data(made, data))
    assert again.scores("test")["test"] == with_run["test"], "also on data that was read before"
    prepare.prepare_data(recipe("softmax_regression", batch_size=7), data)
    assert data.train.batch_size == made.batch_size, "which stays as it is"

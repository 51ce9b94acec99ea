"""The first classifiers: each learns offline in a moment, and what they claim holds."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import safetensors.torch
import torch
from commands import Rung
from rich.console import Console

import rungbook
from rungbook.learner.weights import load_weights, read_weights
from rungbook.models.registry import create_model
from rungbook.recipes import session
from rungbook.recipes.book.first import FullyConnected, LeNetRecipe, MLPRecipe, SoftmaxRegressionRecipe, TooLong, TwoConv
from rungbook.recipes.book.lines import LineRecipe
from rungbook.recipes.once import train_once
from rungbook.recipes.recipe import Recipe
from rungbook.recipes.settings import Reported
from rungbook.recipes.speak import as_told, courses_of

QUICK: dict[str, tuple[Recipe, float]] = {
    "fully_connected": (FullyConnected(), 0.85),
    "two_conv": (TwoConv(epochs=4, batch_size=32), 0.9),
    "lenet": (LeNetRecipe(epochs=2), 0.8),
    "mlp": (MLPRecipe(epochs=6), 0.9),
    "softmax_regression": (SoftmaxRegressionRecipe(epochs=8), 0.88),
}
"""Cut down, and the valid accuracy each passes; chance is 0.1."""


@pytest.mark.parametrize("name", QUICK)
def test_each_learns_the_digits(name: str) -> None:
    recipe, bar = QUICK[name]
    recipe.check()
    assert train_once(recipe).scores("valid")["valid"]["accuracy"] > bar


def test_the_networks_are_the_courses() -> None:
    for recipe, parameters in ((FullyConnected(), 784 * 64 + 64 + 2 * (64 * 64 + 64) + 650), (MLPRecipe(), 784 * 256 + 256 + 2570)):
        made = create_model(recipe.model, in_features=784, out_features=10, **recipe.model_options())
        assert sum(p.numel() for p in made.parameters()) == parameters
    two = create_model("two_conv", in_channels=1, num_classes=10, image_size=(28, 28))
    assert (two.conv1.out_channels, two.conv2.out_channels, two.fc1.in_features, two.fc1.out_features) == (10, 20, 320, 64)


def test_a_network_is_saved_by_its_weights_and_as_a_whole(rung: Rung) -> None:
    """M09: both ways of saving give the same answers back, and neither file can run anything."""
    rung.quick()
    run = Path(session.train(TwoConv(epochs=1), label="two_conv", console=Console(file=io.StringIO()))["run"])
    whole = rungbook.load(run)
    weights = rung.here / "two_conv.safetensors"
    safetensors.torch.save_file(whole.model.state_dict(), weights)
    alone = create_model("two_conv", in_channels=1, num_classes=10, image_size=(28, 28))
    x = torch.rand(5, 1, 28, 28)
    with torch.no_grad():
        before = alone(x)
        load_weights(alone, read_weights(weights), name="two_conv")
        assert torch.equal(alone(x), whole.model.eval()(x))
        assert not torch.equal(alone(x), before), "the control: a new network answers otherwise"
    for file in run.rglob("*"):
        assert file.is_dir() or file.read_bytes()[:2] not in (b"\x80\x02", b"\x80\x04", b"PK"), f"{file} is a pickle"


def test_what_fits_is_listed(rung: Rung) -> None:
    answer = rung("train two_conv data=world:blobs")
    assert (answer.code, "E202" in answer.text) == (2, True), answer.text
    assert "These fit: " in answer.text
    assert "mlp" in answer.text


def test_trained_too_long_it_learns_wrong_labels_by_heart() -> None:
    study = TooLong(data="world:shapes(n=600, flip=0.25)", seeds=1)
    found = study.find(lambda line: None)
    long, kept = found.results["20 epochs"], found.results["20 epochs, best kept"]
    assert long["train"]["log_loss"] < kept["train"]["log_loss"]
    assert long["valid"]["log_loss"] > kept["valid"]["log_loss"]
    assert "after epoch 20" in found.sentences[0]
    assert kept["valid"]["log_loss"] > found.limit["log_loss"], "and none is beyond the limit"  # type: ignore[index]


def test_what_is_compared_cannot_be_set(rung: Rung) -> None:
    answer = rung("train too_long epochs=3")
    assert (answer.code, "is what too_long compares" in answer.text) == (2, True)


@pytest.mark.parametrize("recipe", [MLPRecipe, SoftmaxRegressionRecipe, FullyConnected, TwoConv, TooLong, LeNetRecipe])
def test_real_settings_can_be_said(recipe: type[Recipe]) -> None:
    from rungbook.recipes.settings import parse_settings

    assert recipe.real
    for words in recipe.real:
        recipe(**parse_settings(recipe, words.split())).check()


def test_a_courses_figure_keeps_its_digits() -> None:
    def told(value: float, metric: str) -> str:
        return as_told(Reported(value, metric, "a course"))

    assert [told(v, "mean_squared_error") for v in (18.677, 18.682)] == ["mse 18.677", "mse 18.682"], "rounded they would be one"
    assert [told(v, m) for v, m in ((11644.0, "log_loss"), (0.9725, "accuracy"))] == ["log loss 11,644", "accuracy 97.25%"]
    assert "4.4e-11" in courses_of(LineRecipe(), {"r2": 0.9, "root_mean_squared_error": 1.0})[0], "a square stands beside its root"
    assert courses_of(LineRecipe(), {"accuracy": 0.9}) == [], "control"

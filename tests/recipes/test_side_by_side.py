"""A recipe trained with torch's parts and by hand, step for step; a part that is wrong is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from commands import Rung

from rungbook.recipes.recipe import find_recipe
from rungbook.recipes.settings import parse_settings
from rungbook.recipes.side_by_side import side_by_side

WRONG = """
import torch
from torch import nn

class Biased(nn.Linear):
    def forward(self, x):
        return x @ self.weight.t() + self.bias * 1.000001
"""
TRAININGS = (
    "digits",
    "lenet",
    "mlp data=iris",
    "mlp data=diabetes optimizer=sgd",
    "mlp data=wine optimizer=rmsprop class_weights=balanced accumulate=2",
    "lenet model=lenet_sigmoid optimizer=nadam schedule=cosine clip=0.5",
)


@pytest.mark.parametrize("words", TRAININGS)
def test_everything_by_hand_is_the_same(words: str) -> None:
    name, *settings = words.split()
    found = side_by_side(find_recipe(name)(**parse_settings(find_recipe(name), settings)), 12)
    assert len(found.torch) == len(found.ours) == 12
    assert found.worst < 1e-12
    assert found.same
    assert found.torch[0] != found.torch[-1]
    assert not found.left
    assert found.parts.startswith("by hand: layers (")
    assert found.parts.endswith("functions, losses, optim, loader, autograd")


def test_a_part_that_is_a_millionth_off_is_seen(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(WRONG)
    recipe = replace(find_recipe("mlp")(), mine=(f"Linear:{tmp_path / 'own.py'}:Biased",))
    found = side_by_side(recipe, 12)
    assert not found.same
    assert 1e-9 < found.worst < 1e-3


def test_the_command(rung: Rung, tmp_path: Path) -> None:
    answer = rung("twins", "mlp", "data=iris", "--steps", "5", "--json")
    assert answer.code == 0, answer.text
    assert "5 steps in float64, loss" in answer.text
    assert answer.json["same"] is True
    assert len(answer.json["torch"]) == 5
    assert Path(answer.json["picture"]).read_text().startswith("<svg ")
    (tmp_path / "own.py").write_text(WRONG)
    answer = rung("twins", "mlp", "data=iris", "--steps", "5", f"mine=Linear:{tmp_path / 'own.py'}:Biased")
    assert answer.code == 1
    assert "NOT the same" in answer.text
    assert "scratch=all" not in answer.text, "what was compared was their part alone"
    assert "equal to the last bit" in rung("twins", "mlp", "data=iris", "--steps", "1", "scratch=loader").text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("twins lenett", 'There is no recipe "lenett"'),
        ("twins forest", "is a study of several trainings"),
        ("train mlp compile=true scratch=all", "A compiled model hides its operations from the tape"),
        ("twins mlp precision=bf16", "Both trainings are in float64"),
        ("twins mlp scratch=layer", 'scratch is "layer"; it must be "layers"'),
        ("twins mlp --steps 0", "--steps"),
        ("twins mlp --write", "--write is for the table of parts"),
    ],
)
def test_mistakes(rung: Rung, words: str, said: str) -> None:
    answer = rung(words)
    assert answer.code == 2
    assert said in answer.text


def test_the_table(rung: Rung) -> None:
    answer = rung("twins --json")
    assert answer.code == 0, answer.text
    assert answer.json["parts"]["nn.Linear"]["passed"] >= 3
    assert "Layers and losses" in answer.text
    assert "cases agree with torch" in answer.text


def test_the_page_is_the_table(checkout: Path) -> None:
    from rungbook.recipes.parts import load_parts, page

    assert (checkout / "docs" / "twins.md").read_text() == page(load_parts()), "rung twins --write"

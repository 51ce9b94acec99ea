"""Every optimiser and every way to make steps trains a recipe, by hand as with torch's parts, and goes on exactly where it stopped."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from commands import Rung

from rungbook.errors import UsageError
from rungbook.learner.callback import Callback
from rungbook.learner.learner import Interrupted, Learner
from rungbook.learner.split_optimizer import SplitOptimizer
from rungbook.recipes import build
from rungbook.recipes.prepare import make_model, prepare_data
from rungbook.recipes.recipe import RECIPES, Recipe, load_recipes
from rungbook.recipes.settings import Optimizer

covers = ["O10", "O15"]

load_recipes()
RATES = {"sgd": 0.1, "lars": 5.0, "lion": 2e-3, "adagrad": 0.02, "radam": 0.02, "lamb": 0.02, "muon": 0.02}
"""Where 5e-3 is no good rate."""


class Stop(Callback):
    """Asks for a stop after so many steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def after_step(self, learner: Learner) -> None:
        if learner.step == self.steps:
            learner.request_stop()


def made(*more: Callback, dtype: torch.dtype = torch.float32, **settings: Any) -> Learner:
    """A recipe's learner on the digits, with an MLP of one hidden layer."""
    recipe = RECIPES["mlp"](**{"epochs": 2, "hidden": (16,), "batch_size": 256, "lr": 5e-3, "final": "last", **settings})
    assert isinstance(recipe, Recipe)
    recipe.check()
    data = prepare_data(recipe)
    if dtype == torch.float64:
        from rungbook.recipes.side_by_side import in_float64

        data = in_float64(data)
    model, _ = make_model(recipe, data)
    learner = build.build_learner(recipe, data, model.to(dtype), torch.device("cpu"), float(recipe.lr))
    if dtype == torch.float64:
        learner.valid_feed = None
    learner.callbacks += more
    return learner


def weights(learner: Learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in learner.model.parameters()])


@pytest.mark.parametrize("name", get_args(Optimizer))
def test_every_optimiser_learns(name: str) -> None:
    learner = made(optimizer=name, lr=RATES.get(name, 5e-3), batch_size=32, schedule="constant")
    start = weights(learner)
    learner.fit(2)
    assert not weights(learner).equal(start)
    assert learner.history[-1]["train_loss"] < 0.8 * math.log(10)
    assert learner.history[-1]["train_loss"] < learner.history[0]["train_loss"]


@pytest.mark.parametrize("name", get_args(Optimizer))
def test_by_hand_it_is_the_same(name: str) -> None:
    """In float64 to rounding; Muon's iteration is in bfloat16 either way, so that rounding shows."""
    ends = []
    for scratch in ((), ("optim",)):
        learner = made(optimizer=name, lr=RATES.get(name, 5e-3), scratch=scratch, dtype=torch.float64)
        learner.fit(2, "one_cycle")
        parts = learner.optimizer.parts if isinstance(learner.optimizer, SplitOptimizer) else [learner.optimizer]
        ours = {type(p).__module__.startswith("rungbook.scratch") for p in parts}
        assert ours == {bool(scratch) or name in ("lamb", "lars", "lion")}
        ends.append(weights(learner))
    rough = name == "muon"
    torch.testing.assert_close(ends[0], ends[1], rtol=5e-2 if rough else 1e-9, atol=5e-3 if rough else 1e-11)


def test_settings_reach_the_optimiser() -> None:
    for name in ("sgd", "lars", "muon"):
        group = made(optimizer=name, momentum=0.7, weight_decay=0.3).optimizer.param_groups[0]
        assert (group["momentum"], group["weight_decay"]) == (0.7, 0.3), name
    for name in ("adamw", "lamb", "lion", "muon"):
        assert made(optimizer=name, weight_decay=0.3).optimizer.param_groups[-1]["weight_decay"] == 0.3, name


WAYS: list[dict[str, Any]] = [
    *({"optimizer": name, "lr": RATES.get(name, 5e-3)} for name in ("lamb", "lars", "lion", "muon")),
    {"optimizer": "muon", "scratch": ("optim",)},
    {"sam": 0.05, "clip": 0.5},
    {"lookahead": 3, "clip_value": 0.1},
    {"swa": 0.5, "clip_adaptive": 0.1},
    {"precision": "fp16_by_hand", "optimizer": "lamb"},
    {"sam": 0.05, "scratch": ("all",), "optimizer": "muon"},
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: " ".join(f"{k}={v}" for k, v in way.items()))
def test_continues_exactly(way: dict[str, Any]) -> None:
    whole = made(**way).fit(2, "one_cycle")
    for step in (1, 7):
        begun = made(Stop(step), **way)
        with pytest.raises(Interrupted):
            begun.fit(2, "one_cycle")
        done = made(**way).fit(2, "one_cycle", state=begun.state_dict())
        assert weights(done).equal(weights(whole)), step
        assert done.history == whole.history


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ema": 0.9, "swa": 0.5}, "ema and swa"),
        ({"swa": 0.5, "lookahead": 5}, "swa and lookahead"),
        ({"sam": 0.05, "accumulate": 2}, "accumulate=2"),
        ({"precision": "fp16", "scratch": ("all",)}, "tape"),
        ({"precision": "fp16_by_hand", "compile": True}, "compile"),
    ],
)
def test_what_excludes_each_other_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"E202.*{message}") as error:
        RECIPES["digits"](**settings).check()
    assert error.value.fix


def test_a_model_of_one_layer_has_nothing_for_muon() -> None:
    with pytest.raises(UsageError, match=r"E202.*none"):
        made(model="softmax_regression", optimizer="muon")


OWN = """
import torch

class Slow(torch.optim.AdamW):
    def step(self, closure=None):
        open(__file__.replace(".py", ".used"), "w").close()
        super().step()
"""


def test_mine_in_one_half_of_muon(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN)
    learner = made(optimizer="muon", mine=(f"AdamW:{file}:Slow",))
    assert [type(p).__name__ for p in learner.optimizer.parts] == ["Muon", "Slow"]  # type: ignore[attr-defined]
    learner.fit(1)
    assert file.with_suffix(".used").exists()
    with pytest.raises(UsageError, match="trains with Muon and AdamW"):
        made(optimizer="muon", mine=(f"SGD:{file}:Slow",))


def test_from_the_command_line(rung: Rung) -> None:
    rung.quick()
    answer = rung("train mlp data=iris epochs=2 optimizer=lamb lr=0.02 sam=0.05 lookahead=5 precision=fp16_by_hand --json")
    assert answer.code == 0, answer
    assert answer.json["epochs"] == 2

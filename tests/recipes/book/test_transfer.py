"""Transfer between digits: what is kept of a network that knows others, and who of it learns."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rungbook.recipes.book.fine_tuning import FineTuning
from rungbook.recipes.book.transfer import KNOWN, NEW, Transfer, only
from rungbook.recipes.once import train_once
from rungbook.recipes.prepare import make_model, prepare_data
from rungbook.recipes.recipe import Recipe
from rungbook.transfer.parts import split_body_head


def test_some_classes_become_all() -> None:
    whole = Recipe.load(Transfer())
    few = only(whole, NEW, 10)
    assert few.classes == NEW
    assert few.train.samples == 50
    x, y = few.train.source.fetch(slice(0, 50))
    every, labels = whole.train.source.fetch(slice(0, whole.train.samples))
    assert isinstance(x, torch.Tensor)
    assert isinstance(every, torch.Tensor)
    assert torch.bincount(y).tolist() == [10] * 5
    for image, label in zip(x, y, strict=True):
        twin = int((every == image).flatten(1).all(1).nonzero()[0])
        assert int(labels[twin]) == int(label) + 5
    assert few.test is not None
    assert whole.test is not None
    assert few.test.samples == int((whole.test.source.targets() >= 5).sum()), "only train is cut"
    assert few.fingerprint != only(whole, NEW).fingerprint != only(whole, KNOWN).fingerprint


def weights(recipe: Recipe) -> nn.Module:
    return train_once(recipe, recipe.load()).learner.model


def test_what_the_other_digits_taught_is_kept_and_the_head_is_new() -> None:
    """A held body is the same after any number of epochs, and not the one torch drew; the control learns."""
    short = {"epochs": 1, "seed": 0, "widths": (4, 8, 8), "final": "last"}
    held, longer = (weights(Transfer().vary({"freeze": "body", **short, "epochs": n})) for n in (1, 2))
    scratch = weights(Transfer().vary({"begun": False, "freeze": "body", **short}))
    head = split_body_head(held).head_name
    body = [k for k in held.state_dict() if not k.startswith(head) and held.state_dict()[k].is_floating_point()]
    assert all(held.state_dict()[k].equal(longer.state_dict()[k]) for k in body), "running statistics too"
    assert any(not held.state_dict()[k].equal(scratch.state_dict()[k]) for k in body)
    learned = weights(Transfer().vary(short))
    assert any(not held.state_dict()[k].equal(learned.state_dict()[k]) for k in body)
    heads = [k for k in held.state_dict() if k.startswith(head)]
    assert any(not held.state_dict()[k].equal(longer.state_dict()[k]) for k in heads)


def test_the_head_forgets_what_it_was_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn anew after the first training: here that makes zeros, which five epochs would have changed."""
    recipe = Transfer().vary({"widths": (4, 8, 8)})
    data = prepare_data(recipe)
    monkeypatch.setattr(nn.Linear, "reset_parameters", lambda layer: nn.init.zeros_(layer.weight))
    model, _ = make_model(recipe, data)
    head = [m for m in model.get_submodule(split_body_head(model).head_name).modules() if isinstance(m, nn.Linear)]
    assert head
    assert not any(m.weight.any() for m in head)
    assert all(m.weight.any() for m in model.modules() if isinstance(m, nn.Conv2d))


def test_all_ways_of_fine_tuning_begin_alike() -> None:
    starts = []
    for settings in FineTuning.variants.values():
        recipe = FineTuning().vary({**settings, "widths": (4, 8, 8)})
        data = prepare_data(recipe)
        model, _ = make_model(recipe, data)
        starts.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert all(start.equal(starts[0]) for start in starts)


def test_each_way_of_fine_tuning_moves_the_weights_otherwise() -> None:
    short = {"epochs": 2, "widths": (4, 8, 8)}
    ends = {
        name: torch.cat([p.detach().flatten() for p in weights(FineTuning().vary({**settings, **short})).parameters()])
        for name, settings in FineTuning.variants.items()
    }
    names = list(ends)
    assert len(names) == 4
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert not ends[one].equal(ends[other]), (one, other)

"""Lines: found under noise, the same by hand, saved by weight decay, and with too few or too many terms."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rungbook.data.load import load_data
from rungbook.errors import UsageError
from rungbook.recipes.book.lines import (
    LineByHand,
    LineRecipe,
    PolynomialRecipe,
    WeightDecay,
    all_samples,
    by_autograd,
    by_formula,
    least_squares,
    mean_errors,
)
from rungbook.recipes.book.squared import MSE, with_squares
from rungbook.recipes.once import train_once
from rungbook.recipes.settings import parse_settings


def quiet(line: str) -> None:
    """Somebody who does not listen."""


def test_the_line_is_found_and_said_beside_least_squares_and_the_truth() -> None:
    recipe = LineRecipe(data="world:line(n=400)")
    trained = train_once(recipe)
    found = trained.scores("test")["test"]
    assert found["root_mean_squared_error"] == pytest.approx(1.0, abs=0.06), "the noise, which no model can know"
    said = recipe.closing(trained.learner.model, trained.data)
    assert [line.split(":")[0] for line in said] == ["found", "least squares", "true"]
    assert said[2] == "true: weights 3.0000, bias 2.0000"
    exact = least_squares(*all_samples(trained.data, "train"))
    assert said[1] == f"least squares: weights {float(exact[0]):.4f}, bias {float(exact[1]):.4f}"
    weight = trained.learner.model.linear.weight.detach()  # type: ignore[union-attr, operator]
    assert float(weight) == pytest.approx(float(exact[0]), abs=0.05)


def test_noise_is_added_to_the_points() -> None:
    """Fault S0-4 is not repeated: without noise the error would vanish."""
    x, y = all_samples(load_data("world:line"), "train")
    assert float((y - 3 * x - 2).std()) == pytest.approx(1, abs=0.1)
    x, y = all_samples(load_data("world:line(noise=0)"), "train")
    assert float((y - 3 * x - 2).abs().max()) < 1e-5


def test_many_weights_are_told_by_their_length() -> None:
    recipe = LineRecipe(data="world:line(n=60, weights=(0.5,), features=9)", epochs=1)
    trained = train_once(recipe)
    said = recipe.closing(trained.learner.model, trained.data)
    assert len(said) == 2
    assert all("length of the weights" in line for line in said)


def test_least_squares_is_exact_and_shortest() -> None:
    x = torch.tensor([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]])
    weight, bias = least_squares(x, 3 * x.sum(1, keepdim=True) + 1)
    assert weight.tolist() == pytest.approx([3.0, 3.0])
    assert float(bias) == pytest.approx(1.0)


def test_by_hand_by_autograd_and_by_the_learner_are_one_training() -> None:
    study = LineByHand(seeds=1)
    found = study.find(quiet)
    data = load_data(study.data, batch_size=study.batch_size, seed=0)
    x, y = all_samples(data, "train")
    start = torch.tensor([[0.3], [-0.2]]), torch.tensor([0.1])
    batches = [i for epoch in range(study.epochs) for i in data.train.order(epoch).split(study.batch_size)]
    lines = [by_formula(x, y, *start, batches, study.lr), by_autograd(x, y, *start, batches, study.lr), study.by_learner(data, *start)]
    ends = [torch.cat([w.reshape(-1), b.reshape(-1)]) for w, b in lines]
    assert torch.allclose(ends[0], ends[1], rtol=0, atol=1e-6)
    assert torch.allclose(ends[0], ends[2], rtol=0, atol=1e-6)
    halved = by_formula(x, y, *start, batches, study.lr / 2)
    assert not torch.allclose(halved[0], lines[0][0], rtol=0, atol=1e-6), "control: another rate ends elsewhere"
    limit = found.results["closed form"]["test"][MSE]
    assert limit == pytest.approx(1e-4, rel=0.05)
    for name in ("by hand", "autograd", "Learner"):
        assert found.results[name]["test"][MSE] == pytest.approx(limit, rel=0.1)
    assert found.limit is not None
    assert found.limit[MSE] == pytest.approx(1e-4)
    assert mean_errors(*lines[0], data)["train"][MSE] == pytest.approx(1e-4, rel=0.2)


def test_weight_decay_helps_where_rows_are_few() -> None:
    found = WeightDecay(seeds=1).find(quiet)
    error = {name: splits["test"][MSE] for name, splits in found.results.items()}
    assert error["decay 3"] < error["no decay"] / 100
    assert found.results["no decay"]["train"][MSE] < 1e-6, "control: it learns its twenty rows by heart"
    assert error["decay 3 for 300 epochs"] == pytest.approx(found.baselines["mean"][MSE], rel=0.1), "and no better than the mean"


def test_decay_shrinks_what_the_rows_say_nothing_of_as_sgd_says() -> None:
    """One step of decay d and rate r multiplies a weight without gradient by 1 - r d."""
    recipe = WeightDecay(epochs=1, seeds=1, data="world:line(n=40, weights=(0.01,), features=200, bias=0.05, noise=0.01)")
    ends = [train_once(replace(recipe, weight_decay=d)).learner.model.linear.weight.detach()[0] for d in (0.0, 3.0)]  # type: ignore[union-attr, index]
    x, _ = all_samples(recipe.load(), "train")
    unseen = torch.linalg.svd(x).Vh[len(x) :]  # directions no row has, (180, 200)
    free, pulled = (unseen @ end for end in ends)
    assert torch.allclose(pulled, free * (1 - 0.003 * 3) ** 4, atol=1e-4)


def test_degree_three_is_best() -> None:
    found = PolynomialRecipe(seeds=1, epochs=60).find(quiet, pictures=True)
    error = {name: splits["test"][MSE] for name, splits in found.results.items()}
    assert error["degree 3"] < error["degree 20"] < error["degree 1"]
    assert len(found.pictures) == 3
    assert found.sentences[0].startswith("least squares, degree 20")


def test_every_degree_has_the_same_points() -> None:
    recipe = PolynomialRecipe(data="world:polynomial(n=60)")
    x = [all_samples(replace(recipe, degree=d).load(), "train")[0] for d in (1, 20)]
    assert (x[0].shape[1], x[1].shape[1]) == (1, 20)
    assert torch.equal(x[0][:, 0], x[1][:, 0])


@pytest.mark.parametrize(
    ("settings", "code", "fix"),
    [
        ({"data": "digits"}, "E202", "data=world:polynomial"),
        ({"degree": 5}, "E202", "Leave out degree=..."),
        ({"data": "world:polynomial(n=60, degree=5)"}, "E202", "world:polynomial(n=60)"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, object], code: str, fix: str) -> None:
    with pytest.raises(UsageError) as error:
        PolynomialRecipe(**settings).check()  # type: ignore[arg-type]
    assert error.value.code == code
    assert fix in error.value.fix


def test_degrees_are_whole() -> None:
    with pytest.raises(UsageError, match="must be a whole number"):
        parse_settings(PolynomialRecipe, ["degree=2.5"])


def test_squares_stand_beside_their_roots() -> None:
    assert with_squares({"a": {"root_mean_squared_error": 3.0}, "b": {"accuracy": 1.0}}) == {
        "a": {MSE: 9.0, "root_mean_squared_error": 3.0},
        "b": {"accuracy": 1.0},
    }

"""Targets that are probabilities, and label smoothing, through loss, metrics, counts and pictures of a training."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from kit import At, equal, feed, images, learner, mlp, rows, weights
from torch import Tensor, nn

from rungbook.errors import DataError
from rungbook.learner.learner import Learner


def soft(y: Tensor, share: float = 0.8) -> Tensor:
    """Rows of probabilities whose largest is that of the class."""
    return F.one_hot(y, 2).float() * (2 * share - 1) + (1 - share)


def test_metrics_judge_the_likeliest_class() -> None:
    x, y = rows()
    metrics = ["accuracy", "balanced_accuracy", "f1", "top_1", "log_loss", "perplexity", "confusion_matrix"]
    hard, probable = (learner(mlp(), (feed(x, t), feed(x, t, shuffle=False)), metrics=metrics, lr=0.1) for t in (y, soft(y)))
    probable.fit(3)
    hard.model.load_state_dict(probable.model.state_dict())
    mine, theirs = probable.validate(), hard.validate()
    assert str({k: v for k, v in mine.items() if k != "loss"}) == str({k: v for k, v in theirs.items() if k != "loss"})
    output = probable.predict()
    assert mine["loss"] == pytest.approx(float(-(soft(y) * output.log_softmax(1)).sum(1).mean()), rel=1e-6)
    assert mine["loss"] != pytest.approx(theirs["loss"], rel=1e-2), "control: the loss is not that of the likeliest class"
    assert probable.history[-1]["train_accuracy"] > 0.5


def test_a_metric_of_ones_own_is_given_the_targets_as_they_are() -> None:
    def distance(output: Tensor, target: Tensor) -> Tensor:
        return (output.softmax(1) - target).abs().mean()

    x, y = rows()
    ours = learner(data=(feed(x, soft(y)), feed(x, soft(y), shuffle=False)), metrics=[distance, "accuracy"])
    ours.fit(1)
    assert ours.validate()["distance"] == pytest.approx(float((ours.predict().softmax(1) - soft(y)).abs().mean()), rel=1e-5)


def test_columns_that_are_no_probabilities_are_not_taken_for_them() -> None:
    """Several answers at once (binary cross-entropy): the likeliest of them is not the class."""
    x, y = rows()
    both = torch.stack([y, 1 - y], 1).float()
    ours = learner(data=(feed(x, both), None), loss=nn.BCEWithLogitsLoss())
    with pytest.raises(DataError, match='metric "accuracy" does not fit'):
        ours.fit(1)


def test_hard_rows_train_as_class_numbers_do() -> None:
    x, y = rows(64, dtype=torch.float64)
    one, two = (learner(mlp(dtype=torch.float64), (feed(x, t), None), lr=0.1) for t in (y, F.one_hot(y, 2).double()))
    for ours in (one, two):
        ours.fit(3)
    torch.testing.assert_close(weights(two.model), weights(one.model), rtol=0, atol=1e-14)
    assert two.history[-1]["train_loss"] == pytest.approx(one.history[-1]["train_loss"], rel=1e-12)


def test_uneven_batches_of_rows_weigh_by_their_rows() -> None:
    x, y = rows(24)
    ours = learner(mlp(), (feed(x, soft(y), shuffle=False), None), lr=0.0)
    ours.fit(1)
    whole = float(F.cross_entropy(ours.predict(x), soft(y)))
    assert ours.history[0]["train_loss"] == pytest.approx(whole, rel=1e-6)
    halves = [float(F.cross_entropy(ours.predict(a), b)) for a, b in zip(x.split(16), soft(y).split(16), strict=True)]
    assert sum(halves) / 2 != pytest.approx(whole, rel=1e-4), "control"
    mixed: list[tuple[float, int]] = []

    def first_hard(trained: Learner) -> None:
        if trained.batch == 0:
            trained.y = trained.y.argmax(1)

    def note(trained: Learner) -> None:
        mixed.append((float(trained.batch_loss.detach()), len(trained.y)))

    both = learner(
        mlp(), (feed(x, soft(y), shuffle=False), None), lr=0.0, callbacks=[At("before_batch", first_hard), At("after_loss", note)]
    )
    both.fit(1)
    expected = sum(loss * n for loss, n in mixed) / sum(n for _, n in mixed)
    assert both.history[0]["train_loss"] == pytest.approx(expected, rel=1e-6), "rows and class numbers in one epoch weigh alike"


def test_pictures_and_worst_samples() -> None:
    x, y = images(32)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    ours = learner(model, (feed(x, soft(y)), feed(x, soft(y), shuffle=False)))
    ours.fit(1)
    worst = ours.top_losses(4)
    each = -(soft(y) * ours.predict().log_softmax(1)).sum(1)
    assert [s.index for s in worst] == each.argsort(descending=True)[:4].tolist()
    hard = learner(model, (feed(x, y), feed(x, y, shuffle=False)))
    assert ours.show_results() == hard.show_results(), "of a picture the class is told"


@pytest.mark.parametrize("smoothing", [0.1, 0.3])
def test_label_smoothing_is_its_formula(smoothing: float) -> None:
    """Szegedy et al. 2016, section 7: the target is (1 - e) of its class and e / K of every class; on train and in the loss on valid."""
    x, y = rows(48, dtype=torch.float64)
    seen: list[float] = []
    note = At("after_loss", lambda ours: seen.append(float(ours.batch_loss.detach())))
    loss = partial(F.cross_entropy, label_smoothing=smoothing)
    data = (feed(x, y, batch_size=48, shuffle=False), feed(x, y, shuffle=False))
    ours = learner(mlp(dtype=torch.float64), data, loss=loss, metrics=["log_loss"], callbacks=[note], lr=0.0)
    ours.fit(1)
    log_p = ours.model.eval()(x).detach().log_softmax(1)
    expected = float(-((1 - smoothing) * log_p[range(48), y] + smoothing / 2 * log_p.sum(1)).mean())
    assert seen == [pytest.approx(expected, abs=1e-14)]
    row = ours.history[0]
    assert row["valid_loss"] == pytest.approx(expected, abs=1e-12), "valid shows the loss that is trained on"
    assert row["valid_log_loss"] == pytest.approx(float(-log_p[range(48), y].mean()), abs=1e-12), "log_loss is without it"
    assert not math.isclose(row["valid_loss"], row["valid_log_loss"], rel_tol=1e-3)
    spread = F.one_hot(y, 2).double() * (1 - smoothing) + smoothing / 2
    rows_of = learner(mlp(dtype=torch.float64), (feed(x, spread, shuffle=False), None), lr=0.1)
    smooth = learner(mlp(dtype=torch.float64), (feed(x, y, shuffle=False), None), loss=loss, lr=0.1)
    for each in (rows_of, smooth):
        each.fit(2)
    torch.testing.assert_close(weights(smooth.model), weights(rows_of.model), rtol=0, atol=1e-13)
    assert not equal(weights(smooth.model), weights(ours.model))

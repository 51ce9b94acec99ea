"""Curves say what they show, whatever the numbers."""

from __future__ import annotations

import math

from rungbook.learner.schedule import one_cycle
from rungbook.plot.curves import curve, curves, lr_curve, quantities

HISTORY = [
    {"epoch": e, "step": 10 * e, "lr": 0.1, "train_loss": t, "valid_loss": v, "valid_accuracy": a, "train_confusion_matrix": [[1]]}
    for e, t, v, a in [(1, 2.3, 2.2, 0.2), (2, 1.0, 1.1, 0.7), (3, 0.5, 1.3, 0.65)]
]


def test_what_was_measured_is_drawn_loss_first() -> None:
    rows = [{"valid_accuracy": 0.1, **row} for row in HISTORY]
    assert quantities(rows) == ["loss", "accuracy"]
    assert len(curves(rows)) == 2


def test_words_follow_the_data() -> None:
    assert curve(HISTORY).alt == (
        "Train loss falls from 2.3 to 0.5 over 3 epochs. Valid loss falls from 2.2 to 1.3 over 3 epochs, lowest 1.1 at epoch 2."
    )
    assert curve(HISTORY, "accuracy").alt == "Valid accuracy rises from 0.2 to 0.65 over 3 epochs, highest 0.7 at epoch 2."
    assert curve([{"train_loss": 1.0}]).alt == "Train loss is 1 at epoch 1."


def test_numbers_that_are_not_finite_are_said_not_drawn() -> None:
    picture = curve([*HISTORY, {"epoch": 4, "train_loss": math.nan, "valid_loss": math.inf}])
    assert picture.alt.count("; not finite: 1") == 2
    assert "nan" not in str(picture.data).lower()
    assert curve([{"epoch": 1, "train_loss": math.nan}]).alt == "Train loss has no finite value."
    assert curve([]).data


def test_a_wide_range_is_drawn_in_the_logarithm() -> None:
    wide = [{"epoch": i, "train_loss": 10.0**-i} for i in range(5)]
    assert "logarithmic" in str(curve(wide).data)
    assert "mathdefault" not in str(curve(wide).data)
    assert "logarithmic" not in str(curve(HISTORY).data)
    assert "logarithmic" not in str(curve([{"epoch": i, "train_r2": 1 - 10.0**i} for i in range(5)], "r2").data)  # negative values


def test_learning_rate_of_a_schedule_or_of_steps() -> None:
    assert (
        lr_curve(one_cycle(), base=0.1).alt
        == "Learning rate from 0.004 at the start to 4e-07 at the end, highest 0.1 after 30% of the steps."
    )
    assert lr_curve([0.1, 0.3, 0.2]).alt == "Learning rate from 0.1 at the start to 0.2 at the end, highest 0.3 after 50% of the steps."
    assert lr_curve([0.1, 0.1]).alt == "Learning rate 0.1 throughout."

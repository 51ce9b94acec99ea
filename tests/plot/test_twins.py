"""Two trainings side by side, drawn and in words."""

from __future__ import annotations

import pytest

from rungbook.plot.twins import differences, side_by_side


def test_words_and_curves() -> None:
    theirs = [2.0, 1.5, 1.0]
    picture = side_by_side(theirs, [2.0, 1.5 + 3e-12, 1.0], 1e-9, title="lenet")
    assert picture.alt == (
        "lenet: over 3 steps the loss goes from 2 to 1; by hand it is the same but for at most 2.0e-12 of its size, 1e-09 is allowed."
    )
    for words in ("by hand", "torch", "allowed", "1e-12", "step"):
        assert words in str(picture.data)
    assert "mathdefault" not in str(picture.data)


def test_differences_are_relative_above_one() -> None:
    assert differences([100.0, 0.1], [100.1, 0.2]) == pytest.approx([0.001, 0.1])
    with pytest.raises(ValueError, match="shorter"):
        differences([1.0], [1.0, 2.0])

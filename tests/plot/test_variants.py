"""Variants side by side: every seed a mark, splits by shape, words that hold the means."""

from __future__ import annotations

from rungbook.plot.variants import variants

VALUES = {"none": {"train": [0.99, 0.98], "test": [0.9, 0.92]}, "some <b>": {"train": [0.97, 0.96], "test": [0.93, 0.95]}}


def test_every_seed_has_its_mark_and_every_mean_its_words() -> None:
    picture = variants(VALUES, name="accuracy", limit=0.96)
    for words in ("none: train 0.985, test 0.91", "some <b>: train 0.965, test 0.94", "Best possible 0.96"):
        assert words in picture.alt
    assert isinstance(picture.data, str)
    assert "<b>" not in picture.data.split(">", 1)[1], "names are escaped"
    more = {k: {s: [*x, 0.91] for s, x in v.items()} for k, v in VALUES.items()}
    assert str(variants(more, name="accuracy").data).count("<use") > str(variants(VALUES, name="accuracy").data).count("<use")
    assert variants(VALUES, name="accuracy", limit=0.96) == picture, "the same data, the same bytes"


def test_errors_far_apart_go_on_a_logarithmic_axis_and_shares_never() -> None:
    errors = {"good": {"test": [0.01]}, "bad": {"test": [10.0]}}
    assert "(logarithmic)" in str(variants(errors, name="mean_squared_error", positive=True).data)
    assert "(logarithmic)" not in str(variants(errors, name="accuracy").data)


def test_what_is_no_number_is_left_out() -> None:
    picture = variants({"a": {"test": [float("nan"), 0.5]}, "b": {"test": [float("inf")]}}, name="r2")
    assert "a: test 0.5" in picture.alt
    assert "b: no finite values" in picture.alt
    assert "nan" not in str(picture.data)

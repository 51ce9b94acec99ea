"""Judging a run on labelled data: labels read as they were when it was trained. (The command is tested in tests/cli/test_use.py.)"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tables
from gallery import Gallery

import rungbook
from rungbook.errors import DataError, UsageError
from rungbook.recipes.evaluation import evaluate_run, labelled, own_data, own_test_samples
from rungbook.recipes.interval import wilson
from rungbook.recipes.runs import Run
from rungbook.recipes.scores import scores


def test_the_scores_are_those_of_the_single_answers(gallery: Gallery, tmp_path: Path) -> None:
    predictor = rungbook.load(gallery.classes[0])
    path = tables.write(tmp_path / "new.csv", tables.rows(50, seed=3))
    x, y, left_out = labelled(predictor, path)
    assert left_out == []
    truth = [row[3] for row in tables.rows(50, seed=3)]
    assert [predictor.classes[i] for i in y.tolist()] == truth
    answers = predictor.explain(predictor.decode(predictor.outputs_of(x)))
    right = sum(a.label == t for a, t in zip(answers, truth, strict=True))
    result, interval = evaluate_run(str(gallery.classes[0]), str(path))
    assert result["test"]["accuracy"] == pytest.approx(right / 50)
    assert interval == wilson(right, 50)
    assert result["test"] == scores(predictor.target, y, predictor.outputs_of(x))


def test_numbers_are_judged_in_the_users_units(gallery: Gallery, tmp_path: Path) -> None:
    body = tables.numbers(40, seed=3)
    path = tables.write(tmp_path / "new.csv", body, ("size", "colour", "weight", "price"))
    predictor = rungbook.load(gallery.numbers[0])
    x, y, _ = labelled(predictor, path)
    assert np.allclose(y, [row[3] for row in body])
    guess = np.array([p.value for p in predictor.explain(predictor.decode(predictor.outputs_of(x)))])
    result, _ = evaluate_run(str(gallery.numbers[0]), str(path))
    assert result["test"]["mean_absolute_error"] == pytest.approx(np.abs(guess - y).mean())


def test_class_names_are_read_as_when_trained(gallery: Gallery, tmp_path: Path) -> None:
    """Numbers written another way are the same class; blanks do not count; a row without a label is left out by its line."""
    body = tables.rows(30, seed=3)
    body[0][3] = f" {body[0][3]} "
    body[4][3] = "NA"
    _, y, left_out = labelled(rungbook.load(gallery.classes[0]), tables.write(tmp_path / "new.csv", body))
    assert len(y) == 29
    assert left_out == ['line 6: no value of "ok"']


def test_what_cannot_be_judged(gallery: Gallery, tmp_path: Path) -> None:
    body = tables.rows(25)
    for row in body:
        row[3] = ""
    empty = tables.write(tmp_path / "empty.csv", body)
    for run, path, code in ((gallery.classes, empty, "E113"), (gallery.photos, empty, "E116"), (gallery.classes, tmp_path, "E116")):
        with pytest.raises((DataError, UsageError)) as error:
            labelled(rungbook.load(run[0]), path)
        assert error.value.code == code
    broken = tmp_path / "p" / "cat"
    broken.mkdir(parents=True)
    (broken / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="None of 1 image files") as none:
        labelled(rungbook.load(gallery.photos[0]), tmp_path / "p")
    assert none.value.code == "E106"


def test_own_samples_come_with_their_truth(gallery: Gallery) -> None:
    for run, _ in (gallery.digits, gallery.numbers, gallery.texts):
        names, _, truth = own_test_samples(Run(run), 4)
        data = own_data(Run(run))
        assert len(names) == len(truth) == 4
        assert data.test is not None
        assert names[0] == data.test.source.name(0)
        if data.classes:
            assert set(truth) <= set(data.classes)
        else:
            assert float(truth[0]) == pytest.approx(float(data.target.decode(data.test.source.targets()[:1])[0]), rel=1e-4)

"""Judging a finished run: on its own test split (each look is counted) or on labelled data from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rungbook.data.data import Data
from rungbook.data.feed import Inputs
from rungbook.data.load import existing
from rungbook.data.target import ClassTarget, Target
from rungbook.errors import DataError, did_you_mean
from rungbook.recipes import build
from rungbook.recipes.interval import wilson
from rungbook.recipes.predictor import Predictor, load
from rungbook.recipes.recipe import restore_recipe
from rungbook.recipes.runs import Run, find_run, looks_at
from rungbook.recipes.scores import scores


def evaluate_run(reference: str, path: str | None = None) -> tuple[dict[str, Any], tuple[float, float]]:
    """Scores of a run as DESIGN's object (with `on`, `samples`, `looks`), and the interval of its accuracy.

    Args:
        reference: path, name or number of a finished run.
        path: labelled data; the run's own test split if None.

    Raises:
        DataError: E117 the run's data changed since; E111, E102 the labels there are not the run's.
    """
    run = find_run(reference)
    predictor = load(run)
    record = run.record()
    if path is None:
        data = own_data(run)
        assert data.test is not None
        x, y = data.test.source.fetch(slice(0, data.test.samples))
        on = f"the test split of {data.name}"
        run.update(looks=int(record.get("looks", 0)) + 1)
        looks = looks_at(data.fingerprint)
    else:
        x, y = labelled(predictor, existing(Path(path)))
        on, looks = path, 0
    output = predictor.outputs_of(x)
    result = {"run": str(run.path), "recipe": record["recipe"], "on": on, "samples": len(y), "looks": looks}
    result["test"] = scores(predictor.target, y, output)
    return result, wilson(round(result["test"].get("accuracy", 0.0) * len(y)), len(y))


def own_data(run: Run) -> Data:
    """The data a run was trained on. Raises DataError E117 if it changed since."""
    record = run.record()
    recipe = restore_recipe(record["recipe"], record["settings"])
    data = build.fit_data(recipe, recipe.load())
    if data.fingerprint != record["data"]["fingerprint"]:
        raise DataError(
            "E117", f"The data of {run.name} changed since it was trained.", f"Judge the new data by its path: rung eval {run.name} PATH"
        )
    return data


def labelled(predictor: Predictor, path: Path) -> tuple[Inputs, Tensor]:
    """Inputs and targets from a folder of classes or a table, read by the run's own encoder."""
    if predictor.encoder.kind == "image":
        return _labelled_images(predictor, path)
    from rungbook.data.table import read_table

    frame = read_table(path).frame
    name = predictor.target.name
    if name not in frame.columns:
        raise DataError("E111", f'{path} has no column "{name}" to judge by.', did_you_mean(name, map(str, frame.columns)))
    known = frame[name].notna()
    frame = frame[known]
    return predictor.encoder.encode(frame), encode_labels(predictor.target, frame[name].tolist(), str(path))


def encode_labels(target: Target, values: list[Any], where: str) -> Tensor:
    """The user's labels as targets. Raises DataError E102 for a class the model does not know."""
    if isinstance(target, ClassTarget):
        from rungbook.data.table_target import class_name

        names = [class_name(v, target.classes) for v in values]
        unknown = next((n for n in names if n not in target.classes), None)
        if unknown is not None:
            raise DataError(
                "E102", f'{where} has the class "{unknown}", which the model does not know.', did_you_mean(unknown, target.classes)
            )
        return target.encode(names)
    try:
        return target.encode([float(v) for v in values])
    except ValueError as error:
        raise DataError("E112", f'{where}: "{target.name}" holds something that is no number ({error}).', "Correct the cell.") from error


def _labelled_images(predictor: Predictor, path: Path) -> tuple[Inputs, Tensor]:
    from rungbook.data.folder import scan_folder

    files, labels = scan_folder(path)
    if not files:
        raise DataError("E107", f"{path} has no images in folders of classes.", "Give a folder with one folder a class.")
    return predictor.encoder.encode(files), encode_labels(predictor.target, labels, str(path))


def own_test_samples(run: Run, n: int) -> tuple[list[str], Inputs, list[str]]:
    """Names, inputs and true labels of the first `n` test samples of a run, to try it on."""
    data = own_data(run)
    assert data.test is not None
    n = min(n, data.test.samples)
    x, y = data.test.source.fetch(slice(0, n))
    names = [data.test.source.name(i) for i in range(n)]
    truth = [data.classes[i] for i in y.tolist()] if data.classes else [f"{v:g}" for v in data.target.decode(torch.as_tensor(y)).tolist()]
    return names, x, truth

"""Judging a finished run: on its own test split (each look is counted) or on labelled data from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rungbook.data.data import Data
from rungbook.data.feed import Inputs
from rungbook.data.load import existing, is_path
from rungbook.errors import DataError, UsageError, did_you_mean
from rungbook.learner.tta import known_versions
from rungbook.recipes import build
from rungbook.recipes.interval import wilson
from rungbook.recipes.predictor import Predictor, load
from rungbook.recipes.recipe import restore_recipe
from rungbook.recipes.runs import Run, find_run, looks_at
from rungbook.recipes.scores import scores
from rungbook.recipes.settings import Settings, parse_settings


def evaluate_run(reference: str, path: str | None = None, *, tta: str | None = "") -> tuple[dict[str, Any], tuple[float, float]]:
    """Scores of a run as DESIGN's object (with `on`, `samples`, `looks`), and the interval of its accuracy.

    Args:
        reference: path, name or number of a finished run.
        path: labelled data; the run's own test split if None, or if it is "data=PLACE", where the run's own data now lies.
        tta: versions of each image to judge by; none if None, as the run was judged if "".

    Raises:
        UsageError: E201 no such versions.
        DataError: E117 the run's data changed since; E111, E102 the labels there are not the run's.
    """
    run = find_run(reference)
    predictor = load(run)
    if tta != "":
        predictor.tta = known_versions(tta)
    record = run.record()
    left_out: list[str] = []
    if path is None or path.startswith("data="):
        data = own_data(run, path)
        assert data.test is not None
        x, y = data.test.source.fetch(slice(0, data.test.samples))
        on = f"the test split of {data.name}"
        run.update(looks=int(record.get("looks", 0)) + 1)
        looks = looks_at(data.test_mark())
    else:
        x, y, left_out = labelled(predictor, existing(Path(path)))
        on, looks = path, 0
    output = predictor.outputs_of(x)
    result = {"run": str(run.path), "recipe": record["recipe"], "on": on, "samples": len(y), "looks": looks}
    result |= {"tta": predictor.tta} if predictor.tta else {}
    result["test"] = scores(predictor.target, y, output)
    if left_out:
        result["left_out"] = left_out
    return result, wilson(round(result["test"].get("accuracy", 0.0) * len(y)), len(y))


def own_data(run: Run, place: str | None = None) -> Data:
    """The data a run was trained on.

    Args:
        run: which.
        place: "data=PLACE" where it lies now, which the run remembers; where it was if None.

    Raises:
        DataError: E117 it is not the same.
        UsageError: E105 it is not there any more.
    """
    record = run.record()
    recipe = restore_recipe(record["recipe"], record["settings"])
    if place is not None:
        recipe = replace(recipe, **parse_settings(type(recipe), [place]))
    data = read_again(lambda: build.fit_data(recipe, recipe.load()), recipe, f"rung eval {run.name} data=PLACE")
    same_data(run, data, f"Judge the new data by its path: rung eval {run.name} PATH")
    moved(run, recipe)
    return data


def read_again(read: Callable[[], Data], recipe: Settings, remedy: str) -> Data:
    """The data of a run, read once more. Raises UsageError E105 with the remedy where they have gone."""
    try:
        return read()
    except UsageError as error:
        if error.code != "E105" or not is_path(recipe.data):
            raise
        raise UsageError("E105", error.message, f"Where is it now? {remedy}") from error


def same_data(run: Run, data: Data, remedy: str) -> None:
    """Raise DataError E117, with what differs and the remedy, if this is not the data the run was made with.

    Equal data in a folder of another name is called as it was: looks at its test part are counted by that name.
    """
    then = run.record()["data"]
    if data.fingerprint != then["fingerprint"]:
        old, new = then["facts"], data.facts
        changed = [f"{k} {old.get(k)} -> {new.get(k)}" for k in dict.fromkeys([*old, *new]) if old.get(k) != new.get(k)]
        difference = ", ".join(changed[:4]) if changed else "the same counts, other contents"
        raise DataError("E117", f"The data of {run.name} changed since it started: {difference}.", remedy)
    data.name = then["name"]


def moved(run: Run, recipe: Settings) -> None:
    """Remember where the data of a run now lies, so that it is said once."""
    settings = run.record()["settings"]
    if settings.get("data") != recipe.data:
        run.update(settings={**settings, "data": recipe.data})


def labelled(predictor: Predictor, path: Path) -> tuple[Inputs, Any, list[str]]:
    """Labelled data read by the run's own encoder: inputs, truth (class numbers, or numbers in the user's units), and what was left out.

    Raises:
        UsageError: E116 the path is not of the kind the run reads.
        DataError: E111 no column of the target's name, E102 a class the model does not know, E113 no row with a label.
    """
    kind = predictor.encoder.kind
    if kind == "array":
        raise UsageError("E116", "This run was trained on arrays; files cannot be read for it.", "From Python: rungbook.load(RUN)(array)")
    if path.is_dir() != (kind == "image"):
        takes = "a folder with a folder for each class" if kind == "image" else "a table"
        is_now = "a folder" if path.is_dir() else "a file"
        raise UsageError("E116", f"{path} is {is_now}; this run is judged on {takes}.", "Give one of the kind it was trained on.")
    return _labelled_images(predictor, path) if kind == "image" else _labelled_rows(predictor, path)


def _labelled_rows(predictor: Predictor, path: Path) -> tuple[Inputs, Any, list[str]]:
    from rungbook.data.table import read_table
    from rungbook.data.table_target import label_values

    table, target = read_table(path), predictor.target
    if target.name not in table.frame.columns:
        offered = did_you_mean(target.name, map(str, table.frame.columns))
        raise DataError("E111", f'{path} has no column "{target.name}" to judge by.', offered)
    values = label_values(table.frame[target.name], target.task, predictor.classes)
    known = np.array([v is not None and v == v for v in values], dtype=bool)  # NaN is not equal to itself
    if not known.any():
        raise DataError("E113", f'{path} has no row with a value of "{target.name}".', "Give rows whose answer is known.")
    if predictor.classes:
        for line, value in zip(table.lines[known], values[known], strict=True):
            if value not in predictor.classes:
                raise _unknown_class(f"{path} line {line}", str(value), predictor.classes)
    left_out = [f"line {line}: {reason}" for line, reason in table.rejected]
    left_out += [f'line {line}: no value of "{target.name}"' for line in table.lines[~known]]
    truth = target.encode(values[known]) if predictor.classes else values[known].astype(float)
    return predictor.encoder.encode(table.frame[known]), truth, left_out


def _labelled_images(predictor: Predictor, path: Path) -> tuple[Inputs, Any, list[str]]:
    from rungbook.data.folder import scan_folder
    from rungbook.data.layout import find_layout

    files, labels = scan_folder(path)
    layout = find_layout(path)
    judged = {f for f, part in zip(layout.files, layout.parts, strict=True) if "test" not in layout.parts or part == "test"}
    left_out = [f"{f} cannot be read" for f in sorted(judged - set(files))]
    if not files:
        raise DataError("E106", f"None of {len(judged):,} image files in {path} can be read.", "Are these image files?")
    for file, label in zip(files, labels, strict=True):
        if label not in predictor.classes:
            raise _unknown_class(str(file), label, predictor.classes)
    return predictor.encoder.encode(files), predictor.target.encode(labels), left_out


def _unknown_class(where: str, found: str, classes: tuple[str, ...]) -> DataError:
    return DataError("E102", f'{where} is of the class "{found}", which the model does not know.', did_you_mean(found, classes))


def own_test_samples(run: Run, n: int) -> tuple[list[str], Inputs, list[str]]:
    """Names, inputs and true labels of the first `n` test samples of a run, to try it on."""
    data = own_data(run)
    assert data.test is not None
    n = min(n, data.test.samples)
    x, y = data.test.source.fetch(slice(0, n))
    names = [data.test.source.name(i) for i in range(n)]
    truth = [data.classes[i] for i in y.tolist()] if data.classes else [f"{v:g}" for v in data.target.values(torch.as_tensor(y)).tolist()]  # type: ignore[union-attr]
    return names, x, truth

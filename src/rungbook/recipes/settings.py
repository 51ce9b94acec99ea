"""What can be set on a recipe, and how `key=value` becomes it: checked against the fields, every mistake told with its remedy.

`Settings` is the part all recipes share, whether the Learner trains them (`recipe.py`) or they compare and compute (`study.py`).
"""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError

from rungbook.errors import UsageError, did_you_mean

Count = Annotated[int, Field(ge=1, le=10**9)]
Widths = tuple[Count, ...]
Seed = Annotated[int, Field(ge=0, lt=2**31)]  # with as many seeds after it as a study may have, below scikit-learn's 2**32
Threads = Annotated[int, Field(ge=1, le=256)]
Processes = Annotated[int, Field(ge=0, le=64)]
Share = Annotated[float, Field(ge=0, lt=1)]
Between = Annotated[float, Field(gt=0, lt=1)]
Above = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotBelow = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Above | Literal["find"]
Optimizer = Literal["sgd", "adam", "adamw", "rmsprop", "adagrad", "nadam", "radam", "lamb", "lars", "lion", "muon"]
Final = Literal["best", "last"]
PARTS = ("layers", "functions", "losses", "optim", "loader", "autograd")
"""What of a training can be by hand."""
Part = Literal["layers", "functions", "losses", "optim", "loader", "autograd", "all"]
FOLDER = "FOLDER"
"""In a recipe's `fits`: any folder of the user's."""


@dataclass(frozen=True)
class Reported:
    """A figure that a course reports, to stand beside ours.

    Args:
        value: as it is there.
        metric: a name of `recipes.scores`, or mean_squared_error.
        source: where: "FDL 1" (fundamentals of deep learning, notebook 1), "d2l, readers' runs".
        variant: of the study; "" for a recipe that is one training.
        split: what it was measured on there: train, valid, test.
        fault: what is wrong with it (id of FEATURES A14 and in words), or "".
        data: set it was measured on there, by its name here, which is told beside figures of other data; "" for a recipe with one set.
    """

    value: float
    metric: str
    source: str
    variant: str = ""
    split: str = "valid"
    fault: str = ""
    data: str = ""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every recipe can be told.

    Args:
        data: name of a data set or world, or path of a folder or table.
        seed: of split, weights, order and dropout.
        threads: CPU threads; if none, as the recipe finds right.
    """

    name: ClassVar[str] = ""
    listed: ClassVar[bool] = True
    """Whether `rung list` shows it; recipes for a user's own files are trained by path instead."""
    options: ClassVar[tuple[str, ...]] = ()
    """Fields that are said as `--option` on the command line, not as key=value."""
    promise: ClassVar[dict[str, dict[str, float]]] = {}
    """Data name -> metric -> value that the recipe reaches there at least (at most, for errors)."""
    covers: ClassVar[tuple[str, ...]] = ()
    """Ids of the rows of features.toml that the recipe shows."""
    real: ClassVar[tuple[str, ...]] = ()
    """Settings words of the same recipe on real data, as `data=mnist epochs=3`: measured beside the offline default."""
    reported: ClassVar[tuple[Reported, ...]] = ()
    """What the courses report for it."""
    fits: ClassVar[tuple[str, ...]] = ()
    """Data sets and worlds (without parameters) it can be given, where its question belongs to certain data; empty for any."""

    data: str = ""
    seed: Seed = 0
    threads: Threads | None = None

    def check(self) -> None:
        """Refuse what can be known to be wrong before any data is read.

        Raises:
            UsageError: E202 data that the recipe is not made for.
        """
        from rungbook.data.load import is_path

        known = self.data.partition("(")[0] in self.fits or (FOLDER in self.fits and is_path(self.data))
        if self.fits and not known:
            message = f"{self.name} asks its question of certain data; {self.data} is none of it."
            fix = f"These fit: {', '.join('data=' + d for d in self.fits)}."
            if FOLDER in self.fits and Path(self.data).is_dir():
                fix = f"The folder of that name is data=./{self.data}"
            raise UsageError("E202", message, fix)

    def settings(self) -> dict[str, Any]:
        """All fields as a JSON object."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def chosen(self) -> set[str]:
        """Fields that differ from the recipe's own defaults."""
        default = type(self)()
        return {k for k, v in self.settings().items() if v != getattr(default, k)}

    def command(self, **changes: Any) -> str:
        """The `rung train` that trains this recipe again, with some settings changed."""
        from rungbook.data.load import as_word

        own = not self.listed
        words = ["rung train", as_word(Path(self.data)) if own else self.name]
        chosen = self.chosen()
        said = {**{k: v for k, v in self.settings().items() if k in chosen}, **changes}
        for key in self.options:
            value = said.pop(key, None)
            for one in value if isinstance(value, tuple) else [value] if value else []:
                words.append(f"--{key}" if one is True else f"--{key} {shlex.quote(str(one))}")
        said = {k: ",".join(map(str, v)) if isinstance(v, tuple) else v for k, v in said.items() if not (own and k == "data")}
        return " ".join([*words, *(f"{k}={shlex.quote(f'{v:g}' if isinstance(v, float) else str(v))}" for k, v in said.items())])


def parse_settings(cls: type[Settings], words: list[str]) -> dict[str, Any]:
    """`key=value` words as checked field values; all mistakes are told at once.

    Raises:
        UsageError: E201 for keys that are no fields, E202 for values of another type or range.
    """
    keys = [f.name for f in dataclasses.fields(cls) if f.name not in cls.options]
    values: dict[str, Any] = {}
    problems: list[UsageError] = []
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            example = f"{word}={_example(cls, word)}" if word in keys else "epochs=5"
            problems.append(UsageError("E201", f'"{word}" is not a setting.', f"Settings are key=value, without blanks: {example}"))
        elif key in cls.options:
            problems.append(UsageError("E201", f'"{key}" is an option of the source.', f"Say --{key} {text}"))
        elif key not in keys:
            problems.append(UsageError("E201", f'{cls.name or "A recipe"} has no setting "{key}".', did_you_mean(key, keys, "{}=...")))
        else:
            try:
                values[key] = check_value(cls, key, text)
                if key == "mine":
                    values[key] = tuple(_resolved(w) for w in values[key])
                if values[key] and _is_place(key, values[key]):
                    values[key] = str(Path(values[key]).resolve())  # a run is resumed from anywhere
            except UsageError as problem:
                problems.append(problem)
    _raise_all(problems)
    return values


def _is_place(key: str, value: Any) -> bool:
    """Whether a setting names a file or folder."""
    if key == "data":
        from rungbook.data.load import is_path

        return is_path(value)
    if key == "pretrained":
        from rungbook.transfer.sources import is_place

        return is_place(value)
    return key == "weights"


def _resolved(word: str) -> str:
    """`Conv2d:path.py:MyConv` with the file's whole path."""
    name, first, rest = word.partition(":")
    path, last, own = rest.rpartition(":")
    return f"{name}{first}{Path(path).resolve()}{last}{own}" if path else word


def _raise_all(problems: list[UsageError]) -> None:
    if len(problems) == 1:
        raise problems[0]
    if problems:
        listing = "\n".join(f"  - {p.message} {p.fix}".rstrip() for p in problems)
        raise UsageError(problems[0].code, f"{len(problems)} settings are wrong:\n{listing}", "Correct each as its line says.")


def check_value(cls: type[Settings], key: str, text: Any) -> Any:
    """A field's value from text or JSON. Raises UsageError E202 saying what it must be."""
    recipe: Any = cls  # mypy takes a class for one of its instances here and misses __hash__
    hint, adapter = _type_of(recipe, key)
    value: Any = text
    if isinstance(text, str):
        optional = type(None) in getattr(hint, "__args__", ())
        if optional and text.lower() in ("none", ""):
            return None
        if "tuple" in str(hint):
            value = tuple(part for part in text.split(",") if part)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        wanted = " or ".join(dict.fromkeys(_wanted(e) for e in error.errors()))
        raise UsageError("E202", f'{key} is "{text}"; it must be {wanted}.', f"For example {key}={_example(cls, key)}") from error


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


@cache
def _type_of(cls: Any, key: str) -> tuple[Any, TypeAdapter[Any]]:
    """A field's type, and what checks values against it: making one takes a hundred times as long as using it."""
    hint = _hints(cls)[key]
    return hint, TypeAdapter(hint)


def _wanted(error: Any) -> str:
    words = {
        "int_parsing": "a whole number",
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_parsing": "a number",
        "float_type": "a number",
        "bool_parsing": "true or false",
        "bool_type": "true or false",
        "tuple_type": "numbers with commas between them",
        "too_short": "{min_length} or more numbers with commas between them",
        "finite_number": "a finite number",
        "greater_than_equal": "{ge:g} or more",
        "greater_than": "above {gt:g}",
        "less_than": "below {lt:g}",
    }
    message = error["msg"].removeprefix("Input should be ").replace("'", '"')
    return words.get(error["type"], message).format(**error.get("ctx", {}))


def _example(cls: type[Settings], key: str) -> str:
    default = getattr(cls(), key)
    if default in (None, ()):
        examples = {"epochs": "5", "clip": "1.0", "threads": "2", "patience": "5", "ema": "0.99", "image_size": "28"}
        examples |= {"swa": "0.25", "lookahead": "5", "sam": "0.05", "clip_value": "0.5", "clip_adaptive": "0.01"}
        examples |= {"pretrained": "true", "unfreeze": "1,2", "layer_decay": "0.75", "head_lr": "10"}
        examples |= {"mix": "mixup", "mix_alpha": "0.4", "sizes": "96,128", "tta": "flip"}
        examples |= {"scratch": "layers,optim", "mine": "Conv2d:path.py:MyConv"}
        return examples.get(key, "balanced" if key == "class_weights" else "none")
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)

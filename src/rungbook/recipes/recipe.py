"""A recipe is a frozen dataclass: data, model, optimiser, schedule, seed, and what it promises.

`rung train NAME key=value` builds one from text: keys are checked against the fields (nearest name on a typo), values against their
types. The recipes themselves stand in `recipes/book.py` and `recipes/own.py`.
"""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError
from torch import nn

from rungbook.data.data import Data
from rungbook.errors import UsageError, did_you_mean

Count = Annotated[int, Field(ge=1, le=10**9)]
Seed = Annotated[int, Field(ge=0, lt=2**62)]
Threads = Annotated[int, Field(ge=1, le=256)]
Processes = Annotated[int, Field(ge=0, le=64)]
Share = Annotated[float, Field(ge=0, lt=1)]
Above = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotBelow = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Above | Literal["find"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What every recipe can be told.

    Args:
        data: name of a data set, or path of a folder or table.
        model: name of `list_models()`.
        epochs: passes over the train split; from `steps` if None.
        steps: budget in optimiser steps where `epochs` is None, so that few rows train as long as many.
        batch_size: samples a step.
        lr: learning rate, or "find" to look for it (Smith 2017).
        optimizer: sgd, adam, adamw, rmsprop, adagrad, nadam, radam.
        momentum: of sgd.
        weight_decay: L2 pull of the weights, decoupled with adamw.
        schedule: how the learning rate goes: constant, one_cycle, cosine, linear, step, exponential, warm_up_cosine, ...
        clip: largest gradient norm, or none.
        accumulate: batches gathered for one step.
        label_smoothing: share of the target spread over all classes.
        class_weights: balanced weights each class by 1 / its frequency.
        patience: epochs without a better valid loss before stopping, or none.
        ema: decay of an average of the weights, or none.
        final: end with the weights "best" on valid, or the "last".
        seed: of split, weights, order and dropout.
        valid, test: shares of the samples where the source brings no such split.
        device: cpu, cuda, ...; the fastest there is if none.
        threads: CPU threads; if none, one for small models and all cores for large ones.
        workers: processes that read data ahead.
        precision: fp32 or bf16.
        compile: run the model through torch.compile.
        weights: file of weights to start from.
        image_size: side of the images in pixels, for sources of images.
        checkpoint_seconds: clock time between two checkpoints.
    """

    name: ClassVar[str] = ""
    options: ClassVar[tuple[str, ...]] = ()
    """Fields that are said as `--option` on the command line, not as key=value."""
    promise: ClassVar[dict[str, dict[str, float]]] = {}
    """Data name -> metric -> value that the recipe reaches there at least (at most, for errors)."""
    covers: ClassVar[tuple[str, ...]] = ()

    data: str = ""
    model: str = ""
    epochs: Count | None = None
    steps: Count = 2000
    batch_size: Count = 64
    lr: Rate = 1e-3
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop", "adagrad", "nadam", "radam"] = "adamw"
    momentum: Share = 0.9
    weight_decay: NotBelow = 0.01
    schedule: str = "one_cycle"
    clip: Above | None = None
    accumulate: Count = 1
    label_smoothing: Share = 0.0
    class_weights: Literal["balanced"] | None = None
    patience: Count | None = None
    ema: Share | None = None
    final: Literal["best", "last"] = "best"
    seed: Seed = 0
    valid: Share = 0.1
    test: Share = 0.1
    device: str | None = None
    threads: Threads | None = None
    workers: Processes = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    weights: str | None = None
    image_size: Count | None = None
    checkpoint_seconds: Above = 15.0

    def check(self) -> None:
        """Refuse what can be known to be wrong before any data is read.

        Raises:
            UsageError: E201 an unknown model or schedule, E202 shares or schedule arguments out of range, E105 no such weights file.
        """
        from rungbook.learner.schedule import make_schedule
        from rungbook.models.registry import model_entry

        model_entry(self.model)
        make_schedule(self.schedule)
        if self.valid + self.test >= 1 or not self.valid or not self.test:
            message = (
                f"valid={self.valid:g} test={self.test:g}: both are above 0 (one to choose on, one to report once) and together below 1."
            )
            raise UsageError("E202", message, "valid=0.1 test=0.1")
        if self.weights is not None and not Path(self.weights).is_file():
            from rungbook.data.load import existing

            existing(Path(self.weights))
            raise UsageError("E105", f"weights is {self.weights}, which is a folder.", "weights=FILE.safetensors")

    def load(self) -> Data:
        """The data, split and ready to feed."""
        from rungbook.data.load import load_data

        options = {"seed": self.seed, "workers": self.workers, **self.source_options()}
        return load_data(self.data, self.valid, self.test, self.batch_size, **options)

    def source_options(self) -> dict[str, Any]:
        """What `load_data` is told of the source besides."""
        from rungbook.data.bundled import BUNDLED
        from rungbook.data.registry import DOWNLOADS

        known = BUNDLED.get(self.data) or DOWNLOADS.get(self.data)
        # a recipe's own size of images is no demand on a table: that the model does not fit it is said in its own words
        fits = known is None or known.kind == "image" or "image_size" in self.chosen()
        return {"image_size": self.image_size if fits else None}

    def begin(self, model: nn.Module, data: Data) -> None:
        """Change the weights a model starts with, before training."""

    def model_options(self) -> dict[str, Any]:
        """Fields that are options of the model (hidden, dropout, ...), where they are set."""
        from rungbook.models.registry import model_entry

        known = model_entry(self.model).parameters()
        return {k: v for k, v in self.settings().items() if k in known and k != "image_size" and v is not None}

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

        own = self.name not in _LISTED
        words = ["rung train", as_word(Path(self.data)) if own else self.name]
        chosen = self.chosen()
        said = {**{k: v for k, v in self.settings().items() if k in chosen}, **changes}
        for key in self.options:
            value = said.pop(key, None)
            for one in value if isinstance(value, tuple) else [value] if value else []:
                words.append(f"--{key}" if one is True else f"--{key} {shlex.quote(str(one))}")
        said = {k: ",".join(map(str, v)) if isinstance(v, tuple) else v for k, v in said.items() if not (own and k == "data")}
        return " ".join([*words, *(f"{k}={shlex.quote(f'{v:g}' if isinstance(v, float) else str(v))}" for k, v in said.items())])


RECIPES: dict[str, type[Recipe]] = {}
"""Every recipe by name."""


def recipe(name: str, *, listed: bool = True) -> Any:
    """Class decorator that enters a recipe under `name`; recipes for a user's own files are not listed."""

    def enter(cls: type[Recipe]) -> type[Recipe]:
        cls.name = name
        assert name not in RECIPES, name
        RECIPES[name] = cls
        if listed:
            _LISTED.append(name)
        return cls

    return enter


_LISTED: list[str] = []


def load_recipes() -> None:
    """Import the modules that hold the recipes."""
    from rungbook.recipes import book, own  # noqa: F401


def list_recipes() -> list[str]:
    """Names that `rung train` knows, sorted."""
    load_recipes()
    return sorted(_LISTED)


def find_recipe(name: str) -> type[Recipe]:
    """The recipe of a name. Raises UsageError E201 with the nearest name."""
    load_recipes()
    if name not in RECIPES:
        raise UsageError("E201", f'There is no recipe "{name}".', did_you_mean(name, _LISTED, "rung train {}"))
    return RECIPES[name]


def parse_settings(cls: type[Recipe], words: list[str]) -> dict[str, Any]:
    """`key=value` words as checked field values; all mistakes are told at once.

    Raises:
        UsageError: E201 for keys that are no fields, E202 for values of another type or range.
    """
    from rungbook.data.load import is_path

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
                if values[key] and (key == "weights" or (key == "data" and is_path(values[key]))):
                    values[key] = str(Path(values[key]).resolve())  # a run is resumed from anywhere
            except UsageError as problem:
                problems.append(problem)
    _raise_all(problems)
    return values


def _raise_all(problems: list[UsageError]) -> None:
    if len(problems) == 1:
        raise problems[0]
    if problems:
        listing = "\n".join(f"  - {p.message} {p.fix}".rstrip() for p in problems)
        raise UsageError(problems[0].code, f"{len(problems)} settings are wrong:\n{listing}", "Correct each as its line says.")


def check_value(cls: type[Recipe], key: str, text: Any) -> Any:
    """A field's value from text or JSON. Raises UsageError E202 saying what it must be."""
    hint = get_type_hints(cls, include_extras=True)[key]
    value: Any = text
    if isinstance(text, str):
        optional = type(None) in getattr(hint, "__args__", ())
        if optional and text.lower() in ("none", ""):
            return None
        if "tuple" in str(hint):
            value = tuple(part for part in text.split(",") if part)
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        wanted = " or ".join(dict.fromkeys(_wanted(e) for e in error.errors()))
        raise UsageError("E202", f'{key} is "{text}"; it must be {wanted}.', f"For example {key}={_example(cls, key)}") from error


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
        "finite_number": "a finite number",
        "greater_than_equal": "{ge:g} or more",
        "greater_than": "above {gt:g}",
        "less_than": "below {lt:g}",
    }
    message = error["msg"].removeprefix("Input should be ").replace("'", '"')
    return words.get(error["type"], message).format(**error.get("ctx", {}))


def _example(cls: type[Recipe], key: str) -> str:
    default = getattr(cls(), key)
    if default is None:
        examples = {"epochs": "5", "clip": "1.0", "threads": "2", "patience": "5", "ema": "0.99", "image_size": "28"}
        return examples.get(key, "balanced" if key == "class_weights" else "none")
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def restore_recipe(name: str, settings: dict[str, Any]) -> Recipe:
    """The recipe a run was made with, from its recorded settings; fields added since take their defaults.

    Raises:
        UsageError: E204 the record holds what this version has no place for.
    """
    try:
        cls = find_recipe(name)
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{k: check_value(cls, k, v) for k, v in settings.items() if k in known})
    except UsageError as error:
        raise UsageError("E204", f"The run's record does not fit this rungbook: {error.message}", "Train it again.") from error

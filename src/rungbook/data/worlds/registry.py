"""Every world by name: `make_world("blobs(classes=4)")`, `data=world:blobs` in a setting.

Entries name their class as text, so that the table costs no import; tests run over the whole table.
"""

from __future__ import annotations

import dataclasses
import inspect
from importlib import import_module
from typing import Any

from rungbook.calls import parse_call
from rungbook.data.worlds.world import World
from rungbook.errors import UsageError, did_you_mean

PREFIX = "world:"

WORLDS: dict[str, tuple[str, str]] = {
    "line": ("line:Line", "a weighted sum of the inputs plus Gaussian noise"),
    "polynomial": ("curves:Polynomial", "a polynomial given as its terms, plus Gaussian noise"),
    "sinusoid": ("curves:Sinusoid", "a sine on a slope plus Gaussian noise"),
    "parabola": ("curves:Parabola", "a parabola plus Gaussian noise"),
    "cars": ("cars:Cars", "weight, horsepower and mileage shaped like Auto-MPG"),
    "houses": ("houses:Houses", "prices of houses: numbers, categories, gaps"),
    "blobs": ("blobs:Blobs", "two to ten Gaussian blobs around a circle"),
    "moons": ("bands:Moons", "two half circles, some labels wrong"),
    "circles": ("bands:Circles", "a circle inside another, some labels wrong"),
    "spirals": ("bands:Spirals", "arms that wind around each other, some labels wrong"),
    "density": ("density:Density", "a density in the plane, without targets"),
    "hidden_markov": ("markov:HiddenMarkov", "a text whose characters depend on hidden states"),
    "grammar": ("grammar:Arithmetic", "a text of sums and products in nested brackets"),
    "translation": ("translation:Translation", "sentences in two languages, with synonyms"),
    "shapes": ("shapes:Shapes", "images of shapes with wrong labels, boxes and masks"),
}
"""Name -> (module and class below `rungbook.data.worlds`, one line for lists)."""


def is_world(source: Any) -> bool:
    """Whether a data name means a world."""
    return isinstance(source, str) and source.startswith(PREFIX)


def world_class(name: str) -> type[World]:
    """The class of a world. Raises UsageError E201 with the nearest name."""
    if name not in WORLDS:
        raise UsageError("E201", f'There is no world "{name}".', did_you_mean(name, WORLDS, PREFIX + "{}"))
    module, cls = WORLDS[name][0].split(":")
    return getattr(import_module(f"rungbook.data.worlds.{module}"), cls)


def make_world(text: str) -> World:
    """A world from its name and parameters, with or without the prefix: "blobs", "world:blobs(classes=4, bayes=0.9)".

    Raises:
        UsageError: E201 no such world or parameter, E202 a parameter of the wrong type or one that nothing can satisfy.
    """
    name, options = parse_call(text.removeprefix(PREFIX), "world", '"world:blobs" or "world:blobs(classes=4)"')
    cls = world_class(name)
    defaults = {f.name: f.default for f in dataclasses.fields(cls) if f.init}
    kinds = inspect.get_annotations(cls, eval_str=False)
    for key, value in options.items():
        if key not in defaults:
            raise UsageError("E201", f'world:{name} has no parameter "{key}".', did_you_mean(key, defaults, "{}=..."))
        if not _fits(value, defaults[key]):
            wanted = kinds.get(key, type(defaults[key]).__name__)
            raise UsageError("E202", f"world:{name}: {key} is {value!r}; it must be {wanted}.", f"For example {key}={defaults[key]!r}")
    return cls(**options)


def _fits(value: Any, default: Any) -> bool:
    """Whether a value is of the type of the default; numbers stand for numbers, but fractions not for counts; None takes any number."""
    if default is None:
        return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, tuple):
        return isinstance(value, tuple | list) and all(isinstance(v, int | float) for v in value)
    return isinstance(value, type(default))

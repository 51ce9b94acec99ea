"""Data sets by name: those that come with scikit-learn, those that are downloaded, and the worlds."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from rungbook.data.bundled import BUNDLED
from rungbook.data.data import Data
from rungbook.data.registry import DOWNLOADS
from rungbook.data.worlds.registry import PREFIX, WORLDS, is_world, world_class
from rungbook.data.worlds.samples import world_data
from rungbook.errors import UsageError, did_you_mean

_MAKERS = {
    "image": "rungbook.data.images:image_data",
    "table": "rungbook.data.tabular:table_data",
    "characters": "rungbook.data.characters:character_data",
}
"""Kind of set -> the function whose options it takes."""


def data_names() -> dict[str, str]:
    """Name -> one line about it, of every set that `named_data` knows: the bundled ones first, then downloads, then worlds."""
    from rungbook.data.resume import published

    bundled = {name: f"{b.title} (comes with scikit-learn)" for name, b in BUNDLED.items()}
    downloads = {name: f"{d.title} (download, {published(d.size)})" for name, d in DOWNLOADS.items()}
    return bundled | downloads | {PREFIX + name: f"{title} (a world: its limit is known)" for name, (_, title) in WORLDS.items()}


def kind_of(name: str) -> str:
    """ "image", "table", "array" or "characters": the kind of a set or world; "" for what is neither.

    Raises:
        UsageError: E201 there is no such world.
    """
    if is_world(name):
        return world_class(name.removeprefix(PREFIX).partition("(")[0].strip()).kind
    entry = BUNDLED.get(name) or DOWNLOADS.get(name)
    return entry.kind if entry else ""


def named_data(name: str, **options: Any) -> Data:
    """A data set by its name.

    Args:
        name: as in `data_names`.
        options: `valid`, `test` (shares), `seed`, `batch_size`, `workers` for every set; what else `image_data`, `table_data` or
            `character_data` take, according to the set's kind. None means the default.

    Raises:
        UsageError: E201 there is no such set or option; the nearest name is offered.
        EnvironmentProblem: E403 it could not be downloaded.
    """
    load: Callable[..., Data]
    if is_world(name):
        return world_data(name, **options)
    if name in BUNDLED:
        kind, load = BUNDLED[name].kind, BUNDLED[name].load
    elif name in DOWNLOADS:
        kind, load = DOWNLOADS[name].kind, partial(_function(DOWNLOADS[name].loader), DOWNLOADS[name])
    else:
        raise UsageError("E201", f'There is no data set called "{name}".', did_you_mean(name, data_names()))
    given = {k: v for k, v in options.items() if v is not None}
    known = _options(load) | _options(_function(_MAKERS[kind])) - {"name", "target", "test_share", "parts"}
    if unknown := sorted(set(given) - known):
        raise UsageError("E201", f'{name} ({kind}) has no option "{unknown[0]}".', did_you_mean(unknown[0], known))
    data = load(**given)
    entry = BUNDLED.get(name) or DOWNLOADS[name]
    data.facts |= {"licence": entry.licence, "citation": entry.citation}
    return data


def _function(address: str) -> Callable[..., Any]:
    """The function at "module:name"."""
    module, _, function = address.partition(":")
    return getattr(import_module(module), function)


def _options(function: Callable[..., Any]) -> set[str]:
    """The keywords a function names."""
    return {p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY}

"""A world as `Data`: train and valid cut from `n` samples, test drawn anew, and the limit recorded for whoever reports a score."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rungbook.data.arrays import ArrayEncoder
from rungbook.data.data import Data, fingerprint, make_feeds
from rungbook.data.draws import key
from rungbook.data.feed import TensorSource
from rungbook.data.split import split_indices
from rungbook.data.target import ClassTarget, NumberTarget, Target
from rungbook.data.worlds.registry import make_world
from rungbook.data.worlds.world import World
from rungbook.errors import DataError, UsageError, did_you_mean

TEST_SAMPLES = {"array": 10_000, "table": 5_000, "image": 2_000}
"""Kind -> samples drawn for test: a world is never short of new ones, and a large test part leaves little to chance."""
COMMON = ("valid", "test", "seed", "batch_size", "workers")
OPTIONS = {"array": (), "table": ("keep", "log"), "image": ("image_size", "augment"), "characters": ("context",)}
"""Kind -> what else a source of that kind can be told."""


def world_data(
    what: str, /, *, valid: float = 0.1, test: float = 0.1, seed: int = 0, batch_size: int = 64, workers: int = 0, **options: Any
) -> Data:
    """Train, valid and test of a world.

    Args:
        what: its name and parameters, "world:blobs(classes=4)".
        valid: share of the world's `n` samples kept for valid.
        test: 0 for no test part, else it has `TEST_SAMPLES` new samples (a share of the text, for texts).
        seed: of the samples, the split and the order: another seed is another draw from the same world.
        batch_size, workers: of the feeds.
        options: `image_size` and `augment` for images, `keep` and `log` for tables, `context` for texts.

    Raises:
        UsageError: E201 no such world, parameter or option, E202 an impossible parameter, E116 a world without samples to learn from.
        DataError: E113 too few samples to split.
    """
    world = make_world(what)
    given = {k: v for k, v in options.items() if v is not None}
    if world.kind not in OPTIONS:
        message = f"{world} gives no samples of the kinds that are split and fed (numbers, tables, images, characters)."
        raise UsageError("E116", message, f'From Python: rungbook.data.worlds.registry.make_world("{world.name}").sample(100)')
    if unknown := sorted(set(given) - set(OPTIONS[world.kind])):
        known = [*COMMON, *OPTIONS[world.kind]]
        raise UsageError("E201", f'{world} ({world.kind}) has no option "{unknown[0]}".', did_you_mean(unknown[0], known))
    common = {"valid": valid, "seed": seed, "batch_size": batch_size, "workers": workers}
    fresh = TEST_SAMPLES.get(world.kind, 0) if test else 0
    try:
        data = _MAKERS[world.kind](world, fresh, test, common, given)
    except DataError as error:
        if error.code != "E113":
            raise
        more = f"n={max(1000, 10 * world.n)}"  # a world has samples without end: nobody has to add any
        raise DataError("E113", error.message, f"{more}, as in world:{world.name}({more})") from error
    limits = world.limits()
    data.facts |= {
        "world": str(world),
        "limit": {metric: limit.value for metric, limit in limits.items()},
        "limit_error": {metric: limit.error for metric, limit in limits.items()},
    }
    if fresh:
        data.facts["test"] = "new"
    return data


def test_seed(seed: int) -> int:
    """The seed of a world's test samples: a function of the seed that meets no seed anybody would choose."""
    return key(seed, 1) >> 1


test_seed.__test__ = False  # type: ignore[attr-defined]  # no test, though pytest would take it for one


def _array(world: World, fresh: int, test: float, common: dict[str, Any], options: dict[str, Any]) -> Data:
    """Arrays: numbers as they are."""
    seed = common["seed"]
    drawn = world.sample(world.n, seed)
    x, y = _tensors(drawn.x, drawn.y)
    target: Target = ClassTarget(world.class_names, world.target) if world.task == "classification" else NumberTarget(name=world.target)
    strata = y.numpy() if world.task == "classification" else None
    index = split_indices(len(y), valid=common["valid"], test=0.0, seed=seed, strata=strata)
    parts = {k: (x[i], y[i]) for k, i in ((k, torch.as_tensor(v)) for k, v in index.items() if len(v))}
    if fresh:
        new = world.sample(fresh, test_seed(seed))
        parts["test"] = _tensors(new.x, new.y)
    sources: dict[str, Any] = {k: TensorSource(*part) for k, part in parts.items()}
    encoder = ArrayEncoder()
    feeds = make_feeds(sources, batch_size=common["batch_size"], seed=seed, workers=common["workers"], encoder=encoder)
    train = feeds["train"]
    assert train is not None
    facts = {"rows": sum(map(len, sources.values())), **{f"{k}_rows": len(s) for k, s in sources.items()}}
    mark = fingerprint([str(world), *(t for part in parts.values() for t in part)])
    return Data(str(world), target, train, feeds["valid"], feeds["test"], encoder, facts=facts, fingerprint=mark)


def _tensors(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    return torch.as_tensor(np.ascontiguousarray(x)), torch.as_tensor(np.ascontiguousarray(y))


def _table(world: World, fresh: int, test: float, common: dict[str, Any], options: dict[str, Any]) -> Data:
    """A table, through the same audit and encoding as a user's."""
    import pandas as pd

    from rungbook.data.tabular import table_data

    seed = common["seed"]
    frames = [world.sample(world.n, seed).x] + ([world.sample(fresh, test_seed(seed)).x] if fresh else [])
    parts = {"train": np.arange(world.n), **({"test": np.arange(world.n, world.n + fresh)} if fresh else {})}
    return table_data(
        pd.concat(frames, ignore_index=True), target=world.target, name=str(world), test=0.0, parts=parts, **common, **options
    )


def _image(world: World, fresh: int, test: float, common: dict[str, Any], options: dict[str, Any]) -> Data:
    """Images, through the same normalisation as any others."""
    from rungbook.data.images import image_data

    seed = common["seed"]
    drawn = world.sample(world.n, seed)
    new = world.sample(fresh, test_seed(seed)) if fresh else None
    official = (new.x, new.y) if new else None
    return image_data(str(world), drawn.x, drawn.y, world.class_names, test=official, test_share=0.0, **common, **options)


def _characters(world: World, fresh: int, test: float, common: dict[str, Any], options: dict[str, Any]) -> Data:
    """A text as windows and the character after each."""
    from rungbook.data.characters import character_data

    return character_data(str(world), world.sample(world.n, common["seed"]).x, test=test, **common, **options)


_MAKERS = {"array": _array, "table": _table, "image": _image, "characters": _characters}

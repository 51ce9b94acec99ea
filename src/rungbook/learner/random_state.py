"""All random number generators a training run may draw from, as one value."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def get_random_state(*generators: torch.Generator) -> dict[str, Any]:
    """State of Python's, numpy's and torch's global generators, on every device in use, and of `generators` besides."""
    version, internal, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": [version, list(internal), gauss],
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), int(position), int(has_gauss), float(cached)],
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if generators:
        state["own"] = [g.get_state() for g in generators]
    return state


def set_random_state(state: dict[str, Any], *generators: torch.Generator) -> None:
    """Put back what `get_random_state` gave; states of devices that are not here are left out."""
    torch.set_rng_state(state["torch"].cpu())
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), *rest))
    for device, device_state in enumerate(state.get("cuda", [])[: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(device_state.cpu(), device)
    for generator, own in zip(generators, state.get("own", ()), strict=False):
        generator.set_state(own.cpu())


def seed_all(seed: int) -> None:
    """Start every global generator from one seed: a callback or a data set may draw from any of them."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def keyed_numbers(use: str, *key: int) -> np.random.Generator:
    """Random numbers that belong to a place in training (seed, epoch, batch), not to what was drawn before.

    Args:
        use: what they are for; other uses get other numbers.
        key: whole numbers.
    """
    return np.random.default_rng([len(use), *use.encode(), *(k % 2**64 for k in key)])


@contextmanager
def keep_random_state(*generators: torch.Generator) -> Iterator[None]:
    """Whatever is drawn inside, the generators are afterwards as they were."""
    state = get_random_state(*generators)
    try:
        yield
    finally:
        set_random_state(state, *generators)

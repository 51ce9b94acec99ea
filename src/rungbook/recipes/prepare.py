"""What a training needs before its first step: data in the model's form, the model, a device, a number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from rungbook.data.data import Data
from rungbook.errors import DataError, UsageError
from rungbook.learner.late_compiler import postpone
from rungbook.learner.learner import best_device
from rungbook.learner.lsuv import lsuv
from rungbook.learner.random_state import keep_random_state, seed_all
from rungbook.learner.weights import load_weights, read_weights
from rungbook.recipes import build
from rungbook.recipes.companion import cores_each
from rungbook.recipes.recipe import Recipe
from rungbook.recipes.start import kept, normalised, source_of
from rungbook.transfer.create import new_model, start_from


@contextmanager
def keep_threads() -> Iterator[None]:
    """Whatever a training sets, torch has as many threads afterwards as before."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


SMALL_BATCH = 1e9
"""Forward FLOPs of a batch below which a second thread costs more than it brings, many times more on a busy machine."""


def pick_threads(recipe: Recipe, model: nn.Module, data: Data) -> int:
    """How many CPU threads to train with: as asked; else one for small models and every core for large ones, or its part of the cores
    where a study trains several at once.

    The number belongs to the result (sums are taken in another order) and is kept with it. It follows from the model, the cores and what is
    trained, not from how busy the machine is.
    """
    if recipe.threads is not None:
        return recipe.threads
    from torch.utils.flop_counter import FlopCounterMode

    x, _ = data.one_batch(2)
    model.eval()  # batch norm must not count this batch
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        postpone(type(counter.mode).__torch_dispatch__)
        model(*x) if isinstance(x, tuple) else model(x)
    model.train()
    small = counter.get_total_flops() / 2 * data.train.batch_size < SMALL_BATCH
    return 1 if small else cores_each()


def pick_device(name: str | None) -> torch.device:
    """The device of that name, or the best. Raises UsageError E202 if it is not there."""
    if name is None:
        return best_device()
    try:
        device = torch.device(name)
        torch.empty(1, device=device).item()  # "meta" is a device without numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            "E202", f'device is "{name}", which is not there ({str(error).splitlines()[0]}).', f"device={best_device()}"
        ) from error
    return device


def prepare_data(recipe: Recipe, loaded: Data | None = None, *, began: dict[str, Any] | None = None) -> Data:
    """The recipe's data, in the form its model takes, with a batch size that fits.

    Args:
        recipe: says what is read and what it is for.
        loaded: what `recipe.load()` gave, where it was read before; it stays as it is.
        began: what the record of a run says of the weights it began with.

    Raises:
        DataError: E113 a part of it is empty.
    """
    data = build.fit_data(recipe, recipe.load() if loaded is None else loaded)
    if loaded is not None:
        data = replace(data, train=copy(data.train))
        data.train.batch_size = recipe.batch_size
    if (data.valid is None and recipe.valid) or data.test is None:
        part = "test" if data.test is None else "valid"
        raise DataError("E113", f"{data.name} leaves no sample for {part}.", "Add samples, or ask for larger parts: valid=0.2 test=0.2")
    build.check_batch_size(recipe, data)
    return normalised(recipe, data, began)


LSUV_SAMPLES = 64
"""Whose outputs the weights are scaled by; the method's authors found that their number hardly matters."""


def make_model(recipe: Recipe, data: Data, *, began: dict[str, Any] | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """The model as training starts with it: drawn from the seed, read from `weights`, or begun from `pretrained`.

    Args:
        recipe: says which model.
        data: it is to fit.
        began: what the record of a run says of the weights it began with: the model is made for them, and they are not read.
    """
    options = build.model_options(recipe, data)
    source = source_of(recipe, options) if began is None else None
    options |= kept(recipe, (began or {}).get("defaults", {}))
    with keep_random_state():
        seed_all(recipe.seed)
        model = new_model(recipe.model, **options)
        recipe.begin(model, data)
        if recipe.init == "lsuv":
            lsuv(model, data.one_batch(LSUV_SAMPLES)[0], seed=recipe.seed)
    if recipe.weights is not None:
        load_weights(model, read_weights(recipe.weights), name=recipe.weights)
    if source is not None:
        start_from(model, source, new_head=recipe.head is not None, image_size=options.get("image_size"))
    return model, options

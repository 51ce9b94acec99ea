"""The cases twins are compared on: torch's own corpora of samples, and rows of ours where torch has none."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any
from unittest import mock

import torch
from agree import Case
from more import FUNCTION_CASES, MODULE_CASES

NAMESAKES = {"unfold"}
"""Functions that share their name with a tensor method that does something else."""


SAME_IN_EVAL = 3
"""Samples of a layer compared in eval mode where that changes nothing."""


@cache
def module_infos() -> dict[type, Any]:
    """Torch's samples of modules, by class."""
    from torch.testing._internal.common_modules import module_db

    return {info.module_cls: info for info in module_db}


@cache
def op_infos() -> dict[str, list[Any]]:
    """Torch's samples of operations, by name as "nn.functional.linear" and by each alias."""
    from torch.testing._internal.common_methods_invocations import op_db

    infos: dict[str, list[Any]] = {}
    for info in op_db:
        for name in dict.fromkeys([info.name, *(a.name for a in info.aliases)]):
            infos.setdefault(name, []).append(info)
    return infos


@cache
def module_cases(cls: type) -> list[Case]:
    """Every sample of a torch.nn class in train mode, and in eval mode; our own rows are added.

    Where torch says that the mode makes no difference, a few samples show that it makes none with ours.
    """
    cases = [case() if callable(case) else case for case in MODULE_CASES.get(cls, ())]
    if cls in module_infos():
        info = module_infos()[cls]
        for training in (True, False):
            torch.manual_seed(0)
            samples = info.module_inputs_func(info, device="cpu", dtype=torch.float64, requires_grad=True, training=training)
            few = None if training or info.train_and_eval_differ else SAME_IN_EVAL
            for i, sample in enumerate(samples[:few]):
                if sample.forward_input is not None:
                    make, call = sample.constructor_input, sample.forward_input
                    label = f"{'train' if training else 'eval'} {i} {sample.desc} {_words(make.args, make.kwargs)}"
                    cases.append(Case(label, call.args, call.kwargs, make.args, make.kwargs, training))
    return cases


def error_cases(cls: type) -> list[Any]:
    """Torch's samples that must raise, for a torch.nn class."""
    info = module_infos().get(cls)
    if info is None or info.module_error_inputs_func is None:
        return []
    return list(info.module_error_inputs_func(info, device="cpu", dtype=torch.float64, requires_grad=False, training=True))


@cache
def function_cases(name: str, limit: int = 60) -> list[Case]:
    """Samples of a function of torch.nn.functional, by its name there; our own rows are added.

    Args:
        name: as "linear".
        limit: most samples of each of torch's variants, taken evenly from all.
    """
    cases = [case() if callable(case) else case for case in FUNCTION_CASES.get(name, ())]
    found: Callable[[str], list[Any]] = lambda key: op_infos().get(key, [])
    for info in [*found(f"nn.functional.{name}"), *(found(name) if name not in NAMESAKES else ())]:
        torch.manual_seed(0)
        kinds = (torch.float64, torch.complex128, torch.int64)  # the first that it takes; a variant for a GPU names none
        dtype = next((d for d in kinds if d in info.dtypes), torch.float64)
        samples = list(info.sample_inputs("cpu", dtype, requires_grad=info.supports_autograd and dtype != torch.int64))
        step = max(1, -(-len(samples) // limit))
        for i, sample in enumerate(itertools.islice(samples, 0, None, step)):
            label = f"{info.variant_test_name} {i * step} {_words(sample.args, sample.kwargs)}".strip()
            cases.append(Case(label, *as_called(info, name, (sample.input, *sample.args), dict(sample.kwargs))))
    return cases


class _Called(Exception):
    """A function was called, and that is all that was asked."""


def as_called(info: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a sample of torch's calls the function of torch.nn.functional with: some go through a lambda, which may change the order."""
    found = args, kwargs
    if getattr(info.op, "__name__", "") != "<lambda>":
        return found

    def record(*args: Any, **kwargs: Any) -> None:
        nonlocal found
        found = args, kwargs
        raise _Called

    with mock.patch.object(torch.nn.functional, name, record), suppress(_Called):
        info.op(*args, **kwargs)
    return found


def _words(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Arguments in short: tensors by their shape."""

    def word(x: Any) -> str:
        return f"{list(x.shape)}" if isinstance(x, torch.Tensor) else str(x)

    return " ".join([*(word(a) for a in args), *(f"{k}={word(v)}" for k, v in kwargs.items())])

"""Whole numbers and truth values: taken where torch takes them, with its result, and refused with its type of error elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as torch_functional
from torch import Tensor

from rungbook.scratch import functional as F

REFUSED = [
    *("celu", "elu", "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish", "leaky_relu", "logsigmoid", "mish", "rrelu", "selu"),
    *("silu", "softplus", "softshrink", "normalize", "dropout", "dropout1d", "dropout2d"),
]
TAKEN = ["relu", "relu6", "sigmoid", "softsign", "tanh", "tanhshrink"]
IN_PLACE = ["celu", "elu", "hardsigmoid", "hardswish", "leaky_relu", "mish", "relu6", "rrelu", "selu", "silu", "dropout"]
MORE: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "alpha_dropout": lambda m, x: m.alpha_dropout(x, training=True),
    "cosine_similarity": lambda m, x: m.cosine_similarity(x, x),
    "cosine_similarity with fractions": lambda m, x: m.cosine_similarity(x, x.double() + 0.5),
    "dropout of nothing": lambda m, x: m.dropout(x, 0.0),
    "dropout of everything": lambda m, x: m.dropout(x, 1.0),
    "dropout in evaluation": lambda m, x: m.dropout(x, training=False),
    "hardtanh": lambda m, x: m.hardtanh(x, -2, 2),
    "hardtanh above 0": lambda m, x: m.hardtanh(x, 1, 2),
    "relu_": lambda m, x: m.relu_(x.clone()),
    "rrelu in training": lambda m, x: m.rrelu(x, training=True),
    "softmax": lambda m, x: m.softmax(x, -1),
    "threshold": lambda m, x: m.threshold(x, 1, 0),
    "threshold_": lambda m, x: m.threshold_(x.clone(), 1, 0),
}


def case(name: str, inplace: bool) -> Callable[[Any, Tensor], Tensor]:
    return lambda m, x: getattr(m, name)(x.clone(), inplace=True) if inplace else getattr(m, name)(x)


CASES = MORE | {name: case(name, False) for name in REFUSED + TAKEN} | {f"{name} in place": case(name, True) for name in IN_PLACE}


def outcome(f: Callable[[Any, Tensor], Tensor], module: Any, x: Tensor) -> Tensor | Exception:
    try:
        return f(module, x)
    except (RuntimeError, ValueError) as error:
        return error


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_as_torch(name: str, dtype: torch.dtype) -> None:
    x = torch.arange(24).reshape(2, 3, 4).sub(0 if dtype == torch.uint8 else 12).to(dtype)
    if name == "dropout2d":
        x = x.unsqueeze(-1)
    expected, found = (outcome(CASES[name], module, x) for module in (torch_functional, F))
    assert type(found) is type(expected), found
    if isinstance(expected, Tensor):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", REFUSED)
def test_function_and_type_are_named(name: str) -> None:
    x = torch.ones(2, 4, 4, 4, dtype=torch.int32) if name == "dropout2d" else torch.ones(2, 4, 4, dtype=torch.int32)
    with pytest.raises((NotImplementedError, RuntimeError), match=rf"^{name}: input is torch.int32, a floating-point type is needed"):
        getattr(F, name)(x)


@pytest.mark.parametrize("name", [name for name in REFUSED if "dropout" not in name and name != "rrelu"])
def test_nothing_is_refused_by_length(name: str) -> None:
    """No numbers at all are refused like some."""
    nothing = torch.ones(0, 4, dtype=torch.int64)
    for module in (F, torch_functional):
        with pytest.raises((NotImplementedError, RuntimeError)):
            getattr(module, name)(nothing)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool], ids=str)
def test_ctc_loss_names_its_argument(dtype: torch.dtype) -> None:
    log_probs, targets = torch.zeros(4, 1, 3, dtype=dtype), torch.tensor([[1, 2]])
    for module in (F, torch_functional):
        with pytest.raises(NotImplementedError, match="ctc_loss: log_probs is torch" if module is F else "ctc_loss"):
            module.ctc_loss(log_probs, targets, torch.tensor([4]), torch.tensor([2]))

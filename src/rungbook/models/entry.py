"""What a table of models says of each."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Entry:
    """One model.

    Args:
        where: "module:Class" below `rungbook.models`.
        inputs: what a sample is: "image" (C, H, W), "flat" (any shape, flattened), "table" (numbers and categories), "text" (token ids).
        about: one line for lists.
        options: constructor arguments this name stands for.
        small: constructor arguments of the form used in tests.
        counted: parameters with the constructor's own channels and classes, as published or as counted by others; 0 where nobody tells.
    """

    where: str
    inputs: str
    about: str
    options: dict[str, Any] = field(default_factory=dict)
    small: dict[str, Any] = field(default_factory=dict)
    counted: int = 0

    def load(self) -> type[nn.Module]:
        """The model's class."""
        module, name = self.where.split(":")
        return getattr(import_module(f"rungbook.models.{module}"), name)

    def parameters(self) -> list[str]:
        """Names of the constructor's arguments."""
        return [p for p in inspect.signature(self.load()).parameters if p != "self"]

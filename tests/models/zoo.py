"""The registry's models in their small forms, and inputs for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rungbook.models.registry import MODELS, create_model


def made(name: str, seed: int = 0) -> nn.Module:
    """A model in its small form."""
    torch.manual_seed(seed)
    return create_model(name, **MODELS[name].small)


def batch(name: str, n: int = 5, seed: int = 1, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """Inputs for the small form."""
    g = torch.Generator().manual_seed(seed)
    entry = MODELS[name]
    small: dict[str, Any] = entry.small
    if entry.inputs == "image":
        return (torch.randn(n, small["in_channels"], *small.get("image_size", (28, 28)), generator=g, dtype=dtype),)
    if entry.inputs == "flat":
        return (torch.randn(n, small["in_features"], generator=g, dtype=dtype),)
    if entry.inputs == "table":
        levels = [torch.randint(0, k, (n, 1), generator=g) for k in small["cardinalities"]]
        return torch.randn(n, small["num_numbers"], generator=g, dtype=dtype), torch.cat(levels, 1)
    return (torch.randint(1, small["vocab_size"], (n, 7), generator=g),)


def outputs(name: str) -> int:
    """Outputs of the small form."""
    return MODELS[name].small.get("num_classes") or MODELS[name].small["out_features"]


def _forms() -> list[str]:
    """The first name of each small form: resnet18 and resnet34 are the same network once both are small."""
    first: dict[str, str] = {}
    for name, entry in MODELS.items():
        first.setdefault(f"{entry.where} {sorted({**entry.options, **entry.small}.items())}", name)
    return list(first.values())


FORMS = _forms()
"""Names to train, where training all would train the same network several times."""

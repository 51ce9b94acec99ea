"""Weights from elsewhere: read as data only, and loaded only where they really match."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from rungbook.errors import DataError, UsageError, nearest
from rungbook.learner.untrusted import check_torch_file


@dataclass(frozen=True)
class Match:
    """How much of a model a set of weights filled."""

    tensors: int
    parameters: int

    def __str__(self) -> str:
        return f"{self.tensors} of {self.tensors} tensors, {self.parameters:,} parameters"


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Named tensors of a safetensors file or of a torch file, which is read with `weights_only=True` and never otherwise.

    Raises:
        UsageError: E105 no such file, E302 the file holds more than tensors; nothing in it was run.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError("E105", f"There is no weights file {path}.", "Give a .safetensors file, or a torch file of plain tensors.")
    try:
        content = safetensors.torch.load_file(path) if path.suffix == ".safetensors" else _torch_file(path)
    except Exception as error:  # whatever a hostile file provokes, it is refused; there is no second, less careful try
        raise _not_data(path, error) from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
        raise UsageError(
            "E302", f"{path} does not hold named tensors.", "Save a state_dict: safetensors.torch.save_file(model.state_dict(), path)."
        )
    return {k.removeprefix("module."): v for k, v in content.items()}


def _torch_file(path: Path) -> Any:
    check_torch_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _not_data(path: Path, error: Exception) -> UsageError:
    # torch's own words advise a second, unsafe try: they are not passed on
    own = isinstance(error, ValueError) and bool(str(error).strip())
    reason = str(error).strip().splitlines()[0][:160] if own else type(error).__name__
    return UsageError(
        "E302",
        f"{path} was refused: it is damaged, or holds objects instead of plain tensors; nothing in it was run ({reason}).",
        "Ask for a .safetensors file, or convert it where it was made: safetensors.torch.save_file(model.state_dict(), path).",
    )


def load_weights(model: nn.Module, weights: dict[str, Tensor], *, name: str = "The weights") -> Match:
    """Fill every parameter and buffer of `model`; all must be there in the right shape, and none may be left over.

    Batch norm's counters of batches may be missing, as in files of torch before 0.4.1: no result depends on them.

    Raises:
        DataError: E303, with the matched share and the nearest name; the model is unchanged.
    """
    own = model.state_dict()
    filled = {k: v for k, v in own.items() if k.endswith("num_batches_tracked") and k not in weights}
    weights = {**filled, **weights}
    fits = {k for k, v in own.items() if k in weights and weights[k].shape == v.shape}
    missing, wrong = [k for k in own if k not in weights], [k for k in own if k in weights and k not in fits]
    left = [k for k in weights if k not in own]
    if missing or wrong or left:
        share = f"{name} fit {len(fits - filled.keys())} of {len(own) - len(filled)} tensors. "
        raise DataError("E303", share + _first_problem(own, weights, missing, wrong, left), _remedy(missing, left))
    model.load_state_dict(weights)
    given = [v for k, v in own.items() if k not in filled]
    return Match(len(given), sum(v.numel() for v in given))


def _first_problem(own: dict[str, Tensor], weights: dict[str, Tensor], missing: list[str], wrong: list[str], left: list[str]) -> str:
    if wrong:
        k = wrong[0]
        return f'"{k}" is {tuple(weights[k].shape)} in the file, {tuple(own[k].shape)} in the model.'
    if missing:
        near = nearest(missing[0], left)
        return f'"{missing[0]}" is missing' + (f'; the file has "{near[0]}".' if near else ".")
    return f'"{left[0]}" is in the file and not in the model.'


def _remedy(missing: list[str], left: list[str]) -> str:
    return "Rename the keys to the model's." if missing and left else "Use weights of this very architecture, with as many outputs."

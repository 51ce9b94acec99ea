"""How each test sample was answered: kept in the run folder, so that two finished runs can be compared sample by sample.

`test.safetensors` holds `right` (uint8) for classes or `error` (float32, prediction - truth in the user's units) for numbers, and `loss`
(float32; cross-entropy, or the squared error in the model's units), in the order of the test samples. Its metadata names that order, and
the bytes are as untrusted as any file of a run that was passed on.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from rungbook.data.data import Data, fingerprint
from rungbook.data.target import ClassTarget
from rungbook.learner.checkpoint import write_atomically
from rungbook.learner.untrusted import read_small

FILE = "test.safetensors"
ORDER = "samples"
KINDS = {"right": torch.uint8, "error": torch.float32, "loss": torch.float32}


@dataclass(frozen=True)
class PerSample:
    """The test samples of a run, in one order.

    Args:
        order: mark of samples and order; equal where sample i is the same one.
        right: whether each was answered rightly (n,), or None for numbers.
        error: prediction - truth (n,), or None for classes.
        loss: of each (n,).
    """

    order: str
    right: np.ndarray | None
    error: np.ndarray | None
    loss: np.ndarray


def write_per_sample(folder: Path, data: Data, truth: Tensor, output: Tensor) -> None:
    """Keep how each test sample was answered.

    Args:
        folder: of the run.
        data: whose test split it is.
        truth: targets as the model is trained on, (n,) or (n, 1).
        output: of the model, (n, outputs).

    Raises:
        EnvironmentProblem: E401 disk full, E405 not writable.
    """
    truth, output = truth.detach().cpu(), output.detach().cpu()
    if isinstance(data.target, ClassTarget):
        truth = truth.reshape(-1).long()
        loss = torch.nn.functional.cross_entropy(output.float(), truth, reduction="none")
        kept = {"right": (output.argmax(1) == truth).to(torch.uint8), "loss": loss}
    else:
        error = data.target.decode(output) - data.target.values(truth)
        kept = {"error": error.float().reshape(-1), "loss": (output.double().reshape(-1) - truth.double().reshape(-1)).square().float()}
    content = safetensors.torch.save({k: v.contiguous() for k, v in kept.items()}, {ORDER: fingerprint(data.sample_marks())})
    write_atomically(folder / FILE, content)


def read_per_sample(folder: Path) -> PerSample | str:
    """What a run kept of its test samples, or why that cannot be used, in words."""
    path = folder / FILE
    if not path.exists():
        return f"{folder.name} kept no {FILE}"
    try:
        content = read_small(path)
        tensors = safetensors.torch.load(content)
        length = int.from_bytes(content[:8], "little")
        order = json.loads(content[8 : 8 + length]).get("__metadata__", {}).get(ORDER, "")
    except (OSError, ValueError, RecursionError, AttributeError, safetensors.SafetensorError) as error:
        return f"{FILE} of {folder.name} cannot be read ({type(error).__name__})"
    if set(tensors) not in ({"right", "loss"}, {"error", "loss"}) or not order:
        return f"{FILE} of {folder.name} does not hold what it should"
    n = len(tensors["loss"]) if tensors["loss"].ndim == 1 else 0
    if not n or any(t.shape != (n,) or t.dtype != KINDS[k] for k, t in tensors.items()):
        return f"{FILE} of {folder.name} does not hold what it should"
    if any(not bool(t.isfinite().all()) for t in tensors.values()) or ("right" in tensors and int(tensors["right"].max()) > 1):
        return f"{FILE} of {folder.name} holds numbers that are not finite or no answers"
    arrays = {k: t.numpy() for k, t in tensors.items()}
    return PerSample(str(order), arrays.get("right"), arrays.get("error"), arrays["loss"])


def fits_record(kept: PerSample, test: dict[str, Any]) -> bool:
    """Whether the samples give the figure that the run's record has."""
    if kept.right is not None:
        return math.isclose(float(kept.right.mean()), float(test.get("accuracy", math.nan)), abs_tol=1e-9)
    assert kept.error is not None
    root = float(np.sqrt((kept.error.astype(float) ** 2).mean()))
    return math.isclose(root, float(test.get("root_mean_squared_error", math.nan)), rel_tol=1e-4)

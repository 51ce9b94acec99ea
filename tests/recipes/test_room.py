"""The room a run asks for before it starts is what its checkpoints take, within a tenth, for small models as for large ones."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from rungbook.data.feed import Feed, TensorSource
from rungbook.learner.callback import Callback
from rungbook.learner.callbacks import EMA, Checkpoints, KeepBest, Recorder
from rungbook.learner.checkpoint import generations
from rungbook.learner.learner import Learner
from rungbook.recipes.session import checkpoint_bytes

OPTIMIZERS: dict[str, Any] = {
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=0.9),
    "adam": torch.optim.Adam,
    "nadam": torch.optim.NAdam,
    "rmsprop": torch.optim.RMSprop,
}


@pytest.mark.parametrize("width", [8, 512])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_within_a_tenth(name: str, width: int, tmp_path: Path) -> None:
    for copies in ([], [KeepBest()], [EMA(0.9), KeepBest()]):
        folder = tmp_path / str(len(copies))
        folder.mkdir()
        saving: list[Callback] = [Recorder(folder), *copies, Checkpoints(folder / "checkpoints")]
        model = nn.Sequential(nn.Linear(6, width), nn.BatchNorm1d(width), nn.Linear(width, width), nn.Linear(width, 2))
        rows = Feed(TensorSource(torch.randn(16, 6), torch.arange(16) % 2))
        ours = Learner(model, (rows, rows), optimizer=OPTIMIZERS[name], lr=1e-3, callbacks=saving, device="cpu")
        ours.fit(2)
        (saved,) = generations(folder / "checkpoints")
        real = sum(p.stat().st_size for p in saved.iterdir())
        assert checkpoint_bytes(SimpleNamespace(learner=ours)) == pytest.approx(real, rel=0.1)  # type: ignore[arg-type]
        weights = sum(p.numel() * 4 for p in ours.params)
        assert weights < 0.6 * real or (not copies and width == 512), "control: the weights alone are no estimate"

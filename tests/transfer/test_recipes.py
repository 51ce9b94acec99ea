"""`rung train ./photos model=... pretrained=... freeze=...` end to end: settings, what is said and recorded, resuming, predicting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rungbook.recipes.own import Images

SMALL = "model=resnet18 widths=4,8,8,12 depths=1,1,1,1 image_size=32 batch_size=16 lr=0.01 ema=none"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty red and forty blue pictures."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for label, channel in (("red", 0), ("blue", 2)):
        (folder / label).mkdir()
        for i in range(40):
            pixels = rng.integers(0, 120, (32, 32, 3))
            pixels[..., channel] += 100
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def begun(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run to begin from."""
    from rungbook.cli.answer import console
    from rungbook.recipes import session

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNG_RUNS", str(tmp_path_factory.mktemp("runs")))
        made = Conv(data=str(photos), epochs=2)
        return Path(session.train(made, label="first", console=console(True))["run"])


def Conv(**settings: Any) -> Images:  # noqa: N802
    """A small network on the photographs."""
    return Images(widths=(4, 8), image_size=16, threads=1, batch_size=16, ema=None, **settings)

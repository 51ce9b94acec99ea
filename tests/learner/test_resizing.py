"""Images that grow over the epochs: which size when, against Pillow, and after an interruption."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from kit import At, Stop, equal, feed, interrupted, learner, weights
from PIL import Image
from torch import Tensor, nn

from rungbook.data.feed import Feed
from rungbook.errors import UsageError
from rungbook.learner.callback import Callback
from rungbook.learner.callbacks import Mix, Resizing
from rungbook.learner.callbacks.resizing import resized
from rungbook.learner.learner import Learner


def pictures(n: int = 48, size: tuple[int, int] = (16, 16), *, shuffle: bool = True) -> Feed:
    x = torch.randn(n, 1, *size, generator=torch.Generator().manual_seed(0))
    return feed(x, (x.mean((1, 2, 3)) > 0).long(), shuffle=shuffle)


def pooled() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Dropout(0.3), nn.Linear(4, 2))


def make(*callbacks: Callback, size: tuple[int, int] = (16, 16), model: nn.Module | None = None, **options: Any) -> Learner:
    data = (pictures(size=size), pictures(16, size, shuffle=False))
    return learner(model or pooled(), data, callbacks=list(callbacks), **options)


def test_sizes_take_turns_over_the_epochs() -> None:
    seen: list[tuple[int, ...]] = []
    judged: list[tuple[int, ...]] = []

    class Probe(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = pooled()

        def forward(self, x: Tensor) -> Tensor:
            (seen if self.training else judged).append(tuple(x.shape[2:]))
            return self.net(x)

    make(Resizing((8, 12, 16)), size=(16, 32), model=Probe()).fit(7)
    sides = [h for h, _ in seen[::3]]
    assert sides == [8, 8, 8, 12, 12, 16, 16], "each about a third of the epochs, three batches each"
    assert {w / h for h, w in seen} == {2.0}, "the form stays"
    assert judged[0] == (16, 32)
    assert set(judged[-7:]) == {(16, 32)}, "valid keeps its size"
    assert set(judged[1:4]) == {(8, 16), (12, 24), (16, 32)}, "each size is tried before the first step"


def test_pixels_are_pillows() -> None:
    x = torch.rand(1, 1, 24, 36, generator=torch.Generator().manual_seed(1))
    small = resized(x, 10)
    theirs = Image.fromarray(x[0, 0].numpy(), "F").resize((15, 10), Image.Resampling.BILINEAR)
    torch.testing.assert_close(small[0, 0], torch.from_numpy(np.array(theirs)), rtol=0, atol=1e-6)
    coarse = torch.nn.functional.interpolate(x, (10, 15), mode="bilinear")
    assert float((coarse - small).abs().max()) > 0.05, "control: without antialiasing pixels are passed over"
    assert resized(x, 24) is x


def test_at_full_size_nothing_is_changed() -> None:
    plain, full, small = make(), make(Resizing((16,))), make(Resizing((8,)))
    for each in (plain, full, small):
        each.fit(2)
    assert equal(weights(full.model), weights(plain.model))
    assert not equal(weights(small.model), weights(plain.model)), "control"


def test_interrupted_anywhere_it_goes_on_as_it_would_have() -> None:
    callbacks = lambda: [Resizing((8, 12, 16)), Mix("both")]
    whole = make(*callbacks())
    whole.fit(4)
    for step in (1, 3, 5, 8):
        state = interrupted(make(*callbacks(), Stop(step)), 4)
        done = make(*callbacks())
        done.fit(4, state=state)
        assert equal(weights(done.model), weights(whole.model)), step
        assert done.history == whole.history


def test_it_comes_before_mixing() -> None:
    sides: list[int] = []

    def note(ours: Learner) -> None:
        sides.append(ours.x.shape[2])

    class Late(At):
        order = -15

    make(Mix("cutmix"), Resizing((8, 16)), Late("before_batch", note)).fit(2)
    assert sides == [8, 8, 8, 16, 16, 16], "between the two, images have their new size already"


def fixed() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 256, 2))


REFUSED: dict[str, tuple[Any, str]] = {
    "larger than the images": (lambda: make(Resizing((8, 24))).fit(2), "shorter side has 16 pixels"),
    "fewer epochs than sizes": (lambda: make(Resizing((8, 12, 16))).fit(2), "3 sizes in 2 epochs"),
    "rows": (lambda: learner(callbacks=[Resizing((8,))]).fit(1), "Only batches of images"),
    "a model of one size": (lambda: make(Resizing((8, 16)), model=fixed()).fit(2), "Sequential does not take images of 8 x 8"),
    "shrinking": (lambda: Resizing((16, 8)), "sizes is 16,8"),
    "none": (lambda: Resizing(()), "sizes is empty"),
    "no pixel": (lambda: Resizing((0, 8)), "sizes is 0,8"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    act, said = REFUSED[case]
    with pytest.raises(UsageError) as error:
        act()
    assert error.value.code == "E202"
    assert said in error.value.message
    assert error.value.fix

"""Wrong programs get a message that names the layer or the row, and whose fix makes them work.

Right programs are left alone, however unusual their shapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kit import equal, feed, learner, rows, weights
from torch import Tensor, nn

from rungbook.data.feed import TensorSource
from rungbook.errors import RungError
from rungbook.learner.diagnose import _explain
from rungbook.learner.learner import Learner

covers = ["B04"]

N = 48
IMAGES = torch.randn(N, 3, 8, 8, generator=torch.Generator().manual_seed(0))
GREY = IMAGES.mean(1, keepdim=True)
BYTES = (GREY.clamp(-2, 2) * 60 + 128).to(torch.uint8)
ROWS = rows(N)[0]
TOKENS = torch.randint(0, 20, (N, 5), generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(N) % 4
NUMBERS = ROWS.sum(1)
PIXELS = IMAGES[:, 0].gt(0).long()


def flat(n: int, out: int = 4) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(n, 16), nn.ReLU(), nn.Linear(16, out))


def conv(channels: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))


def words(size: int = 20) -> nn.Module:
    return nn.Sequential(nn.EmbeddingBag(size, 4), nn.Linear(4, 4))


class Named(nn.Module):
    """A model with layers that have names."""

    def __init__(self, inside: int) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(6, inside), nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x).relu())


class Reshapes(nn.Module):
    """Goes wrong in its own forward, outside every layer."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n, self.out = n, nn.Linear(n, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x.view(-1, self.n))


def single(i: int, value: int) -> Tensor:
    """The labels with one of them changed."""
    y = LABELS.clone()
    y[i] = value
    return y


Program = Callable[[], Learner]


def program(model: Any, x: Any, y: Tensor, loss: Any = F.cross_entropy, **options: Any) -> Program:
    """A program is a function that makes its learner, so that each run begins anew."""
    made = {"metrics": [], **options}

    def make() -> Learner:
        torch.manual_seed(0)
        return learner(model(), (feed(x, y), None), loss=loss, lr=1e-3, **made)

    return make


mse = F.mse_loss
WRONG: dict[str, tuple[Program, str, Program]] = {
    # what: (program, message, program with the fix of the message)
    "numbers of a flat image": (
        program(lambda: flat(64), IMAGES, LABELS),
        r'E101 layer "1: Linear\(in_features=64.*got 192 numbers where it takes 64; one sample is 3x8x8\. Make the layer take 192',
        program(lambda: flat(192), IMAGES, LABELS),
    ),
    "between two layers": (
        program(lambda: Named(12), ROWS, LABELS),
        r'E101 layer "head: Linear.*got 12 numbers where it takes 10',
        program(lambda: Named(10), ROWS, LABELS),
    ),
    "the only layer": (
        program(lambda: nn.Linear(5, 4), ROWS, LABELS),
        r"E101 the model Linear got 6 numbers where it takes 5; one sample is 6",
        program(lambda: nn.Linear(6, 4), ROWS, LABELS),
    ),
    "channels": (
        program(conv, GREY, LABELS),
        r'E101 layer "0: Conv2d\(3, 4.*got 1 numbers where it takes 3; one sample is 1x8x8',
        program(lambda: conv(1), GREY, LABELS),
    ),
    "batch norm": (
        program(lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(9), nn.Linear(8, 4)), ROWS, LABELS),
        r'E101 layer "1: BatchNorm1d\(9.*got 8 numbers where it takes 9',
        program(lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)), ROWS, LABELS),
    ),
    "image smaller than the kernel": (
        program(lambda: nn.Sequential(nn.Conv2d(3, 4, 11), nn.Flatten(), nn.Linear(4, 4)), IMAGES, LABELS),
        r'E101 layer "0: Conv2d.*cannot take an input of shape \(16, 3, 8, 8\)',
        program(conv, IMAGES, LABELS),
    ),
    "a view in forward": (
        program(lambda: Reshapes(5), ROWS, LABELS),
        r"E101 the model Reshapes cannot take an input of shape \(16, 6\).*view|shape '\[-1, 5\]'",
        program(lambda: Reshapes(6), ROWS, LABELS),
    ),
    "a recurrent layer": (
        program(lambda: Recurrent(7), ROWS.reshape(N, 3, 2), LABELS),
        r'E101 layer "rnn: GRU\(7.*got 2 numbers where it takes 7; one sample is 3x2',
        program(lambda: Recurrent(2), ROWS.reshape(N, 3, 2), LABELS),
    ),
    "a token beyond the embedding": (
        program(lambda: words(15), TOKENS, LABELS),
        r'E101 layer "0: EmbeddingBag\(15, 4.*got the numbers 0\.\.19, it knows 0\.\.14\. Make the embedding larger',
        program(lambda: words(20), TOKENS, LABELS),
    ),
    "labels that start at one": (
        program(lambda: flat(64), GREY, LABELS + 1),
        r"E102 Label 4 in sample 3, but the model has 4 outputs, allowed 0-3\. Labels seem to start at 1\. Subtract 1 from the labels\.",
        program(lambda: flat(64), GREY, LABELS),
    ),
    "one label too large": (
        program(lambda: flat(64), GREY, single(41, 9)),
        r"E102 Label 9 in sample 41, but the model has 4 outputs.*give the model 10 outputs",
        program(lambda: flat(64, 10), GREY, single(41, 9)),
    ),
    "one label below zero": (
        program(lambda: flat(64), GREY, single(7, -1)),
        r"E102 Label -1 in sample 7",
        program(lambda: flat(64), GREY, single(7, -1), nn.CrossEntropyLoss(ignore_index=-1)),
    ),
    "a label too large, in a partial": (
        program(lambda: flat(64), GREY, single(41, 9), partial(F.cross_entropy, label_smoothing=0.1)),
        r"E102 Label 9 in sample 41",
        program(lambda: flat(64, 10), GREY, single(41, 9), partial(F.cross_entropy, label_smoothing=0.1)),
    ),
    "a pixel's label": (
        program(lambda: nn.Conv2d(3, 2, 1), IMAGES, PIXELS * 2),
        r"E102 Label 2 in sample 0, but the model has 2 outputs",
        program(lambda: nn.Conv2d(3, 3, 1), IMAGES, PIXELS * 2),
    ),
    "float labels": (
        program(lambda: flat(64), GREY, LABELS.float()),
        r"E103 Labels are torch\.float32 \[\d, \d, \d, \.\.\.\]; classes must be whole numbers.*y\.long\(\); or loss=F\.mse_loss",
        program(lambda: flat(64), GREY, LABELS.float().long()),
    ),
    "a number to be predicted": (
        program(lambda: flat(64, 1), GREY, NUMBERS.unsqueeze(1).repeat(1, 2)),
        r"E103 .*loss=F\.mse_loss",
        program(lambda: flat(64, 2), GREY, NUMBERS.unsqueeze(1).repeat(1, 2), mse),
    ),
    "short whole numbers": (
        program(lambda: flat(64), GREY, LABELS.int()),
        r"E103 Labels are torch\.int32.*y\.long\(\)",
        program(lambda: flat(64), GREY, LABELS.int().long()),
    ),
    "masks of bytes": (
        program(lambda: nn.Conv2d(3, 2, 1), IMAGES, PIXELS.byte()),
        r"E103 Labels are torch\.uint8.*y\.long\(\)",
        program(lambda: nn.Conv2d(3, 2, 1), IMAGES, PIXELS.byte().long()),
    ),
    "whole numbers for numbers": (
        program(lambda: flat(64, 1), GREY, LABELS.unsqueeze(1), F.huber_loss),
        r"E103 Targets are torch\.int64; this loss compares numbers\. y\.float\(\)",
        program(lambda: flat(64, 1), GREY, LABELS.unsqueeze(1).float(), F.huber_loss),
    ),
    "bytes": (
        program(lambda: flat(64), BYTES, LABELS),
        r'E104 layer "1: Linear.*has torch\.float32 weights, its input is torch\.uint8 \(\d+\.\.\d+\)\. Convert it: x\.float\(\) / 255',
        program(lambda: flat(64), BYTES.float() / 255, LABELS),
    ),
    "double inputs": (
        program(lambda: flat(64), GREY.double(), LABELS),
        r"E104 .*its input is torch\.float64.*x\.float\(\)",
        program(lambda: flat(64), GREY.double().float(), LABELS),
    ),
    "whole inputs": (
        program(conv, (IMAGES * 9).long(), LABELS),
        r'E104 layer "0: Conv2d.*its input is torch\.int64',
        program(conv, (IMAGES * 9).long().float(), LABELS),
    ),
    "numbers into an embedding": (
        program(words, TOKENS.float(), LABELS),
        r'E104 layer "0: EmbeddingBag.*takes whole numbers, its input is torch\.float32 \(0\.\.19\)\. Convert it: x\.long\(\)',
        program(words, TOKENS.float().long(), LABELS),
    ),
    "a target that would be broadcast": (
        program(lambda: flat(64, 1), GREY, NUMBERS, mse),
        r"E108 Prediction \(16, 1\) and target \(16,\) would be compared as 256 pairs\..*y\.unsqueeze\(1\)",
        program(lambda: flat(64, 1), GREY, NUMBERS.unsqueeze(1), mse),
    ),
    "the same, as a module": (
        program(lambda: flat(64, 1), GREY, NUMBERS, nn.SmoothL1Loss()),
        r"E108 .*256 pairs",
        program(lambda: flat(64, 1), GREY, NUMBERS.unsqueeze(1), nn.SmoothL1Loss()),
    ),
    "a target with a column too many": (
        program(lambda: nn.Sequential(nn.Linear(6, 1), nn.Flatten(0)), ROWS, NUMBERS.unsqueeze(1), nn.BCEWithLogitsLoss()),
        r"E108 Prediction \(16,\) and target \(16, 1\).*y\.reshape\(output\.shape\)",
        program(lambda: nn.Sequential(nn.Linear(6, 1), nn.Flatten(0)), ROWS, NUMBERS, nn.BCEWithLogitsLoss()),
    ),
    "too many outputs": (
        program(lambda: flat(64, 3), GREY, NUMBERS.unsqueeze(1), mse),
        r"E108 Prediction \(16, 3\) and target \(16, 1\) cannot be compared one by one.*the model needs \(1,\) outputs",
        program(lambda: flat(64, 1), GREY, NUMBERS.unsqueeze(1), mse),
    ),
    "labels in a column": (
        program(lambda: flat(64), GREY, LABELS.unsqueeze(1)),
        r"E108 For outputs \(16, 4\) labels must have shape \(16,\), they have \(16, 1\)\. y\.reshape\(-1\)",
        program(lambda: flat(64), GREY, LABELS.unsqueeze(1).reshape(-1)),
    ),
    "channels last": (
        program(conv, IMAGES.permute(0, 2, 3, 1).contiguous(), LABELS),
        r'E109 layer "0: Conv2d\(3, 4.*wants 3 channels first, the batch is 16x8x8x3: height x width x channel\. x\.permute\(0, 3, 1, 2\)',
        program(conv, IMAGES.permute(0, 2, 3, 1).permute(0, 3, 1, 2), LABELS),
    ),
    "a metric for classes": (
        program(lambda: flat(64, 1), GREY, NUMBERS.unsqueeze(1), mse, metrics=["accuracy"]),
        r'E103 The metric "accuracy" does not fit: .*metrics=\["r2"\]',
        program(lambda: flat(64, 1), GREY, NUMBERS.unsqueeze(1), mse, metrics=["r2"]),
    ),
    "a metric for numbers": (
        program(lambda: flat(64), GREY, LABELS, metrics=["r2"]),
        r'E108 The metric "r2" does not fit',
        program(lambda: flat(64), GREY, LABELS, metrics=["accuracy"]),
    ),
    "a loss for each sample": (
        program(lambda: flat(64), GREY, LABELS, nn.CrossEntropyLoss(reduction="none")),
        r'E202 The loss gives shape \(16,\), one number is needed\. Use reduction="mean"',
        program(lambda: flat(64), GREY, LABELS, nn.CrossEntropyLoss(reduction="mean")),
    ),
    "no rows": (
        program(lambda: flat(64), GREY[:0], LABELS[:0]),
        r"E113 The train split has no samples",
        program(lambda: flat(64), GREY, LABELS),
    ),
}


class Recurrent(nn.Module):
    """The last state of a GRU, into classes."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.rnn, self.out = nn.GRU(features, 5, batch_first=True), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.rnn(x)[0][:, -1])


@pytest.mark.parametrize("name", WRONG)
def test_the_message_names_it_and_the_fix_works(name: str) -> None:
    wrong, message, mended = WRONG[name]
    ours = wrong()
    before = weights(ours.model)
    with pytest.raises(RungError) as caught:
        ours.fit(1)
    assert re.search(message, str(caught.value)), str(caught.value)
    assert caught.value.fix
    assert ours.step == 0
    assert equal(before, weights(ours.model))
    mended().fit(1)


def test_control_what_torch_says() -> None:
    """Without the look at the first batch there is torch's own text, or nothing at all."""
    x, y = rows(16)
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        nn.Linear(5, 2)(x)
    with pytest.warns(UserWarning, match="broadcasting"):
        F.mse_loss(torch.zeros(16, 1), y.float())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(4, 6), "lies on meta, its input on cpu. Move both"),
        (torch.zeros(4, 6, dtype=torch.uint8, device="meta"), "its input is torch.uint8|E104"),
    ],
)
def test_devices(given: Tensor, message: str) -> None:
    """Two devices on a machine that has one: `meta` stands for the other."""
    layer = nn.Linear(6, 2, device="meta")
    if given.device.type == "meta":
        layer, given = layer.to_empty(device="cpu"), given
        message = "lies on cpu, its input on meta"
    error = _explain(RuntimeError("..."), "3", layer, given, given)
    assert re.search(message, str(error))
    assert "3: Linear" in str(error)


def test_the_row_has_its_name() -> None:
    from rungbook.data.feed import Feed

    y = single(41, 9)
    names = [f'row {i + 2} of animals.csv (class "fox")' for i in range(N)]
    ours = learner(flat(64), (Feed(TensorSource(GREY, y, names), batch_size=16, shuffle=True), None))
    with pytest.raises(RungError, match=r'E102 Label 9 in row 43 of animals\.csv \(class "fox"\)'):
        ours.fit(1)


def test_a_loader_has_no_names_and_only_its_first_batch() -> None:
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(GREY, single(5, 9)), batch_size=16)
    with pytest.raises(RungError, match="E102 Label 9 in sample 5"):
        learner(flat(64), (loader, None)).fit(1)


class Several(nn.Module):
    """Two inputs of different kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.out = nn.EmbeddingBag(20, 3), nn.Linear(9, 4)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        return self.out(torch.cat([x, self.words(tokens)], 1))


class OnlyInTraining(nn.Module):
    """Gives something else in evaluation mode, of the same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x) if self.training else self.out(x).softmax(1)


RIGHT: dict[str, Program] = {
    "segmentation": program(lambda: nn.Conv2d(3, 2, 1), IMAGES, PIXELS),
    "segmentation, void pixels": program(
        lambda: nn.Conv2d(3, 2, 1), IMAGES, PIXELS.masked_fill(IMAGES[:, 1] > 1, 255), nn.CrossEntropyLoss(ignore_index=255)
    ),
    "sequences": program(lambda: nn.Conv1d(2, 3, 1), ROWS.reshape(N, 2, 3), torch.arange(N * 3).reshape(N, 3) % 3),
    "padded sequences": program(
        lambda: nn.Conv1d(2, 3, 1), ROWS.reshape(N, 2, 3), (torch.arange(N * 3).reshape(N, 3) % 3).masked_fill(ROWS[:, :3] > 1, -100)
    ),
    "unlabelled rows": program(lambda: flat(64), GREY, single(3, -100)),
    "soft targets": program(lambda: flat(64), GREY, F.one_hot(LABELS, 4).float() * 0.9 + 0.025),
    "bytes as labels": program(lambda: flat(64), GREY, LABELS.byte()),
    "a weight for each class": program(lambda: flat(64), GREY, LABELS, nn.CrossEntropyLoss(weight=torch.ones(4))),
    "likelihood": program(lambda: nn.Sequential(flat(64), nn.LogSoftmax(1)), GREY, LABELS, F.nll_loss),
    "more outputs than classes": program(lambda: flat(64, 9), GREY, LABELS),
    "one number": program(lambda: flat(64, 1), GREY, NUMBERS.unsqueeze(1), mse, metrics=["r2"]),
    "one number, flat": program(lambda: nn.Sequential(flat(64, 1), nn.Flatten(0)), GREY, NUMBERS, mse, metrics=["r2"]),
    "several numbers": program(lambda: flat(64, 6), GREY, ROWS, mse, metrics=["mean_absolute_error"]),
    "images from images": program(lambda: nn.Conv2d(3, 3, 3, padding=1), IMAGES, IMAGES, mse),
    "yes or no": program(lambda: flat(64, 1), GREY, (LABELS > 1).float().unsqueeze(1), F.binary_cross_entropy_with_logits),
    "several yes or no": program(lambda: flat(64, 6), GREY, (ROWS > 0).float(), nn.BCEWithLogitsLoss()),
    "a loss of one's own": program(lambda: flat(64, 1), GREY, NUMBERS, lambda o, t: (o[:, 0] - t).square().mean()),
    "several inputs": program(Several, (ROWS, TOKENS), LABELS, metrics=["accuracy"]),
    "tokens": program(words, TOKENS, LABELS, metrics=["accuracy"]),
    "recurrent": program(lambda: Recurrent(2), ROWS.reshape(N, 3, 2), LABELS),
    "double everywhere": program(lambda: flat(64).double(), GREY.double(), LABELS),
    "bf16": program(conv, IMAGES, LABELS, precision="bf16", metrics=["accuracy"]),
    "square images, as many rows as channels": program(lambda: conv(3), torch.randn(N, 3, 3, 3), LABELS),
    "otherwise in evaluation mode": program(OnlyInTraining, ROWS, LABELS),
    "no metrics and accumulation": program(lambda: flat(64), GREY, LABELS, accumulate=2),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_programs_are_left_alone(name: str) -> None:
    ours = RIGHT[name]()
    ours.fit(1)
    assert ours.step > 0
    assert ours.history[0]["train_loss"] == ours.history[0]["train_loss"], "a number"


def test_the_look_leaves_no_trace() -> None:
    from rungbook.learner.diagnose import diagnose

    ours = RIGHT["bf16"]()
    before, state = weights(ours.model), torch.get_rng_state()
    diagnose(ours)
    assert equal(before, weights(ours.model))
    assert state.equal(torch.get_rng_state())
    assert all(m.training and not m._forward_hooks and not m._forward_pre_hooks for m in ours.model.modules())

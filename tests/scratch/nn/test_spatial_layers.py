"""Convolution, pooling, padding and resizing as layers: drop-in, whole graphs, draws, refusals."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from rungbook.scratch import nn

IMAGE = (2, 4, 9, 8)

MADE: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Conv2d", (4, 6, 3), {"padding": "same", "groups": 2, "padding_mode": "reflect"}),
    ("ConvTranspose2d", (4, 6, (3, 2)), {"stride": 2, "padding": 1, "output_padding": 1}),
    ("MaxPool2d", (3, 2, 1), {"ceil_mode": True}),
    ("AvgPool2d", (3, 2, 1), {"count_include_pad": False}),
    ("LPPool2d", (2, 3), {}),
    ("AdaptiveAvgPool2d", ((3, None),), {}),
    ("AdaptiveMaxPool2d", (3,), {}),
    ("FractionalMaxPool2d", (2,), {"output_ratio": 0.6}),
    ("ZeroPad2d", (1,), {}),
    ("ConstantPad2d", ((1, 0, -1, 2), 3.5), {}),
    ("ReflectionPad2d", (2,), {}),
    ("ReplicationPad2d", ((3, 0, 1, 2),), {}),
    ("CircularPad2d", (1,), {}),
    ("Unfold", (3,), {"stride": 2}),
    ("Upsample", (), {"scale_factor": 1.5, "mode": "bicubic"}),
    ("UpsamplingBilinear2d", ((5, 9),), {}),
    ("PixelShuffle", (2,), {}),
    ("ChannelShuffle", (2,), {}),
    ("Flatten", (), {}),
    ("Unflatten", (1, (2, 2)), {}),
    ("Linear", (8, 3), {}),
    ("Identity", (), {}),
]


@pytest.mark.parametrize(("name", "args", "options"), MADE, ids=[m[0] for m in MADE])
def test_a_torch_layer_becomes_its_twin(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    """As `swap` does it: the class changes, all attributes stay torch's."""
    theirs = getattr(torch.nn, name)(*args, **options).double()
    ours = copy.deepcopy(theirs)
    ours.__class__ = getattr(nn, name)
    x = torch.randn(IMAGE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    results = []
    for layer in (theirs, ours):
        torch.manual_seed(0)
        results.append(layer(x))
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=1e-10)
    assert set(vars(getattr(nn, name)(*args, **options))) == set(vars(theirs))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("name", "args"),
    [("Linear", (7, 5)), ("Bilinear", (3, 5, 4)), ("Conv2d", (3, 5, (3, 2))), ("ConvTranspose2d", (3, 5, 3)), ("Conv1d", (11, 2, 7))],
)
def test_draws_are_torchs_to_the_last_bit(name: str, args: tuple[Any, ...], dtype: torch.dtype) -> None:
    found = []
    for library in (torch.nn, nn):
        torch.manual_seed(3)
        found.append(getattr(library, name)(*args, dtype=dtype).state_dict())
    assert list(found[0]) == list(found[1])
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


def net() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"),
        nn.MaxPool2d(2),
        nn.ConvTranspose2d(6, 4, 2, stride=2),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.Upsample(scale_factor=1.5, mode="bilinear"),
        nn.AdaptiveAvgPool2d((3, 2)),
        nn.Flatten(),
        nn.Linear(24, 3),
    ).double()


def test_one_graph() -> None:
    """`torch.compile` finds nothing it has to leave to Python."""
    model, x = net(), torch.randn(IMAGE, dtype=torch.float64)
    whole = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(whole(x), model(x))


def test_channels_last_and_views() -> None:
    model, x = net(), torch.randn(IMAGE, dtype=torch.float64)
    expected = model(x)
    strange: list[Tensor] = [
        x.to(memory_format=torch.channels_last),
        torch.stack([x, x], -1)[..., 0],
        x.flip(-1).flip(-1).transpose(2, 3).contiguous().transpose(2, 3),
    ]
    for other in strange:
        torch.testing.assert_close(model(other), expected)


@pytest.mark.parametrize(("name", "args", "options"), MADE, ids=[m[0] for m in MADE])
def test_nothing_is_made_on_another_device(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    """On `meta` tensors have shapes only, and do not go together with a processor's."""
    layer = getattr(nn, name)(*args, **options)
    x = torch.zeros(IMAGE)
    result = layer.to("meta")(x.to("meta"))
    assert result.device.type == "meta"
    assert result.shape == getattr(torch.nn, name)(*args, **options)(x).shape


def test_another_device_would_be_noticed() -> None:
    with pytest.raises(RuntimeError, match="device"):
        torch.zeros(3, device="meta") + torch.zeros(3)


def test_empty_batch() -> None:
    y = net()(torch.zeros(0, *IMAGE[1:], dtype=torch.float64))
    assert y.shape == (0, 3)


def test_transposed_sizes() -> None:
    layer = nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1)
    x = torch.zeros(IMAGE)
    assert layer(x, output_size=(18, 15)).shape == (2, 2, 18, 15)
    with pytest.raises(ValueError, match=r"between \(17, 15\) and \(18, 16\)"):
        layer(x, output_size=(19, 15))
    with pytest.raises(ValueError, match="needs 2 numbers"):
        layer(x, output_size=(18,))


@pytest.mark.parametrize(
    ("name", "args", "options", "named"),
    [
        ("Conv2d", (4, 6, 3), {"groups": 0}, r"groups \(0\)"),
        ("Conv2d", (4, 6, 3), {"groups": 3}, r"groups \(3\) must divide in_channels \(4\)"),
        ("Conv1d", (4, 6, 3), {"groups": 4}, r"groups \(4\) must divide out_channels \(6\)"),
        ("Conv2d", (4, 6, 3), {"padding": "half"}, "padding 'half'"),
        ("Conv2d", (4, 6, 3), {"padding": "same", "stride": 2}, "needs stride 1"),
        ("Conv2d", (4, 6, 3), {"padding_mode": "mirror"}, "padding_mode 'mirror'"),
        ("ConvTranspose2d", (4, 6, 3), {"padding_mode": "reflect"}, "padding_mode 'reflect'"),
        ("Bilinear", (0, 6, 3), {}, r"in1_features \(0\)"),
        ("FractionalMaxPool2d", (2,), {}, "output_size and output_ratio"),
    ],
)
def test_refusals(name: str, args: tuple[Any, ...], options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        getattr(nn, name)(*args, **options)
    with pytest.raises(ValueError):  # noqa: PT011 (torch's own words)
        getattr(torch.nn, name)(*args, **options)

"""Cases of our own for convolution, pooling, padding, folding and resizing: parts and arguments that torch's samples leave out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from agree import Case
from torch import Tensor, nn


def x(*shape: int) -> Tensor:
    """Normal numbers that want a gradient, the same for a shape each time."""
    g = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=g, dtype=torch.float64).requires_grad_()


def whole(*shape: int) -> Tensor:
    """Small whole numbers, many of them equal: ties."""
    g = torch.Generator().manual_seed(sum(shape))
    return torch.randint(0, 3, shape, generator=g).double().requires_grad_()


def layer(*inputs: Tensor, call: dict[str, Any] | None = None, make: Sequence[Any] = (), **options: Any) -> Case:
    """A layer made with these arguments, called with those inputs."""
    words = [*(str(m) for m in make), *(f"{k}={v}" for k, v in options.items())]
    label = f"own {[list(i.shape) for i in inputs]} {' '.join(words)} {call or ''}"
    return Case(label, inputs, call or {}, tuple(make), options)


def function(*args: Any, **kwargs: Any) -> Case:
    words = [str(list(a.shape)) if isinstance(a, Tensor) else str(a) for a in args]
    return Case(f"own {' '.join(words)} {kwargs or ''}", args, kwargs)


def unpooled(dims: int, *shape: int, **options: Any) -> list[Case]:
    """MaxUnpool behind the MaxPool that it undoes, with a size that the default does not give."""
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[dims - 1]
    values, indices = pool(x(*shape).detach(), return_indices=True, **options)
    call: list[dict[str, Any]] = [{"output_size": torch.Size(shape)}, {"output_size": shape[-dims:]}]
    return [layer(values.requires_grad_(), indices, call=c, **options) for c in call]


def resized() -> list[Case]:
    """interpolate: scales that cut off part of a pixel, sizes that stay, smaller and larger images; with and without antialias."""
    cases = []
    for mode, shape in (("nearest", (2, 3, 5, 7)), ("nearest-exact", (2, 3, 5, 7)), ("bilinear", (2, 3, 5, 7)), ("bicubic", (2, 3, 5, 7))):
        corners: list[dict[str, Any]] = [{}] if "nearest" in mode else [{"align_corners": False}, {"align_corners": True}]
        for more in corners:
            # a scale that changes no size: torch's bicubic then resizes, but its gradient does not
            scales: list[Any] = [2, (0.5, 1.7), (2.3, 0.34), *([1.1] if mode != "bicubic" else [])]
            cases += [function(x(*shape), None, s, mode=mode, **more) for s in scales]
            cases += [function(x(*shape), s, mode=mode, **more) for s in (1, (5, 7), (10, 3), (4, 14))]
            cases.append(function(x(*shape), None, (1.3, 0.7), mode=mode, recompute_scale_factor=True, **more))
            if more:
                cases += [function(x(*shape), s, mode=mode, antialias=True, **more) for s in ((3, 4), (2, 9), (5, 7), (1, 1))]
                cases += [function(x(*shape), None, s, mode=mode, antialias=True, **more) for s in (0.45, (0.6, 2.1))]
    # scales that keep or double a size without being 1 or 2: torch's result is other than for images, and its gradient is not its result's
    nearly: list[tuple[Tensor, Any]] = [(x(2, 3, 7).detach(), 1.08), (x(2, 3, 5).detach(), 2.15), (x(2, 3, 6, 5), (1.08, 2.15))]
    nearly += [(x(1, 2, 3, 4, 5).detach(), 1.19), (x(1, 2, 5, 6, 7).detach(), 2.1)]
    cases += [function(v, None, s, mode=mode) for v, s in nearly for mode in ("nearest", "nearest-exact")]
    cases += [function(x(2, 3, 9), None, 0.4, mode="area"), function(x(2, 3, 9), None, 1.7, mode="linear")]
    cases += [function(x(1, 2, 4, 3, 5), (3, 6, 5), mode="trilinear", align_corners=a) for a in (True, False)]
    return cases


def paddings() -> list[Case]:
    """pad: every mode in every number of dimensions, batched and not, with cuts beside."""
    cases = []
    for shape, sides in (
        ((2, 3, 5), [3, 2]),
        ((3, 5), [0, 4]),
        ((2, 3, 4, 5), [1, 2, 3, 0]),
        ((3, 4, 5), [4, 0, 1, 2]),
        ((1, 2, 3, 4, 5), [1, 1, 2, 0, 0, 2]),
    ):
        cases += [function(x(*shape), sides, mode) for mode in ("reflect", "replicate", "circular")]
    cases += [function(x(2, 3, 5, 6), [-1, 2, 1, -2], mode) for mode in ("constant", "reflect", "replicate", "circular")]
    cases += [function(x(3, 4), [1, 0, 0, 2], "constant", 2.5), function(x(3, 4), [], "constant"), function(x(3), [-3, 4], value=-1.0)]
    return cases


def convolutions(dims: int, transposed: bool = False) -> list[Case]:
    """Layers with padding modes, strings, groups, dilation, uneven numbers; no batch, an empty one, a strided view."""
    sizes, each = (7, 6, 5)[:dims], lambda *n: n[:dims]
    x_view = torch.cat([x(2, *sizes, 4)] * 2, -1).detach()[..., ::2].movedim(-1, 1).requires_grad_()
    shared: list[Case] = [
        layer(x(2, 4, *sizes), make=(4, 6, each(3, 2, 2)), stride=each(2, 1, 3), padding=each(1, 0, 1), groups=2),
        layer(x(4, *sizes), make=(4, 4, 2), groups=4, dilation=2, bias=False),
        layer(x(0, 4, *sizes), make=(4, 3, 2), stride=2),
        layer(x_view, make=(4, 3, 2), padding=1),
    ]
    if transposed:
        wanted = tuple(2 * n - 1 for n in sizes)
        return [
            *shared,
            layer(x(2, 4, *sizes), make=(4, 6, 3), stride=2, padding=1, output_padding=1, groups=2),
            layer(x(2, 4, *sizes), make=(4, 6, 2), dilation=3, output_padding=2, stride=2),
            layer(x(2, 4, *sizes), make=(4, 2, 2), stride=2, padding=1, call={"output_size": wanted}),
            layer(x(4, *sizes), make=(4, 2, 2), stride=2, padding=1, call={"output_size": (2, *wanted)}),
        ]
    modes = ("reflect", "replicate", "circular")
    return [
        *shared,
        *(layer(x(2, 4, *sizes), make=(4, 3, 3), padding=each(1, 2, 1), padding_mode=mode, stride=2) for mode in modes),
        *(layer(x(2, 4, *sizes), make=(4, 3, each(2, 3, 4)), padding="same", padding_mode=mode) for mode in ("zeros", *modes)),
        layer(x(2, 4, *sizes), make=(4, 3, 3), padding="valid", padding_mode="circular"),
        layer(x(2, 4, *sizes), make=(4, 3, 2), padding="same", dilation=2, dtype=torch.float64),
    ]


def pools(dims: int) -> dict[str, list[Case]]:
    """Ties, ceil_mode, divisors and shares that overlap."""
    ties, input = whole(2, 3, *(6, 5, 7)[:dims]), x(2, 3, *(6, 5, 7)[:dims])
    average = [function(input, 3, 2, 1, True, include) for include in (True, False)]
    if dims > 1:
        average += [function(input, 2, 3, 1, ceil, False, 5) for ceil in (True, False)]
    return {
        f"max_pool{dims}d": [
            function(ties, 3, 1, 1, 1, False, True),
            function(ties, 2, 2, 1, 2, True, True),
            *([function(ties.detach().long(), 2)] if dims > 1 else []),
            function(x(2, 3, *(6, 5, 7)[:dims]) - float("inf"), 2),
            function(x(2, 3, *(6, 5, 7)[:dims]).detach() - float("inf"), 3, 2, 1, 1, True, True),
        ],
        f"max_pool{dims}d_with_indices": [function(ties, 3, 2, 1), function(ties[0], 2)],
        f"adaptive_max_pool{dims}d_with_indices": [function(ties, 3), function(ties[0], 2)],
        f"avg_pool{dims}d": [*average, function(input, 2), function(input[0], 2, 1, ceil_mode=True)],
        f"lp_pool{dims}d": [
            *(function(input.abs(), p, 2, *rest) for p in (1, 2, 3.5) for rest in ((), (1,), (3, True))),
            function(input, 2, 3, None, True),
            function(input[0], 2.0, 2),
            function(input * 0, 2.0, 2),
            *(function(input, p, 2, None, ceil) for p in (float("inf"), -float("inf")) for ceil in (True, False)),
        ],
        f"adaptive_max_pool{dims}d": [function(ties, size, True) for size in (1, 3, 4, 9)] + [function(ties[0], 2)],
        f"adaptive_avg_pool{dims}d": [function(input, size) for size in (1, 3, 4, 9)] + [function(input[0], 2)],
    }


LAYERS: tuple[tuple[type, list[Case]], ...] = (
    (
        nn.Linear,
        [layer(x(0, 3), make=(3, 2)), layer(x(2, 3, 4).mT, make=(3, 5), dtype=torch.float64), layer(x(3), make=(3, 1), bias=False)],
    ),
    (nn.LazyLinear, [layer(x(2, 3), make=(4,)), layer(x(2, 5, 3), make=(4,), bias=False, dtype=torch.float64)]),
    (nn.LazyConv2d, [layer(x(2, 4, 5, 6), make=(6, 3), groups=2, padding="same", padding_mode="circular")]),
    (nn.LazyConvTranspose2d, [layer(x(4, 5, 6), make=(6, 3), groups=2, stride=2, call={"output_size": (11, 14)})]),
    (nn.Bilinear, [layer(x(2, 5, 3), x(2, 5, 4), make=(3, 4, 2), bias=b) for b in (True, False)]),
    (nn.Identity, [layer(x(2, 3)), layer(x(2), make=(5,), anything=1)]),
    (
        nn.Flatten,
        [
            layer(x(2, 3, 4, 5)),
            layer(x(2, 3, 4, 5), start_dim=0, end_dim=2),
            layer(x(2), start_dim=0),
            layer(x(0, 3, 4)),
            layer(x(), start_dim=0),
        ],
    ),
    (
        nn.Unflatten,
        [layer(x(2, 12), make=(1, (3, 4))), layer(x(12, 2), make=(-2, [2, -1, 3])), layer(x(2, 6, 3), make=(1, torch.Size([6, 1])))],
    ),
    (nn.PixelShuffle, [layer(x(2, 8, 3, 4), make=(2,)), layer(x(9, 2, 1), make=(3,))]),
    (nn.PixelUnshuffle, [layer(x(2, 2, 6, 4), make=(2,)), layer(x(1, 6, 3), make=(3,))]),
    (nn.ChannelShuffle, [layer(x(2, 6, 3, 4), make=(3,)), layer(x(2, 4, 5), make=(2,))]),
    (
        nn.Unfold,
        [layer(x(2, 3, 6, 5), make=(k,), **o) for k, o in ((2, {}), ((3, 2), {"padding": (1, 0), "stride": (2, 1)}), (2, {"dilation": 2}))]
        + [layer(x(3, 4, 4), make=(2,), stride=2)],
    ),
    (
        nn.Fold,
        [
            layer(x(2, 12, 12), make=((4, 5), (2, 2)), stride=1),
            layer(x(2, 12, 9), make=(4, 2), padding=1, stride=2),
            layer(x(6, 4), make=(5, (3, 2)), dilation=(1, 2), stride=2),
        ],
    ),
    (
        nn.Upsample,
        [
            layer(x(2, 3, 4, 5), **o)
            for o in (
                {"size": 7},
                {"scale_factor": (1.5, 2)},
                {"size": (3, 9), "mode": "bilinear"},
                {"scale_factor": 2, "mode": "bicubic", "align_corners": True},
                {"scale_factor": 1.7, "mode": "nearest-exact", "recompute_scale_factor": True},
            )
        ],
    ),
    (nn.UpsamplingNearest2d, [layer(x(2, 3, 4, 5), size=(7, 3)), layer(x(2, 3, 4, 5), scale_factor=2)]),
    (nn.UpsamplingBilinear2d, [layer(x(2, 3, 4, 5), size=(7, 3)), layer(x(2, 3, 4, 5), scale_factor=2)]),
    (nn.MaxUnpool1d, unpooled(1, 2, 3, 7, kernel_size=2)),
    (nn.MaxUnpool2d, unpooled(2, 2, 3, 7, 6, kernel_size=2) + unpooled(2, 2, 3, 8, 5, kernel_size=2, stride=3)),
    (nn.MaxUnpool3d, unpooled(3, 2, 3, 7, 6, 5, kernel_size=2)),
    (nn.AvgPool2d, [layer(x(2, 3, 6, 5), make=(3,), stride=2, padding=1, ceil_mode=True, count_include_pad=False)]),
    (nn.MaxPool2d, [layer(whole(2, 3, 6, 5), make=(3,), stride=2, padding=1, ceil_mode=True, return_indices=True)]),
    (nn.AdaptiveAvgPool2d, [layer(x(2, 3, 6, 5), make=((None, 3),))]),
    (nn.AdaptiveMaxPool3d, [layer(whole(2, 3, 6, 5, 4), make=((None, 3, 1),), return_indices=True)]),
    *((cls, convolutions(i + 1)) for i, cls in enumerate((nn.Conv1d, nn.Conv2d, nn.Conv3d))),
    *((cls, convolutions(i + 1, transposed=True)) for i, cls in enumerate((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d))),
)

MODULES: dict[type, Sequence[Case | Callable[[], Case]]] = dict(LAYERS)

FUNCTIONS: dict[str, Sequence[Case | Callable[[], Case]]] = {
    "linear": [function(x(2, 3), x(3)), function(x(3), x(3)), function(x(3), x(3), x())],
    "pad": paddings(),
    "interpolate": resized(),
    "upsample": [function(x(2, 3, 4), 6), function(x(2, 3, 4, 5), None, 2, "bilinear", True)],
    "fold": [function(x(2, 12, 12), (4, 5), (2, 2)), function(x(2, 12, 9), 4, 2, 1, 1, 2), function(x(0, 4, 4), 3, 2)],
    "unfold": [function(x(2, 3, 6, 5), (3, 2), (1, 2), (1, 0), (2, 1)), function(x(0, 3, 4, 4), 2), function(x(3, 4, 4), 2)],
    "fractional_max_pool2d_with_indices": [function(x(2, 3, 7, 8), 2, 4), function(x(3, 7, 8), (2, 3), None, (0.6, 0.4))],
    "fractional_max_pool3d_with_indices": [function(x(2, 3, 7, 8, 6), 2, 3)],
    "affine_grid": [function(x(2, d, d + 1), (2, 3, *(4, 1, 5)[:d]), align) for d in (2, 3) for align in (True, False)],
    **pools(1),
    **pools(2),
    **pools(3),
}

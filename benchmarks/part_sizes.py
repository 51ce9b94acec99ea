"""The size at which bench_parts times each layer and loss of TWINS, by family.

Letters: N batch, T time, C channels or classes. Sizes are those of small models on one thread: a quarter of a million numbers through an
activation, 16 images of 32 x 32 with 16 channels, a width of 64 for sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

FLAT = (256, 1024)
MAPS = {1: (16, 16, 256), 2: (16, 16, 32, 32), 3: (4, 8, 12, 16, 16)}
"""Dimensions of space -> (N, C, ...)."""

N, C = 256, 100  # of a loss
T, BATCH, WIDTH, HEADS = 32, 16, 64, 4  # of a sequence
WORDS = 1000


@dataclass(frozen=True)
class Size:
    """One part at one size.

    Args:
        inputs: draws what the layer is called with; floating point inputs that require gradients get them.
        make: arguments of the class.
        options: keyword arguments of the class.
        lazy: the class is gone after the first call, so making it belongs to what is timed.
    """

    inputs: Callable[[], tuple[Any, ...]]
    make: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    lazy: bool = False


Draw = Callable[[], Any]


def normal(*shape: int) -> Draw:
    """Normal numbers that require gradients."""
    return lambda: torch.randn(shape, requires_grad=True)


def fixed(*shape: int) -> Draw:
    """Normal numbers that are a target."""
    return lambda: torch.randn(shape)


def classes(high: int, *shape: int) -> Draw:
    """Integers below `high`."""
    return lambda: torch.randint(high, shape)


def zero_or_one(*shape: int) -> Draw:
    """0.0 or 1.0."""
    return lambda: torch.randint(2, shape).float()


def sign(*shape: int) -> Draw:
    """-1.0 or 1.0."""
    return lambda: torch.randint(2, shape).float() * 2 - 1


def positive(*shape: int) -> Draw:
    """Numbers in [0.1, 1.1)."""
    return lambda: torch.rand(shape) + 0.1


def probabilities(*shape: int) -> Draw:
    """Numbers in (0, 1) that require gradients."""
    return lambda: torch.randn(shape).sigmoid().requires_grad_()


def log_probabilities(*shape: int) -> Draw:
    """Logarithms of distributions over the last dimension, requiring gradients."""
    return lambda: torch.randn(shape).log_softmax(-1).requires_grad_()


def distributions(*shape: int) -> Draw:
    """Distributions over the last dimension."""
    return lambda: torch.randn(shape).softmax(-1)


def labels(n: int, c: int) -> Draw:
    """Of each row 3 classes, then -1: what MultiLabelMarginLoss takes."""
    return lambda: torch.cat([torch.rand(n, c).argsort(-1)[:, :3], torch.full((n, c - 3), -1)], 1)


def same(draw: Draw, times: int) -> Callable[[], tuple[Any, ...]]:
    """One tensor as all inputs, as in self-attention."""
    return lambda: (draw(),) * times


def pooled(space: int) -> Callable[[], tuple[Tensor, Tensor]]:
    """Largest values of windows of 2 and their places, for unpooling."""
    pool: Any = {1: nn.functional.max_pool1d, 2: nn.functional.max_pool2d, 3: nn.functional.max_pool3d}[space]

    def draw() -> tuple[Tensor, Tensor]:
        values, places = pool(torch.randn(MAPS[space]), 2, return_indices=True)
        return values.requires_grad_(), places

    return draw


def table(names: str, *draws: Draw, make: Iterable[Any] = (), **options: Any) -> dict[str, Size]:
    """The same size for several parts.

    Args:
        names: of the classes, with spaces between.
        draws: one for each input.
        make: arguments of the classes.
        options: keyword arguments of the classes.
    """
    size = Size(lambda: tuple(draw() for draw in draws), tuple(make), options)
    return dict.fromkeys(names.split(), size)


def pointwise() -> dict[str, Size]:
    """Activations, and what else keeps the shape of a matrix."""
    x = normal(*FLAT)
    return {
        **table("CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh Identity LeakyReLU LogSigmoid Mish PReLU RReLU ReLU", x),
        **table("ReLU6 SELU SiLU Sigmoid Softplus Softshrink Softsign Tanh Tanhshrink AlphaDropout Dropout", x),
        **table("Threshold", x, make=(0.1, 0.0)),
        **table("LogSoftmax Softmax Softmin", x, dim=-1),
        **table("LayerNorm RMSNorm", x, make=FLAT[1:]),
        **table("Unflatten", x, make=(1, (16, -1))),
        **table("CosineSimilarity PairwiseDistance", x, x),
        **table("Linear NonDynamicallyQuantizableLinear", x, make=(1024, 256)),
        **table("Bilinear", normal(N, 64), normal(N, 64), make=(64, 64, 64)),
    }


def maps(space: int) -> dict[str, Size]:
    """Convolutions, pools, norms, pads and dropouts that exist for 1, 2 and 3 dimensions of space."""
    x, channels, d = normal(*MAPS[space]), MAPS[space][1], f"{space}d"
    pads = " ".join(f"{kind}Pad{d}" for kind in ("Circular", "Reflection", "Replication", "Zero"))
    return {
        **table(f"Conv{d}", x, make=(channels, channels, 3), padding=1),
        **table(f"ConvTranspose{d}", x, make=(channels, channels, 3), stride=2, padding=1),
        **table(f"BatchNorm{d} InstanceNorm{d}", x, make=(channels,)),
        **table(f"AvgPool{d} MaxPool{d}", x, make=(2,)),
        **table(f"LPPool{d}", x, make=(2, 2)),
        **table(f"AdaptiveAvgPool{d} AdaptiveMaxPool{d}", x, make=(4,)),
        **table(pads, x, make=(1,)),
        **table(f"ConstantPad{d}", x, make=(1, 0.5)),
        **table(f"Dropout{d}", x),
        f"MaxUnpool{d}": Size(pooled(space), (2,)),
    }


def images() -> dict[str, Size]:
    """What exists for images, or is used on them."""
    x, volumes = normal(*MAPS[2]), normal(*MAPS[3])
    n, channels, height, width = MAPS[2]
    return {
        **table("FeatureAlphaDropout Flatten Softmax2d", x),
        **table("GroupNorm", x, make=(4, channels)),
        **table("LocalResponseNorm", x, make=(5,)),
        **table("ChannelShuffle", x, make=(4,)),
        **table("PixelShuffle PixelUnshuffle", x, make=(2,)),
        **table("Upsample UpsamplingBilinear2d UpsamplingNearest2d", x, scale_factor=2),
        **table("Unfold", x, make=(3,)),
        **table("Fold", normal(n, channels * 9, (height - 2) * (width - 2)), make=((height, width), 3)),
        **table("FractionalMaxPool2d", x, make=(2,), output_ratio=0.5),
        **table("FractionalMaxPool3d", volumes, make=(2,), output_ratio=0.5),
    }


def losses() -> dict[str, Size]:
    """Scores of N samples for C classes, or N vectors of C numbers."""
    x, target = normal(N, C), fixed(N, C)
    steps, most = [T] * BATCH, T // 3  # lengths of the sequences, and of their labels
    return {
        **table("CrossEntropyLoss MultiMarginLoss", x, classes(C, N)),
        **table("NLLLoss", log_probabilities(N, C), classes(C, N)),
        **table("LinearCrossEntropyLoss", normal(N, WIDTH), classes(C, N), make=(WIDTH, C)),
        **table("L1Loss MSELoss SmoothL1Loss HuberLoss", x, target),
        **table("BCEWithLogitsLoss MultiLabelSoftMarginLoss", x, zero_or_one(N, C)),
        **table("BCELoss", probabilities(N, C), zero_or_one(N, C)),
        **table("SoftMarginLoss HingeEmbeddingLoss", x, sign(N, C)),
        **table("MultiLabelMarginLoss", x, labels(N, C)),
        **table("KLDivLoss", log_probabilities(N, C), distributions(N, C), reduction="batchmean"),
        **table("GaussianNLLLoss", x, target, positive(N, C)),
        **table("PoissonNLLLoss", x, classes(5, N, C)),
        **table("MarginRankingLoss", normal(N), normal(N), sign(N)),
        **table("CosineEmbeddingLoss", x, x, sign(N)),
        **table("TripletMarginLoss TripletMarginWithDistanceLoss", x, x, x),
        "CTCLoss": Size(lambda: (log_probabilities(T, BATCH, C)(), torch.randint(1, C, (BATCH, most)), steps, [most] * BATCH)),
    }


def sequences() -> dict[str, Size]:
    """Embeddings, recurrent layers and attention over (T, N, width), transformers over (N, T, width)."""
    x, one_step, batched = normal(T, BATCH, WIDTH), normal(BATCH, WIDTH), normal(BATCH, T, WIDTH)
    blocks: dict[str, Any] = {"dim_feedforward": 4 * WIDTH, "batch_first": True}
    encoder = nn.TransformerEncoderLayer(WIDTH, HEADS, **blocks)
    decoder = nn.TransformerDecoderLayer(WIDTH, HEADS, **blocks)
    return {
        **table("Embedding EmbeddingBag", classes(WORDS, BATCH, T), make=(WORDS, WIDTH)),
        **table("RNN LSTM GRU", x, make=(WIDTH, WIDTH)),
        **table("RNNCell LSTMCell GRUCell", one_step, make=(WIDTH, WIDTH)),
        "MultiheadAttention": Size(same(x, 3), (WIDTH, HEADS)),
        **table("TransformerEncoderLayer", batched, make=(WIDTH, HEADS), **blocks),
        **table("TransformerDecoderLayer", batched, batched, make=(WIDTH, HEADS), **blocks),
        **table("TransformerEncoder", batched, make=(encoder, 2)),
        **table("TransformerDecoder", batched, batched, make=(decoder, 2)),
        **table("Transformer", batched, batched, make=(WIDTH, HEADS, 2, 2), **blocks),
    }


def lazies(sizes: dict[str, Size]) -> dict[str, Size]:
    """The layers that count their channels at the first call, at the sizes of those that are told them as the first argument."""
    eager = [name for name in sizes if name == "Linear" or name.startswith("Conv")]
    return {f"Lazy{name}": Size(s.inputs, s.make[1:], s.options, lazy=True) for name, s in ((n, sizes[n]) for n in eager)}


def part_sizes() -> dict[str, Size]:
    """Name of a class of torch.nn -> its size."""
    sizes = {**pointwise(), **maps(1), **maps(2), **maps(3), **images(), **losses(), **sequences()}
    return {**sizes, **lazies(sizes)}


def without_size(names: Iterable[str], sizes: dict[str, Size]) -> list[str]:
    """Those of `names` that have no size."""
    return sorted(set(names) - set(sizes))

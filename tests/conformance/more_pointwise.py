"""Cases of our own for activations, softmax, norms, dropout, embeddings and distances: kinks, large inputs, draws, every argument."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from agree import Case
from torch import Tensor

INF, NAN = float("inf"), float("nan")


def randn(*shape: int, seed: int = 0, grad: bool = True) -> Tensor:
    """Standard normal numbers, the same at every call."""
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x.requires_grad_(grad)


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


KINKS = (-6.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0)
LARGE = (-1e300, -1e4, -800.0, -90.0, -21.0, -20.0, 19.9, 20.0, 20.1, 90.0, 800.0, 1e4, 1e300)


# what each is called with besides; in place only where torch has it
# celu's alpha a power of 2: torch keeps 1 / alpha in single precision
CALLS: dict[str, list[dict[str, Any]]] = {
    "relu": [{}, {"inplace": True}],
    "relu6": [{}, {"inplace": True}],
    "leaky_relu": [{}, {"negative_slope": 0.3, "inplace": True}, {"negative_slope": -1.0}],
    "rrelu": [{}, {"training": True}, {"lower": 0.1, "upper": 0.9, "training": True, "inplace": True}, {"inplace": True}],
    "threshold": [{"threshold": 0.5, "value": 2.0}, {"threshold": 0.0, "value": -1.0, "inplace": True}],
    "hardtanh": [{}, {"min_val": -0.5, "max_val": 3.0, "inplace": True}],
    "hardsigmoid": [{}, {"inplace": True}],
    "hardswish": [{}, {"inplace": True}],
    "hardshrink": [{}, {"lambd": 0.0}, {"lambd": 3.0}],
    "softshrink": [{}, {"lambd": 0.0}, {"lambd": 3.0}],
    "sigmoid": [{}],
    "logsigmoid": [{}],
    "tanh": [{}],
    "tanhshrink": [{}],
    "softsign": [{}],
    "softplus": [{}, {"beta": 3.0, "threshold": 1.0}, {"beta": 0.2}, {"threshold": -1.0}],
    "silu": [{}, {"inplace": True}],
    "mish": [{}, {"inplace": True}],
    "gelu": [{}, {"approximate": "tanh"}],
    "elu": [{}, {"alpha": 0.3, "inplace": True}],
    "celu": [{}, {"alpha": 0.5, "inplace": True}, {"alpha": 2.0}],
    "selu": [{}, {"inplace": True}],
    "relu_": [{}],
    "leaky_relu_": [{}, {"negative_slope": 0.3}],
    "rrelu_": [{}, {"lower": 0.1, "upper": 0.9, "training": True}],
    "threshold_": [{"threshold": 0.5, "value": 2.0}],
    "hardtanh_": [{}, {"min_val": -0.5, "max_val": 3.0}],
    "elu_": [{}, {"alpha": 0.3}],
    "celu_": [{}, {"alpha": 0.5}],
    "selu_": [{}],
}
"""Activation -> what it is called with besides its input."""


def pointwise() -> dict[str, list[Case]]:
    """Each activation at its kinks, at large and tiny numbers, at NaN, over its input, and on what is not contiguous."""
    odd = {
        "kinks": lambda: numbers(*KINKS),
        "large": lambda: numbers(*LARGE),
        "tiny": lambda: numbers(-1e-8, -1e-300, 1e-300, 1e-8, 1e-4),
        "nan": lambda: numbers(-1.0, NAN, 1.0).detach(),
        "transposed": lambda: randn(4, 3).detach().t().requires_grad_(),
        "empty": lambda: randn(0, 3),
        "one": lambda: randn(),
    }
    whole = torch.tensor([0, 1, 3, 5, 7])
    kinds = {"whole": whole, "signed": whole - 3, "bytes": whole.byte()}
    complexes = torch.complex(randn(6, grad=False) * 30, randn(6, seed=1, grad=False)).requires_grad_()
    others = {
        "tanh": [Case("complex", (complexes,))],
        "hardtanh": [Case(kind, (kinds[kind], -1.5, 2.5)) for kind in ("whole", "signed")],
        "relu6": [Case(kind, (kinds[kind],)) for kind in ("whole", "signed", "bytes")],
        "threshold": [Case(kind, (kinds[kind], 1.5, 20.5)) for kind in ("whole", "signed", "bytes")],
    }
    # the square or cube of 1e300 is infinite in both, with other signs on the way
    left_out = {("gelu", "large")}
    return {
        name: [
            *(
                Case(f"{kind} {kwargs}", (make(),), kwargs)
                for kwargs in every
                for kind, make in odd.items()
                if (name, kind) not in left_out
            ),
            *others.get(name, []),
        ]
        for name, every in CALLS.items()
    }


def softmaxes() -> dict[str, list[Case]]:
    """All dimensions, left out dimensions, infinite and large numbers, types, none at all."""
    inputs = [randn(5), randn(3, 4), randn(2, 3, 4), randn(2, 3, 2, 2), randn(), numbers(1e4, -1e4, 9999.0), numbers(-INF, 0.0, 2.0)]
    inputs += [numbers(1e300, -1e300, 0.0), numbers(NAN, 1.0), randn(0, 3), randn(3, 0)]
    cases = [Case(f"{list(x.shape)} {x.flatten()[:1].tolist()} dim={dim}", (x, dim)) for x in inputs for dim in (None, 0, -1)]
    cases += [Case("float64", (randn(3, 4), 1, 3, torch.float64))]
    cases += [Case("of float32", (randn(3, 4).detach().float(), 1), {"dtype": torch.float64})]
    cases += [Case("of integers", (torch.arange(6).reshape(2, 3), 1), {"dtype": torch.float64})]
    gumbel = [
        Case(f"{kwargs} {dims}", (randn(*dims),), kwargs)
        for dims in ((5,), (3, 4), (2, 3, 4))
        for kwargs in ({}, {"tau": 0.3}, {"hard": True}, {"hard": True, "dim": 0}, {"tau": 5.0, "hard": True, "eps": 1e-3})
    ]
    gumbel.append(Case("transposed", (randn(4, 3).detach().t().requires_grad_(),), {"hard": True}))
    return {"softmax": cases, "softmin": cases, "log_softmax": cases, "gumbel_softmax": gumbel}


def dropouts() -> dict[str, list[Case]]:
    """The same draws: for each element or channel, batched or not, contiguous or not, over the input."""
    shapes = {
        "dropout": [(), (40,), (5, 6), (0, 3), (17, 33)],
        "alpha_dropout": [(), (40,), (5, 6), (0, 3)],
        "dropout1d": [(9, 4), (3, 9, 4), (0, 3, 4)],
        "dropout2d": [(3, 9, 2, 2), (3, 9, 4), (20, 3)],
        "dropout3d": [(3, 9, 2, 1, 2), (9, 2, 1, 2), (20, 3, 2)],
        "feature_alpha_dropout": [(20, 3), (3, 9, 2, 2), (2, 9, 1, 2, 2)],
    }
    settings = [{"p": p, "training": t, "inplace": i} for p in (0.0, 0.2, 0.5, 1.0) for t in (True, False) for i in (False, True)]
    every = {
        name: [Case(f"{dims} {kwargs}", (randn(*dims),), kwargs) for dims in sizes for kwargs in [{}, *settings]]
        for name, sizes in shapes.items()
    }
    for name in ("dropout", "alpha_dropout"):
        every[name].append(Case("transposed", (randn(9, 8).detach().t().requires_grad_(),), {"training": True}))
        every[name].append(Case("strided", (randn(9, 8).detach()[:, ::2].requires_grad_(),), {"training": True}))
    every["dropout2d"].append(
        Case("channels last", (randn(3, 9, 2, 2).detach().to(memory_format=torch.channels_last).requires_grad_(),), {"training": True})
    )
    return every


def norms() -> dict[str, list[Case]]:
    """Arguments that torch's samples leave at their defaults, and inputs that are not contiguous."""
    w, b, image = randn(3, seed=1), randn(3, seed=2), randn(4, 3, 2, 5)
    last = image.detach().to(memory_format=torch.channels_last).requires_grad_()
    mean, var = randn(3, seed=3, grad=False), randn(3, seed=4, grad=False).exp()
    batch = [
        Case(f"{x.shape} {kwargs}", (x, mean.clone(), var.clone(), *affine), kwargs)
        for x in (image, last, randn(6, 3), randn(4, 3, 7), randn(2, 3, 2, 2, 2), image.detach())
        for affine in ((), (w, b), (w, None), (None, b))
        for kwargs in ({"training": True}, {"training": True, "momentum": 0.7, "eps": 0.1}, {"training": False, "eps": 0.1})
    ]
    batch += [Case("no buffers", (image, None, None, w, b, True))]
    instance = [
        Case(f"{x.shape} {kwargs}", (x, mean.clone(), var.clone(), *affine), kwargs)
        for x in (image, last, randn(4, 3, 7), randn(2, 3, 2, 2, 2))
        for affine in ((), (w, b), (w, None))
        for kwargs in ({}, {"momentum": 0.7, "eps": 0.1}, {"use_input_stats": False})
    ]
    rows = [
        Case(f"layer {x.shape} {shape}", (x, list(shape), *affine), {"eps": eps})
        for x in (randn(4, 6, 5), randn(6, 4, 5).detach().transpose(0, 1).requires_grad_())
        for shape in ((5,), (6, 5), (4, 6, 5))
        for affine in ((), (randn(*shape, seed=1), randn(*shape, seed=2)), (randn(*shape, seed=1), None), (None, randn(*shape, seed=2)))
        for eps in (1e-5, 0.5)
    ]
    shifted = (randn(4, 6).detach() + 1e6).requires_grad_()
    rows += [Case("far from 0", (shifted, [6])), Case("empty", (randn(0, 6), [6], randn(6, seed=1), randn(6, seed=2)))]
    rows.append(Case("rows of none", (randn(2, 0), [0], randn(0, seed=1), randn(0, seed=2))))
    instance += [
        Case(f"none {shape}", (randn(*shape, grad=False), randn(shape[1], seed=1, grad=False), randn(shape[1], seed=2, grad=False).exp()))
        for shape in ((2, 3, 0), (0, 3, 2), (2, 0, 3))
    ]
    rms = [Case(c.label, c.args[:3], c.kwargs) for c in rows if len(c.args) < 4 or c.args[2] is not None]
    rms += [Case("eps None", (numbers(0.0, 1e-9, -1e-9), [3])), Case("zeros", (numbers(0.0, 0.0), [2], None, 1e-3))]
    groups = [
        Case(f"{x.shape} {g} {eps}", (x, g, *affine), {"eps": eps})
        for x in (randn(2, 6), randn(3, 6, 4), randn(2, 6, 3, 2), randn(2, 3, 2, 6).detach().permute(0, 3, 1, 2).requires_grad_())
        for g in (1, 2, 3, 6)
        for affine in ((), (randn(6, seed=1), randn(6, seed=2)), (randn(6, seed=1), None))  # a bias alone torch fails to differentiate
        for eps in (1e-5, 0.5)
        if x.dim() > 2 or g < 6
    ]
    response = [
        Case(f"{x.shape} {size} {kwargs}", (x, size), kwargs)
        for x in (randn(2, 6, 3), randn(2, 6, 3, 2), randn(1, 4, 2, 2, 2), randn(0, 3, 4))
        for size in (1, 2, 3, 5)
        for kwargs in ({}, {"alpha": 0.5, "beta": 2.0, "k": 3.0})
    ]
    return {
        "batch_norm": batch,
        "instance_norm": instance,
        "layer_norm": rows,
        "rms_norm": rms,
        "group_norm": groups,
        "local_response_norm": response,
    }


def embeddings() -> dict[str, list[Case]]:
    """Every argument, repeated and missing rows, bags of all kinds, empty ones too."""
    table, index = randn(7, 4, seed=5), torch.tensor([[1, 2, 2], [6, 0, 2]])
    settings: list[dict[str, Any]] = [
        {},
        {"padding_idx": 2},
        {"padding_idx": -1},
        {"max_norm": 1.0},
        {"max_norm": 1.0, "norm_type": 1.0},
        {"max_norm": 0.5, "norm_type": INF, "padding_idx": 0},
        {"scale_grad_by_freq": True},
        {"scale_grad_by_freq": True, "padding_idx": 2},
    ]
    single = [Case(f"{list(i.shape)} {i.dtype} {k}", (i, table), k) for i in (index, index.int(), index[0, 0], index[:0]) for k in settings]
    # in bags every row as often as the others: torch 2.13 divides by another row's frequency (pytorch issue 190063)
    even, flat, offsets = torch.tensor([[1, 2, 2], [6, 1, 6]]), torch.tensor([1, 2, 2, 6, 6, 1]), torch.tensor([0, 2, 2, 3])
    bags = [
        Case(f"{mode} {kwargs} {list(i.shape)} {o}", (i, table, o), {"mode": mode, **kwargs})
        for mode in ("sum", "mean", "max")
        for kwargs in settings
        for i, o in ((even, None), (flat, offsets), (flat, torch.tensor([0, 6])), (flat.int(), offsets.int()), (flat[:0], offsets[:1]))
        if not (mode == "max" and "scale_grad_by_freq" in kwargs)
    ]
    bags += [
        Case(f"last offset {mode}", (flat, table, torch.tensor([0, 2, 2, 6])), {"mode": mode, "include_last_offset": True})
        for mode in ("sum", "mean", "max")
    ]
    for kwargs in ({}, {"padding_idx": 2}):
        bags.append(Case(f"weights {kwargs}", (flat, table, offsets), {"mode": "sum", "per_sample_weights": randn(6, seed=6), **kwargs}))
        bags.append(Case(f"weights 2 {kwargs}", (index, table), {"mode": "sum", "per_sample_weights": randn(2, 3, seed=6), **kwargs}))
    ties = torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.0, 2.0]], dtype=torch.float64, requires_grad=True)
    bags.append(Case("ties", (torch.tensor([[2, 1, 0], [0, 1, 1]]), ties), {"mode": "max"}))
    return {"embedding": single, "embedding_bag": bags}


def distances() -> dict[str, list[Case]]:
    """All orders of norm, equal vectors, zeros, broadcasting."""
    a, b = randn(4, 6), randn(4, 6, seed=1)
    orders = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, INF)
    pairs = [Case(f"p={p} {k}", (a, b), {"p": p, **k}) for p in orders for k in ({}, {"eps": 0.1, "keepdim": True})]
    pairs += [Case("equal", (a, a)), Case("broadcast", (a, randn(6, seed=2))), Case("one vector", (randn(6), randn(6, seed=1)))]
    zeros = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    cosines = [Case(f"dim={d}", (randn(2, 3, 4), randn(2, 3, 4, seed=1)), {"dim": d}) for d in (0, 1, 2, -1)]
    cosines += [Case("broadcast", (a, b.detach()[:1].requires_grad_())), Case("zeros", (zeros, randn(2, 3)))]
    cosines += [Case("small", ((randn(2, 3).detach() * 1e-9).requires_grad_(), randn(2, 3, seed=1))), Case("eps", (a, b), {"eps": 5.0})]
    scaled = [Case(f"p={p} dim={d}", (a,), {"p": p, "dim": d}) for p in (*orders, -INF) for d in (0, 1, -1)]
    scaled += [Case("eps", (a,), {"eps": 10.0}), Case("zeros", (zeros,)), Case("dims", (randn(2, 3, 4),), {"dim": (1, 2)})]
    twice = torch.cat([a.detach(), a.detach()[:1]]).requires_grad_()
    points = [Case(f"p={p}", (randn(5, 3),), {"p": p}) for p in orders]
    points += [
        Case("equal rows", (twice,)),
        Case("one row", (randn(1, 3),)),
        Case("no columns", (randn(3, 0),)),
    ]  # torch crashes without rows
    hot = [Case("largest", (torch.tensor([[0, 2], [1, 1]]),)), Case("seven", (torch.tensor([3, 0]), 7)), Case("one", (torch.tensor(2),))]
    hot.append(Case("none", (torch.zeros(0, 2, dtype=torch.int64), 3)))
    return {"pairwise_distance": pairs, "cosine_similarity": cosines, "normalize": scaled, "pdist": points, "one_hot": hot}


FUNCTIONS: dict[str, Sequence[Case]] = {
    **pointwise(),
    **softmaxes(),
    **dropouts(),
    **norms(),
    **embeddings(),
    **distances(),
}
"""Name in torch.nn.functional -> cases."""


def of_modules() -> Iterator[tuple[type, list[Case]]]:
    """Layers that torch has no samples of, and arguments that its samples do not touch."""
    nn = torch.nn
    x, image, volume = randn(6, 5), randn(3, 4, 3, 2), randn(2, 4, 2, 3, 2)
    for cls in (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Mish, nn.SELU, nn.Hardsigmoid, nn.Hardswish):
        few = x if cls is not nn.Hardsigmoid else x[0]  # torch's sixth is that of single precision: a large weight of the gradient shows it
        yield cls, [Case("", (few,)), Case("in place", (few,), make=(True,))]
    for cls, own in ((nn.ELU, {"alpha": 0.3}), (nn.CELU, {"alpha": 0.5}), (nn.LeakyReLU, {"negative_slope": 0.3})):
        yield cls, [Case("in place", (x,), options={**own, "inplace": True})]
    yield nn.Hardtanh, [Case("in place", (x,), make=(-0.5, 0.3, True)), Case("old", (x,), options={"min_value": -0.5, "max_value": 0.3})]
    yield nn.Threshold, [Case("in place", (x,), make=(0.1, 2.0, True))]
    yield (
        nn.RReLU,
        [
            Case(f"{training} {options}", (x,), options=options, training=training)
            for training in (True, False)
            for options in ({}, {"lower": 0.2, "upper": 0.8}, {"inplace": True})
        ],
    )
    yield nn.PReLU, [Case("channels", (image,), make=(4,), options={"init": 0.7}), Case("one number", (randn(),))]
    for cls in (nn.Softmax, nn.Softmin, nn.LogSoftmax):
        yield cls, [Case(f"{list(a.shape)}", (a,)) for a in (randn(5), x, randn(2, 3, 4), image)]
    for cls, inputs in (
        (nn.Dropout, (x, image)),
        (nn.Dropout1d, (x, randn(3, 4, 5))),
        (nn.Dropout2d, (image, randn(3, 4, 5))),
        (nn.Dropout3d, (volume, image)),
        (nn.AlphaDropout, (x, image)),
        (nn.FeatureAlphaDropout, (x, image)),
    ):
        yield (
            cls,
            [
                Case(f"{i} {training} {options}", (a,), options=options, training=training)
                for i, a in enumerate(inputs)
                for training in (True, False)
                for options in ({}, {"p": 0.2, "inplace": True}, {"p": 1.0}, {"p": 0})
            ],
        )
    y = randn(6, 5, seed=1)
    yield nn.CosineSimilarity, [Case("", (x, y)), Case("dim", (x, y), make=(0, 1e-3))]
    yield nn.PairwiseDistance, [Case("", (x, y)), Case("all", (x, y), make=(1.0, 0.1, True))]
    yield from of_norms(image, volume)
    yield from of_tables()


def of_norms(image: Tensor, volume: Tensor) -> Iterator[tuple[type, list[Case]]]:
    """Every argument of the norms with running statistics."""
    nn = torch.nn
    settings: list[dict[str, Any]] = [
        {},
        {"momentum": None},
        {"affine": True, "bias": False},
        {"affine": False, "track_running_stats": True, "eps": 0.1, "momentum": 0.7},
        {"track_running_stats": False},
    ]
    sizes = {1: (randn(6, 4, 5), randn(6, 4)), 2: (image,), 3: (volume,)}
    alone = {1: randn(4, 5), 2: randn(4, 3, 2), 3: randn(4, 2, 3, 2)}
    for n, inputs in sizes.items():
        yield (
            getattr(nn, f"BatchNorm{n}d"),
            [
                Case(f"{list(x.shape)} {k} {t}", (x,), make=(4,), options=k, training=t)
                for x in inputs
                for k in settings
                for t in (True, False)
            ],
        )
        yield (
            getattr(nn, f"InstanceNorm{n}d"),
            [
                Case(f"{list(x.shape)} {k} {t}", (x,), make=(4,), options=k, training=t)
                for x in (inputs[0], alone[n])
                for k in settings
                for t in (True, False)
            ],
        )
    yield nn.InstanceNorm2d, [Case("other channels", (image,), make=(7,))]
    yield nn.GroupNorm, [Case(f"{k}", (image,), make=(2, 4), options=k) for k in ({"bias": False}, {"eps": 0.5}, {"affine": False})]
    yield nn.LayerNorm, [Case(f"{k}", (image,), make=([3, 2],), options=k) for k in ({"bias": False}, {"elementwise_affine": False})]
    yield nn.RMSNorm, [Case(f"{k}", (image,), make=((3, 2),), options=k) for k in ({}, {"eps": 0.5, "elementwise_affine": False})]


def of_tables() -> Iterator[tuple[type, list[Case]]]:
    """Every argument of the embeddings."""
    nn = torch.nn
    index, flat, offsets = torch.tensor([[1, 2, 2], [6, 1, 6]]), torch.tensor([1, 2, 2, 6, 6, 1]), torch.tensor([0, 2, 3, 6])
    settings: list[dict[str, Any]] = [{}, {"padding_idx": 2}, {"padding_idx": -1}, {"max_norm": 1.0, "norm_type": 1.0}]
    settings += [{"scale_grad_by_freq": True}, {"_weight": randn(7, 4, seed=3, grad=False).float()}]
    yield nn.Embedding, [Case(f"{list(k)}", (index,), make=(7, 4), options=k) for k in [*settings, {"_freeze": True}]]
    modes: list[dict[str, Any]] = [*settings, {"mode": "sum"}, {"mode": "max"}, {"include_last_offset": True, "mode": "max"}]
    bags = [Case(f"bags {k}", (index,), make=(7, 4), options=k) for k in modes]
    bags += [Case(f"offsets {k}", (flat, offsets), make=(7, 4), options=k) for k in modes]
    bags += [Case("weights", (index, None, randn(2, 3)), make=(7, 4), options={"mode": "sum"})]
    yield nn.EmbeddingBag, bags


MODULES: dict[type, list[Case]] = {}
"""torch.nn class -> cases."""
for _cls, _cases in of_modules():
    MODULES.setdefault(_cls, []).extend(_cases)

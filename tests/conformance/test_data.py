"""Every part of our data rung against torch.utils.data's: the same samples, orders, batches and draws for the same seeds, bit for bit."""

from __future__ import annotations

import itertools
import random
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

import numpy
import pytest
import torch
import torch.utils.data
from agree import Case, Counts, compare_all

from rungbook.scratch import data

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's own, about the number of workers and empty parts
Play = Callable[[Any], Any]
"""What is done with a module, torch.utils.data or ours, and what comes of it."""

Point = namedtuple("Point", ["x", "y"])
CASES: dict[str, dict[str, Play]] = {name: {} for name in data.__all__}


def tensors(m: Any, n: int = 11) -> Any:
    return m.TensorDataset(torch.arange(float(n)), torch.arange(2 * n).view(n, 2))


def stream(m: Any, n: int = 11, part: bool = True) -> Any:
    """An iterable dataset, of which each worker takes its part."""

    class Stream(m.IterableDataset):
        def __iter__(self) -> Iterator[int]:
            info = m.get_worker_info()
            return iter(range(n)) if info is None or not part else iter(range(info.id, n, info.num_workers))

        def __len__(self) -> int:
            return n

    return Stream()


def draws(m: Any, n: int = 6) -> Any:
    """A dataset whose samples are random numbers of every kind, and what the worker knows of itself."""

    class Draws(m.Dataset):
        def __getitem__(self, index: int) -> Any:
            info = m.get_worker_info()
            own = (-1, 0, 0) if info is None else (info.id, info.num_workers, info.seed)
            drawn = (0.0, 0.0, 0.0) if info is None else (torch.rand(()).item(), random.random(), float(numpy.random.rand()))
            return index, *own, *drawn, 0 if info is None else torch.initial_seed()

        def __len__(self) -> int:
            return n

    return Draws()


def generator(seed: int | None) -> torch.Generator | None:
    return None if seed is None else torch.Generator().manual_seed(seed)


def case(part: str, label: str) -> Callable[[Play], Play]:
    def add(play: Play) -> Play:
        assert label not in CASES[part], label
        CASES[part][label] = play
        return play

    return add


def every(dataset: Any) -> list[Any]:
    return [dataset[i] for i in range(len(dataset))]


for n in (0, 1, 5):
    case("TensorDataset", f"{n}")(lambda m, n=n: (len(tensors(m, n)), every(tensors(m, n))))
case("TensorDataset", "slice, list")(lambda m: (tensors(m)[2:4], tensors(m)[[1, 5]], tensors(m)[-1]))
case("TensorDataset", "lengths differ")(lambda m: m.TensorDataset(torch.ones(2), torch.ones(3)))
case("TensorDataset", "outside")(lambda m: tensors(m)[11])
case("Dataset", "abstract")(lambda m: m.Dataset()[0])
case("Dataset", "added")(lambda m: every(tensors(m, 2) + tensors(m, 3)))
case("IterableDataset", "listed")(lambda m: (list(stream(m)), len(stream(m))))
case("IterableDataset", "added")(lambda m: (list(stream(m, 2) + stream(m, 3)), len(stream(m, 2) + stream(m, 3))))
case("IterableDataset", "has no index")(lambda m: stream(m)[0])
for sizes in itertools.product((1, 3), (0, 2), (1, 4)):
    case("ConcatDataset", f"{sizes}")(lambda m, s=sizes: every(m.ConcatDataset([tensors(m, n) for n in s])))
    case("ConcatDataset", f"{sizes} from the end")(
        lambda m, s=sizes: [m.ConcatDataset([tensors(m, n) for n in s])[-i] for i in range(1, sum(s) + 1)]
    )
    case("ChainDataset", f"{sizes}")(lambda m, s=sizes: (list(c := m.ChainDataset([stream(m, n) for n in s])), len(c)))
case("ConcatDataset", "sizes")(lambda m: m.ConcatDataset([tensors(m, 2), tensors(m, 3)]).cumulative_sizes)
case("ConcatDataset", "empty")(lambda m: m.ConcatDataset([]))
case("ConcatDataset", "iterable")(lambda m: m.ConcatDataset([stream(m)]))
case("ConcatDataset", "outside")(lambda m: m.ConcatDataset([tensors(m, 2)])[2])
case("ConcatDataset", "outside below")(lambda m: m.ConcatDataset([tensors(m, 2)])[-3])
case("ChainDataset", "not iterable")(lambda m: list(m.ChainDataset([tensors(m, 2)])))
case("ChainDataset", "length of not iterable")(lambda m: len(m.ChainDataset([tensors(m, 2)])))
for indices in ([], [3], [4, 0, 4], range(2, 9, 3)):
    case("Subset", f"{indices}")(lambda m, i=indices: (every(m.Subset(tensors(m), i)), len(m.Subset(tensors(m), i))))
    case("Subset", f"{indices} at once")(lambda m, i=indices: m.Subset(tensors(m), i).__getitems__(list(range(len(i)))))
    case("Subset", f"{indices} of a Subset")(
        lambda m, i=indices: m.Subset(m.Subset(tensors(m), range(10, -1, -1)), i).__getitems__(list(range(len(i))))
    )
case("Subset", "list")(lambda m: m.Subset(tensors(m), [4, 5, 6])[[0, 2]])
case("Subset", "half overridden")(lambda m: type("Half", (m.Subset,), {"__getitem__": lambda s, i: 0})(tensors(m), [0]))
for form in ("tuple", "dict"):

    def stacked(m: Any, form: str = form) -> Any:
        parts = {"a": tensors(m), "b": m.Subset(tensors(m), range(10, -1, -1)), "c": list(range(11))}
        return m.StackDataset(**parts) if form == "dict" else m.StackDataset(*parts.values())

    case("StackDataset", f"{form}")(lambda m, f=stacked: (every(f(m)), len(f(m))))
    case("StackDataset", f"{form} at once")(lambda m, f=stacked: (f(m).__getitems__([4, 2, 4]), f(m).__getitems__([])))
case("StackDataset", "none")(lambda m: m.StackDataset())
case("StackDataset", "both")(lambda m: m.StackDataset(tensors(m), a=tensors(m)))
case("StackDataset", "lengths differ")(lambda m: m.StackDataset(tensors(m, 2), tensors(m, 3)))
case("StackDataset", "lengths differ by name")(lambda m: m.StackDataset(a=tensors(m, 2), b=tensors(m, 3)))
case("StackDataset", "too few come at once")(
    lambda m: m.StackDataset(type("Few", (list,), {"__getitems__": lambda s, i: []})([1, 2])).__getitems__([0])
)
for n, lengths, seed in itertools.product(
    (10, 7), ([3, 7], [7], [0.5, 0.5], [0.2, 0.3, 0.5], [1.0], [0.05] * 20, [0.9, 0.2], [-0.5, 1.5]), (None, 4)
):
    case("random_split", f"{n} {lengths} {seed}")(
        lambda m, n=n, s=lengths, seed=seed: [
            (p.indices, every(p)) for p in m.random_split(tensors(m, n), s, **({} if seed is None else {"generator": generator(seed)}))
        ]
    )

case("Sampler", "abstract")(lambda m: iter(m.Sampler()))
for n in (0, 1, 9):
    case("SequentialSampler", f"{n}")(lambda m, n=n: (list(s := m.SequentialSampler(range(n))), len(s)))
for n, replacement, wanted, seed in itertools.product((0, 1, 5, 40), (False, True), (None, 1, 32, 33, 100), (None, 3)):

    def ordered(m: Any, n: int = n, replacement: bool = replacement, wanted: int | None = wanted, seed: int | None = seed) -> Any:
        s = m.RandomSampler(range(n), replacement, wanted, generator(seed))
        return list(s), list(s), len(s), s.num_samples

    case("RandomSampler", f"{n} {replacement} {wanted} {seed}")(ordered)
for bad in ({"replacement": 1}, {"num_samples": 0}, {"num_samples": -1}, {"num_samples": 2.0}):
    case("RandomSampler", f"{bad}")(lambda m, bad=bad: m.RandomSampler(range(3), **bad))
for indices, seed in itertools.product(([], [7], [5, 3, 9, 9]), (None, 3)):
    case("SubsetRandomSampler", f"{indices} {seed}")(
        lambda m, i=indices, seed=seed: (list(s := m.SubsetRandomSampler(i, generator(seed))), list(s), len(s))
    )
WEIGHTS = ([1.0, 2.0, 3.0, 0.5], [0, 1, 0, 5], torch.tensor([0.1, 0.9]), [[1.0, 2.0]], [])
for weights, wanted, replacement, seed in itertools.product(WEIGHTS, (1, 2, 30), (True, False), (None, 3)):
    case("WeightedRandomSampler", f"{weights} {wanted} {replacement} {seed}")(
        lambda m, w=weights, n=wanted, r=replacement, seed=seed: (
            list(s := m.WeightedRandomSampler(w, n, r, generator(seed))),
            list(s),
            len(s),
        )
    )
for bad in ({"num_samples": 0}, {"num_samples": True}, {"num_samples": 1.5}, {"num_samples": 2, "replacement": 1}):
    case("WeightedRandomSampler", f"{bad}")(lambda m, bad=bad: m.WeightedRandomSampler([1.0, 2.0], **bad))
for n, size, drop in itertools.product((0, 1, 6, 7), (1, 3, 10), (False, True)):
    case("BatchSampler", f"{n} {size} {drop}")(
        lambda m, a=(n, size, drop): (list(b := m.BatchSampler(range(a[0]), *a[1:])), list(b), len(b))
    )
    case("BatchSampler", f"{n} {size} {drop} random")(
        lambda m, a=(n, size, drop): list(m.BatchSampler(m.RandomSampler(range(a[0] + 1), generator=generator(2)), *a[1:]))
    )
for bad in ((0, False), (-2, False), (1.5, False), (True, False), (2, 1)):
    case("BatchSampler", f"{bad}")(lambda m, bad=bad: m.BatchSampler(range(3), *bad))
for n, ranks, shuffle, drop, seed in itertools.product((1, 2, 7, 8, 9), (1, 3, 4), (False, True), (False, True), (0, 5)):

    def shared(m: Any, n: int = n, ranks: int = ranks, shuffle: bool = shuffle, drop: bool = drop, seed: int = seed) -> Any:
        found = []
        for rank in range(ranks):
            s = m.DistributedSampler(range(n), ranks, rank, shuffle, seed, drop)
            found.append((list(s), s.set_epoch(3), list(s), len(s), s.num_samples, s.total_size))
        return found

    case("DistributedSampler", f"{n} {ranks} {shuffle} {drop} {seed}")(shared)
for rank in (-1, 2):
    case("DistributedSampler", f"rank {rank} of 2")(lambda m, r=rank: m.DistributedSampler(range(4), 2, r))
case("DistributedSampler", "no process group")(lambda m: m.DistributedSampler(range(4)))


class Tagged(dict):
    """A dict that holds something else too."""

    tag = 0


def tagged(**items: Any) -> Tagged:
    made = Tagged(**items)
    made.tag = 7
    return made


class Row(list):
    """A list of its own kind."""


SAMPLES: dict[str, Callable[[], list[Any]]] = {
    "tensors": lambda: [torch.ones(2, 3), torch.zeros(2, 3)],
    "tensors of integers": lambda: [torch.tensor(1), torch.tensor(2)],
    "tensors of two shapes": lambda: [torch.ones(2), torch.ones(3)],
    "sparse": lambda: [torch.eye(2).to_sparse()] * 2,
    "floats": lambda: [0.5, 1.5],
    "integers": lambda: [1, 2],
    "bools": lambda: [True, False],
    "mixed numbers": lambda: [1, 2.5],
    "text": lambda: ["a", "bc"],
    "bytes": lambda: [b"a", b"bc"],
    "None": lambda: [None, None],
    "objects": lambda: [object(), object()],
    "arrays": lambda: [numpy.arange(3), numpy.arange(3) * 2],
    "arrays of float32": lambda: [numpy.float32([1, 2]), numpy.float32([3, 4])],
    "arrays without dimensions": lambda: [numpy.array(2.5), numpy.array(1.5)],
    "arrays of text": lambda: [numpy.array(["a"]), numpy.array(["b"])],
    "arrays of objects": lambda: [numpy.array([None]), numpy.array([None])],
    "numpy float64": lambda: [numpy.float64(1.5), numpy.float64(2)],
    "numpy float32": lambda: [numpy.float32(1.5), numpy.float32(2)],
    "numpy int16": lambda: [numpy.int16(1), numpy.int16(2)],
    "numpy bool": lambda: [numpy.bool_(True), numpy.bool_(False)],
    "tuples": lambda: [(1, torch.ones(2)), (2, torch.zeros(2))],
    "lists": lambda: [[1, 2.5], [3, 4.5]],
    "own lists": lambda: [Row([1, 2]), Row([3, 4])],
    "lists of two lengths": lambda: [[1, 2], [3]],
    "empty lists": lambda: [[], []],
    "ranges": lambda: [range(3), range(3)],
    "named tuples": lambda: [Point(1, 2.0), Point(3, 4.0)],
    "dicts": lambda: [{"a": 1, "b": torch.ones(2)}, {"b": torch.zeros(2), "a": 2}],
    "ordered dicts": lambda: [OrderedDict(a=1, b="x"), OrderedDict(a=2, b="y")],
    "own dicts": lambda: [tagged(a=1), tagged(a=2)],
    "read-only dicts": lambda: [MappingProxyType({"a": 1}), MappingProxyType({"a": 2})],
    "a key missing": lambda: [{"a": 1}, {"b": 1}],
    "nested": lambda: [{"a": [(1, {"b": Point(numpy.ones(2), "t")})]}, {"a": [(2, {"b": Point(numpy.zeros(2), "u")})]}],
    "a set inside": lambda: [{"a": {1}}, {"a": {2}}],
    "one sample": lambda: [(1, "a")],
    "no sample": list,
}
for name, make in SAMPLES.items():
    case("default_collate", name)(lambda m, make=make: m.default_collate(make()))
    case("default_convert", name)(lambda m, make=make: m.default_convert(make()))
    case("default_convert", f"{name}, first")(lambda m, make=make: m.default_convert(make()[0]))
    if name not in ("objects", "sparse", "no sample", "None"):
        case("DataLoader", f"samples: {name}")(lambda m, make=make: list(m.DataLoader(make(), batch_size=2)))
        case("DataLoader", f"single samples: {name}")(lambda m, make=make: list(m.DataLoader(make(), batch_size=None)))


def gone_through(m: Any, dataset: Callable[[Any], Any], epochs: int = 2, **options: Any) -> Any:
    """The batches of some epochs, lengths before, and what the random generators are like afterwards."""
    options = {k: v(m) if k in ("sampler", "batch_sampler") else v for k, v in options.items()}
    if isinstance(options.get("generator"), int):
        options["generator"] = generator(options["generator"])
    loader = m.DataLoader(dataset(m), **options)
    found = [list(loader) for _ in range(epochs)]
    if options.get("persistent_workers"):
        loader._iterator = None
    left = None if options.get("generator") is None else options["generator"].get_state()
    return len(loader), found, left


def kinds() -> list[dict[str, Any]]:
    """Samples with everything that a worker may have to send."""
    return [
        {
            "tensor": torch.full((2, 3), float(i)).T,
            "bfloat16": torch.tensor(i, dtype=torch.bfloat16),
            "empty": torch.ones(2, 0),
            "array": numpy.arange(3) + i,
            "numbers": (i, i / 2, bool(i)),
            "text": [str(i)],
        }
        for i in range(5)
    ]


SAMPLERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "shuffle": {"shuffle": True},
    "shuffle, generator": {"shuffle": True, "generator": 3},
    "sampler": {"sampler": lambda m: m.SubsetRandomSampler([1, 3, 5, 7])},
    "a list as sampler": {"sampler": lambda m: [5, 5, 0]},
    "weights": {"sampler": lambda m: m.WeightedRandomSampler([1.0] * 11, 9)},
    "distributed": {"sampler": lambda m: m.DistributedSampler(range(11), 2, 1)},
}


class Eager:
    """A sampler that draws as soon as it is asked, not when it is gone through."""

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(5).tolist())

    def __len__(self) -> int:
        return 5


for (name, how), size, drop in itertools.product(SAMPLERS.items(), (1, 4, 11, 20), (False, True)):
    case("DataLoader", f"{name} {size} {drop}")(lambda m, o={**how, "batch_size": size, "drop_last": drop}: gone_through(m, tensors, **o))
for name, how in SAMPLERS.items():
    case("DataLoader", f"{name} single")(lambda m, o=how: gone_through(m, tensors, batch_size=None, **o))
    case("DataLoader", f"{name} collate_fn")(lambda m, o=how: gone_through(m, tensors, batch_size=3, collate_fn=len, **o))
for size, drop in itertools.product((None, 1, 4, 20), (False, True)):
    if size or not drop:
        case("DataLoader", f"stream {size} {drop}")(lambda m, o={"batch_size": size, "drop_last": drop}: gone_through(m, stream, **o))
OTHERS: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "batch_sampler": (tensors, {"batch_sampler": lambda m: [[1, 2], [3], [5, 5, 5]]}),
    "random batch_sampler": (tensors, {"batch_sampler": lambda m: m.BatchSampler(m.RandomSampler(range(11)), 3, False)}),
    "eager": (tensors, {"sampler": lambda m: Eager(), "batch_size": None}),
    "Subset": (lambda m: m.Subset(tensors(m), range(8, 0, -1)), {"batch_size": 3, "shuffle": True}),
    "StackDataset": (lambda m: m.StackDataset(a=tensors(m), b=range(11)), {"batch_size": 3}),
    "split": (lambda m: m.random_split(tensors(m), [0.5, 0.5])[1], {"batch_size": 2, "shuffle": True}),
    "a list": (lambda m: ["a", "b", "c"], {"batch_size": 2}),
    "draws": (draws, {"batch_size": 2, "shuffle": True}),
    "draws, generator": (draws, {"batch_size": 1, "shuffle": True, "generator": 8}),
}
for name, (dataset, how) in OTHERS.items():
    case("DataLoader", name)(lambda m, d=dataset, o=how: gone_through(m, d, **o))

WORKERS: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    **{n: OTHERS[n] for n in ("random batch_sampler", "eager", "draws", "draws, generator")},
    "every type": (lambda m: kinds(), {"batch_size": 2, "epochs": 1}),
    "requires a gradient": (lambda m: [torch.ones(1, requires_grad=True)] * 2, {"batch_size": None, "epochs": 1}),
    "shuffle": (tensors, {"batch_size": 4, "shuffle": True}),
    "drop_last, prefetch": (tensors, {"batch_size": 2, "drop_last": True, "prefetch_factor": 1, "epochs": 1}),
    "single": (tensors, {"batch_size": None, "prefetch_factor": 5, "epochs": 1}),
    "stream in parts": (stream, {"batch_size": 2, "epochs": 1}),
    "stream, drop_last": (stream, {"batch_size": 3, "drop_last": True, "epochs": 1}),
    "stream, single": (stream, {"batch_size": None, "epochs": 1}),
    "whole stream each": (lambda m: stream(m, 3, part=False), {"batch_size": 2, "epochs": 1}),
    "chained": (lambda m: stream(m, 5) + stream(m, 2), {"batch_size": 2, "epochs": 1}),
    "persistent": (draws, {"batch_size": 2, "shuffle": True, "persistent_workers": True, "epochs": 3}),
    "persistent stream": (stream, {"batch_size": 2, "persistent_workers": True, "epochs": 3}),
    "init": (draws, {"batch_size": 2, "worker_init_fn": lambda i: torch.manual_seed(i)}),
    "text": (lambda m: ["a", "b", "c"], {"batch_size": 2, "epochs": 1}),
}
for name, (dataset, how) in WORKERS.items():
    workers = 3 if name in ("stream in parts", "shuffle") else 2
    case("DataLoader", f"{workers} workers: {name}")(lambda m, d=dataset, o={**how, "num_workers": workers}: gone_through(m, d, **o))
case("get_worker_info", "here")(lambda m: m.get_worker_info())
case("get_worker_info", "in workers")(lambda m: gone_through(m, draws, epochs=1, num_workers=2))

REFUSED: dict[str, dict[str, Any]] = {
    "no workers, prefetch": {"prefetch_factor": 2},
    "workers below 0": {"num_workers": -1},
    "timeout below 0": {"timeout": -1},
    "prefetch below 0": {"num_workers": 1, "prefetch_factor": -1},
    "persistent": {"persistent_workers": True},
    "sampler and shuffle": {"sampler": [1], "shuffle": True},
    "batch_sampler and size": {"batch_sampler": [[1]], "batch_size": 2},
    "batch_sampler and drop_last": {"batch_sampler": [[1]], "drop_last": True},
    "batch_sampler and sampler": {"batch_sampler": [[1]], "sampler": [1]},
    "batch_sampler and shuffle": {"batch_sampler": [[1]], "shuffle": True},
    "single and drop_last": {"batch_size": None, "drop_last": True},
    "size 0": {"batch_size": 0},
    "context without workers": {"multiprocessing_context": "fork"},
    "unknown context": {"num_workers": 1, "multiprocessing_context": "thread"},
    "no context": {"num_workers": 1, "multiprocessing_context": 3},
}
for name, how in REFUSED.items():
    case("DataLoader", f"refused: {name}")(lambda m, o=how: m.DataLoader(tensors(m), **o))
for name, how in {"shuffle": {"shuffle": True}, "sampler": {"sampler": [1]}, "batch_sampler": {"batch_sampler": [[1]]}}.items():
    case("DataLoader", f"refused: stream, {name}")(lambda m, o=how: m.DataLoader(stream(m), **o))
case("DataLoader", "refused: timeout here")(lambda m: list(m.DataLoader(tensors(m), timeout=1)))
case("DataLoader", "refused: empty, shuffle")(lambda m: m.DataLoader([], shuffle=True))
case("DataLoader", "empty")(lambda m: gone_through(m, lambda m: []))
for name in ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"):
    case("DataLoader", f"refused: set {name}")(lambda m, n=name: setattr(m.DataLoader(tensors(m)), n, None))
for name in (
    "batch_size",
    "num_workers",
    "prefetch_factor",
    "timeout",
    "pin_memory",
    "drop_last",
    "in_order",
    "persistent_workers",
    "generator",
):
    case("DataLoader", f"attribute {name}")(
        lambda m, n=name: [getattr(m.DataLoader(tensors(m), **o), n) for o in ({}, {"num_workers": 2}, {"batch_sampler": [[1]]})]
    )


def identical(ours: Any, theirs: Any) -> None:
    """Same types all the way down, same numbers to the last bit."""
    assert type(ours) is type(theirs), f"{type(ours)}, torch has {type(theirs)}"
    if isinstance(theirs, torch.Tensor):
        assert (ours.dtype, ours.layout) == (theirs.dtype, theirs.layout)
        assert torch.equal(ours.to_dense(), theirs.to_dense()), f"{ours}, torch has {theirs}"
    elif isinstance(theirs, numpy.ndarray):
        assert numpy.array_equal(ours, theirs)
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        assert vars(ours) == vars(theirs) if hasattr(theirs, "__dict__") else True
        identical(list(ours.values()), list(theirs.values()))
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs), f"{len(ours)} items, torch has {len(theirs)}"
        for a, b in zip(ours, theirs, strict=True):
            identical(a, b)
    elif isinstance(theirs, MappingProxyType):
        identical(dict(ours), dict(theirs))
    elif type(theirs) is not object:
        assert ours == theirs, f"{ours!r}, torch has {theirs!r}"


def agree(case: Case) -> None:
    """Do the same with torch's and with ours: same results, or an error of the same kind, and the same random state afterwards."""
    results: list[Any] = []
    for module in (torch.utils.data, data):
        torch.manual_seed(5)
        try:
            result: Any = case.kwargs["play"](module)
        except Exception as error:
            result = error
        results.append((result, torch.get_rng_state()))
    (theirs, their_state), (ours, our_state) = results
    if isinstance(theirs, Exception):
        assert isinstance(ours, type(theirs)), f"{ours!r}, torch raises {theirs!r}"
        assert str(ours), f"{ours!r} explains nothing"
    else:
        if isinstance(ours, Exception):
            raise ours
        identical(ours, theirs)
    assert torch.equal(our_state, their_state), "another number of draws"


@pytest.mark.parametrize("name", data.__all__)
def test_data(name: str, counts: dict[str, Counts]) -> None:
    compare_all(f"utils.data.{name}", [Case(label, kwargs={"play": play}) for label, play in CASES[name].items()], agree, counts)


def test_every_name_is_torchs() -> None:
    assert [n for n in data.__all__ if not hasattr(torch.utils.data, n)] == []


def test_a_difference_is_seen() -> None:
    class Wrong:
        def __getattr__(self, name: str) -> Any:
            return getattr(data, name)

        @staticmethod
        def RandomSampler(source: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N802
            return iter(range(len(source)))

    with pytest.raises(AssertionError):
        identical(list(Wrong().RandomSampler(range(50))), list(torch.utils.data.RandomSampler(range(50))))
    with pytest.raises(AssertionError, match="another number of draws"):
        agree(Case("", kwargs={"play": lambda m: None if m is data else torch.rand(1) and None}))

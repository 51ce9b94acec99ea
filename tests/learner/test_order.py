"""Which samples come when, and with which random changes: every epoch all of them once, in a new order, whatever the number of workers.

The control is a generator kept in the data set, as users write it: each worker has a copy, and they all draw the same numbers.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest
import torch
from kit import At, feed, learner, mlp
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rungbook.data import draws
from rungbook.data.feed import Feed

WORKERS = [0, 1, 2, 4]
few_cores = pytest.mark.filterwarnings("ignore:This DataLoader will create")
"""torch warns of more workers than cores; here they are the point."""


def numbered(n: int) -> tuple[Tensor, Tensor]:
    """Samples that hold their own number."""
    return torch.arange(n).float().unsqueeze(1), torch.arange(n)


def joined(batches: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(batches))


def keyed(x: Tensor, samples: Tensor, epoch: int, seed: int) -> Tensor:
    """Beside each sample a random number of its own."""
    return torch.cat([x.double(), draws.uniform(seed, epoch, 0, samples).unsqueeze(1)], 1)


def epoch_of(source: Feed, epoch: int, start: int = 0) -> list[list[int]]:
    return [y.tolist() for _, y in source.batches(epoch, start)]


@pytest.mark.parametrize(("n", "size"), [(64, 16), (65, 16), (67, 16), (5, 8), (1, 1), (33, 1)])
def test_an_epoch_is_every_sample_once_and_the_next_is_in_another_order(n: int, size: int) -> None:
    source = feed(*numbered(n), batch_size=size)
    seen = [epoch_of(source, e) for e in range(4)]
    for batches in seen:
        assert sorted(joined(batches)) == list(range(n)), "their union is the data set, without overlap"
        assert len(batches) == len(source)
        assert [len(b) for b in batches] == [source.batch_samples(i) for i in range(len(source))]
        assert size == 1 or n == 1 or min(map(len, batches)) > 1, "batch norm cannot train on one"
    if n > 5:
        assert len({tuple(joined(b)) for b in seen}) == 4, "each epoch has its own order"
        assert epoch_of(feed(*numbered(n), batch_size=size, seed=1), 0) != seen[0]
    assert epoch_of(feed(*numbered(n), batch_size=size), 2) == seen[2], "and always the same one"
    for start in range(len(source) + 1):
        assert epoch_of(source, 1, start) == seen[1][start:]


@few_cores
def test_the_order_is_the_same_for_any_number_of_workers() -> None:
    orders = [[epoch_of(feed(*numbered(67), workers=w), e, s) for e, s in ((0, 0), (1, 0), (1, 3), (1, 5))] for w in WORKERS]
    assert orders[1:] == orders[:-1]


def test_the_learner_asks_for_a_new_epoch_each_time() -> None:
    seen: list[Tensor] = []
    x, y = numbered(40)
    ours = learner(
        mlp(features=1), (feed(x, y % 2), None), lr=0.0, callbacks=[At("before_batch", lambda le: seen.append(le.x[:, 0].clone()))]
    )
    ours.fit(3)
    epochs = [torch.cat(seen[i : i + 3]) for i in (0, 3, 6)]
    assert [sorted(e.tolist()) for e in epochs] == [list(range(40))] * 3
    assert len({tuple(e.tolist()) for e in epochs}) == 3


def drawn(source: Feed, epoch: int) -> dict[int, float]:
    """The random number each sample was given."""
    return {int(i): v for x, y in source.batches(epoch) for i, v in zip(y, x[:, 1].tolist(), strict=True)}


@few_cores
def test_random_changes_belong_to_the_sample_and_the_epoch() -> None:
    by_workers = []
    for workers in WORKERS:
        source = feed(*numbered(64), batch_size=8, workers=workers, augment=keyed)
        by_workers.append([drawn(source, e) for e in range(2)])
    assert by_workers[1:] == by_workers[:-1], "0, 1, 2 and 4 workers draw the same"
    first, second = by_workers[0]
    assert len({*first.values(), *second.values()}) == 128, "no number comes twice, in no epoch"
    other_batches = drawn(feed(*numbered(64), batch_size=5, augment=keyed), 0)
    assert other_batches == first, "nor do they depend on the batch"
    assert set(drawn(feed(*numbered(64), augment=keyed, seed=1), 0).values()).isdisjoint(first.values())


class OwnGenerator(Dataset[float]):
    """As users write it: the generator lives in the data set."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)

    def __len__(self) -> int:
        return 64

    def __getitem__(self, i: int) -> float:
        return float(torch.rand((), generator=self.generator, dtype=torch.float64))


@few_cores
def test_control_a_generator_in_the_data_set_repeats_itself() -> None:
    dataset = OwnGenerator()
    loader = DataLoader(dataset, batch_size=4, num_workers=4)
    epochs = [torch.cat(list(loader)).tolist() for _ in range(2)]
    counts = Counter(epochs[0])
    assert max(counts.values()) == 4, "each number comes once from every worker"
    assert epochs[0] == epochs[1], "and again in each epoch"


def test_random_numbers_are_spread_evenly() -> None:
    """Neighbouring samples and epochs must not be related: hashes of small numbers often are."""
    samples = torch.arange(20_000)
    grid = torch.stack([draws.uniform(0, e, s, samples) for e in range(3) for s in range(3)])  # (9, n)
    assert float(grid.min()) >= 0
    assert float(grid.max()) < 1
    assert (grid.mean(1) - 0.5).abs().max() < 5 * (1 / 12 / 20_000) ** 0.5
    related = torch.corrcoef(grid) - torch.eye(9)
    assert related.abs().max() < 5 / 20_000**0.5
    neighbours = torch.corrcoef(torch.stack([grid[0, :-1], grid[0, 1:]]))[0, 1]
    assert abs(float(neighbours)) < 5 / 20_000**0.5
    counts = torch.histc(grid[0], 100, 0, 1)
    assert float(((counts - 200).square() / 200).sum()) < 99 + 5 * (2 * 99) ** 0.5, "chi-squared with 99 degrees of freedom"

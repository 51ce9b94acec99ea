"""Rung 6, the data: what `torch.utils.data` has, by hand.

A dataset has samples, a sampler says in which order, collate makes batches of them, and a loader drives all three, alone or with worker
processes. Names, arguments and defaults are torch's.
"""

from rungbook.scratch.data.collate import default_collate, default_convert
from rungbook.scratch.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from rungbook.scratch.data.loader import DataLoader
from rungbook.scratch.data.sampler import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from rungbook.scratch.data.worker import get_worker_info

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
]

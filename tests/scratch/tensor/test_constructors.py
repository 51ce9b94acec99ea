"""Which ways to a tensor share memory: what is found by writing agrees with where the memory lies."""

from __future__ import annotations

import warnings

import pytest
import torch

from rungbook.scratch.tensor.constructors import WAYS, Way, sharing

covers = ["F01"]

SHARE = {
    "torch.as_tensor(numpy array)",
    "torch.asarray(numpy array)",
    "torch.from_numpy(numpy array)",
    "torch.frombuffer(array.array)",
    "torch.as_tensor(tensor)",
    "tensor.detach()",
    "tensor.to(its own type)",
    "tensor[1:3]",
    "tensor.view(2, 3)",
    "matrix.T",
    "matrix.reshape(6)",
    "matrix.contiguous()",
    "matrix.flatten()",
    "tensor.expand(2, 6)",
}


def test_which_share() -> None:
    assert {f.name for f in sharing() if f.shares} == SHARE
    assert len({w.name for w in WAYS}) == len(WAYS)


def test_types() -> None:
    types = {f.name: f.dtype for f in sharing()}
    assert types["torch.Tensor(numpy array)"] == torch.float32  # whatever it gets
    assert types["torch.tensor(numpy array)"] == torch.float64
    assert types["torch.tensor(list)"] == torch.get_default_dtype()


@pytest.mark.parametrize("way", [w for w in WAYS if "list" not in w.name], ids=lambda w: w.name)
def test_addresses_agree(way: Way) -> None:
    source = way.source()
    whole = torch.as_tensor(source) if not hasattr(source, "typecode") else torch.frombuffer(source, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = way.make(source)
    assert (x.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()) == (way.name in SHARE)

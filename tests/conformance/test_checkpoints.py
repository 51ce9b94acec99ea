"""The drop-in promise: what torch.nn wrote loads into the twin and back, for every row with parameters or buffers."""

from __future__ import annotations

import copy
import io
import itertools

import pytest
import torch
from agree import quiet
from corpus import module_cases

from rungbook.scratch.twins import TWINS


@pytest.mark.parametrize("theirs", TWINS, ids=lambda cls: cls.__name__)
def test_there_and_back(theirs: type[torch.nn.Module]) -> None:
    case = module_cases(theirs)[0]
    made = []
    for seed, cls in enumerate((theirs, TWINS[theirs], theirs)):
        torch.manual_seed(seed)
        with quiet():
            made.append(cls(*copy.deepcopy(case.make), **copy.deepcopy(case.options)))
    if hasattr(made[0], "has_uninitialized_params"):  # a lazy layer has weights to write once it has seen an input
        for layer in made:
            layer.double()
        made[0](*case.args, **case.kwargs)
    for source, target in itertools.pairwise(made):
        file = io.BytesIO()
        torch.save(source.state_dict(), file)
        file.seek(0)
        assert str(target.load_state_dict(torch.load(file, weights_only=True))) == "<All keys matched successfully>"
    first, last = made[0].state_dict(), made[-1].state_dict()
    assert list(first) == list(last)
    assert all(torch.equal(first[k], last[k]) for k in first)

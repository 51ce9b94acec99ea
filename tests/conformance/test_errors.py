"""Where torch refuses an input, so does the twin, with the same kind of error and words of its own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from agree import quiet
from corpus import error_cases, op_infos

from rungbook.scratch import functional
from rungbook.scratch.twins import TWINS


def made_and_called(cls: type[torch.nn.Module], make: Any, call: Any) -> Any:
    return cls(*make.args, **make.kwargs)(*call.args, **call.kwargs)


@pytest.mark.parametrize("theirs", TWINS, ids=lambda cls: cls.__name__)
def test_layer_refuses(theirs: type) -> None:
    for sample in error_cases(theirs):
        make, call = sample.module_error_input.constructor_input, sample.module_error_input.forward_input
        with pytest.raises(sample.error_type) as refused, quiet():
            made_and_called(TWINS[theirs], make, call)
        assert len(str(refused.value)) > 15, f"{theirs.__name__}: {refused.value!r} explains nothing"


@pytest.mark.parametrize("name", functional.__all__)
def test_function_refuses(name: str) -> None:
    for info in op_infos().get(f"nn.functional.{name}", []):
        if info.error_inputs_func is None:
            continue
        for error in info.error_inputs("cpu"):
            sample = error.sample_input
            with pytest.raises(error.error_type) as refused, quiet():
                getattr(functional, name)(sample.input, *sample.args, **sample.kwargs)
            assert len(str(refused.value)) > 15, f"{name}: {refused.value!r} explains nothing"

"""Calls into code that somebody brought along (`mine=...`): what goes wrong in them is told by the line of their file."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rungbook.errors import UsageError
from rungbook.learner.random_state import keep_random_state

if TYPE_CHECKING:
    from rungbook.recipes.mine import Mine


def failed(error: BaseException, path: Path, when: str) -> UsageError:
    """Their mistake in our words: the line of their file it came from, and what Python or torch says."""
    if isinstance(error, UsageError):
        return error
    own = lines_in(error, path)
    line = own[-1] if own else getattr(error, "lineno", None)
    where, look = (f"{path}:{line}", f"line {line} of {path}") if line else (str(path), str(path))
    return UsageError("E202", f"{where} failed {when}: {said(error)}", f"Look at {look}, or add --debug.")


def lines_in(error: BaseException, path: Path) -> list[int | None]:
    """Lines of a file that an error passed through, the innermost last."""
    return [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == path.resolve()]


def said(error: BaseException) -> str:
    """Its kind and its first line."""
    kind, text = type(error).__name__, str(error)
    return f"{kind}: {text.splitlines()[0]}" if text.strip() else kind


class Guard:
    """A call into their code, whose failures are told by the line of their file.

    Args:
        call: what is called.
        mine: whose it is.
        when: what they see it fail in.
        check: looks at each result with the arguments it came of, and says what is wrong with it, or nothing.
    """

    def __init__(self, call: Callable[..., Any], mine: Mine, when: str, check: Callable[..., str] | None = None) -> None:
        self.call, self.mine, self.when, self.check = call, mine, when, check
        self.used = False
        with suppress(AttributeError):  # an instance that is called has no name
            update_wrapper(self, call, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            result = self.call(*args, **kwargs)
        except (Exception, SystemExit) as error:
            raise failed(error, self.mine.path, self.when) from error
        self.used = True
        if self.check is not None and (wrong := self.check(result, *args, **kwargs)):
            raise UsageError("E202", f"{self.mine.part.__name__} in {self.mine.path} {wrong}.", f"Look at {self.mine.path}.")
        return result


def one_number(loss: Any, *_: Any, **__: Any) -> str:
    """What is wrong with the result of a loss, or nothing."""
    if not isinstance(loss, Tensor):
        return f"returns {_kind(loss)}; a loss is a tensor of one number"
    return "" if loss.ndim == 0 else f"returns {_kind(loss)}; a loss is one number, as loss.mean() gives"


def some_tensors(result: Any, *_: Any, **__: Any) -> str:
    """What is wrong with the result of a function, or nothing."""
    return "" if isinstance(result, Tensor | tuple | list) else f"returns {_kind(result)}; it must return what torch's does"


class AsTorch:
    """Compares what their layer returns first with what torch's returns for the same input, in kind and shape."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer: nn.Module | None = layer

    def __call__(self, result: Any, *args: Any, **kwargs: Any) -> str:
        if self.layer is None:
            return ""
        layer, self.layer = self.layer, None
        device = next((x.device for x in args if isinstance(x, Tensor)), None)
        try:
            with keep_random_state(), torch.no_grad():
                theirs = _kind(copy.deepcopy(layer).to(device).eval()(*args, **kwargs))
        except (RuntimeError, TypeError, ValueError, NotImplementedError):
            return ""  # theirs takes what torch's does not: nothing to compare with
        return "" if _kind(result) == theirs else f"returns {_kind(result)} where {type(layer).__name__} returns {theirs}"


def _kind(value: Any) -> str:
    """In words, what a call gave."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_kind, value))})"
    return "nothing (None)" if value is None else f"a {type(value).__name__}"

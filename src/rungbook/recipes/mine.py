"""A learner's own layer, function, loss or optimiser in torch's place: `mine=Conv2d:path.py:MyConv`.

The file is the user's own and is run because they named it on the command line. A run remembers the words and never runs the file by
itself: who continues it says them again.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional
from torch import nn

from rungbook.errors import RungError, UsageError, did_you_mean
from rungbook.recipes.guard import AsTorch, Guard, failed, lines_in, said

FORM = "mine=Conv2d:path.py:MyConv"


@dataclass(frozen=True)
class Mine:
    """One part of somebody's own.

    Args:
        stands_for: torch's class or function.
        part: theirs.
        path: the file it was read from.
    """

    stands_for: Any
    part: Any
    path: Path

    @property
    def kind(self) -> str:
        """What it is: layer, loss, optimizer or function."""
        if not isinstance(self.stands_for, type):
            return "function"
        if issubclass(self.stands_for, torch.optim.Optimizer):
            return "optimizer"
        return "loss" if self.stands_for.__name__.endswith("Loss") else "layer"


def known_parts() -> dict[str, Any]:
    """Everything of torch's that can be replaced, by the name it has there: layers, losses, optimisers, functions."""
    optimizers = {k: v for k, v in vars(torch.optim).items() if isinstance(v, type) and issubclass(v, torch.optim.Optimizer)}
    layers = {k: v for k, v in vars(nn).items() if isinstance(v, type) and issubclass(v, nn.Module) and v is not nn.Module}
    functions = {k: v for k, v in vars(torch.nn.functional).items() if callable(v) and not k.startswith("_") and not isinstance(v, type)}
    return {**functions, **layers, **{k: v for k, v in optimizers.items() if k != "Optimizer"}}


def split_word(word: str) -> tuple[str, Path, str]:
    """Torch's name, the file and the name in it. Raises UsageError E202 for another form, E201 for a name torch does not have."""
    torch_name, _, rest = word.partition(":")
    path, _, name = rest.rpartition(":")
    if not (torch_name and path and name.isidentifier()):
        raise UsageError("E202", f'mine is "{word}"; it must be TORCH_CLASS:FILE:YOUR_CLASS.', f"For example {FORM}")
    torch_name, known = torch_name.rpartition(".")[2], known_parts()  # nn.Conv2d is Conv2d
    if torch_name not in known:
        raise UsageError(
            "E201", f'torch has no layer, loss, optimiser or function "{torch_name}".', did_you_mean(torch_name, known, "{}:...")
        )
    return torch_name, Path(path), name


def read_mine(*words: str) -> list[Mine]:
    """Run the files, each once, and take the parts out of them.

    Raises:
        UsageError: E105 no such file, E201 no such name in it, E202 it cannot be used, with the line where it failed.
    """
    parts = [split_word(word) for word in words]
    for torch_name, times in Counter(torch_name for torch_name, _, _ in parts).items():
        if times > 1:
            raise UsageError("E202", f"mine names {torch_name} {times} times, and only one can stand in its place.", FORM)
    look_at_files(*words)
    modules = {path: _run(path) for path in dict.fromkeys(path for _, path, _ in parts)}
    return [_take(modules[path], path, torch_name, name) for torch_name, path, name in parts]


def _take(module: Any, path: Path, torch_name: str, name: str) -> Mine:
    """A name out of a file that was run, if it can stand for torch's."""
    if not hasattr(module, name):
        defined = [k for k, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__]
        raise UsageError("E201", f'{path} has no "{name}".', did_you_mean(name, defined, f"{torch_name}:{path}:{{}}"))
    part, stands_for = getattr(module, name), known_parts()[torch_name]
    for base, what in ((torch.optim.Optimizer, "torch.optim.Optimizer"), (nn.Module, "torch.nn.Module")):
        wanted = isinstance(stands_for, type) and issubclass(stands_for, base)
        if wanted and not (isinstance(part, type) and issubclass(part, base)):
            raise UsageError("E202", f"{name} in {path} is no {what}, and {torch_name} is.", f"class {name}({what}): ...")
    if not callable(part):
        raise UsageError("E202", f"{name} in {path} is {type(part).__name__} and cannot be called.", f"def {name}(...): ...")
    return Mine(stands_for, part, path)


def look_at_files(*words: str) -> None:
    """Refuse files that cannot be run, without running them: before data are read and a run begins. Raises as `read_mine`."""
    for path in dict.fromkeys(split_word(word)[1] for word in words):
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is not there"
            raise UsageError("E105", f"mine names the file {path}, which {what}.", f"{FORM}, with the path from here")
        if path.suffix != ".py":
            raise UsageError("E202", f"{path} is no Python file.", FORM)
        try:
            ast.parse(path.read_bytes(), str(path))
        except (SyntaxError, ValueError) as error:
            raise failed(error, path, "while it was read") from error


def _run(path: Path) -> Any:
    name = f"mine_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look their module up
    sys.path.insert(0, str(path.resolve().parent))  # as python path.py does, for what stands beside it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise failed(error, path, "while it was read") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


@contextmanager
def blamed(*words: str) -> Iterator[None]:
    """Within it, mistakes of theirs that show late, as in a backward pass, are told as theirs too.

    Args:
        words: what `mine` says; with none, errors pass as they are.
    """
    try:
        yield
    except RungError:
        raise
    except (RuntimeError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError, AssertionError) as error:
        parts = [split_word(word) for word in words]
        for path in dict.fromkeys(path for _, path, _ in parts):
            if lines_in(error, path):
                raise failed(error, path, "while training") from error
        if not parts:
            raise
        theirs = ", ".join(f"{name} of {path}" for _, path, name in parts)
        fix = "Leave out mine=... to see that it trains without; with --debug the whole traceback is shown."
        raise UsageError("E202", f"Training with {theirs} failed: {said(error)}", fix) from error


def put_layers(model: nn.Module, mine: Mine) -> int:
    """Replace each layer of exactly the torch class by theirs, with the same arguments and weights; gives how many.

    Raises:
        UsageError: E202 theirs cannot be made with these arguments, or has other weights.
    """
    made: dict[int, nn.Module] = {}
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):  # named_children leaves out a layer's second place
            if child is not None and type(child) is mine.stands_for:
                if id(child) not in made:
                    made[id(child)] = _like(child, mine)
                setattr(parent, name, made[id(child)])
    return len(made)


def _like(layer: nn.Module, mine: Mine) -> nn.Module:
    required, options = constructor_arguments(layer)
    name = mine.part.__name__
    own = Guard(mine.part, mine, f"when made as {name}({', '.join([*map(repr, required), *(f'{k}={v!r}' for k, v in options.items())])})")(
        *required, **options
    )
    theirs = {k: tuple(v.shape) for k, v in own.state_dict().items()}
    wanted = {k: tuple(v.shape) for k, v in layer.state_dict().items()}
    if theirs != wanted:
        raise UsageError(
            "E202",
            f"{name} in {mine.path} has the weights {_listed(theirs)}, {type(layer).__name__} has {_listed(wanted)}.",
            "Give them torch's names and shapes: then weights can be copied, saved and used by either.",
        )
    for weight in layer.parameters():
        own.to(weight.device, weight.dtype)
    own.load_state_dict(layer.state_dict())
    own.forward = Guard(own.forward, mine, "in forward", AsTorch(layer))
    return own.train(layer.training)


def _listed(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{k} {v}" for k, v in shapes.items()) or "none"


def constructor_arguments(layer: nn.Module) -> tuple[list[Any], dict[str, Any]]:
    """What a torch layer was made with: required arguments in order, and those that differ from their defaults.

    Torch's layers keep their arguments under the names they were given by; only whether there is a bias is seen from the bias itself.
    """
    required: list[Any] = []
    options: dict[str, Any] = {}
    for parameter in _arguments(type(layer)):
        if parameter.name in ("mode", "device", "dtype") or not hasattr(layer, parameter.name):
            continue
        value = getattr(layer, parameter.name)
        if parameter.name == "bias" and not isinstance(value, bool):
            value = value is not None
        if parameter.default is inspect.Parameter.empty:
            required.append(value)
        elif not _same(value, parameter.default):
            options[parameter.name] = value
    return required, options


def _arguments(cls: type) -> list[inspect.Parameter]:
    """The constructor's arguments after self, of the first class in line that names them: LSTM hands all of its own on to RNNBase."""
    for base in cls.__mro__:
        found = list(inspect.signature(base.__init__).parameters.values())[1:]  # type: ignore[misc]
        if not any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in found):
            return found
    return []


def _same(value: Any, default: Any) -> bool:
    """Whether an attribute is what the default becomes: a number stands for a tuple of it, too."""
    if isinstance(value, tuple) and not isinstance(default, tuple):
        return all(v == default for v in value)
    return bool(value == default)


def put_optimizer(make: Any, mine: Mine) -> Any:
    """Their optimiser in the place of `partial(torch's, **settings)`; a setting it has no argument for must be off."""
    accepted = inspect.signature(mine.part).parameters
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values())
    for key, value in make.keywords.items():
        if value and not takes_all and key not in accepted:
            raise UsageError("E202", f"{mine.part.__name__} in {mine.path} takes no {key}; the recipe has {key}={value}.", f"{key}=0")
    settings = {k: v for k, v in make.keywords.items() if takes_all or k in accepted}

    def made(params: Any, lr: float) -> torch.optim.Optimizer:
        optimizer = Guard(mine.part, mine, "when made")(params, lr=lr, **settings)
        optimizer.step = Guard(optimizer.step, mine, "in step")
        return optimizer

    return made


def has_backward(mine: Mine) -> bool:
    """Whether the file of a part defines a `torch.autograd.Function`."""
    defined = vars(sys.modules[mine.part.__module__]).values() if mine.part.__module__ in sys.modules else ()
    return any(isinstance(x, type) and issubclass(x, torch.autograd.Function) and x.__module__ == mine.part.__module__ for x in defined)

"""Which parts of a training are torch's, ours (`scratch=layers,optim`) or the user's own (`mine=Conv2d:path.py:MyConv`).

Everything is exchanged at one place, where the Learner is made; weights, checkpoints and predictions are the same files whichever it was.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from torch import nn

from rungbook.data.data import Data
from rungbook.errors import UsageError
from rungbook.recipes.mine import Mine, guarded, put_layers, put_optimizer, read_mine, split_word
from rungbook.recipes.settings import PARTS


class Within:
    """A call under a mode that answers torch's functions with others. What it stands for can be asked of it as before.

    Args:
        call: a loss, or a model's forward.
        mode: makes the context.
    """

    def __init__(self, call: Callable[..., Any], mode: Callable[[], Any]) -> None:
        self.stands_for, self.mode = call, mode

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self.mode():
            return self.stands_for(*args, **kwargs)


@dataclass(frozen=True)
class Exchange:
    """The parts that are not torch's.

    Args:
        scratch: names of `PARTS`, or "all".
        mine: words as `Conv2d:path.py:MyConv`.
    """

    scratch: tuple[str, ...] = ()
    mine: tuple[str, ...] = ()

    def __contains__(self, part: str) -> bool:
        return part in self.scratch or "all" in self.scratch

    @cached_property
    def own(self) -> list[Mine]:
        """The user's parts, read from their files."""
        return read_mine(*self.mine)

    def _of(self, *kinds: str) -> list[Mine]:
        return [m for m in self.own if m.kind in kinds]

    def _functions(self, ours: dict[Any, Any]) -> Callable[[], Any]:
        from rungbook.scratch.mode import replaced

        theirs = {m.stands_for: guarded(m.part, m, "when called") for m in self._of("function")}
        return lambda: replaced({**ours, **theirs})

    def model(self, model: nn.Module) -> nn.Module:
        """The model with its layers and the functions it calls exchanged."""
        for own in self._of("layer"):
            if not put_layers(model, own):
                kinds = sorted({type(m).__name__ for m in model.modules() if not list(m.children())})
                raise UsageError("E202", f"The model has no {own.stands_for.__name__}.", f"It is made of {', '.join(kinds)}.")
        if "layers" in self:
            from rungbook.scratch.swap import swap

            model = swap(model)
        ours: dict[Any, Any] = {}
        if "functions" in self:
            from rungbook.scratch.twins import FUNCTIONS, LOSS_FUNCTIONS

            ours = {k: v for k, v in FUNCTIONS.items() if k not in LOSS_FUNCTIONS}
        if ours or self._of("function"):
            model.forward = Within(model.forward, self._functions(ours))
        return model

    def loss(self, loss: Any) -> Any:
        """The loss with the functions it is made of exchanged."""
        for own in self._of("loss"):
            loss = _own_loss(loss, own)
        ours: dict[Any, Any] = {}
        if "losses" in self:
            from rungbook.scratch.twins import FUNCTIONS, LOSS_FUNCTIONS

            ours = {k: FUNCTIONS[k] for k in LOSS_FUNCTIONS}
        return Within(loss, self._functions(ours)) if ours or self._of("function") else loss

    def optimizer(self, make: Any) -> Any:
        """The optimiser's class exchanged, its settings kept."""
        cls = make.func
        for own in self._of("optimizer"):
            if own.stands_for is not cls:
                other = own.stands_for.__name__
                raise UsageError("E202", f"mine stands for {other}, the recipe trains with {cls.__name__}.", f"optimizer={other.lower()}")
            return put_optimizer(make, own)
        if "optim" not in self:
            return make
        from rungbook.scratch import optim

        return partial(getattr(optim, cls.__name__), **make.keywords)

    def data(self, data: Data) -> Data:
        """The data, read through our loader."""
        if "loader" not in self:
            return data
        from rungbook.scratch.data import DataLoader

        feeds: dict[str, Any] = {name: copy.copy(feed) for name, feed in data.splits().items()}
        for feed in feeds.values():
            feed.loader = DataLoader
        return replace(data, **feeds)

    def tape(self) -> Any:
        """What gradients come from, if not from torch's autograd."""
        if "autograd" not in self:
            return None
        from rungbook.scratch.autograd.tape import Tape

        return Tape()

    def describe(self, model: nn.Module) -> str:
        """In a line, what is by hand; "" if nothing is."""
        words = [p for p in PARTS if p in self]
        if "layers" in self:
            from rungbook.scratch.swap import swap_report

            counts = Counter(swap_report(model).swapped.values())
            words[words.index("layers")] = f"layers ({', '.join(f'{n} {kind}' for kind, n in counts.items())})"
        words += [f"{theirs} ({name} of {path.name})" for theirs, path, name in map(split_word, self.mine)]
        return f"by hand: {', '.join(words)}" if words else ""


def _own_loss(loss: Any, own: Mine) -> Any:
    """Their loss class in the place of torch's function of the same meaning (CrossEntropyLoss for cross_entropy)."""
    base = loss.func if isinstance(loss, partial) else loss
    name = own.stands_for.__name__.removesuffix("Loss").lower()
    if name not in (getattr(base, "__name__", type(base).__name__).replace("_", "").removesuffix("loss"),):
        raise UsageError("E202", f"mine stands for {own.stands_for.__name__}, the recipe's loss is {getattr(base, '__name__', base)}.")
    settings = loss.keywords if isinstance(loss, partial) else {}
    made = guarded(own.part, own, "when made")(**settings)
    made.forward = guarded(made.forward, own, "in forward")
    return made


def exchange(recipe: Any) -> Exchange:
    """The parts a recipe wants exchanged."""
    return Exchange(tuple(recipe.scratch), tuple(recipe.mine))

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
from rungbook.recipes.guard import Guard, one_number, some_tensors
from rungbook.recipes.mine import Mine, has_backward, put_layers, put_optimizer, read_mine, split_word
from rungbook.recipes.settings import PARTS


class Within:
    """A call under a mode that answers torch's functions with others. What it stands for can be asked of it as before.

    Args:
        call: a loss, or a model's forward.
        mode: makes the context.
        after: called once the call is done.
    """

    def __init__(self, call: Callable[..., Any], mode: Callable[[], Any], after: Callable[[], None] | None = None) -> None:
        self.stands_for, self.mode, self.after = call, mode, after

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self.mode():
            result = self.stands_for(*args, **kwargs)
        if self.after is not None:
            self.after()
        return result


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

    @cached_property
    def _own_functions(self) -> list[tuple[Mine, Guard]]:
        return [(m, Guard(m.part, m, "when called", some_tensors)) for m in self._of("function")]

    def _functions(self, ours: dict[Any, Any]) -> Callable[[], Any]:
        from rungbook.scratch.mode import replaced

        functions = {**ours, **{m.stands_for: call for m, call in self._own_functions}}  # once: the mode is entered at every step
        return lambda: replaced(functions)

    @cached_property
    def _models(self) -> list[nn.Module]:
        return []

    def _all_used(self) -> None:
        """Refuse a function of theirs that a whole training step did not call: it would seem to be right."""
        if not all(model.training for model in self._models):
            return
        for own, call in self._own_functions:
            if not call.used:
                name, theirs = own.stands_for.__name__, f"{own.part.__name__} of {own.path}"
                rest = ",".join(p for p in PARTS if p in self and p != "layers")
                fix = f"Layers by hand call functions by hand: scratch={rest} leaves them torch's." if "layers" in self else "Leave it out."
                raise UsageError("E202", f"Neither the model nor its loss calls torch's {name}: {theirs} is never used.", fix)

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
            self._models.append(model)
        return model

    def loss(self, loss: Any) -> Any:
        """The loss with the functions it is made of exchanged."""
        for own in self._of("loss"):
            loss = _own_loss(loss, own)
        ours: dict[Any, Any] = {}
        if "losses" in self:
            from rungbook.scratch.twins import FUNCTIONS, LOSS_FUNCTIONS

            ours = {k: FUNCTIONS[k] for k in LOSS_FUNCTIONS}
        after = self._all_used if self._of("function") else None
        return Within(loss, self._functions(ours), after) if ours or after else loss

    def optimizer(self, make: Any) -> Any:
        """The optimiser's class exchanged, its settings kept; of one made of several, each of them."""
        several = {k: v for k, v in make.keywords.items() if isinstance(v, partial)}
        makers = list(several.values()) or [make]
        for own in self._of("optimizer"):
            if all(own.stands_for is not m.func for m in makers):
                other, used = own.stands_for.__name__, " and ".join(m.func.__name__ for m in makers)
                raise UsageError("E202", f"mine stands for {other}, the recipe trains with {used}.", f"optimizer={other.lower()}")
        if not several:
            return self._one_optimizer(make)
        return partial(make.func, **{**make.keywords, **{k: self._one_optimizer(v) for k, v in several.items()}})

    def _one_optimizer(self, make: Any) -> Any:
        for own in self._of("optimizer"):
            if own.stands_for is make.func:
                return put_optimizer(make, own)
        if "optim" not in self:
            return make
        from rungbook.scratch import optim

        return partial(getattr(optim, make.func.__name__), **make.keywords)

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
        for own in self.own:
            if has_backward(own):
                message = f"{own.path} has a backward of its own, which a tape never calls: it differentiates what forward computes."
                raise UsageError("E202", message, "Leave autograd out of scratch=..., and yours is used.")
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
    if name != getattr(base, "__name__", type(base).__name__).replace("_", "").removesuffix("loss"):
        raise UsageError("E202", f"mine stands for {own.stands_for.__name__}, the recipe's loss is {getattr(base, '__name__', base)}.")
    settings = loss.keywords if isinstance(loss, partial) else {}
    made = Guard(own.part, own, "when made")(**settings)
    made.forward = Guard(made.forward, own, "in forward", one_number)
    return made


def exchange(recipe: Any) -> Exchange:
    """The parts a recipe wants exchanged."""
    return Exchange(tuple(recipe.scratch), tuple(recipe.mine))

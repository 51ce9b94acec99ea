"""Deep learning, one rung at a time: train, explain and ship models on your own data, with every part built by hand underneath.

Names are resolved when first used (PEP 562), so that `import rungbook` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Callback": "rungbook.learner.callback",
    "Data": "rungbook.data.data",
    "Items": "rungbook.data.block",
    "Learner": "rungbook.learner.learner",
    "RungError": "rungbook.errors",
    "Tape": "rungbook.scratch.autograd.tape",
    "check_callback": "rungbook.learner.contract",
    "check_model": "rungbook.learner.model_contract",
    "create_model": "rungbook.transfer.create",
    "list_models": "rungbook.models.registry",
    "list_recipes": "rungbook.recipes.recipe",
    "load": "rungbook.recipes.predictor",
    "load_data": "rungbook.data.load",
    "swap": "rungbook.scratch.swap",
    "swap_report": "rungbook.scratch.swap",
}
"""Where each public name lives."""

if TYPE_CHECKING:
    from rungbook.data.block import Items
    from rungbook.data.data import Data
    from rungbook.data.load import load_data
    from rungbook.errors import RungError
    from rungbook.learner.callback import Callback
    from rungbook.learner.contract import check_callback
    from rungbook.learner.learner import Learner
    from rungbook.learner.model_contract import check_model
    from rungbook.models.registry import list_models
    from rungbook.recipes.predictor import load
    from rungbook.recipes.recipe import list_recipes
    from rungbook.scratch.autograd.tape import Tape
    from rungbook.scratch.swap import swap, swap_report
    from rungbook.transfer.create import create_model

__all__ = [
    "Callback",
    "Data",
    "Items",
    "Learner",
    "RungError",
    "Tape",
    "check_callback",
    "check_model",
    "create_model",
    "list_models",
    "list_recipes",
    "load",
    "load_data",
    "swap",
    "swap_report",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'rungbook' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

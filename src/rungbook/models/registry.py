"""Every model by name: `create_model("lenet", num_classes=10)`, `list_models("le*")`.

Entries name their class as text, so that the table costs no import; tests run over the whole table in each entry's small form.
"""

from __future__ import annotations

import inspect
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from rungbook.errors import UsageError, did_you_mean
from rungbook.models.entry import Entry
from rungbook.models.vision.entries import VISION

_FLAT = {"in_features": 8, "out_features": 3}

MODELS: dict[str, Entry] = {
    "linear": Entry("tabular.linear:LinearRegression", "flat", "a weighted sum of the inputs", small=_FLAT),
    "softmax_regression": Entry("tabular.linear:SoftmaxRegression", "flat", "one linear layer, a score for each class", small=_FLAT),
    "logistic_regression": Entry("tabular.linear:SoftmaxRegression", "flat", "softmax regression on two classes", small=_FLAT),
    "mlp": Entry("tabular.mlp:MLP", "flat", "linear layers with ReLU between them, any widths", small=_FLAT),
    "tabular_mlp": Entry(
        "tabular.tabular_mlp:TabularMLP",
        "table",
        "embeddings for categories, an MLP and a linear path beside it",
        small={"num_numbers": 3, "cardinalities": (4, 5), "out_features": 2},
    ),
    "bag": Entry("text.bag:BagOfEmbeddings", "text", "mean of word and word-pair embeddings", small={"vocab_size": 50, "out_features": 2}),
    **VISION,
}


MAY_BE_NONE = ("num_numbers",)
"""Counts that may be 0; of everything else that is counted there must be one."""


def model_entry(name: str) -> Entry:
    """The entry of a name. Raises UsageError E201 with the nearest name."""
    if name not in MODELS:
        raise UsageError("E201", f'There is no model "{name}".', did_you_mean(name, MODELS))
    return MODELS[name]


def create_model(name: str, **options: Any) -> nn.Module:
    """A new model by name.

    Args:
        name: key of `MODELS`.
        options: arguments of its constructor.

    Raises:
        UsageError: no such model (E201) or option (E201, nearest offered), or an impossible value (E202).
    """
    entry = model_entry(name)
    known = entry.parameters()
    for key in options:
        if key not in known:
            raise UsageError("E201", f'The model {name} has no option "{key}".', did_you_mean(key, known))
    _check_counts(name, options)
    try:
        return entry.load()(**{**entry.options, **options})
    except UsageError as error:
        raise UsageError(error.code, f"The model {name} cannot be made: {error.message}", error.fix) from error
    except (TypeError, ValueError, IndexError, RuntimeError) as error:  # RuntimeError: torch's, of a size that cannot be
        raise UsageError("E202", f"The model {name} cannot be made: {error}.", f"Its options: {', '.join(known)}.") from error


def _check_counts(name: str, options: dict[str, Any]) -> None:
    """Refuse whole numbers below 1, which torch answers with an error about memory or with a layer without weights."""
    parameters = inspect.signature(model_entry(name).load()).parameters
    for key, value in options.items():
        if isinstance(parameters[key].default, float):
            continue  # a share or a rate: 0 is one of its values
        least = 0 if key in MAY_BE_NONE else 1
        numbers = value if isinstance(value, tuple | list) else (value,)
        if any(isinstance(n, int) and not isinstance(n, bool) and n < least for n in numbers):
            found = tuple(value) if isinstance(value, list) else value
            raise UsageError("E202", f"{key} of the model {name} is {found}, it must be {least} or more.", f"Change {key}.")


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models that match a pattern as in a shell (`list_models("lenet*")`), sorted."""
    return sorted(name for name in MODELS if fnmatchcase(name, pattern))

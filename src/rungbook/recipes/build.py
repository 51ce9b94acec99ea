"""From a recipe and its data to a Learner: model, loss, metrics, optimiser, budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rungbook.data.data import Data
from rungbook.data.one_hot import one_hot
from rungbook.data.target import NumberTarget
from rungbook.errors import UsageError
from rungbook.learner.callback import Callback
from rungbook.learner.callbacks import EMA, SAM, SWA, ClipAdaptive, ClipValue, EarlyStopping, KeepBest, Lookahead, Mix, Resizing
from rungbook.learner.learner import Learner
from rungbook.learner.metrics import OnScale, make_metric
from rungbook.learner.split_optimizer import SplitOptimizer
from rungbook.models.registry import MODELS, model_entry
from rungbook.recipes.exchange import exchange
from rungbook.recipes.recipe import Recipe
from rungbook.recipes.start import held, hold_now, with_rates
from rungbook.scale.precision import make_precision

FITS = {"image": ("image", "flat"), "table": ("table", "flat"), "one_hot": ("flat",), "text": ("text",), "array": ("flat", "image")}
"""Kind of data -> kinds of model input it can serve."""
UNEVEN = 3
"""Largest to smallest class from which on balanced accuracy is shown too."""
MAX_EPOCHS = 200
"""More passes than this over few rows only memorise them."""


class BalancedCrossEntropy(nn.CrossEntropyLoss):
    """Cross-entropy whose mean weights each class; `count` is the sum of weights the mean was over."""

    cross_entropy = True

    def count(self, target: Tensor) -> Tensor:
        """Sum of the weights of the targets; of targets that are probabilities torch's mean is over the samples."""
        assert self.weight is not None
        if target.is_floating_point():
            return target.new_tensor(len(target))
        return self.weight[target].sum()


def fit_data(recipe: Recipe, data: Data) -> Data:
    """The data in the form the recipe's model takes. Raises UsageError E202 listing the models that fit."""
    kind = data.encoder.kind if data.encoder else "array"
    wanted = model_entry(recipe.model).inputs
    serves = FITS[kind]
    x = data.one_batch(1)[0]
    if kind == "array" and isinstance(x, Tensor) and x.ndim != 4:
        serves = ("flat",)
    if kind == "array" and isinstance(x, Tensor) and not x.is_floating_point():
        message = f"{data.name} holds whole numbers (of characters or words), and none of the models here reads them one by one."
        raise UsageError("E202", message, f"From Python: rungbook.load_data({data.name!r})")
    if wanted not in serves:
        fitting = ", ".join(name for name, entry in MODELS.items() if entry.inputs in serves)
        raise UsageError(
            "E202", f"The model {recipe.model} takes {_ARTICLE[wanted]}, {data.name} holds {_ARTICLE[kind]}.", f"These fit: {fitting}."
        )
    return one_hot(data) if kind == "table" and wanted == "flat" else data


_ARTICLE = {
    "image": "images",
    "table": "rows of a table",
    "one_hot": "rows of a table",
    "text": "texts",
    "array": "arrays",
    "flat": "numbers",
}


def model_options(recipe: Recipe, data: Data) -> dict[str, Any]:
    """The options of a recipe's model, for `new_model`: what follows from the data, and what the recipe says."""
    entry = model_entry(recipe.model)
    x, _ = data.one_batch(1)
    outputs = data.target.outputs
    encoder: Any = data.encoder
    if entry.inputs == "image":
        assert isinstance(x, Tensor)
        options = {"in_channels": x.shape[1], "num_classes": outputs, "image_size": tuple(x.shape[2:])}
    elif entry.inputs == "flat":
        assert isinstance(x, Tensor)
        options = {"in_features": x[0].numel(), "out_features": outputs}
    elif entry.inputs == "table":
        options = {"num_numbers": x[0].shape[1], "cardinalities": encoder.cardinalities, "out_features": outputs}
    else:
        options = {"vocab_size": len(encoder.vocabulary) + 2, "out_features": outputs}
    return options | recipe.model_options() | ({} if recipe.head is None else {"head": recipe.head})


def build_loss(recipe: Recipe, data: Data, device: torch.device) -> Any:
    """Cross-entropy for classes (weighted, smoothed if asked), mean squared error for numbers."""
    if data.task == "regression":
        return F.mse_loss
    if recipe.class_weights is None:
        return partial(F.cross_entropy, label_smoothing=recipe.label_smoothing) if recipe.label_smoothing else F.cross_entropy
    counts = torch.bincount(data.train.source.targets().cpu(), minlength=data.target.outputs).clamp(min=1)
    weight = counts.sum() / (len(counts) * counts)
    return BalancedCrossEntropy(weight=weight.float().to(device), label_smoothing=recipe.label_smoothing)


def build_metrics(data: Data) -> list[Any]:
    """What is shown each epoch: accuracies, or errors in the user's units."""
    if data.task == "classification":
        counts = torch.bincount(data.train.source.targets().cpu(), minlength=len(data.classes))
        return ["accuracy", "balanced_accuracy"] if int(counts.max()) >= UNEVEN * int(counts.min()) else ["accuracy"]
    assert isinstance(data.target, NumberTarget)
    return [OnScale(make_metric(m), data.target.decode, data.target.values) for m in ("r2", "root_mean_squared_error")]


def build_optimizer(recipe: Recipe) -> Any:
    """The optimiser as a callable (parameters, lr) -> Optimizer; those that torch does not have are ours."""
    from rungbook.scratch import optim

    decay: dict[str, Any] = {"weight_decay": recipe.weight_decay}
    # steps as large as AdamW's, so that one rate does for both
    muon = partial(torch.optim.Muon, momentum=recipe.momentum, adjust_lr_fn="match_rms_adamw", **decay)
    made: dict[str, Any] = {
        "sgd": partial(torch.optim.SGD, momentum=recipe.momentum, **decay),
        "adam": partial(torch.optim.Adam, **decay),
        "adamw": partial(torch.optim.AdamW, **decay),
        "rmsprop": partial(torch.optim.RMSprop, **decay),
        "adagrad": partial(torch.optim.Adagrad, **decay),
        "nadam": partial(torch.optim.NAdam, **decay),
        "radam": partial(torch.optim.RAdam, **decay),
        "lamb": partial(optim.LAMB, **decay),
        "lars": partial(optim.LARS, momentum=recipe.momentum, **decay),
        "lion": partial(optim.Lion, **decay),
        "muon": partial(SplitOptimizer, hidden=muon, rest=partial(torch.optim.AdamW, **decay)),
    }
    return made[recipe.optimizer]


def choosing(recipe: Recipe) -> list[Callback]:
    """The callbacks that decide on what and how steps are made, and which weights a training ends with."""
    chosen: list[Callback] = [KeepBest("valid_loss")] if recipe.final == "best" else []
    if recipe.patience is not None:
        chosen.append(EarlyStopping("valid_loss", recipe.patience))
    made: dict[str, Callable[[Any], Callback]] = {
        "ema": EMA,
        "swa": SWA,
        "lookahead": Lookahead,
        "sam": SAM,
        "clip_value": ClipValue,
        "clip_adaptive": ClipAdaptive,
    }
    if recipe.mix is not None:
        chosen.append(Mix(recipe.mix, recipe.mix_alpha))
    if recipe.sizes:
        chosen.append(Resizing(recipe.sizes))
    return chosen + [make(getattr(recipe, name)) for name, make in made.items() if getattr(recipe, name) is not None]


def build_learner(recipe: Recipe, data: Data, model: nn.Module, device: torch.device, lr: float) -> Learner:
    """The learner of a recipe, with the callbacks that choose its weights."""
    parts = exchange(recipe)
    model = parts.model(model)
    callbacks: list[Callback] = [*held(recipe, model), *choosing(recipe)]
    learner = Learner(
        model,
        parts.data(data),
        parts.loss(build_loss(recipe, data, device)),
        with_rates(recipe, parts.optimizer(build_optimizer(recipe)), model),
        lr=lr,
        metrics=build_metrics(data),
        callbacks=callbacks,
        seed=recipe.seed,
        device=device,
        precision=make_precision(recipe.precision),
        compile=recipe.compile,
        accumulate=recipe.accumulate,
        clip=recipe.clip,
        tape=parts.tape(),
        channels_last=recipe.channels_last,
        activation_checkpointing=recipe.activation_checkpointing,
    )
    hold_now(callbacks)
    return learner


def find_rate(learner: Learner) -> None:
    """Set the learner's rate to the one the finder suggests."""
    learner.lr = learner.find_lr().suggestion
    for group in learner.optimizer.param_groups:
        group["lr"] = learner.lr * group.get("lr_scale", 1.0)


def count_epochs(recipe: Recipe, data: Data) -> int:
    """Epochs as asked, or as many as the budget of steps gives."""
    if recipe.epochs is not None:
        return recipe.epochs
    return max(1, min(MAX_EPOCHS, math.ceil(recipe.steps * recipe.accumulate / len(data.train))))


def check_batch_size(recipe: Recipe, data: Data) -> None:
    """A batch somebody asked for must not be larger than the data; the default one shrinks by itself.

    Raises:
        UsageError: E115.
    """
    rows = data.train.samples
    if recipe.batch_size > rows:
        if "batch_size" in recipe.chosen():
            raise UsageError(
                "E115", f"batch_size is {recipe.batch_size:,}, {data.name} has {rows:,} rows to train on.", f"batch_size={rows} at most."
            )
        data.train.batch_size = max(1, rows // 4)

"""A recipe is a frozen dataclass: data, model, optimiser, schedule, seed, and what it promises.

`rung train NAME key=value` builds one from text (`settings.py`). The recipes themselves stand in `recipes/book/` and `recipes/own.py`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator
from torch import nn

from rungbook.data.data import Data
from rungbook.errors import UsageError, did_you_mean
from rungbook.recipes.mine import split_word
from rungbook.recipes.places import PLACES, fetch
from rungbook.recipes.settings import (
    Above,
    Between,
    Count,
    NotBelow,
    Optimizer,
    Part,
    Processes,
    Rate,
    Settings,
    Share,
    Widths,
    check_value,
)
from rungbook.recipes.start import refuse_start
from rungbook.recipes.together import refuse_pairs

Changes = Annotated[str | bool, BeforeValidator(lambda value: {"true": True, "false": False}.get(str(value).lower(), value))]
"""A name for `data.augment.named`, or on and off."""


def augmentation(value: str | bool | None) -> str | None:
    """What `augment=` stands for, as `load_data` takes it."""
    return ("flip_crop" if value else None) if isinstance(value, bool) else value


@dataclass(frozen=True, kw_only=True)
class Recipe(Settings):
    """A model that the Learner trains on some data.

    Args:
        model: name of `list_models()`.
        epochs: passes over the train split; from `steps` if None.
        steps: budget in optimiser steps where `epochs` is None, so that few rows train as long as many.
        batch_size: samples a step.
        lr: learning rate, or "find" to look for it (Smith 2017).
        optimizer: sgd, adam, adamw, rmsprop, adagrad, nadam, radam, lamb, lars, lion, muon.
        momentum: of sgd, lars and muon.
        weight_decay: L2 pull of the weights, decoupled with adamw, lamb, lion and muon.
        schedule: how the learning rate goes: constant, one_cycle, cosine, linear, step, exponential, warm_up_cosine, ...
        clip: largest gradient norm, or none.
        accumulate: batches gathered for one step.
        label_smoothing: share of the target spread over all classes; in the loss shown on valid too, not in log_loss.
        mix: train on mixtures of samples: mixup (Zhang 2018), cutmix (Yun 2019), both (one of the two for each batch), or none.
        mix_alpha: how evenly they mix: the shares are drawn from Beta(mix_alpha, mix_alpha); none: 0.2 for mixup, 1 for cutmix.
        class_weights: balanced weights each class by 1 / its frequency.
        patience: epochs without a better valid loss before stopping, or none.
        ema: decay of an average of the weights, or none.
        swa: last share of the fit, at the ends of whose epochs weights are averaged (Izmailov 2018), or none; with final=best the mean is
            taken only if no epoch before was better on valid.
        lookahead: steps after which weights go back half of the way (Zhang 2019), or none.
        sam: how far away the worst weights nearby are looked for (Foret 2021), or none.
        clip_value: largest number in a gradient, or none.
        clip_adaptive: largest share of a unit's weights that its gradient may be (Brock 2021), or none.
        final: end with the weights "best" on valid, or the "last".
        valid, test: shares of the samples where the source brings no such split. valid=0 trains on everything but test, once nothing is
            left to choose: it goes with final=last and without patience. Where test is cut from the samples, it is then cut elsewhere.
        device: cpu, cuda, ...; the fastest there is if none.
        workers: processes that read data ahead.
        precision: fp32, bf16, fp16 (autocast with a loss scale, for GPUs) or fp16_by_hand (half-precision copies of float32 weights).
        compile: run the model through torch.compile.
        channels_last: keep pictures and convolutions pixel by pixel in memory.
        activation_checkpointing: compute activations again on the way back instead of keeping them: less memory, more time.
        weights: file of weights of this very model to start from.
        pretrained: weights somebody trained: true for the published ones, a tag of them (imagenet1k_v2), a file, a folder of transformers
            or of a run, or hf:owner/name. Images are normalised as these want it; other classes get a new head.
        freeze: what of the model is held: body (all but the head), all_but_norm (the body but its norms), norm (the body's norms).
        unfreeze: after how many epochs to let go; several numbers let go from the head down, as 1,2,3.
        head: linear for a new last layer, concat_pool for mean and maximum over the picture and two layers; none: what the weights bring.
        layer_decay: factor of the learning rate from each layer to the one before it, or none.
        head_lr: factor of the head's learning rate, or none.
        init: "lsuv" scales the weights layer by layer until each puts out unit variance (Mishkin 2016); none: the model's own start.
        image_size: side of the images in pixels, for sources of images.
        augment: random changes of training images, as flip_crop, "randaugment(m=5)+erase"; true is flip_crop, false or none leaves them.
        sizes: sides of the training images one after the other, each for an equal share of the epochs; valid and test keep image_size.
        tta: judge valid and test at the end by the mean over versions of each image: flip, crop, flip_crop, or none.
        checkpoint_seconds: clock time between two checkpoints.
        watch: record what each layer puts out, and show it in the report.
        scratch: parts that are to be by hand: layers, functions, losses, optim, loader, autograd, or all.
        mine: parts of the user's own, each as Conv2d:path.py:MyConv (torch class : file : class).
    """

    model: str = ""
    epochs: Count | None = None
    steps: Count = 2000
    batch_size: Count = 64
    lr: Rate = 1e-3
    optimizer: Optimizer = "adamw"
    momentum: Share = 0.9
    weight_decay: NotBelow = 0.01
    schedule: str = "one_cycle"
    clip: Above | None = None
    accumulate: Count = 1
    label_smoothing: Share = 0.0
    mix: Literal["mixup", "cutmix", "both"] | None = None
    mix_alpha: Above | None = None
    class_weights: Literal["balanced"] | None = None
    patience: Count | None = None
    ema: Share | None = None
    swa: Between | None = None
    lookahead: Count | None = None
    sam: Above | None = None
    clip_value: Above | None = None
    clip_adaptive: Above | None = None
    final: Literal["best", "last"] = "best"
    valid: Share = 0.1
    test: Share = 0.1
    device: str | None = None
    workers: Processes = 0
    precision: Literal["fp32", "bf16", "fp16", "fp16_by_hand"] = "fp32"
    compile: bool = False
    channels_last: bool = False
    activation_checkpointing: bool = False
    weights: str | None = None
    pretrained: str | None = None
    freeze: Literal["body", "all_but_norm", "norm"] | None = None
    unfreeze: Widths = ()
    head: Literal["linear", "concat_pool"] | None = None
    layer_decay: Between | None = None
    head_lr: Above | None = None
    init: Literal["lsuv"] | None = None
    image_size: Count | None = None
    augment: Changes | None = None
    sizes: Widths = ()
    tta: Literal["flip", "crop", "flip_crop"] | None = None
    checkpoint_seconds: Above = 15.0
    watch: bool = False
    scratch: tuple[Part, ...] = ()
    mine: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse what can be known to be wrong before any data is read.

        Raises:
            UsageError: E201 an unknown model, schedule or augmentation, E202 shares or arguments out of range, E105 no such weights file.
        """
        from rungbook.data.augment.named import named_augment
        from rungbook.learner.schedule import make_schedule
        from rungbook.models.registry import model_entry

        super().check()
        for word in self.mine:
            split_word(word)
        if self.compile and {"autograd", "all"} & set(self.scratch):
            fix = "scratch=layers,functions,losses,optim,loader compile=true"
            raise UsageError("E202", "A compiled model hides its operations from the tape that scratch=autograd takes gradients by.", fix)
        model_entry(self.model)
        make_schedule(self.schedule)
        named_augment(augmentation(self.augment), 32, 32)
        refuse_pairs(self)
        refuse_start(self)
        if self.valid + self.test >= 1 or not self.test:
            message = f"valid={self.valid:g} test={self.test:g}: test is above 0 (to report once), and together they are below 1."
            raise UsageError("E202", message, "valid=0.1 test=0.1")
        if not self.valid and (self.final == "best" or self.patience is not None):
            message = "valid=0 leaves nothing to choose the best epoch on."
            raise UsageError("E202", message, "valid=0.1, or valid=0 final=last without patience")
        if self.weights is not None and not Path(self.weights).is_file():
            from rungbook.data.load import existing

            existing(Path(self.weights))
            raise UsageError("E105", f"weights is {self.weights}, which is a folder.", "weights=FILE.safetensors")

    def load(self) -> Data:
        """The data, split and ready to feed."""
        from rungbook.data.load import load_data

        options = {"seed": self.seed, "workers": self.workers, **self.source_options()}
        return load_data(self.data, self.valid, self.test, self.batch_size, **options)

    def source_options(self) -> dict[str, Any]:
        """What `load_data` is told of the source besides."""
        from rungbook.data.named import kind_of

        # a recipe's own size of images is no demand on a table: that the model does not fit it is said in its own words
        fits, chosen = kind_of(self.data) in ("", "image"), self.chosen()
        options = {"image_size": self.image_size, "augment": augmentation(self.augment)}
        return {name: value if fits or name in chosen else None for name, value in options.items()}

    def begin(self, model: nn.Module, data: Data) -> None:
        """Change the weights a model starts with, before training."""

    def closing(self, model: nn.Module, data: Data) -> list[str]:
        """What there is to say of the trained model besides its scores, a line each."""
        return []

    def model_options(self) -> dict[str, Any]:
        """Fields that are options of the model (hidden, dropout, ...), where they are set; a recipe's own values are for its own model."""
        from rungbook.models.registry import model_entry

        known = set(model_entry(self.model).parameters()) - {"image_size"}
        if self.model != type(self)().model:
            known &= self.chosen()
        return {k: v for k, v in self.settings().items() if k in known and v is not None}


RECIPES: dict[str, type[Settings]] = {}
"""Every recipe by name."""


def recipe(name: str, *, listed: bool = True) -> Any:
    """Class decorator that enters a recipe under `name` (see `places`); recipes for a user's own files are not listed."""

    def enter(cls: type[Settings]) -> type[Settings]:
        cls.name = name
        assert name not in RECIPES, name
        cls.listed = listed
        RECIPES[name] = cls
        return cls

    return enter


def load_recipes() -> None:
    """Import every module that holds recipes."""
    for name in PLACES:
        fetch(name)


def list_recipes() -> list[str]:
    """Names that `rung train` knows, sorted."""
    load_recipes()
    return sorted(name for name in RECIPES if is_listed(name))


def is_listed(name: str) -> bool:
    """Whether `rung train` knows a recipe of that name."""
    fetch(name)
    return name in RECIPES and RECIPES[name].listed


def find_recipe(name: str) -> type[Settings]:
    """The recipe of a name; its module is loaded, the others are not. Raises UsageError E201 with the nearest name."""
    fetch(name)
    if name not in RECIPES:
        raise UsageError("E201", f'There is no recipe "{name}".', did_you_mean(name, list_recipes(), "rung train {}"))
    return RECIPES[name]


def restore_recipe(name: str, settings: dict[str, Any]) -> Any:
    """The recipe a run was made with, from its recorded settings; fields added since take their defaults.

    Raises:
        UsageError: E204 the record holds what this version has no place for.
    """
    try:
        cls = find_recipe(name)
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{k: check_value(cls, k, v) for k, v in settings.items() if k in known})
    except UsageError as error:
        raise UsageError("E204", f"The run's record does not fit this rungbook: {error.message}", "Train it again.") from error

"""The first batch, looked at before training: torch's errors in the words of the person who made the mistake.

Runs once a fit, in evaluation mode and without a trace. Each message names the layer or row, what was found and what is needed.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rungbook.errors import DataError, UsageError

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner

_PAIRWISE = (F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss, nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)
"""Losses that broadcast a (n,) target against a (n, 1) prediction and then compare n x n pairs."""


def diagnose(learner: Learner) -> None:
    """Run the first batch of the train split through model and loss.

    Raises:
        DataError, UsageError: with a code of the E1xx family; any other error is left for the loop to raise as it is.
    """
    batch = next(iter(learner.train_feed.batches(0, 0, learner.device)), None)
    if batch is None:
        raise DataError("E113", "The train split has no samples.", "Give data with rows in it.")
    x, y = batch
    output = _forward(learner, x)
    if isinstance(output, Tensor):
        check_target(learner.loss, output, y, _all_targets(learner, y), _name(learner))


def _all_targets(learner: Learner, y: Tensor) -> Tensor:
    source = getattr(learner.train_feed, "source", None)
    return y if source is None else source.targets()


def _name(learner: Learner) -> Any:
    source = getattr(learner.train_feed, "source", None)
    return source.name if source is not None else (lambda i: f"sample {i}")


def _forward(learner: Learner, x: Any) -> Any:
    inputs = x if type(x) is tuple else (x,)
    failed: list[tuple[str, nn.Module, Tensor]] = []

    def notice(name: str, module: nn.Module) -> Any:
        def before(_: nn.Module, args: tuple[Any, ...]) -> None:
            if args and isinstance(args[0], Tensor):
                failed.append((name, module, args[0]))

        def after(*_: Any) -> None:
            if failed and failed[-1][1] is module:
                failed.pop()

        return module.register_forward_pre_hook(before), module.register_forward_hook(after)

    with ExitStack() as stack, learner.evaluating(), torch.no_grad():
        for name, module in learner.model.named_modules():
            if not list(module.children()):
                for handle in notice(name, module):
                    stack.callback(handle.remove)
        try:
            with learner._cast():
                return learner.model(*inputs)
        except (RuntimeError, ValueError, IndexError) as error:
            name, module, given = failed[-1] if failed else ("", learner.model, inputs[0])
            raise _explain(error, name, module, given, inputs[0]) from error


def _explain(error: Exception, name: str, module: nn.Module, given: Tensor, x: Tensor) -> Exception:
    layer = f'layer "{name}: {module}"' if name else f"the model {type(module).__name__}"
    weight = getattr(module, "weight", None)
    if isinstance(weight, Tensor) and given.device != weight.device:
        return UsageError("E104", f"{layer} lies on {weight.device}, its input on {given.device}.", "Move both: x.to(model_device).")
    if isinstance(weight, Tensor) and given.dtype != weight.dtype and not isinstance(module, nn.Embedding | nn.EmbeddingBag):
        low, high = given.min().item(), given.max().item()
        return DataError(
            "E104",
            f"{layer} has {weight.dtype} weights, its input is {given.dtype} ({low:g}..{high:g}).",
            "Convert it: x.float() / 255 for images." if given.dtype == torch.uint8 else "Convert it: x.float().",
        )
    channels = getattr(module, "in_channels", None)
    if isinstance(channels, int) and given.ndim == 4 and given.shape[1] != channels and given.shape[3] == channels:
        shape = "x".join(map(str, given.shape))
        return DataError("E109", f"{layer} wants {channels} channels first, the batch is {shape}: height x width x channel.", "x.permute(0, 3, 1, 2)")
    needed = getattr(module, "in_features", channels)
    if isinstance(needed, int):
        got = given.shape[1] if channels is not None and given.ndim > 1 else given.shape[-1]
        one = "x".join(map(str, x.shape[1:]))
        return DataError("E101", f"{layer} got {got} numbers where it takes {needed}; one sample is {one}.", f"Make the layer take {got}, or change the samples.")
    return DataError("E101", f"{layer} cannot take an input of shape {tuple(given.shape)}: {error}.", "See `learner.summary()`.")


def check_target(loss: Any, output: Tensor, y: Tensor, everything: Tensor, name: Any) -> None:
    """Do targets fit the outputs? `everything` holds all targets of the split, so that row 57 is found before step 57."""
    kind = loss if callable(loss) and not isinstance(loss, nn.Module) else type(loss)
    if kind in _PAIRWISE and output.shape != y.shape and output.numel() == y.numel():
        raise DataError(
            "E108",
            f"Prediction {tuple(output.shape)} and target {tuple(y.shape)} would be compared as {len(output) * len(y)} pairs.",
            "Give the target the prediction's shape: y.unsqueeze(1).",
        )
    if kind not in (F.cross_entropy, nn.CrossEntropyLoss, F.nll_loss, nn.NLLLoss) and not getattr(loss, "cross_entropy", False):
        return
    if y.is_floating_point() and y.shape != output.shape:
        some = ", ".join(f"{v:g}" for v in y.flatten()[:3].tolist())
        raise DataError(
            "E103",
            f"Labels are {y.dtype} [{some}, ...]; classes must be whole numbers.",
            "y.long(); or loss=F.mse_loss if a number is to be predicted.",
        )
    if y.is_floating_point() or output.ndim < 2:
        return
    classes, ignore = output.shape[1], getattr(loss, "ignore_index", -100)
    wrong = ((everything < 0) | (everything >= classes)) & (everything != ignore)
    if bool(wrong.any()):
        position = wrong.nonzero()[0]
        label, row = int(everything[tuple(position)]), int(position[0])
        starts_at_one = int(everything.min()) == 1 and int(everything.max()) == classes
        raise DataError(
            "E102",
            f"Label {label} in {name(row)}, but the model has {classes} outputs, allowed 0-{classes - 1}."
            + (" Labels seem to start at 1." if starts_at_one else ""),
            "Subtract 1 from the labels." if starts_at_one else f"Correct the label, or give the model {int(everything.max()) + 1} outputs.",
        )

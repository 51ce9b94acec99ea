"""The first batch, looked at before training: torch's errors in the words of the person who made the mistake.

Runs once a fit, in evaluation mode and without a trace. Each message names the layer or row, what was found and what is needed.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rungbook.errors import DataError, RungError, UsageError
from rungbook.learner.counting import ignored_index, is_cross_entropy, parts_of
from rungbook.learner.loading import peek
from rungbook.learner.random_state import keep_random_state
from rungbook.learner.tally import likeliest

if TYPE_CHECKING:
    from rungbook.learner.learner import Learner

_ONE_BY_ONE = (
    *(F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss, F.binary_cross_entropy, F.binary_cross_entropy_with_logits),
    *(nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.BCELoss, nn.BCEWithLogitsLoss),
)
"""Losses that compare numbers with numbers; most broadcast a (n,) target against a (n, 1) prediction and then compare n x n pairs."""


def diagnose(learner: Learner) -> bool:
    """Run the first batch of the train split through model, loss and metrics.

    Returns:
        Whether it is known that no target of the split is one that the loss ignores.

    Raises:
        DataError, UsageError: with a code of the E1xx family, or E202; any other error is left for the loop to raise as it is.
    """
    batch = peek(learner.train_feed, learner.device)
    if batch is None:
        raise DataError("E113", "The train split has no samples.", "Give data with rows in it.")
    x, y = batch
    output = _forward(learner, x)
    everything = _all_targets(learner, y)
    if isinstance(output, Tensor):
        check_target(learner.loss, output, y, everything, _name(learner))
        _check_loss(learner, output, y)
        _check_metrics(learner, output, y)
    known = getattr(learner.train_feed, "source", None) is not None and not y.is_floating_point()
    return known and not bool((everything.long() == ignored_index(learner.loss)).any())


def _check_loss(learner: Learner, output: Tensor, y: Tensor) -> None:
    with torch.no_grad(), keep_random_state():
        value = learner.loss(output, y)
    if isinstance(value, Tensor) and value.numel() != 1:
        raise UsageError("E202", f"The loss gives shape {tuple(value.shape)}, one number is needed.", 'Use reduction="mean".')
    if learner.accumulate > 1 and parts_of(learner.loss)[1].get("reduction") == "sum":
        raise UsageError("E202", "accumulate needs a loss that is a mean over the batch, this one is a sum.", 'Use reduction="mean".')


def _check_metrics(learner: Learner, output: Tensor, y: Tensor) -> None:
    for metric in learner.tally.metrics:
        try:
            metric.fresh().update(output, likeliest(y) if learner.tally.soft and metric.of_classes else y)
        except RungError as error:
            fix = 'metrics=["r2"] where a number is predicted, metrics=[] for none.' if y.is_floating_point() else error.fix
            raise type(error)(error.code, f'The metric "{metric.name}" does not fit: {error.message}', fix) from error


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
        except RungError:
            raise  # says already what is wrong
        except (RuntimeError, ValueError, IndexError) as error:
            name, module, given = failed[-1] if failed else ("", learner.model, inputs[0])
            raise _explain(error, name, module, given, inputs[0]) from error


def _explain(error: Exception, name: str, module: nn.Module, given: Tensor, x: Tensor) -> Exception:
    layer = f'layer "{name}: {module}"' if name else f"the model {type(module).__name__}"
    weight, known = getattr(module, "weight", None), getattr(module, "num_embeddings", 0)
    embedding = bool(known)  # torch's or a twin of it
    if isinstance(weight, Tensor) and given.device != weight.device:
        return UsageError("E104", f"{layer} lies on {weight.device}, its input on {given.device}.", "Move both: x.to(model_device).")
    if isinstance(weight, Tensor) and (given.is_floating_point() if embedding else given.dtype != weight.dtype):
        low, high = given.min().item(), given.max().item()
        takes = "takes whole numbers" if embedding else f"has {weight.dtype} weights"
        fixes = {torch.uint8: "x.float() / 255 for images"}.get(given.dtype, "x.float()")
        fix = "x.long()" if embedding else fixes
        return DataError("E104", f"{layer} {takes}, its input is {given.dtype} ({low:g}..{high:g}).", f"Convert it: {fix}.")
    if embedding and given.numel() and not 0 <= int(given.min()) <= int(given.max()) < known:
        found = f"{given.min().item()}..{given.max().item()}"
        return DataError(
            "E101", f"{layer} got the numbers {found}, it knows 0..{known - 1}.", "Make the embedding larger, or change the samples."
        )
    channels = getattr(module, "in_channels", getattr(module, "num_features", None))
    if isinstance(channels, int) and given.ndim == 4 and given.shape[1] != channels and given.shape[3] == channels:
        shape = "x".join(map(str, given.shape))
        found = f"{layer} wants {channels} channels first, the batch is {shape}: height x width x channel."
        return DataError("E109", found, "x.permute(0, 3, 1, 2)")
    needed = getattr(module, "in_features", getattr(module, "input_size", channels))
    got = given.shape[1] if channels is not None and given.ndim > 1 else given.shape[-1] if given.ndim else 1
    if isinstance(needed, int) and got != needed:
        one = "x".join(map(str, x.shape[1:]))
        message = f"{layer} got {got} numbers where it takes {needed}; one sample is {one}."
        return DataError("E101", message, f"Make the layer take {got}, or change the samples.")
    return DataError("E101", f"{layer} cannot take an input of shape {tuple(given.shape)}: {error}.", "See `learner.summary()`.")


def check_target(loss: Any, output: Tensor, y: Tensor, everything: Tensor, name: Any) -> None:
    """Do targets fit the outputs? `everything` holds all targets of the split, so that row 57 is found before step 57."""
    kind, _ = parts_of(loss)
    if kind in _ONE_BY_ONE:
        _check_numbers(output, y)
    if not is_cross_entropy(loss) or output.ndim < 2:
        return
    if y.is_floating_point() and y.shape == output.shape:
        return  # a probability for each class
    if y.dtype != torch.int64 and (y.dtype != torch.uint8 or y.ndim > 1):  # torch takes bytes for plain classes only
        some = ", ".join(f"{v:g}" for v in y.flatten()[:3].tolist())
        fix = "y.long(); or loss=F.mse_loss if a number is to be predicted." if y.is_floating_point() else "y.long()"
        raise DataError("E103", f"Labels are {y.dtype} [{some}, ...]; classes must be whole numbers (int64).", fix)
    shape = (len(output), *output.shape[2:])
    if y.shape != shape:
        fix = (
            f"y.reshape({', '.join(map(str, (-1, *shape[1:])))})"
            if y.numel() == len(output) * output[0, 0].numel()
            else "Look at both shapes."
        )
        raise DataError("E108", f"For outputs {tuple(output.shape)} labels must have shape {shape}, they have {tuple(y.shape)}.", fix)
    _check_labels(everything.long(), output.shape[1], ignored_index(loss), name)


def _check_numbers(output: Tensor, y: Tensor) -> None:
    if output.shape != y.shape:
        if output.numel() == y.numel():
            pairs = torch.broadcast_shapes(output.shape, y.shape).numel() if _fit(output, y) else output.numel() ** 2
            message, fix = f"would be compared as {pairs} pairs", "y.unsqueeze(1)" if y.ndim < output.ndim else "y.reshape(output.shape)"
        else:
            message, fix = "cannot be compared one by one", f"the model needs {tuple(y.shape[1:]) or 1} outputs"
        raise DataError("E108", f"Prediction {tuple(output.shape)} and target {tuple(y.shape)} {message}.", f"Give both one shape: {fix}.")
    if not y.is_floating_point():
        raise DataError("E103", f"Targets are {y.dtype}; this loss compares numbers.", "y.float()")


def _fit(output: Tensor, y: Tensor) -> bool:
    return all(a == b or 1 in (a, b) for a, b in zip(reversed(output.shape), reversed(y.shape), strict=False))


def _check_labels(everything: Tensor, classes: int, ignore: int, name: Any) -> None:
    wrong = ((everything < 0) | (everything >= classes)) & (everything != ignore)
    if bool(wrong.any()):
        position = wrong.nonzero()[0]
        label, row = int(everything[tuple(position)]), int(position[0])
        starts_at_one = int(everything.min()) == 1 and int(everything.max()) == classes
        raise DataError(
            "E102",
            f"Label {label} in {name(row)}, but the model has {classes} outputs, allowed 0-{classes - 1}."
            + (" Labels seem to start at 1." if starts_at_one else ""),
            "Subtract 1 from the labels."
            if starts_at_one
            else f"Correct the label, or give the model {int(everything.max()) + 1} outputs.",
        )

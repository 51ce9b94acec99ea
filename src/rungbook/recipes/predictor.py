"""A finished run as something to ask: `rungbook.load("runs/001-digits")(["new.png"])`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rungbook.data.data import Encoder
from rungbook.data.encoders import restore_encoder
from rungbook.data.feed import Inputs, map_inputs
from rungbook.data.target import ClassTarget, Target, restore
from rungbook.errors import UsageError
from rungbook.learner.checkpoint import DamagedCheckpoint, read
from rungbook.learner.learner import best_device
from rungbook.learner.tta import Versions, known_versions, tta
from rungbook.recipes.runs import Run, find_run
from rungbook.transfer.create import new_model

CARD = "model.json"
"""The file beside the weights that says how to make the model again and how to read its inputs and outputs."""


@dataclass(frozen=True)
class Prediction:
    """What the model says of one item.

    Args:
        label: the class, or the number as text.
        value: probability of the class (0 to 1), or the number.
        probabilities: of all classes by name; empty for numbers.
    """

    label: str
    value: float
    probabilities: dict[str, float]


class Predictor:
    """A trained model with the way from a user's items to answers.

    Args:
        model: in evaluation mode.
        encoder: reads the items.
        target: reads the outputs.
        device: where the model runs.
        tta: versions of each image it answers by, see `rungbook.learner.tta`; the image alone if None.
    """

    def __init__(
        self, model: nn.Module, encoder: Encoder, target: Target, device: torch.device | None = None, *, tta: Versions | None = None
    ) -> None:
        self.device, self.tta = device or best_device(), tta
        self.model, self.encoder, self.target = model.to(self.device).eval(), encoder, target

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; empty for regression."""
        return self.target.classes if isinstance(self.target, ClassTarget) else ()

    def outputs(self, items: Any, batch_size: int = 256) -> Tensor:
        """Model outputs, on the CPU: for paths of images, a DataFrame, a list of texts, or an array, as the run was trained on."""
        return self.outputs_of(self.encoder.encode(items), batch_size)

    def outputs_of(self, stored: Inputs, batch_size: int = 256) -> Tensor:
        """Model outputs for encoded items."""
        parts = stored if isinstance(stored, tuple) else (stored,)
        results = []
        model = self.model if self.tta is None else tta(self.model, self.tta, classes=bool(self.classes))
        with torch.no_grad():
            for piece in zip(*(t.split(batch_size) for t in parts), strict=True):
                x = self.encoder.prepare(map_inputs(piece if isinstance(stored, tuple) else piece[0], lambda t: t.to(self.device)))
                results.append((model(*x) if isinstance(x, tuple) else model(x)).float().cpu())
        return torch.cat(results) if results else torch.zeros(0, self.target.outputs)

    def decode(self, outputs: Tensor) -> Tensor:
        """Outputs as probabilities (n, classes) or values in the user's units (n,)."""
        return self.target.decode(outputs)

    def __call__(self, items: Any) -> list[Prediction]:
        """A prediction for each item."""
        return self.explain(self.decode(self.outputs(items)))

    def explain(self, decoded: Tensor) -> list[Prediction]:
        """Decoded outputs in words."""
        if not self.classes:
            return [Prediction(f"{v:g}", v, {}) for v in decoded.tolist()]
        rows = []
        for row in decoded.tolist():
            best = max(range(len(row)), key=row.__getitem__)
            rows.append(Prediction(self.classes[best], row[best], dict(zip(self.classes, row, strict=True))))
        return rows


def model_card(model: str, options: dict[str, Any], encoder: Encoder | None, target: Target) -> bytes:
    """The content of `model.json`."""
    from rungbook.data.encoders import describe_encoder

    card = {"model": model, "options": options, "encoder": describe_encoder(encoder) if encoder else None, "target": target.describe()}
    return json.dumps(card).encode()


def load(run: str | Path | Run, *, device: str | torch.device | None = None) -> Predictor:
    """The predictor of a finished run; one that was judged by versions of each image (`tta=flip`) answers by them.

    Args:
        run: path, folder name, number or recipe name of the run.
        device: where to run the model; the fastest there is if None.

    Raises:
        UsageError: no such run (E201), or it has not finished (E204).
        DamagedCheckpoint: the saved model is damaged (E301).
    """
    found = run if isinstance(run, Run) else find_run(str(run))
    if not found.final.is_dir():
        record = found.record()
        status = record["status"]
        if "variants" in record.get("result", {}):
            raise UsageError("E204", f"{found.name} compared variants; it holds no single model.", "Train one: rung train digits")
        raise UsageError("E204", f"{found.name} has no finished model (it is {status}).", f"Continue it: rung resume {found.name}")
    state, files = read(found.final)
    try:
        card = json.loads(files[CARD])
        options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in card["options"].items()}
        with torch.device("meta"):  # sizes without memory: the card must not ask for more than the weights are
            planned = {k: v.shape for k, v in new_model(card["model"], **options).state_dict().items()}
        if planned != {k: v.shape for k, v in state["model"].items()}:
            raise ValueError("model.json describes another model than the weights are of")
        model = new_model(card["model"], **options)
        model.load_state_dict(state["model"])
        encoder, target = restore_encoder(card["encoder"]), restore(card["target"])
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DamagedCheckpoint("E301", f"{found.final} holds no usable model ({error}).", "Train it again.") from error
    settings = found.record().get("settings")
    versions = known_versions(settings.get("tta")) if isinstance(settings, dict) else None
    return Predictor(model, encoder, target, None if device is None else torch.device(device), tta=versions)

"""Other training libraries on the same task, written as their documentation does, with bars, logs and checkpoints switched off.

Each entry of `OTHERS` is a function that imports its library and gives the contestant; it is called only where the package is installed.
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

if TYPE_CHECKING:
    from bench_learner import Task

Contestant = Callable[["Task"], object]


def lightning() -> Contestant:
    """Lightning: a LightningModule with accuracy logged an epoch, a Trainer, a DataLoader."""
    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")

    class Module(lightning.LightningModule):
        def __init__(self, task: Task) -> None:
            super().__init__()
            self.task, self.model = task, task.model()

        def training_step(self, batch: list[Tensor], _: int) -> Tensor:
            x, y = batch
            output = self.model(x)
            self.log("accuracy", (output.detach().argmax(1) == y).float().mean(), on_step=False, on_epoch=True)
            return F.cross_entropy(output, y)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return self.task.optimizer(self.parameters(), lr=self.task.lr)

    def run(task: Task) -> None:
        trainer = lightning.Trainer(
            max_epochs=task.epochs,
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Module(task), DataLoader(TensorDataset(task.x, task.y), task.batch_size, shuffle=True))

    return run


def hf_trainer() -> Contestant:
    """Hugging Face's Trainer, without clipping, logs and saving."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import PrinterCallback, Trainer, TrainingArguments

    class Wrapped(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.model(x)
            return {"loss": F.cross_entropy(logits, labels), "logits": logits}

    class Rows(torch.utils.data.Dataset[dict[str, Tensor]]):
        def __init__(self, task: Task) -> None:
            self.task = task

        def __len__(self) -> int:
            return len(self.task.y)

        def __getitem__(self, i: int) -> dict[str, Tensor]:
            return {"x": self.task.x[i], "labels": self.task.y[i]}

    def run(task: Task) -> None:
        model = Wrapped(task.model())
        with tempfile.TemporaryDirectory() as folder:
            arguments: dict[str, Any] = {
                "output_dir": folder,
                "per_device_train_batch_size": task.batch_size,
                "num_train_epochs": task.epochs,
                "max_grad_norm": 0.0,
                "logging_strategy": "no",
                "save_strategy": "no",
                "report_to": "none",
                "disable_tqdm": True,
                "use_cpu": True,
                "dataloader_pin_memory": False,
            }
            optimizer = task.optimizer(model.parameters(), lr=task.lr)
            schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
            trainer = Trainer(model, TrainingArguments(**arguments), train_dataset=Rows(task), optimizers=(optimizer, schedule))
            trainer.remove_callback(PrinterCallback)
            trainer.train()

    return run


def skorch() -> Contestant:
    """skorch: scikit-learn's interface, no valid split, nothing printed."""
    from skorch import NeuralNetClassifier

    def run(task: Task) -> None:
        net = NeuralNetClassifier(
            task.model(),
            criterion=nn.CrossEntropyLoss,
            optimizer=task.optimizer,
            lr=task.lr,
            max_epochs=task.epochs,
            batch_size=task.batch_size,
            iterator_train__shuffle=True,
            train_split=None,
            verbose=0,
        )
        net.fit(task.x, task.y)

    return run


def keras() -> Contestant:
    """Keras 3 on its torch backend."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    def run(task: Task) -> None:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(50, activation="relu"), keras.layers.Dense(10)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        optimizer = getattr(keras.optimizers, task.optimizer.__name__)(learning_rate=task.lr)
        model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
        model.fit(task.x.numpy(), task.y.numpy(), batch_size=task.batch_size, epochs=task.epochs, shuffle=True, verbose=0)

    return run


OTHERS: dict[str, tuple[str, Callable[[], Contestant]]] = {
    "lightning": ("lightning", lightning),
    "HF Trainer": ("transformers", hf_trainer),
    "skorch": ("skorch", skorch),
    "keras (torch)": ("keras", keras),
}
"""Name -> (package that must be installed, maker of the contestant)."""

"""Trainings in processes that may be killed: `python killed.py` waits for orders on standard input.

Importing torch and the first optimiser step cost seconds, so they are done once; each training is a fork of that (RELIABILITY, row 1).
An order is a line of JSON, the answer how the training ended (-9: killed) and after how many seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rungbook.data import draws
from rungbook.data.feed import Feed, TensorSource
from rungbook.learner.callbacks import Checkpoints, KeepBest, Recorder
from rungbook.learner.checkpoint import newest
from rungbook.learner.learner import Learner
from rungbook.learner.pack import digest
from rungbook.learner.random_state import get_random_state

EPOCHS = 4
RESULT = "result.json"


def data(shape: tuple[int, ...], n: int, *, seed: int) -> TensorSource:
    """Noise and a class that can be learned from it."""
    x = torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))
    return TensorSource(x, (x.flatten(1)[:, :4].sum(1) > 0).long())


def noise(x: torch.Tensor, samples: torch.Tensor, epoch: int, seed: int) -> torch.Tensor:
    """An augmentation keyed by sample."""
    return x + draws.uniform(seed, epoch, 1, samples).float().reshape(-1, 1, 1, 1)


def mlp() -> nn.Module:
    """Nothing random in it."""
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))


def cnn() -> nn.Module:
    """Batch norm and dropout."""
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Dropout(0.3), nn.Linear(64, 2))


def train(folder: Path, model: str, workers: int, forget: bool) -> None:
    """One training, from the newest checkpoint if there is one; the digests of its result go into a file."""
    torch.manual_seed(0)
    images = model == "cnn"
    shape = (1, 8, 8) if images else (6,)
    train_feed = Feed(data(shape, 163, seed=0), batch_size=8, shuffle=True, workers=workers, augment=noise if images else None)
    valid_feed = Feed(data(shape, 40, seed=1), batch_size=40)
    callbacks = [Recorder(folder), KeepBest(), Checkpoints(folder / "checkpoints", seconds=0)]
    learner = Learner(
        cnn() if images else mlp(), (train_feed, valid_feed), optimizer=torch.optim.Adam, lr=0.01, callbacks=callbacks, device="cpu"
    )
    learner.report_every = 2  # and with it a checkpoint
    loaded = newest(folder / "checkpoints") if (folder / "checkpoints").is_dir() else None
    if loaded is not None and forget:
        loaded.state["random"] = get_random_state()
    learner.fit(EPOCHS, "one_cycle", state=None if loaded is None else loaded.state)
    state = learner.state_dict()
    result = {
        "weights": digest(state["model"]),
        "optimizer": digest(state["optimizer"]),
        "metrics.jsonl": hashlib.sha256((folder / "metrics.jsonl").read_bytes()).hexdigest(),
        "begun at": 0 if loaded is None else loaded.state["position"]["step"],
    }
    (folder / RESULT).write_text(json.dumps(result))


def serve() -> None:
    """Train as ordered, each time in a process of its own."""
    torch.set_num_threads(1)
    warm = cnn()
    warm(torch.zeros(2, 1, 8, 8)).sum().backward()
    torch.optim.Adam(warm.parameters(), fused=True).step()
    tell({"ready": os.getpid()})
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        begun, child = time.monotonic(), os.fork()
        if child == 0:
            code = 1
            try:
                train(Path(order["folder"]), order["model"], order["workers"], order["forget"])
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        if order["kill_after"] is not None:
            time.sleep(order["kill_after"])
            os.kill(child, signal.SIGKILL)  # nobody waited for it yet, so the number is still its own
        _, status = os.waitpid(child, 0)
        tell({"ended": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - begun})


def tell(answer: dict[str, Any]) -> None:
    """One line of answer."""
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()

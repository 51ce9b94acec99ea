"""Does the Learner cost more than the loop one writes by hand? The 784-50-10 network over 60,000 rows.

    python benchmarks/bench_learner.py [--rounds 9] [--only ours] [--rows 60000]

The floor is the textbook loop (`for i in permutation.split(size): x[i] ...`, default optimiser, nothing counted). Beside it stands a bare
loop with our levers: index_select, fused optimiser, loss and accuracy of each step. Ours is the Learner with its accuracy metric, recorder
and progress bar. All of them start from the same weights and see the same batches in the same order; after the last round the weights are
compared, and the number of steps and the accuracy must be equal exactly. Lightning, Hugging Face's Trainer, skorch and Keras (on torch)
run where they are installed, as their documentation writes them, without progress bar and logs.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn

from common import Row, compare, fashion_mnist, interleave, record, settle, versions
from others import OTHERS
from rungbook.data import draws
from rungbook.data.feed import Feed, TensorSource
from rungbook.learner.callbacks.progress import Progress
from rungbook.learner.callbacks.record import Recorder
from rungbook.learner.learner import Learner

SEED = 0
TEXTBOOK, BARE, OURS = "textbook loop", "bare loop, same levers", "Learner"


@dataclass(frozen=True)
class Task:
    """What is trained, by everybody alike."""

    x: Tensor
    y: Tensor
    batch_size: int
    epochs: int
    optimizer: Callable[..., torch.optim.Optimizer]
    lr: float
    target: float

    @property
    def name(self) -> str:
        """Title of its table."""
        return f"batch {self.batch_size} {self.optimizer.__name__}"

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.epochs * -(-len(self.y) // self.batch_size)

    def model(self) -> nn.Module:
        """The network, with the same weights each time."""
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            return nn.Sequential(nn.Linear(784, 50), nn.ReLU(), nn.Linear(50, 10))


@dataclass(frozen=True)
class Outcome:
    """What a contestant has to show for its time."""

    weights: list[Tensor]
    steps: int
    accuracy: float | None = None


def textbook(task: Task) -> Outcome:
    """The loop of a first course."""
    model = task.model()
    optimizer = task.optimizer(model.parameters(), lr=task.lr)
    steps = 0
    for epoch in range(task.epochs):
        for i in draws.permutation(SEED, epoch, len(task.y)).split(task.batch_size):
            loss = F.cross_entropy(model(task.x[i]), task.y[i])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            steps += 1
    return Outcome([p.detach() for p in model.parameters()], steps)


def bare(task: Task) -> Outcome:
    """The same with index_select and a fused optimiser, counting loss and accuracy of the epoch on the device."""
    model = task.model()
    optimizer = task.optimizer(model.parameters(), lr=task.lr, fused=True)
    steps, accuracy = 0, 0.0
    for epoch in range(task.epochs):
        total, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        for i in draws.permutation(SEED, epoch, len(task.y)).split(task.batch_size):
            x, y = task.x.index_select(0, i), task.y.index_select(0, i)
            output = model(x)
            loss = F.cross_entropy(output, y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            total += loss.detach() * len(y)
            right += (output.detach().argmax(1) == y).sum()
            steps += 1
        accuracy = right.item() / len(task.y)
    return Outcome([p.detach() for p in model.parameters()], steps, accuracy)


def ours(task: Task, folder: str) -> Outcome:
    """The Learner with what `rung train` hangs on it: accuracy, the recorder's files in `folder`, a bar drawn as in a terminal."""
    feed = Feed(TensorSource(task.x, task.y), batch_size=task.batch_size, shuffle=True, seed=SEED)
    callbacks = [Recorder(folder), Progress(Console(file=io.StringIO(), force_terminal=True, width=100))]
    learner = Learner(task.model(), (feed, None), optimizer=task.optimizer, lr=task.lr, callbacks=callbacks, seed=SEED, device="cpu")
    learner.fit(task.epochs)
    assert len((Path(folder) / "metrics.jsonl").read_text().splitlines()) == task.epochs
    return Outcome(learner.params, learner.step, learner.history[-1]["train_accuracy"])


def check(task: Task, folder: str) -> float:
    """Everybody trained the same: steps and accuracy equal, weights within 1e-5 of the textbook loop's. Returns the largest difference."""
    floor, same, own = textbook(task), bare(task), ours(task, folder)
    assert floor.steps == same.steps == own.steps == task.steps
    assert own.accuracy == same.accuracy, f"accuracy {own.accuracy} in the Learner, {same.accuracy} in the bare loop"
    largest = max((a - b.detach()).abs().max().item() for a, b in zip(floor.weights, own.weights, strict=True))
    assert largest <= 1e-5, f"weights differ by {largest:.2g} from the textbook loop's"
    return largest


def judge(task: Task, rows: list[Row], against_bare: Row) -> str:
    """The two promises of this table, kept or not."""
    own = next(r for r in rows if r.name == OURS)
    kept = own.ratio <= task.target and against_bare.ratio <= 1.10
    return (
        f"{'kept' if kept else 'NOT KEPT'}: {own.ratio:.3f} of the textbook loop (target {task.target}), "
        f"{against_bare.ratio:.3f} of the bare loop ({against_bare.low:.3f}-{against_bare.high:.3f}, target 1.10)"
    )


def main() -> None:
    """Run the three tables of the issue."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="at least 7, for the contestants that are judged")
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--only", choices=["ours"], help="leave the other libraries out")
    args = parser.parse_args()
    settle()
    pixels, y, data = fashion_mnist(args.rows)
    x = pixels.reshape(len(y), -1).float().div_(255)
    tasks = [
        Task(x, y, 64, 1, torch.optim.SGD, 0.1, target=1.00),
        Task(x, y, 64, 1, torch.optim.Adam, 1e-3, target=0.90),
        Task(x, y, 1024, 4, torch.optim.SGD, 0.1, target=0.92),
    ]
    tables, facts = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for task in tasks:
            difference = check(task, folder)
            judged = {TEXTBOOK: partial(textbook, task), BARE: partial(bare, task), OURS: partial(ours, task, folder)}
            times = interleave(judged, rounds=args.rounds)
            rows, against_bare = compare(times, TEXTBOOK), compare(times, BARE)[-1]
            verdict = judge(task, rows, against_bare)
            present = {name: make for name, (package, make) in OTHERS.items() if versions([package]) and not args.only}
            if present:
                rivals = {TEXTBOOK: judged[TEXTBOOK], **{name: partial(make(), task) for name, make in present.items()}}
                rows += compare(interleave(rivals), TEXTBOOK)[1:]
            print(f"\n{task.name}, {data}, {task.steps} steps; weights within {difference:.1g} of the textbook loop's, accuracy equal")
            for row in rows:
                print(f"{row}  {row.seconds / task.steps * 1e6:7.1f} us/step")
            print(verdict, flush=True)
            tables[task.name] = rows
            facts[task.name] = {"largest weight difference": difference, "verdict": verdict}
    if args.only or args.rows < 60_000:
        print("a part only: not recorded")
        return
    print(record("learner", tables, data=data, rows=args.rows, judged=facts, others=versions(p for p, _ in OTHERS.values())))


if __name__ == "__main__":
    main()

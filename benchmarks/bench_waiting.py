"""How long should a thread of torch's wait awake for its next share of the work? A training step of a ResNet-20 on 32 small images.

    python benchmarks/bench_waiting.py [--rounds 9] [--steps 10]

Each way is a process of its own, since libgomp reads its settings once; they take turns, and those whose turn it is not sleep. Once on a
quiet machine and once beside a process that keeps one core busy. Ratios are of wall time to one thread's; memory that is kept instead of
given back to the kernel (glibc's MALLOC_ variables) is one way more.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from contextlib import ExitStack

import torch
from torch.nn.functional import cross_entropy

from common import Timing, compare, record
from rungbook.models.registry import create_model

FLOOR = "one thread"
KEPT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 25), "MALLOC_TRIM_THRESHOLD_": str(1 << 32)}  # glibc before 2.35 takes no more than 2^25
TURNS = "GOMP_SPINCOUNT"
WAYS: dict[str, dict[str, str]] = {
    FLOOR: {"OMP_NUM_THREADS": "1"},
    "asleep at once": {TURNS: "0"},
    "1,000 turns": {TURNS: "1000"},
    "3,000 turns": {TURNS: "3000"},
    "10,000 turns": {TURNS: "10000"},
    "10,000 turns, memory kept": {TURNS: "10000", **KEPT},
    "libgomp's own": {},
}
BUSY = [sys.executable, "-c", "while True: pass"]


def work(steps: int) -> None:
    """What each process does: train on, a turn for each line it is sent, and say how long it took."""
    torch.manual_seed(0)
    model = create_model("cifar_resnet20", num_classes=2)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    x, y = torch.randn(32, 3, 32, 32), torch.randint(0, 2, (32,))
    for _ in sys.stdin:
        begun = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()
        print((time.perf_counter() - begun) / steps, flush=True)


def turns(rounds: int, steps: int, busy: bool) -> dict[str, Timing]:
    """Wall time of a step each way, in turn, `rounds` times after a first turn that is not counted."""
    with ExitStack() as stack:
        contestants = {}
        for name, settings in WAYS.items():
            env = {k: v for k, v in os.environ.items() if k not in (TURNS, "OMP_WAIT_POLICY", "OMP_NUM_THREADS", *KEPT)}
            command = [sys.executable, __file__, "--work", "--steps", str(steps)]
            process = subprocess.Popen(
                command, env={**env, "OMP_NUM_THREADS": "2", **settings}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            contestants[name] = stack.enter_context(process)
            stack.callback(process.kill)
        if busy:
            other = stack.enter_context(subprocess.Popen(BUSY))
            stack.callback(other.kill)
        seconds: dict[str, list[float]] = {name: [] for name in WAYS}
        for i in range(rounds + 1):
            for name, process in contestants.items():
                assert process.stdin is not None
                assert process.stdout is not None
                print("go", file=process.stdin, flush=True)
                wall = float(process.stdout.readline())
                if i:
                    seconds[name].append(wall)
    return {name: Timing(cpu=walls, wall=walls) for name, walls in seconds.items()}  # threads that wait awake spend the time of a processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.steps)
        return
    tables = {}
    for title, busy in (("quiet", False), ("beside a busy process", True)):
        tables[title] = compare(turns(args.rounds, args.steps, busy), FLOOR)
        print(title, *tables[title], sep="\n")
    print(record("waiting", tables, model="cifar_resnet20", batch=32))


if __name__ == "__main__":
    main()

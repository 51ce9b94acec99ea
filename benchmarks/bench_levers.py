"""What does each part of a training step cost? The 784-50-10 network over 60,000 rows; this decided how the Learner's loop is written.

    python benchmarks/bench_levers.py [--rounds 7] [--rows 60000]

Each line is the textbook loop with one thing changed; the last column is the difference in microseconds a step.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common import ROUNDS, compare, interleave, record, settle


@dataclass(frozen=True)
class Levers:
    """One way to write the loop."""

    gather: str = "x[i]"  # x[i] | select | chunk
    chunk_bytes: int = 1 << 20
    fused: bool = False
    foreach: bool | None = None
    zero: str = "zero_grad"  # zero_grad | by hand | none
    accuracy: str = ""  # "" | step (on the device) | item (synchronised) | every 50
    loss: str = ""  # "" | sum | every 50
    finite: str = ""  # "" | check | check+found_inf | loss.isfinite
    momentum: float = 0.0


def batches(x: Tensor, y: Tensor, order: Tensor, size: int, levers: Levers) -> Iterator[tuple[Tensor, Tensor]]:
    if levers.gather == "x[i]":
        for i in order.split(size):
            yield x[i], y[i]
    elif levers.gather == "select":
        for i in order.split(size):
            yield x.index_select(0, i), y.index_select(0, i)
    else:
        together = max(1, levers.chunk_bytes // (x[0].numel() * x.element_size() * size)) * size
        for i in order.split(together):
            yield from zip(x.index_select(0, i).split(size), y.index_select(0, i).split(size), strict=True)


def epoch(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, size: int, levers: Levers) -> Callable[[], None]:
    params = list(model.parameters())
    one, found = torch.ones(()), torch.zeros(())
    if levers.finite == "check+found_inf":
        optimizer.grad_scale, optimizer.found_inf = None, found

    def run() -> None:
        losses: list[Tensor] = []
        outputs: list[Tensor] = []
        targets: list[Tensor] = []
        total, right, seen = torch.zeros(()), torch.zeros((), dtype=torch.int64), 0
        order = torch.randperm(len(x))
        for step, (xb, yb) in enumerate(batches(x, y, order, size, levers), 1):
            out = model(xb)
            loss = F.cross_entropy(out, yb)
            loss.backward()
            if levers.finite.startswith("check"):
                grads = [p.grad for p in params] + [loss.detach()]
                torch._amp_foreach_non_finite_check_and_unscale_(grads, found, one)
            elif levers.finite:
                found.add_(~loss.detach().isfinite())
            optimizer.step()
            if levers.zero == "zero_grad":
                optimizer.zero_grad()
            elif levers.zero == "by hand":
                for p in params:
                    p.grad = None
            if levers.loss == "sum":
                total += loss.detach()
            elif levers.loss:
                losses.append(loss.detach())
            if levers.accuracy == "step":
                right += (out.detach().argmax(1) == yb).sum()
            elif levers.accuracy == "item":
                seen += int((out.detach().argmax(1) == yb).sum())
            elif levers.accuracy:
                outputs.append(out.detach())
                targets.append(yb)
            if step % 50 == 0:
                if losses:
                    total += torch.stack(losses).sum()
                    losses.clear()
                if outputs:
                    right += (torch.cat(outputs).argmax(1) == torch.cat(targets)).sum()
                    outputs.clear()
                    targets.clear()

    return run


def variants() -> dict[str, Levers]:
    base = Levers()
    select = replace(base, gather="select")
    fused = replace(select, fused=True)
    return {
        "textbook": base,
        "index_select": select,
        "chunk 256 kB": replace(base, gather="chunk", chunk_bytes=1 << 18),
        "chunk 1 MB": replace(base, gather="chunk"),
        "chunk 4 MB": replace(base, gather="chunk", chunk_bytes=1 << 22),
        "index_select, foreach": replace(select, foreach=True),
        "index_select, fused": fused,
        "  grads set None by hand": replace(fused, zero="by hand"),
        "  grads never cleared (lower bound)": replace(fused, zero="none"),
        "  + loss summed each step": replace(fused, loss="sum"),
        "  + losses listed, stacked every 50": replace(fused, loss="every 50"),
        "  + accuracy each step, on the device": replace(fused, accuracy="step"),
        "  + accuracy each step, .item()": replace(fused, accuracy="item"),
        "  + accuracy every 50 on joined outputs": replace(fused, accuracy="every 50"),
        "  + loss and gradients checked for finiteness": replace(fused, finite="check"),
        "  + the same, fused optimiser told of it": replace(fused, finite="check+found_inf"),
        "  + loss alone checked": replace(fused, finite="loss"),
        "all: fused, loss+accuracy each step": replace(fused, loss="sum", accuracy="step"),
        "all: fused, loss+accuracy every 50, check": replace(
            fused, loss="every 50", accuracy="every 50", finite="check+found_inf", zero="by hand"
        ),
        "all of that, chunk 1 MB": replace(
            fused, loss="every 50", accuracy="every 50", finite="check+found_inf", zero="by hand", gather="chunk", chunk_bytes=1 << 20
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--rows", type=int, default=60_000)
    args = parser.parse_args()
    settle()
    torch.manual_seed(0)
    x, y = torch.randn(args.rows, 784), torch.randint(0, 10, (args.rows,))
    tables = {}
    for name, size, optim in (
        ("batch 64 SGD", 64, torch.optim.SGD),
        ("batch 64 Adam", 64, torch.optim.Adam),
        ("batch 1024 SGD", 1024, torch.optim.SGD),
    ):
        runs = {}
        for title, levers in variants().items():
            torch.manual_seed(1)
            model = nn.Sequential(nn.Linear(784, 50), nn.ReLU(), nn.Linear(50, 10))
            if "found_inf" in levers.finite and not levers.fused:
                continue
            kw = {"fused": True} if levers.fused else {"foreach": levers.foreach}
            runs[title] = epoch(model, optim(model.parameters(), lr=0.01, **kw), x, y, size, levers)
        rows = compare(interleave(runs, rounds=args.rounds), "textbook")
        steps = -(-args.rows // size)
        print(f"\n{name}, {steps} steps")
        for row in rows:
            print(f"{row}  {(row.seconds - rows[0].seconds) / steps * 1e6:+8.1f} us/step  ({row.seconds / steps * 1e6:.1f})", flush=True)
        tables[name] = rows
    print(record("levers", tables, rows=args.rows))


if __name__ == "__main__":
    main()

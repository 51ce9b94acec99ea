"""What does every part by hand cost? Forward and backward of each row of TWINS, and a step of each optimiser, against torch's.

    python benchmarks/bench_parts.py [--rounds 7] [--only Conv]

Processor time of one thread, interleaved, median and range of the ratio; both are first compared on what they compute. `--record` writes
the ratios into results/twins.json, beside the cases counted there. Sizes are in part_sizes.py; bounds on single parts in bench_twins.py.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common import ROUNDS, Row, compare, interleave, machine, settle
from part_sizes import Size, part_sizes, without_size
from rungbook.models.vision.lenet import LeNet
from rungbook.scratch import optim
from rungbook.scratch.swap import swap
from rungbook.scratch.twins import TWINS

FILE = Path(__file__).parents[1] / "results" / "twins.json"
LEAST = 6e-3  # seconds in one timed call; a cheap part is repeated until it takes that long
SLOW = 10.0  # ratios above are marked

Run = Callable[[], list[Tensor]]


def passes(layer: Callable[[], nn.Module], inputs: tuple[Any, ...]) -> Run:
    """One forward pass and one backward pass from the first result; returns that result and the gradients.

    Args:
        layer: gives the layer; a lazy one is made in here, each time anew.
        inputs: what it is called with.
    """
    wanted = [x for x in {id(x): x for x in inputs}.values() if isinstance(x, Tensor) and x.requires_grad]
    cotangent: list[Tensor] = []

    def run() -> list[Tensor]:
        module = layer()
        result = module(*inputs)
        first = result[0] if isinstance(result, tuple) else result
        if not cotangent:
            cotangent.append(torch.randn(first.shape, generator=torch.Generator().manual_seed(1)))
        return [first, *torch.autograd.grad(first, [*wanted, *module.parameters()], cotangent[0])]

    return run


def layer_runs(theirs: type[nn.Module], size: Size) -> dict[str, Run]:
    """Both forms of one layer on the same inputs from the same weights."""
    torch.manual_seed(0)
    inputs = size.inputs()
    if size.lazy:
        both = {"torch": theirs, "ours": TWINS[theirs]}
        return {form: passes(partial(cls, *size.make, **size.options), inputs) for form, cls in both.items()}
    layer = theirs(*size.make, **size.options)
    mine = swap(copy.deepcopy(layer), strict=True)
    assert type(mine) is TWINS[theirs], mine
    return {"torch": passes(lambda: layer, inputs), "ours": passes(lambda: mine, inputs)}


def optimisers() -> list[str]:
    """Those of ours that torch has."""
    found = {name: getattr(torch.optim, name, None) for name in optim.__all__}
    return sorted(name for name, cls in found.items() if isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer))


def gradient_like(p: Tensor, name: str) -> Tensor:
    """A gradient, for SparseAdam of every second row."""
    g = torch.randn_like(p)
    if name != "SparseAdam":
        return g
    rows = torch.arange(0, len(p), 2)
    return torch.sparse_coo_tensor(rows[None], g[rows], p.shape, check_invariants=True).coalesce()


def optimiser_runs(name: str) -> dict[str, Run]:
    """One step over a LeNet-5's parameters along a gradient that stays; for Muon, which takes matrices only, over its three matrices."""
    torch.manual_seed(0)
    start = [p.detach() for p in LeNet().parameters() if name != "Muon" or p.ndim == 2]
    gradients = [gradient_like(p, name) for p in start]

    def made(place: Any) -> Run:
        params = [p.clone().requires_grad_() for p in start]
        for p, g in zip(params, gradients, strict=True):
            p.grad = g.clone()
        optimizer = getattr(place, name)(params)

        def run() -> list[Tensor]:
            optimizer.step()
            return [p.detach() for p in params]

        return run

    make = lbfgs_run if name == "LBFGS" else made
    return {"torch": make(torch.optim), "ours": make(optim)}


def lbfgs_run(place: Any) -> Run:
    """A step of LBFGS, which is up to 20 evaluations: always the first, down a bowl whose curvatures are 1 to 1000."""
    torch.manual_seed(0)
    start = [p.detach() for p in LeNet().parameters()]
    curvatures = [10 ** (3 * torch.rand_like(p)) for p in start]
    params = [p.clone().requires_grad_() for p in start]

    def closure() -> Tensor:
        loss = torch.zeros(())
        for p, c in zip(params, curvatures, strict=True):
            p.grad = c * p.detach()
            loss = loss + 0.5 * (p.grad * p.detach()).sum()
        return loss

    def run() -> list[Tensor]:
        with torch.no_grad():
            for p, first in zip(params, start, strict=True):
                p.copy_(first)
        place.LBFGS(params).step(closure)
        return [p.detach() for p in params]

    return run


def check(name: str, runs: dict[str, Run]) -> None:
    """Raise unless both compute the same, in float32 and with the same random numbers."""
    found = {}
    for form, run in runs.items():
        torch.manual_seed(0)
        found[form] = [x.detach().clone() for x in run()]
    for i, (ours, theirs) in enumerate(zip(found["ours"], found["torch"], strict=True)):
        largest = float(theirs.abs().max()) if theirs.numel() else 0.0
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * largest, msg=(f"{name}, result {i}: " + "{}").format)


def repeats(runs: dict[str, Run]) -> int:
    """How often a part is run in one timed call, so that the faster of both takes `LEAST`."""
    fastest = math.inf
    for run in runs.values():
        begin, n = time.process_time(), 0
        while (spent := time.process_time() - begin) < LEAST:
            run()
            n += 1
        fastest = min(fastest, spent / n)
    return math.ceil(LEAST / fastest)


def timed(name: str, runs: dict[str, Run], rounds: int) -> Row:
    """Ours against torch's."""
    check(name, runs)
    times = repeats(runs)

    def again(run: Run) -> Callable[[], None]:
        def called() -> None:
            for _ in range(times):
                run()

        return called

    return compare(interleave({form: again(run) for form, run in runs.items()}, rounds=rounds), "torch")[-1]


def contestants() -> dict[str, Callable[[], dict[str, Run]]]:
    """Name as in results/twins.json -> makes both forms. Raises SystemExit naming the rows of TWINS that have no size."""
    sizes = part_sizes()
    if missing := without_size((cls.__name__ for cls in TWINS), sizes):
        raise SystemExit(f"no size in part_sizes.py for {', '.join(missing)}")
    layers = {f"nn.{cls.__name__}": partial(layer_runs, cls, sizes[cls.__name__]) for cls in TWINS}
    return {**layers, **{f"optim.{name}": partial(optimiser_runs, name) for name in optimisers()}}


def with_costs(found: dict[str, Any], rows: dict[str, Row], where: dict[str, Any]) -> dict[str, Any]:
    """The table with these costs and this machine in it; all else stays."""
    parts = dict(found["parts"])
    for name, row in rows.items():
        parts[name] = {**parts.get(name, {}), "cost": [round(x, 3) for x in (row.ratio, row.low, row.high)]}
    first = {k: v for k, v in found.items() if k not in ("machine", "parts")}
    return {**first, "machine": where, "parts": dict(sorted(parts.items()))}


def main() -> None:
    """Time every part asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", default="", help="parts with this in their name")
    parser.add_argument("--record", action="store_true", help="write the costs into results/twins.json")
    arguments = parser.parse_args()
    settle()
    if arguments.record and arguments.rounds < ROUNDS:
        parser.error(f"--record needs {ROUNDS} rounds or more")
    if arguments.record and arguments.only and json.loads(FILE.read_text()).get("machine") != machine():
        parser.error("--record of some parts needs the machine that the other costs are of: measure all")
    rows = {}
    begin = time.process_time()
    for name, make in contestants().items():
        if arguments.only in name:
            row = rows[name] = timed(name, make(), arguments.rounds)
            judged = f"   above {SLOW:g}" if row.ratio > SLOW else ""
            print(f"{name:36} {row.ratio:7.3f}  ({row.low:.3f} - {row.high:.3f}){judged}", flush=True)
    print(f"{len(rows)} parts, {time.process_time() - begin:.0f} s of processor time")
    if arguments.record:
        FILE.write_text(json.dumps(with_costs(json.loads(FILE.read_text()), rows, machine()), indent=1, ensure_ascii=False) + "\n")
        print(FILE)


if __name__ == "__main__":
    main()

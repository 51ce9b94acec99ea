"""What does the matrix product cost, loop by loop? Python, rows, broadcasting, einsum, C and torch on the same matrices.

    python benchmarks/bench_matmul.py [--rounds 7] [--threads 2] [--record]

Processor time of one thread, interleaved; the form on several threads is judged by wall time, which stands beside. The first size is
that of five handwritten digits through one layer, where even three Python loops come to an end; at the others the loops are left out.
`--record` writes results/matmul.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from common import compare, interleave, record, settle
from rungbook.scratch.tensor import native
from rungbook.scratch.tensor.matmul import contestants

SIZES = [(5, 784, 10), (64, 784, 50), (256, 256, 256), (512, 512, 512)]
LOOPS_BELOW = 100_000
"""Products of numbers, of which Python does about ten million a second on lists and fifty thousand on tensors."""

REPEATS = {(5, 784, 10): 20, (64, 784, 50): 10}
"""How often a fast form runs in a round, so that a round is longer than the clock is coarse."""


def repeated(run: Callable[[], object], times: int) -> Callable[[], None]:
    """The same several times."""

    def many() -> None:
        for _ in range(times):
            run()

    return many


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2, help="for the C form on several cores")
    parser.add_argument("--record", action="store_true", help="write results/matmul.json")
    args = parser.parse_args()
    settle()
    g, tables = torch.Generator().manual_seed(0), {}
    for m, k, n in SIZES:
        a, b = torch.randn(m, k, generator=g), torch.randn(k, n, generator=g)
        times = REPEATS.get((m, k, n), 1)
        forms = contestants(a, b, threads=args.threads, loops=m * k * n < LOOPS_BELOW)
        runs = {name: repeated(run, times if "elements" not in name else 1) for name, run in forms.items()}
        timings = interleave(runs, rounds=args.rounds)
        for name, timing in timings.items():
            if "elements" not in name:
                timing.cpu[:], timing.wall[:] = [s / times for s in timing.cpu], [s / times for s in timing.wall]
        title = f"{m}x{k} @ {k}x{n}"
        tables[title] = rows = compare(timings, "torch")
        print(f"{title}, float32, {2 * m * k * n / 1e6:.2f} million operations")
        for row in rows:
            spread = f"({row.low:.2f}-{row.high:.2f})"
            print(f"  {row.name:<18}{row.seconds * 1e6:>12.1f} us {row.ratio:>10.2f}  {spread}  wall {row.wall_ratio:.2f}", flush=True)
    if args.record:
        print(record("matmul", tables, compiler=native.find_compiler(), flags=list(native.FLAGS), openmp=native.has_openmp()))


if __name__ == "__main__":
    main()

"""How much sooner is a study done whose seeds are shared out among processes? Whole commands, from their start to the report.

    python benchmarks/bench_partners.py [--rounds 7] [RECIPE ...]

Both ways are commands as typed, in turn on a quiet machine; without partners one process trains all seeds, everything else is the same.
Ratios are of wall time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

from common import Timing, compare, record

ALONE, SHARED = "one process", "with partners"
START = {
    ALONE: "from rungbook.recipes import partner; partner.partners_for = lambda study: 0; from rungbook.cli.main import main; main()",
    SHARED: "from rungbook.cli.main import main; main()",
}
RECIPES = ("weight_decay", "wine", "diabetes", "softmax_twice")
"""Of 3, 10, 5 and 3 seeds; a seed takes a second or two, half a second, two, five."""


def seconds(way: str, recipe: str) -> float:
    """Wall time of a command."""
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "RUNG_DATA")}
    with tempfile.TemporaryDirectory() as runs:
        begun = time.perf_counter()
        command = [sys.executable, "-c", START[way], "train", recipe]
        subprocess.run(command, env={**env, "RUNG_RUNS": runs}, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("recipes", nargs="*", default=RECIPES)
    args = parser.parse_args()
    tables = {}
    for recipe in args.recipes:
        walls: dict[str, list[float]] = {way: [] for way in START}
        for i in range(args.rounds + 1):
            for way in START:
                wall = seconds(way, recipe)
                if i:
                    walls[way].append(wall)
        tables[recipe] = compare({way: Timing(cpu=found, wall=found) for way, found in walls.items()}, ALONE)
        print(recipe, *tables[recipe], sep="\n", flush=True)
    print(record("partners", tables))


if __name__ == "__main__":
    main()

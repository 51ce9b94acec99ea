"""How much sooner is a study done whose seeds are shared out among processes? Whole commands, from their start to the report.

    python benchmarks/bench_partners.py [--rounds 7] [STUDY ...]

A study is a recipe's name, with settings if it has any. Both ways are commands as typed, in turn on a quiet machine, with RUNG_PARTNERS=0
and without it. Ratios are of wall time.
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
WAYS: dict[str, dict[str, str]] = {ALONE: {"RUNG_PARTNERS": "0"}, SHARED: {}}
STUDIES = ("weight_decay", "wine", "diabetes", "softmax_twice")
"""Of 3, 10, 5 and 3 seeds; a seed takes about two seconds, half a second, two and five."""


def seconds(way: str, study: str) -> float:
    """Wall time of a command."""
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "RUNG_DATA", "RUNG_PARTNERS")}
    with tempfile.TemporaryDirectory() as runs:
        begun = time.perf_counter()
        command = [sys.executable, "-m", "rungbook.cli.main", "train", *study.split()]
        subprocess.run(command, env={**env, **WAYS[way], "RUNG_RUNS": runs}, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("studies", nargs="*", default=STUDIES)
    args = parser.parse_args()
    tables = {}
    for study in args.studies:
        walls: dict[str, list[float]] = {way: [] for way in WAYS}
        for i in range(args.rounds + 1):
            for way in WAYS if i % 2 else reversed(WAYS):
                wall = seconds(way, study)
                if i:
                    walls[way].append(wall)
        tables[study] = compare({way: Timing(cpu=found, wall=found) for way, found in walls.items()}, ALONE)
        print(study, *tables[study], sep="\n", flush=True)
    print(record("partners", tables))


if __name__ == "__main__":
    main()

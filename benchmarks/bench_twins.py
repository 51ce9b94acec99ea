"""What do the twins cost? Forward and backward of each against torch.nn's, and a step of each optimiser against torch's default.

    python benchmarks/bench_twins.py [--rounds 9] [--only conv]

Processor time of one thread, interleaved, median and range of the ratio; a bound that is missed is marked.
`--record` writes results/twins.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import twins_conv
import twins_norm
import twins_optim
import twins_sequence
import twins_tape
import twins_var
from common import compare, interleave, record, settle, versions
from contest import Contest

CONTESTS: dict[str, Callable[[], list[Contest]]] = {
    "norm": twins_norm.contests,
    "conv": twins_conv.contests,
    "tape": twins_tape.contests,
    "var": twins_var.contests,
    "optim": twins_optim.contests,
    "sequence": twins_sequence.contests,
}
"""Family -> makes its contests; filled below by the families' own files."""


def main() -> None:
    """Time every family asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="families with this in their name")
    parser.add_argument("--record", action="store_true", help="write results/twins.json")
    arguments = parser.parse_args()
    settle()
    tables = {}
    for family, make in CONTESTS.items():
        if arguments.only not in family:
            continue
        for contest in make():
            contest.check()
            times = interleave({"torch": contest.theirs, **contest.ours}, rounds=arguments.rounds)
            rows = tables[contest.name] = compare(times, "torch")
            print(contest.name)
            for row in rows:
                bound = contest.bounds.get(row.name)
                judged = "" if bound is None else f"   bound {bound:g}{'' if row.ratio <= bound else '  MISSED'}"
                print(f"  {row.name:28s} {row.ratio:6.3f}  ({row.low:.3f} - {row.high:.3f}){judged}", flush=True)
    if arguments.record:
        print(record("twins", tables, versions=versions(["torch"]), rounds=arguments.rounds))


if __name__ == "__main__":
    main()

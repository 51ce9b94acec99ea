"""The table of parts by hand: how many cases of torch's own corpora each agrees on, which are left out and why, and what it costs.

`results/twins.json` is written by `pytest tests/conformance --record-twins` (cases) and `python benchmarks/bench_parts.py --record`
(costs); `rung twins` shows it and `rung twins --write` makes docs/twins.md of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from rungbook.errors import EnvironmentProblem
from rungbook.recipes.shipped import shipped

KINDS = {
    "nn": ("Layers and losses", "rungbook.scratch.nn", "torch.nn"),
    "nn.functional": ("Functions", "rungbook.scratch.functional", "torch.nn.functional"),
    "nn.init": ("Initialisation", "rungbook.scratch.nn.init", "torch.nn.init"),
    "optim": ("Optimisers", "rungbook.scratch.optim", "torch.optim"),
    "lr_scheduler": ("Schedules", "rungbook.scratch.optim.lr_scheduler", "torch.optim.lr_scheduler"),
    "utils.data": ("Data", "rungbook.scratch.data", "torch.utils.data"),
    "tape": ("Operations the tape differentiates", "rungbook.scratch.autograd", "torch.autograd"),
}
"""First part of a name -> heading, where ours are, where torch's are."""


@dataclass(frozen=True)
class Part:
    """One part by hand.

    Args:
        name: as "nn.Linear".
        passed: cases on which it agrees with torch.
        listed: reason -> cases left out for it.
        cost: forward and backward (or a step) over torch's: median, smallest and largest ratio of processor time; empty if not measured.
    """

    name: str
    passed: int
    listed: dict[str, int] = field(default_factory=dict)
    cost: tuple[float, ...] = ()

    @property
    def kind(self) -> str:
        """Key of `KINDS`."""
        return "tape" if self.name.startswith("tape.") else self.name.rpartition(".")[0]

    @property
    def short(self) -> str:
        """The name without its kind."""
        return self.name.removeprefix(self.kind + ".")

    @property
    def left_out(self) -> int:
        """How many cases are."""
        return sum(self.listed.values())


@dataclass(frozen=True)
class Parts:
    """All parts, and what their figures depend on.

    Args:
        parts: in the order of `KINDS`, then by name.
        torch: version compared with.
        machine: what the costs were measured on.
    """

    parts: tuple[Part, ...]
    torch: str
    machine: dict[str, Any]

    def of(self, kind: str) -> list[Part]:
        """Those of a kind."""
        return [p for p in self.parts if p.kind == kind]


def load_parts() -> Parts:
    """The table as it was measured. Raises EnvironmentProblem E405 where the file is missing."""
    path = shipped("twins.json")
    if not path.is_file():
        raise EnvironmentProblem("E405", f"{path} is not there: nothing was compared yet.", "pytest tests/conformance --record-twins")
    found = json.loads(path.read_text())
    order = list(KINDS)
    rows = [Part(name, row.get("passed", 0), row.get("listed", {}), tuple(row.get("cost", ()))) for name, row in found["parts"].items()]
    rows.sort(key=lambda p: (order.index(p.kind), p.name.lower()))
    return Parts(tuple(rows), found["torch"], found.get("machine", {}))


def cost_words(part: Part) -> str:
    """ "1.05 (0.98-1.21)", or "" where it was not measured."""
    return f"{part.cost[0]:.2f} ({part.cost[1]:.2f}-{part.cost[2]:.2f})" if part.cost else ""


def page(table: Parts) -> str:
    """The table as Markdown, for docs/twins.md."""
    passed, left = sum(p.passed for p in table.parts), sum(p.left_out for p in table.parts)
    lines = [
        "# Parts by hand",
        "",
        f"Each part of `rungbook.scratch` beside PyTorch's own (torch {table.torch}): cases of torch's test corpora on which values and",
        "gradients agree in float64, cases left out with the reason, and the cost of forward and backward as a ratio of processor time on",
        f"one thread (median, smallest and largest). In all {passed:,} cases agree and {left:,} are left out. Written by",
        "`rung twins --write`.",
    ]
    for kind, (title, ours, theirs) in KINDS.items():
        rows = table.of(kind)
        if not rows:
            continue
        lines += ["", f"## {title}", "", f"`{ours}` for `{theirs}`.", ""]
        if kind == "tape":
            operations = [p.short for p in rows if not p.short.startswith(("nn.", "functional."))]
            lines.append(f"{sum(p.passed for p in rows):,} cases of every layer and function above and of {len(operations)} operations:")
            lines.append(", ".join(f"`{name}`" for name in operations) + ".")
            continue
        costs = any(p.cost for p in rows)
        lines += ["| part | cases | left out |" + (" cost |" if costs else ""), "|---|---|---|" + ("---|" if costs else "")]
        for p in rows:
            why = "<br>".join(f"{n}: {reason}" for reason, n in p.listed.items())
            lines.append(f"| `{p.short}` | {p.passed} | {why} |" + (f" {cost_words(p)} |" if costs else ""))
    return "\n".join(lines) + "\n"

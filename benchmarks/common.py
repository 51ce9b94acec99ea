"""What every benchmark here shares: how a ratio is measured, and how it is recorded.

The rule: one process, one thread, process CPU time, contestants interleaved A B A B for at least seven rounds after a warm-up, median and
range printed, and for all of them the same allocator settings (glibc returns large tensors to the kernel otherwise, and page faults then
cost up to half of a step). Wall time is printed beside it, not judged.
"""

from __future__ import annotations

import ctypes
import datetime
import gc
import gzip
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

RESULTS = Path(__file__).parent / "results"
ROUNDS = 7
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h


def settle(threads: int = 1) -> None:
    """Set the thread count and keep freed tensors in the process; call first."""
    torch.set_num_threads(threads)
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc only
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)


@dataclass
class Timing:
    """The rounds of one contestant, in seconds of process CPU time and of wall time."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


def interleave(contestants: dict[str, Callable[[], object]], *, rounds: int = ROUNDS, warmup: int = 1) -> dict[str, Timing]:
    """Time each contestant once a round, in turn, so that whatever else the machine does hits all of them alike."""
    for run in list(contestants.values()) * warmup:
        run()
    times = {name: Timing() for name in contestants}
    gc.collect()
    for _ in range(rounds):
        for name, run in contestants.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            times[name].cpu.append(time.process_time() - cpu)
            times[name].wall.append(time.perf_counter() - wall)
    return times


@dataclass(frozen=True)
class Row:
    """One contestant against the floor: ratios are taken within a round, then their median and range."""

    name: str
    seconds: float
    ratio: float
    low: float
    high: float
    wall_ratio: float
    rounds: int

    def __str__(self) -> str:
        spread = f"({self.low:.3f}-{self.high:.3f})"
        return f"{self.name:<44}{self.seconds * 1e3:>10.1f} ms {self.ratio:>7.3f}  {spread}  wall {self.wall_ratio:.3f}"


def compare(times: dict[str, Timing], floor: str) -> list[Row]:
    """Each contestant's ratio to `floor`."""
    rows = []
    for name, timing in times.items():
        ratios = [a / b for a, b in zip(timing.cpu, times[floor].cpu, strict=True)]
        walls = [a / b for a, b in zip(timing.wall, times[floor].wall, strict=True)]
        middle = statistics.median(ratios), min(ratios), max(ratios), statistics.median(walls), len(ratios)
        rows.append(Row(name, statistics.median(timing.cpu), *middle))
    return rows


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, threads, versions."""
    processor = platform.processor()
    if Path("/proc/cpuinfo").exists():
        names = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        processor = names[0] if names else processor
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def versions(names: Iterable[str]) -> dict[str, str]:
    """The installed versions of those packages that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def record(name: str, tables: dict[str, list[Row]], **facts: Any) -> Path:
    """Write `results/name.json`: the rows of each table, the machine, the date and whatever else is given."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    body = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        **facts,
        "tables": {
            title: [{k: round(v, 5) if isinstance(v, float) else v for k, v in vars(r).items()} for r in rows]
            for title, rows in tables.items()
        },
    }
    path.write_text(json.dumps(body, indent=1) + "\n")
    return path


def fashion_mnist(n: int = 60_000) -> tuple[torch.Tensor, torch.Tensor, str]:
    """Pixels uint8 (n, 28, 28), labels int64 (n,), and what they are: Fashion-MNIST under `RUNG_DATA`, else random bytes (equally fast)."""
    folder = Path(os.environ.get("RUNG_DATA", "")) / "fashion-mnist"
    if "RUNG_DATA" in os.environ and folder.is_dir():
        images = np.frombuffer(gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
        labels = np.frombuffer(gzip.decompress((folder / "train-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
        return torch.tensor(images.reshape(-1, 28, 28)[:n]), torch.tensor(labels[:n], dtype=torch.int64), "fashion-mnist"
    g = torch.Generator().manual_seed(0)
    return (
        torch.randint(0, 256, (n, 28, 28), dtype=torch.uint8, generator=g),
        torch.randint(0, 10, (n,), generator=g),
        "random bytes",
    )

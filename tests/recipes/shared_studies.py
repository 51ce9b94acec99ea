"""Studies for a partner; this module is imported there."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from rungbook.errors import DataError
from rungbook.recipes.companion import cores_each
from rungbook.recipes.study import Found, Say, Study

PATIENCE = 120.0


def wait_until(happened: object) -> None:
    """Wait for a file, or for as long as nobody would wait."""
    end = time.monotonic() + PATIENCE
    while not Path(str(happened)).exists():
        assert time.monotonic() < end, f"{happened} never came"
        time.sleep(0.01)


@dataclass(frozen=True, kw_only=True)
class Whose(Study):
    """Which process does which seed?

    Args:
        place: folder in which a partner leaves its number, and a file for each seed it begins.
        home: the process that is no partner. It does its first seed after a partner has begun one.
        there: what becomes of a seed with a partner: "done", "fails", "dies" or "lasts".
        unlucky: a seed that fails whoever does it.
    """

    data: str = "digits"
    place: str = ""
    home: int = 0
    there: str = "done"
    unlucky: int = -1

    def find(self, say: Say, *, pictures: bool = False) -> Found:
        """What one process can say of itself."""
        place = Path(self.place)
        if os.getpid() == self.home:
            wait_until(place / "begun")
        else:
            (place / "pid").write_text(str(os.getpid()))
            (place / "begun").touch()
            if self.there == "fails":
                raise DataError("E113", "no samples there", "")
            if self.there == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.there == "lasts":
                time.sleep(PATIENCE)
        if self.seed == self.unlucky:
            raise DataError("E113", f"no samples for seed {self.seed}", "")
        say(f"seed {self.seed} in {os.getpid()}")
        own = {"pid": os.getpid(), "threads": torch.get_num_threads(), "cores": cores_each(), "pictures": pictures, "seeds": self.seeds}
        return Found({"": {"test": {k: float(v) for k, v in own.items()}}}, 1, {"name": "digits", "seed": self.seed})

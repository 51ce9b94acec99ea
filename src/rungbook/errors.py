"""What rungbook says when something is wrong: given, needed, remedy.

Every error a user can cause is a `RungError` with a code from `CODES`, a message that names the object (file, row, column, layer,
setting) and one fix that can be run. The command line turns it into text and a fixed exit code; a Python caller catches the class.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

CODES: dict[str, str] = {
    "E101": "The model does not fit the shape of the data",
    "E102": "A label lies outside the model's outputs",
    "E103": "Labels have the wrong type for the loss",
    "E104": "Inputs have the wrong type or lie on another device",
    "E105": "A file or folder does not exist",
    "E106": "A file cannot be read",
    "E107": "A folder holds nothing to learn from",
    "E108": "Predictions and targets have shapes that would be broadcast",
    "E109": "Images are laid out height x width x channel",
    "E110": "There is only one class",
    "E111": "The target column is missing or unnamed",
    "E112": "The target cannot be learned",
    "E113": "There are too few rows",
    "E114": "The table is malformed",
    "E115": "The batch does not fit the data",
    "E116": "The source is of a kind rungbook does not read",
    "E117": "The data is not the data of the run",
    "E118": "An archive tries to write outside its folder, or is larger than declared",
    "E201": "Unknown name",
    "E202": "A value has the wrong type or range",
    "E203": "The word is a recipe and a folder, or neither",
    "E204": "A run cannot be continued",
    "E205": "A callback method is not an event",
    "E301": "A checkpoint is damaged",
    "E302": "Weights are not data",
    "E303": "Weights do not match the model",
    "E304": "The run is of a newer format",
    "E305": "A line of the ledger is damaged",
    "E306": "A quoted figure is not the measured one",
    "E307": "A lesson fails",
    "E308": "A page of the site cannot be built",
    "E401": "The disk is full",
    "E402": "Another process uses this run",
    "E403": "A download failed",
    "E404": "An optional part is not installed",
    "E405": "A place cannot be written or read",
    "E406": "A worker process died or hangs",
    "E407": "Another program failed",
    "E501": "Training met a number that is not finite",
    "E701": "A fault of rungbook's own",
}


class RungError(Exception):
    """An error with a code of `CODES`, what happened, where, and a fix.

    Args:
        code: key of `CODES`.
        message: what was found against what is needed, naming the object.
        fix: one thing to do, best a command.
    """

    exit_code = 70

    def __init__(self, code: str, message: str, fix: str = "") -> None:
        assert code in CODES, code
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.code} {self.message}" + (f" {self.fix}" if self.fix else "")

    def describe(self) -> dict[str, str | int]:
        """The error as a JSON object."""
        return {"error": self.code, "title": CODES[self.code], "message": self.message, "fix": self.fix, "exit": self.exit_code}


class UsageError(RungError, ValueError):
    """The command or the call was wrong: exit code 2."""

    exit_code = 2


class DataError(RungError, ValueError):
    """The data cannot be used: exit code 3."""

    exit_code = 3


class EnvironmentProblem(RungError, OSError):
    """The machine stands in the way (disk, lock, network, missing part): exit code 4."""

    exit_code = 4

    def __init__(self, code: str, message: str, fix: str = "") -> None:
        RungError.__init__(self, code, message, fix)

    def __str__(self) -> str:
        return RungError.__str__(self)


class NotFinite(RungError, ArithmeticError):
    """A loss, gradient or weight stopped being a finite number: exit code 1, weights are the last finite ones."""

    exit_code = 1


def nearest(word: str, known: Iterable[str], n: int = 1) -> list[str]:
    """The `n` known names nearest to `word`, best first; none if nothing is near."""
    known = list(known)
    exact = [k for k in known if k.lower() == word.lower()]
    return exact[:n] or difflib.get_close_matches(word, known, n=n, cutoff=0.6)


def did_you_mean(word: str, known: Iterable[str], form: str = "{}") -> str:
    """A sentence that offers the nearest known name, or lists the first few."""
    known = sorted(known)
    if near := nearest(word, known):
        return f"Did you mean {form.format(near[0])}?"
    listing = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f"Known: {listing}." if known else ""

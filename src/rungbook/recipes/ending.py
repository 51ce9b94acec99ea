"""How a run ends early: stopped by somebody, by an error, or by a full disk; the record always says which."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from rungbook.errors import RungError
from rungbook.learner.checkpoint import full
from rungbook.recipes.runs import Run


class Stopped(Exception):
    """Somebody asked a training to stop; `run` can be resumed: from `step`, or from its last checkpoint if that is None."""

    def __init__(self, run: Run, step: int | None) -> None:
        super().__init__(f"{run.name} stopped at step {step}")
        self.run, self.step = run, step


@contextmanager
def ending(run: Run) -> Iterator[None]:
    """However a training ends early, the record says so and what is raised says what to do."""
    try:
        yield
    except Stopped as stopped:
        run.update(status="interrupted", step=stopped.step)
        raise
    except KeyboardInterrupt:
        run.update(status="interrupted")
        raise Stopped(run, None) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or isinstance(error, RungError):
            raise
        raise full(run.path, 1 << 20) from error

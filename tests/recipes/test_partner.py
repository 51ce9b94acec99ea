"""Partners do what this process would do, bit for bit; where they fail or die nothing is lost; nothing of them is left."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from beside_work import gone
from shared_studies import Whose, wait_until

from rungbook.errors import DataError, UsageError
from rungbook.recipes import companion, partner
from rungbook.recipes.book.batches import LoaderStudy
from rungbook.recipes.book.diabetes import DiabetesBatchNorm
from rungbook.recipes.book.timing import Timing
from rungbook.recipes.book.transfer import Transfer
from rungbook.recipes.companion import Companion, cores_each
from rungbook.recipes.partner import partners_for, share_out
from rungbook.recipes.study import Found, Study

ME, CORES = os.getpid(), companion.cores()


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command on a machine of two cores, which may start processes."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(partner, "may_start_processes", lambda: True)
    monkeypatch.delenv(partner.VARIABLE, raising=False)


def whose(place: Path, **settings: Any) -> Whose:
    return Whose(**{"place": str(place), "home": ME, "seeds": 4, **settings})


def shared(study: Study) -> tuple[list[Found], list[str], list[int]]:
    """What was found, what was said meanwhile, and the seeds in the order they were told of."""
    said: list[str] = []
    told: list[int] = []
    found = share_out(study, said.append, lambda seed, one: told.append(seed), partners=1)
    return found, said, told


def of(found: list[Found], name: str) -> list[float]:
    return [one.results[""]["test"][name] for one in found]


def test_each_seed_is_done_once_and_told_in_order(tmp_path: Path) -> None:
    found, said, told = shared(whose(tmp_path, seed=7))
    other = int((tmp_path / "pid").read_text())
    assert [one.data["seed"] for one in found] == told == [7, 8, 9, 10]
    assert set(of(found, "pid")) == {ME, other}
    assert sorted(said) == sorted(f"seed {one.data['seed']} in {one.results['']['test']['pid']:.0f}" for one in found)
    assert of(found, "pictures") == [1, 0, 0, 0]
    assert set(of(found, "seeds")) == {1}
    assert set(of(found, "cores")) == {1}, "each has its part of two"
    assert set(of(found, "threads")) == {torch.get_num_threads()} == {1}
    assert cores_each() == 2
    assert gone(other, fetched=True)


SMALL: dict[str, Study] = {"a table": DiabetesBatchNorm(epochs=3), "images": Transfer(epochs=1)}


@pytest.mark.parametrize("kind", SMALL)
def test_the_same_figures_bit_for_bit(kind: str) -> None:
    """Whatever was done before: here 0 and then 1, there the other way round."""
    study = SMALL[kind]
    here: list[tuple[str, Any]] = []
    expected = [partner._carry_out(study, seed, lambda line: here.append((partner.SAID, line))) for seed in (0, 1)]
    serving = Companion(partner._serve, "rung-partner")
    there: list[tuple[str, Any]] = []
    try:
        serving.pipe.send((study, 2))
        assert serving.pipe.recv() == (partner.READY, None)
        found = {}
        for seed in (1, 0):
            serving.pipe.send(seed)
            while (answer := serving.pipe.recv())[0] == partner.SAID:
                there.append(answer)
            assert answer[0] == partner.FOUND
            found[seed] = answer[1]
    finally:
        serving.end()
    assert sorted(there) == sorted(here)
    assert there
    for seed in (0, 1):
        assert painted(found[seed]) == painted(expected[seed])
        assert bool(found[seed].pictures) == (seed == 0)
        assert replace(found[seed], pictures=()) == replace(expected[seed], pictures=())


def painted(found: Found) -> list[Any]:
    return [(p.func, p.args, p.keywords) if isinstance(p, partial) else p for p in found.pictures]


def test_what_fails_there_is_done_here(tmp_path: Path) -> None:
    found, _, told = shared(whose(tmp_path, there="fails"))
    assert of(found, "pid") == [ME] * 4
    assert told == [0, 1, 2, 3]


def test_what_fails_everywhere_fails_here_with_its_message(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no samples for seed 1"):
        shared(whose(tmp_path, unlucky=1))
    assert gone(int((tmp_path / "pid").read_text()), fetched=True)


def test_a_partner_that_dies_is_not_missed(tmp_path: Path) -> None:
    found, _, told = shared(whose(tmp_path, there="dies"))
    assert of(found, "pid") == [ME] * 4
    assert told == [0, 1, 2, 3]


def test_what_cannot_be_sent_and_a_process_that_cannot_be_started_are_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Unknown(Whose):
        """A class that no other process can import."""

    (tmp_path / "begun").touch()
    found, _, _ = shared(Unknown(place=str(tmp_path), home=ME, seeds=3))
    assert of(found, "pid") == [ME] * 3

    def refuse(*_: Any) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(partner, "Companion", refuse)
    assert of(shared(whose(tmp_path, seeds=2))[0], "pid") == [ME] * 2


def test_ctrl_c_while_a_partner_is_waited_for(tmp_path: Path) -> None:
    study = whose(tmp_path, there="lasts", seeds=2)

    def press() -> None:
        wait_until(tmp_path / "begun")
        time.sleep(0.5)  # this process has done its seed and waits for the other
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        shared(study)
    assert time.monotonic() - begun < 60
    pressing.join()
    assert gone(int((tmp_path / "pid").read_text()), fetched=True)


def test_how_many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    study = whose(tmp_path)
    assert partners_for(study) == 1
    assert partners_for(Transfer()) == 1
    for alone in (
        Timing(seeds=3),
        LoaderStudy(),
        Transfer(workers=2),
        Transfer(mine=("a.py",)),
        Transfer(seeds=1),
        Transfer(threads=2),
        Transfer(threads=3),
    ):
        assert partners_for(alone) == 0, alone
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert partners_for(study) == 3, "a process a seed, no more"
    assert partners_for(whose(tmp_path, seeds=40, threads=4)) == 3, "of four threads each"
    assert partners_for(whose(tmp_path, seeds=40)) == 7
    monkeypatch.setattr("rungbook.recipes.prepare.best_device", lambda: torch.device("cuda"))
    assert partners_for(Transfer()) == 0
    assert partners_for(Transfer(device="cpu")) == 2
    for said, many in (("0", 0), ("2", 2), ("20", 15), ("", 7)):
        monkeypatch.setenv("RUNG_PARTNERS", said)
        assert partners_for(whose(tmp_path, seeds=40)) == many
    for wrong in ("-1", "few", "\N{SUPERSCRIPT TWO}"):
        monkeypatch.setenv("RUNG_PARTNERS", wrong)
        with pytest.raises(UsageError, match="must be a whole number") as error:
            partners_for(study)
        assert error.value.code == "E202"
    monkeypatch.delenv("RUNG_PARTNERS")
    monkeypatch.setattr(partner, "may_start_processes", lambda: False)
    assert partners_for(study) == 0

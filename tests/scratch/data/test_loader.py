"""What goes wrong with workers is said and cleaned up: errors, deaths, time limits, a break, Ctrl-C, a parent that is gone."""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.reduction import ForkingPickler
from typing import Any

import pytest
import torch
import torch.utils.data

from rungbook.scratch.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset, get_worker_info, pool, worker
from rungbook.scratch.data.worker import Failure

pytestmark = [pytest.mark.filterwarnings("ignore:.*worker processes"), pytest.mark.timeout(60)]


class Each(Dataset[Any]):
    """Samples by a function, which also knows the worker."""

    def __init__(self, f: Callable[[int], Any], n: int = 8) -> None:
        self.f, self.n = f, n

    def __getitem__(self, index: int) -> Any:
        return self.f(index)

    def __len__(self) -> int:
        return self.n


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and only waits to be noticed does not."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:  # no /proc here: what kill said stands
        return not os.path.isdir("/proc/self")
    except ProcessLookupError:
        return False


def gone(pids: list[int], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while any(map(lives, pids)) and time.monotonic() < end:
        time.sleep(0.01)
    return not any(map(lives, pids))


def pids(epoch: Any) -> list[int]:
    return [w.pid for w in epoch.pool.workers]


def fail_at(bad: int, error: Callable[[], BaseException]) -> Each:
    def f(i: int) -> int:
        if i == bad:
            raise error()
        return i

    return Each(f)


class TwoWords(ValueError):
    """An error that is not made from one text."""

    def __init__(self, a: str, b: str) -> None:
        super().__init__(f"{a} {b}")


def local_error() -> Exception:
    class Local(LookupError):
        """One that the other side cannot look up."""

    return Local("nowhere")


class Fixed(Exception):
    """An error that says the same whatever it is made from."""

    def __init__(self, code: object) -> None:
        super().__init__("fixed words")


def test_an_error_with_words_of_its_own() -> None:
    with pytest.raises(Exception, match="fixed words") as caught:
        list(DataLoader(fail_at(5, lambda: Fixed(3)), num_workers=1))
    said = str(caught.value) + "".join(getattr(caught.value, "__notes__", []))
    assert "DataLoader worker 0, at sample 5 of Each" in said


def test_too_many_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.multiprocessing.get_sharing_strategy() != "file_descriptor":
        pytest.skip("shared tensors are no open files on this system")
    monkeypatch.setattr(pool, "GRACE_SECONDS", 0.5)
    samples = [[torch.zeros(1) for _ in range(50)] for _ in range(40)]
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self") else 100
    loader = DataLoader(samples, batch_size=None, num_workers=1)
    epoch, kept = iter(loader), []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 60, limit[1]))
        with pytest.raises((OSError, RuntimeError)) as caught:
            kept += list(epoch)  # kept, so that their files stay open
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert "ulimit -n" in "".join(getattr(caught.value, "__notes__", []))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (lambda: ValueError("a bad\nfile"), ValueError),
        (lambda: KeyError("label"), KeyError),
        (lambda: TwoWords("a", "b"), RuntimeError),
        (local_error, LookupError),
        (lambda: UnicodeDecodeError("utf-8", b"x", 0, 1, "why"), RuntimeError),
        (lambda: StopIteration("early"), RuntimeError),
    ],
)
def test_an_error_comes_with_worker_and_sample(error: Callable[[], Exception], kind: type[Exception]) -> None:
    loader = DataLoader(fail_at(5, error), batch_size=2, num_workers=2)
    epoch = iter(loader)
    assert [next(epoch).tolist(), next(epoch).tolist()] == [[0, 1], [2, 3]]
    with pytest.raises(kind) as caught:
        next(epoch)
    words = str(caught.value)
    assert "DataLoader worker 0" in words.splitlines()[0]
    assert "at sample 5 of Each" in words.splitlines()[0]
    assert "in f\n" in words  # its traceback
    assert "\\n" not in words
    assert next(epoch).tolist() == [6, 7]  # the others still come
    with pytest.raises(StopIteration):
        next(epoch)


def test_without_workers_the_sample_is_noted() -> None:
    with pytest.raises(ValueError, match="bad") as caught:
        list(DataLoader(fail_at(5, lambda: ValueError("bad")), batch_size=2))
    assert caught.value.__notes__ == ["at sample 5 of Each"]
    with pytest.raises(RuntimeError) as caught:
        list(DataLoader(Each(torch.zeros), batch_size=2))
    assert caught.value.__notes__ == ["at collating samples [0, 1] of Each"]
    with pytest.raises(ValueError, match="bad") as caught:
        list(DataLoader(Subset(fail_at(5, lambda: ValueError("bad")), [0, 5, 1]), batch_size=3))
    assert caught.value.__notes__ == ["at samples [0, 1, 2] of Subset"]


class Breaks(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        yield from range(5)
        raise OSError("the stream broke")


def test_a_stream_that_breaks() -> None:
    with pytest.raises(OSError, match="DataLoader worker 0, after 5 samples of Breaks: the stream broke"):
        list(DataLoader(Breaks(), batch_size=2, num_workers=1))


def test_worker_init_fn_that_fails() -> None:
    def init(i: int) -> None:
        raise ValueError(f"no seat for {i}")

    with pytest.raises(ValueError, match="worker_init_fn of DataLoader worker 0: no seat for 0"):
        next(iter(DataLoader(Each(int), num_workers=1, worker_init_fn=init)))


def test_a_batch_that_cannot_be_sent() -> None:
    loader = DataLoader(Each(lambda i: lambda: i), batch_size=2, num_workers=1, collate_fn=list)
    with pytest.raises(Exception, match=r"worker 0, which cannot send its batch \[0, 1\]"):
        next(iter(loader))


def crash() -> None:
    faulthandler.disable()  # or pytest's tells the whole stack
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL: killed.*memory"),
        (crash, "SIGSEGV.*num_workers=0"),
        (lambda: os._exit(3), "by itself with code 3"),
    ],
)
def test_a_worker_that_dies(how: Callable[[], None], words: str) -> None:
    def f(i: int) -> int:
        if i == 4:
            how()
        return i

    epoch = iter(DataLoader(Each(f), num_workers=2))
    workers, start = pids(epoch), time.monotonic()
    with pytest.raises(RuntimeError, match=rf"DataLoader worker 0 \(pid {workers[0]}\) exited unexpectedly. .*{words}"):
        [next(epoch) for _ in range(8)]
    assert time.monotonic() - start < 10
    assert gone(workers, 0)
    with pytest.raises(StopIteration):
        next(epoch)


def test_a_worker_killed_in_the_middle_of_a_message() -> None:
    big = b"x" * 10_000_000  # more than a pipe holds: it is still being written when the first bytes can be read

    epoch = iter(DataLoader(Each(lambda i: big), batch_size=None, num_workers=1))
    (victim,) = epoch.pool.workers
    assert epoch.pool.pipes[0].poll(20)
    os.kill(victim.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="SIGKILL"):
        next(epoch)
    assert gone([victim.pid], 0)


def test_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "GRACE_SECONDS", 0.1)  # a worker does not listen while it sleeps, and is ended
    epoch = iter(DataLoader(Each(lambda i: time.sleep(100 * (i == 1)) or i), num_workers=1, timeout=0.3))
    workers = pids(epoch)
    assert next(epoch).tolist() == [0]
    with pytest.raises(RuntimeError, match=r"timed out: no worker .* for 0.3 seconds"):
        next(epoch)
    assert gone(workers, 0)


def test_break_leaves_no_process_behind() -> None:
    big = torch.zeros(3_000_000, dtype=torch.uint8).numpy().tobytes()  # workers are stuck sending when the loop ends
    epoch = iter(DataLoader(Each(lambda i: big, 50), batch_size=None, num_workers=2))
    workers, start = pids(epoch), time.monotonic()
    for _ in epoch:
        break
    del epoch
    assert gone(workers, 0)
    assert time.monotonic() - start < pool.GRACE_SECONDS  # they were asked, not killed


def test_ctrl_c() -> None:
    def f(i: int) -> int:
        if i == 2:
            time.sleep(0.5)  # the parent waits by now: Ctrl-C while it unpickles may leave a socket of Python's own open, with a warning
            os.kill(os.getppid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)  # a terminal sends it to all; workers leave it to their parent
            time.sleep(0.2)
        return i

    epoch = iter(DataLoader(Each(f, 100), num_workers=2))
    workers = pids(epoch)
    with pytest.raises(KeyboardInterrupt):
        list(epoch)
    assert gone(workers, 0)


def test_a_parent_that_vanishes() -> None:
    def parent(out: Any) -> None:
        worker.WATCH_SECONDS = 0.1
        epoch = iter(DataLoader(Each(int, 100), num_workers=2))
        out.send(pids(epoch))
        time.sleep(100)

    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    process = context.Process(target=parent, args=(theirs,))
    process.start()
    workers = mine.recv()
    assert all(map(lives, workers))
    process.kill()
    process.join()
    assert gone(workers)


def test_many_indices_and_big_batches_do_not_wait_for_each_other() -> None:
    indices = [list(range(40_000)) for _ in range(4)]  # each list is more than a pipe holds, and so is each batch
    loader = DataLoader(range(40_000), batch_sampler=indices, num_workers=1, prefetch_factor=4, collate_fn=list, timeout=30)
    assert [len(b) for b in loader] == [40_000] * 4


def test_persistent_workers_stay_and_a_broken_off_epoch_is_forgotten() -> None:
    loader = DataLoader(Each(lambda i: (i, os.getpid())), batch_size=2, num_workers=2, persistent_workers=True)
    epoch = iter(loader)
    first = [tuple(next(epoch)[0].tolist()) for _ in range(2)]
    workers = pids(epoch)
    assert first == [(0, 1), (2, 3)]
    assert iter(loader) is epoch
    whole = list(loader)
    assert [tuple(b[0].tolist()) for b in whole] == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert {int(p) for b in whole for p in b[1]} == set(workers)
    os.kill(workers[0], signal.SIGKILL)
    with pytest.raises(RuntimeError, match="SIGKILL"):
        list(loader)
    assert len(list(loader)) == 4  # with new ones
    workers = pids(loader._iterator)
    del epoch, loader
    gc.collect()
    assert gone(workers, 0)


def test_as_they_are_ready() -> None:
    slow_first = Each(lambda i: time.sleep(0.5 * (i == 0)) or i, 8)
    order = [int(b) for b in DataLoader(slow_first, num_workers=2, in_order=False)]
    assert sorted(order) == list(range(8))
    assert order[0] != 0
    assert [int(b) for b in DataLoader(slow_first, num_workers=2)] == list(range(8))


@pytest.mark.parametrize("other", [torch.float64, torch.int64])
def test_a_batch_of_two_types_is_the_same_with_and_without_workers(other: torch.dtype) -> None:
    samples = [torch.ones(2), torch.ones(2, dtype=other)]
    alone, by_worker = (next(iter(DataLoader(samples, batch_size=2, num_workers=n))) for n in (0, 1))
    assert alone.dtype == by_worker.dtype == torch.promote_types(torch.float32, other)
    # torch's worker makes it the first sample's type, so the type of a batch depends on the number of workers
    theirs = [next(iter(torch.utils.data.DataLoader(samples, batch_size=2, num_workers=n))) for n in (0, 1)]
    assert (theirs[0].dtype, theirs[1].dtype) == (alone.dtype, torch.float32)


class Parts(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
    """torch's, asking torch's function for its part."""

    def __iter__(self) -> Iterator[int]:
        info = torch.utils.data.get_worker_info()
        return iter(range(7)) if info is None else iter(range(info.id, 7, info.num_workers))


class OurParts(IterableDataset[int]):
    """Ours, asking ours."""

    def __iter__(self) -> Iterator[int]:
        info = get_worker_info()
        return iter(range(7)) if info is None else iter(range(info.id, 7, info.num_workers))


@pytest.mark.parametrize("dataset", [Parts(), OurParts()])
@pytest.mark.parametrize("loader", [DataLoader, torch.utils.data.DataLoader])
@pytest.mark.parametrize("workers", [0, 2])
def test_either_loader_takes_eithers_dataset(loader: Any, dataset: Any, workers: int) -> None:
    assert sorted(int(x) for b in loader(dataset, batch_size=2, num_workers=workers) for x in b) == list(range(7))


def test_what_a_fresh_interpreter_would_need() -> None:
    loader = DataLoader(TensorDataset(torch.arange(6.0)), batch_size=3, num_workers=1, multiprocessing_context="spawn")
    job = worker.Job(loader.dataset, loader._make_fetcher(), None, 1, 0, 1)
    again = ForkingPickler.loads(ForkingPickler.dumps(job))
    assert [x.tolist() for x in again.make_fetcher(again.dataset).fetch([1, 2])] == [[1, 2]]


@pytest.mark.soak
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_start_methods(method: str) -> None:
    data = TensorDataset(torch.arange(6.0))
    loader = DataLoader(data, batch_size=3, num_workers=2, multiprocessing_context=method, persistent_workers=True)
    for _ in range(2):
        assert [b[0].tolist() for b in loader] == [[0, 1, 2], [3, 4, 5]]
    workers = pids(loader._iterator)
    del loader
    gc.collect()
    assert gone(workers)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_hundreds_of_ends() -> None:
    """Breaks, kills and whole epochs in turn: no process and no open file is left."""

    def files() -> int:
        return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self") else 0

    g, before, seen = torch.Generator().manual_seed(0), 0, []
    for turn in range(150):
        epoch = iter(DataLoader(Each(lambda i: torch.full((50,), i), 20), batch_size=2, num_workers=2, generator=g))
        seen += pids(epoch)
        for i, _ in enumerate(epoch):
            if turn % 3 == 1 and i == turn % 10:
                break
        if turn % 3 == 2:
            epoch = iter(DataLoader(Each(lambda i: i, 200), num_workers=2, generator=g))
            seen += pids(epoch)
            os.kill(seen[-1], signal.SIGKILL)
            with pytest.raises(RuntimeError, match="SIGKILL"):
                list(epoch)
        del epoch
        gc.collect()
        before = before or files()
    assert gone(seen, 0)
    assert files() <= before + 10


def test_a_stream_longer_than_it_said() -> None:
    class Long(OurParts):
        def __len__(self) -> int:
            return 2

    loader = DataLoader(Long(), batch_size=3)
    assert len(loader) == 1
    with pytest.warns(UserWarning, match="said its length is 2, and batch 3"):
        list(loader)


def test_words_about_the_number_of_workers() -> None:
    with pytest.warns(UserWarning, match="num_workers .10000. is more than"):
        DataLoader([1], num_workers=10_000)
    with pytest.raises(AssertionError, match=r"prefetch_factor \(0\) must be at least 1"):
        iter(DataLoader([1], num_workers=1, prefetch_factor=0))


def test_datapipes_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="DataPipes"):
        DataLoader(torch.utils.data.IterDataPipe())


def test_a_failures_words() -> None:
    try:
        raise KeyError("a\nb")
    except KeyError as error:
        failure = Failure.of(error, "here")
    with pytest.raises(KeyError) as caught:
        failure.raise_again()
    assert str(caught.value).startswith("KeyError in here: 'a\\nb'\n\nIn the worker:\nTraceback")

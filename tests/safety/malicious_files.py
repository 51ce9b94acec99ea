"""Writers of hostile weights files, which try to run code, to eat memory or time, or to be taken for tensors they are not.

Each writer takes a folder and a canary, a path that exists if code out of the file ever ran. Nothing here does more than create that file.
Hostile checkpoints and runs are in `malicious_runs`.
"""

from __future__ import annotations

import collections
import functools
import io
import json
import os
import pickle
import runpy
import struct
import subprocess
import tarfile
import timeit
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

HUGE = 1 << 60
Writer = Callable[[Path, Path], Path]


@dataclass(frozen=True)
class Case:
    """One hostile file.

    Args:
        write: (folder, canary) -> what is to be opened.
        how: who opens it, a key of `open_files.OPENERS`.
        live: the naive way runs what is hidden in it, which shows that the trap works.
    """

    write: Writer
    how: str = "weights"
    live: bool = False


class Call:
    """Pickles as a call of `function(*args)`: unpickling it is calling."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.args


def touch(canary: Path) -> str:
    """Python code that leaves the canary."""
    return f"open({str(canary)!r}, 'w').close()"


def written(path: Path, content: bytes | str) -> Path:
    """The path, with the content in it."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def call_eval(canary: Path) -> Call:
    """The payload used where the payload is not the point."""
    return Call(eval, touch(canary))


def same_named_module(canary: Path) -> Call:
    """A function of a module that lies beside the weights; it runs when the file is imported by name."""
    module = written(canary.parent / "hidden_payload.py", touch(canary))
    return Call(runpy.run_path, str(module))


PAYLOADS: dict[str, Callable[[Path], Call]] = {
    "os.system": lambda c: Call(os.system, f"touch '{c}'"),
    "os.popen": lambda c: Call(os.popen, f"touch '{c}'; sleep 0.2"),
    "subprocess": lambda c: Call(subprocess.check_call, ["touch", str(c)]),
    "exec": lambda c: Call(exec, touch(c)),
    "eval": call_eval,
    "open for writing": lambda c: Call(open, str(c), "w"),
    "makedirs": lambda c: Call(os.makedirs, str(c)),
    "Path.touch": lambda c: Call(Path.touch, c),
    "timeit": lambda c: Call(timeit.timeit, touch(c), "pass", timeit.default_timer, 1),
    "reduce over exec": lambda c: Call(functools.reduce, exec, [touch(c), {}]),
    "module beside the file": same_named_module,
}


# ---------------------------------------------------------------- containers of pickles


def torch_zip(path: Path, content: Any = None, *, data: bytes | None = None, storage: bytes = b"\0" * 16, compressed: bool = False) -> Path:
    """A torch file made by hand: any pickle, any storage bytes."""
    how = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("archive/data.pkl", pickled(content) if data is None else data)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", storage)
        archive.writestr("archive/version", "3\n")
    return path


class Storage:
    """Stands for a storage of `numel` float32 in a hand-made pickle."""

    def __init__(self, numel: int, key: str = "0") -> None:
        self.numel, self.key = numel, key


def pickled(content: Any) -> bytes:
    """Protocol 2, as torch writes it, with `Storage` as torch's persistent ids."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing: object) -> Any:
            return ("storage", torch.FloatStorage, thing.key, "cpu", thing.numel) if isinstance(thing, Storage) else None

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump(content)
    return buffer.getvalue()


def tensor(numel: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...], key: str = "0") -> Call:
    """A tensor as torch pickles it, with numbers torch would never write."""
    return Call(torch._utils._rebuild_tensor_v2, Storage(numel, key), offset, size, stride, False, collections.OrderedDict())


def saved(content: Callable[[Path], Any], name: str = "w.pt", **options: Any) -> Writer:
    """A file of torch.save's making."""

    def write(folder: Path, canary: Path) -> Path:
        torch.save(content(canary), folder / name, **options)
        return folder / name

    return write


def plain_pickle(protocol: int, name: str = "w.pkl") -> Writer:
    return lambda folder, canary: written(folder / name, pickle.dumps({"weight": call_eval(canary)}, protocol))


def crafted(content: Callable[[], Any], storage: bytes = b"\0" * 16) -> Writer:
    """A torch file whose tensors lie."""
    return lambda folder, _: torch_zip(folder / "w.pt", {"weight": content(), "bias": tensor(2, 0, (2,), (1,))}, storage=storage)


def raw(data: bytes, name: str = "w.pt") -> Writer:
    """A torch file around a pickle written op by op."""
    return lambda folder, _: torch_zip(folder / name, data=data)


def legacy_tar(folder: Path, canary: Path) -> Path:
    """The tar format of torch 0.1: three pickles."""
    bad = pickle.dumps(call_eval(canary), 2)
    with tarfile.open(folder / "w.pt", "w") as archive:
        for name in ("sys_info", "storages", "tensors", "pickle"):
            member = tarfile.TarInfo(name)
            member.size = len(bad)
            archive.addfile(member, io.BytesIO(bad))
    return folder / "w.pt"


def polyglot(folder: Path, canary: Path) -> Path:
    """A pickle that runs, with an innocent torch zip behind it: what it is depends on who looks."""
    torch.save({"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}, folder / "good.pt")
    return written(folder / "w.pt", pickle.dumps(call_eval(canary), 2) + (folder / "good.pt").read_bytes())


def two_pickles(folder: Path, canary: Path) -> Path:
    """Two entries of the same name: an innocent one first, as a scanner may see it, and another behind."""
    path = torch_zip(folder / "w.pt", {"weight": tensor(4, 0, (2, 2), (2, 1))})
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings(action="ignore"):
        archive.writestr("archive/data.pkl", pickled({"weight": call_eval(canary)}))
    return path


def torchscript(folder: Path, canary: Path) -> Path:
    """An archive that torch would hand to the TorchScript loader, which runs code."""
    path = torch_zip(folder / "w.pt", {"weight": call_eval(canary)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/constants.pkl", pickled(()))
        archive.writestr("archive/code/__torch__.py", "def forward(self):\n  return self\n")
    return path


def object_array(folder: Path, canary: Path) -> Path:
    """A numpy array of objects, which numpy unpickles when asked to."""
    np.save(folder / "w.npy", np.array([call_eval(canary)], dtype=object), allow_pickle=True)
    return (folder / "w.npy").rename(folder / "w.pt")


def zip_bomb(folder: Path, _: Path) -> Path:
    """A storage of zeros that unpacks to a thousand times its size."""
    return torch_zip(folder / "w.pt", {"weight": tensor(1 << 26, 0, (1 << 26,), (1,))}, storage=bytes(1 << 28), compressed=True)


def shared_tuples(depth: int) -> bytes:
    """A tuple of a tuple of ... of two, as a key: tiny, and hashing it takes 2 ** depth steps."""
    twice = b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(depth))
    return b"\x80\x02}" + b"K\x01" + twice + b"K\x01s."


PICKLES: dict[str, Case] = {
    **{f"torch.save: {name}": Case(saved(lambda c, p=payload: {"weight": p(c)}), live=True) for name, payload in PAYLOADS.items()},
    "nested deep": Case(saved(lambda c: {"state_dict": collections.OrderedDict(a=[{"b": (call_eval(c),)}])}), live=True),
    "as a key": Case(saved(lambda c: {Call(str, call_eval(c)): 1}), live=True),
    "in an attribute": Case(saved(lambda c: _with_attribute(c)), live=True),
    "inside a parameter": Case(
        saved(lambda c: Call(torch._utils._rebuild_parameter, call_eval(c), True, collections.OrderedDict())), live=True
    ),
    "by way of an allowed function": Case(
        saved(lambda c: Call(torch._tensor._rebuild_from_type_v2, eval, torch.Tensor, (touch(c),), {})), live=True
    ),
    "legacy torch format": Case(saved(lambda c: {"weight": call_eval(c)}, _use_new_zipfile_serialization=False), live=True),
    "legacy tar": Case(legacy_tar, live=True),
    "zip polyglot": Case(polyglot, live=True),
    "two pickles of one name": Case(two_pickles),
    "torchscript": Case(torchscript),
    "numpy objects": Case(object_array),
    **{f"pickle protocol {p}": Case(plain_pickle(p), live=True) for p in (0, 2, 4, 5)},
    "pickle called .safetensors": Case(plain_pickle(4, "w.safetensors")),
    "torch file called .safetensors": Case(saved(lambda c: {"weight": call_eval(c)}, "w.safetensors")),
    "pickle called .bin": Case(plain_pickle(2, "w.bin"), live=True),
}


def _with_attribute(canary: Path) -> Any:
    state = collections.OrderedDict(weight=torch.zeros(2, 2))
    state._metadata = call_eval(canary)
    return state


# ---------------------------------------------------------------- lies about size and place

MEMORY: dict[str, Case] = {
    "offset past the end": Case(crafted(lambda: tensor(4, 1_000_000, (2, 2), (2, 1)))),
    "negative offset": Case(crafted(lambda: tensor(4, -4, (2, 2), (2, 1)))),
    "negative size": Case(crafted(lambda: tensor(4, 0, (-2, 2), (2, 1)))),
    "negative stride": Case(crafted(lambda: tensor(4, 0, (2, 2), (-2, -1)))),
    "stride past the end": Case(crafted(lambda: tensor(4, 0, (2, 2), (1 << 40, 1)))),
    "2^60 elements": Case(crafted(lambda: tensor(HUGE, 0, (HUGE,), (1,)))),
    "2^60 elements of one number": Case(crafted(lambda: tensor(4, 0, (HUGE,), (0,)))),
    "sizes whose product overflows": Case(crafted(lambda: tensor(4, 0, (1 << 32, 1 << 32), (1, 1)))),
    "storage shorter than it says": Case(crafted(lambda: tensor(1_000_000, 0, (2, 2), (2, 1)), storage=b"\0" * 4)),
    "storage that is not there": Case(crafted(lambda: tensor(4, 0, (2, 2), (2, 1), key="7"))),
    "storage outside the archive": Case(crafted(lambda: tensor(4, 0, (2, 2), (2, 1), key="../../../../etc/passwd"))),
    "a constructor asked for 2^40 numbers": Case(crafted(lambda: Call(torch.FloatTensor, 1 << 40))),
    "a byte array of 2^40": Case(crafted(lambda: Call(bytearray, 1 << 40))),
    "no numbers at all (meta)": Case(
        crafted(lambda: Call(torch._utils._rebuild_meta_tensor_no_storage, torch.float32, (2, 2), (2, 1), False))
    ),
    "sparse indices out of range": Case(
        crafted(
            lambda: Call(
                torch._utils._rebuild_sparse_tensor,
                torch.sparse_coo,
                (torch.tensor([[0, 9], [0, 9]]), torch.ones(2), (2, 2), True),
            )
        )
    ),
    "zip bomb": Case(zip_bomb),
    "a string of 2^62": Case(raw(b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b"a.")),
    "bytes of 2^31": Case(raw(b"\x80\x03B" + struct.pack("<I", (1 << 31) - 1) + b"a.")),
    "a pickle that ends early": Case(raw(b"\x80\x02}q\x00X\x06\x00\x00\x00wei")),
    "a pickle of marks": Case(raw(b"\x80\x02" + b"(" * 100_000 + b".")),
    "nested a hundred thousand times": Case(raw(b"\x80\x02)" + b"\x85" * 100_000 + b".")),
    "a key that takes 2^60 steps to hash": Case(raw(shared_tuples(60))),
    "not a pickle": Case(raw(bytes(range(256)))),
    "empty": Case(lambda folder, _: written(folder / "w.pt", b"")),
    "half a file": Case(lambda folder, canary: _half(saved(lambda _: {"weight": torch.zeros(1000)})(folder, canary))),
}


def _half(path: Path) -> Path:
    return written(path, path.read_bytes()[: path.stat().st_size // 2])


# ---------------------------------------------------------------- safetensors


def safe(header: Any, data: bytes = b"\0" * 16, length: int | None = None) -> Writer:
    """A safetensors file with any header (JSON, or bytes as they are), any stated header length, any data."""

    def write(folder: Path, _: Path) -> Path:
        head = header if isinstance(header, bytes) else json.dumps(header).encode()
        return written(folder / "w.safetensors", struct.pack("<Q", len(head) if length is None else length) + head + data)

    return write


def entry(dtype: str = "F32", shape: Any = (2, 2), offsets: Any = (0, 16)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def swollen(folder: Path, _: Path) -> Path:
    """A header that says it is 2 GB long, in a file that is (sparse) 2 GB long."""
    path = written(folder / "w.safetensors", struct.pack("<Q", 1 << 31) + b"{")
    os.truncate(path, (1 << 31) + 8)
    return path


SAFETENSORS: dict[str, Case] = {
    "header of 2^63": Case(safe({"weight": entry()}, length=1 << 63)),
    "header of 2^64-1": Case(safe({"weight": entry()}, length=(1 << 64) - 1)),
    "header longer than the file": Case(safe({"weight": entry()}, length=10_000)),
    "header of 2 GB": Case(swollen),
    "header that is no JSON": Case(safe(b"{'weight': __import__('os').system('true')}")),
    "header that is no text": Case(safe(b"\xff\xfe{}")),
    "header nested deep": Case(safe(b'{"a":' * 50_000 + b"1" + b"}" * 50_000)),
    "header that is a list": Case(safe([entry()])),
    "negative offsets": Case(safe({"weight": entry(offsets=(-16, 0))})),
    "offsets past the end": Case(safe({"weight": entry(offsets=(1_000_000, 1_000_016))})),
    "offsets the wrong way round": Case(safe({"weight": entry(offsets=(16, 0))})),
    "overlapping offsets": Case(safe({"weight": entry(), "bias": entry(shape=(2,), offsets=(8, 16))})),
    "a hole between tensors": Case(safe({"weight": entry(shape=(2,), offsets=(0, 8)), "bias": entry(shape=(1,), offsets=(12, 16))})),
    "shape of 2^60": Case(safe({"weight": entry(shape=(HUGE,))})),
    "shape whose product overflows": Case(safe({"weight": entry(shape=(1 << 32, 1 << 32, 1 << 32))})),
    "negative shape": Case(safe({"weight": entry(shape=(-2, -2))})),
    "a type that names a class": Case(safe({"weight": entry(dtype="os.system")})),
    "metadata that is no text": Case(safe({"__metadata__": {"a": {"b": 1}}, "weight": entry()})),
    "trailing bytes": Case(safe({"weight": entry()}, data=b"\0" * 64)),
    "safetensors of nothing": Case(lambda folder, _: written(folder / "w.safetensors", b"")),
    "a text": Case(lambda folder, canary: written(folder / "w.safetensors", touch(canary))),
    "tensors of another model": Case(lambda folder, _: _other_model(folder)),
}


def _other_model(folder: Path) -> Path:
    safetensors.torch.save_file({"weight": torch.zeros(3, 2), "bias": torch.zeros(2)}, folder / "w.safetensors")
    return folder / "w.safetensors"


# ---------------------------------------------------------------- things that are no files


def fifo(folder: Path, _: Path) -> Path:
    """Opening it waits for ever."""
    os.mkfifo(folder / "w.safetensors")
    return folder / "w.safetensors"


def device(folder: Path, _: Path) -> Path:
    """Reading it never ends."""
    (folder / "w.safetensors").symlink_to("/dev/zero")
    return folder / "w.safetensors"


PLACES: dict[str, Case] = {
    "a pipe": Case(fifo),
    "an endless device": Case(device),
    "a folder": Case(lambda folder, _: folder),
    "nothing": Case(lambda folder, _: folder / "none.safetensors"),
}

WEIGHTS: dict[str, Case] = {**PICKLES, **MEMORY, **SAFETENSORS, **PLACES}

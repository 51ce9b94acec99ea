"""Any nesting of dicts, lists, numbers, strings and tensors as JSON plus named tensors, and back. Data only: nothing is ever executed."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import torch
from torch import Tensor

_MARK = "$"
"""Objects with a key that begins so stand for something JSON has no word for."""


def pack(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """The tree with each tensor replaced by a reference, and the tensors by name.

    A tensor met twice (tied weights) is stored once. Raises TypeError, naming the place, for what is neither.
    """
    tensors: dict[str, Tensor] = {}
    seen: dict[tuple[Any, ...], str] = {}
    memory: set[int] = set()

    def store(node: Tensor, place: str) -> str:
        while place in tensors:  # {"a": {"b": ...}} and {"a.b": ...} are two places with one name
            place += "'"
        plain = node.detach().cpu().contiguous()
        where = plain.untyped_storage().data_ptr()
        tensors[place] = plain.clone() if where in memory else plain  # the file format refuses tensors that share memory
        memory.add(where)
        return place

    def walk(node: Any, place: str) -> Any:
        if isinstance(node, Tensor):
            if not node.numel():
                return {"$tensor": store(node, place)}
            same = (node.data_ptr(), node.shape, node.stride(), node.dtype, node.device)
            if same not in seen:
                seen[same] = store(node, place)
            return {"$tensor": seen[same]}
        if isinstance(node, dict):
            if all(isinstance(k, str) and not k.startswith(_MARK) for k in node):
                return {k: walk(v, f"{place}.{k}" if place else k) for k, v in node.items()}
            return {"$pairs": [[walk(k, place), walk(v, f"{place}.{k}")] for k, v in node.items()]}
        if isinstance(node, tuple):
            return {"$tuple": [walk(v, f"{place}.{i}") for i, v in enumerate(node)]}
        if isinstance(node, list):
            return [walk(v, f"{place}.{i}") for i, v in enumerate(node)]
        if isinstance(node, float) and not math.isfinite(node):
            return {"$float": repr(node)}
        if node is None or isinstance(node, bool | int | float | str):
            return node
        raise TypeError(f"{place or 'the state'} is a {type(node).__name__}; only dicts, lists, numbers, strings and tensors can be saved")

    return walk(tree, ""), tensors


def unpack(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """The tree that `pack` took apart."""
    if isinstance(tree, list):
        return [unpack(v, tensors) for v in tree]
    if not isinstance(tree, dict):
        return tree
    match next(iter(tree), None):
        case "$tensor":
            return tensors[tree["$tensor"]]
        case "$pairs":
            return {unpack(k, tensors): unpack(v, tensors) for k, v in tree["$pairs"]}
        case "$tuple":
            return tuple(unpack(v, tensors) for v in tree["$tuple"])
        case "$float":
            return float(tree["$float"])
    return {k: unpack(v, tensors) for k, v in tree.items()}


def strict_json(tree: Any, *, readable: bool = True, indent: int | None = None) -> str:
    """JSON that every reader takes: "NaN" and "Infinity", which Python would write, are no JSON.

    Args:
        tree: dicts, lists, numbers and strings; arrays become lists.
        readable: whether `restore_floats` shall find such numbers again (then they are objects); else they are null, as tables have it.
        indent: blanks by which to set in nested lines; None for one line.
    """

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: walk(v) for k, v in node.items()}
        if isinstance(node, list | tuple):
            return [walk(v) for v in node]
        if isinstance(node, float) and not math.isfinite(node):
            return {"$float": repr(float(node))} if readable else None
        return walk(node.tolist()) if hasattr(node, "tolist") and not isinstance(node, float) else node

    return json.dumps(walk(tree), indent=indent, allow_nan=False)


def restore_floats(node: dict[str, Any]) -> Any:
    """For `json.loads(..., object_hook=restore_floats)`: the numbers that `strict_json` wrote as objects."""
    return float(node["$float"]) if node.keys() == {"$float"} and node["$float"] in ("nan", "inf", "-inf") else node


def nbytes(tree: Any) -> int:
    """Bytes of all tensors in a tree, tied ones once."""
    _, tensors = pack(tree)
    return sum(t.numel() * t.element_size() for t in tensors.values())


def digest(tree: Any) -> str:
    """SHA-256 of a tree: the same for the same structure, numbers and bits, whether or not tensors in it are one in memory."""
    total = hashlib.sha256()

    def walk(node: Any) -> None:
        if isinstance(node, Tensor):
            plain = node.detach().cpu().contiguous()
            total.update(f"{plain.dtype} {tuple(plain.shape)}".encode())
            total.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(node, dict):
            total.update(f"dict {len(node)}".encode())
            for key, value in node.items():
                total.update(repr(key).encode())
                walk(value)
        elif isinstance(node, list | tuple):
            total.update(f"{type(node).__name__} {len(node)}".encode())
            for value in node:
                walk(value)
        else:
            total.update(repr(node).encode())

    walk(tree)
    return total.hexdigest()


def clone(tree: Any) -> Any:
    """A deep copy whose tensors share nothing with the original's."""
    if isinstance(tree, Tensor):
        return tree.detach().clone()
    if isinstance(tree, dict):
        return {k: clone(v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(clone(v) for v in tree)
    return tree


def finite(tree: Any) -> bool:
    """Whether every floating tensor of a tree is finite."""
    _, tensors = pack(tree)
    return all(bool(torch.isfinite(t).all()) for t in tensors.values() if t.is_floating_point())

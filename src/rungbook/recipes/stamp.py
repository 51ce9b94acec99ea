"""What a measured figure depends on, as short hashes: equal as long as the recipe still is what was measured.

Settings that change no result (seed, threads, device, ...) are left out, so are comments, docstrings, annotations and the way code is laid
out. What is hashed of code is its syntax tree, which Python 3.11 to 3.13 give alike; its bytecode or its tokens they do not. Of rungbook
itself (Learner, models, data) nothing is hashed: that it still gives the same figures is what measuring again shows.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rungbook.data.worlds.registry import is_world, make_world
from rungbook.recipes.settings import Settings

NO_RESULT = frozenset({"seed", "seeds", "device", "threads", "workers", "checkpoint_seconds"})
"""Fields that say how often, where and how fast, not what."""
NEUTRAL = frozenset(
    {
        "name",
        "listed",
        "options",
        "promise",
        "covers",
        "real",
        "reported",
        "full",
        "fits",
        "timed",
        "alone",
        "headline",
        "paint",
        "remarks",
        "together",
        "closing",
    }
)
"""Class variables and methods that say something of a result and take no part in it."""
FRAMEWORK = frozenset(f"rungbook.recipes.{name}" for name in ("settings", "recipe", "study", "contrast"))
"""Modules of the classes that all recipes share."""
BOOK = "rungbook.recipes.book"
"""Package whose modules belong to the recipes: what a recipe takes from another of them is followed there."""
DIGITS = 16
"""Hexadecimal digits kept of a SHA-256: 64 bits, for telling changes, not for warding off forgers."""

Stamp = dict[str, str]
"""What -> its hash: settings, code, world, and each class variable of the recipe's own."""


def counted(recipe: Settings) -> dict[str, Any]:
    """The settings that can change a result, as JSON; those that are off (None, False, empty) are left out.

    So that a later switch, off by default, changes nothing here, while one that is turned on or off does.
    """
    kept = {k: v for k, v in recipe.settings().items() if k not in NO_RESULT and not (v is None or v is False or v in ("", ()))}
    return json.loads(json.dumps(kept, default=str))


def stamp(recipe: Settings) -> Stamp:
    """The hashes of a recipe with its settings."""
    cls = type(recipe)
    parts = {"settings": digest(counted(recipe)), "code": code_hash(cls)}  # type: ignore[arg-type]  # mypy asks the instances of a class whether the class is hashable
    own = class_variables(cls)
    parts |= {name: digest(plain(value)) for name, value in own.items()}
    variants = getattr(cls, "variants", {}).values()
    worlds = {str(d) for d in (recipe.data, *(v.get("data", "") for v in variants if isinstance(v, dict))) if is_world(d)}
    if worlds:
        parts["world"] = digest([world_facts(w) for w in sorted(worlds)])
    return parts


def changed(before: Stamp, settings: dict[str, Any], recipe: Settings) -> list[str]:
    """What of a recipe is no longer as it was measured, in words; nothing if all is.

    Args:
        before: its stamp then.
        settings: what `counted` gave then.
        recipe: as it is now.
    """
    now = stamp(recipe)
    said = []
    for part in dict.fromkeys([*before, *now]):
        if before.get(part) == now.get(part):
            continue
        if part == "settings":
            today = counted(recipe)
            keys = [k for k in dict.fromkeys([*settings, *today]) if settings.get(k) != today.get(k)]
            said += [f"{k} was {_shown(settings.get(k))}, is {_shown(today.get(k))}" for k in keys] or ["its settings"]
        else:
            said.append({"code": "its code", "world": "the parameters of its world"}.get(part, part))
    return said


def _shown(value: Any) -> str:
    return "off" if value is None else ",".join(map(str, value)) if isinstance(value, list) else str(value)


def digest(value: Any) -> str:
    """A hash of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:DIGITS]


def plain(value: Any) -> Any:
    """A value as JSON that is the same in every process: functions and classes by name, never by address."""
    if isinstance(value, dict):
        return [[plain(k), plain(v)] for k, v in value.items()]
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, map(plain, value)))
    if value is None or isinstance(value, str | int | float):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, plain({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})]
    return getattr(value, "__qualname__", type(value).__qualname__)


def world_facts(name: str) -> Any:
    """A world's parameters, defaults included: `str` names only those that differ from them."""
    world = make_world(name)
    return [str(world), plain(world)]


def own_classes(cls: type[Settings]) -> list[type]:
    """The classes a recipe is made of, without those all recipes share."""
    return [c for c in cls.__mro__ if c.__module__ not in FRAMEWORK and c.__module__ not in ("builtins", "abc", "typing")]


def class_variables(cls: type[Settings]) -> dict[str, Any]:
    """The recipe's own class variables that take part in its result, as `variants`, by name."""
    fields = {f.name for f in dataclasses.fields(cls)}
    names = {
        name
        for owner in own_classes(cls)
        for name, value in vars(owner).items()
        if name not in fields | NEUTRAL and not name.startswith("__") and not _is_code(value)
    }
    return {name: getattr(cls, name) for name in sorted(names - {"_abc_impl"})}


def _is_code(value: Any) -> bool:
    return inspect.isroutine(value) or isinstance(value, type | property | staticmethod | classmethod)


@cache
def code_hash(cls: type[Settings]) -> str:
    """Hash of a recipe's methods and of what they use of its module, or of another of the book's."""
    trees: list[Any] = []
    waiting: list[tuple[str, str]] = []
    for owner in own_classes(cls):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        except (OSError, TypeError, SyntaxError, IndexError):
            continue  # typed in at a prompt: there is no source to compare
        assert isinstance(body, ast.ClassDef)
        methods = _kept(body)
        trees.append([owner.__name__, [canonical(m) for m in methods if not _is_variable(m)]])
        waiting += [(owner.__module__, name) for m in methods for name in names_in(m)]
        waiting += [at for m in methods for at in imported([m], owner.__module__).values()]
    met = {(owner.__module__, owner.__name__) for owner in own_classes(cls)}
    while waiting:
        at = waiting.pop()
        if at in met:
            continue
        met.add(at)
        module, name = at
        definitions, imports = module_parts(module)
        if name in definitions:
            node = definitions[name]
            trees.append([name, canonical(node)])
            waiting += [(module, n) for n in names_in(node)]
            waiting += list(imported([node], module).values())
        elif name in imports:
            waiting.append(imports[name])
    return digest(sorted(trees, key=json.dumps))


def _kept(body: ast.ClassDef) -> list[ast.stmt]:
    """The statements of a class that take part in its result."""
    return [s for s in body.body if not (set(_defined(s)) & NEUTRAL) and not _is_text(s)]


def _is_variable(statement: ast.stmt) -> bool:
    """Whether it sets a field or class variable: these are compared by value."""
    return isinstance(statement, ast.Assign | ast.AnnAssign)


def _is_text(statement: Any) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)


def _defined(statement: ast.stmt) -> list[str]:
    """Names a statement binds."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target] if isinstance(statement, ast.AnnAssign) else []
    return [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]


def names_in(node: ast.AST) -> Iterator[str]:
    """Names a piece of code reads, annotations excepted."""
    if isinstance(node, ast.Name):
        yield node.id
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from names_in(child)


def imported(nodes: list[Any], module: str) -> dict[str, tuple[str, str]]:
    """Name -> (module, name there) of what is imported from the book anywhere in the code."""
    found: dict[str, tuple[str, str]] = {}
    for node in (n for top in nodes for n in ast.walk(top) if isinstance(n, ast.ImportFrom)):
        if not node.level and (node.module or "").startswith(BOOK):
            found |= {a.asname or a.name: (str(node.module), a.name) for a in node.names}
    return found


@cache
def module_parts(module: str) -> tuple[dict[str, ast.stmt], dict[str, tuple[str, str]]]:
    """What a module defines at its top, by name, and what it imports from the book."""
    try:
        if module not in sys.modules:  # recipes are loaded when they are asked for, and what was loaded before must change no stamp
            spec = find_spec(module)
            tree = ast.parse(Path(str(spec and spec.origin)).read_text(encoding="utf-8"))
        else:
            tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError, ImportError, SyntaxError):
        return {}, {}
    return {name: s for s in tree.body for name in _defined(s)}, imported([s for s in tree.body if isinstance(s, ast.ImportFrom)], module)


def _joined(node: ast.JoinedStr) -> list[Any]:
    """The parts of an f-string with neighbouring texts as one: Python 3.12 keeps them apart."""
    parts: list[Any] = []
    for part in node.values:
        text = part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else None
        if text is None:
            parts.append(canonical(part))
        elif parts and isinstance(parts[-1], str):
            parts[-1] += text
        elif text:
            parts.append(text)
    return parts


SILENT = frozenset({"annotation", "returns", "ctx", "type_comment", "type_params", "kind", "simple"})
"""Fields of the syntax tree without effect on a result, or not in every Python."""


def canonical(node: Any) -> Any:
    """A syntax tree as JSON: without docstrings and annotations, the same on every Python."""
    if isinstance(node, ast.ClassDef):
        return ["ClassDef", node.name, [canonical(b) for b in node.bases], [canonical(s) for s in _kept(node)]]
    if isinstance(node, ast.JoinedStr):
        return ["JoinedStr", _joined(node)]
    if isinstance(node, ast.AST):
        fields = {k: canonical(v) for k, v in ast.iter_fields(node) if k not in SILENT}
        return [type(node).__name__, {k: v for k, v in fields.items() if v not in (None, [], "None")}]
    if isinstance(node, list):
        return [canonical(n) for n in node if not _is_text(n)]
    return repr(node)


__all__ = ["Stamp", "changed", "counted", "stamp"]

"""By syntax tree: nothing in the library can run code that a file or an answer holds.

No pickle and its kin, no eval, exec or compile, no `torch.load` without `weights_only=True`, no yaml.load, no shell, no unchecked
unpacking, no look-ups by name in `globals()`, no import of a module that a file names.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from trees import parsed

UNPICKLING = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib", "jsonpickle", "code", "codeop"}
"""Modules that turn bytes into code or objects of any class."""

CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "pd.read_pickle",
    "pandas.read_pickle",
    "torch.hub.load",
    "torch.jit.load",
    "torch.package.PackageImporter",
    "torch.serialization.add_safe_globals",
    "builtins.eval",
    "builtins.exec",
    "shutil.unpack_archive",
}
"""Calls that run or load code; `re.compile`, `torch.compile` and `model.eval()` are other things."""

ALLOWED = {
    ("__init__.py", "globals"): "the cache of lazily resolved names (PEP 562)",
    ("__init__.py", "import_module"): "the modules stand in its own table",
    ("book/pages.py", "import_module"): "the modules stand in its own table",
    ("book/walk.py", "compile"): "lessons are code that comes with rungbook, found by number or name among its own files",
    ("book/walk.py", "exec"): "as above",
    ("book/walk.py", "the builtin exec"): "as above",
    ("data/encoders.py", "import_module"): "the modules stand in its own table; a file names a key of it",
    ("data/named.py", "import_module"): "the modules stand in the registries of data sets",
    ("data/worlds/registry.py", "import_module"): "the modules stand in its own table",
    ("models/entry.py", "import_module"): "the modules stand in its own table; a file names a key of it",
    ("recipes/places.py", "import_module"): "the modules stand in its own table; a run's record names a key of it",
    ("recipes/mine.py", "exec_module"): "the user's own file, named on the command line; a run's record cannot name one (test_mine)",
}
"""(file, call) -> reason."""


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an expression, "" if it is none."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def keyword(call: ast.Call, name: str) -> object:
    """The constant given for a keyword argument, None if it is not given or not a constant."""
    return next((k.value.value for k in call.keywords if k.arg == name and isinstance(k.value, ast.Constant)), None)


def call_problem(call: ast.Call) -> str:
    """Why a call is not allowed, "" if it is."""
    name = dotted(call.func)
    last = name.rsplit(".", 1)[-1] or getattr(call.func, "attr", "")
    if name in CALLS:
        return name
    if name == "torch.load" and keyword(call, "weights_only") is not True:
        return "torch.load without weights_only=True"
    if last == "load" and name.split(".")[0] in ("np", "numpy") and keyword(call, "allow_pickle") is not False:
        return "numpy.load without allow_pickle=False"
    if keyword(call, "allow_pickle") is True:
        return "allow_pickle=True"
    if keyword(call, "trust_remote_code") is True:
        return "trust_remote_code=True"
    if any(k.arg == "shell" and not (isinstance(k.value, ast.Constant) and k.value.value is False) for k in call.keywords):
        return "shell=True"
    if last in ("extractall", "extract") and keyword(call, "filter") != "data":
        return f"{last} without filter='data'"
    if last == "import_module" and not (call.args and isinstance(call.args[0], ast.Constant)):
        return "import_module"
    if last == "exec_module":
        return "exec_module"
    return "globals" if name == "globals" else ""


def problems(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what) for each thing in a module that could run code from outside."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from ((node.lineno, f"import {n}") for n in names if n.split(".")[0] in UNPICKLING or n == "torch.package")
            if isinstance(node, ast.ImportFrom) and node.module == "torch":
                yield from ((node.lineno, "from torch import load: write torch.load") for a in node.names if a.name == "load")
        elif isinstance(node, ast.Call) and (problem := call_problem(node)):
            yield node.lineno, problem
        elif isinstance(node, ast.Name | ast.Attribute) and dotted(node) in ("eval", "exec", "builtins.eval", "builtins.exec"):
            yield node.lineno, f"the builtin {dotted(node)}"


def test_the_library_runs_no_code_from_outside(checkout: Path) -> None:
    found = []
    src = checkout / "src" / "rungbook"
    for path in sorted(src.rglob("*.py")):
        where = path.relative_to(src).as_posix()
        found += [f"{where}:{line} {what}" for line, what in problems(parsed(path)) if (where, what) not in ALLOWED]
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "def f():\n    from pickle import loads",
        "import dill as d",
        "eval('1')",
        "f = exec",
        "compile('1', 'f', 'exec')",
        "__import__(name)",
        "import torch\ntorch.load(p)",
        "import torch\ntorch.load(p, weights_only=False)",
        "import torch\ntorch.load(p, weights_only=flag)",
        "from torch import load",
        "import numpy as np\nnp.load(p)",
        "np.load(p, allow_pickle=True)",
        "yaml.load(text)",
        "pd.read_pickle(p)",
        "torch.hub.load('a/b', 'c')",
        "torch.serialization.add_safe_globals([A])",
        "subprocess.run(line, shell=True)",
        "subprocess.run(line, shell=flag)",
        "os.system('ls')",
        "archive.extractall(folder)",
        "tarfile.open(p).extractall(folder, filter='fully_trusted')",
        "zipfile.ZipFile(p).extract(m, folder)",
        "importlib.import_module(config['module'])",
        "spec.loader.exec_module(module)",
        "globals()[name]",
        "AutoModel.from_pretrained(p, trust_remote_code=True)",
    ],
)
def test_what_would_run_code_is_seen(code: str) -> None:
    assert list(problems(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "model.eval()",
        "re.compile('a')",
        "torch.compile(model)",
        "torch.load(p, map_location='cpu', weights_only=True)",
        "np.load(p, allow_pickle=False)",
        "tar.extractall(folder, filter='data')",
        "importlib.import_module('tqdm.auto')",
        "ast.literal_eval(text)",
        "subprocess.run(['git'], shell=False)",
    ],
)
def test_what_is_harmless_passes(code: str) -> None:
    assert not list(problems(ast.parse(code)))

"""The files around the code: README's commands, dependencies and their reasons, exact versions, no machine's paths, skips with reasons."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from trees import parsed

MACHINE_PATH = re.compile(r"(?<![\w.$}~:/-])/(?:work|root|home/[a-z]\w*|opt|Users/\w+|mnt)(?:/|\b)")
"""An absolute path that only exists on somebody's machine."""
ITS_OWN = {"tests/structure/test_repository.py"}
SETUP = ("pip install -c constraints.txt -e . && rung train digits", 'pip install -c constraints.txt -e ".[test]" && pytest')


def tracked(checkout: Path) -> list[Path]:
    if not (checkout / ".git").exists():
        pytest.skip("not a git checkout: which files are tracked is unknown")
    listed = subprocess.run(["git", "-C", str(checkout), "ls-files", "-z"], capture_output=True, check=True, text=True).stdout
    return [checkout / name for name in listed.split("\0") if name and (checkout / name).is_file()]


def normal(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


@pytest.fixture(scope="module")
def project(checkout: Path) -> dict:
    return tomllib.loads((checkout / "pyproject.toml").read_text())["project"]


def test_readme_has_exactly_two_setup_commands(checkout: Path) -> None:
    lines = (checkout / "README.md").read_text().splitlines()
    assert [line for line in lines if line.startswith("pip install")] == list(SETUP)
    assert any("CPU build" in line and "pytorch.org" in line for line in lines[: lines.index(SETUP[0])])


def test_every_core_dependency_has_its_reason(checkout: Path, project: dict) -> None:
    reasons = dict(re.findall(r"^- ([\w-]+): (.+)$", (checkout / "CHANGELOG.md").read_text(), re.MULTILINE))
    core = {normal(d) for d in project["dependencies"]}
    assert core == set(reasons), "CHANGELOG.md gives a reason for each core dependency, and for nothing else"


def test_every_direct_dependency_has_an_exact_version(checkout: Path, project: dict) -> None:
    pins = [line for line in (checkout / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[\w.+!]+", p) for p in pins), "one name==version a line"
    names = [normal(p) for p in pins]
    assert len(set(names)) == len(names)
    wanted = {normal(d) for group in (project["dependencies"], *project["optional-dependencies"].values()) for d in group} - {"rungbook"}
    assert wanted <= set(names), f"add {sorted(wanted - set(names))} to constraints.txt"
    assert "torchvision" not in names


def test_no_machine_path_in_any_tracked_file(checkout: Path) -> None:
    found = []
    for path in tracked(checkout):
        name = path.relative_to(checkout).as_posix()
        data = path.read_bytes()
        if name in ITS_OWN or b"\0" in data[:4096]:
            continue
        for number, line in enumerate(data.decode().splitlines(), 1):
            if MACHINE_PATH.search(line):
                found.append(f"{name}:{number} {line.strip()[:80]}")
    assert not found


@pytest.mark.parametrize("text", ["/work/data", "open('/root/x')", "/home/anna/p", "see /opt/venv", "PATH=/opt/x"])
def test_a_machine_path_is_seen(text: str) -> None:
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize("text", ["src/work/x", "https://example.org/opt/x", "$HOME/opt/x", "../shared/work", "a/root"])
def test_other_paths_are_not(text: str) -> None:
    assert not MACHINE_PATH.search(text)


def skips_without_reason(tree: ast.AST) -> list[int]:
    """Lines that skip a test and do not say why."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            reason = next((k.value for k in node.keywords if k.arg == "reason"), None)
            if name == "pytest.skip" and not (node.args or reason):
                lines.append(node.lineno)
            if name in ("pytest.mark.skipif", "pytest.mark.skip", "pytest.mark.xfail") and reason is None:
                lines.append(node.lineno)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            lines += [d.lineno for d in node.decorator_list if ast.unparse(d) in ("pytest.mark.skip", "pytest.mark.xfail")]
    return lines


def test_every_skip_says_why(checkout: Path) -> None:
    found = {p.name: lines for p in (checkout / "tests").rglob("*.py") if (lines := skips_without_reason(parsed(p)))}
    assert not found
    assert skips_without_reason(
        ast.parse("@pytest.mark.skip\ndef test_a(): ...\n@pytest.mark.skipif(True)\ndef test_b():\n    pytest.skip()")
    )


def test_the_ci_script_is_executable_and_runs_readmes_commands(checkout: Path) -> None:
    script = checkout / ".ci" / "run"
    assert script.stat().st_mode & 0o100
    text = script.read_text()
    assert "set -euo pipefail" in text
    assert all(f"'{command}'" in text for command in SETUP)

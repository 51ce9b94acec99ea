"""Lessons in JupyterLab as a user has them: rungbook from its wheel, an empty folder, a browser, "Run All Cells"."""

from __future__ import annotations

import hashlib
import json
import os
import site
import socket
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rungbook.book.lesson import Lesson, lessons

pytestmark = pytest.mark.timeout(1800)
TOKEN = "only-this-test"
LONGEST = 900
"""Seconds after which a notebook is given up: no budget, those are for the processor's time."""
SHORT = next(lesson for lesson in lessons() if lesson.name == "01_tensors")
SETTLED = """() => {
    const panel = window.jupyterapp.shell.currentWidget;
    const cells = [...panel.content.model.cells].filter(cell => cell.type === 'code' && cell.sharedModel.getSource().trim());
    const failed = cells.some(cell => cell.outputs.toJSON().some(output => output.output_type === 'error'));
    const idle = panel.sessionContext.session?.kernel?.status === 'idle';
    return idle && (failed || cells.every(cell => cell.executionCount !== null));
}"""
"""Nothing runs any more: an error, or a number at every cell."""
COPY = """
import json, sys
from pathlib import Path
from rungbook.book.lesson import find
from rungbook.book.notebook import copy_for
for name in sys.argv[1:]:
    Path(name).mkdir()
    assert copy_for(find(name), Path(name)) == (Path(name) / f"{name}.ipynb", None)
"""


@dataclass
class Lab:
    """A JupyterLab of an environment that has rungbook from its wheel.

    Args:
        root: of everything it may write.
        python: the environment's.
        browser: opens the notebooks.
    """

    root: Path
    python: Path
    browser: Any
    address: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where the user works."""
        return self.root / "work"

    def copy(self, *names: str) -> None:
        """What `rung lesson NAME --open` copies, each into an empty folder of its own."""
        subprocess.run([self.python, "-c", COPY, *names], cwd=self.folder, env=self.environment, check=True)

    def run(self, notebook: str) -> list[dict[str, Any]]:
        """Open a notebook, choose Run > Run All Cells, wait, save; gives its code cells as they are on disk."""
        page = self.browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        try:
            page.goto(f"{self.address}/lab/workspaces/{Path(notebook).stem}/tree/{notebook}?token={TOKEN}")
            page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            page.wait_for_function(SETTLED, timeout=1000 * LONGEST, polling=500)
            page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
            page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
        finally:
            page.close()
            for kernel in self.ask("kernels"):
                self.ask(f"kernels/{kernel['id']}", "DELETE")
        cells = json.loads((self.folder / notebook).read_text(encoding="utf-8"))["cells"]
        return [cell for cell in cells if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]

    def ask(self, what: str, how: str = "GET") -> Any:
        """A question to the server."""
        wanted = urllib.request.Request(f"{self.address}/api/{what}", method=how, headers={"Authorization": f"token {TOKEN}"})
        with urllib.request.urlopen(wanted, timeout=60) as answer:
            said = answer.read()
        return json.loads(said) if said else None

    def files(self) -> set[str]:
        """Everything below the root that is neither the user's folder nor an interpreter's or Jupyter's own."""
        own = (".pyc", ".pyo")
        return {
            f"{path.relative_to(self.root).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}"
            for path in self.root.rglob("*")
            if path.is_file() and path.suffix not in own and path.relative_to(self.root).parts[0] not in ("work", "home")
        }


def installed(checkout: Path, root: Path) -> Path:
    """A new environment with the wheel of this checkout; what rungbook depends on is taken from the running one. Gives its Python."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(root / "wheel")]
    subprocess.run(build, cwd=checkout, check=True, capture_output=True)
    venv.create(root / "env", with_pip=False, symlinks=os.name == "posix")
    python = root / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    (wheel,) = (root / "wheel").iterdir()
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip())
    # folders named in a .pth are searched after the environment's own, and their own .pth files (an editable rungbook) are not read
    (packages / "rest.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    share = root / "env" / "share" / "jupyter"
    share.mkdir(parents=True)
    (share / "lab").symlink_to(Path(sys.prefix) / "share" / "jupyter" / "lab")  # its pages; not kernels, which name the other Python
    return python


@pytest.fixture(scope="module")
def lab(checkout: Path, browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on an empty folder, with a home of its own."""
    root = tmp_path_factory.mktemp("jupyter")
    made = Lab(root, installed(checkout, root), browser)
    for name in ("work", "home"):
        (root / name).mkdir()
    of_others = ("RUNG_", "JUPYTER", "IPYTHON", "XDG_", "MPL", "PYTHON")
    made.environment = {k: v for k, v in os.environ.items() if not k.startswith(of_others)} | {"HOME": str(root / "home")}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made.address = f"http://127.0.0.1:{port}"
    own = [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}", "--expose-app-in-browser"]
    quiet = ["--no-browser", "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    root_may = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with (root / "home" / "server.log").open("w") as log:
        command = [made.python, "-m", "jupyterlab", *own, *quiet, *root_may]
        server = subprocess.Popen(command, cwd=made.folder, env=made.environment, stdout=log, stderr=log)
        try:
            _wait_for(made, server)
            yield made
        finally:
            server.terminate()
            server.wait(60)


def _wait_for(lab: Lab, server: subprocess.Popen[bytes]) -> None:
    """Until the server answers."""
    end = time.monotonic() + 300
    while True:
        try:
            lab.ask("status")
            return
        except OSError:
            assert server.poll() is None, (lab.root / "home" / "server.log").read_text()
            assert time.monotonic() < end, "JupyterLab does not answer"
            time.sleep(0.5)


def wrong_with(cells: list[dict[str, Any]]) -> list[str]:
    """Errors, and cells that did not run."""
    errors = [f"{o['ename']}: {o['evalue']}" for cell in cells for o in cell["outputs"] if o["output_type"] == "error"]
    return errors + ["did not run: " + "".join(cell["source"])[:80] for cell in cells if cell["execution_count"] is None]


def runs(lab: Lab, lesson: Lesson) -> None:
    """The lesson's copy runs to its end and touches nothing but its folder."""
    lab.copy(lesson.name)
    before = lab.files()
    cells = lab.run(f"{lesson.name}/{lesson.name}.ipynb")
    assert not wrong_with(cells)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert lab.files() == before, "the installed package or the environment was written to"
    assert {path.name for path in lab.folder.iterdir()} <= {one.name for one in lessons()} | {".ipynb_checkpoints", "own"}


def own(lab: Lab, name: str, code: str) -> list[dict[str, Any]]:
    """Run a notebook of one cell."""
    cell = {"cell_type": "code", "id": "one", "source": code, "metadata": {}, "outputs": [], "execution_count": None}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    (lab.folder / "own").mkdir(exist_ok=True)
    (lab.folder / "own" / name).write_text(json.dumps({"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    return lab.run(f"own/{name}")


@pytest.mark.lessons
def test_the_kernel_has_rungbook_from_the_wheel(lab: Lab, checkout: Path) -> None:
    (cell,) = own(lab, "where.ipynb", "import os, rungbook\nprint(rungbook.__file__, os.getcwd(), sep='\\n')")
    where, folder = "".join(cell["outputs"][0]["text"]).split()
    assert Path(where).is_relative_to(lab.root / "env")
    assert not Path(where).is_relative_to(checkout)
    assert Path(folder) == lab.folder / "own"


@pytest.mark.lessons
def test_a_cell_that_fails_is_seen(lab: Lab) -> None:
    assert wrong_with(own(lab, "fails.ipynb", "assert 1 + 1 == 3, 'no'")) == ["AssertionError: no"]


@pytest.mark.lessons
def test_a_short_lesson_runs_in_jupyterlab(lab: Lab) -> None:
    runs(lab, SHORT)


@pytest.mark.soak
@pytest.mark.parametrize("lesson", [one for one in lessons() if one != SHORT], ids=lambda lesson: lesson.name)
def test_every_lesson_runs_in_jupyterlab(lesson: Lesson, lab: Lab) -> None:
    runs(lab, lesson)

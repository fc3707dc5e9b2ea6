"""Real kernels, as notebooks run their cells in: started, given cells, and interrupted in the middle of one."""

import contextlib
import os
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import catsdogs

PATIENCE = 120.0  # seconds; nothing here takes as long, unless it hangs

# What the cells of tests begin with. `pause` lets a call of a function wait for a file `go`, or to be interrupted.
_FIRST_CELL = """
import hashlib, os, sys, threading, time
from pathlib import Path
import catsdogs as cd

def pause(module, name, calls=0):
    real = getattr(module, name)
    seen = []
    def waiting(*given, **named):
        seen.append(1)
        if len(seen) > calls:
            setattr(module, name, real)
            Path("paused").touch()
            while not Path("go").exists():
                time.sleep(0.01)
        return real(*given, **named)
    setattr(module, name, waiting)

def working():
    ours = ("loader", "writer", "preparing", "assembling", "openvino", "ThreadPoolExecutor", "Thread-0")
    return sorted(one.name for one in threading.enumerate() if one.name.startswith(ours))
"""


class Shown(NamedTuple):
    """What a cell shows: texts of both streams, what is displayed by its MIME type, and its error in a line."""

    out: str
    err: str
    data: list[dict[str, Any]]
    error: str

    @property
    def html(self) -> str:
        """The HTML of the last value that has one."""
        return next(data["text/html"] for data in reversed(self.data) if "text/html" in data)


class Kernel:
    """A kernel of its own process."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._client = manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=PATIENCE)
        assert not self.run(_FIRST_CELL).error

    @property
    def process(self) -> int:
        return int(self.run("print(os.getpid())").out)

    def work_in(self, folder: Path) -> None:
        """Go to another folder."""
        assert not self.run(f"os.chdir({str(folder)!r})").error

    def run(self, cell: str) -> Shown:
        """Run a cell to its end."""
        return self.started(cell)()

    def started(self, cell: str) -> Callable[[], Shown]:
        """Start a cell, given as indented text; the function waits for its end."""
        request = self._client.execute(textwrap.dedent(cell))
        return lambda: self._shown(request)

    def interrupt(self) -> None:
        """What the button with the black square does."""
        self._manager.interrupt_kernel()

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def _shown(self, request: str) -> Shown:
        texts, data, error = {"stdout": "", "stderr": ""}, list[dict[str, Any]](), ""
        while True:
            message = self._client.get_iopub_msg(timeout=PATIENCE)
            kind, content = message["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != request:
                continue
            if kind == "status" and content["execution_state"] == "idle":
                return Shown(texts["stdout"], texts["stderr"], data, error)
            if kind == "stream":
                texts[content["name"]] += content["text"]
            elif kind in ("display_data", "execute_result"):
                data.append(content["data"])
            elif kind == "error":
                error = f"{content['ename']}: {content['evalue']}"


@contextlib.contextmanager
def kernels(count: int, home: Path) -> Iterator[list[Kernel]]:
    """So many kernels, whose settings and history lie in a folder of the test's."""
    client = pytest.importorskip("jupyter_client", reason="ipykernel is not installed: pip install -e '.[test]'")
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setenv("PYTHONPATH", str(Path(catsdogs.__file__).parents[1]), prepend=os.pathsep)
        patch.setenv("IPYTHONDIR", str(home / "ipython"))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(home / "runtime"))
        managers = [client.KernelManager(kernel_name="python3") for _ in range(count)]
        for manager in managers:
            manager.start_kernel(cwd=str(home))
            stack.callback(manager.shutdown_kernel, now=True)
        started = [Kernel(manager) for manager in managers]
        for one in started:
            stack.callback(one.close)
        yield started


def wait_for(path: Path) -> None:
    """Wait until a cell has come to where it pauses."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)
    path.unlink()

import contextlib
import io
import itertools
import os
import pty
import select
import termios
from pathlib import Path

import pytest

from catsdogs.finetuning.lesson import read_lesson
from catsdogs.photographs import tfrecord_writer
from catsdogs.photographs.dataset import scan
from catsdogs.progress import LOG_INTERVAL_SECONDS, Progress
from tests.conftest import need
from tests.support.datasets import write_kaggle_folder
from tests.support.processes import child


def work(total: int, done: int) -> None:
    with Progress(total, "photographs", "photo") as bar:
        for _ in range(done):
            bar.update()


def logged(total: int, done: int) -> str:
    """What the work writes to a standard error that is no terminal."""
    with contextlib.redirect_stderr(io.StringIO()) as log:
        work(total, done)
    return log.getvalue()


def test_nothing_to_do_prints_nothing() -> None:
    assert logged(0, 0) == ""
    assert logged(5, 0) == ""  # ended by an error before the first photograph


def test_quick_work_ends_with_one_whole_line() -> None:
    line, rest = logged(1000, 1000).split("\n")
    assert line.startswith("photographs: 100%") and "1000/1000" in line and "photo/s" in line
    assert rest == "" and "\r" not in line


def test_long_work_prints_whole_lines_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count()
    monkeypatch.setattr("tqdm.std.time", lambda: float(next(seconds)))  # every look at the clock takes a second
    lines = logged(2000, 2000).splitlines()
    assert 3 <= len(lines) <= next(seconds) / LOG_INTERVAL_SECONDS + 2
    assert all(line.startswith("photographs:") and len(line) <= 100 for line in lines)
    assert "<" in lines[0] and "100%" in lines[-1]  # the time left


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = pty.openpty()
    termios.tcsetwinsize(writer, (24, 80))
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        work(3, 3)
        text = ""
        while "3/3" not in text and select.select([reader], [], [], 10)[0]:  # a terminal passes on what it has so far
            text += os.read(reader, 4096).decode()
    os.close(reader)
    assert "\r" in text and "3/3" in text


# What a kernel has loaded, with and without ipywidgets.
_IN_A_KERNEL = """
    import sys, types
    if sys.argv[1] == "without":
        sys.modules["ipywidgets"] = None
    from ipykernel import zmqshell
    shown = []
    if sys.argv[1] == "with":
        from tqdm import notebook
        notebook.display = shown.append
    from catsdogs.progress import Progress
    with Progress(3, "photographs", "photo") as bar:
        for _ in range(3):
            bar.update()
    assert bar.total == bar.n == 3 and not Progress._instances
    with Progress(0, "nothing", "photo") as bar:
        pass
    list(Progress(2, "one", "photo", iterable=[1, 2]))
    try:
        with Progress(2, "failing", "photo") as bar:
            bar.update()
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    for box in shown:
        print(box.children[0].value.partition(":")[0], box.children[1].bar_style)
    assert not bar._instances
"""


@pytest.mark.parametrize("widgets", ["with", "without"])
def test_a_notebook_gets_the_bar_that_tqdm_chooses(widgets: str) -> None:
    need("ipykernel")
    if widgets == "with":
        need("ipywidgets")
    process = child(_IN_A_KERNEL, widgets)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "Warning" not in err, err
    if widgets == "without":
        assert "photographs: 100%" in err and "failing:  50%" in err and "nothing" not in err and not out
    else:
        assert not err and out == "photographs success\none success\nfailing danger\n"


def test_only_what_is_there_is_counted(tmp_path: Path) -> None:
    """A table may list twice as many photographs; one that is damaged has to be looked at, and counts."""
    root = write_kaggle_folder(tmp_path / "data", cats=5, dogs=5, test=0)
    (root / "train" / "cat.0.jpg").write_bytes(b"damaged")
    listed = [f"train/{kind}.{number}.jpg,{kind}\n" for kind in ("cat", "dog") for number in range(10)]
    (root / "labels.csv").write_text("file,label\n" + "".join(listed))
    dataset = scan(root)
    for reads in (
        lambda: read_lesson(dataset, 2, 0),
        lambda: tfrecord_writer.write_record_files(dataset, tmp_path / "shards"),
    ):
        with contextlib.redirect_stderr(io.StringIO()) as log:
            assert len(reads().unreadable) == 11
        assert "| 10/10 [" in log.getvalue()

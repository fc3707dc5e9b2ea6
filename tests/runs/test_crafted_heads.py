"""No file of heads makes this program run its code; a damaged one is told in one line."""

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import FunctionTransformer

from catsdogs import heads
from catsdogs.errors import CatsdogsError, TrainingError
from catsdogs.runs import run_card
from tests.conftest import refused
from tests.support.runs import change_run

EXECUTED: list[str] = []


class Trap:
    """Notes that it was made from a file."""

    def __setstate__(self, state: object) -> None:
        EXECUTED.append("Trap")

    def __getstate__(self) -> dict[str, int]:
        return {"set": 1}


@pytest.fixture(autouse=True)
def nothing_is_executed() -> Iterator[None]:
    EXECUTED.clear()
    yield
    assert EXECUTED == []


@pytest.mark.parametrize(
    "part",
    [
        {"widths": [6]},
        {"folds": 5},
        {"classes": ["cat", "dog", "fox"], "prior": [0.4, 0.4, 0.2]},
        {"head": "logistic"},
        {"head": "GaussianNB"},
    ],
    ids=str,
)
def test_heads_that_do_not_fit_the_description_are_damaged(folder: Path, part: dict[str, Any]) -> None:
    change_run(folder, **part)
    with refused(TrainingError, r"heads\.skops is damaged"):
        run_card.load_run(folder)


def trained_heads(attribute: object = None) -> list[Any]:
    """What the run keeps, with something more in it."""
    X, y = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32), np.arange(20) % 2
    fitted = [heads.create("ridge").fit(X, y) for _ in range(4)]
    vars(fitted[2])["more"] = attribute
    return fitted


CRAFTED: dict[str, Callable[[Path], object]] = {
    "a call": lambda mark: partial(os.system, f"touch {mark}"),
    "calls for heads": lambda mark: [partial(os.mkdir, str(mark))] * 4,
    "a function": lambda mark: [os.system] * 4,
    "a transformer of a function": lambda mark: [FunctionTransformer(os.mkdir, inverse_func=os.system)] * 4,
    "a head and a call": lambda mark: trained_heads(partial(os.mkdir, str(mark))),
    "a head and a class": lambda mark: trained_heads(subprocess.Popen),
    "a head and a bound method": lambda mark: trained_heads(mark.mkdir),
    "a head and a trap": lambda mark: trained_heads(Trap()),
    "a trap in a list": lambda mark: trained_heads([{"deep": [Trap()]}]),
    "a trap": lambda mark: Trap(),
    "another head of scikit-learn's": lambda mark: [GaussianNB().fit(np.eye(4, 5), [0, 0, 1, 1])] * 4,
    "no list": lambda mark: trained_heads()[0],
    "a dictionary of heads": lambda mark: dict(enumerate(trained_heads())),
    "heads that learnt nothing": lambda mark: [heads.create("ridge") for _ in range(4)],
}


@pytest.mark.parametrize("case", CRAFTED)
def test_a_crafted_file_is_refused_and_nothing_of_it_executed(tmp_path: Path, folder: Path, case: str) -> None:
    mark = tmp_path / "mark"
    skops.io.dump(CRAFTED[case](mark), folder / "heads.skops")
    with refused(TrainingError, r"heads\.skops is damaged \("):
        run_card.load_run(folder)
    assert not mark.exists()


def test_the_trap_works() -> None:
    skops.io.loads(skops.io.dumps(Trap()), trusted=[Trap])
    assert EXECUTED == ["Trap"]
    EXECUTED.clear()


def test_no_module_that_a_file_names_is_imported(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "someones_module.py").write_text("class Trap: pass\nraise SystemExit('imported')")
    members = members_of(skops.io.dumps(trained_heads(Trap())))
    members["schema.json"] = members["schema.json"].replace(Trap.__module__.encode(), b"someones_module")
    (folder / "heads.skops").write_bytes(zipped(members))
    with refused(TrainingError, r"heads\.skops is damaged .*someones_module\.Trap"):
        run_card.load_run(folder)
    assert "someones_module" not in sys.modules


def members_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk",
        zipped({}),
        zipped({"junk": b"junk"}),
        zipped({"schema.json": b"junk"}),
        zipped({"schema.json": b"[]"}),
        zipped({"schema.json": b"{}"}),
        zipped({"schema.json": b"[" * 100_000}),
    ],
    ids=range(8),
)
def test_junk_is_told_in_one_line(folder: Path, content: bytes) -> None:
    (folder / "heads.skops").write_bytes(content)
    with refused(TrainingError, r"heads\.skops is damaged"):
        run_card.load_run(folder)


def test_without_its_heads_a_run_is_damaged(folder: Path) -> None:
    (folder / "heads.skops").unlink()
    with refused(TrainingError, r"heads\.skops is damaged"):
        run_card.load_run(folder)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_anywhere_is_told_in_one_line_or_does_no_harm(original: Path, folder: Path, data: st.DataObject) -> None:
    whole = (original / "heads.skops").read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.sampled_from([start + 1, start + 50, len(whole)]))
    junk = data.draw(st.sampled_from([b"", b"\0", b"\xff" * 50]))
    (folder / "heads.skops").write_bytes(whole[:start] + junk + whole[stop:])
    try:
        trained = run_card.load_run(folder)
    except CatsdogsError as error:
        assert "heads.skops is damaged" in str(error) and "\n" not in str(error)
    else:
        assert trained.predict(np.zeros((1, 5), np.float32)).shape == (1, 2)

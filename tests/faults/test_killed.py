"""SIGKILL at random moments: the next run finishes as if nothing had been, and no half-written file is ever read."""

import itertools
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest

from catsdogs.cleaning import decisions
from catsdogs.runs import run_card
from tests.faults import commands
from tests.faults.commands import BACKBONE, FEATURES, TRAIN, finished
from tests.faults.matrix import FULL
from tests.support.datasets import write_kaggle_folder

pytestmark = pytest.mark.fault("killed")

_TIMES = {"created"}  # what may differ between two runs
# Locks stay; stamps are there once the photographs are older than two seconds.
_OUTSIDE = {".lock", ".decisions.lock", ".photographs.h5"}


class Undisturbed(NamedTuple):
    """A command that ran to its end in a folder: how long, and how many changes of files its busiest thread made."""

    folder: Path
    arguments: tuple[str, ...]
    seconds: float
    changes: int
    code: str = commands.MAIN

    def killers(self, seed: int) -> Iterator[Callable[[Path], commands.Killed]]:
        """Ways to kill it, without end: two of three at a random change of a file, or else after a random time."""
        random = np.random.default_rng(seed)
        for turn in itertools.count():
            if self.changes and turn % 3 < 2:
                number = int(random.integers(1, self.changes + 1))
                yield partial(commands.kill_at_change, number=number, arguments=self.arguments, code=self.code)
            else:
                wait = self.seconds * random.uniform(0.3, 0.8)  # strace made it longer than it is
                yield partial(commands.kill_after, seconds=wait, arguments=self.arguments, code=self.code)


def undisturbed(folder: Path, *arguments: str, code: str = commands.MAIN) -> Undisturbed:
    begun = time.monotonic()
    count = commands.changes(folder, *arguments, code=code) if commands.STRACE else 0
    if not count:
        finished(folder, *arguments, code=code)
    return Undisturbed(folder, arguments, time.monotonic() - begun, count, code)


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """An extraction; the network has been exported before."""
    folder = tmp_path_factory.mktemp("extracted")
    write_kaggle_folder(folder / "data", cats=12, dogs=12, test=8)
    finished(folder, *FEATURES, "--limit", "1", "--out", "first")
    return undisturbed(folder, *FEATURES)


@pytest.fixture(scope="module")
def learnt(extracted: Undisturbed, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = copied(extracted.folder, tmp_path_factory.mktemp("learnt") / "project", "features")
    return undisturbed(folder, *TRAIN)


def copied(whole: Path, folder: Path, *names: str) -> Path:
    """A project with some of the files of another; the photographs are the very same, for a file names their folder."""
    folder.mkdir()
    (folder / "data").symlink_to(whole / "data")
    for name in names:
        shutil.copytree(whole / name, folder / name)
    return folder


def contents(path: Path) -> dict[str, object]:
    """Every data set and attribute of an HDF5 file, but for times."""
    found: dict[str, object] = {}
    with h5py.File(path) as file:
        for owner in (file, *file.values()):
            found |= {f"{owner.name}@{key}": np.array(value).tolist() for key, value in owner.attrs.items()}
        found |= {name: file[name][...].tolist() for name in file}
    return {name: value for name, value in found.items() if name.split("@")[-1] not in _TIMES}


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - _OUTSIDE


def in_extraction(folder: Path) -> str:
    """In which phase a kill fell, by what it left."""
    out = folder / "features"
    if list(out.glob(f".{BACKBONE}.h5.*.tmp")):
        return "assembling"
    if (out / f"{BACKBONE}.h5").exists():
        return "after assembling"
    return "computing shards" if list(out.rglob(".shards/*/*")) else "starting"


def in_training(folder: Path) -> str:
    there = folder / "submissions"
    if list(there.glob(".run.*.tmp")):
        return "writing the run"
    return "replacing the earlier run" if list(there.glob(".run.*.old")) else "before or after"


def in_words(phases: Counter[str]) -> str:
    return ", ".join(f"{count} {phase}" for phase, count in phases.most_common())


def test_extraction(extracted: Undisturbed, tmp_path: Path, saw: Callable[[str], None]) -> None:
    """Killed once or twice, a run of features ends with the file of an undisturbed one, and leaves nothing behind."""
    whole, ways, phases = extracted.folder, extracted.killers(7), Counter[str]()
    wanted = contents(whole / f"features/{BACKBONE}.h5")
    for number in itertools.count():
        folder = copied(whole, tmp_path / str(number))
        for _ in range(1 + number % 2):
            if next(ways)(folder).in_time:
                phases[in_extraction(folder)] += 1
            if (folder / f"features/{BACKBONE}.h5").exists():
                assert contents(folder / f"features/{BACKBONE}.h5") == wanted  # what has its name is whole
        finished(folder, *FEATURES)
        assert contents(folder / f"features/{BACKBONE}.h5") == wanted
        assert names(folder / "features") == names(whole / "features")
        if phases.total() >= (26 if FULL else 3):
            break
    saw(f"extraction: {phases.total()} kills ({in_words(phases)}), {number + 1} files identical")


@pytest.mark.parametrize("again", [True, False] if FULL else [True], ids=lambda again: "--force" if again else "new")
def test_training(learnt: Undisturbed, tmp_path: Path, again: bool, saw: Callable[[str], None]) -> None:
    """A killed training leaves no run, or a whole one; the next gives the same run, and nothing lies about."""
    whole, there, phases = learnt.folder, ("features", "submissions") if again else ("features",), Counter[str]()
    if again:
        learnt = learnt._replace(arguments=(*TRAIN, "--force"))
    ways = learnt.killers(11 + again)
    for number in itertools.count():
        folder = copied(whole, tmp_path / str(number), *there)
        if again:
            (folder / "submissions/run/notes.txt").write_text("mine")
        if next(ways)(folder).in_time:
            phases[in_training(folder)] += 1
        if (folder / "submissions/run").exists():
            assert run_card.load_run(folder / "submissions/run").heads  # what has its name is whole
        finished(folder, *TRAIN, "--force")
        assert names(folder / "submissions") == names(whole / "submissions") | ({"run/notes.txt"} if again else set())
        assert_same_run(whole / "submissions/run", folder / "submissions/run")
        if phases.total() >= (6 if FULL else 1):
            break
    saw(f"training{' in place of an earlier run' if again else ''}: {phases.total()} kills ({in_words(phases)})")


# Decides about one row after the other, and acknowledges each on its standard output.
_ROWS = 60 if FULL else 20
DECIDE = """
import sys
from pathlib import Path
from catsdogs.cleaning import decisions
for number in range(int(sys.argv[1]), int(sys.argv[2])):
    decisions.decide(Path("decisions.csv"), decisions.Decision(f"cat.{number}", "relabel", "dog"), ("cat", "dog"))
    print(f"cat.{number}", flush=True)
"""


def test_decisions(tmp_path: Path, saw: Callable[[str], None]) -> None:
    """What was acknowledged is there, in its order, and at most the one decision more that was just being written."""
    (tmp_path / "whole").mkdir()
    ways, kills, rows = undisturbed(tmp_path / "whole", "0", str(_ROWS), code=DECIDE).killers(13), 0, 0
    for number in itertools.count():
        folder = tmp_path / str(number)
        folder.mkdir()
        out, in_time = next(ways)(folder)
        path = folder / decisions.DECISIONS_FILE
        found = list(decisions.read_decisions(path, ("cat", "dog"))) if path.exists() else []
        acknowledged = out.split()
        assert found[: len(acknowledged)] == acknowledged and len(found) - len(acknowledged) in (0, 1)
        finished(folder, str(_ROWS), str(_ROWS + 2), code=DECIDE)
        assert list(decisions.read_decisions(path, ("cat", "dog"))) == [*found, f"cat.{_ROWS}", f"cat.{_ROWS + 1}"]
        assert names(folder) == {decisions.DECISIONS_FILE}
        kills, rows = kills + in_time, rows + len(acknowledged)
        if kills >= (12 if FULL else 1):
            break
    saw(f"decisions: {kills} kills, each of {rows} acknowledged rows kept")


def assert_same_run(one: Path, other: Path) -> None:
    card, again = (vars(run_card.read_run(folder)) for folder in (one, other))
    for name in card.keys() - {"created", "command", "files"}:
        assert card[name] == again[name], name
    for name in (run_card.SUBMISSION_FILE, run_card.OUT_OF_FOLD_FILE):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    X = np.random.default_rng(0).normal(size=(5, sum(card["widths"]))).astype(np.float32)
    np.testing.assert_array_equal(*(run_card.load_run(folder).predict(X) for folder in (one, other)))

"""Extraction killed at any moment: the next run gives the same file, bit for bit."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from catsdogs.features.feature_file import Features
from tests.support.extraction import LITE0, content, files_in, run

pytestmark = pytest.mark.usefixtures("lite_networks")


# When to kill: before or after the n-th rename or assignment of a data set; how many photographs are left to compute.
# Eleven photographs in shards of four are three shards, each of five data sets, then the feature file with its labels.
# From outside, the kill comes once a first shard is there, and may come late.
MOMENTS = (
    ("after", "replace", 2, 3),
    ("after", "__setitem__", 8, 7),
    ("after", "__setitem__", 16, 0),
    ("before", "replace", 4, 0),
    ("after", "replace", 4, 0),
    ("outside", "", 1, 7),
)


KILLER = """
    import itertools, os, signal, sys, time
    from pathlib import Path
    import h5py
    from catsdogs.features import extract
    from catsdogs.photographs.dataset import scan

    def run(out):
        extract.SHARD_ROWS = 4
        extract.extract(scan(Path(data)), ["EfficientNetLite0"], out, extract.Settings(batch_size=4))

    def kill_at(owner, name, count, when):
        original, numbers = getattr(owner, name), itertools.count(1)

        def method(self, *arguments):
            here = (name == "__setitem__" or self.suffix == ".tmp") and next(numbers) == count
            if here and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(self, *arguments)
            if here:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, name, method)

    data, out, *moments = sys.argv[1:]
    for number, moment in enumerate(moments):
        when, name, count = moment.split(",")
        folder = Path(out) / str(number)
        child = os.fork()  # nothing has been computed yet, so there are no threads that a fork would lose
        if not child:
            if name:
                kill_at(h5py.Group if name == "__setitem__" else Path, name, int(count), when)
            run(folder)
            os._exit(1)
        if not name:
            while not list(folder.rglob("*.h5")):
                time.sleep(0.01)
            os.kill(child, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL or not name, moment
"""


@pytest.fixture(scope="module")
def wrecks(reference: Features, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each of `MOMENTS`, as SIGKILL left it."""
    out = tmp_path_factory.mktemp("wrecks")
    moments = [f"{when},{name},{count}" for when, name, count, _ in MOMENTS]
    command = [sys.executable, "-c", textwrap.dedent(KILLER), reference.source, str(out), *moments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return out


@pytest.mark.parametrize("number", range(len(MOMENTS)), ids=[" ".join(map(str, moment)) for moment in MOMENTS])
def test_after_a_kill_the_second_run_gives_the_same_file_bit_for_bit(
    wrecks: Path, reference: Features, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    when, _, _, left = MOMENTS[number]
    monkeypatch.setattr("catsdogs.features.extract.SHARD_ROWS", 4)
    out = wrecks / str(number)
    summary = run(Path(reference.source), out)
    assert summary.computed[LITE0] == left or (when == "outside" and summary.computed[LITE0] < left)
    assert content(summary.paths[0]) == content(reference.path)
    assert files_in(out) == [f"{LITE0}.h5"]

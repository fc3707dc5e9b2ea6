"""Scattered additions share stretches; a run that was killed and goes on makes the same batches, and the same bits."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catsdogs.features import feature_file, packing
from catsdogs.features.packing import Packing
from catsdogs.features.rows import hashed
from catsdogs.files import storage
from tests.support.datasets import jpeg, write_kaggle_folder
from tests.support.extraction import LITE0, files_in
from tests.support.features import recipe

pytest_plugins = ("tests.support.s3",)
WINDOW = 8
KEYS = hashed(f"train/{n}" for n in range(100))
MASKS = st.lists(st.booleans(), min_size=1, max_size=100)


def packed(
    folder: Path, missing: np.ndarray, present: np.ndarray | None = None, differ: bool = False
) -> list[list[int]]:
    here = np.ones(len(missing), bool) if present is None else present
    made = Packing(folder, [recipe()], WINDOW).stretches(KEYS[: len(missing)], missing & here, here, differ)
    return [rows.tolist() for rows in made]


@settings(deadline=None, max_examples=50)
@given(MASKS, st.booleans())
def test_every_missing_row_is_in_one_stretch(
    tmp_path_factory: pytest.TempPathFactory, mask: list[bool], differ: bool
) -> None:
    missing = np.array(mask)
    stretches = packed(tmp_path_factory.mktemp("p"), missing, differ=differ)
    assert sorted(row for rows in stretches for row in rows) == np.flatnonzero(missing).tolist()
    assert all(rows == sorted(rows) and 0 < len(rows) <= WINDOW for rows in stretches)
    assert [rows[0] for rows in stretches] == sorted(rows[0] for rows in stretches)
    windows = [list(range(start, min(start + WINDOW, len(mask)))) for start in range(0, len(mask), WINDOW)]
    whole = [rows for rows in windows if missing[rows].all()]
    assert all(rows in stretches for rows in whole)  # as it always was
    scattered = int(missing.sum()) - sum(map(len, whole))
    assert len(stretches) == len(whole) + -(-scattered // WINDOW)  # as few as there can be


@settings(deadline=None, max_examples=50)
@given(MASKS, st.data())
def test_what_is_left_after_a_kill_stays_together(
    tmp_path_factory: pytest.TempPathFactory, mask: list[bool], data: st.DataObject
) -> None:
    """Finished stretches go, others stay as they were; and so once more."""
    folder, missing = tmp_path_factory.mktemp("p"), np.array(mask)
    stretches = packed(folder, missing)
    for _ in range(2):
        left = [rows for rows in stretches if data.draw(st.booleans())]
        missing = np.zeros(len(mask), bool)
        missing[[row for rows in left for row in rows]] = True
        assert packed(folder, missing) == left
        stretches = left


def test_forty_additions_scattered_over_five_thousand(tmp_path: Path) -> None:
    """On a GPU, with batches of 256: one instead of one for each window that has any of them."""
    count = 5120
    keys, missing = hashed(map(str, range(count))), np.zeros(count, bool)
    missing[np.random.default_rng(0).choice(count, 40, replace=False)] = True
    windows = np.unique(np.flatnonzero(missing) // 256)
    stretches = Packing(tmp_path, [recipe()], 256).stretches(keys, missing, np.ones(count, bool), False)
    assert len(windows) == 18 and [len(rows) for rows in stretches] == [40]


def test_a_whole_run_writes_nothing_down(tmp_path: Path) -> None:
    assert [len(rows) for rows in packed(tmp_path, np.ones(30, bool))] == [8, 8, 8, 6]
    absent = np.arange(30) % 7 > 0  # what is not there at all does not count
    assert [len(rows) for rows in packed(tmp_path, np.ones(30, bool), absent)] == [6, 7, 7, 5]
    assert not list(tmp_path.iterdir())


def test_networks_that_lack_different_rows(tmp_path: Path) -> None:
    """A window comes back with the rows of one network: it stays a stretch of its own all the same."""
    missing = np.ones(16, bool)
    assert packed(tmp_path, missing, differ=True) == [list(range(8)), list(range(8, 16))]
    missing[[*range(1, 8), 9, 10]] = False
    assert packed(tmp_path, missing, differ=True) == [[0], [8, *range(11, 16)]]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b'{"format": "catsdogs packing", "version": 99, "stretches": [[1]]}', b"\xff\x00",
     b'{"format": "catsdogs packing", "version": 1, "stretches": 3}',
     b'{"format": "catsdogs packing", "version": 1, "stretches": [3]}',
     b'{"format": "catsdogs packing", "version": 1, "stretches": [["x", null, 1.5, -1, 7, [], true]]}'],
)  # fmt: skip
def test_a_damaged_file_only_means_packing_anew(tmp_path: Path, content: bytes) -> None:
    missing = np.arange(100) % 7 == 0
    anew = packed(tmp_path / "anew", missing)
    path = Packing(tmp_path, [recipe()], WINDOW).path
    path.write_bytes(content)
    assert packed(tmp_path, missing) == anew
    assert json.loads(path.read_text())["version"] == packing._VERSION


def test_other_recipes_have_a_packing_of_their_own(tmp_path: Path) -> None:
    one, other = Packing(tmp_path, [recipe()], WINDOW), Packing(tmp_path, [recipe("Xception")], WINDOW)
    assert len({one.path, other.path, Packing(tmp_path, [recipe()], 9).path}) == 3
    mask = np.arange(20) % 3 == 0
    for each in (one, other):
        each.stretches(KEYS[:20], mask, np.ones(20, bool), False)
    (tmp_path / "other.json").touch()
    one.forget()
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


# `features`, killed as soon as so many shards have been written. What it computes is noted: the photographs of each
# batch, by the sums of their pixels.
_RUN = """
    import json, os, signal, sys
    from pathlib import Path
    import numpy as np
    from catsdogs.features import cache, extract
    from catsdogs.files import storage
    from catsdogs.networks.engines import selection
    from catsdogs.photographs import stamps
    from catsdogs.photographs.dataset import scan

    data, out, engine, kill = sys.argv[1:]
    extract.SHARD_ROWS, stamps.SETTLED_NS = 8, -(10**12)
    write, left, batches = cache.Cache.write_shard, [int(kill)], []

    def write_and_die(self, rows, backend):
        write(self, rows, backend)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    make = selection.create_engine

    def watched(*arguments):
        made = make(*arguments)
        load = made.load

        def loading(*one):
            network = load(*one)
            submit = network.submit

            def submitting(batch):
                batches.append([int(square.astype(np.int64).sum()) for square in batch])
                return submit(batch)

            object.__setattr__(network, "submit", submitting)
            return network

        object.__setattr__(made, "load", loading)
        return made

    cache.Cache.write_shard, selection.create_engine = write_and_die, watched
    done = extract.extract(
        scan(Path(data)), ["EfficientNetLite0"], storage.place(out), extract.Settings(engine=engine, batch_size=4)
    )
    print(json.dumps({"computed": done.computed, "batches": batches}))
"""


def features(data: Path, out: Path | str, engine: str, kill: int = 0) -> dict[str, Any] | None:
    """What a run did; None if it was killed."""
    command = [sys.executable, "-c", textwrap.dedent(_RUN), str(data), str(out), engine, str(kill)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ)
    if kill:
        assert ended.returncode == -9, ended.stderr
        return None
    assert ended.returncode == 0, ended.stderr
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer


def rows_in(out: Path) -> list[Any]:
    found = feature_file.read_features(out / f"{LITE0}.h5")
    return [
        (found.ids[split].tolist(), found.digests[split].tolist(), found.vectors(split).tobytes())
        for split in feature_file.SPLITS
    ]


@pytest.mark.usefixtures("lite_networks")
@pytest.mark.parametrize("engine", ["openvino", "keras"])
def test_scattered_additions_after_a_kill(tmp_path: Path, engine: str) -> None:
    """Among 40 photographs, in windows of 8, are 20 new ones: three stretches; killed after the first of them."""
    data = write_kaggle_folder(tmp_path / "data", 20, 20, 4)
    first = features(data, tmp_path / "undisturbed", engine)
    assert first is not None and first["computed"] == {LITE0: 44}
    (tmp_path / "killed").mkdir()
    for path in (tmp_path / "undisturbed").iterdir():
        if path.is_file() and path.name != ".lock":
            (tmp_path / "killed" / path.name).write_bytes(path.read_bytes())
    for number in range(20):
        (data / f"train/{('cat', 'dog')[number % 2]}.{number}.5.jpg").write_bytes(jpeg(1000 + number))
    whole = features(data, tmp_path / "undisturbed", engine)
    assert whole is not None and whole["computed"] == {LITE0: 20}
    assert len(whole["batches"]) == 5  # four to a batch; a stretch for each window would have taken eight or more
    features(data, tmp_path / "killed", engine, kill=1)
    assert len(list((tmp_path / "killed/.shards").glob("packing-*.json"))) == 1
    rest = features(data, tmp_path / "killed", engine)
    assert rest is not None and rest["computed"] == {LITE0: 12}
    assert rest["batches"] == whole["batches"][2:]
    assert rows_in(tmp_path / "killed") == rows_in(tmp_path / "undisturbed")
    assert files_in(tmp_path / "killed") == [f"{LITE0}.h5"]


@pytest.mark.usefixtures("lite_networks")
def test_scattered_additions_after_a_kill_in_a_store(tmp_path: Path, s3_bucket: str) -> None:
    data = write_kaggle_folder(tmp_path / "data", 20, 20, 4)
    undisturbed, killed = f"{s3_bucket}/undisturbed", f"{s3_bucket}/killed"
    for out in (undisturbed, killed):
        features(data, out, "openvino")
    for number in range(20):
        (data / f"train/{('cat', 'dog')[number % 2]}.{number}.5.jpg").write_bytes(jpeg(1000 + number))
    whole = features(data, undisturbed, "openvino")
    features(data, killed, "openvino", kill=1)
    rest = features(data, killed, "openvino")
    assert whole is not None and rest is not None
    assert rest["computed"] == {LITE0: 12} and rest["batches"] == whole["batches"][2:]
    assert rows_in(storage.place(killed)) == rows_in(storage.place(undisturbed))
    assert not storage.names_in(storage.place(f"{killed}/.shards"), ".json")

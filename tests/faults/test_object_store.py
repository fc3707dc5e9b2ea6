"""An object store that answers 500 or 503, hangs, breaks connections or truncates: tried again, then named."""

import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from catsdogs.errors import CatsdogsError, StoreError, UnreadablePhotographError
from catsdogs.features import extract, feature_file, worker
from catsdogs.features.cache import Cache
from catsdogs.features.extract import Extraction
from catsdogs.features.feature_file import SPLITS, Features
from catsdogs.features.running import Settings
from catsdogs.files import object_store, storage
from catsdogs.networks.engines import selection
from catsdogs.photographs import images, tfrecord_writer
from catsdogs.photographs.dataset import Dataset, scan
from tests.conftest import refused
from tests.faults.commands import BACKBONE
from tests.faults.matrix import FULL
from tests.support.datasets import write_kaggle_folder
from tests.support.features import recipe, rows_of, table
from tests.support.s3 import KINDS, Faults, upload

pytest_plugins = ("tests.support.s3",)
pytestmark = [pytest.mark.fault("object-store"), pytest.mark.usefixtures("quick_retries", "networks_are_built_once")]

STRETCH = 4  # photographs
_COUNTS = (24, 24, 12) if FULL else (4, 4, 3)
_LAYOUTS = ("folder", "zips", "shards")


@pytest.fixture(scope="module")
def networks_are_built_once() -> Iterator[None]:
    from catsdogs.networks.engines.openvino import OpenVINOEngine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "create_engine", functools.cache(selection.create_engine))
        patch.setattr(OpenVINOEngine, "load", functools.cache(OpenVINOEngine.load))
        yield


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (extract, worker):
        monkeypatch.setattr(module, "SHARD_ROWS", STRETCH)


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same photographs in three layouts."""
    found = {name: tmp_path_factory.mktemp(name) for name in _LAYOUTS}
    write_kaggle_folder(found["folder"], *_COUNTS)
    for split in SPLITS:
        with zipfile.ZipFile(found["zips"] / f"{split}.zip", "w") as archive:
            for path in sorted((found["folder"] / split).iterdir()):
                archive.write(path, f"{split}/{path.name}")
    tfrecord_writer.write_record_files(scan(found["folder"]), found["shards"], count=2)
    return found


@pytest.fixture(scope="module")
def reference(layouts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Features:
    with pytest.MonkeyPatch.context() as patch:
        for module in (extract, worker):
            patch.setattr(module, "SHARD_ROWS", STRETCH)
        return feature_file.read_features(run(scan(layouts["folder"]), tmp_path_factory.mktemp("reference")).paths[0])


def run(dataset: Dataset, out: Path) -> Extraction:
    return extract.extract(dataset, [BACKBONE], out, Settings(batch_size=STRETCH))


def same_rows(path: Path, reference: Features) -> bool:
    found = feature_file.read_features(path)
    return (
        not found.unreadable
        and all(
            np.array_equal(getattr(found, name)[split], getattr(reference, name)[split])
            for name in ("ids", "digests", "topk_class")
            for split in SPLITS
        )
        and all(np.array_equal(found.vectors(split), reference.vectors(split)) for split in SPLITS)
    )


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_faults_that_pass_change_nothing(
    layouts: dict[str, Path],
    reference: Features,
    s3_bucket: str,
    s3_faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    layout: str,
    saw: Callable[[str], None],
) -> None:
    upload(layouts[layout], s3_bucket)
    kinds = [kind for kind in KINDS if kind != "hang"]  # which takes a second each
    monkeypatch.setattr(object_store, "REQUEST_ATTEMPTS", 2 * len(kinds) + 1)  # a broken connection may count twice

    def spoil() -> int:
        """Each object fails once in every way, the first also hangs; listings do, too."""
        s3_faults.clear()
        names = [path.relative_to(layouts[layout]).as_posix() for path in layouts[layout].rglob("*") if path.is_file()]
        for name in ("list-type", *names):
            for kind in kinds:
                s3_faults.add(kind, f"GET .*{name}", 1)
        s3_faults.add("hang", f"GET .*{names[0]}", 1)
        return 4 * (len(names) + 1) + 1

    count = spoil()
    dataset = scan(storage.place(s3_bucket))
    count += spoil()
    summary = run(dataset, tmp_path)
    assert same_rows(summary.paths[0], reference)
    requests = len(s3_faults.requests)
    saw(f"{layout}: {requests} requests, {count} faults prepared, the same rows bit for bit")
    s3_faults.clear()
    assert run(scan(storage.place(s3_bucket)), tmp_path).computed == {BACKBONE: 0}


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_lasts_ends_the_run_and_names_the_object(
    layouts: dict[str, Path],
    reference: Features,
    s3_bucket: str,
    s3_faults: Faults,
    tmp_path: Path,
    kind: str,
    saw: Callable[[str], None],
) -> None:
    upload(layouts["folder"], s3_bucket)
    dataset = scan(storage.place(s3_bucket))
    s3_faults.add(kind, "GET .*/train/dog")
    with refused(StoreError, rf"^{s3_bucket}/train/dog\.\d+\.jpg failed 3 times: .*what is finished is kept"):
        run(dataset, tmp_path)
    assert not list(tmp_path.glob("*.h5"))  # no file that lacks rows
    s3_faults.clear()
    summary = run(dataset, tmp_path)
    assert same_rows(summary.paths[0], reference)
    saw(f"{kind} for ever: named; the next run computed {summary.computed[BACKBONE]} of {sum(_COUNTS)} rows")


# `features`, killed or stopped as soon as it has put its first shard.
_KILLED = """
import os, signal, sys
from catsdogs.features import extract; from catsdogs.files import storage
from catsdogs.cli import main

upload, how = storage.upload, sys.argv.pop(1)

def upload_and_die(source, target):
    upload(source, target)
    if target.parent.parent.name == ".shards":
        storage.upload = upload
        os.kill(os.getpid(), signal.SIGKILL if how == "killed" else signal.SIGSTOP)

extract.SHARD_ROWS = 4
if how != "whole":
    storage.upload = upload_and_die
main()
"""


@contextlib.contextmanager
def started_features(bucket: str, how: str) -> Iterator[subprocess.Popen[str]]:
    flags = ["--data", f"{bucket}/data", "--out", f"{bucket}/out", "--backbones", BACKBONE, "--batch-size", "4"]
    command = [sys.executable, "-c", _KILLED, how, "features", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def features(bucket: str, how: str = "whole") -> str:
    """What a run that ends well prints."""
    with started_features(bucket, how) as process:
        out, err = process.communicate(timeout=300)
        assert process.returncode == (-signal.SIGKILL if how == "killed" else 0), err
        return out


def test_a_run_that_writes_to_the_store_is_killed_and_goes_on(
    layouts: dict[str, Path], reference: Features, s3_bucket: str, saw: Callable[[str], None]
) -> None:
    upload(layouts["folder"], f"{s3_bucket}/data")
    features(s3_bucket, "killed")
    out = storage.place(f"{s3_bucket}/out")
    assert len(storage.list_stamps(out)) == 1  # a shard
    assert f"{sum(_COUNTS) - STRETCH} of them computed now" in features(s3_bucket)
    assert same_rows(out / f"{BACKBONE}.h5", reference)
    assert sorted(storage.list_stamps(out)) == [f".{BACKBONE}.index", ".photographs.h5", f"{BACKBONE}.h5"]
    assert "up to date" in features(s3_bucket)
    saw("a run with `--out s3://` killed after its first shard: the next computed the rest")


def test_two_runs_at_once_in_a_store(
    layouts: dict[str, Path], reference: Features, s3_bucket: str, saw: Callable[[str], None]
) -> None:
    """One is asleep with a shard, which the other one assembles and removes; when it wakes it says what is missing."""
    upload(layouts["folder"], f"{s3_bucket}/data")
    path = storage.place(f"{s3_bucket}/out") / f"{BACKBONE}.h5"
    with started_features(s3_bucket, "stopped") as asleep:
        assert os.WIFSTOPPED(os.waitpid(asleep.pid, os.WUNTRACED)[1])
        features(s3_bucket)
        assert same_rows(path, reference)
        asleep.send_signal(signal.SIGCONT)
        _, err = asleep.communicate(timeout=300)
    assert asleep.returncode == 1 and re.search(r"/out/\.shards/\S+\.h5 is missing\. ", err.splitlines()[-1]), err
    assert "up to date" in features(s3_bucket) and same_rows(path, reference)
    assert sorted(storage.list_stamps(path.parent)) == [f".{BACKBONE}.index", ".photographs.h5", path.name]
    saw("two runs at once in a store: one named the shard that the other had removed; the same command went on")


def test_another_s_shards_stay(s3_bucket: str) -> None:
    """Assembling removes the shards that were assembled, not what others put beside them meanwhile."""
    out, entries = storage.place(f"{s3_bucket}/out"), table(["a", "b", "c", "d"], ["1", "2"])
    cache, other = Cache(out, recipe()), Cache(out, recipe())
    cache.write_shard(rows_of(entries[:3]), "none")
    other.write_shard(rows_of(entries[3:]), "none")
    before = set(storage.list_stamps(out / feature_file.SHARD_FOLDER))
    cache.assemble(entries[:3], ("a", "b"), [], "photographs")
    left = set(storage.list_stamps(out / feature_file.SHARD_FOLDER))
    assert len(before) == 2 and len(left) == 1 and left < before
    assert all(entry in Cache(out, recipe()) for entry in entries)


def test_a_torn_object_is_set_aside(layouts: dict[str, Path], reference: Features, s3_bucket: str) -> None:
    upload(layouts["folder"], f"{s3_bucket}/data")
    out = storage.place(f"{s3_bucket}/out")
    (out / f"{BACKBONE}.h5").write_bytes(reference.path.read_bytes()[:-700])
    summary = run(scan(storage.place(f"{s3_bucket}/data")), out)
    assert [str(path) for path in summary.set_aside] == [f"{s3_bucket}/out/{BACKBONE}.h5.damaged"]
    assert same_rows(summary.paths[0], reference)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "hang"])
def test_a_listing_that_fails_names_the_folder(s3_bucket: str, s3_faults: Faults, kind: str) -> None:
    s3_faults.add(kind)
    with refused(StoreError, f"^{s3_bucket}/data failed 3 times"):
        scan(storage.place(f"{s3_bucket}/data"))


def test_rights_that_are_lost_on_the_way_end_the_run(
    layouts: dict[str, Path], s3_bucket: str, s3_faults: Faults, tmp_path: Path
) -> None:
    upload(layouts["folder"], s3_bucket)
    dataset = scan(storage.place(s3_bucket))
    s3_faults.add("403")
    with refused(StoreError, "may not be read"):
        run(dataset, tmp_path)


@pytest.mark.parametrize("kind", ["cut", "short"])
@pytest.mark.parametrize("layout", _LAYOUTS)
def test_half_a_body_is_never_a_photograph(
    layouts: dict[str, Path], s3_bucket: str, s3_faults: Faults, kind: str, layout: str
) -> None:
    upload(layouts[layout], s3_bucket)
    here, there = scan(layouts["folder"]), scan(storage.place(s3_bucket))
    for photograph in there.photographs[::5]:
        s3_faults.clear()
        s3_faults.add(kind, f"GET {s3_bucket.removeprefix('s3:/')}/")
        with pytest.raises((StoreError, UnreadablePhotographError)):
            images.square(there.read(photograph), 8)
    s3_faults.clear()
    assert [there.read(row) for row in there.photographs] == [here.read(row) for row in here.photographs]


@pytest.mark.parametrize("kind", ["cut", "short"])
@pytest.mark.parametrize("layout", ["zips", "shards"])
def test_half_a_body_is_never_a_zip_or_a_shard(
    layouts: dict[str, Path], s3_bucket: str, s3_faults: Faults, kind: str, layout: str
) -> None:
    upload(layouts[layout], s3_bucket)
    s3_faults.add(kind, r"GET .*(train|manifest)[^?]*$")
    with refused(CatsdogsError, f"^{s3_bucket}/"):
        scan(storage.place(s3_bucket))

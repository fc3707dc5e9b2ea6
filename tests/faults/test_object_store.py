"""An object store that answers 500 or 503, hangs, breaks connections or truncates: tried again, then named."""

import functools
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from catsdogs.errors import CatsdogsError, LockedError, StoreError, UnreadablePhotographError
from catsdogs.features import extract, feature_file, worker
from catsdogs.features.extract import Extraction
from catsdogs.features.feature_file import SPLITS, Features
from catsdogs.features.worker import Settings
from catsdogs.files import lease, locks, object_store, storage
from catsdogs.networks.engines import selection
from catsdogs.photographs import images, tfrecord_writer
from catsdogs.photographs.dataset import Dataset, scan
from tests.conftest import refused
from tests.faults.commands import BACKBONE
from tests.faults.matrix import FULL
from tests.support.datasets import write_kaggle_folder
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


# `features`, killed or stopped as soon as it has put its first shard; a lock is given up sooner than in earnest.
_KILLED = """
import os, signal, sys
from catsdogs.features import extract; from catsdogs.files import lease, storage
from catsdogs.cli import main

upload, how = storage.upload, sys.argv.pop(1)

def upload_and_die(source, target):
    upload(source, target)
    if target.parent.parent.name == ".shards":
        storage.upload = upload
        os.kill(os.getpid(), signal.SIGKILL if how == "killed" else signal.SIGSTOP)

extract.SHARD_ROWS, lease.BEAT_SECONDS = 4, 0.3
if how != "whole":
    storage.upload = upload_and_die
main()
"""


def test_a_run_that_writes_to_the_store_is_killed_and_goes_on(
    layouts: dict[str, Path], reference: Features, s3_bucket: str, saw: Callable[[str], None]
) -> None:
    upload(layouts["folder"], f"{s3_bucket}/data")
    flags = ["--data", f"{s3_bucket}/data", "--out", f"{s3_bucket}/out", "--backbones", BACKBONE, "--batch-size", "4"]

    def features(how: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", _KILLED, how, "features", *flags]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    assert features("killed").returncode == -signal.SIGKILL
    out = storage.place(f"{s3_bucket}/out")
    left = list(storage.list_stamps(out))
    assert ".lock" in left and len(left) == 2  # and one shard
    ended = features("whole")
    assert ended.returncode == 0, ended.stderr
    assert f"{sum(_COUNTS) - STRETCH} of them computed now" in ended.stdout
    assert same_rows(out / f"{BACKBONE}.h5", reference)
    assert sorted(storage.list_stamps(out)) == [".photographs.h5", f"{BACKBONE}.h5"]
    assert "up to date" in features("whole").stdout
    saw("a run with `--out s3://` killed after its first shard: the dead one's lock taken over, the rest computed")


def test_a_run_that_was_stopped_and_wakes_spoils_nothing(
    layouts: dict[str, Path], reference: Features, s3_bucket: str, saw: Callable[[str], None]
) -> None:
    """Meanwhile another has taken its lock over; and once that one is done, and while it works."""
    upload(layouts["folder"], f"{s3_bucket}/data")
    flags = ["--data", f"{s3_bucket}/data", "--out", f"{s3_bucket}/out", "--backbones", BACKBONE, "--batch-size", "4"]

    def features(how: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _KILLED, how, "features", *flags]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    out, runs = storage.place(f"{s3_bucket}/out"), [features("stopped")]
    try:
        assert os.WIFSTOPPED(os.waitpid(runs[0].pid, os.WUNTRACED)[1])
        runs.append(features("stopped"))
        assert os.WIFSTOPPED(os.waitpid(runs[1].pid, os.WUNTRACED)[1])
        theirs = storage.list_stamps(out)
        runs[0].send_signal(signal.SIGCONT)  # while the other one holds the lock, and is asleep as well
        _, err = runs[0].communicate(timeout=300)
        assert runs[0].returncode == 1 and "was taken over by another process" in err.splitlines()[-1], err
        assert storage.list_stamps(out) == theirs
        runs[1].send_signal(signal.SIGCONT)
        _, err = runs[1].communicate(timeout=300)
        assert runs[1].returncode == 0, err
    finally:
        for run in runs:
            run.kill()
            run.communicate()
    assert same_rows(out / f"{BACKBONE}.h5", reference)
    assert sorted(storage.list_stamps(out)) == [".photographs.h5", f"{BACKBONE}.h5"]
    saw("a run that slept past its patience: refused when it woke, the next one's lock and shards as they were")


def test_a_second_writer_is_refused(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.2)
    out = storage.place(f"{s3_bucket}/out")
    with locks.hold_folder(out), refused(LockedError, "Another process is writing to"), locks.hold_folder(out):
        pass
    with locks.hold_folder(out):  # let go
        pass


def test_a_torn_object_is_set_aside(layouts: dict[str, Path], reference: Features, s3_bucket: str) -> None:
    upload(layouts["folder"], f"{s3_bucket}/data")
    out = storage.place(f"{s3_bucket}/out")
    storage.write_bytes(out / f"{BACKBONE}.h5", reference.path.read_bytes()[:-700])
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
            images.load(there.read(photograph), {8})
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

"""The shard function on Ray's workers, real processes and simulated nodes, against the same on one machine.

More of what may happen to workers and nodes is in tests/faults/test_cluster.py.
"""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catsdogs.errors import CatsdogsError, ClusterError, StoreError, UsageError, WeightsError
from catsdogs.features import extract as extract_module
from catsdogs.features import feature_file, running, virtual
from catsdogs.features.extract import Settings, extract
from catsdogs.features.running import Job
from catsdogs.features.worker import Stretch
from catsdogs.files import hdf5
from catsdogs.networks.table import BACKBONES
from catsdogs.photographs.dataset import Location, scan
from tests.conftest import need, refused
from tests.support.datasets import jpeg, write_kaggle_folder
from tests.support.extraction import content

need("ray")
need(str(BACKBONES["EfficientNetLite0"].package))

from ray.cluster_utils import Cluster as Nodes  # noqa: E402

from catsdogs.features import cluster  # noqa: E402

LITE0 = "EfficientNetLite0"
SETTINGS = Settings(batch_size=4)


@pytest.fixture(scope="module")
def ray() -> Iterator[cluster.Cluster]:
    """Two simulated nodes of a core each."""
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.add_node(num_cpus=1)
    try:
        with cluster.connected(nodes.address, cores=1) as connected:
            yield connected
    finally:
        nodes.shutdown()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cluster")
    write_kaggle_folder(root / "data", 12, 12, 6)
    (root / "data" / "train" / "cat.3.jpg").write_bytes(b"no picture")
    return root / "data"


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catsdogs.features.extract.SHARD_ROWS", 4)


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The feature file as one process writes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("catsdogs.features.extract.SHARD_ROWS", 4)
        return extract(scan(data), [LITE0], tmp_path_factory.mktemp("one"), SETTINGS).paths[0]


class Disturbed:
    """A cluster to which something happens once two stretches have come back."""

    def __init__(self, schedule: cluster.Cluster, disturb: Callable[[], object]) -> None:
        self.schedule, self.disturb, self.seconds = schedule, disturb, 0.0
        self.recipes, self.notes = schedule.recipes, schedule.notes

    def compute(self, *arguments: Any) -> Iterator[Any]:
        started = time.monotonic()
        for number, done in enumerate(self.schedule.compute(*arguments)):
            if number == 1:
                self.disturb()
            yield done
        self.seconds = time.monotonic() - started


def workers() -> list[int]:
    """The processes that compute."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "cmdline").read_bytes().startswith(b"ray::MapWorker"):
                found.append(int(folder.name))
    return found


def check_disturbed(disturbed: Disturbed, data: Path, undisturbed: Path, out: Path) -> None:
    summary = extract(scan(data), [LITE0], out, SETTINGS, schedule=disturbed)
    # A shard that was written while the word of it was lost is found, and not computed again.
    assert 29 - 4 * 4 <= summary.computed[LITE0] <= 29
    assert content(summary.paths[0]) == content(undisturbed)


def test_workers_give_the_rows_of_one_process(
    ray: cluster.Cluster, data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    assert ray.workers == 2
    summary = extract(scan(data), [LITE0], tmp_path, SETTINGS, schedule=ray)
    assert summary.computed == {LITE0: 29} and [row.id for row in summary.unreadable] == ["cat.3"]
    assert content(summary.paths[0]) == content(undisturbed)
    assert not list((tmp_path / feature_file.SHARD_FOLDER).rglob("*.h5"))


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="workers are found by Linux's /proc")
def test_a_worker_is_killed(ray: cluster.Cluster, data: Path, undisturbed: Path, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill() -> None:
        killed.append(workers()[0])
        os.kill(killed[0], signal.SIGKILL)

    check_disturbed(Disturbed(ray, kill), data, undisturbed, tmp_path)
    assert killed


def test_a_shard_that_fails_three_times_is_named_and_the_rest_is_kept(
    ray: cluster.Cluster, data: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "workers", 1)  # each attempt has a new pool of workers
    dataset = scan(data)
    photographs = list(dataset.photographs)
    photographs[8] = photographs[8]._replace(location=Location(Path("/"), None))  # type: ignore[arg-type]
    with refused(StoreError, r"1 of 8 shards failed, the first with train/cat.8: .*NoneType"):
        extract(replace(dataset, photographs=tuple(photographs)), [LITE0], tmp_path, SETTINGS, schedule=ray)
    assert not list(tmp_path.glob("*.h5"))
    summary = extract(dataset, [LITE0], tmp_path, SETTINGS, schedule=ray)
    assert summary.computed == {LITE0: 4}
    assert content(summary.paths[0]) == content(undisturbed)


def test_weights_are_refused_before_any_photograph_is_read(ray: cluster.Cluster, data: Path, tmp_path: Path) -> None:
    settings = Settings(str(tmp_path / "none"), batch_size=4)
    with refused(WeightsError, "No such folder of weights"):
        extract(scan(data), ["ResNet50"], tmp_path / "out", settings, schedule=ray)


def test_a_worker_reads_only_what_concerns_its_stretches(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An addition, and a renamed photograph: neither parts nor vectors are read for it, nor another's shards."""
    monkeypatch.setattr(virtual, "VIRTUAL_ROWS", 10)
    copied = tmp_path / "data"
    shutil.copytree(data, copied)
    out = tmp_path / "out"
    recipes = extract_module.settle_recipes((BACKBONES[LITE0],), out, SETTINGS)
    extract(scan(copied), [LITE0], out, SETTINGS)
    (copied / "train/dog.50.jpg").write_bytes(jpeg(1234))
    (copied / "train/dog.0.jpg").rename(copied / "train/dog.60.jpg")
    dataset, read = scan(copied), []
    job = Job(copied, (BACKBONES[LITE0],), recipes, out, SETTINGS)
    reading = hdf5.reading

    def noting(path: Path, *more: Any) -> Any:
        read.append(path.name)
        return reading(path, *more)

    rows = [row for row in dataset.photographs if row.id in ("dog.50", "dog.60", "dog.1")]
    told = cluster._told(Stretch(3, tuple(rows)), running.running_networks(job))
    monkeypatch.setattr(hdf5, "reading", noting)
    (done,) = cluster._Worker(job, 3)({"stretch": [told]})["done"]
    assert (done.number, done.computed, done.failure, len(done.outcomes)) == (3, {LITE0: 1}, "", 3)
    assert set(read) == {f".{LITE0}.index"}  # to see that dog.60 was renamed


@pytest.mark.parametrize(
    ("address", "kind", "problem"),
    [
        ("127.0.0.1:1", ClusterError, "No Ray cluster answers at 127.0.0.1:1: .*refused"),
        ("nowhere.invalid:6379", ClusterError, "No Ray cluster answers"),
        ("ray://127.0.0.1:10001", UsageError, "is no address"),
        ("127.0.0.1", UsageError, "is no address"),
    ],
)
def test_no_cluster_at_the_address(address: str, kind: type[CatsdogsError], problem: str) -> None:
    with refused(kind, problem), cluster.connected(address, 1):
        pass


def test_the_file_for_rays_launcher_is_one() -> None:
    import yaml
    from ray.autoscaler._private.util import prepare_config, validate_config

    described = yaml.safe_load((Path(__file__).parents[2] / "docs" / "cluster.yaml").read_text())
    validate_config(prepare_config(described))

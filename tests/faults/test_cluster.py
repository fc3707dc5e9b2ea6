"""Workers and nodes of a cluster that die, hang, or are cut off while shards are under way."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from catsdogs.backbones import TABLE
from catsdogs.dataset import scan
from catsdogs.extract import extract
from tests.conftest import need
from tests.faults.matrix import FULL

need("ray")
need(str(TABLE["EfficientNetLite0"].package))

from ray.cluster_utils import Cluster as Nodes  # noqa: E402

from catsdogs import cluster  # noqa: E402
from tests.test_cluster import LITE0, SETTINGS, content, data, small_shards, undisturbed  # noqa: E402, F401

pytestmark = pytest.mark.fault("cluster")


class Disturbed:
    """A cluster to which something happens once two stretches have come back."""

    def __init__(self, schedule: cluster.Cluster, disturb: Callable[[], object]) -> None:
        self.schedule, self.disturb, self.seconds = schedule, disturb, 0.0
        self.recipes = schedule.recipes

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


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    need_proc = Path("/proc/self/cmdline").exists()
    if not need_proc:
        pytest.skip("workers are found by Linux's /proc")
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.add_node(num_cpus=1)
    yield nodes
    nodes.shutdown()


@pytest.fixture(scope="module")
def connected(nodes: Nodes) -> Iterator[cluster.Cluster]:
    with cluster.connected(nodes.address, cores=1) as schedule:
        yield schedule


def check(schedule: Disturbed, data: Path, undisturbed: Path, out: Path) -> None:  # noqa: F811
    summary = extract(scan(data), [LITE0], out, SETTINGS, schedule=schedule)
    assert summary.computed == {LITE0: 29}, "lost, or computed twice"
    assert content(summary.paths[0]) == content(undisturbed)


def test_a_worker_is_killed(
    connected: cluster.Cluster,
    data: Path,  # noqa: F811
    undisturbed: Path,  # noqa: F811
    tmp_path: Path,
    saw: Callable[[str], None],
) -> None:
    killed: list[int] = []

    def kill() -> None:
        killed.append(workers()[0])
        os.kill(killed[0], signal.SIGKILL)

    schedule = Disturbed(connected, kill)
    check(schedule, data, undisturbed, tmp_path)
    assert killed
    saw("a worker of two killed: the others' and a second pool's rows are those of one process")


def test_a_worker_hangs_for_a_while(
    connected: cluster.Cluster,
    data: Path,  # noqa: F811
    undisturbed: Path,  # noqa: F811
    tmp_path: Path,
    saw: Callable[[str], None],
) -> None:
    stopped: list[int] = []

    def stop() -> None:
        stopped.append(workers()[0])
        os.kill(stopped[0], signal.SIGSTOP)
        threading.Timer(3, os.kill, (stopped[0], signal.SIGCONT)).start()

    check(Disturbed(connected, stop), data, undisturbed, tmp_path)
    assert stopped
    saw("a worker stopped for 3 s: its shards came late, once")


def test_a_node_is_killed(
    nodes: Nodes,
    connected: cluster.Cluster,
    data: Path,  # noqa: F811
    undisturbed: Path,  # noqa: F811
    tmp_path: Path,
    saw: Callable[[str], None],
) -> None:
    node = nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    schedule = Disturbed(connected, lambda: nodes.remove_node(node, allow_graceful=False))
    connected.workers = 3
    check(schedule, data, undisturbed, tmp_path)
    saw("a node of three killed")


@pytest.mark.skipif(not FULL, reason="`invoke faults` only: it takes a minute")
def test_the_network_between_nodes_is_cut(
    data: Path,  # noqa: F811
    undisturbed: Path,  # noqa: F811
    tmp_path: Path,
    saw: Callable[[str], None],
) -> None:
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("a network of its own takes root and iproute2")
    # Ray finds out within seconds here instead of half a minute.
    quick = {f"RAY_health_check_{name}": "1000" for name in ("initial_delay_ms", "period_ms", "timeout_ms")}
    environment = os.environ | quick | {"RAY_health_check_failure_threshold": "3"}

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, env=environment, timeout=120)

    ray, space = str(Path(os.sys.executable).with_name("ray")), "catsdogs"  # type: ignore[attr-defined]
    run("ip", "netns", "add", space)
    try:
        run("ip", "link", "add", "cd-here", "type", "veth", "peer", "name", "cd-there")
        run("ip", "link", "set", "cd-there", "netns", space)
        run("ip", "addr", "add", "10.77.0.1/24", "dev", "cd-here")
        run("ip", "link", "set", "cd-here", "up")
        inside = ("ip", "netns", "exec", space)
        run(*inside, "ip", "addr", "add", "10.77.0.2/24", "dev", "cd-there")
        run(*inside, "ip", "link", "set", "cd-there", "up")
        run(*inside, "ip", "link", "set", "lo", "up")
        head = ("--node-ip-address=10.77.0.1", "--port=6399", "--num-cpus=1", "--include-dashboard=false")
        run(ray, "start", "--head", *head)
        run(*inside, ray, "start", "--address=10.77.0.1:6399", "--node-ip-address=10.77.0.2", "--num-cpus=1")
        with cluster.connected("10.77.0.1:6399", cores=1) as schedule:
            assert schedule.workers == 2
            cut = Disturbed(schedule, lambda: run("ip", "link", "set", "cd-here", "down"))
            check(cut, data, undisturbed, tmp_path)
        saw(f"the link between two nodes' network namespaces taken down: finished in {cut.seconds:.0f} s")
    finally:
        subprocess.run([ray, "stop", "--force"], check=False, capture_output=True, timeout=120)
        subprocess.run(["ip", "netns", "delete", space], check=False, capture_output=True, timeout=60)

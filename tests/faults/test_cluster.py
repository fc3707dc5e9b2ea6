"""Workers and nodes of a cluster that die, hang, or are cut off while shards are under way."""

import contextlib
import functools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from catsdogs.features import feature_file
from catsdogs.features.extract import extract
from catsdogs.networks.table import BACKBONES
from catsdogs.photographs.dataset import scan
from tests.conftest import need

need("ray")
need(str(BACKBONES["EfficientNetLite0"].package))

from ray.cluster_utils import Cluster as Nodes  # noqa: E402

from catsdogs.features import cluster  # noqa: E402
from tests.features.test_cluster import (  # noqa: E402
    LITE0,
    SETTINGS,
    Disturbed,
    check_disturbed,
    content,
    data,  # noqa: F401 - a fixture, as the next two
    small_shards,  # noqa: F401
    undisturbed,  # noqa: F401
    workers,
)

# The plain suite has a killed worker in tests/features/test_cluster.py.
pytestmark = [pytest.mark.fault("cluster"), pytest.mark.only_in_full]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("workers are found by Linux's /proc")
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.add_node(num_cpus=1)
    yield nodes
    nodes.shutdown()


@pytest.fixture(scope="module")
def connected(nodes: Nodes) -> Iterator[cluster.Cluster]:
    with cluster.connected(nodes.address, cores=1) as schedule:
        yield schedule


def test_workers_on_three_nodes_give_the_rows_of_one_process(
    nodes: Nodes,
    connected: cluster.Cluster,
    data: Path,  # noqa: F811
    undisturbed: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    saw: Callable[[str], None],
) -> None:
    node = nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    monkeypatch.setattr(connected, "workers", 3)
    summary = extract(scan(data), [LITE0], tmp_path, SETTINGS, schedule=connected)
    nodes.remove_node(node)
    assert summary.computed == {LITE0: 29} and [row.id for row in summary.unreadable] == ["cat.3"]
    assert content(summary.paths[0]) == content(undisturbed)
    assert not list((tmp_path / feature_file.SHARD_FOLDER).rglob("*.h5"))
    saw("three workers on three nodes: the rows of one process")


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
    check_disturbed(schedule, data, undisturbed, tmp_path)
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

    check_disturbed(Disturbed(connected, stop), data, undisturbed, tmp_path)
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
    check_disturbed(schedule, data, undisturbed, tmp_path)
    saw("a node of three killed")


# Extracts on two nodes, and takes a network device down once two stretches have come back.
_CUT = """
import subprocess, sys
from pathlib import Path
from catsdogs.features import cluster, extract
from catsdogs.photographs.dataset import scan
from tests.features.test_cluster import SETTINGS, Disturbed

data, out, address, device = sys.argv[1:]
extract.SHARD_ROWS = 4
with cluster.connected(address, 1) as schedule:
    assert schedule.workers == 2
    cut = Disturbed(schedule, lambda: subprocess.run(["ip", "link", "set", device, "down"], check=True))
    extract.extract(scan(Path(data)), ["EfficientNetLite0"], Path(out), SETTINGS, schedule=cut)
    print(cut.seconds)
"""
_SPACE, _HERE, _THERE, _HEAD, _NODE, _PORT = "catsdogs", "cd-here", "cd-there", "10.77.0.1", "10.77.0.2", 6399


@pytest.fixture
def two_networks() -> Iterator[dict[str, str]]:
    """Two nodes, the second in a network of its own, joined by one cable; the environment in which both run."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("a network of its own takes root and iproute2")
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    inside, ray = ("ip", "netns", "exec", _SPACE), str(Path(sys.executable).with_name("ray"))
    run = functools.partial(subprocess.run, check=True, capture_output=True, timeout=60)
    start = functools.partial(
        subprocess.Popen, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    started: list[subprocess.Popen[bytes]] = []
    run(["ip", "netns", "add", _SPACE])
    try:
        run(["ip", "link", "add", _HERE, "type", "veth", "peer", "name", _THERE, "netns", _SPACE])
        run(["ip", "addr", "add", f"{_HEAD}/24", "dev", _HERE])
        run(["ip", "link", "set", _HERE, "up"])
        run([*inside, "ip", "addr", "add", f"{_NODE}/24", "dev", _THERE])
        for device in (_THERE, "lo"):
            run([*inside, "ip", "link", "set", device, "up"])
        how = ("--num-cpus=1", "--block")
        head = ("--head", f"--node-ip-address={_HEAD}", f"--port={_PORT}", "--include-dashboard=false")
        started.append(start([ray, "start", *head, *how]))
        for _ in range(60):
            with contextlib.suppress(OSError):
                socket.create_connection((_HEAD, _PORT), 1).close()
                break
            time.sleep(1)
        node = (f"--address={_HEAD}:{_PORT}", f"--node-ip-address={_NODE}")
        started.append(start([*inside, ray, "start", *node, *how]))
        time.sleep(15)  # it has joined
        yield environment
    finally:
        for process in started:
            process.terminate()
        for pid in run(["ip", "netns", "pids", _SPACE]).stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        run(["ip", "netns", "delete", _SPACE])
        for process in started:
            process.wait(60)


def test_the_network_between_nodes_is_cut(
    two_networks: dict[str, str],
    data: Path,  # noqa: F811
    undisturbed: Path,  # noqa: F811
    tmp_path: Path,
    saw: Callable[[str], None],
) -> None:
    command = [sys.executable, "-c", _CUT, str(data), str(tmp_path), f"{_HEAD}:{_PORT}", _HERE]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=400, env=two_networks)
    assert ended.returncode == 0, ended.stderr
    seconds = ended.stdout.split()[-1]
    assert content(tmp_path / f"{LITE0}.h5") == content(undisturbed)
    saw(f"the cable between two nodes' networks pulled: finished on one of them, after {float(seconds):.0f} s")

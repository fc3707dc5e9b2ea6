"""Shards computed on many machines, by a pool of Ray Data's actors, which keep their networks loaded."""

import contextlib
import logging
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext

from catsdogs.errors import CatsdogsError, ClusterError, UsageError
from catsdogs.features import extract, running, worker
from catsdogs.features.cache import Cache
from catsdogs.features.recipes import Recipe
from catsdogs.features.running import Job, RunningNetwork, Settings
from catsdogs.features.worker import SHARD_ROWS, Done, Stretch
from catsdogs.files import storage
from catsdogs.networks.quiet import quiet_import
from catsdogs.networks.table import Backbone
from catsdogs.photographs.dataset import Dataset, Location, Photograph

ANY_ADDRESS = "auto"
POOLS_TRIED = 3  # pools of workers, one after the other, that a stretch is tried on
_CONNECT_SECONDS = 10
_STRETCHES_PER_WORKER = 2  # while the last batches of one are computed, the next is decoded
# Ray Data renames what becomes of a task whose worker dies in 2.64; pyproject.toml asks for an earlier version.
warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
_DIED = "the worker that computed it died, of too little memory perhaps"


@contextlib.contextmanager
def connected(address: str, cores: int) -> Iterator["Cluster"]:
    """The cluster at an address, `host:6379`. `auto` is the one that this machine belongs to, or this machine alone.

    Args:
        cores: of a worker, on machines without GPUs; on a cluster with GPUs each worker has one of them.

    Raises:
        ClusterError: none answers there, or it was lost.
    """
    _check_reachable(address)
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    options = {"log_to_driver": False, "logging_level": logging.CRITICAL, "include_dashboard": False}
    try:
        with quiet_import():
            try:
                ray.init(address, **options)
            except ConnectionError:
                if address != ANY_ADDRESS:
                    raise
                ray.init("local", **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ClusterError(
            f"No Ray cluster answers at {address}: {reason}",
            "Check the address (host:6379) and that Ray has the same version there, or give --cluster auto",
        ) from None
    try:
        yield Cluster(cores)
    except ray.exceptions.RayError as error:
        raise ClusterError(
            f"The Ray cluster was lost: {str(error).splitlines()[0]}",
            "Run the same command again: finished shards are kept",
        ) from error
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Refuse an address that does not answer within seconds. Ray itself would try for many minutes."""
    if address == ANY_ADDRESS:
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise UsageError(f"--cluster {address} is no address", "Give host:port, such as 10.0.0.1:6379, or auto")
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"No Ray cluster answers at {address}: {error}", "Check the address, or give --cluster auto"
        ) from None


class Cluster(extract.ThisMachine):
    """Stretches on whichever worker has room, each tried on up to `POOLS_TRIED` pools."""

    def __init__(self, cores: int) -> None:
        super().__init__()
        nodes = _living_nodes()
        processors = [node["CPU"] for node in nodes]
        if not nodes:
            raise ClusterError("No node of the Ray cluster offers a processor", "Start nodes with --num-cpus above 0")
        # More than the smallest node has would leave that node idle.
        self.cores = int(max(1, min(cores, *processors)))
        self.gpus = int(any(node.get("GPU", 0) >= 1 for node in nodes))
        self.workers = self._room()

    def _room(self) -> int:
        """For how many workers there is room on the living nodes."""
        if self.gpus:
            return int(sum(node.get("GPU", 0) for node in _living_nodes()))
        return int(sum(node["CPU"] // self.cores for node in _living_nodes()))

    def recipes(
        self, dataset: Dataset, backbones: Sequence[Backbone], out: Path, settings: Settings
    ) -> tuple[Recipe, ...]:
        """As `ThisMachine.recipes`. A worker settles them, for its processor may be another than this one's."""
        settle = _settle_on_worker.options(num_cpus=self.cores, num_gpus=self.gpus)
        try:
            first = tuple(map(_with_full_path, dataset.photographs[:SHARD_ROWS]))
            job = Job(dataset.root.resolve(), tuple(backbones), (), out.resolve(), _with_absolute_paths(settings))
            settled, notes = ray.get(settle.remote(job, first))
        except ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, CatsdogsError) else error from None
        self.notes += notes
        return tuple(settled)

    def compute(
        self, job: Job, networks: list[RunningNetwork], stretches: Sequence[Stretch], tick: Callable[[int], object]
    ) -> Iterator[Done]:
        """As `ThisMachine.compute`."""
        settings = replace(_with_absolute_paths(job.settings), cores=self.cores)
        job = Job(job.root.resolve(), job.backbones, job.recipes, job.out.resolve(), settings)
        waiting = {
            one.number: one._replace(photographs=tuple(map(_with_full_path, one.photographs))) for one in stretches
        }
        reasons: dict[int, str] = {}
        for _ in range(POOLS_TRIED):
            for done in self._once(job, list(waiting.values())):
                if done.failure:
                    reasons[done.number] = done.failure
                    continue
                tick(len(waiting.pop(done.number).photographs))
                yield done
            if not waiting:
                break
        for number in waiting:
            yield Done(number, failure=reasons.get(number, _DIED))
        for network, recipe in zip(networks, job.recipes, strict=True):
            network.cache = Cache(job.out, recipe)

    def _once(self, job: Job, stretches: Sequence[Stretch]) -> Iterator[Done]:
        """The outcome of each stretch, except for those whose worker died."""
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1
        pool = ActorPoolStrategy(
            size=max(1, min(self.workers, self._room(), len(stretches))),
            max_tasks_in_flight_per_actor=_STRETCHES_PER_WORKER,
            max_concurrent_calls_per_actor=_STRETCHES_PER_WORKER,
            enable_true_multi_threading=True,
        )
        # Items are sent along, so that no task has to read them: on a cluster full of workers it would wait for ever.
        items = [{"stretch": stretch} for stretch in stretches]
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # progress and failures are shown as on one machine
        waiting = ray.data.from_items(items, override_num_blocks=len(items))
        results = waiting.map_batches(
            _Worker,
            fn_constructor_args=(job, sum(len(stretch.photographs) for stretch in stretches)),
            batch_size=1,
            batch_format="numpy",
            compute=pool,
            num_cpus=self.cores,
            num_gpus=self.gpus,
            max_task_retries=0,  # the next pool tries the stretches of a dead worker again, and they are counted
        )
        for row in results.iter_rows():
            yield row["done"]


class _Worker:
    """An actor: networks that stay loaded, and the shard function."""

    def __init__(self, job: Job, photographs: int) -> None:
        self._error = ""
        try:
            self._members = running.running_networks(job)
            self._loader = worker.loader_of(job, self._members, photographs)
        except CatsdogsError as error:
            self._error = str(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Done]]:
        stretch: Stretch = batch["stretch"][0]
        if self._error:
            return {"done": [Done(stretch.number, failure=self._error)]}
        try:
            (done,) = worker.compute_shards(self._members, [stretch], self._loader)
        except Exception as error:  # any failure is reported with its stretch, and the other stretches go on
            done = Done(stretch.number, failure=str(error) or type(error).__name__)
        return {"done": [done]}


def _living_nodes() -> list[dict[str, float]]:
    """The resources of each living node that has a processor."""
    offers = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [offer for offer in offers if offer.get("CPU", 0) >= 1]


@ray.remote(max_retries=0)
def _settle_on_worker(job: Job, first: tuple[Photograph, ...]) -> tuple[tuple[Recipe, ...], list[str]]:
    """Settle the recipes, and load the networks: each is built once here before all workers need it."""
    recipes = extract.settle_recipes(job.backbones, job.out, job.settings)
    networks = running.running_networks(replace(job, recipes=recipes))
    notes = running.load_new_networks(job, networks, first)
    return tuple(network.cache.recipe for network in networks), notes


def _with_absolute_paths(settings: Settings) -> Settings:
    folder = settings.weights_dir and str(Path(settings.weights_dir).expanduser().resolve())
    return replace(settings, weights_dir=folder)


def _with_full_path(photograph: Photograph) -> Photograph:
    """Workers run in folders of their own."""
    container, name = photograph.location
    if storage.is_remote(container) or container.is_absolute():
        return photograph
    return photograph._replace(location=Location(container.absolute(), name))

"""The networks of a job as they run on one machine: their engines, weights and caches, loaded when first needed."""

import contextlib
import functools
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from catsdogs.errors import UnreadablePhotographError, UsageError, WeightsError
from catsdogs.features.cache import Cache, DigestedPhotograph
from catsdogs.features.recipes import Recipe
from catsdogs.networks import trained
from catsdogs.networks.engines import export, interface, selection
from catsdogs.networks.engines.interface import AUTO, Engine, Network
from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import Weights, obtain, of_folds
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset, Photograph
from catsdogs.progress import Progress

_TRIED_PHOTOGRAPHS = 16  # a precision is tried on so many

EngineOf = Callable[[str, str], Engine]


@dataclass(frozen=True)
class Settings:
    """How to compute vectors. `auto` follows what the feature file was written with, else what suits the machine.

    `cores` is how many a network computes on at most; None is all.
    """

    weights_dir: str | None = None
    engine: str = AUTO
    precision: str = AUTO
    batch_size: int | None = None
    dtype: str = "float32"
    devices: str = AUTO
    cores: int | None = None


@dataclass(frozen=True)
class Job:
    """What a worker has to know: the data set's root, the networks and their recipes in the same order, the folder."""

    root: Path
    backbones: tuple[Backbone, ...]
    recipes: tuple[Recipe, ...]
    out: Path
    settings: Settings


def engines(settings: Settings) -> EngineOf:
    """The engine of a name and precision, made when it is first asked for: a complete cache needs none."""

    @functools.cache
    def engine_of(name: str, precision: str) -> Engine:
        return selection.create_engine(name, precision, settings.batch_size, settings.devices, settings.cores)

    return engine_of


@dataclass
class RunningNetwork:
    """One network of the ensemble. It is loaded when it is first needed.

    A network that was trained here has a member that learnt from all its photographs, number 0, and one for each fold
    that did not learn from this fold. A photograph goes through a member that never learnt from it, if there is one, so
    that its vector does not know its label.
    """

    backbone: Backbone
    weights: Weights
    cache: Cache
    get_engine: EngineOf
    writing: threading.Lock = field(default_factory=threading.Lock)  # a worker may have two stretches under way
    loaded: dict[int, Network] = field(default_factory=dict)
    shared: "dict[tuple[object, ...], Network]" = field(default_factory=dict)  # with all networks of the job
    loading: list[Future[None]] = field(default_factory=list)  # likewise, of those that load in the background

    @property
    def engine(self) -> Engine:
        return self.get_engine(self.cache.recipe.engine, self.cache.recipe.precision)

    @cached_property
    def fold_weights(self) -> dict[int, Weights]:
        return of_folds(self.backbone)

    @cached_property
    def member_of_digest(self) -> dict[int, int]:
        """Digest of a photograph that the network learnt from -> the number of the member that it goes through."""
        return trained.fold_of_digest(self.backbone.trained) if self.backbone.trained else {}

    def learnt_from(self, entries: Sequence[DigestedPhotograph]) -> int:
        """How many of these photographs the member that they go through has learnt from."""
        if not self.member_of_digest:
            return 0
        return sum(self.member_of_digest.get(entry.digest) == 0 for entry in entries)

    @property
    def notes(self) -> list[str]:
        """What the user should know of how it ran."""
        return [network.note for network in self.loaded.values() if network.note]

    def load(self, member: int = 0) -> Network:
        """The network, once all are loaded that load in the background: if one does not fit, nothing is computed.

        Raises:
            WeightsError: the weights of one of them do not fit.
        """
        self.wait()
        return self.load_now(member)

    def wait(self) -> None:
        """Wait until all are loaded that load in the background; raises as `load`."""
        for others in self.loading:
            others.result()

    def load_now(self, member: int = 0) -> Network:
        """The network, without waiting for others."""
        if member not in self.loaded:
            weights = self.fold_weights[member] if member else self.weights
            network, recipe = self.backbone.network, self.cache.recipe
            key = (network, weights, recipe.engine, recipe.precision)
            if key not in self.shared:  # several vectors of a network come out of one
                self.shared[key] = self.engine.load(network, weights)
            self.loaded[member] = self.shared[key]
        return self.loaded[member]


def running_networks(job: Job, cache_of: Callable[[Path, Recipe], Cache] = Cache) -> list[RunningNetwork]:
    """The networks of a job, each with its cache; none is loaded yet.

    Args:
        cache_of: opens the cache of a recipe in a folder.

    Raises:
        WeightsError: the weights are missing on this machine, or are others than the job's.
        StoreError: a feature file was written by another recipe.
    """
    engine_of, networks = engines(job.settings), []
    shared: dict[tuple[object, ...], Network] = {}
    loading: list[Future[None]] = []
    for backbone, recipe in zip(job.backbones, job.recipes, strict=True):
        weights = obtain(backbone, job.settings.weights_dir)
        if weights.sha256 != recipe.weights:
            raise WeightsError(
                f"{backbone.name} has the weights {weights.sha256[:12]}… on this machine, not {recipe.weights[:12]}…",
                "Give every machine the same weights",
            )
        cache = cache_of(job.out, recipe)
        networks.append(RunningNetwork(backbone, weights, cache, engine_of, shared=shared, loading=loading))
    return networks


@contextlib.contextmanager
def loaded_meanwhile(job: Job) -> Iterator[list[RunningNetwork]]:
    """The networks of a job, see `running_networks`; what is loaded of them goes when the block ends, however it ends.

    A notebook keeps the traceback of an interrupted cell, whose frames would keep the networks, their threads and 120
    MB for the smallest of them.
    """
    networks = running_networks(job)
    try:
        yield networks
    except KeyboardInterrupt as interrupt:
        traceback.clear_frames(interrupt.__traceback__)
        export.release()
        raise
    finally:
        for network in networks:
            for loaded in (network.loaded, network.shared, network.loading):
                loaded.clear()
            network.get_engine = engines(job.settings)  # another, which has not made any yet


@contextlib.contextmanager
def loading_new_networks(
    job: Job, networks: Sequence[RunningNetwork], photographs: Sequence[Photograph]
) -> Iterator[list[str]]:
    """Load the networks that have no feature file yet. Where there is one, these very weights have fitted before.

    They load in the background of the block, which begins with the decoding of photographs. See `RunningNetwork.load`.
    A precision that was chosen for a GPU is tried on the first of the photographs. If their vectors are not those of
    float32, the network computes in float32. The value is a sentence for each such network.

    Raises:
        WeightsError: the weights do not fit.
    """
    new = [(one, member) for one in networks if one.cache.is_new for member in (0, *one.fold_weights)]
    notes: list[str] = []
    with ThreadPoolExecutor(1, "preparing") as background:
        if new:
            bar = Progress(len(new), "preparing", "network")
            networks[0].loading.append(background.submit(_prepare, job, new, photographs, bar, notes))
        yield notes
    for loading in networks[0].loading:  # if no photograph could be read, nobody has waited for it
        loading.result()


def _prepare(
    job: Job,
    new: Sequence[tuple[RunningNetwork, int]],
    photographs: Sequence[Photograph],
    bar: Progress,
    notes: list[str],
) -> None:
    """Load networks, in one process that exports those that were never exported, and try their precision."""
    with bar, export.kept():
        for network, member in new:  # all of them first: on a GPU they compile side by side
            network.load_now(member)
            bar.update()
    for network in {id(one): one for one, _ in new}.values() if job.settings.precision == AUTO else ():
        if not _is_exact(job, network, photographs):
            rounded, members = network.cache.recipe.precision, list(network.loaded)
            notes.append(f"{network.backbone.name} computes in float32: {rounded} gives other vectors here")
            # Rows cached in the other precision are not used.
            network.cache = Cache(job.out, replace(network.cache.recipe, precision="float32"))
            network.loaded.clear()
            for member in members:
                network.load_now(member)


def _is_exact(job: Job, network: RunningNetwork, photographs: Sequence[Photograph]) -> bool:
    """Whether a network gives some photographs the vectors that it gives in float32, or is known to."""
    recipe, backbone = network.cache.recipe, network.backbone
    if recipe.engine == "openvino" or recipe.precision == "float32" or not network.cache.is_empty:
        return True  # an earlier run tried it before it wrote shards
    dataset, fit, pixels = Dataset(job.root, (), ()), backbone.fit, []
    for photograph in photographs[:_TRIED_PHOTOGRAPHS]:
        with contextlib.suppress(UnreadablePhotographError):
            pixels.append(images.load(dataset.read(photograph), [fit]).by_fit[fit][0])
    if not pixels:
        return True
    batch = np.zeros((max(network.engine.batch_size, len(pixels)), fit.size, fit.size, 3), np.uint8)
    batch[: len(pixels)] = pixels
    try:
        rounded = network.load_now().submit(batch)().vector[: len(pixels)]
    except UsageError:  # numbers beyond its range
        return False
    exact = selection.exact_vectors(recipe.engine, backbone.network, network.weights, batch[: len(pixels)])
    return interface.agree(rounded, exact)

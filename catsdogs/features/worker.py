"""The shard function: stretches of photographs through all networks, each decoded once -> shards, wherever it runs.

A stretch's batches depend on nothing but its photographs, so it gives the same numbers, bit for bit, on whichever
worker, beside whichever others, and after however many kills.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import UnreadablePhotographError, UsageError, WeightsError
from catsdogs.features.cache import Cache, DigestedPhotograph, ShardRows
from catsdogs.features.feature_file import Recipe
from catsdogs.files import storage
from catsdogs.networks import trained
from catsdogs.networks.engines import interface, selection
from catsdogs.networks.engines.interface import AUTO, Engine, Network, Output
from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import Weights, obtain, of_folds
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset, Photograph
from catsdogs.photographs.images import Pixels
from catsdogs.progress import Progress

SHARD_ROWS = 256
_TRIED_PHOTOGRAPHS = 16  # photographs, to try a precision on
_REMOTE_READERS = 32  # threads that mostly wait for an object store


@dataclass(frozen=True)
class Settings:
    """How to compute vectors. `auto` follows what the feature file was written with, else what suits the machine.

    `cores` bounds those that a network computes on; None is every one.
    """

    weights_dir: str | None = None
    engine: str = AUTO
    precision: str = AUTO
    batch_size: int | None = None
    dtype: str = "float32"
    devices: str = "one"
    cores: int | None = None


@dataclass(frozen=True)
class Job:
    """What a worker has to know: the data set's root, the networks and their recipes, in one order, and where to."""

    root: Path
    backbones: tuple[Backbone, ...]
    recipes: tuple[Recipe, ...]
    out: Path
    settings: Settings


class Stretch(NamedTuple):
    """Those photographs of a fixed stretch of the table that have to be read."""

    number: int
    photographs: tuple[Photograph, ...]


class Done(NamedTuple):
    """What came of a stretch.

    Attributes:
        outcomes: for each photograph its digest, or the reason why it cannot be read.
        computed: backbone -> rows.
        failure: why the stretch could not be computed; there is nothing else then.
    """

    number: int
    outcomes: tuple[int | str, ...] = ()
    computed: dict[str, int] = {}  # noqa: RUF012 - never changed
    failure: str = ""


class Engines:
    """The engines in use, by name and precision, made when first asked for: a complete cache needs none."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engines: dict[tuple[str, str], Engine] = {}

    def __call__(self, name: str, precision: str) -> Engine:
        if (name, precision) not in self._engines:
            how = self._settings
            engine = selection.create(name, precision, how.batch_size, how.devices, how.cores)
            self._engines[name, precision] = self._engines[engine.name, engine.precision] = engine
        return self._engines[name, precision]


@dataclass
class RunningNetwork:
    """One network of the ensemble, loaded when it is first asked for.

    A network that was trained here has a further part for each fold of the photographs it learnt from, and each of
    these goes through the part that never learnt from it: so its vector says nothing of its label.
    """

    backbone: Backbone
    weights: Weights
    cache: Cache
    get_engine: Callable[[str, str], Engine]
    writing: threading.Lock = field(default_factory=threading.Lock)  # a worker may have two stretches under way
    _networks: dict[int, Network] = field(default_factory=dict)

    @property
    def engine(self) -> Engine:
        return self.get_engine(self.cache.recipe.engine, self.cache.recipe.precision)

    @cached_property
    def _parts(self) -> dict[int, Weights]:
        return of_folds(self.backbone)

    @cached_property
    def _folds(self) -> dict[int, int]:
        return trained.fold_of_digest(self.backbone.trained) if self.backbone.trained else {}

    def part_for(self, entry: DigestedPhotograph) -> int:
        """The number of the part that a photograph goes through; 0 is the network as it is for all others."""
        return self._folds.get(entry.digest, 0)

    def learnt_from(self, entries: Sequence[DigestedPhotograph]) -> int:
        """How many of these photographs the part that they go through has learnt from."""
        return sum(self._folds.get(entry.digest) == 0 for entry in entries)

    @property
    def parts(self) -> list[int]:
        """The numbers of all its parts."""
        return [0, *self._parts]

    def take(self, precision: str) -> None:
        """Compute in another precision from now on; what is cached in the one before is not looked at."""
        self.cache = Cache(self.cache.path.parent, replace(self.cache.recipe, precision=precision))
        self._networks.clear()

    @property
    def notes(self) -> list[str]:
        """What the user should know of how its networks ran."""
        return [network.note for network in self._networks.values() if network.note]

    def load(self, part: int = 0) -> Network:
        if part not in self._networks:
            self._networks[part] = self.engine.load(self.backbone, self._parts[part] if part else self.weights)
        return self._networks[part]


def running_networks(job: Job) -> list[RunningNetwork]:
    """The networks of a job, with what is cached of each; none is loaded yet.

    Raises:
        WeightsError: the weights are missing here, or are others than the job's.
        StoreError: a feature file that another recipe wrote, or a damaged one.
    """
    engine_of, members = Engines(job.settings), []
    for backbone, recipe in zip(job.backbones, job.recipes, strict=True):
        weights = obtain(backbone, job.settings.weights_dir)
        if weights.sha256 != recipe.weights:
            raise WeightsError(
                f"{backbone.name} has the weights {weights.sha256[:12]}… on this machine, not {recipe.weights[:12]}…",
                "Give every machine the same weights",
            )
        members.append(RunningNetwork(backbone, weights, Cache(job.out, recipe), engine_of))
    return members


def load_new_networks(job: Job, members: Sequence[RunningNetwork], photographs: Sequence[Photograph]) -> list[str]:
    """Load the networks that have no feature file yet: where there is one, these very weights have fitted before.

    A precision that was chosen for a GPU is tried on the first of the photographs; if their vectors are not those of
    float32, the network computes in float32. Returns a sentence for each of these.

    Raises:
        WeightsError: weights that do not fit, found out before the first photograph is computed.
    """
    new = [(member, part) for member in members if member.cache.existing is None for part in member.parts]
    notes = []
    with Progress(len(new), "preparing", "network") as bar:
        for member, part in new:
            if part == 0 and job.settings.precision == AUTO and not _is_exact(job, member, photographs):
                rounded = member.cache.recipe.precision
                notes.append(f"{member.backbone.name} computes in float32: {rounded} gives other vectors here")
                member.take("float32")
            member.load(part)
            bar.update()
    return notes


def _is_exact(job: Job, member: RunningNetwork, photographs: Sequence[Photograph]) -> bool:
    """Whether a network gives the vectors of some photographs as in float32, or is known to."""
    recipe, backbone = member.cache.recipe, member.backbone
    if recipe.engine != "keras" or recipe.precision == "float32" or member.cache.identities:
        return True  # shards of an earlier run have been through this
    from catsdogs.networks.engines.keras import exact_vectors

    dataset, side, pixels = Dataset(job.root, (), ()), backbone.input_size, []
    for photograph in photographs[:_TRIED_PHOTOGRAPHS]:
        with contextlib.suppress(UnreadablePhotographError):
            pixels.append(images.load(dataset.read(photograph), [side]).by_size[side])
    if not pixels:
        return True
    batch = np.zeros((max(member.engine.batch_size, len(pixels)), side, side, 3), np.uint8)
    batch[: len(pixels)] = pixels
    try:
        rounded = member.load().submit(batch)().vector[: len(pixels)]
    except UsageError:  # numbers beyond its range
        return False
    return interface.agree(rounded, exact_vectors(backbone, member.weights, batch[: len(pixels)]))


def compute_shards(
    dataset: Dataset,
    members: Sequence[RunningNetwork],
    stretches: Iterable[Stretch],
    tick: Callable[[], object] = lambda: None,
) -> Iterator[Done]:
    """Load each photograph, compute what is missing of it, write a shard for each network; in the order of stretches.

    While one stretch is computed, the next is decoded and the last one written. Of the data set only `read` is used.
    `tick` is called for each photograph.

    Raises:
        StoreError: a shard cannot be written, or an object store went on failing.
    """

    def load(photograph: Photograph) -> _Loaded:
        return _load_photograph(dataset, members, photograph)

    stretches = list(stretches)
    threads, ahead = max(selection.decoding_threads(member.cache.recipe.engine) for member in members)
    if storage.is_remote(dataset.root):
        threads = max(threads, _REMOTE_READERS)
    photographs = chain.from_iterable(stretch.photographs for stretch in stretches)
    stream = images.in_parallel(load, photographs, ahead, threads)
    writing: Future[Done] | None = None
    # A thread of its own waits for a shard's results and writes them, so that the networks never wait for the disk.
    with ThreadPoolExecutor(1, "writer") as writer:
        for stretch in stretches:
            shards = [_Shard(member) for member in members]
            outcomes = []
            for _ in stretch.photographs:
                loaded = next(stream)
                for shard in shards:
                    if shard.member.backbone.name in loaded.needed_by:
                        shard.add(loaded)
                outcomes.append(loaded.reason or loaded.entry.digest)
                tick()
            for shard in shards:
                shard.close()
            if writing:
                yield writing.result()
            writing = writer.submit(_write_shards, stretch.number, shards, tuple(outcomes))
        if writing:
            yield writing.result()


@dataclass(frozen=True)
class _Loaded:
    """A photograph, read; its pixels if some network still needs them, or the reason why there are none."""

    entry: DigestedPhotograph
    needed_by: tuple[str, ...] = ()
    pixels: Pixels | None = None
    reason: str = ""


@dataclass
class _Shard:
    """The photographs of one stretch on their way through one network.

    Each part of a network gathers batches of its own; `results` are the rows of a batch, and the wait for its output.
    """

    member: RunningNetwork
    rows: list[_Loaded] = field(default_factory=list)
    waiting: dict[int, list[int]] = field(default_factory=dict)
    results: list[tuple[list[int], Callable[[], Output]]] = field(default_factory=list)

    def add(self, loaded: _Loaded) -> None:
        part = self.member.part_for(loaded.entry)
        self.waiting.setdefault(part, []).append(len(self.rows))
        self.rows.append(loaded)
        if len(self.waiting[part]) == self.member.engine.batch_size:
            self._submit(part)

    def close(self) -> None:
        """Send what is left as batches of full size, so that compiled networks see a single shape."""
        for part in list(self.waiting):
            self._submit(part)

    def write(self) -> int:
        """Wait for the network, keep the rows, and say how many there are."""
        if not self.rows:
            return 0
        outputs = [result() for _, result in self.results]
        order = np.argsort(np.concatenate([rows for rows, _ in self.results]))

        def gather(name: str) -> NDArray:
            batches = zip(outputs, self.results, strict=True)
            return np.concatenate([getattr(output, name)[: len(rows)] for output, (rows, _) in batches])[order]

        labelled = outputs[0].topk_class is not None
        rows = ShardRows(
            key=np.array([row.entry.key for row in self.rows], object),
            digest=np.array([row.entry.digest for row in self.rows], np.uint64),
            vector=gather("vector"),
            statistics=np.stack([row.pixels.statistics for row in self.rows if row.pixels]),
            topk_class=gather("topk_class") if labelled else None,
            topk_prob=gather("topk_prob") if labelled else None,
        )
        with self.member.writing:
            self.member.cache.write_shard(rows, self.member.engine.backend)
        return len(self.rows)

    def _submit(self, part: int) -> None:
        size, side = self.member.engine.batch_size, self.member.backbone.input_size
        batch = np.zeros((size, side, side, 3), np.uint8)
        positions = self.waiting.pop(part)
        for place, position in enumerate(positions):
            row = self.rows[position]
            assert row.pixels is not None  # noqa: S101 - only readable photographs are added
            batch[place] = row.pixels.by_size[side]
            self.rows[position] = replace(row, pixels=Pixels({}, row.pixels.statistics))
        self.results.append((positions, self.member.load(part).submit(batch)))


def _load_photograph(dataset: Dataset, members: Sequence[RunningNetwork], photograph: Photograph) -> _Loaded:
    """Read a photograph, and decode it at the sizes of the networks that lack its row."""
    entry = DigestedPhotograph(photograph, 0)
    try:
        data = dataset.read(photograph)
        entry = DigestedPhotograph(photograph, images.digest(data))
        needing = [member for member in members if entry not in member.cache]
        if not needing:
            return _Loaded(entry)
        sizes = {member.backbone.input_size for member in needing}
        names = tuple(member.backbone.name for member in needing)
        return _Loaded(entry, names, images.load(data, sizes))
    except UnreadablePhotographError as error:
        return _Loaded(entry, reason=error.reason)


def _write_shards(number: int, shards: Sequence[_Shard], outcomes: tuple[int | str, ...]) -> Done:
    return Done(number, outcomes, {shard.member.backbone.name: shard.write() for shard in shards})

"""Computes shards: stretches of photographs go through all networks, each photograph decoded once.

A stretch's batches depend on nothing but its photographs. So it gives the same numbers, bit for bit, on whichever
worker, beside whichever others, and after however many kills.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.features.cache import DigestedPhotograph, ShardRows
from catsdogs.features.running import Job, RunningNetwork
from catsdogs.files import storage
from catsdogs.files.cores import usable
from catsdogs.networks.engines import interface, selection
from catsdogs.networks.engines.interface import Network, Output
from catsdogs.photographs import loading
from catsdogs.photographs.blocks import Block
from catsdogs.photographs.dataset import Photograph
from catsdogs.photographs.fitting import Fit
from catsdogs.photographs.loading import Loaded, Loader, Request

SHARD_ROWS = 256
WORTH_PROCESSES = 1000  # photographs: three seconds of one core, and starting a process takes a third of one
_REMOTE_READERS = 32  # threads that mostly wait for an object store


class Stretch(NamedTuple):
    """The photographs to be read of a stretch, at most `SHARD_ROWS`, in the order of the data set; see `packing`."""

    number: int
    photographs: tuple[Photograph, ...]


class Done(NamedTuple):
    """The outcome of a stretch.

    Attributes:
        outcomes: for each photograph its digest, or the reason why it cannot be read.
        computed: backbone -> rows.
        failure: why the stretch could not be computed; everything else is empty then.
    """

    number: int
    outcomes: tuple[int | str, ...] = ()
    computed: dict[str, int] = {}  # noqa: RUF012 - never changed
    failure: str = ""


def loader_of(job: Job, networks: Sequence[RunningNetwork], photographs: int) -> Loader:
    """What loads so many photographs for the networks, on as many cores as this worker has.

    OpenVINO computes on every core, and more threads take the processor's caches from it: 4 % on two cores. Beside a
    GPU every core loads, by processes, which Python's lock does not hold up but which take a moment to start. Where the
    processor computes, networks are the slower half, so threads do. They also wait for an object store.
    """
    fits = {network.backbone.fit for network in networks}
    cores = job.settings.cores or usable()
    if storage.is_remote(job.root):
        return loading.by_threads(max(cores, _REMOTE_READERS), SHARD_ROWS, fits)
    if all(network.cache.recipe.engine == "openvino" for network in networks):
        return loading.by_threads(max(1, cores // 2), SHARD_ROWS, fits)
    if photographs < WORTH_PROCESSES or cores == 1 or not selection.accelerator_in_sight():
        return loading.by_threads(cores, SHARD_ROWS, fits)
    return loading.by_processes(cores, SHARD_ROWS, fits)


def compute_shards(
    networks: Sequence[RunningNetwork],
    stretches: Iterable[Stretch],
    loader: Loader,
    tick: Callable[[], object] = lambda: None,
    is_first: bool = False,
) -> Iterator[Done]:
    """Load each photograph, compute the rows it lacks, and write a shard for each network, stretch by stretch.

    While one stretch is computed, the next is decoded and the last one written. `tick` is called for each photograph.
    `is_first` says that no network has any of these rows, so that nobody looks for them.

    Raises:
        StoreError: a shard cannot be written, or an object store went on failing.
    """
    stretches = list(stretches)
    stream = loader.stream(_request(() if is_first else networks, stretch) for stretch in stretches)
    writing: Future[Done] | None = None
    # A thread of its own waits for a shard's results and writes them, so that the networks never wait for the disk.
    with ThreadPoolExecutor(1, "writer") as writer, contextlib.closing(stream):
        for stretch, loaded in zip(stretches, stream, strict=True):
            try:
                if writing is None:
                    for network in networks:
                        network.wait()
                    # A precision that was tried and refused has brought other caches.
                    is_first = is_first and all(network.cache.is_empty for network in networks)
                shards, outcomes = _compute(networks, stretch, loaded, tick, is_first)
            except BaseException:
                loaded.release()
                raise
            if writing:
                yield writing.result()
            writing = writer.submit(_write_shards, stretch.number, shards, outcomes, loaded)
        if writing:
            yield writing.result()


def _request(networks: Sequence[RunningNetwork], stretch: Stretch) -> Request:
    """The photographs of a stretch, to be decoded at the sizes of the networks that lack their rows; or at all."""
    locations = [photograph.location for photograph in stretch.photographs]
    if not networks:
        return Request(locations)

    def choose(rows: Sequence[int], digests: Sequence[int]) -> list[set[Fit]]:
        entries = map(DigestedPhotograph, (stretch.photographs[row] for row in rows), digests)
        return [{network.backbone.fit for network in networks if entry not in network.cache} for entry in entries]

    return Request(locations, choose)


def _compute(
    networks: Sequence[RunningNetwork],
    stretch: Stretch,
    loaded: Loaded,
    tick: Callable[[], object],
    is_first: bool,
) -> tuple[list["_Shard"], tuple[int | str, ...]]:
    """Send the photographs of a stretch through the networks. Returns their shards, and the outcomes of `Done`."""
    batches = _Batches(loaded.block)
    shards = [_Shard(network, batches) for network in networks]
    outcomes: list[int | str] = []
    for row, photograph in enumerate(stretch.photographs):
        reason = loaded.wait(row)
        if not reason:
            entry = DigestedPhotograph(photograph, int(loaded.block.digest[row]))
            for shard in shards:
                if is_first or entry not in shard.network.cache:
                    shard.add(entry, row)
        outcomes.append(reason or entry.digest)
        tick()
    for shard in shards:
        shard.close()
    return shards, tuple(outcomes)


class _Batches:
    """The batches of a stretch. Networks of one input size are given the same array, which is uploaded once.

    What several vectors of a network need alike is computed once, and none depends on whether another is computed, too.
    """

    def __init__(self, block: Block) -> None:
        self.block = block
        self._pixels: dict[tuple[object, ...], NDArray[np.uint8]] = {}
        self._outputs: dict[tuple[object, ...], Callable[[], Output]] = {}

    def submit(self, network: Network, fit: Fit, size: int, squares: tuple[int, ...]) -> Callable[[], Output]:
        """Start on some squares of the block; a batch that is not full is filled up with black."""
        key = (fit, size, squares)
        if key not in self._pixels:
            self._pixels[key] = self._gather(fit, size, squares)
        if (network, *key) not in self._outputs:
            self._outputs[network, *key] = network.submit(self._pixels[key])
        return self._outputs[network, *key]

    def _gather(self, fit: Fit, size: int, squares: tuple[int, ...]) -> NDArray[np.uint8]:
        source, first, count = self.block.squares[fit], squares[0], len(squares)
        if count == size and squares == tuple(range(first, first + size)):
            return source[first : first + size]
        batch = np.zeros((size, *source.shape[1:]), np.uint8)
        for place, square in enumerate(squares):
            batch[place] = source[square]
        return batch


@dataclass
class _Shard:
    """The photographs of one stretch on their way through one network.

    Each member of the network gathers batches of its own: `waiting` is member -> the squares of its next batch, each
    with its photograph's place among `entries`; `results` are the places of each batch under way, and the function that
    waits for its output. A photograph goes in once for each of its views.
    """

    network: RunningNetwork
    batches: _Batches
    entries: list[DigestedPhotograph] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    waiting: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    results: list[tuple[list[int], Callable[[], Output]]] = field(default_factory=list)

    @cached_property
    def fit(self) -> Fit:
        return self.network.backbone.fit

    @cached_property
    def batch_size(self) -> int:
        return self.network.engine.batch_size

    def add(self, entry: DigestedPhotograph, row: int) -> None:
        member, views = self.network.member_of_digest.get(entry.digest, 0), self.fit.view_count
        for square in range(row * views, (row + 1) * views):
            waiting = self.waiting.setdefault(member, [])
            waiting.append((len(self.entries), square))
            if len(waiting) == self.batch_size:
                self._submit(member)
        self.entries.append(entry)
        self.rows.append(row)

    def close(self) -> None:
        """Compute the batches that are not full; they are filled up, so that compiled networks see a single shape."""
        for member in list(self.waiting):
            self._submit(member)

    def finish(self) -> ShardRows | None:
        """Wait for the network. Returns the rows, None if there are none."""
        if not self.entries:
            return None
        outputs = [result() for _, result in self.results]
        order = np.argsort(np.concatenate([places for places, _ in self.results]), kind="stable")

        def gather(name: str) -> NDArray:
            batches = zip(outputs, self.results, strict=True)
            return np.concatenate([getattr(output, name)[: len(places)] for output, (places, _) in batches])[order]

        labelled = outputs[0].topk_class is not None
        squares = Output(gather("vector"), *((gather("topk_prob"), gather("topk_class")) if labelled else ()))
        output = interface.per_photograph(squares, self.network.backbone)
        return ShardRows(
            key=np.array([entry.key for entry in self.entries], object),
            digest=np.array([entry.digest for entry in self.entries], np.uint64),
            vector=output.vector,
            statistics=self.batches.block.statistics[self.rows],
            topk_class=output.topk_class,
            topk_prob=output.topk_prob,
        )

    def _submit(self, member: int) -> None:
        places, squares = zip(*self.waiting.pop(member), strict=True)
        result = self.batches.submit(self.network.load(member), self.fit, self.batch_size, squares)
        self.results.append((list(places), result))


def _write_shards(number: int, shards: Sequence[_Shard], outcomes: tuple[int | str, ...], loaded: Loaded) -> Done:
    try:
        finished = [(shard.network, shard.finish()) for shard in shards]
    finally:
        loaded.release()  # the networks are done with its pixels
    for network, rows in finished:
        if rows:
            with network.writing:
                network.cache.write_shard(rows, network.engine.backend)
    return Done(
        number, outcomes, {network.backbone.name: len(rows.digest) if rows else 0 for network, rows in finished}
    )

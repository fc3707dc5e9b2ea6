"""Computes shards: stretches of photographs go through all networks, each photograph decoded once.

A stretch's batches depend on nothing but its photographs. So it gives the same numbers, bit for bit, on whichever
worker, beside whichever others, and after however many kills.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import UnreadablePhotographError
from catsdogs.features.cache import DigestedPhotograph, ShardRows
from catsdogs.features.running import RunningNetwork
from catsdogs.files import storage
from catsdogs.networks.engines import interface, selection
from catsdogs.networks.engines.interface import Output
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset, Photograph
from catsdogs.photographs.images import Pixels

SHARD_ROWS = 256
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


def compute_shards(
    dataset: Dataset,
    networks: Sequence[RunningNetwork],
    stretches: Iterable[Stretch],
    tick: Callable[[], object] = lambda: None,
) -> Iterator[Done]:
    """Load each photograph, compute the rows it lacks, and write a shard for each network, stretch by stretch.

    While one stretch is computed, the next is decoded and the last one written. Of the data set only `read` is used.
    `tick` is called for each photograph.

    Raises:
        StoreError: a shard cannot be written, or an object store went on failing.
    """
    stretches = list(stretches)
    threads, ahead = max(selection.decoding_threads(network.cache.recipe.engine) for network in networks)
    if storage.is_remote(dataset.root):
        threads = max(threads, _REMOTE_READERS)
    photographs = chain.from_iterable(stretch.photographs for stretch in stretches)
    stream = images.in_parallel(partial(_load_photograph, dataset, networks), photographs, ahead, threads)
    writing: Future[Done] | None = None
    # A thread of its own waits for a shard's results and writes them, so that the networks never wait for the disk.
    with ThreadPoolExecutor(1, "writer") as writer:
        for stretch in stretches:
            batches: _Batches = {}
            shards = [_Shard(network, batches) for network in networks]
            outcomes = []
            for _ in stretch.photographs:
                loaded = next(stream)
                for shard in shards:
                    if loaded.pixels and shard.network.backbone.name in loaded.needed_by:
                        shard.add(loaded.entry, loaded.pixels)
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
    """A photograph that was read: its pixels if a network needs them, or the reason why it cannot be read."""

    entry: DigestedPhotograph
    needed_by: tuple[str, ...] = ()
    pixels: Pixels | None = None
    reason: str = ""


# Loaded network, fit, and the squares in a batch by photograph and view -> its output. What several vectors of a
# network need alike is computed once, and none depends on whether another is computed, too.
_Batches = dict[tuple[object, ...], Callable[[], Output]]


@dataclass
class _Shard:
    """The photographs of one stretch on their way through one network.

    Each member of the network gathers batches of its own: `waiting` is member -> the squares of its next batch, each
    with its row, and its photograph's key and view; `results` are the rows of each batch under way, and the function
    that waits for its output. A row goes in once for each of its views.
    """

    network: RunningNetwork
    batches: _Batches
    entries: list[DigestedPhotograph] = field(default_factory=list)
    statistics: list[NDArray[np.float32]] = field(default_factory=list)
    waiting: dict[int, list[tuple[int, tuple[str, int], NDArray[np.uint8]]]] = field(default_factory=dict)
    results: list[tuple[list[int], Callable[[], Output]]] = field(default_factory=list)

    def add(self, entry: DigestedPhotograph, pixels: Pixels) -> None:
        member = self.network.member_of_digest.get(entry.digest, 0)
        for view, square in enumerate(pixels.by_fit[self.network.backbone.fit]):
            waiting = self.waiting.setdefault(member, [])
            waiting.append((len(self.entries), (entry.key, view), square))
            if len(waiting) == self.network.engine.batch_size:
                self._submit(member)
        self.entries.append(entry)
        self.statistics.append(pixels.statistics)

    def close(self) -> None:
        """Compute the batches that are not full; they are filled up, so that compiled networks see a single shape."""
        for member in list(self.waiting):
            self._submit(member)

    def write(self) -> int:
        """Wait for the network and write the rows; returns how many there are."""
        if not self.entries:
            return 0
        outputs = [result() for _, result in self.results]
        order = np.argsort(np.concatenate([rows for rows, _ in self.results]), kind="stable")

        def gather(name: str) -> NDArray:
            batches = zip(outputs, self.results, strict=True)
            return np.concatenate([getattr(output, name)[: len(rows)] for output, (rows, _) in batches])[order]

        labelled = outputs[0].topk_class is not None
        squares = Output(gather("vector"), *((gather("topk_prob"), gather("topk_class")) if labelled else ()))
        output = interface.per_photograph(squares, self.network.backbone)
        rows = ShardRows(
            key=np.array([entry.key for entry in self.entries], object),
            digest=np.array([entry.digest for entry in self.entries], np.uint64),
            vector=output.vector,
            statistics=np.stack(self.statistics),
            topk_class=output.topk_class,
            topk_prob=output.topk_prob,
        )
        with self.network.writing:
            self.network.cache.write_shard(rows, self.network.engine.backend)
        return len(self.entries)

    def _submit(self, member: int) -> None:
        size, fit = self.network.engine.batch_size, self.network.backbone.fit
        waiting = self.waiting.pop(member)
        rows, network = [row for row, _, _ in waiting], self.network.load(member)
        key = (network, fit, *(name for _, name, _ in waiting))
        if key not in self.batches:
            batch = np.zeros((size, fit.size, fit.size, 3), np.uint8)
            for place, (_, _, pixels) in enumerate(waiting):
                batch[place] = pixels
            self.batches[key] = network.submit(batch)
        self.results.append((rows, self.batches[key]))


def _load_photograph(dataset: Dataset, networks: Sequence[RunningNetwork], photograph: Photograph) -> _Loaded:
    """Read a photograph, and decode it at the sizes of the networks that lack its row."""
    entry = DigestedPhotograph(photograph, 0)
    try:
        data = dataset.read(photograph)
        entry = DigestedPhotograph(photograph, images.digest(data))
        needing = [network for network in networks if entry not in network.cache]
        if not needing:
            return _Loaded(entry)
        names = tuple(network.backbone.name for network in needing)
        return _Loaded(entry, names, images.load(data, {network.backbone.fit for network in needing}))
    except UnreadablePhotographError as error:
        return _Loaded(entry, reason=error.reason)


def _write_shards(number: int, shards: Sequence[_Shard], outcomes: tuple[int | str, ...]) -> Done:
    return Done(number, outcomes, {shard.network.backbone.name: shard.write() for shard in shards})

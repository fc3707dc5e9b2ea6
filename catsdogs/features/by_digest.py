"""Vectors of any photographs, kept by the digests of their bytes: whoever has the same bytes has the same row.

The folder has a feature file for each network, whose rows are called by their digests. They are computed and kept as
those of a data set are: shard by shard, with the recipe that made them.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import LockedError, StoreError, UnreadablePhotographError, UsageError
from catsdogs.features import feature_file, planning, running
from catsdogs.features.cache import Cache
from catsdogs.features.extract import ThisMachine, set_aside_damaged, settle_recipes
from catsdogs.features.rows import Rows
from catsdogs.features.running import Job, RunningNetwork, Settings
from catsdogs.features.worker import SHARD_ROWS, Stretch
from catsdogs.files import locks, storage
from catsdogs.files.atomic import write_errors
from catsdogs.files.notes import note
from catsdogs.networks.table import Backbone
from catsdogs.photographs import handed, images
from catsdogs.photographs.dataset import Photograph
from catsdogs.photographs.handed import Handed
from catsdogs.photographs.locations import Location, Reader
from catsdogs.photographs.stamps import Stamps
from catsdogs.progress import Progress

SOURCE = "photographs by the digests of their bytes"  # what a feature file of them names as its data set
_SPLIT, _UNLABELLED = "test", -1
_AHEAD = 64  # files that are read and hashed at a time
_SPARE_BYTES = 2**29  # of pixels that are in memory, a thousand photographs of 500 x 375, lie on the disk at a time


class Vectors(NamedTuple):
    """What networks say of n photographs.

    Attributes:
        by_network: (n, width) float32 for each network; a row of zeros for a photograph that cannot be read.
        reasons: row -> why it cannot be read.
        computed: how many photographs some network was run on.
    """

    by_network: list[NDArray[np.float32]]
    reasons: dict[int, str]
    computed: int


class _Found(NamedTuple):
    """What is known of n photographs on their way.

    Attributes:
        digests: (n,) uint64; 0 for one whose bytes cannot be had.
        places: digest -> where its bytes can be read.
        reasons: row -> why its bytes cannot be had.
        broken: digest -> why there is no picture in these bytes.
    """

    digests: NDArray[np.uint64]
    places: dict[int, Location]
    reasons: dict[int, str]
    broken: dict[int, str]


def vectors(photographs: Sequence[Handed], backbones: Sequence[Backbone], folder: Path, settings: Settings) -> Vectors:
    """The vectors of photographs, out of the folder as far as they are there; the others are computed and kept.

    One process at a time works in a folder. Another waits, and then finds the rows of the first.

    Raises:
        WeightsError: as `weights.obtain`.
        StoreError: the folder has vectors of a data set or of another recipe, or it cannot be written.
        UsageError: the folder lies in an object store.
    """
    with _alone_in(folder), tempfile.TemporaryDirectory() as spare, contextlib.ExitStack() as meanwhile:
        set_aside_damaged(backbones, folder)
        job = Job(Path(spare), tuple(backbones), settle_recipes(backbones, folder, settings), folder, settings)
        networks = meanwhile.enter_context(running.loaded_meanwhile(job))
        _refuse_data_set(networks)
        found = _Found(np.zeros(len(photographs), np.uint64), {}, {}, {})
        _find_files(photographs, Stamps(folder), found)
        computed = 0
        for _ in _find_others(photographs, networks, Path(spare), found):
            computed += _compute_missing(job, networks, found)
        for network in networks:
            _assemble(network.cache)
        broken = {
            row: found.broken[digest] for row, digest in enumerate(found.digests.tolist()) if digest in found.broken
        }
        found.reasons.update(broken)
        return Vectors([_read(network, found) for network in networks], found.reasons, computed)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    if storage.is_remote(folder):
        raise UsageError(f"Vectors are not kept at {folder}, in an object store", "Give a folder on this machine")
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.hold(folder / locks.LOCK_FILE))
        except LockedError as error:
            note(f"{error.problem}: this one waits, and takes what that one finds")
            stack.enter_context(locks.hold(folder / locks.LOCK_FILE, patience=-1))
        yield


def _refuse_data_set(networks: Sequence[RunningNetwork]) -> None:
    for network in networks:
        existing = network.cache.existing
        if existing and existing.source != SOURCE:
            raise StoreError(
                f"{network.cache.path} holds the photographs of {existing.source}", "Choose another folder for vectors"
            )


def _find_others(
    photographs: Sequence[Handed], networks: Sequence[RunningNetwork], spare: Path, found: _Found
) -> Iterator[None]:
    """Digest what is in memory, and write what a network lacks of it to the folder `spare`.

    Yields when enough lies there to be computed, and at the end; the folder is emptied then.
    """
    written = 0
    for row, one in enumerate(photographs):
        if isinstance(one, Location):
            continue
        try:
            data = handed.content(one)
        except UnreadablePhotographError as error:
            found.reasons[row] = error.reason
            continue
        digest = images.digest(data)
        found.digests[row] = digest
        if digest in found.places or all(network.cache.holds(_rows([digest])).all() for network in networks):
            continue
        found.places[digest] = Location(spare, f"{digest:016x}")
        (spare / f"{digest:016x}").write_bytes(data)
        written += len(data)
        if written > _SPARE_BYTES:
            yield
            written = 0
            for path in spare.iterdir():
                path.unlink()
    yield


def _find_files(photographs: Sequence[Handed], stamps: Stamps, found: _Found) -> None:
    """The digests of files; those that have not changed since they were read are remembered."""
    files = {row: one for row, one in enumerate(photographs) if isinstance(one, Location)}
    rows = list(files)
    digests, known = stamps.look([Photograph("", _SPLIT, _UNLABELLED, files[row]) for row in rows])
    read = Reader().read

    def digest_of(number: int) -> int | str:
        try:
            return images.digest(read(files[rows[number]]))
        except UnreadablePhotographError as error:
            return error.reason

    unknown = np.flatnonzero(~known).tolist()
    for number, digest in zip(unknown, images.in_parallel(digest_of, unknown, _AHEAD), strict=True):
        if isinstance(digest, str):
            found.reasons[rows[number]] = digest
        else:
            digests[number], known[number] = digest, True
    stamps.keep(digests, known, others=True)
    for number in np.flatnonzero(known).tolist():
        found.digests[rows[number]] = digests[number]
        found.places.setdefault(int(digests[number]), files[rows[number]])


def _rows(digests: Sequence[int] | NDArray[np.uint64], places: dict[int, Location] | None = None) -> Rows:
    """A row for each digest, called by it."""
    numbers = [int(digest) for digest in digests]
    nowhere = Location(Path(), "")
    named = [
        Photograph(f"{digest:016x}", _SPLIT, _UNLABELLED, (places or {}).get(digest, nowhere)) for digest in numbers
    ]
    return Rows(named, np.array(numbers, np.uint64))


def _compute_missing(job: Job, networks: list[RunningNetwork], found: _Found) -> int:
    """Compute the rows that a network lacks; returns of how many photographs."""
    rows = _rows(list(found.places), found.places)
    held = np.ones(len(rows), bool)
    for network in networks:
        held &= network.cache.holds(rows)
    held[[row for row, digest in enumerate(found.places) if digest in found.broken]] = True
    missing = np.flatnonzero(~held)
    planning.check_free_space(rows, missing, networks, job.out)
    parts = np.split(missing, range(SHARD_ROWS, len(missing), SHARD_ROWS)) if len(missing) else []
    stretches = [Stretch(number, tuple(rows.photographs[row] for row in part)) for number, part in enumerate(parts)]
    before = len(found.broken)
    with Progress(len(missing), "photographs", "photo") as bar:
        for done in ThisMachine().compute(job, networks, stretches, bar.update):
            for row, outcome in zip(parts[done.number].tolist(), done.outcomes, strict=True):
                digest = int(rows.digests[row])
                if isinstance(outcome, str):
                    found.broken[digest] = outcome
                elif outcome != digest:
                    found.broken[digest] = "it changed while it was read"
    return len(missing) - (len(found.broken) - before)


def _assemble(cache: Cache) -> None:
    """Bring a network's feature file up to date with all rows that there are."""
    if cache.is_empty:  # not one photograph could be read
        return
    every = _rows(cache.digests)
    cache.assemble(every.chosen(np.flatnonzero(cache.holds(every))), (), (), SOURCE)


def _read(network: RunningNetwork, found: _Found) -> NDArray[np.float32]:
    """(n, width) float32, see `Vectors`."""
    readable = np.array([row for row in range(len(found.digests)) if row not in found.reasons], np.intp)
    result = np.zeros((len(found.digests), network.backbone.width), np.float32)
    if len(readable):
        file = feature_file.read_features(network.cache.path)
        # The rows stand in the order of their digests, see `_assemble`.
        rows = np.searchsorted(file.digests[_SPLIT], found.digests[readable])
        result[readable] = file.vectors(_SPLIT, rows)
    return result

"""Extraction: a data set and some networks -> shards -> `features/<Backbone>.h5`, each photograph decoded once.

This module plans and assembles. `worker` computes, on this machine or, see `cluster`, on many.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np

from catsdogs.errors import (
    DamagedError,
    DatasetError,
    StoreError,
    UnknownNameError,
    UnreadablePhotographError,
    UsageError,
)
from catsdogs.features import feature_file, recipes, running, worker
from catsdogs.features.cache import Cache, DigestedPhotograph
from catsdogs.features.feature_file import Unreadable
from catsdogs.features.recipes import Recipe
from catsdogs.features.running import Job, RunningNetwork, Settings, running_networks
from catsdogs.features.worker import SHARD_ROWS, Done, Stretch
from catsdogs.files import atomic, hdf5, locks, storage
from catsdogs.networks.choice import choose
from catsdogs.networks.engines import selection
from catsdogs.networks.engines.interface import AUTO
from catsdogs.networks.table import KERAS, Backbone
from catsdogs.networks.weights import obtain
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset, Photograph
from catsdogs.photographs.locations import ABSENT, Location
from catsdogs.photographs.stamps import Stamps
from catsdogs.progress import Progress

DTYPES = ("float32", "float16")
_COMPARED = 32  # photographs that are read to tell whether a feature file was made from this data set
_Row = TypeVar("_Row")
Outcome = DigestedPhotograph | Unreadable


@dataclass(frozen=True)
class Extraction:
    """What an extraction did.

    Attributes:
        paths: the feature files.
        computed: backbone -> how many photographs it was run on.
        written: backbone -> whether its feature file had to be written.
        rows: split -> rows in the first feature file; files differ in this only after runs with a limit.
        unreadable: those of the photographs that this run looked at.
        set_aside: damaged files, under the names that they have now; their rows were computed again.
        notes: sentences for the user on how it went.
    """

    paths: list[Path]
    computed: dict[str, int]
    written: dict[str, bool]
    rows: dict[str, int]
    unreadable: list[Unreadable]
    set_aside: list[Path]
    notes: list[str] = field(default_factory=list)


class ThisMachine:
    """All stretches in this process, one after the other. The first failure ends the run. See also `cluster`.

    Attributes:
        notes: sentences for the user on how it went.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []

    def recipes(
        self, dataset: Dataset, backbones: Sequence[Backbone], out: Path, settings: Settings
    ) -> tuple[Recipe, ...]:
        """See `settle_recipes`, on a machine that will compute."""
        return settle_recipes(backbones, out, settings)

    def compute(
        self, job: Job, networks: list[RunningNetwork], stretches: Sequence[Stretch], tick: Callable[[int], object]
    ) -> Iterator[Done]:
        """The outcome of each stretch, in any order. `tick` gets the number of photographs that were seen since.

        `networks` are those of this process. Their caches know all shards when this ends.
        """
        if stretches:
            self.notes += running.load_new_networks(job, networks, stretches[0].photographs)
            count = sum(len(stretch.photographs) for stretch in stretches)
            with worker.loader_of(job, networks, count) as loader:
                yield from worker.compute_shards(networks, stretches, loader, lambda: tick(1))
        self.notes += chain.from_iterable(network.notes for network in networks)


def extract(
    dataset: Dataset,
    names: Sequence[str],
    out: Path,
    settings: Settings | None = None,
    limit: int | None = None,
    schedule: ThisMachine | None = None,
) -> Extraction:
    """Bring `out/<Backbone>.h5` up to date with the data set for every network named, in one pass.

    With `limit`, at most that many photographs are read, spread evenly over the table; rows cached of the others stay.
    Damaged files are set aside and their rows computed again.

    Raises:
        WeightsError, StoreError, LockedError, UnknownNameError, UsageError: before the first photograph is read.
        DatasetError: not one photograph can be read.
        StoreError: the disk is full; finished shards are kept. Or a stretch failed on every worker that tried it; the
            others are kept.
    """
    settings, schedule = settings or Settings(), schedule or ThisMachine()
    _check_request(settings, limit)
    backbones = tuple(choose(names, settings.weights_dir))
    for backbone in backbones:
        obtain(backbone, settings.weights_dir)
    with locks.hold_folder(out):
        set_aside = _set_aside_damaged(backbones, out)
        job = Job(dataset.root, backbones, schedule.recipes(dataset, backbones, out, settings), out, settings)
        networks = running_networks(job)
        set_aside += [path for network in networks for path in network.cache.set_aside]
        _refuse_other_dataset(dataset, networks)
        present = [row for row in dataset.photographs if row.location not in dataset.absent]
        photographs = dataset.photographs if limit is None or limit >= len(present) else _spread_evenly(present, limit)
        stamps = Stamps(out)
        outcomes, computed = _compute_missing(job, networks, photographs, stamps, schedule, dataset.absent)
        written, rows = _assemble(dataset, networks, outcomes)
        stamps.keep(
            [row.digest if isinstance(row, DigestedPhotograph) else None for row in outcomes],
            others=len(outcomes) < len(dataset.photographs),
        )
    return Extraction(
        paths=[network.cache.path for network in networks],
        computed={backbone.name: computed[backbone.name] for backbone in backbones},
        written=written,
        rows=rows,
        unreadable=[row for row in outcomes if isinstance(row, Unreadable)],
        set_aside=set_aside,
        notes=schedule.notes,
    )


def _check_request(settings: Settings, limit: int | None) -> None:
    if settings.dtype not in DTYPES:
        raise UnknownNameError("dtype", settings.dtype, list(DTYPES))
    if limit is not None and limit < 1:
        raise UsageError(f"A limit of {limit} photographs", "Give --limit a number above 0")
    selection.check_engine(settings.engine, settings.precision, settings.batch_size, settings.devices)
    if (settings.batch_size or 0) > SHARD_ROWS:
        raise UsageError(f"A batch size of {settings.batch_size}", f"Give --batch-size at most {SHARD_ROWS}, a shard")


def settle_recipes(backbones: Sequence[Backbone], out: Path, settings: Settings) -> tuple[Recipe, ...]:
    """The recipe of each network: `auto` becomes what its feature file has, else what suits this machine.

    Raises:
        WeightsError, StoreError, UnknownNameError, UsageError: as `extract`.
    """
    engine_of = running.engines(settings)
    return tuple(_settle_recipe(backbone, out, settings, engine_of) for backbone in backbones)


def _compute_missing(
    job: Job,
    networks: list[RunningNetwork],
    photographs: Sequence[Photograph],
    stamps: Stamps,
    schedule: ThisMachine,
    absent: Container[Location],
) -> tuple[list[Outcome], Counter[str]]:
    """Read the photographs that are new or changed, and compute missing rows.

    Returns the outcome of each photograph, in order, and network -> rows computed.
    """
    outcomes: list[Outcome | None] = [*_cached_everywhere(photographs, stamps.look(photographs), networks)]
    for row, photograph in enumerate(photographs):
        if photograph.location in absent:
            outcomes[row] = Unreadable(photograph.split, photograph.id, ABSENT)
    _check_free_space([photographs[row] for row, known in enumerate(outcomes) if known is None], networks, job.out)
    places = [
        [row for row in range(start, min(start + SHARD_ROWS, len(photographs))) if outcomes[row] is None]
        for start in range(0, len(photographs), SHARD_ROWS)
    ]
    stretches = [Stretch(number, tuple(photographs[row] for row in rows)) for number, rows in enumerate(places) if rows]
    computed: Counter[str] = Counter()
    failures = []
    with Progress(sum(map(len, places)), "photographs", "photo") as bar:
        for done in schedule.compute(job, networks, stretches, bar.update):
            if done.failure:
                failures.append(done)
                continue
            computed.update(done.computed)
            for row, outcome in zip(places[done.number], done.outcomes, strict=True):
                photograph = photographs[row]
                if isinstance(outcome, str):
                    outcomes[row] = Unreadable(photograph.split, photograph.id, outcome)
                else:
                    outcomes[row] = DigestedPhotograph(photograph, outcome)
    if failures:
        first, rows = failures[0], places[failures[0].number]
        raise StoreError(
            f"{len(failures):,} of {len(stretches):,} shards failed, the first with "
            f"{photographs[rows[0]].split}/{photographs[rows[0]].id}: {first.failure}",
            "Run the same command again: all others are kept, and only these are computed",
        )
    return [outcome for outcome in outcomes if outcome is not None], computed


def _assemble(
    dataset: Dataset, networks: Sequence[RunningNetwork], outcomes: Sequence[Outcome]
) -> tuple[dict[str, bool], dict[str, int]]:
    """Write the feature files: `written` and `rows` of `Extraction`; raises DatasetError if nothing can be read."""
    fresh = [row for row in outcomes if isinstance(row, DigestedPhotograph)]
    unreadable = [row for row in outcomes if isinstance(row, Unreadable)]
    if not fresh:
        raise DatasetError(
            f"None of the {len(outcomes):,} photographs of {dataset.root} can be read; "
            f"{unreadable[0].id}: {unreadable[0].reason}",
            "Check the files",
        )
    written, rows = {}, []
    for network in networks:
        entries, listed = fresh, unreadable
        if len(outcomes) < len(dataset.photographs):  # the run is limited
            entries, listed = _with_kept(dataset, fresh, unreadable, network.cache)
        written[network.backbone.name] = network.cache.assemble(
            entries,
            dataset.classes,
            listed,
            str(dataset.root.resolve()),
            network.learnt_from(entries),
            network.backbone.gflops * network.backbone.fit.view_count,
            dataset.task,
            dataset.groups,
        )
        rows.append(Counter(entry.photograph.split for entry in entries))
    return written, {split: rows[0][split] for split in feature_file.SPLITS}


def _set_aside_damaged(backbones: Sequence[Backbone], out: Path) -> list[Path]:
    """Move damaged feature files out of the way, so that their rows are computed again. Returns their new names."""
    moved = []
    for path in (feature_file.path_of(out, backbone.name) for backbone in backbones):
        try:
            if storage.exists(path):
                feature_file.recipe_of(path)
        except DamagedError:
            moved.append(hdf5.set_aside(path, out))
    return moved


def _settle_recipe(backbone: Backbone, out: Path, settings: Settings, engine_of: running.EngineOf) -> Recipe:
    path = feature_file.path_of(out, backbone.name)
    name, precision = settings.engine, settings.precision
    if storage.exists(path):
        existing = feature_file.recipe_of(path)
        name = existing.engine if name == AUTO else name
        precision = existing.precision if precision == AUTO else precision
    name = selection.engine_for(backbone, name)
    if AUTO in (name, precision):
        engine = engine_of(name, precision)
        # On a GPU the first photographs tell whether another maker's network bears it, see `running.load_new_networks`.
        is_tried = backbone.source != KERAS and engine.name != "openvino"
        if precision == AUTO and engine.precision == "bfloat16" and not (backbone.bfloat16 or is_tried):
            engine = engine_of(engine.name, "float32")
        name, precision = engine.name, engine.precision
    # What an earlier run chose may not suit this one's batch size and devices.
    selection.check_engine(name, precision, settings.batch_size, settings.devices)
    weights = obtain(backbone, settings.weights_dir).sha256
    return recipes.of_network(backbone, weights, name, precision, settings.dtype)


def _cached_everywhere(
    photographs: Sequence[Photograph], digests: Sequence[int | None], networks: Sequence[RunningNetwork]
) -> list[DigestedPhotograph | None]:
    """The photographs that need no reading, else None: the digest is remembered, and no network lacks the row."""
    everywhere = set.intersection(*(set(network.cache.identities) for network in networks))
    entries = [
        None if digest is None else DigestedPhotograph(row, digest)
        for row, digest in zip(photographs, digests, strict=True)
    ]
    return [entry if entry and (entry.key, entry.digest) in everywhere else None for entry in entries]


def _spread_evenly(rows: Sequence[_Row], limit: int) -> Sequence[_Row]:
    if limit >= len(rows):
        return rows
    return [rows[position] for position in np.linspace(0, len(rows) - 1, limit).round().astype(int)]


def _with_kept(
    dataset: Dataset, fresh: Sequence[DigestedPhotograph], unreadable: Sequence[Unreadable], cache: Cache
) -> tuple[list[DigestedPhotograph], list[Unreadable]]:
    """Add the rows cached of photographs that a limited run did not look at, in the order of the table."""
    digests = dict(cache.identities) | {entry.key: entry.digest for entry in fresh}
    reasons = {row[:2]: row for row in (*(cache.existing.unreadable if cache.existing else ()), *unreadable)}
    for entry in fresh:
        reasons.pop((entry.photograph.split, entry.photograph.id), None)
    entries = [DigestedPhotograph(photograph, 0) for key, photograph in dataset.by_key.items() if key not in reasons]
    return (
        [entry._replace(digest=digests[entry.key]) for entry in entries if entry.key in digests],
        [reasons[key] for key in dataset.by_key if key in reasons],
    )


def _refuse_other_dataset(dataset: Dataset, networks: Sequence[RunningNetwork]) -> None:
    """Refuse a data set that lacks most rows of a feature file, or has other pictures under their names.

    A slip of --data must not replace an evening's work.
    """
    for network in networks:
        existing = network.cache.existing
        if existing is None or existing.source == str(dataset.root.resolve()):
            continue
        rows = [
            (dataset.by_key.get((split, id)), digest)
            for split in feature_file.SPLITS
            for id, digest in zip(existing.ids[split], existing.digests[split].tolist(), strict=True)
        ]
        shared = [DigestedPhotograph(photograph, digest) for photograph, digest in rows if photograph]
        difference = (
            f"has only {len(shared):,} of them" if len(shared) < len(rows) / 2 else _changed_pictures(dataset, shared)
        )
        if difference:
            raise StoreError(
                f"{existing.path} holds {len(rows):,} photographs of {existing.source}; {dataset.root} {difference}",
                "Choose another folder with --out, or delete the file",
            )


def _changed_pictures(dataset: Dataset, entries: Sequence[DigestedPhotograph]) -> str:
    """How many photographs of a sample are other pictures now, in words; empty unless most are."""
    same = []
    for entry in _spread_evenly(entries, _COMPARED):
        with contextlib.suppress(UnreadablePhotographError):  # a missing file is listed later
            same.append(images.digest(dataset.read(entry.photograph)) == entry.digest)
    changed = same.count(False)
    return f"has other pictures under {changed} of {len(same)} names compared" if changed > len(same) / 2 else ""


def _check_free_space(photographs: Sequence[Photograph], networks: Sequence[RunningNetwork], out: Path) -> None:
    """Refuse a disk that is too small: a row that is missing lies there twice, in its shard and in the feature file."""
    keys, needed = [DigestedPhotograph(photograph, 0).key for photograph in photographs], 0
    for network in networks if keys else ():
        cached = {key for key, _ in network.cache.identities}
        row = network.backbone.width * np.dtype(network.cache.recipe.dtype).itemsize
        needed += 2 * row * sum(key not in cached for key in keys)
    atomic.check_free_space(out, needed)

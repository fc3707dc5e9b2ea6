"""Extraction: a data set and some networks -> shards -> `features/<Backbone>.h5`, each photograph decoded once.

This module plans and assembles. `worker` computes, on this machine or, see `cluster`, on many.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from catsdogs.features import feature_file, index, planning, recipes, running, worker
from catsdogs.features.cache import DigestedPhotograph
from catsdogs.features.feature_file import Unreadable
from catsdogs.features.packing import Packing
from catsdogs.features.recipes import Recipe
from catsdogs.features.rows import Places, Rows
from catsdogs.features.running import Job, RunningNetwork, Settings
from catsdogs.features.worker import SHARD_ROWS, Done, Stretch
from catsdogs.files import hdf5, locks, storage
from catsdogs.networks.choice import choose
from catsdogs.networks.engines import export, selection
from catsdogs.networks.engines.interface import AUTO
from catsdogs.networks.table import KERAS, Backbone
from catsdogs.networks.weights import obtain
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset
from catsdogs.photographs.stamps import Stamps
from catsdogs.progress import Progress

DTYPES = ("float32", "float16")
_COMPARED = 32  # photographs that are read to tell whether a feature file was made from this data set
_ASSEMBLED_AT_ONCE = 3  # each holds some 20 MB
_Row = TypeVar("_Row")


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
        if not stretches:
            return
        count = sum(len(stretch.photographs) for stretch in stretches)
        with (
            running.loading_new_networks(job, networks, stretches[0].photographs) as notes,
            worker.loader_of(job, networks, count) as loader,
        ):
            is_first = all(network.cache.is_empty for network in networks)
            yield from worker.compute_shards(networks, stretches, loader, lambda: tick(1), is_first)
        self.notes += [*notes, *chain.from_iterable(network.notes for network in networks)]


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
    with locks.hold_folder(out), contextlib.ExitStack() as meanwhile:
        set_aside = set_aside_damaged(backbones, out)
        job = Job(dataset.root, backbones, schedule.recipes(dataset, backbones, out, settings), out, settings)
        networks = meanwhile.enter_context(running.loaded_meanwhile(job))
        set_aside += [path for network in networks for path in network.cache.set_aside]
        _refuse_other_dataset(dataset, networks)
        absent = dataset.absent
        present = [row for row in dataset.photographs if row.location not in absent] if absent else dataset.photographs
        photographs = dataset.photographs if limit is None or limit >= len(present) else _spread_evenly(present, limit)
        stamps = Stamps(out)
        packing = Packing(out / feature_file.SHARD_FOLDER, [network.cache.recipe for network in networks], SHARD_ROWS)
        outcomes = planning.look(photographs, stamps, networks, dataset.absent)
        computed = _compute_missing(job, networks, outcomes, packing, schedule)
        written, rows = _assemble(dataset, networks, outcomes)
        packing.forget()
        stamps.keep(outcomes.digests, outcomes.known, others=len(photographs) < len(dataset.photographs))
    return Extraction(
        paths=[network.cache.path for network in networks],
        computed={backbone.name: computed[backbone.name] for backbone in backbones},
        written=written,
        rows=rows,
        unreadable=outcomes.unreadable,
        set_aside=set_aside,
        notes=schedule.notes,
    )


def expect(names: Sequence[str], settings: Settings, out: Path) -> None:
    """Begin what a first run has to wait for, before its photographs are known: the process that exports networks.

    Raises:
        UnknownNameError, WeightsError: as `choice.choose`.
    """
    if selection.is_openvino(settings.engine, settings.devices):
        backbones = choose(names, settings.weights_dir)
        new = [backbone for backbone in backbones if not storage.exists(feature_file.path_of(out, backbone.name))]
        export.expect([backbone.network for backbone in new])


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
    job: Job, networks: list[RunningNetwork], outcomes: planning.Outcomes, packing: Packing, schedule: ThisMachine
) -> Counter[str]:
    """Read the photographs that are new or changed, and compute missing rows; returns network -> rows computed."""
    photographs, missing = outcomes.photographs, outcomes.missing
    planning.check_free_space(outcomes.looked_at, np.flatnonzero(missing), networks, job.out)
    places = planning.stretches(outcomes, networks, packing)
    stretches = [Stretch(number, tuple(photographs[row] for row in rows)) for number, rows in enumerate(places)]
    computed: Counter[str] = Counter()
    failures = []
    with Progress(sum(map(len, places)), "photographs", "photo") as bar:
        for done in schedule.compute(job, networks, stretches, bar.update):
            if done.failure:
                failures.append(done)
                continue
            computed.update(done.computed)
            for row, outcome in zip(places[done.number].tolist(), done.outcomes, strict=True):
                if isinstance(outcome, str):
                    outcomes.reasons[row] = outcome
                else:
                    outcomes.digests[row], outcomes.known[row] = outcome, True
    if failures:
        first, rows = failures[0], places[failures[0].number]
        raise StoreError(
            f"{len(failures):,} of {len(stretches):,} shards failed, the first with "
            f"{photographs[rows[0]].split}/{photographs[rows[0]].id}: {first.failure}",
            "Run the same command again: all others are kept, and only these are computed",
        )
    return computed


def _assemble(
    dataset: Dataset, networks: Sequence[RunningNetwork], outcomes: planning.Outcomes
) -> tuple[dict[str, bool], dict[str, int]]:
    """Write the feature files: `written` and `rows` of `Extraction`; raises DatasetError if nothing can be read."""
    fresh, unreadable = outcomes.readable, outcomes.unreadable
    if not len(fresh):
        raise DatasetError(
            f"None of the {len(outcomes.photographs):,} photographs of {dataset.root} can be read; "
            f"{unreadable[0].id}: {unreadable[0].reason}",
            "Check the files",
        )
    is_limited = len(outcomes.photographs) < len(dataset.photographs)

    def assemble(network: RunningNetwork) -> tuple[bool, Rows]:
        entries, listed = fresh, unreadable
        if is_limited:
            entries, listed = planning.with_kept(dataset, fresh, unreadable, network.cache)
        written = network.cache.assemble(
            entries,
            dataset.classes,
            listed,
            str(dataset.root.resolve()),
            network.learnt_from(entries),
            network.backbone.gflops * network.backbone.fit.view_count,
            dataset.task,
            dataset.groups,
        )
        return written, entries

    _ = fresh.by_split  # for all of them
    # Files wait for the disk or a store, so three of them at once take half of the time that they take in turn.
    with ThreadPoolExecutor(_ASSEMBLED_AT_ONCE, "assembling") as pool:
        done = list(pool.map(assemble, networks))
    written = {network.backbone.name: changed for network, (changed, _) in zip(networks, done, strict=True)}
    return written, {split: len(done[0][1].by_split[split]) for split in feature_file.SPLITS}


def set_aside_damaged(backbones: Sequence[Backbone], out: Path) -> list[Path]:
    """Move damaged feature files out of the way, so that their rows are computed again. Returns their new names."""
    moved = []
    for path in (feature_file.path_of(out, backbone.name) for backbone in backbones):
        try:
            if storage.exists(path):
                _recipe_of(path)
        except DamagedError:
            moved.append(hdf5.set_aside(path, out))
    return moved


def _recipe_of(path: Path) -> Recipe:
    """What a feature file was written with, from its index if it fits; raises as `feature_file.recipe_of`."""
    return index.recipe_of(path) or feature_file.recipe_of(path)


def _settle_recipe(backbone: Backbone, out: Path, settings: Settings, engine_of: running.EngineOf) -> Recipe:
    path = feature_file.path_of(out, backbone.name)
    name, precision = settings.engine, settings.precision
    if storage.exists(path):
        existing = _recipe_of(path)
        name = existing.engine if name == AUTO else name
        precision = existing.precision if precision == AUTO else precision
    name = selection.engine_for(backbone, name)
    if AUTO in (name, precision):
        engine = engine_of(name, precision)
        # On a GPU the first photographs tell whether another maker's network bears it, see
        # `running.loading_new_networks`.
        is_tried = backbone.source != KERAS and engine.name != "openvino"
        if precision == AUTO and engine.precision == "bfloat16" and not (backbone.bfloat16 or is_tried):
            engine = engine_of(engine.name, "float32")
        name, precision = engine.name, engine.precision
    # What an earlier run chose may not suit this one's batch size and devices.
    selection.check_engine(name, precision, settings.batch_size, settings.devices)
    weights = obtain(backbone, settings.weights_dir).sha256
    return recipes.of_network(backbone, weights, name, precision, settings.dtype)


def _spread_evenly(rows: Sequence[_Row], limit: int) -> Sequence[_Row]:
    if limit >= len(rows):
        return rows
    return [rows[position] for position in np.linspace(0, len(rows) - 1, limit).round().astype(int)]


def _refuse_other_dataset(dataset: Dataset, networks: Sequence[RunningNetwork]) -> None:
    """Refuse a data set that lacks most rows of a feature file, or has other pictures under their names.

    A slip of --data must not replace an evening's work.
    """
    for network in networks:
        existing = network.cache.existing
        if existing is None or existing.source == str(dataset.root.resolve()):
            continue
        rows = Rows(dataset.photographs, np.zeros(len(dataset.photographs), np.uint64))
        written = Places()
        written.add(existing.keys, existing.digests)
        found, digests = written.latest(rows.keys)
        shared = Rows(dataset.photographs, digests).chosen(np.flatnonzero(found))
        count = len(existing.keys)
        difference = (
            f"has only {len(shared):,} of them" if len(shared) < count / 2 else _changed_pictures(dataset, shared)
        )
        if difference:
            raise StoreError(
                f"{network.cache.path} holds {count:,} photographs of {existing.source}; {dataset.root} {difference}",
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

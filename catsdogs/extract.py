"""Data set x backbones -> shards -> features/<Backbone>.h5: each photograph decoded once, for all networks.

A shard is a fixed stretch of the table. Its batches depend on nothing but its photographs, so a run that was killed
and started again gives the same numbers, bit for bit, as one that was not.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from catsdogs import engines, images, store
from catsdogs.backbones import Backbone, choose, trained
from catsdogs.backbones.weights import Weights, obtain, of_folds
from catsdogs.dataset import Dataset, Photograph
from catsdogs.engines import AUTO, Engine, Network, Output
from catsdogs.errors import DatasetError, StoreError, UnknownNameError, UnreadablePhotographError, UsageError
from catsdogs.images import Pixels
from catsdogs.progress import Progress
from catsdogs.shards import Cache, Entry, Rows
from catsdogs.stamps import Stamps
from catsdogs.store import Recipe, Unreadable

SHARD_ROWS = 256
DTYPES = ("float32", "float16")
_COMPARED = 32  # photographs read to tell whether a data set is the one a file was made from
_Row = TypeVar("_Row")


@dataclass(frozen=True)
class Settings:
    """How to compute vectors. `auto` follows what the feature file was written with, else what suits the machine."""

    weights_dir: str | None = None
    engine: str = AUTO
    precision: str = AUTO
    batch_size: int | None = None
    dtype: str = "float32"
    devices: str = "one"


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
        paths: the feature files.
        computed: backbone -> how many photographs it was run on.
        written: backbone -> whether its feature file had to be written.
        rows: split -> rows in the first feature file; files differ in this only after runs with a limit.
        unreadable: those of the photographs that this run looked at.
        seconds: how long it took.
    """

    paths: list[Path]
    computed: dict[str, int]
    written: dict[str, bool]
    rows: dict[str, int]
    unreadable: list[Unreadable]
    seconds: float


@dataclass(frozen=True)
class _Loaded:
    """A photograph, read; its pixels if some network still needs them, or the reason why there are none."""

    entry: Entry
    needed_by: tuple[str, ...] = ()
    pixels: Pixels | None = None
    reason: str = ""

    @property
    def outcome(self) -> Entry | Unreadable:
        photograph = self.entry.photograph
        return Unreadable(photograph.split, photograph.id, self.reason) if self.reason else self.entry


@dataclass
class _Member:
    """One network of the ensemble, loaded when it is first asked for.

    A network that was trained here has a further part for each fold of the photographs it learnt from, and each of
    these goes through the part that never learnt from it: so its vector says nothing of its label.
    """

    backbone: Backbone
    weights: Weights
    cache: Cache
    get_engine: Callable[[str, str], Engine]
    computed: int = 0
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

    def part_for(self, entry: Entry) -> int:
        """The number of the part that a photograph goes through; 0 is the network as it is for all others."""
        return self._folds.get(entry.digest, 0)

    def learnt_from(self, entries: Sequence[Entry]) -> int:
        """How many of these photographs the part that they go through has learnt from."""
        return sum(self._folds.get(entry.digest) == 0 for entry in entries)

    @property
    def parts(self) -> list[int]:
        """The numbers of all its parts."""
        return [0, *self._parts]

    def load(self, part: int = 0) -> Network:
        if part not in self._networks:
            self._networks[part] = self.engine.load(self.backbone, self._parts[part] if part else self.weights)
        return self._networks[part]


@dataclass
class _Shard:
    """The photographs of one shard on their way through one network.

    Each part of a network gathers batches of its own; `results` are the rows of a batch, and the wait for its output.
    """

    member: _Member
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

    def write(self) -> None:
        """Wait for the network and keep the rows."""
        if not self.rows:
            return
        outputs = [result() for _, result in self.results]
        order = np.argsort(np.concatenate([rows for rows, _ in self.results]))

        def gather(name: str) -> NDArray:
            batches = zip(outputs, self.results, strict=True)
            return np.concatenate([getattr(output, name)[: len(rows)] for output, (rows, _) in batches])[order]

        labelled = outputs[0].topk_class is not None
        self.member.cache.write_shard(
            Rows(
                key=np.array([row.entry.key for row in self.rows], object),
                digest=np.array([row.entry.digest for row in self.rows], np.uint64),
                vector=gather("vector"),
                statistics=np.stack([row.pixels.statistics for row in self.rows if row.pixels]),
                topk_class=gather("topk_class") if labelled else None,
                topk_prob=gather("topk_prob") if labelled else None,
            ),
            self.member.engine.backend,
        )
        self.member.computed += len(self.rows)

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


def extract(
    dataset: Dataset, names: Sequence[str], out: Path, settings: Settings | None = None, limit: int | None = None
) -> Summary:
    """Bring `out/<Backbone>.h5` up to date with the data set for every network named, in one pass.

    With `limit`, at most that many photographs are read, spread evenly over the table; what is already cached of
    the others stays.

    Raises:
        WeightsError, StoreError, LockedError, UnknownNameError, UsageError: before the first photograph is read.
        DatasetError: not one photograph can be read.
        StoreError: the disk is full; finished shards are kept.
    """
    settings = settings or Settings()
    if settings.dtype not in DTYPES:
        raise UnknownNameError("dtype", settings.dtype, list(DTYPES))
    if limit is not None and limit < 1:
        raise UsageError(f"A limit of {limit} photographs", "Give --limit a number above 0")
    started = time.monotonic()
    engines.check(settings.engine, settings.precision, settings.batch_size, settings.devices)
    if (settings.batch_size or 0) > SHARD_ROWS:
        raise UsageError(f"A batch size of {settings.batch_size}", f"Give --batch-size at most {SHARD_ROWS}, a shard")
    backbones = choose(names)
    weights = [obtain(backbone, settings.weights_dir) for backbone in backbones]
    engine_of = _Engines(settings)
    with store.locked(out):
        recipes = [_recipe(*pair, out, settings, engine_of) for pair in zip(backbones, weights, strict=True)]
        members = [
            _Member(backbone, weight, Cache(out, recipe), engine_of)
            for backbone, weight, recipe in zip(backbones, weights, recipes, strict=True)
        ]
        _refuse_other_dataset(dataset, members)
        _check_space(dataset, members, out)
        # Where there is a feature file, these very weights have fitted before.
        new = [(member, part) for member in members if member.cache.existing is None for part in member.parts]
        with Progress(len(new), "preparing", "network") as bar:
            for member, part in new:
                member.load(part)
                bar.update()
        stamps = Stamps(out)
        seen = _run(dataset, _spread(dataset.photographs, limit), members, stamps)
        unreadable = [row for row in seen if isinstance(row, Unreadable)]
        if len(unreadable) == len(seen):
            raise DatasetError(
                f"None of the {len(seen):,} photographs of {dataset.root} can be read; "
                f"{unreadable[0].id}: {unreadable[0].reason}",
                "Check the files",
            )
        fresh = [row for row in seen if isinstance(row, Entry)]
        limited = len(seen) < len(dataset.photographs)
        written, rows = {}, []
        for member in members:
            entries, listed = fresh, unreadable
            if limited:
                entries, listed = _with_kept(dataset, fresh, unreadable, member.cache)
            written[member.backbone.name] = member.cache.assemble(
                entries, dataset.classes, listed, str(dataset.root.resolve()), member.learnt_from(entries)
            )
            rows.append(Counter(entry.photograph.split for entry in entries))
        stamps.keep([row.digest if isinstance(row, Entry) else None for row in seen], others=limited)
    return Summary(
        paths=[member.cache.path for member in members],
        computed={member.backbone.name: member.computed for member in members},
        written=written,
        rows={split: rows[0][split] for split in store.SPLITS},
        unreadable=unreadable,
        seconds=time.monotonic() - started,
    )


class _Engines:
    """The engines in use, by name and precision, made when first asked for: a complete cache needs none."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engines: dict[tuple[str, str], Engine] = {}

    def __call__(self, name: str, precision: str) -> Engine:
        if (name, precision) not in self._engines:
            engine = engines.create(name, precision, self._settings.batch_size, self._settings.devices)
            self._engines[name, precision] = self._engines[engine.name, engine.precision] = engine
        return self._engines[name, precision]


def _recipe(backbone: Backbone, weights: Weights, out: Path, settings: Settings, engine_of: _Engines) -> Recipe:
    path = store.path_of(out, backbone.name)
    name, precision = settings.engine, settings.precision
    if path.exists():
        existing = store.recipe_of(path)
        name = existing.engine if name == AUTO else name
        precision = existing.precision if precision == AUTO else precision
    if AUTO in (name, precision):
        engine = engine_of(name, precision)
        if precision == AUTO and engine.precision == "bfloat16" and not backbone.bfloat16:
            engine = engine_of(engine.name, "float32")
        name, precision = engine.name, engine.precision
    engines.check(name, precision, settings.batch_size, settings.devices)  # what an earlier run chose may not do now
    return Recipe(
        backbone=backbone.name,
        weights=weights.sha256,
        input_size=backbone.input_size,
        resize_filter=images.RESIZE_FILTER,
        preprocessing=backbone.preprocessing,
        engine=name,
        precision=precision,
        dtype=settings.dtype,
    )


def _run(
    dataset: Dataset, photographs: Sequence[Photograph], members: Sequence[_Member], stamps: Stamps
) -> list[Entry | Unreadable]:
    """Load what is new or changed, compute what is missing, write shards; what came of each photograph, in order."""

    def load(photograph: Photograph) -> _Loaded:
        entry = Entry(photograph, 0)
        try:
            data = dataset.read(photograph)
            entry = Entry(photograph, images.digest(data))
            needing = [member for member in members if entry not in member.cache]
            if not needing:
                return _Loaded(entry)
            sizes = {member.backbone.input_size for member in needing}
            names = tuple(member.backbone.name for member in needing)
            return _Loaded(entry, names, images.load(data, sizes))
        except UnreadablePhotographError as error:
            return _Loaded(entry, reason=error.reason)

    complete = _complete(photographs, stamps.look(photographs), members)
    unread = [photograph for photograph, row in zip(photographs, complete, strict=True) if not row]
    seen: list[Entry | Unreadable] = []
    threads, ahead = max(engines.feeding(member.cache.recipe.engine) for member in members)
    stream = images.in_parallel(load, unread, ahead, threads)
    writing: Future[None] | None = None
    # A thread of its own waits for a shard's results and writes them, so that the networks never wait for the disk.
    with Progress(len(unread), "photographs", "photo") as bar, ThreadPoolExecutor(1, "writer") as writer:
        for start in range(0, len(photographs), SHARD_ROWS):
            shards = {member.backbone.name: _Shard(member) for member in members}
            for entry in complete[start : start + SHARD_ROWS]:
                if entry:
                    seen.append(entry)
                    continue
                loaded = next(stream)
                for name in loaded.needed_by:
                    shards[name].add(loaded)
                seen.append(loaded.outcome)
                bar.update()
            for shard in shards.values():
                shard.close()
            if writing:
                writing.result()
            writing = writer.submit(_write, list(shards.values()))
        if writing:
            writing.result()
    return seen


def _complete(
    photographs: Sequence[Photograph], digests: Sequence[int | None], members: Sequence[_Member]
) -> list[Entry | None]:
    """The entries that need no reading: their digests are remembered, and no network lacks their rows."""
    everywhere = set.intersection(*(set(member.cache.identities) for member in members))
    entries = [None if digest is None else Entry(row, digest) for row, digest in zip(photographs, digests, strict=True)]
    return [entry if entry and (entry.key, entry.digest) in everywhere else None for entry in entries]


def _write(shards: Sequence[_Shard]) -> None:
    for shard in shards:
        shard.write()


def _spread(rows: Sequence[_Row], limit: int | None) -> Sequence[_Row]:
    if limit is None or limit >= len(rows):
        return rows
    return [rows[position] for position in np.linspace(0, len(rows) - 1, limit).round().astype(int)]


def _with_kept(
    dataset: Dataset, fresh: Sequence[Entry], unreadable: Sequence[Unreadable], cache: Cache
) -> tuple[list[Entry], list[Unreadable]]:
    """Add what is cached of the photographs that a limited run did not look at, in the order of the table."""
    digests = dict(cache.identities) | {entry.key: entry.digest for entry in fresh}
    reasons = {row[:2]: row for row in (*(cache.existing.unreadable if cache.existing else ()), *unreadable)}
    for entry in fresh:
        reasons.pop((entry.photograph.split, entry.photograph.id), None)
    entries = [Entry(photograph, 0) for key, photograph in dataset.by_key.items() if key not in reasons]
    return (
        [entry._replace(digest=digests[entry.key]) for entry in entries if entry.key in digests],
        [reasons[key] for key in dataset.by_key if key in reasons],
    )


def _refuse_other_dataset(dataset: Dataset, members: Sequence[_Member]) -> None:
    """A slip of --data must not replace an evening's work: the data set must hold most rows, as the same pictures."""
    for member in members:
        existing = member.cache.existing
        if existing is None or existing.source == str(dataset.root.resolve()):
            continue
        rows = [
            (dataset.by_key.get((split, id)), digest)
            for split in store.SPLITS
            for id, digest in zip(existing.ids[split], existing.digests[split].tolist(), strict=True)
        ]
        shared = [Entry(photograph, digest) for photograph, digest in rows if photograph]
        difference = f"has only {len(shared):,} of them" if len(shared) < len(rows) / 2 else _changed(dataset, shared)
        if difference:
            raise StoreError(
                f"{existing.path} holds {len(rows):,} photographs of {existing.source}; {dataset.root} {difference}",
                "Choose another folder with --out, or delete the file",
            )


def _changed(dataset: Dataset, entries: Sequence[Entry]) -> str:
    """Says so if most photographs of a sample are no longer those that were digested."""
    same = []
    for entry in _spread(entries, _COMPARED):
        with contextlib.suppress(UnreadablePhotographError):  # a missing file is listed later
            same.append(images.digest(dataset.read(entry.photograph)) == entry.digest)
    changed = same.count(False)
    return f"has other pictures under {changed} of {len(same)} names compared" if changed > len(same) / 2 else ""


def _check_space(dataset: Dataset, members: Sequence[_Member], out: Path) -> None:
    """Shards and the file assembled from them lie on the disk at the same time."""
    needed = 0
    for member in members:
        existing = member.cache.existing
        cached = sum(map(len, existing.ids.values())) if existing else 0
        row = member.backbone.width * np.dtype(member.cache.recipe.dtype).itemsize
        needed += 2 * row * max(0, len(dataset.photographs) - cached)
    store.check_free_space(out, needed)

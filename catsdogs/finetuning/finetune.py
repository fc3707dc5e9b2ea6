"""Trains a network on photographs, one member for each fold and one on everything: `networks/<name>/`.

Each member is finished before the next begins, and goes on where a kill left it.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from catsdogs import __version__
from catsdogs.cleaning import duplicates
from catsdogs.errors import TrainingError, UnreadablePhotographError
from catsdogs.features.feature_file import Features, Unreadable
from catsdogs.features.folds import deal
from catsdogs.files import atomic, locks, storage
from catsdogs.files import locks as locks_module
from catsdogs.files.atomic import replacing, write_error
from catsdogs.finetuning import fit, objectives, plans
from catsdogs.finetuning.augmentation import Augmentation
from catsdogs.finetuning.fit import History
from catsdogs.finetuning.objectives import Answers
from catsdogs.finetuning.plans import Hyperparameters
from catsdogs.finetuning.stream import Batches, Pictures
from catsdogs.networks import devices, trained
from catsdogs.networks import weights as weights_module
from catsdogs.networks.table import BACKBONES
from catsdogs.networks.trained import ALL, Card, Learnt
from catsdogs.networks.weights import Weights, obtain
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset, Photograph
from catsdogs.progress import Progress
from catsdogs.scoring import curves, grades
from catsdogs.scoring.grades import Grade

CURVES_FILE = "curves.png"
TENSORBOARD_FOLDER = "tensorboard"
VALIDATION_SHARE = 0.1  # of what a member learns from: it chooses the epoch, so it measures nothing
_PLAN_FILE = "plan.json"
_START_FILE, _LANGUAGE_FILE = "start.npy", "language.npy"


@dataclass(frozen=True)
class Lesson:
    """The photographs that can be read, and what is to be learnt of them.

    Attributes:
        train, test: train rows; test rows whose class is known, to measure on.
        digests: (n_train,) of the files' bytes.
        labels, test_labels: (n,) classes.
        folds: (n_train,) the fold, from 1, in which each row is held out; 0 everywhere without cross-validation.
        unreadable: what was left out, and why.
        pictures: (n_train,) numbers, the same for copies of a picture, which no split parts; None if there are none.
    """

    dataset: Dataset
    train: list[Photograph]
    test: list[Photograph]
    digests: NDArray[np.uint64]
    labels: NDArray[np.int64]
    test_labels: NDArray[np.int64]
    folds: NDArray[np.int64]
    unreadable: tuple[Unreadable, ...]
    pictures: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Finetuned:
    """What a training came to: the folder, its card, and what could not be read."""

    folder: Path
    card: Card
    unreadable: tuple[Unreadable, ...]


def lesson(dataset: Dataset, folds: int, seed: int, files: Sequence[Features] = ()) -> Lesson:
    """Read every photograph once, and deal them to the folds as `train` does; copies of a photograph share one.

    Classes of which no photograph can be read are left out.

    Args:
        files: feature files of these photographs, to find near-copies; see `duplicates.find_copies`.

    Raises:
        TrainingError: fewer than two classes, or a class with too few photographs.
        UsageError: numbers that cannot be used.
    """
    known = [row for row in dataset.photographs if row.split == "train" or row.id in dataset.truth]

    def look(row: Photograph) -> int | Unreadable:
        try:
            data = dataset.read(row)
            images.thumbnail(data, 8)  # decoded, so that nothing turns out damaged in the middle of an epoch
        except UnreadablePhotographError as error:
            return Unreadable(row.split, row.id, error.reason)
        return images.digest(data)

    there = [row.location not in dataset.absent for row in known]
    with Progress(sum(there), "reading", "photo") as bar:
        seen = []
        for is_there, found in zip(there, images.in_parallel(look, known, ahead=64), strict=True):
            seen.append(found)
            bar.update(is_there)
    readable = [(row, found) for row, found in zip(known, seen, strict=True) if isinstance(found, int)]
    train = [(row, digest) for row, digest in readable if row.split == "train"]
    test = [row for row, _ in readable if row.split == "test"]
    digests = np.array([digest for _, digest in train], np.uint64)
    given = np.array([row.label for row, _ in train], np.int64)
    shown, labels = np.unique(given, return_inverse=True)
    dataset = replace(dataset, classes=tuple(dataset.classes[label] for label in shown))
    test = [row for row in test if dataset.truth[row.id] in dataset.classes]
    pictures = _pictures([row.id for row, _ in train], digests, files)
    _check_counts(dataset, labels, pictures, folds)
    return Lesson(
        dataset,
        [row for row, _ in train],
        test,
        digests,
        labels,
        np.array([dataset.classes.index(dataset.truth[row.id]) for row in test], np.int64),
        np.zeros(len(labels), np.int64) if folds == 1 else deal(labels, pictures, folds, seed) + 1,
        tuple(found for found in seen if isinstance(found, Unreadable)),
        pictures,
    )


def finetune(
    taught: Lesson,
    plan: Hyperparameters,
    *,
    name: str,
    command: str,
    weights_dir: str | None = None,
    device_choice: str = "one",
    force: bool = False,
    teacher: str = "",
    soft_labels: NDArray[np.float64] | None = None,
) -> Finetuned:
    """Train the members, and write the folder of the network, whole or not at all.

    Args:
        device_choice: see `devices`.
        force: replace the network of that name.
        teacher: the run that `soft_labels`, (n_train, c) probabilities, come from: then the network is distilled.

    Raises:
        CatsdogsError: a name that is taken, an unfinished training with other settings, weights that are not at hand.
    """
    trained.check_free(name, force)
    devices.check_batch(plan.batch_size, device_choice)
    target, work = trained.FOLDER / name, trained.FOLDER / f".{name}.part"
    with locks_module.hold_folder(work):
        weights = None if plan.from_scratch else obtain(BACKBONES[plan.base], weights_dir)
        if weights and weights.sha256 == weights_module.RANDOM_WEIGHTS:
            raise TrainingError("Random weights are nothing to start from", "Give --weights-dir a folder, or none")
        asked = {**asdict(plan), "teacher": teacher, "rows": _digest_of(taught, soft_labels)}
        _take_up(work, asked | {"weights": weights.sha256 if weights else ""}, force)
        said = Trainer(taught, plan, weights, work, device_choice, soft_labels).train_all()
        scores = _scores(plan.base, taught, said)
        learnt = Learnt(np.array([row.id for row in taught.train], object), taught.digests, taught.labels, taught.folds)
        trained.write_learnt(work, learnt, taught.dataset.classes, _out_of_fold(taught, said.held_out))
        title = f"{name}: {plan.base}{' with ' + ', '.join(plan.tricks) if plan.tricks else ''}\n{scores[0]}"
        with replacing(work / CURVES_FILE) as temporary:
            curves.draw_curves(temporary, list(said.histories.values()), title, "members")
        card = Card(
            name=name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=command,
            package_version=__version__,
            base_weights=weights.sha256 if weights else "",
            teacher=teacher,
            classes=taught.dataset.classes,
            folds=max(1, int(taught.folds.max())),
            source=str(taught.dataset.root.resolve()),
            weights={member: trained.sha256(trained.weights_path(work, member)) for member in said.histories},
            learnt=trained.sha256(work / trained.LEARNT_FILE),
            scores=tuple(map(str, scores)),
            **{**asdict(plan), "tricks": plan.tricks},
        )
        trained.write_card(work, card)
        _put(work, target)
        # Only now, so that a kill before it costs nothing.
        for leftover in (_PLAN_FILE, _START_FILE, _LANGUAGE_FILE, *(f"{member}.npz" for member in said.histories)):
            (target / leftover).unlink(missing_ok=True)
    return Finetuned(target, card, taught.unreadable)


class Said(NamedTuple):
    """What the members came to.

    Attributes:
        held_out: of each fold's member, in order, what it says of that fold's rows.
        test: what the member `all` says of the test rows.
        histories: member -> its history, see `fit.fit`.
        validation: how many rows chose the epoch of the member `all`.
    """

    held_out: list[Answers]
    test: Answers
    histories: dict[str, History]
    validation: int


class Trainer:
    """Trains one member after the other in the folder `work`."""

    def __init__(
        self,
        taught: Lesson,
        plan: Hyperparameters,
        weights: Weights | None,
        work: Path,
        device_choice: str,
        soft_labels: NDArray[np.float64] | None = None,
    ) -> None:
        everyone = taught.train + taught.test
        labels = np.concatenate((taught.labels, taught.test_labels))
        if soft_labels is not None:  # the test rows are never learnt from
            soft_labels = np.vstack((soft_labels, np.zeros((len(taught.test), soft_labels.shape[1]))))
        self._objective = objectives.choose(plan, labels, len(taught.dataset.classes), soft_labels)
        self._taught, self._plan, self._weights, self._work = taught, plan, weights, work
        self._device_choice = device_choice
        self._augmentation = Augmentation(plan.tricks, plan.input_size, plan.seed)
        self._learning = Pictures(taught.dataset, everyone, self._augmentation.side)
        self._plain = Pictures(taught.dataset, everyone, plan.input_size)
        self._train_rows = np.arange(len(taught.train))
        self._test_rows = np.arange(len(taught.train), len(everyone))

    def train_all(self) -> Said:
        """Train every member that is not finished yet, the one on everything first, and keep their paths."""
        held = {ALL: self._test_rows} | {f"fold-{fold}": rows for fold, rows in fold_rows(self._taught).items()}
        histories, answers = {}, {}
        for number, (member, rows) in enumerate(held.items()):
            which = f"{number + 1} of {len(held)}"
            histories[member], answers[member] = self.train(member, which, number, rows, keep=True)
        test = answers.pop(ALL)
        return Said(list(answers.values()), test, histories, len(self._split(self._train_rows)[1]))

    def train(
        self, member: str, which: str, number: int, held: NDArray[np.intp], keep: bool = False
    ) -> tuple[History, Answers]:
        """Train one member on all rows but those held out, unless it is done; what it says of these.

        `which` says in words, for the progress bar, which of all members it is; `number` makes its seed its own; only
        the path of a member to `keep` outlives the call.
        """
        done = self._work / f"{member}.npz"
        if storage.exists(done):
            try:
                with np.load(done) as kept:
                    return json.loads(str(kept["history"])), Answers(kept["probabilities"], kept["right"])
            except OSError as error:
                raise storage.read_error(done, error) from None
        rows = np.setdiff1d(self._train_rows, held)
        learnt, watched = self._split(rows)
        plan, state, seed = self._plan, self._work / f".{member}", self._plan.seed + number
        with devices.scope(self._device_choice):
            path, model = self._objective.make(plan, self._weights, seed)
            if not plan.from_scratch and not (state / fit.STATE_FILE).exists():
                fit.start_top(model, self._vectors(_START_FILE, path)[learnt], self._taught.labels[learnt], plan.seed)
            learn = self._objective.batches(self._learning, learnt, plan.batch_size, seed, self._augmentation)
            watch = self._objective.batches(self._plain, watched, plan.batch_size, seed)
            logs = fit.tensorboard(self._work / TENSORBOARD_FOLDER / member, in_full=member == ALL) if keep else []
            with Progress(len(learn) * plan.epochs, f"{member} ({which})", "batch") as progress:
                loss, metrics = self._objective.loss(plan), self._objective.metrics()
                history = fit.fit(model, plan, learn, watch, loss, metrics, state, logs, progress)
            said = Answers(np.empty((0, 0)), np.empty(0, np.int64))
            if len(held):
                said = self._objective.answers(model, self._plain, held, plan.batch_size)
            if keep:
                self._keep(member, path, rows)
        with replacing(done) as temporary, temporary.open("wb") as file:
            np.savez(file, history=json.dumps(history), **said._asdict())
        fit.clear(state)
        keras.utils.clear_session()
        return history, said

    def _keep(self, member: str, path: keras.Model, rows: NDArray[np.intp]) -> None:
        """Save a member's path; that of a fold with a linear map to the vectors of the member on everything.

        Networks that were trained apart say the same in other coordinates, and a head needs one language. The map is
        fitted on the photographs that both have learnt from, without their labels.
        """
        if member == ALL:
            kernels = self._work / f".{ALL}" / trained.KERNELS_FILE
            if kernels.exists():
                kernels.replace(self._work / trained.KERNELS_FILE)
            if self._taught.folds.any():
                self._vectors(_LANGUAGE_FILE, path)
        else:
            said = self._predict(path, rows)
            path = fit.translated(path, said, self._vectors(_LANGUAGE_FILE)[rows])
        fit.save_path(path, trained.weights_path(self._work, member))

    def _split(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The rows to learn from and those that choose the epoch, a share of each class but never all its pictures."""
        random = np.random.default_rng(self._plan.seed)
        pictures = self._train_rows if self._taught.pictures is None else self._taught.pictures
        watched = np.empty(0, np.int64)
        for label in range(len(self._taught.dataset.classes)):
            shown = pictures[random.permutation(rows[self._taught.labels[rows] == label])]
            _, first, counts = np.unique(shown, return_index=True, return_counts=True)
            order = np.argsort(first)
            enough = 1 + np.searchsorted(np.cumsum(counts[order]), max(1, round(VALIDATION_SHARE * len(shown))))
            watched = np.union1d(watched, shown[first[order]][: min(enough, len(order) - 1)])
        is_watched = np.isin(pictures[rows], watched)
        return rows[~is_watched], rows[is_watched]

    def _vectors(self, name: str, path: keras.Model | None = None) -> NDArray[np.float32]:
        """(n_train, width) vectors kept in a file of that name, computed by a path where there is none."""
        kept = self._work / name
        if path is not None and not kept.exists():
            with replacing(kept) as temporary, temporary.open("wb") as file:
                np.save(file, self._predict(path, self._train_rows))
        found: NDArray[np.float32] = np.load(kept)
        return found

    def _predict(self, path: keras.Model, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        nothing = np.zeros((len(rows), 1), np.float32)
        batches = Batches(self._plain, rows, nothing, self._plan.batch_size)
        said: NDArray[np.float32] = path.predict(batches, verbose=0)[: len(rows)]
        return said


def _scores(base: str, taught: Lesson, said: Said) -> list[Grade]:
    """The first is the one to quote; what chose the epoch is a score only where there is nothing else."""
    scores: list[Grade] = []
    what = "pairs of photographs" if base == plans.TWIN else "photographs"
    if said.held_out:
        together = Answers(*map(np.concatenate, zip(*said.held_out, strict=True)))
        how = f"out of fold, {len(together.right):,} {what}, {len(said.held_out)} folds"
        scores.append(grades.score(*together, how))
    if taught.test:
        scores.append(grades.score(*said.test, f"held out, {len(said.test.right):,} {what}"))
    if not scores:
        history = said.histories[ALL]
        best = int(np.argmin(history["val_loss"]))
        how = f"validation, {said.validation:,} photographs, which also chose the epoch"
        scores.append(Grade(history["val_loss"][best], math.nan, history["val_accuracy"][best], said.validation, how))
    return scores


def _out_of_fold(taught: Lesson, held_out: Sequence[Answers]) -> dict[str, NDArray[np.float64]]:
    """Class -> (n_train,) its out-of-fold probability; nothing where there is none, or where pairs were judged."""
    if not held_out or sum(len(said.right) for said in held_out) != len(taught.train):
        return {}
    probabilities = np.empty((len(taught.train), len(taught.dataset.classes)))
    for fold, said in enumerate(held_out, start=1):
        probabilities[taught.folds == fold] = said.probabilities
    return {f"p_{name}": probabilities[:, column] for column, name in enumerate(taught.dataset.classes)}


def fold_rows(taught: Lesson) -> dict[int, NDArray[np.intp]]:
    """Number of each fold, from 1 -> the rows it holds out."""
    return {fold: np.flatnonzero(taught.folds == fold) for fold in range(1, int(taught.folds.max()) + 1)}


def _pictures(ids: Sequence[str], digests: NDArray[np.uint64], files: Sequence[Features]) -> NDArray[np.int64]:
    """(n_train,) numbers, the same for photographs of the same bytes, and for those that feature files call copies."""
    groups: duplicates.Copies = ()
    if files:
        first, here = files[0], dict(zip(ids, digests.tolist(), strict=True))
        known = dict(zip(first.ids["train"].tolist(), first.digests["train"].tolist(), strict=True))
        found = duplicates.find_copies(files)
        groups = tuple(tuple(id for id in group if here.get(id) == known[id]) for group in found)  # as they are now
    return duplicates.picture_numbers(ids, groups, digests)


def _check_counts(dataset: Dataset, labels: NDArray[np.int64], pictures: NDArray[np.int64], folds: int) -> None:
    """Refuse what leaves a member without two pictures of a class, one to learn from and one to choose the epoch by."""
    if len(dataset.classes) < 2:
        raise TrainingError(
            f"{dataset.root} has {len(labels):,} photographs to learn from, of {len(dataset.classes)} classes",
            "Give --data photographs of two classes or more",
        )
    counts = np.bincount(np.unique(np.stack((labels, pictures)), axis=1)[0])
    if counts.min() < _needed(folds):
        label = int(counts.argmin())
        rows, count = np.count_nonzero(labels == label), counts[label]
        shown = f", which show {count} pictures" if count < rows else ""
        most = max((number for number in range(2, max(folds, 3) + 1) if _needed(number) <= count), default=0)
        raise TrainingError(
            f"The class {dataset.classes[label]} has {rows} photographs to learn from{shown}, "
            f"and it takes {_needed(folds)}",
            (f"Give --folds {most}, the most that can be, add" if most else "Add")
            + " photographs of it, or leave it out with --classes",
        )


def _needed(folds: int) -> int:
    """How many pictures of a class it takes."""
    return max(3 if folds != 2 else 4, folds)


def _digest_of(taught: Lesson, soft_labels: NDArray[np.float64] | None) -> str:
    hashed = hashlib.sha256(json.dumps([taught.dataset.classes, [row.id for row in taught.test]]).encode())
    for array in (taught.digests, taught.labels, taught.folds, soft_labels):
        hashed.update(b"" if array is None else array.tobytes())
    return hashed.hexdigest()


def _take_up(work: Path, asked: dict[str, Any], force: bool) -> None:
    """Go on with an unfinished training of the same plan; begin where there is none."""
    path, asked = work / _PLAN_FILE, json.loads(json.dumps(asked))
    if storage.exists(path):
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise storage.read_error(path, error) from None
        if there == asked:
            return
        if not force:
            what = ", ".join(name for name in asked if there.get(name) != asked[name])
            raise TrainingError(
                f"{work} holds an unfinished training with other settings ({what})",
                "Repeat its command to go on with it, or give --force to begin anew",
            )
    for leftover in work.iterdir():
        if not locks.is_lock(leftover):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(asked), encoding="utf-8")


def _put(work: Path, target: Path) -> None:
    try:
        atomic.put_folder(work, target)
        (target / (locks.LOCK_FILE + locks.SOFT)).unlink(missing_ok=True)  # which came along
    except OSError as error:
        raise write_error(target, error) from None

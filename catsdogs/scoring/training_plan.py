"""A plan: all that a cross-validation depends on besides the feature files; and its rows, folds and carrying out."""

import functools
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from catsdogs import heads
from catsdogs.cleaning import duplicates
from catsdogs.cleaning.duplicates import Copies
from catsdogs.errors import TrainingError
from catsdogs.features import joining
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import deal, fold_numbers
from catsdogs.networks import weights
from catsdogs.progress import Progress
from catsdogs.scoring import crossval, streaming
from catsdogs.scoring.crossval import CrossValidation

NEWEST = 3
OLDEST = 2  # whose folds were dealt over the kept rows, and whose heads' mean was calibrated, not each


@dataclass(frozen=True)
class Plan:
    """All that a run depends on besides the feature files.

    Attributes:
        settings: the head's own, see `heads.settings_of`; none are its defaults.
        drop: ids of training photographs not to learn from. They are predicted all the same, by the head of a fold, and
            scored, so that dropping what is hard cannot flatter.
        relabel: id of a training photograph -> the class to learn it as. It is scored by the label it came with.
        protocol: how rows were held out to be the test rows, see `replay`; empty if they are the data set's own.
        held_out: ids of the rows that the protocol held out, where it is not to draw them.
        copies: the training photographs that share a fold; None has `duplicates.find_copies` find them.
        streamed: whether heads read their rows in blocks; None if that is for this machine's memory to decide.
        version: of the rules to train by, see `OLDEST`.
        sample_digest: SHA-256 of the sample submission that is to be obeyed, see `training.digest_of`; None for any.
    """

    head: str
    folds: int
    seed: int
    drop: AbstractSet[str] = frozenset()
    relabel: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    protocol: str = ""
    held_out: tuple[str, ...] = ()
    copies: Copies | None = None
    streamed: bool | None = None
    version: int = NEWEST
    sample_digest: str | None = None


@dataclass(frozen=True)
class TrainingRows:
    """The training rows of feature files, and what is to be learnt from them; all arrays are (n_train,).

    Attributes:
        files: without the classes that no photograph shows. Rows are those of the first, others are matched to them.
        learnt: the class each row is learnt as: its label, unless a person corrected it.
        kept: whether a row may be learnt from.
        pictures: the same number for copies, see `duplicates.picture_numbers`.
    """

    files: list[Features]
    learnt: NDArray[np.int64]
    kept: NDArray[np.bool_]
    pictures: NDArray[np.int64]

    @classmethod
    def of(cls, files: Sequence[Features], drop: AbstractSet[str], relabel: Mapping[str, str]) -> Self:
        """Those of feature files, as a person corrected them, and as if no photograph had copies."""
        files = occupied(files, relabel)
        kept = np.array([id not in drop for id in files[0].ids["train"]], bool)
        return cls(files, corrected_labels(files[0], relabel), kept, np.arange(len(kept)))

    @property
    def first(self) -> Features:
        """The file whose rows, in their order, all others are matched to."""
        return self.files[0]

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """`pictures`, None where no photograph has copies."""
        return self.pictures if (self.pictures != np.arange(len(self.pictures))).any() else None

    def with_copies(self, copies: Copies) -> Self:
        """The same rows, these of which are copies."""
        return replace(self, pictures=duplicates.picture_numbers(self.first.ids["train"], copies))

    def deal(self, folds: int, seed: int) -> NDArray[np.int64]:
        """(n_train,) the fold each row is held out in, see `folds.deal`."""
        return deal(self.first.labels, self.pictures, folds, seed)

    def check_folds(self, folds: int, seeds: Sequence[int]) -> None:
        """Refuse more folds than the smallest class has pictures to learn from, or one that holds all of a class.

        Raises:
            TrainingError: it names the smallest class, and the most folds that can be.
        """
        counts = self.count_pictures()
        smallest = int(counts.argmin())
        if counts[smallest] >= folds:
            in_one_fold = self._classes_in_one_fold(folds, seeds)
            if not in_one_fold:
                return
            smallest = in_one_fold[0]
        first, count = self.first, counts[smallest]
        rows = np.count_nonzero(self.kept & (self.learnt == smallest))
        problem = f"The class {first.classes[smallest]} has {rows} photographs to learn from"
        if count < rows:
            problem += f", which show {count} pictures"
        problem += f", fewer than {folds} folds" if count < folds else f", all in one of {folds} folds"
        most = self.most_folds(folds - 1, seeds)
        instead = f"Give --folds {most}, the most that can be, add" if most else "Add"
        fewer = ", drop or relabel fewer" if np.count_nonzero(first.labels == smallest) > rows else ""
        raise TrainingError(
            problem, f"{instead} photographs of it{fewer}, or leave it out with `catsdogs features --classes`"
        )

    def most_folds(self, at_most: int, seeds: Sequence[int]) -> int:
        """The largest number of folds, up to `at_most`, that `check_folds` takes; 0 if there is none."""
        most = min(at_most, int(self.count_pictures().min()))
        return next((folds for folds in range(most, 1, -1) if not self._classes_in_one_fold(folds, seeds)), 0)

    def count_pictures(self) -> NDArray[np.int64]:
        """(classes,) how many pictures of each class there are to learn from."""
        shown = np.unique(np.stack((self.learnt[self.kept], self.pictures[self.kept])), axis=1)[0]
        return np.bincount(shown, minlength=len(self.first.classes))

    def _classes_in_one_fold(self, folds: int, seeds: Sequence[int]) -> list[int]:
        """The classes that some head would not know, for all that is to be learnt of them is held out from it."""
        unknown = np.zeros(len(self.first.classes), bool)
        for seed in seeds:
            shown = np.zeros((len(unknown), folds), bool)
            shown[self.learnt[self.kept], self.deal(folds, seed)[self.kept]] = True
            unknown |= shown.sum(axis=1) < 2
        return np.flatnonzero(unknown).tolist()


def occupied(files: Sequence[Features], relabel: Mapping[str, str] = MappingProxyType({})) -> list[Features]:
    """The files without the classes that no training photograph shows, as given or as it is to be learnt."""
    first = files[0]
    shown = {first.classes[label] for label in np.unique(first.labels)}
    shown |= {relabel[id] for id in first.ids["train"].tolist() if id in relabel}
    found = []
    for file in files:
        if not shown.issuperset(file.classes):
            number = np.cumsum([name in shown for name in file.classes]) - 1
            file = replace(file, classes=tuple(filter(shown.__contains__, file.classes)), labels=number[file.labels])
        found.append(file)
    return found


def check_trainable(
    files: Sequence[Features],
    folds: int,
    drop: AbstractSet[str],
    relabel: Mapping[str, str] = MappingProxyType({}),
    seeds: Sequence[int] = (0,),
) -> TrainingRows:
    """The training rows, as if without copies, after what cannot be trained on has been refused.

    Args:
        seeds: that folds will be dealt with, so that the most that can be are named where there are too many.

    Raises:
        TrainingError: random weights, a network that learnt from these very rows, one class only, or a class with fewer
            rows to learn from than folds.
        StoreError: the files hold different rows.
    """
    for file in files:
        if file.recipe.weights == weights.RANDOM_WEIGHTS:
            raise TrainingError(
                f"{file.path} comes from random weights, and they never yield a score",
                "Extract its features with real weights into another folder, see --weights-dir and --out",
            )
        if file.learnt:
            raise TrainingError(
                f"The network {file.name} has learnt from {file.learnt:,} of the photographs in {file.path}: "
                "no score on them would be out of fold",
                "Train it with `catsdogs finetune --folds 5`, or on other photographs",
            )
    joining.check_joinable(files)
    rows = TrainingRows.of(files, drop, relabel)
    classes = rows.first.classes
    if len(classes) < 2:
        raise TrainingError(
            f"All {len(rows.kept):,} training photographs of {rows.first.path} are {''.join(classes) or 'missing'}",
            "Extract the features of photographs of two classes or more",
        )
    if np.bincount(rows.learnt[rows.kept], minlength=len(classes)).min() < folds:
        rows.with_copies(duplicates.find_copies(rows.files)).check_folds(folds, seeds)
    return rows


def most_folds(files: Sequence[Features], plan: Plan) -> int:
    """The folds of a plan, or as many as there can be where a class has too few pictures; 0 if there can be none.

    Copies are those of the plan.
    """
    rows = TrainingRows.of(files, plan.drop, plan.relabel).with_copies(plan.copies or ())
    return rows.most_folds(plan.folds, [plan.seed]) if len(rows.first.classes) > 1 else 0


def of_single_pictures(first: Features, copies: Copies) -> list[str]:
    """The ids of the photographs of all classes that show a single picture."""
    rows = TrainingRows.of([first], frozenset(), {}).with_copies(copies)
    return list(first.ids["train"][rows.count_pictures()[rows.learnt] < 2])


def out_of_fold(files: Sequence[Features], plan: Plan) -> CrossValidation:
    """Cross-validate as `train` does; raises as `train`, and writes nothing."""
    rows = check_trainable(files, plan.folds, plan.drop, plan.relabel, [plan.seed])
    return cross_validate_plan(rows, plan)[1]


def cross_validate_plan(rows: TrainingRows, plan: Plan) -> tuple[Plan, CrossValidation]:
    """Cross-validate on rows that `check_trainable` gave; also the plan, with what it left to be found out."""
    files, copies = rows.files, plan.copies
    make = functools.partial(heads.create, plan.head, plan.seed, tuple(file.width for file in files), **plan.settings)
    streamed = streaming.is_needed(files) if plan.streamed is None else plan.streamed
    if streamed:
        streaming.check_head(make(), files)  # refused before anything is read
    elif plan.streamed is not None:
        streaming.check_memory(files)
    if plan.version == OLDEST:
        copies, fold = (), fold_numbers(rows.learnt, rows.kept, plan.folds, plan.seed)
    else:
        copies = duplicates.find_copies(files) if copies is None else copies
        rows = rows.with_copies(copies)
        rows.check_folds(plan.folds, [plan.seed])
        fold = rows.deal(plan.folds, plan.seed)
    plan = replace(plan, copies=copies, streamed=streamed)
    if streamed:
        return plan, streaming.cross_validate_blocks(files, rows.learnt, rows.kept, fold, make, plan.seed)
    with Progress(total=plan.folds, description=plan.head, unit="fold") as progress:
        X = training_vectors(files)
        return plan, crossval.cross_validate(X, rows.learnt, rows.kept, fold, make, progress.update, rows.groups)


def training_vectors(files: Sequence[Features]) -> NDArray[np.float32]:
    """(n_train, sum of widths) vectors of all networks, rows as in the first file.

    Raises:
        StoreError: the files are damaged, or hold different rows.
        TrainingError: every column of a network is constant.
    """
    X = joining.Joined(files, "train").read()
    streaming.refuse_constant(files, X.min(axis=0) == X.max(axis=0))
    return X


def corrected_labels(first: Features, relabel: Mapping[str, str]) -> NDArray[np.int64]:
    """(n_train,) the classes to learn: those of the file, but for the ids that are to be another class."""
    labels = first.labels.copy()
    for row, id in enumerate(first.ids["train"]):
        if id in relabel:
            labels[row] = first.classes.index(relabel[id])
    return labels

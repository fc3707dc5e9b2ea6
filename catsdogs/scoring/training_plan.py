"""A plan says all that a cross-validation depends on besides the feature files, and is carried out here."""

import functools
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs import heads
from catsdogs.cleaning import duplicates
from catsdogs.cleaning.duplicates import Copies
from catsdogs.errors import TrainingError
from catsdogs.features import joining
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import deal, fold_numbers
from catsdogs.heads import Head
from catsdogs.networks import weights
from catsdogs.progress import Progress
from catsdogs.scoring import crossval, streaming
from catsdogs.scoring.crossval import CrossValidation

VERSION = 3
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
        version: of the rules to train by, see `runs.OLDEST`.
        sample_digest: SHA-256 of the sample submission that is to be obeyed, see `digest_of`; None for any.
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
    version: int = VERSION
    sample_digest: str | None = None


class Prepared(NamedTuple):
    """What heads learn from, and where each row is held out; all arrays are (n_train,).

    Attributes:
        files: without the classes that no photograph shows.
        kept: whether a row may be learnt from.
        learnt: the corrected labels.
        copies, pictures: see `duplicates`.
        streamed: whether heads read their rows in blocks.
    """

    files: list[Features]
    kept: NDArray[np.bool_]
    learnt: NDArray[np.int64]
    copies: Copies
    pictures: NDArray[np.int64]
    fold: NDArray[np.int64]
    streamed: bool


def occupied(files: Sequence[Features], relabel: Mapping[str, str] = MappingProxyType({})) -> list[Features]:
    """The files without the classes that no training photograph shows, as given or as it is to be learnt."""
    first = files[0]
    shown = {first.classes[label] for label in np.unique(first.labels)}
    shown |= {relabel[id] for id in first.ids["train"].tolist() if id in relabel}
    found = []
    for file in files:
        classes = tuple(name for name in file.classes if name in shown)
        if classes != file.classes:
            number = np.cumsum([name in shown for name in file.classes]) - 1
            file = replace(file, classes=classes, labels=number[file.labels])
        found.append(file)
    return found


def check_trainable(
    files: Sequence[Features],
    folds: int,
    drop: AbstractSet[str],
    relabel: Mapping[str, str] = MappingProxyType({}),
    seeds: Sequence[int] = (0,),
) -> NDArray[np.bool_]:
    """(n_train,) whether each training row may be learnt from, after what cannot be trained on has been refused.

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
    files = occupied(files, relabel)
    first = files[0]
    kept = np.array([id not in drop for id in first.ids["train"]], bool)
    if len(first.classes) < 2:
        raise TrainingError(
            f"All {len(kept):,} training photographs of {first.path} are {''.join(first.classes) or 'missing'}",
            "Extract the features of photographs of two classes or more",
        )
    learnt = corrected_labels(first, relabel)
    if np.bincount(learnt[kept], minlength=len(first.classes)).min() < folds:
        pictures = duplicates.picture_numbers(first.ids["train"], duplicates.find_copies(files))
        check_folds(first, learnt, kept, pictures, folds, seeds)
    return kept


def check_folds(
    first: Features,
    learnt: NDArray[np.int64],
    kept: NDArray[np.bool_],
    pictures: NDArray[np.int64],
    folds: int,
    seeds: Sequence[int],
) -> None:
    """Refuse more folds than the smallest class has pictures to learn from, or a fold without which a class is gone.

    Args:
        learnt, kept, pictures: (n_train,) corrected labels, whether a row is learnt from, the same number for copies.

    Raises:
        TrainingError: it names the smallest class, and the most folds that can be.
    """
    several = _pictures_of(first, learnt, kept, pictures)
    smallest = int(several.argmin())
    if several[smallest] >= folds:
        gone = _gone_without(first, learnt, kept, pictures, folds, seeds)
        if not gone:
            return
        smallest = gone[0]
    rows, count = np.count_nonzero(kept & (learnt == smallest)), several[smallest]
    problem = f"The class {first.classes[smallest]} has {rows} photographs to learn from"
    if count < rows:
        problem += f", which show {count} pictures"
    problem += f", fewer than {folds} folds" if count < folds else f", all in one of {folds} folds"
    most = _most_folds(first, learnt, kept, pictures, folds - 1, seeds)
    instead = f"Give --folds {most}, the most that can be, add" if most else "Add"
    fewer = ", drop or relabel fewer" if np.count_nonzero(first.labels == smallest) > rows else ""
    raise TrainingError(
        problem, f"{instead} photographs of it{fewer}, or leave it out with `catsdogs features --classes`"
    )


def most_folds(files: Sequence[Features], plan: Plan) -> int:
    """The folds of a plan, or as many as there can be where a class has too few pictures; 0 if there can be none.

    Copies are those of the plan.
    """
    files = occupied(files, plan.relabel)
    first, learnt = files[0], corrected_labels(files[0], plan.relabel)
    kept = np.array([id not in plan.drop for id in first.ids["train"]], bool)
    pictures = duplicates.picture_numbers(first.ids["train"], plan.copies or ())
    return _most_folds(first, learnt, kept, pictures, plan.folds, [plan.seed]) if len(first.classes) > 1 else 0


def of_single_pictures(first: Features, copies: Copies) -> list[str]:
    """The ids of the photographs of all classes that show a single picture."""
    pictures = duplicates.picture_numbers(first.ids["train"], copies)
    several = _pictures_of(first, first.labels, np.ones(len(pictures), bool), pictures)
    ids: list[str] = first.ids["train"][several[first.labels] < 2].tolist()
    return ids


def _most_folds(
    first: Features,
    learnt: NDArray[np.int64],
    kept: NDArray[np.bool_],
    pictures: NDArray[np.int64],
    at_most: int,
    seeds: Sequence[int],
) -> int:
    """The largest number of folds, up to `at_most`, that `check_folds` takes; 0 if there is none."""
    most = min(at_most, int(_pictures_of(first, learnt, kept, pictures).min()))
    each = (folds for folds in range(most, 1, -1) if not _gone_without(first, learnt, kept, pictures, folds, seeds))
    return next(each, 0)


def _pictures_of(
    first: Features, learnt: NDArray[np.int64], kept: NDArray[np.bool_], pictures: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(classes,) how many pictures of each class there are to learn from."""
    shown = np.unique(np.stack((learnt[kept], pictures[kept])), axis=1)[0]
    return np.bincount(shown, minlength=len(first.classes))


def _gone_without(
    first: Features,
    learnt: NDArray[np.int64],
    kept: NDArray[np.bool_],
    pictures: NDArray[np.int64],
    folds: int,
    seeds: Sequence[int],
) -> list[int]:
    """The classes that a head would not know, for all that is to be learnt of them lies in the fold it leaves out."""
    gone = np.zeros(len(first.classes), bool)
    for seed in seeds:
        fold = deal(first.labels, pictures, folds, seed)
        there = np.zeros((len(first.classes), folds), bool)
        there[learnt[kept], fold[kept]] = True
        gone |= there.sum(axis=1) < 2
    return np.flatnonzero(gone).tolist()


def out_of_fold(files: Sequence[Features], plan: Plan) -> CrossValidation:
    """Cross-validate as `train` does; raises as `train`, and writes nothing."""
    return cross_validate_plan(files, plan)[1]


def cross_validate_plan(files: Sequence[Features], plan: Plan) -> tuple[Prepared, CrossValidation]:
    """Deal the folds, and cross-validate."""
    widths = tuple(file.width for file in files)
    make = functools.partial(heads.create, plan.head, plan.seed, widths, **plan.settings)
    head = make()  # refused before anything is read
    prepared = _prepared(files, plan, head)
    if prepared.streamed:
        _, kept, learnt, _, _, fold, _ = prepared
        return prepared, streaming.cross_validate_blocks(prepared.files, learnt, kept, fold, make, plan.seed)
    with Progress(total=plan.folds, description=plan.head, unit="fold") as progress:
        X = training_vectors(prepared.files)
        groups = prepared.pictures if prepared.copies else None
        crossed = crossval.cross_validate(
            X, prepared.learnt, prepared.kept, prepared.fold, make, progress.update, groups
        )
    return prepared, crossed


def _prepared(files: Sequence[Features], plan: Plan, head: Head) -> Prepared:
    """Everything but the vectors; raises as `train`."""
    kept = check_trainable(files, plan.folds, plan.drop, plan.relabel, [plan.seed])
    files = occupied(files, plan.relabel)
    streamed = streaming.is_needed(files) if plan.streamed is None else plan.streamed
    if streamed:
        streaming.check_head(head, files)
    elif plan.streamed is not None:
        streaming.check_memory(files)
    first, learnt = files[0], corrected_labels(files[0], plan.relabel)
    if plan.version == OLDEST:
        fold = fold_numbers(learnt, kept, plan.folds, plan.seed)
        return Prepared(files, kept, learnt, (), np.arange(len(kept)), fold, streamed)
    copies = duplicates.find_copies(files) if plan.copies is None else plan.copies
    pictures = duplicates.picture_numbers(first.ids["train"], copies)
    check_folds(first, learnt, kept, pictures, plan.folds, [plan.seed])
    fold = deal(first.labels, pictures, plan.folds, plan.seed)
    return Prepared(files, kept, learnt, copies, pictures, fold, streamed)


def training_vectors(files: Sequence[Features]) -> NDArray[np.float32]:
    """(n_train, sum of widths) vectors of all networks, rows as in the first file.

    Raises:
        StoreError: the files are damaged, or hold different rows.
        TrainingError: every column of a network is constant.
    """
    X = joining.join(files, "train")[1]
    streaming.refuse_constant(files, X.min(axis=0) == X.max(axis=0))
    return X


def corrected_labels(first: Features, relabel: Mapping[str, str]) -> NDArray[np.int64]:
    """(n_train,) the classes to learn: those of the file, but for the ids that are to be another class."""
    labels = first.labels.copy()
    for row, id in enumerate(first.ids["train"]):
        if id in relabel:
            labels[row] = first.classes.index(relabel[id])
    return labels

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
from catsdogs.errors import TrainingError, in_short
from catsdogs.features import joining
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import ALWAYS_LEARNT, bins_of, deal, deal_labels, fold_numbers
from catsdogs.networks import weights
from catsdogs.photographs.task import LABELS, NUMBER, Task
from catsdogs.progress import Progress
from catsdogs.scoring import crossval, judging, plan_checks, pseudo_labels, streaming
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
        balance: whether rare classes and labels count for as much as frequent ones.
        repeats: deals of folds, the second with the next seed for folds and heads, and so on; all of them are averaged.
        refit: whether a head fitted to all kept rows answers for the test rows, in place of the folds' heads.
        pseudo: from which probability on test rows are learnt as what all folds call them, see `pseudo_labels`; 0 for
            never.
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
    balance: bool = False
    repeats: int = 1
    refit: bool = False
    pseudo: float = 0.0
    sample_digest: str | None = None


@dataclass(frozen=True)
class TrainingRows:
    """The training rows of feature files, and what is to be learnt from them; all arrays are (n_train,).

    Attributes:
        files: without the classes that no photograph shows. Rows are those of the first, others are matched to them.
        learnt: the class, or text of labels, each row is learnt as: its label, unless a person corrected it.
        kept: whether a row may be learnt from.
        pictures: the same number for rows that share a fold: copies, see `duplicates.picture_numbers`, and groups.
        is_grouped: whether photographs of one of the first file's groups do.
    """

    files: list[Features]
    learnt: NDArray[np.int64]
    kept: NDArray[np.bool_]
    pictures: NDArray[np.int64]
    is_grouped: bool = False

    @classmethod
    def of(
        cls,
        files: Sequence[Features],
        drop: AbstractSet[str] = frozenset(),
        relabel: Mapping[str, str] = MappingProxyType({}),
        copies: Copies = (),
    ) -> Self:
        """Those of feature files, as a person corrected them."""
        files = occupied(files, relabel)
        first, ids = files[0], files[0].ids["train"].tolist()
        label_of = dict(zip(ids, first.labels.tolist(), strict=True))
        label_of |= {id: first.classes.index(name) for id, name in relabel.items() if id in label_of}
        kept = np.array([id not in drop for id in ids], bool)
        return cls(files, np.array([*label_of.values()], np.int64), kept, np.arange(len(ids))).with_copies(copies)

    @property
    def first(self) -> Features:
        """The file whose rows, in their order, all others are matched to."""
        return self.files[0]

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """`pictures`, None where no photograph has copies."""
        return self.pictures if (self.pictures != np.arange(len(self.pictures))).any() else None

    @property
    def task(self) -> Task:
        """What the rows are for."""
        return self.first.task

    @property
    def grouped_by(self) -> str:
        """What groups were made by, as it was given; empty where no fold keeps groups together."""
        return self.task.given.get("groups", "the feature file") if self.is_grouped else ""

    @property
    def truth(self) -> judging.Truth:
        """What is right of each row, as it came: see `judging.truth_of`."""
        return judging.truth_of(self.first)

    @property
    def to_learn(self) -> judging.Truth:
        """The same of what each row is learnt as, which heads are fitted to."""
        return judging.truth_of(replace(self.first, labels=self.learnt))

    @property
    def balancing(self) -> NDArray[np.float64] | None:
        """Weights by which classes, or the two sides of each label, count alike in all; None for numbers.

        (n_train,), or (n_train, k) for labels: kept rows divided by the sides, and by the rows of this side.
        """
        if self.task.kind == NUMBER:
            return None
        target = self.to_learn if self.task.kind == LABELS else self.learnt[:, np.newaxis] == np.arange(self.columns)
        shares = target[self.kept].mean(axis=0)
        if self.task.kind != LABELS:
            return (target / np.maximum(shares * self.columns, np.finfo(float).tiny)).sum(axis=1)
        of_side = np.where(target > 0, shares, 1 - shares)
        weights: NDArray[np.float64] = 0.5 / np.maximum(of_side, 0.5 / len(target))
        return weights

    @property
    def columns(self) -> int:
        """How many columns predictions have."""
        return len(self.first.columns)

    def with_copies(self, copies: Copies, is_grouped: bool = True) -> Self:
        """The same rows, these of which are copies; copies and, unless it is left out, groups share a fold."""
        pictures, groups = duplicates.picture_numbers(self.first.ids["train"], copies), self.first.groups
        is_grouped = is_grouped and bool(groups.size)
        return replace(self, pictures=_joined(pictures, groups) if is_grouped else pictures, is_grouped=is_grouped)

    def deal(self, folds: int, seed: int) -> NDArray[np.int64]:
        """(n_train,) the fold each row is held out in, see `folds.deal`; `ALWAYS_LEARNT` for some.

        Rows are dealt by their class, by each of their labels, or by where their number lies among all.

        A head knows a class only if it learns from a picture of it. Where all pictures of a class would be held out at
        once, such as the only one that there is, they and their copies are learnt by the heads of all folds instead,
        and never held out.
        """
        if self.task.kind == LABELS:
            return deal_labels(self.first.targets, self.pictures, folds, seed)
        if self.task.kind == NUMBER:
            return deal(bins_of(self.first.targets, folds), self.pictures, folds, seed)
        fold = deal(self.first.labels, self.pictures, folds, seed)
        while (unknown := self._held_out_at_once(fold)).any():
            fold[np.isin(self.pictures, self.pictures[unknown])] = ALWAYS_LEARNT
        return fold

    def check_folds(self, folds: int, seeds: Sequence[int]) -> None:
        """Refuse folds of which some would be empty, or none could be scored, and classes that nothing is learnt of.

        Raises:
            TrainingError: as said; it names such a class.
        """
        first, counts = self.first, self.count_pictures()
        if self.task.has_classes and not counts.all():
            name = first.classes[int(counts.argmin())]
            raise TrainingError(
                f"The class {name} has no photographs to learn from",
                "Add photographs of it, drop or relabel fewer, or leave it out with `catsdogs features --classes`",
            )
        for seed in seeds:
            fold = self.deal(folds, seed)
            if len(np.unique(fold[fold != ALWAYS_LEARNT])) < folds:
                if self.is_grouped:
                    raise TrainingError(
                        f"Of {folds} folds, one would hold out nothing: there are {len(np.unique(self.pictures)):,} "
                        f"groups by {self.grouped_by}",
                        "Give fewer --folds, or other --groups",
                    )
                several = int(np.count_nonzero(counts > 1))
                raise TrainingError(
                    f"Of {folds} folds, one would hold out nothing: of {len(counts):,} classes, {several:,} have more "
                    "than one picture to learn from",
                    "Give fewer --folds, or add photographs",
                )

    def rare(self, folds: int) -> str:
        """A sentence about classes with fewer pictures than folds; empty if there are none."""
        if not self.task.has_classes:
            return self._rare_labels(folds)
        counts = self.count_pictures()
        few = np.flatnonzero(counts < folds)
        if not few.size:
            return ""
        alone = int(np.count_nonzero(self.kept & (counts[self.learnt] < 2)))
        names = in_short([self.first.classes[number] for number in few])
        scored = f"; {alone:,} photographs alone in their class are held out in none, and in no score" if alone else ""
        return f"fewer {self._unit} than {folds} folds: {few.size:,} classes ({names}), learnt in every fold{scored}"

    @property
    def _unit(self) -> str:
        return "groups" if self.is_grouped else "pictures"

    def _rare_labels(self, folds: int) -> str:
        shown = self.to_learn[self.kept] > 0
        counts = [len(np.unique(self.pictures[self.kept][column])) for column in shown.T]
        few = [f"{name}: {count}" for name, count in zip(self.task.names, counts, strict=True) if count < folds]
        if self.task.kind != LABELS or not few:
            return ""
        return f"fewer {self._unit} than {folds} folds: {len(few):,} labels ({in_short(few)}), unknown in some folds"

    def count_pictures(self) -> NDArray[np.int64]:
        """(classes,) how many pictures of each class there are to learn from."""
        shown = np.unique(np.stack((self.learnt[self.kept], self.pictures[self.kept])), axis=1)[0]
        return np.bincount(shown, minlength=len(self.first.classes))

    def _held_out_at_once(self, fold: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n_train,) the rows to learn from of classes that the head of one fold would not know."""
        dealt = self.kept & (fold != ALWAYS_LEARNT)
        shown = np.zeros((len(self.first.classes), int(fold.max()) + 1), bool)
        shown[self.learnt[dealt], fold[dealt]] = True
        in_one_fold = shown.sum(axis=1) == 1
        in_one_fold[self.learnt[self.kept & (fold == ALWAYS_LEARNT)]] = False  # every head knows these
        return dealt & in_one_fold[self.learnt]


def _joined(pictures: NDArray[np.int64], groups: NDArray[np.object_]) -> NDArray[np.int64]:
    """(n,) numbers, the same for rows that copies and groups join, be it by way of others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    number = np.unique(groups.astype(str), return_inverse=True)[1] + len(pictures)
    size = len(pictures) + int(number.max(initial=0)) + 1
    links = coo_array((np.ones(len(pictures), bool), (pictures, number)), (size, size))
    component: NDArray[np.int64] = connected_components(links, directed=False)[1][pictures].astype(np.int64)
    return component


def occupied(files: Sequence[Features], relabel: Mapping[str, str] = MappingProxyType({})) -> list[Features]:
    """The files without the classes that no training photograph shows, as given or as it is to be learnt.

    A person may correct a row's labels or number to a text that no other row has: then it is among the classes, too.
    """
    first = files[0]
    if not first.task.has_classes:
        present = set(first.ids["train"].tolist())
        new = dict.fromkeys(text for id, text in relabel.items() if id in present and text not in first.classes)
        return [replace(file, classes=(*file.classes, *new)) for file in files] if new else list(files)
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
    files: Sequence[Features], drop: AbstractSet[str] = frozenset(), relabel: Mapping[str, str] = MappingProxyType({})
) -> TrainingRows:
    """The training rows, as if without copies, after what no head can be trained on has been refused.

    Raises:
        TrainingError: random weights, a network that learnt from these very rows, or one class only.
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
    _ = rows.to_learn  # refused now if a label is not of the kind that the task asks for
    if len(classes) < 2:
        raise TrainingError(
            f"All {len(rows.kept):,} training photographs of {rows.first.path} are {''.join(classes) or 'missing'}",
            "Extract the features of photographs of two classes or more",
        )
    return rows


def settle(rows: TrainingRows, plan: Plan, keeps_likeliest: bool = False) -> tuple[TrainingRows, Plan]:
    """The rows with their copies, and the plan with what it left to be found out.

    `keeps_likeliest` says that no table of rows and classes will be needed, see `likeliest`; then rows are streamed.

    Raises:
        TrainingError: as `TrainingRows.check_folds`; a head that cannot learn from blocks, where vectors do not fit
            into memory, or that was trained in memory, where they no longer do.
        StoreError: vectors cannot be read.
    """
    size = len(rows.kept), len(rows.first.columns)
    is_too_much = streaming.exceeds_memory(*size)
    if is_too_much and not keeps_likeliest:
        streaming.check_tables(*size)
    streamed = is_too_much or (streaming.is_needed(rows.files) if plan.streamed is None else plan.streamed)
    plan_checks.check(plan, rows.files, bool(streamed), keeps_likeliest)
    if plan.streamed is False:
        streaming.check_memory(rows.files)
    if streamed:  # refused before any vectors are read
        kind = rows.task.kind
        streaming.check_head(heads.create(plan.head, plan.seed, kind=kind, **plan.settings), rows.files, is_too_much)
    is_old = plan.version == OLDEST
    copies = () if is_old else duplicates.find_copies(rows.files) if plan.copies is None else plan.copies
    rows = rows.with_copies(copies)
    rows.check_folds(plan.folds, () if is_old else seeds_of(plan))
    return rows, replace(plan, copies=copies, streamed=streamed)


def out_of_fold(files: Sequence[Features], plan: Plan) -> CrossValidation:
    """Cross-validate as `train` does; raises as `train`, and writes nothing."""
    return cross_validate_plan(*settle(check_trainable(files, plan.drop, plan.relabel), plan))


def cross_validate_plan(rows: TrainingRows, plan: Plan) -> CrossValidation:
    """Cross-validate on rows by a plan, both settled; several deals of folds are averaged."""
    deals = (replace(plan, seed=seed, repeats=1) for seed in seeds_of(plan))
    return crossval.averaged(_cross_validate_deal(rows, deal) for deal in deals)


def seeds_of(plan: Plan) -> range:
    """The seed of each deal of folds and of its heads."""
    return range(plan.seed, plan.seed + plan.repeats)


def _cross_validate_deal(rows: TrainingRows, plan: Plan) -> CrossValidation:
    files, task = rows.files, rows.task
    widths = tuple(file.width for file in files)
    make = functools.partial(heads.create, plan.head, plan.seed, widths, task.kind, **plan.settings)
    target = rows.to_learn
    if plan.version == OLDEST:
        fold = fold_numbers(rows.learnt, rows.kept, plan.folds, plan.seed)
    else:
        fold = rows.deal(plan.folds, plan.seed)
    weights = rows.balancing if plan.balance else None
    if plan.streamed:
        return streaming.cross_validate_blocks(files, target, rows.kept, fold, make, plan.seed, kind=task.kind)
    if plan.pseudo:
        X, test = training_vectors(files), joining.Joined(files, "test").read()
        steps = plan.folds + pseudo_labels.count_pairs(plan.folds)
        with Progress(total=steps, description=plan.head, unit="fit") as progress:
            nested = make, progress.update, plan.pseudo, rows.groups, task.kind
            return pseudo_labels.cross_validate(X, test, target, rows.kept, fold, *nested)
    with Progress(total=plan.folds, description=plan.head, unit="fold") as progress:
        how = make, progress.update, rows.groups, task.kind, weights
        return crossval.cross_validate(training_vectors(files), target, rows.kept, fold, *how)


def training_vectors(files: Sequence[Features]) -> NDArray[np.float32]:
    """(n_train, sum of widths) vectors of all networks, rows as in the first file.

    Raises:
        StoreError: the files are damaged, or hold different rows.
        TrainingError: every column of a network is constant.
    """
    X = joining.Joined(files, "train").read()
    streaming.refuse_constant(files, X.min(axis=0) == X.max(axis=0))
    return X

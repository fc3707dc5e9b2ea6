"""What a network is to learn: the photographs that can be read, their classes, and the folds they are dealt to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from catsdogs.cleaning import duplicates
from catsdogs.errors import TrainingError, UnreadablePhotographError
from catsdogs.features.feature_file import Features, Unreadable
from catsdogs.features.folds import deal
from catsdogs.photographs import images, label_texts
from catsdogs.photographs.dataset import Dataset, Photograph
from catsdogs.progress import Progress


@dataclass(frozen=True)
class Lesson:
    """The photographs that can be read, and what is to be learnt of them.

    Attributes:
        dataset: its classes are those of the labels.
        train, test: train rows; test rows whose class is known, to measure on.
        digests: (n_train,) of the files' bytes.
        labels, test_labels: (n,) classes.
        folds: (n_train,) the fold, from 1, in which each row is held out; 0 everywhere without cross-validation.
        unreadable: what was left out, and why.
        pictures: (n_train,) numbers, the same for copies of a picture, which no split parts.
    """

    dataset: Dataset
    train: list[Photograph]
    test: list[Photograph]
    digests: NDArray[np.uint64]
    labels: NDArray[np.int64]
    test_labels: NDArray[np.int64]
    folds: NDArray[np.int64]
    unreadable: tuple[Unreadable, ...]
    pictures: NDArray[np.int64]

    def rows_by_fold(self) -> dict[int, NDArray[np.intp]]:
        """Number of each fold, from 1 -> the train rows that it holds out."""
        return {fold: np.flatnonzero(self.folds == fold) for fold in range(1, int(self.folds.max()) + 1)}


def read_lesson(dataset: Dataset, folds: int, seed: int, files: Sequence[Features] = ()) -> Lesson:
    """Read every photograph once, and deal them to the folds as `train` does; copies of a photograph share one.

    Classes of which no photograph can be read are left out.

    Args:
        files: feature files of these photographs, to find near-copies; see `duplicates.find_copies`.

    Raises:
        TrainingError: fewer than two classes, or a class with too few photographs.
        UsageError: numbers that cannot be used.
        DatasetError: photographs of several labels, or numbers.
    """
    label_texts.refuse_several(dataset.task, "A network")
    digests_by_row, unreadable = _read_all(dataset)
    train = [row for row in digests_by_row if row.split == "train"]
    digests = np.array([digests_by_row[row] for row in train], np.uint64)
    readable_classes, labels = np.unique(np.array([row.label for row in train], np.int64), return_inverse=True)
    dataset = replace(dataset, classes=tuple(dataset.classes[label] for label in readable_classes))
    test = [row for row in digests_by_row if row.split == "test" and dataset.truth[row.id] in dataset.classes]
    pictures = _picture_numbers([row.id for row in train], digests, files)
    _check_counts(dataset, labels, pictures, folds)
    return Lesson(
        dataset,
        train,
        test,
        digests,
        labels,
        np.array([dataset.classes.index(dataset.truth[row.id]) for row in test], np.int64),
        np.zeros(len(labels), np.int64) if folds == 1 else deal(labels, pictures, folds, seed) + 1,
        unreadable,
        pictures,
    )


def _read_all(dataset: Dataset) -> tuple[dict[Photograph, int], tuple[Unreadable, ...]]:
    """The digest of each photograph of known class, in the data set's order, and those that cannot be read."""
    rows = [row for row in dataset.photographs if row.split == "train" or row.id in dataset.truth]

    def digest_or_reason(row: Photograph) -> int | Unreadable:
        try:
            data = dataset.read(row)
            images.thumbnail(data, 8)  # decoded, so that nothing turns out damaged in the middle of an epoch
        except UnreadablePhotographError as error:
            return Unreadable(row.split, row.id, error.reason)
        return images.digest(data)

    present = [row.location not in dataset.absent for row in rows]
    digests, unreadable = {}, []
    with Progress(sum(present), "reading", "photo") as bar:
        results = images.in_parallel(digest_or_reason, rows, ahead=64)
        for row, is_present, result in zip(rows, present, results, strict=True):
            if isinstance(result, Unreadable):
                unreadable.append(result)
            else:
                digests[row] = result
            bar.update(is_present)
    return digests, tuple(unreadable)


def _picture_numbers(ids: Sequence[str], digests: NDArray[np.uint64], files: Sequence[Features]) -> NDArray[np.int64]:
    """(n_train,) numbers, the same for photographs of the same bytes, and for those that feature files call copies."""
    copies: duplicates.Copies = ()
    if files:
        first, present = files[0], dict(zip(ids, digests.tolist(), strict=True))
        extracted = dict(zip(first.ids["train"].tolist(), first.digests["train"].tolist(), strict=True))
        # A photograph that has changed since its features were extracted is a copy of nothing.
        copies = tuple(
            tuple(id for id in group if present.get(id) == extracted[id]) for group in duplicates.find_copies(files)
        )
    return duplicates.picture_numbers(ids, copies, digests)


def _check_counts(dataset: Dataset, labels: NDArray[np.int64], pictures: NDArray[np.int64], folds: int) -> None:
    """Refuse what leaves a member without two pictures of a class, one to learn from and one to choose the epoch by."""
    if len(dataset.classes) < 2:
        raise TrainingError(
            f"{dataset.root} has {len(labels):,} photographs to learn from, of {len(dataset.classes)} classes",
            "Give --data photographs of two classes or more",
        )
    counts = np.bincount(np.unique(np.stack((labels, pictures)), axis=1)[0])
    if counts.min() < _pictures_needed(folds):
        label = int(counts.argmin())
        rows, count = np.count_nonzero(labels == label), counts[label]
        fewer = f", which show {count} pictures" if count < rows else ""
        most = max((number for number in range(2, max(folds, 3) + 1) if _pictures_needed(number) <= count), default=0)
        raise TrainingError(
            f"The class {dataset.classes[label]} has {rows} photographs to learn from{fewer}, "
            f"and it takes {_pictures_needed(folds)}",
            (f"Give --folds {most}, the most that can be, add" if most else "Add")
            + " photographs of it, or leave it out with --classes",
        )


def _pictures_needed(folds: int) -> int:
    """How many pictures of a class so many folds take."""
    return max(3 if folds != 2 else 4, folds)

"""Holds labelled photographs out as somebody else did, so that a score can be put beside theirs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catsdogs import store, tables
from catsdogs.errors import TrainingError, UnknownNameError
from catsdogs.files import replacing
from catsdogs.store import Features
from catsdogs.submission import ID_COLUMN, LABEL_COLUMN

# Name -> in words. MLE-bench (Chan et al. 2024, https://github.com/openai/mle-bench) says in its
# competitions/dogs-vs-cats-redux-kernels-edition/prepare.py which tenth of Kaggle's labelled files it grades on.
PROTOCOLS = {"mlebench": "MLE-bench's split"}
TEST_SHARE = 0.1
SPLIT_SEED = 0
MIN_ROWS = 11  # of which two are held out, the fewest that have a standard error


@dataclass(frozen=True)
class _View(Features):
    """A feature file whose labelled rows are split anew; `rows` says which of its train rows are in each split."""

    original: Features
    rows: dict[str, NDArray[np.intp]]

    def read_vectors(self, split: str, target: NDArray[np.float32], rows: NDArray[np.intp] | None = None) -> None:
        target[slice(None) if rows is None else rows] = self.original.vectors("train")[self.rows[split]]

    def read_rows(self, split: str, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return self.original.read_rows("train", self.rows[split][rows])


def hold_out(files: Sequence[Features], protocol: str) -> tuple[list[Features], NDArray[np.int64]]:
    """Views of feature files in which held-out labelled rows are the test rows, and (n_test,) their hidden classes.

    The test rows of the files themselves are in neither split. Photographs that cannot be read take part in the split,
    so that all others come to lie where they do for whoever can read them.

    Raises:
        UnknownNameError: no such protocol.
        TrainingError: too few labelled rows.
        StoreError: the files hold different rows.
    """
    if protocol not in PROTOCOLS:
        raise UnknownNameError("protocol", protocol, list(PROTOCOLS))
    store.check_joinable(files)
    first = files[0]
    if len(first.labels) < MIN_ROWS:
        raise TrainingError(
            f"{first.path} has {len(first.labels)} labelled rows, too few to hold a tenth of them out",
            f"Extract the features of {MIN_ROWS} labelled photographs or more",
        )
    held = _held_out([*first.ids["train"], *(row.id for row in first.unreadable if row.split == "train")])
    views: list[Features] = [_view(file, held) for file in files]
    return views, first.labels[[id in held for id in first.ids["train"]]]


def named(file: Features, truth: NDArray[np.int64]) -> dict[str, str]:
    """Id of each test row -> the name of its class, of (n_test,) hidden classes."""
    return dict(zip(file.ids["test"], np.array(file.classes)[truth], strict=True))


def write_truth(path: Path, truth: Mapping[str, str]) -> None:
    """Write the hidden classes of test rows, id -> class: a CSV that `submission.grade` takes.

    Raises:
        StoreError: the file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as text:
        writer = tables.Writer(text)
        writer.writerow([ID_COLUMN, LABEL_COLUMN])
        writer.writerows(truth.items())


def _held_out(ids: Sequence[str]) -> set[str]:
    from sklearn.model_selection import train_test_split

    names = sorted(f"{id}.jpg" for id in ids)  # the names of Kaggle's files, of which `cat.1.jpg` precedes `cat.10.jpg`
    held = train_test_split(names, test_size=TEST_SHARE, random_state=SPLIT_SEED)[1]
    return {name.removesuffix(".jpg") for name in held}


def _view(file: Features, held: set[str]) -> _View:
    is_held = np.array([id in held for id in file.ids["train"]])
    rows = {"train": np.flatnonzero(~is_held), "test": np.flatnonzero(is_held)}
    parts = {field.name: getattr(file, field.name) for field in fields(Features)}
    for name in ("ids", "digests", "topk_class", "topk_prob", "statistics"):
        if parts[name]:  # a file of an old notebook lacks most of them
            parts[name] = {split: parts[name]["train"][chosen] for split, chosen in rows.items()}
    parts["labels"] = file.labels[rows["train"]]
    parts["unreadable"] = tuple(row for row in file.unreadable if row.split == "train" and row.id not in held)
    return _View(**parts, original=file, rows=rows)

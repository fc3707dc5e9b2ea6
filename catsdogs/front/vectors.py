"""Vectors: `Features`, the rows of several feature files side by side, and `load`, which opens them."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import StoreError, UsageError, in_short
from catsdogs.features import feature_file
from catsdogs.features.joining import Joined, check_joinable
from catsdogs.files import storage
from catsdogs.files.notebook import as_html
from catsdogs.front.arguments import checked
from catsdogs.front.defaults import DEFAULTS, FEATURES
from catsdogs.front.places import refuse_elsewhere
from catsdogs.front.reading import read_files
from catsdogs.networks.choice import expand
from catsdogs.photographs.task import Task

if TYPE_CHECKING:
    from pandas import DataFrame

_SPLITS = feature_file.SPLITS


class Features:
    """What several networks make of the photographs: a row for each, which knows its id and its label.

    Rows of `train` have labels, rows of `test` have none. Vectors are read from the files when they are asked for.

    >>> import catsdogs as cd
    >>> features = cd.load("features", "EfficientNetLite0")
    >>> features
    <Features EfficientNetLite0: 16 train + 4 test rows x 1,280, classes cat, dog>
    >>> features.X.shape, features.y.shape, features.X_test.shape
    ((16, 1280), (16,), (4, 1280))
    >>> features.ids[0], features.labels[0], features.ids_test.tolist()
    ('cat.0', 'cat', ['1', '2', '3', '4'])
    >>> features.frame().shape
    (16, 1281)
    """

    @checked()
    def __init__(self, files: Sequence[feature_file.Features]) -> None:
        """Lay files side by side.

        Raises:
            UsageError: there is none.
            StoreError: they hold different rows or labels.
        """
        if not files:
            raise UsageError("No network is named", "Give names such as lite,Xception")
        check_joinable(files)
        self._files, self._opened_in = tuple(files), Path.cwd()

    @property
    def files(self) -> tuple[feature_file.Features, ...]:
        """What each network's file says, in order.

        Raises:
            UsageError: the working folder is another now.
        """
        refuse_elsewhere(f"The folder {self._files[0].path.parent} was", self._opened_in)
        return self._files

    @property
    def backbones(self) -> list[str]:
        """The names of the networks, in the order of their columns."""
        return [file.name for file in self._files]

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self._files[0].path.parent

    @property
    def task(self) -> Task:
        """What the competition asks for."""
        return self._files[0].task

    @property
    def classes(self) -> tuple[str, ...]:
        """What answers are of: the classes, or the labels or numbers that the task names."""
        return self._files[0].columns

    @property
    def rows(self) -> dict[str, int]:
        """`train` and `test` -> how many rows."""
        return {split: len(self._files[0].ids[split]) for split in _SPLITS}

    @property
    def width(self) -> int:
        """How many columns all networks have together."""
        return sum(file.width for file in self._files)

    @property
    def ids(self) -> NDArray[np.object_]:
        """(n_train,) the ids of the photographs to learn from."""
        return self._files[0].ids["train"]

    @property
    def ids_test(self) -> NDArray[np.object_]:
        """(n_test,) the ids of the photographs to answer for."""
        return self._files[0].ids["test"]

    @property
    def labels(self) -> NDArray[np.object_]:
        """(n_train,) the label of each photograph as a text: its class, or its labels or numbers as they were read."""
        return np.array(self._files[0].classes, object)[self._files[0].labels]

    @property
    def y(self) -> NDArray[Any]:
        """(n_train,) indices of `classes`; of labels and numbers (n_train, k) values, a column for each of them."""
        first = self._files[0]
        return first.labels if first.task.has_classes else first.targets

    @cached_property
    def X(self) -> NDArray[np.float32]:  # noqa: N802 - as scikit-learn calls it
        """(n_train, width) vectors, those of one network after those of another; StoreError if a file is damaged."""
        return Joined(self.files, "train").read()

    @cached_property
    def X_test(self) -> NDArray[np.float32]:  # noqa: N802
        """(n_test, width) vectors; raises as `X`."""
        return Joined(self.files, "test").read()

    def frame(self, split: str = "train") -> "DataFrame":
        """A pandas frame with the ids as its index: the label, of `train`, and a column for each of the vectors'.

        Raises:
            UsageError: no such split.
        """
        if split not in _SPLITS:
            raise UsageError(f"There is no split {split!r}", f"Choose from: {', '.join(_SPLITS)}")
        import pandas

        names = [f"{file.name}_{column}" for file in self._files for column in range(file.width)]
        ids, values = (self.ids, self.X) if split == "train" else (self.ids_test, self.X_test)
        frame = pandas.DataFrame(values, index=pandas.Index(ids, name="id"), columns=names)
        if split == "train":
            frame.insert(0, "label", self.labels)
        return frame

    def __repr__(self) -> str:
        size, shown = self._in_words()
        return f"<Features {', '.join(self.backbones)}: {size}, {shown}>"

    def _repr_html_(self) -> str:
        lines = [(file.name, f"{file.width:,}", file.recipe.engine, file.recipe.precision) for file in self._files]
        size, shown = self._in_words()
        below = [f"In {self._files[0].path.parent}, {shown}"]
        return as_html(("network", "columns", "engine", "precision"), lines, f"Features: {size}", below)

    def _in_words(self) -> tuple[str, str]:
        """How large it is, and its classes."""
        rows = " + ".join(f"{count:,} {split}" for split, count in self.rows.items())
        return f"{rows} rows x {self.width:,}", f"classes {in_short(self.classes)}"


@checked()
def load(
    features: str | Path = FEATURES,
    backbones: str | Sequence[str] | None = None,
    *,
    data: str | Path | None = None,
) -> Features:
    """Open the feature files of a folder; no network is run, and no vector read yet.

    Args:
        features: the folder, or the URL of an object store.
        backbones: the networks, in the order of their columns; all whose files are there if not given. Vectors made
            elsewhere, such as `file:dino.parquet`, are joined to them by id, see docs/vectors.md.
        data: the photographs of vectors that do not know them: others', where no network's are beside them.

    Raises:
        StoreError: no such folder or file, or it is damaged, or two files hold different rows.
        UnknownNameError, UsageError: a name that is neither a network's nor a file's, or none at all.

    >>> import catsdogs as cd
    >>> cd.load("features").backbones
    ['EfficientNetLite0']
    """
    folder = storage.place(str(features))
    if not storage.is_remote(folder) and folder.is_file():
        raise StoreError(f"{folder} is a file, no folder of feature files", "Give the folder that it is in")
    names = networks(backbones) if backbones is not None else feature_file.names(folder)
    if backbones is None and not names:
        raise StoreError(f"{folder} holds no feature files", "Write them with `catsdogs features` or catsdogs.extract")
    return Features(read_files(folder, names, storage.place(str(data or DEFAULTS["data"])), bool(data)))


def networks(backbones: str | Sequence[str]) -> list[str]:
    """The networks that a text with commas, or a list of such, names, each once.

    Raises:
        UsageError: it names none.
    """
    names = expand(backbones if isinstance(backbones, str) else ",".join(backbones))
    if not names:
        raise UsageError("No network is named", "Give names such as lite,Xception")
    return names

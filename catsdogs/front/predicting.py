"""Predicting: a run asked about photographs that it has never seen, from files or from memory."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from catsdogs.errors import DatasetError, UnreadablePhotographError, UsageError
from catsdogs.files import storage
from catsdogs.files.notebook import MOST_ROWS, as_html
from catsdogs.front.arguments import checked
from catsdogs.front.defaults import FEATURES
from catsdogs.front.notes import note_left_alone
from catsdogs.front.places import check_writable, weights_folder
from catsdogs.front.runs import Run
from catsdogs.photographs import handed, images
from catsdogs.photographs.locations import Location, Reader
from catsdogs.runs import prediction

if TYPE_CHECKING:
    from pandas import DataFrame

PREDICTION_CACHE = ".predict"
Picture = str | Path | bytes | BinaryIO | Image.Image | NDArray[np.uint8]
_NAME = "photographs"  # what messages call them


@dataclass(frozen=True, repr=False)
class Predictions:
    """What a run says of photographs, a row for each.

    Attributes:
        ids: of a folder's photographs their names; of a list the paths, and `photographs[2]` for what has none.
        classes: what the columns are of: classes, or labels, or the names of the numbers.
        values: (n, classes) probabilities; of a run of numbers the numbers.
        unreadable: id -> why a photograph of a folder cannot be read; its row has the class prior.

    >>> import catsdogs as cd
    >>> answers = cd.predict("first", "pets/test")
    >>> answers.ids, len(answers), answers.frame().columns.tolist()
    (['1', '2', '3', '4'], 4, ['cat', 'dog'])
    """

    ids: list[str]
    classes: tuple[str, ...]
    values: NDArray[np.float64]
    unreadable: dict[str, str]

    def __len__(self) -> int:
        return len(self.ids)

    def frame(self) -> "DataFrame":
        """A pandas frame with the ids as its index, and a column for each of the classes."""
        import pandas

        return pandas.DataFrame(self.values, index=pandas.Index(self.ids, name="id"), columns=list(self.classes))

    def __repr__(self) -> str:
        return f"<Predictions: {len(self):,} photographs, {', '.join(self.classes[:5])}>"

    def _repr_html_(self) -> str:
        first = zip(self.ids[:MOST_ROWS], self.values[:MOST_ROWS].tolist(), strict=True)
        lines = [(id, *(f"{value:.5f}" for value in row)) for id, row in first]
        below = (
            [f"{len(self.unreadable):,} of them cannot be read, and have the class prior"] if self.unreadable else []
        )
        return as_html(("id", *self.classes), lines, f"Answers for {len(self):,} photographs", below, len(self))


@checked("photographs")
def predict(
    run: Run | str,
    photographs: Picture | Sequence[Picture],
    *,
    features: str | Path = FEATURES,
    weights_dir: str | Path | None = None,
) -> Predictions:
    """Answer for any photographs with a run, with the very networks that it was trained on.

    Args:
        run: a run, or its name in submissions/.
        photographs: a folder or zip of them; or one or several paths, bytes of files, open files, PIL images, or uint8
            arrays of height x width x 3 colours, red first. Of arrays and PIL images the numbers may differ from those
            of their files in the fourth digit: a large JPEG is decoded no larger than it is needed.
        features: the folder below which the vectors of a folder's photographs are kept for the next time, if there is
            one; those of a list are not kept.
        weights_dir: a folder of weights to look in first.

    Raises:
        UnknownNameError, TrainingError, StoreError, WeightsError: no such run, or not the networks it was trained on.
        DatasetError: paths at which there is nothing, a photograph of a list that cannot be decoded, or a folder
            without photographs.
        UsageError: something that is no photograph: a closed file, an array of floats or with its axes in another
            order.

    >>> import catsdogs as cd
    >>> answers = cd.predict("first", ["pets/test/2.jpg", "pets/test/1.jpg"])
    >>> answers.ids, answers.classes, answers.values.shape
    (['pets/test/2.jpg', 'pets/test/1.jpg'], ('cat', 'dog'), (2, 2))
    """
    folder = (Run(run) if isinstance(run, str) else run).folder  # no such run is said before photographs are copied
    weights = weights_folder(weights_dir)
    if isinstance(photographs, str | Path) and _is_place(photographs):
        with cache_below(storage.place(str(features)), is_asked_for=False) as cache:
            found = prediction.ask(folder, storage.place(str(photographs)), cache, weights)
        note_left_alone(found.left_alone)
        unreadable = {row.id: row.reason for row in found.unreadable}
        return Predictions(found.ids, found.run.classes, found.values, unreadable)
    return _answers_for_a_list(folder, photographs, weights)


@contextlib.contextmanager
def cache_below(folder: Path, is_asked_for: bool) -> Iterator[Path]:
    """Where vectors of photographs to answer for are kept: below the folder of features, if it is asked for or there.

    A notebook that is run once has no such folder, and gets none.
    """
    if is_asked_for or storage.exists(folder):
        check_writable(folder / PREDICTION_CACHE)
        yield folder / PREDICTION_CACHE
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


def _is_place(path: str | Path) -> bool:
    """Whether a path is of several photographs: a folder, a zip, or a URL."""
    place = storage.place(str(path))
    return storage.is_remote(place) or handed.is_folder(path) or place.suffix.lower() == ".zip"


def _answers_for_a_list(run_folder: Path, photographs: Any, weights_dir: str | None) -> Predictions:
    """What a run says of one or several photographs, copied into a folder first; raises as `predict`."""
    rows = _listed(photographs)
    given = handed.photographs(rows, _NAME)
    number_of = {f"{_NAME}[{number}]": number for number in range(len(rows))}
    with tempfile.TemporaryDirectory(prefix="catsdogs-") as temporary:
        pictures = Path(temporary, "pictures")
        pictures.mkdir()
        _write(dict(zip(number_of, given, strict=True)), pictures)
        try:
            found = prediction.ask(run_folder, pictures, Path(temporary, "vectors"), weights_dir)
        except DatasetError:  # not one can be read, which it says of a folder that nobody gave
            broken = {number: _broken(pictures / f"{name}.jpg") for name, number in number_of.items()}
            handed.refuse({number: why for number, why in broken.items() if why}, given, _NAME)
            raise
    handed.refuse({number_of[row.id]: row.reason for row in found.unreadable}, given, _NAME)
    order = np.argsort([number_of[id] for id in found.ids])
    names = [str(row) if isinstance(row, str | os.PathLike) else id for id, row in zip(number_of, rows, strict=True)]
    return Predictions(names, found.run.classes, found.values[order], {})


def _listed(photographs: Any) -> list[Any]:
    """The rows of one or several photographs, what open files hold in their place.

    Raises:
        UsageError: none at all, what cannot be gone through, or closed files.
    """
    is_picture = (
        isinstance(photographs, np.ndarray) and photographs.ndim in (2, 3) and photographs.dtype.kind in "biufc"
    )
    is_single = isinstance(photographs, str | os.PathLike | bytes | bytearray | Image.Image)
    if is_picture or is_single or hasattr(photographs, "read"):
        photographs = [photographs]
    elif isinstance(photographs, Iterator):
        photographs = list(photographs)
    return [_read(row, number) for number, row in enumerate(handed.rows(photographs, _NAME))]


def _read(row: Any, number: int) -> Any:
    """The bytes of an open file; anything else as it is."""
    if not hasattr(row, "read") or getattr(row, "closed", False):  # a closed one is refused among all others
        return row
    try:
        data = row.read()
    except (OSError, ValueError) as error:
        problem = f"Row {number} of {_NAME} is a file that cannot be read: {error}"
        raise UsageError(problem, "Open it with mode 'rb'") from None
    if not isinstance(data, bytes):
        raise UsageError(f"Row {number} of {_NAME} is a file of text", "Open it with mode 'rb'")
    return data


def _write(named: Mapping[str, handed.Handed], folder: Path) -> None:
    """Write photographs as files, for networks are given what commands give them.

    Raises:
        DatasetError: some cannot be read; see `handed.refuse`.
    """
    reasons, read = dict[int, str](), Reader().read
    for number, (name, one) in enumerate(named.items()):
        try:
            data = read(one) if isinstance(one, Location) else handed.content(one)
        except UnreadablePhotographError as error:
            reasons[number] = error.reason
        else:
            (folder / f"{name}.jpg").write_bytes(data)  # what it is is found in the bytes themselves
    handed.refuse(reasons, list(named.values()), _NAME)


def _broken(path: Path) -> str:
    """Why there is no picture in a file; empty if there is one."""
    try:
        images.decode(path.read_bytes())
    except UnreadablePhotographError as error:
        return error.reason
    return ""

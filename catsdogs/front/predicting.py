"""Predicting: a run asked about photographs that it has never seen, from files or from memory."""

import contextlib
import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from catsdogs.errors import DatasetError, UnreadablePhotographError, UsageError, and_more
from catsdogs.files import storage
from catsdogs.files.notebook import MOST_ROWS, as_html
from catsdogs.front.defaults import FEATURES, SUBMISSIONS
from catsdogs.front.notes import note_left_alone
from catsdogs.front.places import check_writable, weights_folder
from catsdogs.front.runs import Run
from catsdogs.runs import prediction
from catsdogs.runs.run_card import read_run

if TYPE_CHECKING:
    from pandas import DataFrame

PREDICTION_CACHE = ".predict"
Picture = str | Path | bytes | BinaryIO | Image.Image | NDArray[np.uint8]
_LOSSLESS = ("PNG", ".png", {"compress_level": 1})  # what is in memory already is read once, and not kept


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


def predict(
    run: Run | str,
    photographs: Picture | Sequence[Picture],
    *,
    features: str | Path = FEATURES,
    weights_dir: str | None = None,
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
        DatasetError: paths at which there is nothing, or a folder without photographs.
        UsageError: something that is no photograph: a closed file, an array of floats or with its axes in another
            order.
        UnreadablePhotographError: a photograph of a list that cannot be decoded.

    >>> import catsdogs as cd
    >>> answers = cd.predict("first", ["pets/test/2.jpg", "pets/test/1.jpg"])
    >>> answers.ids, answers.classes, answers.values.shape
    (['pets/test/2.jpg', 'pets/test/1.jpg'], ('cat', 'dog'), (2, 2))
    """
    name, weights = run if isinstance(run, str) else run.name, weights_folder(weights_dir)
    folder = SUBMISSIONS / name
    read_run(folder)  # refused before photographs are copied
    if isinstance(photographs, str | Path) and _is_place(photographs):
        with cache_below(storage.place(str(features)), is_asked_for=False) as cache:
            found = prediction.ask(folder, storage.place(str(photographs)), cache, weights)
        note_left_alone(found.left_alone)
        unreadable = {row.id: row.reason for row in found.unreadable}
        return Predictions(found.ids, found.run.classes, found.values, unreadable)
    listed = _listed(photographs)
    with tempfile.TemporaryDirectory(prefix="catsdogs-") as temporary:
        pictures = Path(temporary, "pictures")
        pictures.mkdir()
        names = _written(listed, pictures)
        found = prediction.ask(folder, pictures, Path(temporary, "vectors"), weights)
    if found.unreadable:
        row = min(found.unreadable, key=lambda row: int(row.id))
        raise UnreadablePhotographError(f"{names[int(row.id)]} cannot be read: {row.reason}")
    order = np.argsort([int(id) for id in found.ids])
    return Predictions(names, found.run.classes, found.values[order], {})


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
    return storage.is_remote(place) or place.is_dir() or place.suffix.lower() == ".zip"


def _listed(photographs: Any) -> list[Any]:
    """One or several photographs as a list.

    Raises:
        UsageError: none at all, or what cannot be gone through.
        DatasetError: paths at which there is nothing.
    """
    is_single = isinstance(photographs, str | Path | bytes | bytearray | Image.Image) or hasattr(photographs, "read")
    if is_single or (isinstance(photographs, np.ndarray) and photographs.ndim < 4 and photographs.dtype != object):
        photographs = [photographs]
    if not isinstance(photographs, Iterable):
        raise UsageError(_no_photograph("photographs", photographs), _KINDS)
    listed = list(photographs)
    if not listed:
        raise UsageError("There are no photographs to answer for", _KINDS)
    gone = [str(one) for one in listed if isinstance(one, str | Path) and not Path(one).is_file()]
    if gone:
        number = f"{len(gone):,} of {len(listed):,} photographs"
        raise DatasetError(
            f"There is no file {gone[0]}{and_more(gone[1:], 'paths')}: {number}", "Check the paths", gone
        )
    return listed


_KINDS = "Give paths, bytes, open files, PIL images or uint8 arrays of height x width x 3"


def _no_photograph(name: str, given: Any) -> str:
    return f"{name} is no photograph but of the type {type(given).__name__}"


def _written(listed: Sequence[Any], folder: Path) -> list[str]:
    """Write photographs as files whose names are their numbers. Returns what they are called in messages and answers.

    The networks are then given what they are given on the command line: files.

    Raises:
        UsageError: as `predict`.
        UnreadablePhotographError: a file that cannot be read, or a PIL image whose file cannot be.
    """
    names = []
    for number, given in enumerate(listed):
        name = str(given) if isinstance(given, str | Path) else f"photographs[{number}]"
        data, suffix = _bytes_of(given, name)
        (folder / f"{number}{suffix}").write_bytes(data)
        names.append(name)
    return names


def _bytes_of(given: Any, name: str) -> tuple[bytes, str]:
    """The bytes of a photograph's file, and a suffix that fits them; what they are is found in the bytes themselves."""
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given), ".jpg"
    if isinstance(given, Image.Image):
        return _bytes_of_image(given, name)
    if isinstance(given, np.ndarray):
        return _encoded(Image.fromarray(checked(given, name)))
    if not (isinstance(given, str | Path) or hasattr(given, "read")):
        raise UsageError(_no_photograph(name, given), _KINDS)
    if getattr(given, "closed", False):
        raise UsageError(f"{name} is a closed file", "Give its path, or keep it open")
    if isinstance(given, io.TextIOBase):
        raise UsageError(f"{name} is a file of text", "Open it with mode 'rb'")
    try:
        return Path(given).read_bytes() if isinstance(given, str | Path) else given.read(), ".jpg"
    except OSError as error:
        raise UnreadablePhotographError(f"{name} cannot be read: {error.strerror or error}") from None


def _bytes_of_image(image: Image.Image, name: str) -> tuple[bytes, str]:
    try:
        upright = ImageOps.exif_transpose(image)
    except (OSError, ValueError) as error:  # of an image whose file was closed, or is damaged
        raise UnreadablePhotographError(f"{name} cannot be read: {error}") from None
    return _encoded(upright if upright.mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16") else upright.convert("RGB"))


def _encoded(image: Image.Image) -> tuple[bytes, str]:
    form, suffix, options = _LOSSLESS
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue(), suffix


def checked(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """An array of pixels, after it was seen to be one: uint8, height x width x 3.

    Raises:
        UsageError: axes in another order, other colours, floats, or numbers that are no bytes.
    """
    shape = " x ".join(map(str, array.shape))
    if array.ndim != 3 or array.shape[2] != 3:
        remedies = {
            array.ndim == 2: "Repeat a grey picture for three colours: numpy.dstack([array] * 3)",
            array.ndim == 3 and array.shape[-1] == 4: "Leave the fourth colour out: array[..., :3]",
            array.ndim == 3 and array.shape[0] == 3: "Put the colours last: array.transpose(1, 2, 0)",
        }
        remedy = remedies.get(True, "Give one array for each photograph")
        raise UsageError(f"{name} has the axes {shape}, not height x width x 3", remedy)
    if not array.size:
        raise UsageError(f"{name} has no pixels: its axes are {shape}", "Leave it out")
    if array.dtype != np.uint8:
        low, high = array.min(), array.max()
        fits = low >= 0 and high <= 255
        is_share = fits and high <= 1 and not np.issubdtype(array.dtype, np.integer)
        remedy = "(255 * array).round().astype('uint8')" if is_share else "array.round().astype('uint8')"
        remedy = f"Give {remedy}" if fits else "Scale it to 0 to 255, and give it as uint8"
        raise UsageError(f"{name} holds {array.dtype} from {low:g} to {high:g}, not uint8", remedy)
    return np.ascontiguousarray(array)

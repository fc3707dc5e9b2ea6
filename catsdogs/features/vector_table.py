"""Tables of vectors as other programs keep them: a column `id` and numbers, in Parquet, .npz or HDF5; read and written.

A column of lists, or an array of two dimensions, is a vector. Where there is none, columns numbered without a gap, such
as `f0, f1, …`, are one. All other numbers are left alone: one of them may be the answer.
"""

import hashlib
import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import MissingError, StoreError, UsageError, in_short
from catsdogs.features.feature_file import SPLITS, Features
from catsdogs.features.joining import Joined, check_joinable
from catsdogs.files import hdf5, storage
from catsdogs.files.atomic import replacing

WRITTEN = ("parquet", "npz")
ID, SPLIT, LABEL = "id", "split", "label"
_NAMES = (ID, SPLIT, LABEL)
_REMEDY = "Write it again with a column id, and vectors as lists, as an array (rows, width), or as columns f0, f1, …"
_NUMBERED = re.compile(r"(.*?)(\d+)")
_ROWS_AT_A_TIME = 4096

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class VectorTable:
    """What a file of vectors says.

    Attributes:
        sha256: of the file's bytes.
        ids: (n,) str.
        splits: (n,) `train` or `test`; empty if the file does not say.
        labels: (n,) str, empty where a row has none; of no rows if the file has no labels in words.
        vectors: (n, width) float32, all finite.
        dtype: of the numbers as they stand in the file.
        left_alone: columns that are no vectors.
    """

    path: Path
    sha256: str
    ids: NDArray[np.object_]
    splits: NDArray[np.object_]
    labels: NDArray[np.object_]
    vectors: NDArray[np.float32]
    dtype: str
    left_alone: tuple[str, ...]


def digest_of(path: Path) -> str:
    """The SHA-256 of a file of vectors.

    Raises:
        UsageError: a file of another kind.
        MissingError, StoreError: it is not there, or cannot be read.
    """
    if path.suffix.lower() not in _READERS:
        raise UsageError(f"{path} is no file of vectors that is read here", f"Give one of {', '.join(_READERS)}")
    try:
        with storage.local(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise MissingError(f"No file of vectors {path}", "Check the path behind file:") from None
    except OSError as error:
        raise storage.read_error(path, error) from None


def read(path: Path) -> VectorTable:
    """Read a file of vectors whole, and check all that it says of itself.

    Raises:
        UsageError: a file of another kind, or pyarrow is needed and not installed.
        StoreError: it is not there or damaged; an id is missing or there twice; no vectors, or one that is not finite.
    """
    sha256 = digest_of(path)
    columns = _READERS[path.suffix.lower()](path)
    if ID not in columns:
        raise StoreError(f"{path} has no column {ID}: it has {in_short(list(columns))}", _REMEDY)
    ids = _ids(path, columns[ID])
    for name in (SPLIT, LABEL):
        if name in columns and len(columns[name]) != len(ids):
            raise StoreError(f"{path}: {name} has {len(columns[name]):,} rows, {ID} {len(ids):,}", _REMEDY)
    splits = _splits(path, columns[SPLIT]) if SPLIT in columns else np.empty(0, object)
    _refuse_twice(path, ids, splits)
    has_words = LABEL in columns and columns[LABEL].dtype == object
    labels = np.array([text or "" for text in columns[LABEL]], object) if has_words else np.empty(0, object)
    found = _vectors_among(columns)
    if not found:
        raise StoreError(f"{path} has no vectors beside {ID}: it has {in_short(list(columns))}", _REMEDY)
    for name, array in found.items():
        if len(array) != len(ids):
            raise StoreError(f"{path}: {name} has {len(array):,} rows, {ID} {len(ids):,}", _REMEDY)
    dtypes = sorted({str(array.dtype) for array in found.values()})
    return VectorTable(
        path=path,
        sha256=sha256,
        ids=ids,
        splits=splits,
        labels=labels,
        vectors=_as_float32(path, ids, list(found.values())),
        dtype="+".join(dtypes),
        left_alone=tuple(name for name in columns if name not in (*_NAMES, *found)),
    )


def write(path: Path, files: Sequence[Features]) -> None:
    """Write the vectors of feature files with ids, splits and labels, as the suffix of `path` says.

    A row for each photograph in the order of the first file, train rows first. A column, or array (n, width) float32,
    for each network is named as its feature file. A test row's label is null in Parquet, and empty in .npz.

    Raises:
        StoreError: the files hold different rows or are damaged, or `path` cannot be written.
        UsageError: pyarrow is needed and not installed.
    """
    check_joinable(files)
    {f".{WRITTEN[0]}": _write_parquet, f".{WRITTEN[1]}": _write_npz}[path.suffix](path, files)


def _as_float32(path: Path, ids: NDArray[np.object_], parts: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    vectors = np.empty((len(ids), sum(part.shape[1] if part.ndim > 1 else 1 for part in parts)), np.float32)
    start = 0
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused below
        for part in parts:
            stop = start + (part.shape[1] if part.ndim > 1 else 1)
            vectors[:, start:stop] = part.reshape(len(part), -1)
            start = stop
    finite = np.isfinite(vectors)
    if not finite.all():
        wrong = np.flatnonzero(~finite.all(axis=1))
        column = int(finite[wrong[0]].argmin())
        value = vectors[wrong[0], column]
        what = "NaN, or nothing," if np.isnan(value) else "a number that float32 cannot hold"
        problem = f"{path}: {len(wrong):,} rows are not finite; row {wrong[0]:,} ({ids[wrong[0]]}) holds {what}"
        remedy = "Leave such rows out, or compute them again"
        raise StoreError(f"{problem} in place {column:,} of its vector", remedy, [ids[row] for row in wrong])
    return vectors


def _ids(path: Path, column: NDArray[Any]) -> NDArray[np.object_]:
    """(n,) str: texts as they are, whole numbers in digits."""
    if column.ndim != 1 or column.dtype.kind not in "Oiu":
        kind = f"{column.dtype}, {column.ndim} dimensions"
        raise StoreError(
            f"{path}: {ID} holds no texts or whole numbers ({kind})", "Write ids as text, one for each row"
        )
    absent = [row for row, id in enumerate(column) if id is None or id == ""]
    if absent:
        problem = f"{path}: {len(absent):,} rows have no {ID}, the first is row {absent[0]:,}"
        raise StoreError(problem, "Give each row the id of its photograph")
    return np.array([str(id) for id in column], object)


def _splits(path: Path, column: NDArray[Any]) -> NDArray[np.object_]:
    wrong = sorted({str(value) for value in column if value not in SPLITS})
    if wrong:
        raise StoreError(f"{path}: {SPLIT} holds {in_short(wrong)}", f"Write {' or '.join(SPLITS)}, or leave it out")
    return column.astype(object)


def _refuse_twice(path: Path, ids: NDArray[np.object_], splits: NDArray[np.object_]) -> None:
    seen, twice = set[tuple[str, ...]](), []
    for row in zip(ids, splits, strict=True) if splits.size else zip(ids, strict=True):
        if row in seen:
            twice.append("/".join(reversed(row)))
        seen.add(row)
    if twice:
        remedy = f"Leave one row of each, or say in a column {SPLIT} which is train and which test"
        raise StoreError(f"{path}: {len(twice):,} ids are there twice: {in_short(twice)}", remedy, twice)


def _vectors_among(columns: Columns) -> Columns:
    """The columns that are vectors, or that make one together."""
    numeric = {name: array for name, array in columns.items() if array.dtype.kind in "fiu" and name not in _NAMES}
    if wide := {name: array for name, array in numeric.items() if array.ndim == 2 and array.shape[1]}:
        return wide
    numbered: dict[str, dict[int, str]] = defaultdict(dict)
    for name, array in numeric.items():
        if array.ndim == 1 and (match := _NUMBERED.fullmatch(name)):
            numbered[match[1]][int(match[2])] = name
    found: Columns = {}
    for places in numbered.values():
        first = min(places)
        if len(places) > 1 and first in (0, 1) and sorted(places) == list(range(first, first + len(places))):
            found |= {places[place]: numeric[places[place]] for place in sorted(places)}
    return found


def _read_npz(path: Path) -> Columns:
    try:
        archive = np.load(storage.local(path), allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise StoreError(f"{path} is a single array, not an archive of them", _REMEDY)
        with archive as file:
            return {name: _texts(file[name]) for name in file.files if file[name].ndim}
    except (ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        why = "it holds pickled objects" if "pickle" in str(error) else f"it is cut short or damaged ({error})"
        raise StoreError(f"{path} cannot be read: {why}", "Write it with numpy.savez, ids as an array of str") from None
    except OSError as error:
        raise storage.read_error(path, error) from None


def _read_hdf5(path: Path) -> Columns:
    import h5py

    with hdf5.reading(path, "Write it again with what wrote it") as file:
        arrays = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset) and item.ndim}
        texts = {name for name, item in arrays.items() if h5py.check_string_dtype(item.dtype)}
        return {name: item.asstr()[...] if name in texts else item[...] for name, item in arrays.items()}


def _texts(array: NDArray[Any]) -> NDArray[Any]:
    """An array of fixed-length texts as one of str; others as they are."""
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8").astype(object)
    return array.astype(object) if array.dtype.kind == "U" else array


def _pyarrow(path: Path) -> ModuleType:
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        problem = f"{path} needs pyarrow, which is not installed ({error})"
        raise UsageError(problem, "Install it: pip install 'catsdogs[parquet]'") from None
    module: ModuleType = pyarrow
    return module


def _read_parquet(path: Path) -> Columns:
    arrow = _pyarrow(path)
    try:
        table = arrow.parquet.read_table(storage.local(path))
    except arrow.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise StoreError(f"{path} is cut short or damaged: {reason}", "Write it again with what wrote it") from None
    except OSError as error:
        raise storage.read_error(path, error) from None
    columns: Columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type.value_type if arrow.types.is_dictionary(column.type) else column.type
        is_text = any(test(kind) for test in (arrow.types.is_string, arrow.types.is_large_string))
        is_list = any(
            test(kind) for test in (arrow.types.is_list, arrow.types.is_large_list, arrow.types.is_fixed_size_list)
        )
        if is_text or arrow.types.is_null(kind) or (name == ID and arrow.types.is_integer(kind)):
            columns[name] = np.array(column.to_pylist(), object)
        elif is_list and (arrow.types.is_integer(kind.value_type) or arrow.types.is_floating(kind.value_type)):
            columns[name] = _of_lists(path, name, column, arrow)
        else:
            is_number = arrow.types.is_integer(kind) or arrow.types.is_floating(kind)
            columns[name] = column.to_numpy() if is_number else np.empty(len(column), "V1")  # is left alone
    return columns


def _of_lists(path: Path, name: str, column: Any, arrow: ModuleType) -> NDArray[Any]:
    """(n, width) of a column of lists; one chunk at a time, for offsets of 32 bits do not reach over large columns."""
    lengths = set(arrow.compute.unique(arrow.compute.list_value_length(column)).to_pylist())
    if len(lengths) != 1 or None in lengths:
        shown = ", ".join(sorted("none" if length is None else f"{length:,}" for length in lengths))
        raise StoreError(f"{path}: {name} holds lists of different lengths: {shown or 'no rows'}", _REMEDY)
    blocks = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return np.concatenate(blocks).reshape(len(column), lengths.pop())


_READERS: Mapping[str, Callable[[Path], Columns]] = {
    ".parquet": _read_parquet,
    ".npz": _read_npz,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
}


def _write_npz(path: Path, files: Sequence[Features]) -> None:
    first = files[0]
    arrays: dict[str, Any] = {name: np.array([*texts], str) for name, texts in _texts_of(first).items()}
    for file in files:
        arrays[file.name] = np.concatenate([Joined([file], split, first=first).read() for split in SPLITS])
    with replacing(path) as temporary, temporary.open("wb") as target:
        np.savez(target, **arrays)


def _write_parquet(path: Path, files: Sequence[Features]) -> None:
    arrow, first = _pyarrow(path), files[0]
    told = {"networks": {file.name: file.recipe.as_dict() for file in files}, "classes": first.classes}
    fields = [arrow.field(name, arrow.string()) for name in _NAMES]
    fields += [arrow.field(file.name, arrow.list_(arrow.float32(), file.width)) for file in files]
    schema = arrow.schema(fields, metadata={"catsdogs": json.dumps(told | {"source": first.source})})
    texts = _texts_of(first)
    with replacing(path) as temporary, arrow.parquet.ParquetWriter(temporary, schema) as writer:
        done = 0
        for vectors in _blocks(files):
            rows = slice(done, done + len(vectors))
            columns = [arrow.array([text or None for text in texts[name][rows]], arrow.string()) for name in _NAMES]
            ends = np.cumsum([file.width for file in files])[:-1]
            for part in np.split(vectors, ends, axis=1):
                columns.append(arrow.FixedSizeListArray.from_arrays(arrow.array(part.ravel()), part.shape[1]))
            writer.write_table(arrow.Table.from_arrays(columns, schema=schema))
            done = rows.stop


def _blocks(files: Sequence[Features]) -> Iterator[NDArray[np.float32]]:
    for split in SPLITS:
        if len(files[0].ids[split]):
            for _, vectors in Joined(files, split).blocks(_ROWS_AT_A_TIME):
                yield vectors


def _texts_of(first: Features) -> dict[str, NDArray[np.object_]]:
    """id, split and label of each row, train rows first; a test row's label is empty."""
    counts = [len(first.ids[split]) for split in SPLITS]
    labels = np.array(first.classes, object)[first.labels]
    return {
        ID: np.concatenate([first.ids[split] for split in SPLITS]),
        SPLIT: np.repeat(np.array(SPLITS, object), counts),
        LABEL: np.concatenate([labels, np.full(counts[1], "", object)]),
    }

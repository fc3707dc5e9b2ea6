"""Reads PyTorch's legacy `.pth` files without PyTorch, and without running anything they ask for."""

import collections
import math
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import WeightsError

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # torch/serialization.py, before the zip format
PROTOCOL_VERSION = 1001


@dataclass(frozen=True)
class _Tensor:
    """A strided view of a storage whose numbers stand further down the file."""

    key: str
    offset: int
    size: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: Path) -> dict[str, NDArray[Any]]:
    """The state dictionary of a legacy `.pth` file: name -> array.

    Raises:
        WeightsError: not such a file, cut short, or a pickle that asks for anything but tensors.
    """
    try:
        with path.open("rb") as file:
            return _read(file, path.stat().st_size)
    except pickle.UnpicklingError as error:
        problem = str(error)
    except Exception as error:  # a damaged pickle raises nearly anything; whatever it is, the file cannot be used
        problem = f"{type(error).__name__}: {error}"
    raise WeightsError(f"{path} is not a usable .pth file: {problem}", "Install the package it came from again")


def _read(file: BinaryIO, file_size: int) -> dict[str, NDArray[Any]]:
    storages: dict[str, tuple[str, int]] = {}
    if _Unpickler(file, storages).load() != MAGIC_NUMBER or _Unpickler(file, storages).load() != PROTOCOL_VERSION:
        raise pickle.UnpicklingError("no legacy PyTorch file")
    if not _Unpickler(file, storages).load()["little_endian"]:
        raise pickle.UnpicklingError("written on a big-endian machine")
    tensors: dict[str, _Tensor] = _Unpickler(file, storages).load()
    data: dict[str, NDArray[Any]] = {}
    for key in _Unpickler(file, storages).load():
        dtype, claimed = storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        if count != claimed or not 0 <= count * np.dtype(dtype).itemsize <= file_size:
            raise pickle.UnpicklingError(f"storage {key} has {count} numbers, {claimed} were announced")
        data[key] = np.frombuffer(file.read(count * np.dtype(dtype).itemsize), dtype)
        if len(data[key]) != count:
            raise pickle.UnpicklingError("cut short")
    return {name: _view(data[tensor.key], tensor) for name, tensor in tensors.items()}


def _view(storage: NDArray[Any], tensor: _Tensor) -> NDArray[Any]:
    """Many tensors are saved as transposed views: the strides, not the shape alone, say which number goes where."""
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.size, tensor.strides, strict=True))
    if math.prod(tensor.size) and not 0 <= tensor.offset <= last < len(storage):
        raise pickle.UnpicklingError("a tensor reaches outside its storage")
    if min((*tensor.size, *tensor.strides), default=0) < 0:
        raise pickle.UnpicklingError("a tensor has a negative size or stride")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.size, strides, writeable=False).copy()


def _rebuild_tensor(storage: str, offset: int, size: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _Tensor:
    return _Tensor(storage, offset, size, strides)


class _Unpickler(pickle.Unpickler):
    """Admits an ordered dictionary of float and long tensors, and nothing else."""

    _ADMITTED: dict[tuple[str, str], Callable[..., Any] | str] = {  # noqa: RUF012 - constant
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch", "FloatStorage"): "<f4",
        ("torch", "LongStorage"): "<i8",
    }

    def __init__(self, file: BinaryIO, storages: dict[str, tuple[str, int]]) -> None:
        super().__init__(file)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"its pickle asks for {module}.{name}") from None

    def persistent_load(self, pid: Any) -> str:
        kind, dtype, key, _, count, view = pid
        if kind != "storage" or view is not None or dtype not in ("<f4", "<i8"):
            raise pickle.UnpicklingError("an unknown kind of storage")
        self._storages[key] = (dtype, count)
        return key

"""Reads PyTorch's legacy `.pth` files without PyTorch, and runs nothing that they ask for."""

import collections
import math
import pickle
import pickletools
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
_REASON_LENGTH = 200  # characters of a reason, part of which a hostile file may have written

# Hostile bytes are refused before anything is built of them. A few bytes of a pickle can ask for a memo of gigabytes.
# Tuples of tuples of the same tuples take for ever to hash and to print, and nested deeply they exhaust the stack. So
# nothing may nest deeply, and only names may be referred to a second time, which is all that torch.save does.
_MAX_OPCODES = 2**18  # networks of a thousand layers have a tenth of that
_MAX_DEPTH = 100  # three, and one more for each thousand tensors
_MAX_DIMENSIONS = 32
_NAMES = {"GLOBAL", "BINUNICODE"}
_PUTS, _GETS = {"BINPUT", "LONG_BINPUT"}, {"BINGET", "LONG_BINGET"}
_OPCODES = {
    *_NAMES, *_PUTS, *_GETS, "PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2",
    "LONG1", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT",
    "SETITEM", "SETITEMS", "BINPERSID", "REDUCE", "BUILD",
}  # fmt: skip


@dataclass(frozen=True)
class _Tensor:
    """A strided view of a storage whose numbers stand further down the file."""

    key: str
    offset: int
    size: tuple[int, ...]
    strides: tuple[int, ...]


def read_pth(path: Path) -> dict[str, NDArray[Any]]:
    """The state dictionary of a legacy `.pth` file: name -> array.

    Raises:
        WeightsError: not such a file, cut short, or a pickle that asks for anything but tensors.
    """
    try:
        with path.open("rb") as file:
            return _read_tensors(file, path.stat().st_size)
    except pickle.UnpicklingError as error:
        problem = str(error)[:_REASON_LENGTH]
    except Exception as error:  # a damaged pickle raises nearly anything; whatever it is, the file cannot be used
        problem = f"{type(error).__name__}: {error}"[:_REASON_LENGTH]
    raise WeightsError(f"{path} is not a usable .pth file: {problem}", "Install the package it came from again")


def _read_tensors(file: BinaryIO, file_size: int) -> dict[str, NDArray[Any]]:
    storages: dict[str, tuple[str, int]] = {}
    if _unpickle(file, storages) != MAGIC_NUMBER or _unpickle(file, storages) != PROTOCOL_VERSION:
        raise pickle.UnpicklingError("no legacy PyTorch file")
    if not _unpickle(file, storages)["little_endian"]:
        raise pickle.UnpicklingError("written on a big-endian machine")
    tensors: dict[str, _Tensor] = _unpickle(file, storages)
    data: dict[str, NDArray[Any]] = {}
    for key in _unpickle(file, storages):
        dtype, claimed = storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        if count != claimed or not 0 <= count * np.dtype(dtype).itemsize <= file_size:
            raise pickle.UnpicklingError(f"storage {key} has {count} numbers, {claimed} were announced")
        data[key] = np.frombuffer(file.read(count * np.dtype(dtype).itemsize), dtype)
        if len(data[key]) != count:
            raise pickle.UnpicklingError("cut short")
    if sum(math.prod(tensor.size) * data[tensor.key].itemsize for tensor in tensors.values()) > file_size:
        raise pickle.UnpicklingError("its tensors hold more than the file")
    return {name: _strided(data[tensor.key], tensor) for name, tensor in tensors.items()}


def _unpickle(file: BinaryIO, storages: dict[str, tuple[str, int]]) -> Any:
    """The content of the file's next pickle, after all its opcodes were checked."""
    start = file.tell()
    _refuse_unusual(file)
    file.seek(start)
    return _Unpickler(file, storages).load()


def _refuse_unusual(file: BinaryIO) -> None:
    """Refuse opcodes that torch.save does not write, too many, deep nesting, and second references but to names."""
    names: set[int] = set()
    depths: list[int] = []
    previous = ""
    for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name not in _OPCODES or number == _MAX_OPCODES:
            raise pickle.UnpicklingError(f"its pickle is too long, or none of PyTorch's: {opcode.name}")
        if opcode.name in _PUTS and argument is not None:
            if argument > number:
                raise pickle.UnpicklingError(f"its pickle numbers something {argument}")
            names.discard(argument)
            if previous in _NAMES:
                names.add(argument)
        elif opcode.name in _GETS and argument not in names:
            raise pickle.UnpicklingError("its pickle refers to something again that is no name")
        _nest(depths, opcode)
        previous = opcode.name


def _nest(depths: list[int], opcode: pickletools.OpcodeInfo) -> None:
    """Keep track of how deeply each value on an unpickler's stack is nested; a mark there is -1."""
    taken = [0]
    for part in reversed(opcode.stack_before):
        if part is pickletools.markobject:
            while (depth := depths.pop()) >= 0:
                taken.append(depth)
        elif part is not pickletools.stackslice:
            taken.append(depths.pop())
    depth = max(taken) + 1
    if depth > _MAX_DEPTH:
        raise pickle.UnpicklingError("its pickle nests too deeply")
    depths += (-1 if part is pickletools.markobject else depth for part in opcode.stack_after)


def _strided(storage: NDArray[Any], tensor: _Tensor) -> NDArray[Any]:
    """The tensor's array. Many tensors are saved as transposed views, so the strides must be respected."""
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.size, tensor.strides, strict=True))
    if math.prod(tensor.size) and not 0 <= tensor.offset <= last < len(storage):
        raise pickle.UnpicklingError("a tensor reaches outside its storage")
    if min((*tensor.size, *tensor.strides), default=0) < 0:
        raise pickle.UnpicklingError("a tensor has a negative size or stride")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.size, strides, writeable=False).copy()


class _Rebuild:
    """`torch._utils._rebuild_tensor_v2`; without slots to put anything into, whatever a pickle sets."""

    __slots__ = ()

    def __call__(self, storage: str, offset: int, size: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _Tensor:
        if not len(size) == len(strides) <= _MAX_DIMENSIONS:
            raise pickle.UnpicklingError(f"a tensor of {len(size)} dimensions and {len(strides)} strides")
        return _Tensor(storage, offset, size, strides)


class _Unpickler(pickle.Unpickler):
    """Admits an ordered dictionary of float and long tensors, and nothing else."""

    _ADMITTED: dict[tuple[str, str], Callable[..., Any] | str] = {  # noqa: RUF012 - constant
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(),
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

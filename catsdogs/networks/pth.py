"""Reads PyTorch's legacy `.pth` files without PyTorch, and builds nothing that they ask for.

Such a file has five pickles and then the storages. Of the pickles only names, texts and numbers are read, in their
order, which tells all about a tensor. So no bytes can run anything, nest, or ask for more memory than they take.
PyTorch is a download of 555 MB (2.14, without its CUDA libraries), to read three files of 20 MB in 0.04 s each.
"""

import itertools
import math
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import WeightsError

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # torch/serialization.py, before the zip format
PROTOCOL_VERSION = 1001
_REASON_LENGTH = 200  # characters of a reason, part of which a hostile file may have written
_MAX_OPCODES = 2**18  # networks of a thousand layers have a tenth of that
_MAX_DIMENSIONS = 32
_TENSOR, _DICTIONARY = "torch._utils _rebuild_tensor_v2", "collections OrderedDict"
_DTYPES = {"torch FloatStorage": "<f4", "torch LongStorage": "<i8"}
_PUTS, _GETS = {"BINPUT", "LONG_BINPUT"}, {"BINGET", "LONG_BINGET"}
_VALUES = {"GLOBAL", "BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"}
_OPCODES = _PUTS | _GETS | _VALUES | {
    "PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS", "BINPERSID", "REDUCE", "BUILD",
}  # fmt: skip


class _Tensor(NamedTuple):
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
    if _read_pickle(file) != [MAGIC_NUMBER] or _read_pickle(file) != [PROTOCOL_VERSION]:
        raise pickle.UnpicklingError("no legacy PyTorch file")
    _read_pickle(file)  # the sizes of C's types, and that the machine was a little-endian one
    dtypes: dict[str, np.dtype] = {}
    tensors: dict[str, _Tensor] = {}
    # The dictionary of tensors and what rebuilds each of them are empty dictionaries at first: they stand between.
    for _, values in itertools.groupby(_read_pickle(file), lambda value: value == _DICTIONARY):
        match list(values):
            case [name, rebuild, "storage", kind, key, "cpu", _, offset, *view] if rebuild == _TENSOR:
                dtypes[key], half = np.dtype(_DTYPES[kind]), len(view) // 2
                tensors[name] = _Tensor(key, offset, tuple(view[:half]), tuple(view[half:]))
                if len(view) != 2 * half or half > _MAX_DIMENSIONS:
                    raise pickle.UnpicklingError(f"a tensor of {half} dimensions and {len(view) - half} strides")
                if min([offset, *view]) < 0:
                    raise pickle.UnpicklingError("a tensor has a negative offset, size or stride")
    data: dict[str, NDArray[Any]] = {}
    for key in _read_pickle(file):
        (count,) = struct.unpack("<q", file.read(8))
        if not 0 <= count * dtypes[key].itemsize <= file_size:
            raise pickle.UnpicklingError(f"storage {key} has {count} numbers")
        data[key] = np.frombuffer(file.read(count * dtypes[key].itemsize), dtypes[key])
        if len(data[key]) != count:
            raise pickle.UnpicklingError("cut short")
    if sum(math.prod(tensor.size) * dtypes[tensor.key].itemsize for tensor in tensors.values()) > file_size:
        raise pickle.UnpicklingError("its tensors hold more than the file")
    return {name: _strided(data[tensor.key], tensor) for name, tensor in tensors.items()}


def _read_pickle(file: BinaryIO) -> list[Any]:
    """The names, texts and numbers of the file's next pickle, in their order.

    Names and texts stand there once, and numbers refer to them from then on, which is all that torch.save does.
    """
    values: list[Any] = []
    referred: dict[int, str] = {}
    previous = ""
    argument: Any
    for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name not in _OPCODES or number == _MAX_OPCODES:
            raise pickle.UnpicklingError(f"its pickle is too long, or none of PyTorch's: {opcode.name}")
        if opcode.name == "GLOBAL" and argument not in (_TENSOR, _DICTIONARY, *_DTYPES):
            raise pickle.UnpicklingError(f"its pickle asks for {argument.replace(' ', '.')}")
        if opcode.name in _PUTS and previous in ("GLOBAL", "BINUNICODE"):
            referred[argument] = values[-1]
        elif opcode.name in _GETS:
            if argument not in referred:
                raise pickle.UnpicklingError("its pickle refers to something again that is no name")
            values.append(referred[argument])
        elif opcode.name in _VALUES:
            values.append(argument)
        previous = opcode.name
    return values


def _strided(storage: NDArray[Any], tensor: _Tensor) -> NDArray[Any]:
    """The tensor's array. Many tensors are saved as transposed views, so the strides must be respected."""
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.size, tensor.strides, strict=True))
    if math.prod(tensor.size) and last >= len(storage):
        raise pickle.UnpicklingError("a tensor reaches outside its storage")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.size, strides, writeable=False).copy()

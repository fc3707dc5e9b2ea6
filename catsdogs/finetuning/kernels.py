"""A first convolution's kernels before training and after each epoch, kept in `kernels.npz`."""

import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import StoreError
from catsdogs.files import storage
from catsdogs.files.atomic import replacing

# What NumPy raises on a damaged file, or on what is no archive of arrays.
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error)


class Kernels(NamedTuple):
    """A first convolution before the first epoch, number 0, and after each one: what `animate_filters` takes.

    Attributes:
        kernels: (e, h, w, 3, n) float32.
        epochs: (e,).
        layer: its name.
    """

    kernels: NDArray[np.float32]
    epochs: NDArray[np.int64]
    layer: str


def append_kernel(path: Path, kernel: NDArray[np.float32], layer: str, epochs: int) -> None:
    """Add a kernel, (h, w, 3, n), behind those of the `epochs` before it; 0 begins the file."""
    kernels = kernel[np.newaxis]
    if epochs:
        with np.load(path) as file:
            kernels = np.concatenate((file["kernels"][:epochs], kernels))
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, layer=layer, epochs=np.arange(len(kernels)), kernels=kernels)


def read_kernels(path: Path) -> Kernels:
    """The kernels of each epoch.

    Raises:
        StoreError: the file is missing or damaged, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            kept = Kernels(file["kernels"], file["epochs"], str(file["layer"]))
    except FileNotFoundError:
        raise StoreError(f"There is no {path}, the filters of each epoch", "Train the network again") from None
    except _UNREADABLE as error:
        if storage.reason_of(error):
            raise storage.read_error(path, error) from None
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _damaged_kernels(path, reason) from None
    shape = kept.kernels.shape
    if len(shape) != 5 or shape[3] != 3 or 0 in shape or kept.epochs.shape != shape[:1]:
        raise _damaged_kernels(path, f"kernels of shape {shape}, epochs of shape {kept.epochs.shape}")
    if kept.kernels.dtype.kind != "f" or kept.epochs.dtype.kind not in "iu" or not np.isfinite(kept.kernels).all():
        raise _damaged_kernels(path, "something other than finite numbers")
    return kept._replace(kernels=kept.kernels.astype(np.float32), epochs=kept.epochs.astype(np.int64))


def _damaged_kernels(path: Path, reason: str) -> StoreError:
    return StoreError(f"{path} is damaged: {reason}", "Delete it and train the network again")

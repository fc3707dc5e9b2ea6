"""The memory that this process holds, and the most that it held while something was done."""

import contextlib
import ctypes
import gc
import math
from collections.abc import Iterator
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_COUNT_ANEW = "5"  # of proc_pid_clear_refs(5): the peak is set to what is held now


class Rise:
    """By how many bytes the process grew at most.

    Attributes:
        value: NaN until it is known, and where the system does not say.
    """

    value: float = math.nan


@contextlib.contextmanager
def rise() -> Iterator[Rise]:
    """How much more memory the process held at most, within this, than before it.

    Pages of files that are read count as well, and libraries that are loaded meanwhile. What was freed before is given
    back to the system first: taken again, it would not show. Known on Linux only.
    """
    _give_back()
    seen, before = Rise(), _held()
    try:
        _CLEAR.write_text(_COUNT_ANEW, encoding="ascii")
    except OSError:  # another system, or a container that forbids it
        before = math.nan
    yield seen
    seen.value = max(_held("VmHWM") - before, 0.0) if math.isfinite(before) else math.nan


def _give_back() -> None:
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # malloc_trim(3) is of the GNU C library
        ctypes.CDLL(None).malloc_trim(0)


def _held(name: str = "VmRSS") -> float:
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return math.nan
    sizes = [1024.0 * float(line.split()[1]) for line in lines if line.startswith(f"{name}:")]
    return sizes[0] if sizes else math.nan

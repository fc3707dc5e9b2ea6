"""HDF5 files without our seal are first opened in another process, which may crash.

libhdf5 crashes on some damaged files, loops for ever in others, and takes gigabytes for a few; see for example
CVE-2025-44905 and https://github.com/HDFGroup/hdf5/issues/5892. Here that ends a process that does nothing else.
"""

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

from catsdogs.errors import DamagedError, StoreError
from catsdogs.files import seal, storage

SECONDS = 3.0  # of computing, and one more for each `BYTES_A_SECOND`; a sound file takes a hundredth
BYTES_A_SECOND = 50 * 2**20
MEMORY = 2**29  # bytes
_PATIENCE_FACTOR = 20  # seconds by the clock for each second of computing, on a busy machine
_SHOWN_CHARACTERS = 200
_OPENED = b"opened"  # the process prints this before it opens the file
_FAILED = 5  # its exit code if HDF5 raises an error
# Signals that end a process because of the file, rather than from outside.
_CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP", "SIGXCPU")

# Reads every attribute, and every data set in pieces. Links and data in other files are refused. What the machine fails
# at, such as too many open files, has a number in HDF5's words; too little memory shows before the file is opened.
_TRY = """
import contextlib, math, mmap, sys, time
import h5py
path, seconds, memory = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
limits_may_be_absent = contextlib.suppress(ImportError, OSError, ValueError)
with limits_may_be_absent:
    import resource
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
with limits_may_be_absent:
    import resource
    last = int(time.process_time() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (last, last + 1))

def walk(group):
    dict(group.attrs)
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            sys.exit(f"{name} is a link")
        item = group[name]
        if isinstance(item, h5py.Group):
            where = h5py.h5o.get_info(item.id)
            if (where.fileno, where.addr) in seen:
                sys.exit(f"{name} is in a ring")
            seen.add((where.fileno, where.addr))
            walk(item)
        elif isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                sys.exit(f"{name} lies in another file")
            dict(item.attrs)
            read(item)

def read(item):
    if not item.shape or 0 in item.shape:
        return item[()]
    row = item.dtype.itemsize * math.prod(item.shape[1:])
    rows = max(1, 2**22 // max(1, row))
    if row > memory // 4:
        sys.exit(f"{item.name} has rows of {row:,} bytes")
    for start in range(0, item.shape[0], rows):
        item[start : start + rows]

seen = set()
mmap.mmap(-1, memory * 3 // 4).close()
print("opened", flush=True)
try:
    with h5py.File(path, "r") as file:
        walk(file)
except Exception as error:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(5)
"""


def try_out(path: Path) -> None:
    """Open a file in another process, once as long as it does not change.

    Raises:
        DamagedError: HDF5 cannot read it, crashes, does not end or wants too much memory; or it holds links, or data
            that lie in other files.
        StoreError: it could not be tried out, which says nothing of the file.
        OSError: it cannot be read.
    """
    status = os.stat(path)  # noqa: PTH116 - as in `seal.check_seal`
    _try_once(path, status.st_size, status.st_mtime_ns, status.st_ino)


@functools.lru_cache(maxsize=2**12)
def _try_once(path: Path, size: int, changed: int, inode: int) -> None:
    seconds = SECONDS + size / BYTES_A_SECOND
    patience = _PATIENCE_FACTOR * (seconds + 1)  # the limit on computing is counted in whole seconds
    # No plug-ins, which a file can demand, and no threads, whose stacks count as memory.
    settings = os.environ | {"HDF5_PLUGIN_PRELOAD": "::", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    settings["HDF5_USE_FILE_LOCKING"] = "FALSE"  # whether another program writes to it is looked at here
    command = [sys.executable, "-I", "-c", _TRY, str(path), str(seconds), str(MEMORY)]
    with path.open("rb") as file:
        seal.share(file)
    try:
        tried = subprocess.run(  # noqa: S603 - our own program
            command, env=settings, timeout=patience, capture_output=True, check=False
        )
    except subprocess.TimeoutExpired:
        raise _untried_error(path, f"no end in {patience:.0f} s, though it did not compute for long") from None
    except OSError as error:
        raise _untried_error(path, storage.reason_of(error) or str(error)) from None
    if not tried.returncode:
        return
    errors = tried.stderr.decode(errors="replace").strip().splitlines()
    if not tried.stdout.startswith(_OPENED):
        raise _untried_error(path, errors[-1][:_SHOWN_CHARACTERS] if errors else "Python did not start")
    if tried.returncode == _FAILED and (number := storage.error_number(" ".join(errors))):
        raise OSError(number, os.strerror(number), str(path))
    if tried.returncode < 0 and (name := signal.Signals(-tried.returncode).name) not in _CRASHES:
        raise _untried_error(path, f"the process was ended from outside ({name})")
    # Python prints a line about why it gave up; a process that ran out of time or crashed prints nothing.
    reason = "HDF5 crashes or does not come to an end over it"
    if tried.returncode > 0 and errors:
        reason = errors[-1].split(" (")[0][:_SHOWN_CHARACTERS]
    raise DamagedError(f"{path} is cut short or damaged: {reason}", "Write it again with what wrote it, or delete it")


def _untried_error(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"{path} cannot be read: it could not be tried out in another process: {reason}",
        "Run the same command again when that has passed: nothing was changed",
    )

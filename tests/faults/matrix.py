"""The faults and what is promised for each, and how often the tests bring them about."""

import os
from typing import NamedTuple

# `invoke faults` sets it; without it the same tests run with smaller counts, as part of the whole suite.
FULL = os.environ.get("CATSDOGS_FAULTS") == "full"


class Row(NamedTuple):
    """A line of docs/faults.md."""

    fault: str
    promise: str


ROWS = {
    "killed": Row(
        "SIGKILL at random moments of extraction, assembling, training, decision writing",
        "the next run finishes; its result is identical to an undisturbed one; no half-written file is ever read",
    ),
    "disk": Row("full disk, read-only folder, quota", "one line, exit 1, earlier results intact"),
    "torn": Row(
        "power loss, as far as it can be simulated: the order of fsync, writes torn at every block of a small file",
        "a torn file is recognised by its checksum, set aside with a note, computed again",
    ),
    "writers": Row(
        "two writers, a stale lock of a dead process, a clock that jumps",
        "the second writer is refused; a stale lock is taken over",
    ),
    "photographs": Row("photographs changed, renamed, removed, added between runs", "exactly those rows follow"),
    "loading": Row(
        "a process that loads photographs is killed, frozen, or crashed by a file; memory cannot be shared",
        "a photograph that crashes it twice is named, all others are loaded; nothing outlives a killed run",
    ),
    "cluster": Row(
        "a worker or node killed, a network cut between nodes, a slow node", "finished, nothing lost, nothing twice"
    ),
    "object-store": Row(
        "the object store answers 500 or 503, times out, truncates", "tried again with growing pauses, then named"
    ),
    "hostile": Row(
        "hostile files: mutated JPEG, PNG, GIF, WebP, TIFF, BMP, HDF5, `.pth`, `.weights.h5`, zip, CSV, TFRecord",
        "each refused with a reason or read correctly; no crash, no hang over 5 s, memory below 1 GB, nothing executed",
    ),
}

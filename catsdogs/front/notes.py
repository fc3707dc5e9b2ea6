"""Notes: what a step has to tell while it works, through the logger `catsdogs`, and the files that it wrote.

The command line shows every note as a line, and so does an interactive session: a person who waits for a step wants to
know what it wrote, and Python's logging shows nothing of that kind before it is set up. A program shows none. Whoever
sets up this logger, or asks all for INFO, has them there alone.
"""

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from catsdogs.errors import SHOWN
from catsdogs.files import storage

LOGGER = logging.getLogger("catsdogs")
UNREADABLE_FILE = "unreadable.csv"


def note(line: object, is_returned: bool = False) -> None:
    """A sentence for whoever listens; one that the value of the step shows as well is not shown twice."""
    if not is_returned and _is_for_a_person():
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    LOGGER.info("%s", line)


def _is_for_a_person() -> bool:
    """Whether this is an interactive session, of Python or IPython, a kernel's too, without logging of our notes.

    A level or handler of the root logger may be that of a library or of a hosted notebook, so it does not count until
    it would let a note pass.
    """
    is_set_up = LOGGER.level or LOGGER.handlers or LOGGER.isEnabledFor(logging.INFO)
    return hasattr(sys, "ps1") and not is_set_up  # what the documentation of Python says of `sys.ps1`


def wrote(path: Path, what: str = "") -> None:
    """A file that is new, and what it holds."""
    note(f"wrote {path}" + (f"  ({what})" if what else ""))


def write(path: Path, writer: Callable[..., object], *content: object) -> None:
    """Have `writer` write a file, and say so."""
    writer(path, *content)
    wrote(path)


def note_rows(
    rows: Sequence[Sequence[object]], line: Callable[..., str], path: Path, columns: Sequence[str] = ()
) -> None:
    """The first rows of a list that grows with the data, each as `line` says it; if there are more, all in a file.

    Args:
        columns: of the file, which is written here; none if somebody else writes it, and it holds the rows already.
    """
    for row in rows[:SHOWN]:
        note(line(*row))
    if len(rows) > SHOWN:
        if columns:
            write_list(path, columns, rows)
        note(f"… and {len(rows) - SHOWN:,} more like these; all {len(rows):,} are listed in {path}")
    elif columns and storage.exists(path):  # of an earlier run, when there were more
        storage.remove(path)


def note_unreadable(rows: Sequence[Sequence[str]], path: Path, is_written: bool = False) -> None:
    """The photographs, (split, id, reason), that are left out; many of them in a file, unless that is written.

    A photograph that a table lists and that is not there is one of them.
    """
    columns = () if is_written else ("split", "id", "reason")
    note_rows(rows, lambda split, id, reason: f"unreadable, left out: {split}/{id} ({reason})", path, columns)


def note_left_alone(names: Sequence[str]) -> None:
    """A sentence about pictures of kinds that are not read, if there are any."""
    from catsdogs.photographs import filetypes

    if names:
        note(f"left alone: {filetypes.describe_unread(names)}")


def write_list(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table of what is too long to be shown; raises as `tables.write_table`."""
    from catsdogs.files import tables  # which is more than `--list` needs

    tables.write_table(path, columns, rows)

"""Notes to the user on standard error, each once in a process."""

import functools
import sys


@functools.cache
def note(text: str) -> None:
    """Write a line to standard error, once in a process; it does not disturb a progress bar."""
    from tqdm import tqdm  # networks run without it, see `benchmarks.gpu`

    tqdm.write(text, file=sys.stderr)

"""Notes to the user on standard error, each once in a process."""

import sys

_noted: set[str] = set()


def note(text: str) -> None:
    """Write a line to standard error, once in a process; it does not disturb a progress bar."""
    from tqdm import tqdm  # networks run without it, see `benchmarks.gpu`

    if text not in _noted:
        _noted.add(text)
        tqdm.write(text, file=sys.stderr)

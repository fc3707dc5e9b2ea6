"""Notes on standard error about what goes on all the same, once each."""

import sys

_noted: set[str] = set()


def note(text: str) -> None:
    """A line, if it was not said yet; it does not disturb a bar."""
    from tqdm import tqdm

    if text not in _noted:
        _noted.add(text)
        tqdm.write(text, file=sys.stderr)

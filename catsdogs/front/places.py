"""Places: what is written to, refused before the work that would be lost; and where weights are looked for."""

import os
import tempfile
from pathlib import Path

from catsdogs.files import storage


def check_writable(path: Path) -> None:
    """Refuse a file or folder that cannot be written; nothing is made.

    Raises:
        StoreError: it lies below a file, or its folder cannot be written.
    """
    from catsdogs.files.atomic import write_errors  # which is more than `--list` needs

    if storage.is_remote(path):
        return
    existing = next(place for place in (path, *path.absolute().parents) if place.exists())
    with write_errors(path), tempfile.TemporaryFile(dir=existing):
        pass


def weights_folder(given: str | Path | None) -> str | None:
    """The folder of weights to look in first, if there is one."""
    return str(given or os.environ.get("CATSDOGS_WEIGHTS") or "") or None

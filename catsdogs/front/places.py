"""Places: what is written to, refused before the work that would be lost; and where weights are looked for."""

import os
import tempfile
from pathlib import Path

from catsdogs.errors import UsageError
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


def refuse_elsewhere(what: str, opened_in: Path) -> None:
    """Refuse what was opened in another working folder, where its paths lead to other files than here, or to none.

    Raises:
        UsageError: the working folder has been changed since.
    """
    if Path.cwd() != opened_in:
        problem = f"{what} opened in {opened_in}, and the working folder is {Path.cwd()} now"
        raise UsageError(problem, "Go back there with os.chdir, or open it again here")


def weights_folder(given: str | Path | None) -> str | None:
    """The folder of weights to look in first, if there is one."""
    return str(given or os.environ.get("CATSDOGS_WEIGHTS") or "") or None

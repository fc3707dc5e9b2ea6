"""All files of any competition: its archive downloaded from Kaggle, unpacked, and held against the archive's own list.

No page says how many files there must be, so the list is kept beside them, with sizes and checksums. Zips inside the
archive stay zips, for photographs are read where they lie.
"""

import os
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from catsdogs.competition import kaggle
from catsdogs.competition.download import download
from catsdogs.competition.unpack import another_file, files_in, unpack
from catsdogs.errors import FetchError
from catsdogs.files import storage, tables
from catsdogs.files.atomic import write_errors
from catsdogs.progress import Progress

LISTS = ".fetched"  # beside the files; NAME.csv in it lists those of the competition NAME
_COLUMNS = ("name", "bytes", "crc32")
_DOWNLOADS = ".kaggle-download"  # ours, removed at the end; an archive that lies elsewhere is the user's
_CHUNK_BYTES = 1 << 20


class Listed(NamedTuple):
    """A file of an archive: its path, its bytes counted, and the CRC-32 of its content."""

    name: str
    size: int
    crc: int


class Fetched(NamedTuple):
    """What is there now: how many files of how many bytes together, and whether all were there before."""

    files: int
    size: int
    were_there: bool


def fetch_competition(name: str, data: Path) -> Fetched:
    """Bring all files of a competition into the folder `data`, as far as they are missing.

    Where all are there, nothing is downloaded. Killed anywhere, a second call goes on. What else lies in the folder
    stays, and no file there is overwritten.

    Args:
        name: Kaggle's, as `kaggle.name_of` accepts it.

    Raises:
        FetchError: whatever keeps the files away; or the folder holds another competition, or other content under the
            name of one of the files.
        StoreError: the list cannot be written.
    """
    if (other := competition_in(data)) not in ("", name):
        raise FetchError(f"{data} holds the files of {other}", "Give --data another folder")
    list_path = data / LISTS / f"{name}.csv"
    listed = _read_list(list_path) if list_path.is_file() else []
    if were_there := bool(listed) and all(os.path.lexists(data / file.name) for file in listed):
        _refuse_other_content(data, listed)
    else:
        listed = _bring(name, data, list_path)
    downloads = data / _DOWNLOADS
    if downloads.is_dir():  # also where all were there: a call before may have been killed between list and removal
        with write_errors(downloads, FetchError):
            shutil.rmtree(downloads)
    return Fetched(len(listed), sum(file.size for file in listed), were_there)


def competition_in(data: Path) -> str:
    """The competition whose files `fetch_competition` brought into a folder; empty if it brought none."""
    return next((path.stem for path in sorted((data / LISTS).glob("*.csv"))), "")


def _bring(name: str, data: Path, list_path: Path) -> list[Listed]:
    """Download and unpack what is missing, and keep the list of all."""
    archive = data / f"{name}.zip"
    if not archive.is_file():
        archive = data / _DOWNLOADS / archive.name
    if not archive.is_file():
        download(kaggle.archive_url(name), archive)
    listed = [Listed(file.filename, file.file_size, file.CRC) for file in files_in(archive)]
    _refuse_other_content(data, [file for file in listed if os.path.lexists(data / file.name)])
    unpack(archive, data, zips_stay=True)  # which holds what it writes against the checksums
    tables.write_table(list_path, _COLUMNS, listed)
    return listed


def _read_list(path: Path) -> list[Listed]:
    remedy = "Delete it and run the same command again"
    _, rows = tables.read_table(path, remedy, FetchError)
    try:
        return [Listed(name, int(size), int(crc)) for name, size, crc in rows]
    except ValueError:
        raise FetchError(f"{path} is no list of files", remedy) from None


def _refuse_other_content(data: Path, listed: Sequence[Listed]) -> None:
    """FetchError if one of these files, which are there, is not what the archive holds."""
    with Progress(len(listed), f"check {data.name}", "file") as bar:
        for file in listed:
            path = data / file.name
            if not path.is_file() or path.stat().st_size != file.size or _checksum(path) != file.crc:
                raise another_file(path)
            bar.update()


def _checksum(path: Path) -> int:
    checksum = 0
    try:
        with path.open("rb") as content:
            while chunk := content.read(_CHUNK_BYTES):
                checksum = zlib.crc32(chunk, checksum)
    except OSError as error:
        raise storage.read_error(path, error, FetchError) from None
    return checksum

"""The photographs brought here: downloaded from Kaggle or Microsoft, resumed, unpacked and counted."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from catsdogs.competition import kaggle
from catsdogs.competition.download import download
from catsdogs.competition.unpack import unpack
from catsdogs.errors import FetchError, UnknownNameError
from catsdogs.files.atomic import replacing, write_errors

# Microsoft's download 54765, https://www.microsoft.com/en-us/download/details.aspx?id=54765; it takes no account.
MICROSOFT_URL = (
    "https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/kagglecatsanddogs_5340.zip"
)

# Photographs per folder: https://www.kaggle.com/competitions/dogs-vs-cats-redux-kernels-edition/data, and the same
# 25,000 labelled ones in Microsoft's copy, of which Cat/666.jpg and Dog/11702.jpg are known to be unreadable.
KAGGLE_COUNTS = {"train": 25_000, "test": 12_500}
MICROSOFT_COUNTS = {"Cat": 12_500, "Dog": 12_500}


LIST_FILE = ".kaggle-files.json"
MAX_COMPETITION_BYTES = 2 << 40  # the largest competitions in photographs have some hundred gigabytes


@dataclass(frozen=True)
class Source:
    """A place to download from: the archive's name and address, and what unpacking it must give."""

    archive: str
    url: Callable[[], str]
    root: str
    counts: dict[str, int]
    files: tuple[str, ...] = ()

    def count_photographs(self, data: Path) -> dict[str, int]:
        """The number of .jpg files in each folder that has a count."""
        return {name: sum(1 for _ in (data / self.root / name).glob("*.jpg")) for name in self.counts}

    def problems(self, data: Path) -> list[tuple[str, bool]]:
        """What is wrong in `data`, each with whether unpacking the archive would mend it; none where all is there."""
        found = [
            (f"{data / self.root / name} holds {count:,} .jpg files instead of {wanted:,}", count < wanted)
            for (name, count), wanted in zip(self.count_photographs(data).items(), self.counts.values(), strict=True)
            if count != wanted
        ]
        absent = [data / name for name in self.files if not (data / name).is_file()]
        return [*found, *((f"{path} did not come out of the archive", True) for path in absent)]


SOURCES = {
    "kaggle": Source(
        archive=f"{kaggle.COMPETITION}.zip",
        url=lambda: kaggle.archive_url(),
        root=".",
        counts=KAGGLE_COUNTS,
        files=("sample_submission.csv",),
    ),
    "microsoft": Source(
        archive="kagglecatsanddogs_5340.zip", url=lambda: MICROSOFT_URL, root="PetImages", counts=MICROSOFT_COUNTS
    ),
}


def fetch(source: str, data: Path) -> tuple[dict[str, int], list[str]]:
    """Bring the photographs of `source`, "kaggle" or "microsoft", into the folder `data`, as far as they are missing.

    Returns how many photographs are in each folder, and which folders or archive were already there.

    Kaggle's lie in train/ and test/ beside sample_submission.csv, Microsoft's in PetImages/Cat and PetImages/Dog. An
    archive that was downloaded is removed when the counts are right; one that the user had put there stays.

    Raises:
        UnknownNameError: another source.
        FetchError: whatever keeps the photographs away.
    """
    if source not in SOURCES:
        raise UnknownNameError("source", source, sorted(SOURCES))
    chosen = SOURCES[source]
    downloads = data / f".{source}-download"  # Ours, removed at the end; an archive that lies elsewhere is the user's.
    archive = data / chosen.archive
    if not archive.is_file():
        archive = downloads / chosen.archive
    skipped = [name for name, count in chosen.count_photographs(data).items() if count == chosen.counts[name]]
    if any(is_mended for _, is_mended in chosen.problems(data)):
        if archive.is_file():
            skipped.append(archive.name)
        else:
            download(chosen.url(), archive)
        unpack(archive, data)
    for problem, is_mended in chosen.problems(data):
        remove = f"Delete {archive} and run the same command again"
        raise FetchError(problem, remove if is_mended else "Move away what is not part of it")
    if downloads.is_dir():
        with write_errors(downloads, FetchError):
            shutil.rmtree(downloads)
    return chosen.count_photographs(data), skipped


def fetch_competition(slug: str, data: Path) -> tuple[int, bool]:
    """Bring all files of a competition on Kaggle into the folder `data`, as far as they are missing.

    Zips inside its archive stay zips, which are read in place. The archive's own list says what must be there: it is
    kept in `LIST_FILE`, so that nothing is downloaded again while all is there.

    Returns how many files there are, and whether they were there already.

    Raises:
        FetchError: whatever keeps the files away.
    """
    listed = _listed(data, slug)
    if listed and all(_size_of(data / name) == size for name, size in listed.items()):
        return len(listed), True
    downloads = data / ".kaggle-download"
    archive = data / f"{slug}.zip"
    if not archive.is_file():
        archive = downloads / f"{slug}.zip"
    if not archive.is_file():
        download(kaggle.archive_url(slug), archive)
    files = unpack(archive, data, most=MAX_COMPETITION_BYTES)
    with write_errors(data, FetchError):
        content = json.dumps({"competition": slug, "files": files})
        with replacing(data / LIST_FILE) as temporary:
            temporary.write_text(content, encoding="utf-8")
        if downloads.is_dir():
            shutil.rmtree(downloads)
    return len(files), False


def _listed(data: Path, slug: str) -> dict[str, int]:
    """Name -> bytes of each file that an earlier call brought; empty if none did, or of another competition."""
    try:
        content = json.loads((data / LIST_FILE).read_text(encoding="utf-8"))
        return dict(content["files"]) if content["competition"] == slug else {}
    except (OSError, ValueError, KeyError, TypeError):  # it only saves a download
        return {}


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def competition_of(place: str) -> str:
    """Kaggle's name of the competition that the photographs at a path or URL are of; empty if nothing tells.

    The names of its folders tell, and so do the very photographs and sample that `fetch` leaves there.
    """
    if "://" in place:
        return kaggle.competition_at(place)
    data = Path(place).expanduser()
    paths = dict.fromkeys(Path(path(data)).as_posix() for path in (os.path.abspath, os.path.realpath))
    named = next(filter(None, map(kaggle.competition_at, paths)), "")
    return named or ("" if SOURCES["kaggle"].problems(data) else kaggle.COMPETITION)

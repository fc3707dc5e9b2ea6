"""The photographs brought here: downloaded from Kaggle or Microsoft, resumed, unpacked and counted."""

import contextlib
import errno
import http.client
import os
import shutil
import stat
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from catsdogs.competition import kaggle
from catsdogs.errors import FetchError, UnknownNameError
from catsdogs.files import storage
from catsdogs.progress import Progress

# Microsoft's download 54765, https://www.microsoft.com/en-us/download/details.aspx?id=54765; it takes no account.
MICROSOFT_URL = (
    "https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/kagglecatsanddogs_5340.zip"
)

# Photographs per folder: https://www.kaggle.com/competitions/dogs-vs-cats-redux-kernels-edition/data, and the same
# 25,000 labelled ones in Microsoft's copy, of which Cat/666.jpg and Dog/11702.jpg are known to be unreadable.
KAGGLE_COUNTS = {"train": 25_000, "test": 12_500}
MICROSOFT_COUNTS = {"Cat": 12_500, "Dog": 12_500}

CHUNK_BYTES = 1 << 20
ATTEMPTS = 5
PAUSE_SECONDS = 2.0
SOCKET_SECONDS = 60.0

# Photographs hardly shrink in a zip and the sample CSV shrinks fivefold, while deflate can pretend up to 1032:1
# (https://zlib.net/zlib_tech.html). Either source unpacks to about 1 GB.
MAX_RATIO = 100
MAX_BYTES = 16 << 30


@dataclass(frozen=True)
class FetchSummary:
    """What lies under `data`: photographs per folder, and which folders or archive were already there."""

    data: Path
    counts: dict[str, int]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A place to download from: the archive's name and address, and what unpacking it must give."""

    archive: str
    url: Callable[[], str]
    root: str
    counts: dict[str, int]
    files: tuple[str, ...] = ()

    def found(self, data: Path) -> dict[str, int]:
        """The number of .jpg files in each folder that has a count."""
        return {name: sum(1 for _ in (data / self.root / name).glob("*.jpg")) for name in self.counts}

    def is_whole(self, data: Path) -> bool:
        """Whether all is there, and no photograph more."""
        return self.found(data) == self.counts and all((data / name).is_file() for name in self.files)

    def needs_archive(self, data: Path) -> bool:
        """Whether something is missing that unpacking the archive would bring."""
        found = self.found(data)
        too_few = any(found[name] < count for name, count in self.counts.items())
        return too_few or not all((data / name).is_file() for name in self.files)

    def check(self, data: Path, archive: Path) -> None:
        """Raises FetchError where a folder holds another number of photographs, or a file is missing."""
        remove = f"Delete {archive} and run the same command again"
        for name, found in self.found(data).items():
            if found != self.counts[name]:
                problem = f"{data / self.root / name} holds {found:,} .jpg files instead of {self.counts[name]:,}"
                raise FetchError(problem, remove if found < self.counts[name] else "Move away what is not part of it")
        for name in self.files:
            if not (data / name).is_file():
                raise FetchError(f"{data / name} did not come out of the archive", remove)


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


def fetch(source: str, data: Path) -> FetchSummary:
    """Brings the photographs of `source`, "kaggle" or "microsoft", into the folder `data`, as far as they are missing.

    Kaggle's lie in train/ and test/ beside sample_submission.csv, Microsoft's in PetImages/Cat and PetImages/Dog. An
    archive that was downloaded is removed when the counts are right; one that the user had put there stays.

    Raises UnknownNameError for another source, and FetchError for whatever keeps the photographs away.
    """
    if source not in SOURCES:
        raise UnknownNameError("source", source, sorted(SOURCES))
    chosen = SOURCES[source]
    downloads = data / f".{source}-download"  # Ours, removed at the end; an archive that lies elsewhere is the user's.
    archive = data / chosen.archive
    if not archive.is_file():
        archive = downloads / chosen.archive
    skipped = [name for name, found in chosen.found(data).items() if found == chosen.counts[name]]
    if chosen.needs_archive(data):
        if archive.is_file():
            skipped.append(archive.name)
        else:
            download(chosen.url(), archive)
        unpack(archive, data)
    chosen.check(data, archive)
    if downloads.is_dir():
        with _writing(downloads):
            shutil.rmtree(downloads)
    return FetchSummary(data, chosen.found(data), tuple(skipped))


def competition_of(place: str) -> str:
    """Kaggle's name of the competition that the photographs at a path or URL are of; empty if nothing tells.

    The names of its folders tell, and so do the very photographs and sample that `fetch` leaves there.
    """
    if "://" in place:
        return kaggle.competition_at(place)
    data = Path(place).expanduser()
    paths = dict.fromkeys(Path(path(data)).as_posix() for path in (os.path.abspath, os.path.realpath))
    named = next(filter(None, map(kaggle.competition_at, paths)), "")
    return named or (kaggle.COMPETITION if SOURCES["kaggle"].is_whole(data) else "")


def download(url: str, target: Path) -> None:
    """Downloads `url` to `target`, going on from what an earlier call left in NAME.part if the file is still the same.

    NAME.etag beside it says which version those bytes belong to.
    Raises FetchError, which names the server but not the address: it may be signed.
    """
    problem = ""
    for attempt in range(ATTEMPTS):
        time.sleep(attempt * PAUSE_SECONDS)
        try:
            if _go_on(url, target):
                _part(target).replace(target)
                _etag(target).unlink()
                return
            problem = "the connection was cut"
        except urllib.error.HTTPError as error:
            problem = f"HTTP {error.code} {error.reason}"
            if error.code < 500 and error.code != 429:
                break
        except (OSError, http.client.HTTPException) as error:
            problem = str(getattr(error, "reason", "") or error) or type(error).__name__
    raise FetchError(
        f"{target.name} could not be downloaded from {urlsplit(url).hostname} ({problem})",
        "Check the network and run the same command again, it goes on where it stopped",
    )


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _etag(target: Path) -> Path:
    return target.with_name(f"{target.name}.etag")


def _go_on(url: str, target: Path) -> bool:
    """One connection's worth of download; True when every byte is there."""
    part, etag = _part(target), _etag(target)
    version = etag.read_text(encoding="utf-8") if etag.exists() and part.exists() else ""
    have = part.stat().st_size if version else 0
    headers = {"Range": f"bytes={have}-", "If-Range": version} if have else {}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=SOCKET_SECONDS)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return True
        part.unlink(missing_ok=True)
        return False
    with response:
        if response.status == http.HTTPStatus.PARTIAL_CONTENT:
            continues = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if not continues or _version(response) != version:
                part.unlink()
                return False
        else:
            have = 0
        return _receive(response, target, have)


def _version(response: http.client.HTTPResponse) -> str:
    """What If-Range may name, or nothing: a weak ETag does not promise the same bytes (RFC 9110, section 13.1.5)."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _receive(response: http.client.HTTPResponse, target: Path, have: int) -> bool:
    length = response.headers.get("Content-Length")
    if length is None:
        raise FetchError(
            f"The server does not say how large {target.name} is", "Download it with a browser and put it there"
        )
    part, total = _part(target), have + int(length)
    with _writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
        _require_space(part.parent, int(length))
        with (
            part.open("ab" if have else "wb") as sink,
            Progress(total, target.name, "B", unit_scale=True, initial=have) as bar,
        ):
            if not have:  # Only now, when the bytes of another version are gone, may the new version be noted.
                _etag(target).write_text(_version(response), encoding="utf-8")
            for chunk in _chunks(response):
                sink.write(chunk)
                bar.update(len(chunk))
    return part.stat().st_size == total


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body as far as it comes: a connection that breaks ends it early, which its length shows."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        while chunk := response.read(CHUNK_BYTES):
            yield chunk


def unpack(archive: Path, folder: Path) -> int:
    """Unpacks a zip, and the zips inside it, into `folder`; returns how many files were written.

    A file that is there with the right size is left alone, one with another size is never overwritten. Each is written
    under a temporary name first, and the inner zips are not kept. Before a zip writes anything all its members are
    checked: FetchError names the one that is unsafe, and says where a zip is damaged or the disk too small.
    """
    return _unpack(archive, folder, archive)


def _unpack(archive: Path, folder: Path, origin: Path) -> int:
    """As `unpack`; `origin` is the file that the user can delete, `archive` itself or the zip it lies in."""
    inner = archive != origin
    written = 0
    with _reading(origin), zipfile.ZipFile(archive) as source:
        _check_members(source.infolist(), origin, inner)
        members = [member for member in source.infolist() if not member.is_dir()]
        _check_size(members, archive.stat().st_size, origin)
        missing = [member for member in members if not _present(folder / member.filename, member)]
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _require_space(folder, sum(member.file_size for member in missing))
        with Progress(len(missing), f"unpack {_label(archive, origin)}", "file") as bar:
            for member in missing:
                target = folder / member.filename
                if _is_zip(member):
                    written += _unpack_inner(source, member, target, origin)
                else:
                    _write(source, member, target)
                    written += 1
                bar.update()
    return written


def _label(archive: Path, origin: Path) -> str:
    return origin.name if archive == origin else f"{origin.name}: {archive.name.strip('.')}"


def _is_zip(member: zipfile.ZipInfo) -> bool:
    return member.filename.lower().endswith(".zip")


def _unpack_inner(source: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, origin: Path) -> int:
    # A name of our own: a train.zip that the user has in the same folder is neither read nor removed.
    copy = target.with_name(f".{target.name}")
    try:
        _write(source, member, copy)
        return _unpack(copy, target.parent, origin)
    finally:
        copy.unlink(missing_ok=True)


def _write(source: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.part")
    with source.open(member) as packed, _writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as sink:
                shutil.copyfileobj(packed, sink, CHUNK_BYTES)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def _present(target: Path, member: zipfile.ZipInfo) -> bool:
    if _is_zip(member) or not os.path.lexists(target):
        return False
    if target.is_file() and target.stat().st_size == member.file_size:
        return True
    raise FetchError(f"{target} is there, but is not the file of the archive", "Move it away, or choose another folder")


def _check_members(members: list[zipfile.ZipInfo], origin: Path, inner: bool) -> None:
    seen: set[str] = set()
    for member in members:
        key = member.filename.rstrip("/").casefold()
        problem = _unsafe(member) or ("has a name that occurs twice" if key in seen else "")
        if inner and _is_zip(member):
            problem = "is a zip inside a zip inside a zip"
        if problem:
            raise _refused(origin, member.orig_filename, problem)
        seen.add(key)
    files = {member.filename.casefold() for member in members if not member.is_dir()}
    for member in members:
        parts = member.filename.rstrip("/").casefold().split("/")
        if any("/".join(parts[:depth]) in files for depth in range(1, len(parts))):
            raise _refused(origin, member.filename, "lies in a folder that is also a file")


def _refused(origin: Path, name: str, problem: str) -> FetchError:
    return FetchError(f"{origin}: the member {name!r} {problem}", "Delete the archive and get it from its first source")


def _unsafe(member: zipfile.ZipInfo) -> str:
    """What is wrong with one member, or an empty text; looks at the name before zipfile has mended it."""
    name = member.orig_filename
    kind = stat.S_IFMT(member.external_attr >> 16)
    if name.startswith("/"):
        return "has an absolute path"
    if any(character in name for character in "\\:\0"):
        return "has a backslash, a drive letter or a NUL in its name"
    if any(part in ("", ".", "..") for part in name.removesuffix("/").split("/")):
        return "leads out of its folder or has an empty step in its path"
    if kind not in (0, stat.S_IFDIR if member.is_dir() else stat.S_IFREG):
        return "is a link or a device, not a file"
    if member.flag_bits & 0x1:
        return "is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is packed by method {member.compress_type}, which is not in use for photographs"
    return ""


def _check_size(members: list[zipfile.ZipInfo], packed: int, origin: Path) -> None:
    """Refuses a zip bomb; a member cannot exceed the size it declares, zipfile stops there."""
    unpacked = sum(member.file_size for member in members)
    if unpacked > min(MAX_BYTES, MAX_RATIO * packed):
        largest = max(members, key=lambda member: member.file_size)
        raise _refused(
            origin, largest.filename, f"and the others would grow from {packed / 1e6:,.3f} to {unpacked / 1e6:,.0f} MB"
        )


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise FetchError(
            f"{folder} has room for {free / 1e6:,.1f} MB of {needed / 1e6:,.1f} MB",
            f"Free {(needed - free) / 1e6:,.1f} MB more, or choose a folder on another disk",
        )


@contextlib.contextmanager
def _reading(origin: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise FetchError(
            f"{origin} cannot be read ({error.strerror})", "Check that it is there and readable"
        ) from error
    # What zipfile raises for bytes that are cut off or changed, as seen on 100,000 zips with a few bytes changed.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError, OSError) as error:
        if getattr(error, "errno", None) not in (None, errno.EINVAL):  # which is a place before a file's start
            raise storage.read_error(origin, error, FetchError) from error
        raise FetchError(
            f"{origin} is damaged or incomplete ({error or type(error).__name__})",
            "Delete it and run the same command again",
        ) from error


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FetchError(
                f"The disk became full while {path} was written", "Free some space, then run the same command again"
            ) from error
        raise FetchError(
            f"{path} cannot be written ({error.strerror})", "Check the folder, its disk and its permissions"
        ) from error

"""Zips of photographs unpacked: checked before anything is written, resumed, with the zips inside them."""

import contextlib
import errno
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from catsdogs.errors import FetchError
from catsdogs.files import storage
from catsdogs.files.atomic import check_free_space, write_errors
from catsdogs.progress import Progress

# Photographs hardly shrink in a zip and the sample CSV shrinks fivefold, while deflate can pretend up to 1032:1
# (https://zlib.net/zlib_tech.html). Either source unpacks to about 1 GB.
MAX_RATIO = 100
MAX_UNPACKED_BYTES = 16 << 30


def unpack(archive: Path, folder: Path, outer: Path | None = None, most: int | None = None) -> dict[str, int]:
    """Unpack a zip, and the zips inside it, into `folder`; the name and bytes of each of its members.

    A file that is there with the right size is left alone, one with another size is never overwritten. Each is written
    under a temporary name first, and the inner zips are not kept. All members of a zip are checked before any of them
    is written.

    Args:
        outer: the zip that `archive` lay in: what the user can delete.
        most: how many bytes may come out; then zips inside stay as they are. `MAX_UNPACKED_BYTES` if None.

    Raises:
        FetchError: a member is unsafe, a zip is damaged, or the disk is too small.
    """
    origin = outer or archive
    label = f"{outer.name}: {archive.name.strip('.')}" if outer else archive.name
    with _reading(origin), zipfile.ZipFile(archive) as source:
        _check_members(source.infolist(), origin, outer is not None)
        members = [member for member in source.infolist() if not member.is_dir()]
        _check_size(members, archive.stat().st_size, origin, most or MAX_UNPACKED_BYTES)
        goes_in = {member for member in members if _is_zip(member) and most is None}
        missing = [member for member in members if member in goes_in or not _present(folder / member.filename, member)]
        with write_errors(folder, FetchError):
            folder.mkdir(parents=True, exist_ok=True)
            check_free_space(folder, sum(member.file_size for member in missing), FetchError)
        with Progress(len(missing), f"unpack {label}", "file") as bar:
            for member in missing:
                target = folder / member.filename
                if member in goes_in:
                    _unpack_inner(source, member, target, origin)
                else:
                    _write_member(source, member, target)
                bar.update()
    return {member.filename: member.file_size for member in members}


def _is_zip(member: zipfile.ZipInfo) -> bool:
    return member.filename.lower().endswith(".zip")


def _unpack_inner(source: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, origin: Path) -> None:
    # A name of our own: a train.zip that the user has in the same folder is neither read nor removed.
    copy = target.with_name(f".{target.name}")
    try:
        _write_member(source, member, copy)
        unpack(copy, target.parent, origin)
    finally:
        copy.unlink(missing_ok=True)


def _write_member(source: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.part")
    with source.open(member) as packed, write_errors(target, FetchError):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as sink:
                shutil.copyfileobj(packed, sink)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def _present(target: Path, member: zipfile.ZipInfo) -> bool:
    if not os.path.lexists(target):
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


def _check_size(members: list[zipfile.ZipInfo], packed: int, origin: Path, most: int) -> None:
    """Refuse a zip bomb; a member cannot exceed the size it declares, zipfile stops there."""
    unpacked = sum(member.file_size for member in members)
    if unpacked > min(most, MAX_RATIO * packed):
        largest = max(members, key=lambda member: member.file_size)
        raise _refused(
            origin, largest.filename, f"and the others would grow from {packed / 1e6:,.3f} to {unpacked / 1e6:,.0f} MB"
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

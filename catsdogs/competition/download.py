"""A file downloaded, and a download that was cut off resumed, if the server still has the same file."""

import contextlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from catsdogs.errors import FetchError
from catsdogs.files.atomic import check_free_space, write_errors
from catsdogs.progress import Progress

DOWNLOAD_ATTEMPTS = 5
PAUSE_SECONDS = 2.0
SOCKET_SECONDS = 60.0
CHUNK_BYTES = 1 << 20


def download(url: str, target: Path) -> None:
    """Download `url` to `target`, going on from what an earlier call left in NAME.part if the file is still the same.

    NAME.etag beside it says which version those bytes belong to.

    Raises:
        FetchError: it names the server but not the address, which may be signed.
    """
    problem = ""
    for attempt in range(DOWNLOAD_ATTEMPTS):
        time.sleep(attempt * PAUSE_SECONDS)
        try:
            if _go_on(url, target):
                part, etag = _partial(target)
                part.replace(target)
                etag.unlink()
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


def _partial(target: Path) -> tuple[Path, Path]:
    """Where the bytes lie that are there so far, and which version they are of."""
    return target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.etag")


def _go_on(url: str, target: Path) -> bool:
    """One connection's worth of download; True when every byte is there."""
    part, etag = _partial(target)
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
            if not continues or _version_of(response) != version:
                part.unlink()
                return False
        else:
            have = 0
        return _receive(response, target, have)


def _version_of(response: http.client.HTTPResponse) -> str:
    """What If-Range may name, or nothing: a weak ETag does not promise the same bytes (RFC 9110, section 13.1.5)."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _receive(response: http.client.HTTPResponse, target: Path, have: int) -> bool:
    length = response.headers.get("Content-Length")
    if length is None:
        raise FetchError(
            f"The server does not say how large {target.name} is", "Download it with a browser and put it there"
        )
    (part, etag), total = _partial(target), have + int(length)
    with write_errors(part, FetchError):
        part.parent.mkdir(parents=True, exist_ok=True)
        check_free_space(part.parent, int(length), FetchError)
        with (
            part.open("ab" if have else "wb") as sink,
            Progress(total, target.name, "B", unit_scale=True, initial=have) as bar,
        ):
            if not have:  # Only now, when the bytes of another version are gone, may the new version be noted.
                etag.write_text(_version_of(response), encoding="utf-8")
            for chunk in _chunks(response):
                sink.write(chunk)
                bar.update(len(chunk))
    return part.stat().st_size == total


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body as far as it comes: a connection that breaks ends it early, which its length shows."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        while chunk := response.read(CHUNK_BYTES):
            yield chunk

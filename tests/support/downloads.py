"""What is downloaded in tests: a local server that misbehaves as told, and small archives of both sources."""

import http.server
import io
import random
import threading
import zipfile
from pathlib import Path

from PIL import Image


class FileServer(http.server.ThreadingHTTPServer):
    """Serves `files` by path; can drop connections after some bytes, ignore Range, or change what it serves."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FileHandler)
        self.files: dict[str, bytes] = {}
        self.etag: str | None = '"first"'
        self.ranges = True
        self.obeys_if_range = True
        self.cuts: list[int] = []  # One per connection to come: how many bytes of the body are sent before it drops.
        self.status = 200
        self.requests: list[tuple[str, str | None]] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class FileHandler(http.server.BaseHTTPRequestHandler):
    server: FileServer

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        body = self.server.files.get(self.path.split("?")[0])
        if body is None or self.server.status != 200:
            return self.send_error(404 if body is None else self.server.status)
        start = 0
        same = not self.server.obeys_if_range or self.headers.get("If-Range") in (None, self.server.etag)
        if wanted and self.server.ranges and same:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if self.server.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = start + self.server.cuts.pop(0) if self.server.cuts else len(body)
        self.wfile.write(body[start:end])
        return None


def noise_jpeg(shade: int) -> bytes:
    """A small JPEG of noise, different for each shade."""
    packed = io.BytesIO()
    Image.frombytes("RGB", (40, 30), random.Random(shade).randbytes(3600)).save(packed, "JPEG")
    return packed.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip of these files, name -> content."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)  # The same bytes in every run.
    return packed.getvalue()


TRAIN = {f"train/{kind}.{number}.jpg": noise_jpeg(number) for kind in ("cat", "dog") for number in range(3)}
TEST = {f"test/{number}.jpg": noise_jpeg(10 + number) for number in range(1, 5)}
SAMPLE = {"sample_submission.csv": b"id,label\n1,0.5\n2,0.5\n3,0.5\n4,0.5\n"}
KAGGLE_ZIP = zipped({"train.zip": zipped(TRAIN), "test.zip": zipped(TEST), **SAMPLE})
KAGGLE_FILES = TRAIN | TEST | SAMPLE
PETS = {f"PetImages/{kind}/{number}.jpg": noise_jpeg(20 + number) for kind in ("Cat", "Dog") for number in range(3)}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, name -> content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

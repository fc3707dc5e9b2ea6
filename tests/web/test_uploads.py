"""Photographs pass; what is none is refused by its header, or at the latest by its pixels, and in little memory."""

import io
import json
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catsdogs.photographs import filetypes, images
from catsdogs.photographs.fitting import Fit
from catsdogs.web import uploads
from catsdogs.web.guard import Problem
from tests.support import hostile
from tests.support.datasets import jpeg
from tests.support.hostile import MEGABYTE, chunk, picture, png, png_of_zeros

FITS = tuple(map(Fit, (224, 240, 260)))
PEAK = 700 * MEGABYTE
REFUSE_ALL = """
import json, pathlib
from catsdogs.photographs import filetypes, images
from catsdogs.photographs.fitting import Fit
from catsdogs.errors import UnreadablePhotographError
from catsdogs.web import guard, uploads
from tests.support import hostile

FITS = tuple(map(Fit, (224, 240, 260)))
said = {}
for name, upload in hostile.UPLOADS.items():
    data = upload.make()
    try:
        uploads.check_upload(data)
        images.load(data, FITS)
    except guard.Problem as refusal:
        said[name] = refusal.description
    except UnreadablePhotographError as error:
        said[name] = error.reason
status = pathlib.Path("/proc/self/status")
lines = status.read_text().splitlines() if status.exists() else ["VmHWM: 0 kB"]
print(json.dumps([said, next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))]))
"""


def refusal(data: bytes) -> Problem:
    with pytest.raises(Problem) as caught:
        uploads.check_upload(data)
    assert "\n" not in sentence_of(caught.value) and not sentence_of(caught.value).endswith(".")
    return caught.value


def sentence_of(problem: Problem) -> str:
    return problem.description or ""


def with_parts(parts: list[bytes]) -> bytes:
    """A JPEG with these segments behind its first bytes."""
    whole = jpeg(1)
    return whole[:2] + b"".join(parts) + whole[2:]


def in_pieces(size: int) -> bytes:
    """A PNG whose pixels come in pieces of so many bytes."""
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300), np.uint8)
    deflated = zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))
    parts = [chunk(b"IDAT", deflated[start : start + size]) for start in range(0, len(deflated), size)]
    return png(300, 200, *parts, chunk(b"IEND"), colour=0)


def animated(format: str) -> bytes:
    frames = [Image.new("RGB", (90, 60), colour) for colour in ("red", "green", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, format, save_all=True, append_images=frames[1:] * 100)
    return buffer.getvalue()


def tiled_tiff(side: int) -> bytes:
    """A grey picture of 60 x 40 pixels in a tile of so many more."""
    pixels = zlib.compress(bytes(side * side))
    layout = {"tile_width": side, "tile_length": side, "tile_offset": hostile.ZLIB_OF_ZEROS, "tile_bytes": len(pixels)}
    header = hostile.tiff(hostile.grey(60, 40, hostile.DEFLATE, **layout))
    return header.ljust(hostile.ZLIB_OF_ZEROS, b"\0") + pixels


SOUND = {
    **{format: lambda format=format: picture(format) for format in filetypes.FORMATS},
    "progressive JPEG": lambda: picture("JPEG", progressive=True),
    "JPEG with nine megabytes of application data": lambda: with_parts([hostile.segment(0xE2, bytes(65_533))] * 140),
    "JPEG and a film behind it": lambda: jpeg(1) + np.random.default_rng(0).bytes(9 * MEGABYTE),
    "JPEG of just 10 MB": lambda: jpeg(1).ljust(uploads.MAX_UPLOAD_BYTES, b"\0"),
    "PNG in pieces of 1,000 bytes": lambda: in_pieces(1000),
    "PNG of just 50 megapixels": lambda: png_of_zeros(10_000, 5000),
    "animated PNG": lambda: animated("PNG"),
    "animated GIF": lambda: animated("GIF"),
    "animated WebP": lambda: animated("WEBP"),
    "deflated TIFF": lambda: picture("TIFF", compression="tiff_deflate"),
    "TIFF of JPEGs": lambda: picture("TIFF", (640, 2000), compression="jpeg"),
    "TIFF in one tile": lambda: tiled_tiff(1024),
    "BMP in runs": lambda: hostile.bmp(9, 9, bits=8, compression=1, pixels=b"\x09\1\0\0" * 9 + b"\0\1"),
}


@pytest.mark.parametrize("kind", SOUND)
def test_photographs_pass(kind: str) -> None:
    data = SOUND[kind]()
    uploads.check_upload(data)
    assert set(images.load(data, FITS).by_fit) == set(FITS)


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"", 415, "empty"),
        (hostile.TEXT, 415, "JPEG, PNG, WebP, GIF, BMP or TIFF"),
        (jpeg(1).ljust(uploads.MAX_UPLOAD_BYTES + 1, b"\0"), 413, "10 MB"),
        (bytes(uploads.MAX_UPLOAD_BYTES + 1), 413, "10 MB"),
        (png(10_000, 5001, chunk(b"IDAT")), 413, "50 megapixels"),  # fewer than Pillow's own limit
        (png(50_000, 50_000, chunk(b"IDAT")), 413, "50 megapixels"),  # and more
    ],
    ids=["empty", "text", "bytes", "zeros", "pixels", "bomb"],
)
def test_a_refusal_has_a_status_and_says_why(data: bytes, status: int, words: str) -> None:
    refused = refusal(data)
    assert refused.code == status and words in sentence_of(refused)


def test_the_sentence_names_every_format() -> None:
    sentence = sentence_of(refusal(hostile.TEXT)).upper()
    assert all(format in sentence for format in filetypes.FORMATS)


def test_only_the_header_is_looked_at() -> None:
    uploads.check_upload(png(5000, 5000, chunk(b"IDAT", b"no pixels")))


def test_every_bad_upload_is_refused_in_little_memory() -> None:
    """In a process of its own, whose memory is that of these files alone."""
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", REFUSE_ALL], capture_output=True, text=True, cwd=root, timeout=600)
    assert ended.returncode == 0, ended.stderr
    said, peak = json.loads(ended.stdout.splitlines()[-1])
    assert len(hostile.UPLOADS) >= 34
    assert list(said) == list(hostile.UPLOADS) and all(said.values())
    assert peak < PEAK


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "I;16"])
def test_a_large_picture_gets_the_pixels_of_a_small_one(mode: str) -> None:
    """Where it is converted in several bands."""
    rows = np.random.default_rng(0).integers(0, 256, (3000, 1), np.uint8)
    grey = Image.fromarray(np.repeat(rows, 800, axis=1))
    whole = Image.fromarray(np.asarray(grey, np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    if mode in ("LA", "RGBA"):
        whole.putalpha(Image.fromarray(255 - np.asarray(grey)))
    turned = Image.Exif()
    turned[0x0112] = 6
    buffer = io.BytesIO()
    whole.save(buffer, "TIFF", exif=turned)
    found = np.asarray(images.decode(buffer.getvalue()))
    for start in range(0, 3000, 500):  # each of them small enough for one band
        buffer = io.BytesIO()
        whole.crop((0, start, 800, start + 500)).save(buffer, "TIFF", exif=turned)
        part = np.asarray(images.decode(buffer.getvalue()))
        assert np.array_equal(part, found[:, 3000 - start - 500 : 3000 - start])

"""Bad uploads: damaged pictures, bombs, files that keep a parser busy, polyglots, other formats, names that are paths.

None of them is a picture that can be shown. Each must be refused quickly, in little memory, and with a reason.
"""

import io
import zipfile
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import features

from tests.support.formats import (  # fmt: skip
    DEFLATE,
    JFIF,
    LARGEST,
    LONG,
    MEGABYTE,
    RAW,
    SOI,
    ZLIB_OF_ZEROS,
    apng,
    bmp,
    canvas,
    chunk,
    codestream,
    cut,
    exif,
    filled,
    frame,
    gif,
    grey,
    long_exif,
    many_scans,
    many_strips,
    many_tags,
    picture,
    png,
    png_of_zeros,
    segment,
    tiff,
    webp,
    zeros,
)

_MARK = "<script>alert(1)</script>"


class Upload(NamedTuple):
    """What a form sends: a file name, and what makes the bytes when they are wanted; some are ten megabytes."""

    filename: str
    make: Callable[[], bytes]


# Other formats, by their first bytes.

TEXT = b"This is a line of text, not a photograph.\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="90" height="90"><circle r="40" cx="45" cy="45"/></svg>'
SVG_SCRIPT = SVG.replace(b"<circle", b"<script>fetch('/api/decisions')</script><circle onload='alert(1)'")
LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
SVG_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY l0 "ha">'
    + LAUGHS
    + b"]>"
    + SVG.replace(b"<circle", b"<text>&l9;</text><circle")
)
HTML = f"<!doctype html><title>cat</title>{_MARK}".encode()
PDF = b"%PDF-1.7\n1 0 obj<</Type/XObject/Subtype/Image/Filter/DCTDecode/Length 9999>>stream\n"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90 90\n(/etc/passwd) (r) file\nshowpage\n"


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("../../cat.jpg", picture("JPEG", (64, 48)))
    return buffer.getvalue()


def noise(count: int, head: bytes = b"") -> bytes:
    return head + np.random.default_rng(1).bytes(count - len(head))


def _named(filename: str) -> Upload:
    return Upload(filename, lambda: TEXT)


def _truncated() -> dict[str, Upload]:
    formats = {"JPEG": "jpg", "PNG": "png", "GIF": "gif", "WEBP": "webp", "TIFF": "tif", "BMP": "bmp"}
    formats |= {"AVIF": "avif"} if features.check("avif") else {}
    formats |= {"JPEG2000": "jp2"} if features.check("jpg_2000") else {}
    found = {}
    for format, suffix in formats.items():
        for where, share in (("header", 0.0), ("middle", 0.5)):
            make = partial(lambda format, share: cut(picture(format), share), format, share)
            found[f"{format} cut in the {where}"] = Upload(f"cat.{suffix}", make)
    found["progressive JPEG cut in the middle"] = Upload("cat.jpg", lambda: cut(picture("JPEG", progressive=True), 0.5))
    found["deflated TIFF cut in the middle"] = Upload(
        "cat.tif", lambda: cut(picture("TIFF", compression="tiff_deflate"), 0.5)
    )
    return found


UPLOADS: dict[str, Upload] = {
    **_truncated(),
    # Bombs: small files that claim, or hold, far more than they weigh.
    "PNG that claims 50,000 x 50,000": Upload("bomb.png", lambda: png(50_000, 50_000, chunk(b"IDAT", zeros(99)))),
    "PNG of 12,000 x 12,000 zeros": Upload("bomb.png", lambda: png_of_zeros(12_000, 12_000)),
    "PNG of 7,000 x 7,000 zeros without its end": Upload("bomb.png", lambda: png_of_zeros(7000, 7000)[:-60]),
    "PNG of 7,000 x 7,000 deep and transparent zeros without its end": Upload(
        "bomb.png", lambda: png(7000, 7000, chunk(b"IDAT", zeros(7000 * (8 * 7000 + 1)))[:-60], colour=6, bits=16)
    ),
    "PNG whose pixels inflate to 500 MB, and are too few": Upload(
        "bomb.png", lambda: png(7000, 7000, chunk(b"IDAT", zeros(100 * MEGABYTE)), chunk(b"IEND"), colour=6)
    ),
    "PNG with a profile that inflates to 300 MB": Upload(
        "bomb.png", lambda: png(9, 9, chunk(b"iCCP", b"sRGB\0\0" + zeros(300 * MEGABYTE)), chunk(b"IDAT", b"none"))
    ),
    "PNG with text that inflates to 300 MB": Upload(
        "bomb.png", lambda: png(9, 9, chunk(b"zTXt", b"Title\0\0" + zeros(300 * MEGABYTE)), chunk(b"IDAT", b"none"))
    ),
    "PNG with a thousand texts of a megabyte": Upload(
        "bomb.png", lambda: png(9, 9, *[chunk(b"zTXt", b"a\0\0" + zeros(MEGABYTE - 1))] * 1000, chunk(b"IDAT", b"none"))
    ),
    "PNG with a text behind its pixels": Upload(
        "bomb.png", lambda: png_of_zeros(9, 9)[:-12] + chunk(b"zTXt", b"a\0\0" + zeros(300 * MEGABYTE))
    ),
    "GIF with a screen of 65,535 x 65,535": Upload("bomb.gif", lambda: gif((65535, 65535), (9, 9))),
    "GIF with a frame of 65,535 x 65,535": Upload("bomb.gif", lambda: gif((9, 9), (65535, 65535))),
    "TIFF that claims 4 billion x 4 billion": Upload(
        "bomb.tif", lambda: tiff(grey(2**32 - 1, 2**32 - 1, DEFLATE, strip_offset=8, strip_bytes=99))
    ),
    "TIFF that claims 60,000 x 60,000, without pixels": Upload(
        "bomb.tif", lambda: tiff(grey(60_000, 60_000, RAW, strip_offset=8, strip_bytes=99))
    ),
    "TIFF with a strip of 4 billion rows": Upload(
        "bomb.tif",
        lambda: tiff(grey(99, 99, DEFLATE, rows_per_strip=2**32 - 1, strip_offset=ZLIB_OF_ZEROS, strip_bytes=9)),
    ),
    "TIFF with a strip that inflates to 300 MB, and a row too few": Upload(
        "bomb.tif",
        lambda: (
            tiff(grey(7000, 7000, DEFLATE, rows_per_strip=7000, strip_offset=ZLIB_OF_ZEROS, strip_bytes=300_000)).ljust(
                ZLIB_OF_ZEROS, b"\0"
            )
            + zeros(7000 * 6999)
        ),
    ),
    "TIFF with tiles of 100,000 x 16": Upload(
        "bomb.tif",
        lambda: tiff(grey(99, 99, DEFLATE, tile_width=99_968, tile_length=16, tile_offset=ZLIB_OF_ZEROS, tile_bytes=9)),
    ),
    "TIFF with tiles of 30,000 x 30,000": Upload(
        "bomb.tif",
        lambda: (
            tiff(
                grey(
                    99,
                    99,
                    DEFLATE,
                    tile_width=30_000,
                    tile_length=30_000,
                    tile_offset=ZLIB_OF_ZEROS,
                    tile_bytes=300_000,
                )
            ).ljust(ZLIB_OF_ZEROS, b"\0")
            + zeros(300 * MEGABYTE)
        ),
    ),
    "BMP that claims 2 billion x 2 billion": Upload("bomb.bmp", lambda: bmp(2**31 - 1, 2**31 - 1)),
    "BMP of negative height": Upload("bomb.bmp", lambda: bmp(30_000, -30_000, pixels=bytes(999))),
    "BMP of negative width": Upload("bomb.bmp", lambda: bmp(-30_000, 30_000, pixels=bytes(999))),
    "BMP of no height": Upload("bomb.bmp", lambda: bmp(30_000, 0, pixels=bytes(999))),
    "WebP with a canvas of 16 million x 16 million": Upload("bomb.webp", lambda: webp(canvas(2**24, 2**24))),
    "WebP with a canvas of 16,384 x 16,384": Upload("bomb.webp", lambda: webp(canvas(16_384, 16_384))),
    "WebP with a canvas of 7,000 x 7,000 and no picture": Upload("bomb.webp", lambda: webp(canvas(7000, 7000))),
    "JPEG that claims 65,535 x 65,535": Upload("bomb.jpg", lambda: JFIF + frame(65535, 65535) + segment(0xDA, b"\0")),
    "JPEG 2000 that claims 60,000 x 60,000": Upload("bomb.j2k", lambda: codestream(60_000, 60_000, (60_000, 60_000))),
    "JPEG 2000 that claims 7,000 x 7,000": Upload("bomb.j2k", lambda: codestream(7000, 7000, (7000, 7000))),
    "JPEG 2000 of 3,000 x 3,000 without pixels": Upload("bomb.j2k", lambda: codestream(3000, 3000, (3000, 3000))),
    "JPEG 2000 with tiles of 4 billion x 4 billion": Upload(
        "bomb.j2k", lambda: codestream(99, 99, (2**32 - 1, 2**32 - 1))
    ),
    "JPEG 2000 of 16,384 components": Upload("bomb.j2k", lambda: codestream(4000, 4000, (4000, 4000), 16_384)),
    # Files that keep a parser busy.
    "JPEG 2000 of a million tiles": Upload("busy.j2k", lambda: codestream(1000, 1000, (1, 1))),
    "JPEG of 150,000 scans": Upload("busy.jpg", lambda: many_scans(7000, 7000, MEGABYTE)),
    "JPEG of a million empty segments": Upload("busy.jpg", lambda: filled(JFIF, segment(0xFE))),
    "JPEG of ten megabytes of padding": Upload("busy.jpg", lambda: filled(JFIF, b"\xff")),
    "JPEG of ten megabytes of junk": Upload("busy.jpg", lambda: filled(JFIF, b"\0")),
    "JPEG with ten megabytes of comments and nothing else": Upload(
        "busy.jpg", lambda: filled(JFIF, segment(0xFE, bytes(65_533)))
    ),
    "JPEG with ten megabytes of application data and nothing else": Upload(
        "busy.jpg", lambda: filled(JFIF, segment(0xE2, bytes(65_533)))
    ),
    "JPEG with ten megabytes of EXIF": Upload("busy.jpg", long_exif),
    "PNG of 800,000 empty chunks": Upload("busy.png", lambda: filled(png(9, 9), chunk(b"prVt"))),
    "PNG of 800,000 empty pieces of pixels": Upload("busy.png", lambda: filled(png(9, 9), chunk(b"IDAT"))),
    "PNG with 60,000 EXIF tags on the same megabyte": Upload(
        "busy.png", lambda: png(9, 9, chunk(b"eXIf", many_tags(60_000, MEGABYTE)), chunk(b"IDAT", b"none"))
    ),
    "APNG of 20,000 frames, the first damaged": Upload("busy.png", lambda: apng(20_000)),
    "GIF of 3 million extensions": Upload("busy.gif", lambda: filled(gif((9, 9), None), b"!\xf9\0")),
    "GIF with a comment of 5 million pieces": Upload("busy.gif", lambda: filled(gif((9, 9), None, b"!\xfe"), b"\1a")),
    "GIF of 100,000 frames, the first damaged": Upload(
        "busy.gif", lambda: gif((99, 99), (99, 99), pixels=b"\x0d\0") + gif((9, 9), (9, 9))[19:] * 100_000
    ),
    "TIFF of 60,000 tags on the same bytes": Upload("busy.tif", lambda: many_tags(60_000, LARGEST)),
    "TIFF of 2.6 million strips": Upload("busy.tif", lambda: many_strips(7000, 7000)),
    "TIFF whose directories form a ring": Upload(
        "busy.tif", lambda: tiff(grey(99, 99, RAW, strip_offset=2**31, strip_bytes=99), following=8)
    ),
    "BMP of 5 million runs of no pixel": Upload(
        "busy.bmp", lambda: filled(bmp(7000, 7000, bits=8, compression=1), b"\0\2\0\0")
    ),
    "BMP of 5 million runs of a pixel": Upload(
        "busy.bmp", lambda: filled(bmp(7000, 7000, bits=4, compression=2), b"\1\0")
    ),
    "JPEG with EXIF that points to itself, cut": Upload(
        "loop.jpg", lambda: SOI + exif([(0x8769, LONG, 1, 8), (0x8825, LONG, 1, 8)], following=8) + frame(99, 99)
    ),
    "JPEG with an EXIF thumbnail of 4 GB, cut": Upload(
        "thumbnail.jpg",
        lambda: SOI + exif([(0x201, LONG, 1, 2**32 - 1), (0x202, LONG, 1, 2**32 - 1)], 8) + cut(picture("JPEG"), 0.4),
    ),
    # Polyglots: one file, two formats.
    "GIF and script": Upload("cat.gif", lambda: b"GIF89a/*" + HTML + b"*/=1;alert(document.domain)//"),
    "JPEG and PHP": Upload("cat.php.jpg", lambda: JFIF + segment(0xFE, b"<?php system($_GET['c']); ?>") + HTML),
    "JPEG and zip": Upload("cat.jpg", lambda: JFIF + archive()),
    "PNG and HTML": Upload("cat.png", lambda: png(9, 9, chunk(b"tEXt", b"Title\0" + HTML)) + HTML),
    "PDF and JPEG": Upload("cat.pdf.jpg", lambda: PDF + picture("JPEG", (64, 48)) + b"\nendstream endobj\n%%EOF"),
    "BMP and script": Upload("cat.bmp", lambda: b"BM/*" + HTML + b"*/=1;"),
    "WebP and AVI": Upload("cat.webp", lambda: b"RIFF\xff\xff\xff\x7fAVI LIST" + bytes(99)),
    # Other types.
    "text": Upload("cat.jpg", lambda: TEXT),
    "HTML": Upload("cat.jpg", lambda: HTML),
    "SVG": Upload("cat.svg", lambda: SVG),
    "SVG with script": Upload("cat.svg", lambda: SVG_SCRIPT),
    "SVG with a billion laughs": Upload("cat.svg", lambda: SVG_LAUGHS),
    "PDF": Upload("cat.pdf", lambda: PDF + b"\nendstream endobj\n%%EOF"),
    "EPS": Upload("cat.eps", lambda: EPS),
    "zip": Upload("cat.jpg", archive),
    "ELF": Upload("cat.jpg", lambda: noise(4096, b"\x7fELF\2\1\1\0")),
    "Windows program": Upload("cat.jpg.exe", lambda: noise(4096, b"MZ\x90\0")),
    "MP4": Upload("cat.mp4", lambda: noise(4096, b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41")),
    "HEIC": Upload("cat.heic", lambda: noise(4096, b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")),
    "PSD": Upload("cat.psd", lambda: noise(4096, b"8BPS\0\1\0\0\0\0\0\0\0\3\0\0\x1b\x58\0\0\x1b\x58\0\x08\0\3")),
    "ICO": Upload("cat.ico", lambda: picture("ICO", (64, 64))),
    "JPEG 2000": Upload("cat.jp2", lambda: noise(4096, b"\0\0\0\x0cjP  \r\n\x87\n")),
    "PPM": Upload("cat.ppm", lambda: picture("PPM", (64, 48))),
    # Nothing, too much, or anything at all.
    "empty": Upload("cat.jpg", lambda: b""),
    "one byte": Upload("cat.jpg", lambda: b"\xff"),
    "only zeros": Upload("cat.jpg", lambda: bytes(MEGABYTE)),
    "noise that begins as a JPEG": Upload("cat.jpg", lambda: noise(MEGABYTE, JFIF)),
    "noise that begins as a PNG": Upload("cat.png", lambda: noise(MEGABYTE, b"\x89PNG\r\n\x1a\n")),
    "noise that begins as a TIFF": Upload("cat.tif", lambda: noise(MEGABYTE, b"II*\0\x08\0\0\0")),
    "more than 10 MB": Upload("cat.jpg", lambda: picture("JPEG", (64, 48)) + bytes(LARGEST)),
    # Names.
    "name that climbs": _named("../../../../etc/passwd"),
    "name on a drive": _named("C:\\Windows\\System32\\config\\SAM"),
    "name with a NUL": _named("cat.jpg\0.php"),
    "name with a line break": _named('cat.jpg"\r\nX-Evil: yes\r\n\r\n'),
    "name of 5,000 characters": _named("c" * 4996 + ".jpg"),
    "name of markup": _named(f'"><img src=x onerror=alert(1)>{_MARK}.jpg'),
    "no name": _named(""),
}

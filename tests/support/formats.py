"""Picture files built piece by piece, for tests of damaged, hostile and unusual files."""

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

MEGABYTE = 2**20
LARGEST = 10 * MEGABYTE  # what an upload may have


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    """The bytes of a picture in a format of Pillow's."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def picture(format: str, size: tuple[int, int] = (640, 480), **options: object) -> bytes:
    """A sound picture of noise, to be spoilt."""
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return encoded(Image.fromarray(noise), format, **options)


def cut(data: bytes, share: float) -> bytes:
    """The first share of a file, at least a few bytes."""
    return data[: max(12, int(len(data) * share))]


def filled(head: bytes, unit: bytes, size: int = LARGEST) -> bytes:
    """A head, and then one unit over and over, up to a size."""
    return head + unit * ((size - len(head)) // len(unit))


# PNG: https://www.w3.org/TR/png-3/


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, colour: int = 2, bits: int = 8) -> bytes:
    """These chunks after a header; the default colours are red, green and blue."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks)


def zeros(count: int) -> bytes:
    """That many zeros, deflated: a thousandth of their number."""
    deflate = zlib.compressobj(9)
    block = bytes(MEGABYTE)
    parts = [deflate.compress(block[: min(MEGABYTE, count - start)]) for start in range(0, count, MEGABYTE)]
    return b"".join(parts) + deflate.flush()


def png_of_zeros(width: int, height: int) -> bytes:
    """A black picture."""
    return png(width, height, chunk(b"IDAT", zeros(height * (width + 1))), chunk(b"IEND"), colour=0)


def apng(frames: int) -> bytes:
    """An animation whose first frame is damaged."""
    control = struct.pack(">IIIIIHHBB", 0, 100, 100, 0, 0, 1, 10, 0, 0)
    parts = [chunk(b"acTL", struct.pack(">II", frames, 0)), chunk(b"fcTL", control), chunk(b"IDAT", b"damaged")]
    parts += [chunk(b"fcTL", control), chunk(b"fdAT", b"\0\0\0\1damaged")] * frames
    return png(100, 100, *parts, chunk(b"IEND"))


# GIF: https://www.w3.org/Graphics/GIF/spec-gif89a.txt


def gif(screen: tuple[int, int], frame: tuple[int, int] | None, blocks: bytes = b"", pixels: bytes = b"\x02") -> bytes:
    """A screen, blocks, and one frame; no pixels but what is given."""
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + blocks
    return head + (b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + pixels if frame else b"")


# TIFF: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf

SHORT, LONG, UNDEFINED = 3, 4, 7
Entry = tuple[int, int, int, int]  # tag, type, count, value or offset


def directory(entries: Sequence[Entry], following: int = 0) -> bytes:
    """An image file directory, little-endian."""
    rows = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return struct.pack("<H", len(entries)) + rows + struct.pack("<I", following)


def tiff(entries: Sequence[Entry], data: bytes = b"", following: int = 0) -> bytes:
    """One directory at byte 8, and data behind it."""
    return b"II*\0" + struct.pack("<I", 8) + directory(entries, following) + data


def grey(width: int, height: int, compression: int, **layout: int) -> list[Entry]:
    """The entries of a grey picture; `layout` is any of the tags by which TIFF finds the pixels."""
    tags = {"strip_offset": 273, "rows_per_strip": 278, "strip_bytes": 279}
    tags |= {"tile_width": 322, "tile_length": 323, "tile_offset": 324, "tile_bytes": 325}
    entries = [(256, LONG, 1, width), (257, LONG, 1, height), (258, SHORT, 1, 8), (259, SHORT, 1, compression)]
    entries += [(262, SHORT, 1, 1), (277, SHORT, 1, 1)]
    return entries + [(tags[name], LONG, 1, value) for name, value in layout.items()]


RAW, DEFLATE, ZLIB_OF_ZEROS = 1, 8, 400


def many_tags(count: int, size: int) -> bytes:
    """A directory of tags that all point at the same bytes, as many as a file can hold."""
    return tiff([(1000 + n, UNDEFINED, size - 8, 8) for n in range(count)]).ljust(size, b"\0")


def many_strips(width: int, height: int) -> bytes:
    """A strip for each row, all without a pixel, in a file as large as an upload may be."""
    count = (LARGEST - 1000) // 4
    entries = [entry for entry in grey(width, height, RAW, rows_per_strip=1) if entry[0] != 273]
    table = struct.pack("<I", 0xFFFFFF) * count
    start = 8 + 2 + 12 * (len(entries) + 1) + 4
    return tiff([*entries, (273, LONG, count, start)], table)


# BMP: https://learn.microsoft.com/windows/win32/gdi/bitmap-storage


def bmp(width: int, height: int, bits: int = 24, compression: int = 0, pixels: bytes = b"") -> bytes:
    """A header that claims to be of any size, a palette where one is needed, and these pixels."""
    palette = bytes(4) * 256 if bits <= 8 else b""
    start = 14 + 40 + len(palette)
    file = b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start)
    return file + struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0) + palette + pixels


# WebP: https://developers.google.com/speed/webp/docs/riff_container


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def canvas(width: int, height: int) -> tuple[bytes, bytes]:
    """The extended header of an animation."""
    sizes = b"".join(struct.pack("<I", side - 1)[:3] for side in (width, height))
    return b"VP8X", b"\x02\0\0\0" + sizes


# JPEG: https://www.w3.org/Graphics/JPEG/itu-t81.pdf

SOI = b"\xff\xd8"
JFIF = SOI + b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"


def segment(marker: int, data: bytes = b"") -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


def frame(width: int, height: int, marker: int = 0xC0) -> bytes:
    """The header of a grey picture."""
    return segment(marker, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0")


TABLES = segment(0xDB, b"\0" + b"\1" * 64) + b"".join(
    segment(0xC4, bytes((kind,)) + b"\1" + b"\0" * 15 + b"\0") for kind in (0x00, 0x10)
)


def many_scans(width: int, height: int, size: int) -> bytes:
    """A progressive picture that is gone over again and again, without a pixel in any scan."""
    first = segment(0xDA, b"\1\1\0\0\0\0")
    again = segment(0xDA, b"\1\1\0\1\x3f\0")
    return filled(JFIF + TABLES + frame(width, height, 0xC2) + first, again, size)


# JPEG 2000: https://www.itu.int/rec/T-REC-T.800


def codestream(width: int, height: int, tile: tuple[int, int], components: int = 3) -> bytes:
    """The header of a JPEG 2000 picture without a pixel."""
    sizes = struct.pack(">HIIIIIIIIH", 0, width, height, 0, 0, *tile, 0, 0, components) + b"\7\1\1" * components
    coding = segment(0x52, b"\0\0\0\1\0\5\4\4\0\1") + segment(0x5C, b"\x40" + bytes(16))
    return b"\xff\x4f" + segment(0x51, sizes) + coding + segment(0x90, b"\0\0\0\0\0\0\0\1") + b"\xff\x93\xff\xd9"


def exif(entries: Sequence[Entry], following: int = 0, data: bytes = b"") -> bytes:
    return segment(0xE1, b"Exif\0\0" + tiff(entries, data, following))


def long_exif() -> bytes:
    """Segments of EXIF data, to be joined one by one."""
    part = segment(0xE1, b"Exif\0\0" + bytes(1500))
    return filled(JFIF + exif([(274, SHORT, 1, 6)]), part)

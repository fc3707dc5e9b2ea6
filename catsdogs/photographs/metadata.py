"""A picture file without its metadata, and the orientation that the metadata give.

Cameras, phones and programs add EXIF, colour profiles, thumbnails, comments and more, often cut short or invalid. A
decoder that parses them may refuse the whole file, or take very long. So no metadata reach a decoder: every format
keeps them in separate pieces, which are left out unread. Only EXIF's orientation is read, or XMP's where EXIF has none,
as Pillow does; values other than 1 to 8 count as upright.

The formats: JPEG, https://www.w3.org/Graphics/JPEG/itu-t81.pdf; PNG, https://www.w3.org/TR/png-3/; GIF,
https://www.w3.org/Graphics/GIF/spec-gif89a.txt; WebP, https://developers.google.com/speed/webp/docs/riff_container;
TIFF, https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf; AVIF and HEIF, ISO/IEC 14496-12.
"""

import contextlib
import itertools
import re
import struct
import zlib
from collections.abc import Iterator

from catsdogs.errors import UnreadablePhotographError

UPRIGHT = 1
# Each piece of a file is a turn of a loop here: ten megabytes of empty pieces would take seconds.
_PIECES = 2**15
_BYTES_A_PIECE = 2048  # so that PNGs of hundreds of megabytes, in pieces of the usual size, are read
_ORIENTATION = 274  # EXIF's tag
_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 5: "II", 10: "ii"}  # TIFF's types; the last are fractions
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
_RAW_PROFILE_BYTES = 2**18  # of EXIF as ImageMagick writes it into a PNG, in hexadecimal

# The segments that libjpeg and Pillow's reader use, with the fewest bytes that each accepts.
_USED = re.compile(rb"\xe0..JFIF\0.{9}|\xee..Adobe.{7}", re.DOTALL)
_MARKER = re.compile(rb"\xff([^\xff\0])")  # there may be more of 0xFF before it
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xDA)))  # no segment follows these markers
_START_OF_SCAN = 0xDA
_APPLICATIONS_AND_COMMENT = frozenset((*range(0xE0, 0xF0), 0xFE))

_PNG = b"\x89PNG\r\n\x1a\n"
_GIF_GRAPHIC_CONTROL = b"\xf9"
_WEBP_PARTS = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
_WEBP_FLAGS = 0x20 | 0x08 | 0x04  # the file has a profile, EXIF and XMP
_XMP_TAG = 700
# libtiff keeps memory for a whole tile, whatever the picture's size, and Pillow a list of the strips or tiles.
_TIFF_PIECES = 2**16
_TIFF_TILE = 2**22  # pixels; or as large as the picture, rounded up
_TIFF_PLACES = (273, 324)  # of strips and of tiles
_TIFF_SIDES = (256, 257, 322, 323)  # of the picture and of a tile
# Baseline TIFF's tags of the picture's layout, and those that compressions add: fax, JPEG old and new, and predictors.
_TIFF_TAGS = {
    *(*range(254, 260), 262, 266, 273, 277, 278, 279, 280, 281, 284, 292, 293, 317, *range(320, 326)),
    *(332, 334, 338, 339, 340, 341, 347, *range(512, 522), *range(529, 533)),
}
# The item of a HEIF file that holds EXIF. The orientation is a property of its own there.
_HEIF_EXIF = re.compile(rb"(infe(?:\x02\0\0.{5}|\x03\0\0.{7}))Exif", re.DOTALL)


def strip_metadata(data: bytes) -> tuple[bytes, int]:
    """A picture's bytes without metadata, and EXIF's orientation: 1 is upright, 2 to 8 are turned or mirrored.

    Files that are not understood stay as they are.

    Raises:
        UnreadablePhotographError: so many pieces, or such tiles, that reading them would take long, or much memory.
    """
    if data[:2] == b"\xff\xd8":
        return _of_jpeg(data)
    if data[:8] == _PNG:
        return _of_png(data)
    if data[:2] in (b"II", b"MM") and data[2:4] in (b"*\0", b"\0*", b"+\0", b"\0+"):
        return _of_tiff(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _of_webp(data)
    if data[:4] == b"GIF8":
        return _of_gif(data), UPRIGHT
    if data[4:8] == b"ftyp":
        return _HEIF_EXIF.sub(rb"\1free", data), UPRIGHT
    return data, UPRIGHT


def exif_orientation(exif: bytes) -> int | None:
    """The orientation in EXIF data; None if it cannot be found in them."""
    exif = exif.removeprefix(b"Exif\0\0")
    return _Directory(exif).orientation() if exif[:2] in (b"II", b"MM") else None


class _Directory:
    """The first directory of a TIFF file or of EXIF data, which have one form.

    Attributes:
        count: how many entries it claims; `entries` has those that are there, up to a number.
        entries: tag -> its type, the number of its values, these or their offset, and its place.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self.order, self.is_big = data, "<" if data[:2] == b"II" else ">", 43 in data[2:4]
        self.inline, self.offset, self.counter = (8, "Q", "Q") if self.is_big else (4, "I", "H")  # bytes and types
        self.start, self.count = 0, 0
        self.entries: dict[int, tuple[int, int, int, int]] = {}
        self.is_whole = False
        try:
            (self.start,) = self.unpack(self.offset, self.inline)
            (self.count,) = self.unpack(self.counter, self.start)
            at = self.start + struct.calcsize(self.counter)
            for _ in range(min(self.count, _PIECES)):
                tag, kind, count, value = self.unpack(f"HH{self.offset}{self.offset}", at)
                self.entries.setdefault(tag, (kind, count, value, at))
                at += 4 + 2 * self.inline
            self.is_whole = True
        except (struct.error, OverflowError):  # no directory, or a part of one
            pass

    def unpack(self, types: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(self.order + types, self._data, at)

    def value(self, tag: int) -> float | None:
        """The first value of a tag that has numbers."""
        kind, count, value, at = self.entries.get(tag, (0, 0, 0, 0))
        code = _NUMBERS.get(kind, "")
        size = struct.calcsize(f"={code}")
        if not size or not count:
            return None
        try:
            number, *below = self.unpack(code, value if size * count > self.inline else at + 4 + self.inline)
        except (struct.error, OverflowError):
            return None
        return number / below[0] if below and below[0] else 0 if below else number

    def orientation(self) -> int | None:
        value = self.value(_ORIENTATION)
        if value is None:
            return None
        return int(value) if value in range(1, 9) else UPRIGHT


def _turned(orientation: int | None, xmp: bytes) -> int:
    if orientation is None and (match := _XMP_ORIENTATION.search(xmp)):
        orientation = int(match[1])
    return orientation or UPRIGHT


def _turns(data: bytes) -> Iterator[None]:
    """The turns of a loop that reading a file may take."""
    yield from itertools.repeat(None, _PIECES + len(data) // _BYTES_A_PIECE)
    raise UnreadablePhotographError("cut into too many pieces")


def _of_jpeg(data: bytes) -> tuple[bytes, int]:
    """Without the segments of applications and comments, and without bytes between segments."""
    view, exif, xmp = memoryview(data), b"", b""  # a slice of a view is no copy
    kept = [view[:2]]
    at, turns = 2, _turns(data)
    while match := _MARKER.search(data, at):
        next(turns)
        marker, start = match[1][0], match.end()
        at = start if marker in _WITHOUT_LENGTH else start + max(2, int.from_bytes(data[start : start + 2], "big"))
        if marker == _START_OF_SCAN or at > len(data):  # pixels follow, or the file is cut, which the decoder reports
            kept.append(view[start - 2 :])
            break
        payload = data[start + 2 : at]
        if marker not in _APPLICATIONS_AND_COMMENT or _USED.match(data, start - 1, at):
            kept.append(view[start - 2 : at])
        elif marker == 0xE1 and payload.startswith(b"Exif\0\0"):
            exif = exif or payload
        elif marker == 0xE1 and payload.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            xmp = xmp or payload
    return b"".join(kept), _turned(exif_orientation(exif), xmp)


def _of_png(data: bytes) -> tuple[bytes, int]:
    """Without ancillary chunks, to which an animation's frames belong, but with transparency."""
    view, exif, xmp = memoryview(data), b"", b""
    kept = [view[: len(_PNG)]]
    at, turns, last = len(_PNG), _turns(data), b""
    colour = data[25:26]
    while at + 8 <= len(data):
        next(turns)
        kind, stop = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        if kind in (b"IHDR", b"IDAT", b"IEND") or (kind == b"PLTE" and colour == b"\3"):
            kept.append(view[at:stop])
        elif stop > len(data):  # cut short where there are no pixels
            break
        elif kind == b"tRNS" and _is_sound_transparency(colour, data[at:stop]):
            kept.append(view[at:stop])
        elif kind == b"eXIf":
            exif = data[at + 8 : stop - 4]
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            keyword, _, text = data[at + 8 : stop - 4].partition(b"\0")
            if keyword == b"Raw profile type exif":
                exif = exif or _raw_profile(text, is_packed=kind != b"tEXt")
            elif keyword == b"XML:com.adobe.xmp":
                xmp = text
        at, last = stop, kind
        if kind == b"IEND":
            break
    if at == len(data) and last not in (b"IDAT", b"IEND"):  # whole chunks without an end, which no cut would leave
        raise UnreadablePhotographError("damaged: it has no end")
    return b"".join(kept), _turned(exif_orientation(exif), xmp)


def _is_sound_transparency(colour: bytes, chunk: bytes) -> bool:
    length, kind_and_values, checksum = len(chunk) - 12, chunk[4:-4], chunk[-4:]
    fits = {b"\0": length == 2, b"\2": length == 6, b"\3": length <= 256}.get(colour, False)
    return fits and zlib.crc32(kind_and_values) == int.from_bytes(checksum, "big")


def _raw_profile(text: bytes, is_packed: bool) -> bytes:
    """EXIF data as ImageMagick writes them: a line without text, the name, the length, then hexadecimal lines."""
    with contextlib.suppress(ValueError, zlib.error):
        if is_packed:  # behind a byte for the method
            text = zlib.decompressobj().decompress(text[1:], _RAW_PROFILE_BYTES)
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    return b""


def _of_tiff(data: bytes) -> tuple[bytes, int]:
    """With the layout's tags alone in the first directory, and without further directories."""
    directory = _Directory(data)
    entries = directory.entries
    if directory.count > _PIECES or any(entries[tag][1] > _TIFF_PIECES for tag in _TIFF_PLACES if tag in entries):
        raise UnreadablePhotographError("cut into too many pieces")
    width, height, across, down = (directory.value(tag) or 0 for tag in _TIFF_SIDES)
    if across * down > max(_TIFF_TILE, 2 * width * height):
        raise UnreadablePhotographError(f"tiles of {across} x {down} pixels")
    if not directory.is_whole:
        return data, UPRIGHT
    kept = [data[at : at + 4 + 2 * directory.inline] for tag, (_, _, _, at) in entries.items() if tag in _TIFF_TAGS]
    count = struct.pack(directory.order + directory.counter, len(kept))
    stripped = b"".join((count, *kept, bytes(directory.inline)))
    view = memoryview(data)
    whole = b"".join((view[: directory.start], stripped, view[directory.start + len(stripped) :]))
    _, length, where, _ = entries.get(_XMP_TAG, (0, 0, 0, 0))
    return whole, _turned(directory.orientation(), data[where : where + length])


def _of_webp(data: bytes) -> tuple[bytes, int]:
    """Without profile, EXIF and XMP."""
    kept: list[bytes] = []
    metadata = {b"EXIF": b"", b"XMP ": b""}
    at, end, turns = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little")), _turns(data)
    while at + 8 <= end:
        next(turns)
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        chunk = data[at : at + 8 + length + length % 2]
        if kind == b"VP8X" and len(chunk) > 8:
            kept.append(chunk[:8] + bytes((chunk[8] & ~_WEBP_FLAGS,)) + chunk[9:])
        elif kind in _WEBP_PARTS:
            kept.append(chunk)
        elif kind in metadata:
            metadata[kind] = chunk[8 : 8 + length]
        at += len(chunk)
    body = b"WEBP" + b"".join(kept)
    whole = data if body == data[8:end] else b"RIFF" + struct.pack("<I", len(body)) + body
    return whole, _turned(exif_orientation(metadata[b"EXIF"]), metadata[b"XMP "])


def _of_gif(data: bytes) -> bytes:
    """Without the extensions before the first frame, but with the one that names the transparent colour."""
    at, turns = 13 + (3 << (data[10] & 7) + 1 if len(data) > 10 and data[10] & 0x80 else 0), _turns(data)
    kept = [data[:at]]
    while data[at : at + 1] == b"!":
        next(turns)
        start, at = at, at + 2
        while at < len(data) and data[at]:
            next(turns)
            at += 1 + data[at]
        at += 1
        if data[start + 1 : start + 2] == _GIF_GRAPHIC_CONTROL:
            kept.append(data[start:at])
    return b"".join((*kept, memoryview(data)[at:]))

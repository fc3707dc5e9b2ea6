"""Metadata of picture files: of all, only the orientation is used. Broken metadata never spoil a sound picture."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from catsdogs.photographs import filetypes, images
from catsdogs.photographs.fitting import Fit
from catsdogs.web import uploads
from tests.support import formats
from tests.support.datasets import jpeg
from tests.support.formats import MEGABYTE, chunk, encoded

SHORT, ASCII, RATIONAL, UNDEFINED = 3, 2, 5, 7


def exif_of(*entries: tuple[int, int, int, int], data: bytes = b"", following: int = 0) -> bytes:
    return formats.tiff(entries, data, following)


def orientation_of(kind: int, count: int, value: int, data: bytes = b"") -> bytes:
    return exif_of((274, kind, count, value), data=data)


# EXIF -> the orientation it means.
EXIF = {
    "none": (b"", 1),
    "noise": (np.random.default_rng(0).bytes(999), 1),
    "no directory": (b"II*\0\xff\xff\xff\x7f", 1),
    "a directory cut short": (orientation_of(SHORT, 1, 6)[:14], 1),
    "a ring of directories": (exif_of((274, SHORT, 1, 6), following=8), 6),
    "a tag that cannot be written back": (exif_of((274, SHORT, 1, 6), (0x9286, ASCII, 9, 4_000_000)), 6),
    "a tag without a type": (exif_of((274, SHORT, 1, 6), (0xA000, 99, 1, 1)), 6),
    "a value of another type than its tag's": (
        exif_of((274, SHORT, 1, 6), (0x9003, SHORT, 1, 7), (282, ASCII, 4, 0)),
        6,
    ),
    "tags cut short behind the orientation": (exif_of((274, SHORT, 1, 6), (37500, UNDEFINED, 2**31, 99))[:24], 6),
    "turned left, big-endian": (b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x08\0\0\0\0\0\0", 8),
    "orientation 0": (orientation_of(SHORT, 1, 0), 1),
    "orientation 9": (orientation_of(SHORT, 1, 9), 1),
    "orientation 65,535": (orientation_of(SHORT, 1, 65535), 1),
    "a word for orientation": (orientation_of(ASCII, 2, ord("6")), 1),
    "a list for orientation": (orientation_of(SHORT, 2, 6 | 3 << 16), 6),
    "a longer list": (orientation_of(SHORT, 3, 26, struct.pack("<HHH", 6, 1, 1)), 6),
    "nothing for orientation": (orientation_of(SHORT, 0, 6), 1),
    "a byte for orientation": (orientation_of(1, 1, 6), 6),
    "a long for orientation": (orientation_of(4, 1, 6), 6),
    "a fraction for orientation": (orientation_of(RATIONAL, 1, 26, struct.pack("<II", 6, 1)), 6),
    "a fraction of nothing": (orientation_of(RATIONAL, 1, 26, struct.pack("<II", 6, 0)), 1),
    "a fraction that is not there": (orientation_of(RATIONAL, 1, 2**31), 1),
}
PICTURE = images.decode(jpeg(3, (60, 40)))


def behind(start: int, whole: bytes, *parts: bytes) -> bytes:
    return whole[:start] + b"".join(parts) + whole[start:]


def with_segments(*segments: bytes) -> bytes:
    return behind(2, encoded(PICTURE, "JPEG"), *segments)


def with_chunks(*chunks: bytes) -> bytes:
    return behind(33, encoded(PICTURE, "PNG"), *chunks)


def webp_with(*chunks: tuple[bytes, bytes], flags: int = 0x2C) -> bytes:
    plain = encoded(PICTURE, "WEBP", lossless=True)
    length = struct.unpack("<I", plain[16:20])[0]
    canvas = bytes((flags, 0, 0, 0)) + b"".join(struct.pack("<I", side - 1)[:3] for side in PICTURE.size)
    return formats.webp((b"VP8X", canvas), (plain[12:16], plain[20 : 20 + length]), *chunks)


def same_pixels(data: bytes, wanted: Image.Image, orientation: int = 1) -> None:
    """The whole picture, upright, at full size and in a small one, with its true size."""
    turned = Image.Exif()
    turned[274] = orientation
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(wanted.convert("RGB"), "PNG", exif=turned))))
    assert np.array_equal(np.asarray(images.decode(data)), np.asarray(upright))
    pixels = images.load(data, {Fit(16)})
    assert pixels.statistics[:2].tolist() == list(upright.size)
    assert images.thumbnail(data, 20)
    uploads.check_upload(data)


@pytest.mark.parametrize("kind", EXIF)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_of_exif_only_the_orientation_is_asked(format: str, kind: str) -> None:
    exif, orientation = EXIF[kind]
    if format == "JPEG":
        data, wanted = with_segments(formats.segment(0xE1, b"Exif\0\0" + exif)), images.decode(with_segments())
    elif format == "PNG":
        data, wanted = with_chunks(chunk(b"eXIf", exif)), PICTURE
    else:
        data, wanted = webp_with((b"EXIF", exif)), PICTURE
    same_pixels(data, wanted, orientation)


def tiff_with(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
    pixels = GREY.tobytes()
    layout = formats.grey(*GREY.size, formats.RAW, strip_offset=1000, strip_bytes=len(pixels))
    return formats.tiff([*layout, *entries], following=following).ljust(1000, b"\0") + pixels


def gif_with(*blocks: bytes) -> bytes:
    plain = encoded(GREY, "GIF")
    start = 13 + 3 * 2 ** ((plain[10] & 7) + 1)
    return behind(start, plain, *blocks)


def blocks_of(data: bytes) -> bytes:
    """A GIF's data in blocks of up to 255 bytes."""
    parts = [data[start : start + 255] for start in range(0, len(data), 255)]
    return b"".join(bytes((len(part),)) + part for part in parts) + b"\0"


def mpo(of: bytes) -> bytes:
    """Two pictures in one file, whose directory of them is this."""
    whole = encoded(PICTURE, "MPO", save_all=True, append_images=[PICTURE.rotate(90)])
    start = whole.index(b"MPF\0") + 4
    return whole[:start] + of + whole[start + len(of) :]


JPEG_PARTS = {
    "JFIF cut short": formats.segment(0xE0, b"JFIF\0"),
    "JFIF of nothing": formats.segment(0xE0),
    "a thumbnail of no picture": formats.segment(0xE0, b"JFXX\0\x10\xff\xd8\xff"),
    "Adobe cut short": formats.segment(0xEE, b"Adobe"),
    "a profile in parts that are not there": formats.segment(0xE2, b"ICC_PROFILE\0\7\3cut"),
    "a profile cut short": formats.segment(0xE2, b"ICC_PROFILE\0"),
    "a directory of pictures that is noise": formats.segment(0xE2, b"MPF\0" + bytes(range(200))),
    "XMP that is no text": formats.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta \xff\xfe"),
    "IPTC cut short": formats.segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\xff\xff\x1c\x02"),
    "Photoshop's resolution cut short": formats.segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\x10\0"),
    "a comment that is no text": formats.segment(0xFE, b"\xff\xfe\0"),
    "three thousand comments": formats.segment(0xFE, b"a cat") * 3000,
    "a segment shorter than its length": b"\xff\xe5\0\0",
    "padding": b"\xff" * 5000,
    "EXIF of a camera twice": formats.segment(0xE1, b"Exif\0\0" + EXIF["noise"][0]) * 2,
}
PNG_PARTS = {
    "text that inflates to 2 MB": chunk(b"zTXt", b"Title\0\0" + zlib.compress(bytes(2 * MEGABYTE))),
    "texts of 80 MB": chunk(b"zTXt", b"Title\0\0" + zlib.compress(bytes(MEGABYTE - 9))) * 80,
    "text without a keyword": chunk(b"tEXt"),
    "text that is not deflated": chunk(b"zTXt", b"Title\0\0noise"),
    "text deflated in another way": chunk(b"zTXt", b"Title\0\1noise"),
    "text in no language": chunk(b"iTXt", b"Title\0\1"),
    "XMP that is no text": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0\xff\xfe"),
    "a raw profile that is no EXIF": chunk(b"tEXt", b"Raw profile type exif\0\nexif\n9\nzz"),
    "a profile that is not deflated": chunk(b"iCCP", b"sRGB\0\0noise"),
    "a profile without a name": chunk(b"iCCP"),
    "a profile that inflates to 80 MB": chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(bytes(80 * MEGABYTE))),
    "gamma cut short": chunk(b"gAMA", b"\0"),
    "colours cut short": chunk(b"cHRM", b"\0\0"),
    "an intent that is not there": chunk(b"sRGB"),
    "a size in metres cut short": chunk(b"pHYs", b"\0\0\0"),
    "a date cut short": chunk(b"tIME", b"\7"),
    "an animation cut short": chunk(b"acTL", b"\0") + chunk(b"fcTL", b"\0"),
    "an animation of no frames": chunk(b"acTL", bytes(8)),
    "transparency cut short": chunk(b"tRNS", b"\0"),
    "a wrong checksum": chunk(b"pHYs", bytes(9))[:-1] + b"?",
    "a kind that nobody knows": chunk(b"caTs", b"\xff"),
    "a suggested palette": chunk(b"PLTE", b"\0"),
    "a thousand empty pieces": chunk(b"prVt") * 1000,
}
PLAIN_PNG = encoded(PICTURE, "PNG")
GREY = PICTURE.convert("L")
# Another program's file, and what it shows.
PARTS: dict[str, tuple[bytes, Image.Image]] = {
    **{f"JPEG with {name}": (with_segments(part), images.decode(with_segments())) for name, part in JPEG_PARTS.items()},
    **{f"PNG with {name}": (with_chunks(part), PICTURE) for name, part in PNG_PARTS.items()},
    "JPEG with comments between its headers": (
        with_segments().replace(b"\xff\xc0", formats.segment(0xFE, b"a cat") + b"\xff\xc0"),
        images.decode(with_segments()),
    ),
    **{
        f"MPO whose directory is {name}": (mpo(part), images.decode(encoded(PICTURE, "JPEG")))
        for name, part in {
            "sound": b"",
            "noise": b"noise",
            "empty": b"II*\0\x08\0\0\0\0\0",
            "far": b"II*\0" + b"\xff" * 4,
        }.items()
    },
    "PNG with text that is cut": (PLAIN_PNG[:-12] + chunk(b"tEXt", b"date:create\x002018")[:-7], PICTURE),
    "PNG with a large text behind it": (
        PLAIN_PNG[:-12] + chunk(b"zTXt", b"Title\0\0" + zlib.compress(bytes(2 * MEGABYTE))) + PLAIN_PNG[-12:],
        PICTURE,
    ),
    "GIF with a comment of 1 MB": (gif_with(b"!\xfe" + blocks_of(b"cat " * 2**18)), GREY),
    "GIF with XMP": (gif_with(b"!\xff\x0bXMP DataXMP" + blocks_of(bytes(range(1, 256)) * 900)), GREY),
    "GIF that says nothing of its rounds": (gif_with(b"!\xff\x0bNETSCAPE2.0\0"), GREY),
    "WebP with a profile that is none": (webp_with((b"ICCP", b"noise"), (b"XMP ", b"\xff")), PICTURE),
    "WebP with EXIF that is cut": (webp_with((b"EXIF", EXIF["noise"][0]))[:-99], PICTURE),
    "WebP that promises what it lacks": (webp_with(), PICTURE),
    "TIFF with tags that lead nowhere": (
        tiff_with((34665, 4, 1, 2**31), (34853, 4, 1, 2**31), (34675, 7, 2**30, 2**31), (700, 1, 2**30, 2**31)),
        GREY,
    ),
    "TIFF with tags of wrong types": (tiff_with((282, 2, 4, 0), (296, 5, 1, 2**31), (306, 99, 7, 7)), GREY),
    "TIFF with tags cut short": (tiff_with((270, 2, 2**31, 500), (305, 2, 99, 2**31)), GREY),
    "TIFF with a next page that is not there": (tiff_with(following=2**31), GREY),
}
if "AVIF" in filetypes.FORMATS:
    _camera = b"II*\0\x08\0\0\0\0\0\0\0\0\0"
    _shown = images.decode(encoded(PICTURE, "AVIF"))
    PARTS["AVIF with EXIF that is noise"] = (
        encoded(PICTURE, "AVIF", exif=b"Exif\0\0" + _camera).replace(_camera, b"noisy EXIF now"), _shown,
    )  # fmt: skip


@pytest.mark.parametrize("kind", PARTS)
def test_what_is_no_part_of_the_pixels_costs_no_photograph(kind: str) -> None:
    same_pixels(*PARTS[kind])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_format_is_turned_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    xmp = f'<rdf:Description tiff:Orientation="{orientation}"/>'.encode()
    raw = f"\nexif\n      26\n{orientation_of(SHORT, 1, orientation).hex()}\n".encode()
    same_pixels(tiff_with((274, SHORT, 1, orientation)), GREY, orientation)
    same_pixels(encoded(GREY, "TIFF", exif=exif, compression="tiff_lzw", big_tiff=True), GREY, orientation)
    same_pixels(webp_with((b"EXIF", exif.tobytes())), PICTURE, orientation)
    same_pixels(webp_with((b"XMP ", xmp)), PICTURE, orientation)
    same_pixels(with_chunks(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)), PICTURE, orientation)
    same_pixels(with_chunks(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw))), PICTURE, orientation)
    same_pixels(PLAIN_PNG[:-12] + chunk(b"eXIf", exif.tobytes()[6:]) + PLAIN_PNG[-12:], PICTURE, orientation)
    plain = images.decode(with_segments())
    same_pixels(with_segments(formats.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)), plain, orientation)
    if "AVIF" in filetypes.FORMATS:
        same_pixels(encoded(PICTURE, "AVIF", exif=exif), images.decode(encoded(PICTURE, "AVIF")), orientation)


@given(st.integers(0, 2**32), st.binary(max_size=60), st.booleans())
def test_noise_among_the_segments_of_metadata_changes_nothing(seed: int, noise: bytes, keeps_marker: bool) -> None:
    """A sound file's metadata may hold anything at all."""
    whole = encoded(PICTURE, "JPEG", exif=orientation_exif(), icc_profile=b"profile" * 99, comment=b"a cat")
    random = np.random.default_rng(seed)
    at = 2
    spoilt = whole[:2]
    while whole[at + 1] != 0xDA:
        length = int.from_bytes(whole[at + 2 : at + 4], "big")
        data = bytearray(whole[at : at + 2 + length])
        if whole[at + 1] in (0xE1, 0xE2, 0xFE):
            place = 4 + (6 if keeps_marker and whole[at + 1] == 0xE1 else 0)
            start = int(random.integers(place, len(data)))
            data[start : start + len(noise)] = noise[: len(data) - start]
        spoilt += bytes(data)
        at += 2 + length
    found = images.decode(spoilt + whole[at:])
    assert sorted(found.size) == sorted(PICTURE.size)


def orientation_exif() -> bytes:
    return b"Exif\0\0" + exif_of((274, SHORT, 1, 6), (37500, UNDEFINED, 40, 50), data=bytes(60))

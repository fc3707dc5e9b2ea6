import io
import struct
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from catsdogs.errors import UnreadablePhotographError
from catsdogs.photographs import filetypes, images
from catsdogs.web import uploads
from tests.conftest import jpeg
from tests.support import hostile

RED, WHITE = (220, 30, 40), (255, 255, 255)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims to be of any size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded(Image.new("RGB", (8, 8), RED), "PNG"), RED),
        (encoded(Image.new("L", (8, 8), 77), "PNG"), (77, 77, 77)),
        (encoded(Image.new("1", (8, 8), 1), "PNG"), WHITE),
        (encoded(Image.new("RGB", (8, 8), RED).quantize(4), "GIF"), RED),
        (encoded(Image.new("RGBA", (8, 8), (*RED, 255)), "PNG"), RED),
        (encoded(Image.new("RGBA", (8, 8), (*RED, 0)), "PNG"), WHITE),
        (encoded(Image.new("LA", (8, 8), (10, 0)), "PNG"), WHITE),
        (encoded(Image.fromarray(np.full((8, 8), 0x4D4D, np.uint16)), "PNG"), (77, 77, 77)),
        (encoded(Image.fromarray(np.full((8, 8), 77, np.float32)), "TIFF"), (77, 77, 77)),
        (encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), (255, 0, 0)),
        (
            encoded(
                Image.new("RGB", (8, 8), RED), "GIF", save_all=True, append_images=[Image.new("RGB", (8, 8), "blue")]
            ),
            RED,
        ),
    ],
    ids=[
        "rgb",
        "grey",
        "bilevel",
        "palette",
        "opaque",
        "transparent",
        "grey-alpha",
        "16-bit",
        "float",
        "cmyk",
        "animated",
    ],
)
def test_every_mode_becomes_rgb(data: bytes, expected: tuple[int, int, int]) -> None:
    image = images.decode(data)
    assert (image.mode, image.size) == ("RGB", (8, 8))
    assert np.abs(np.asarray(image, int) - expected).max() <= 2


def test_formats_that_no_data_set_holds_are_not_tried() -> None:
    """Pillow would start Ghostscript for an EPS file, whatever its name."""
    for format in ("EPS", "PPM", "TGA", "ICO", "PDF"):
        with pytest.raises(UnreadablePhotographError, match="not a picture"):
            images.decode(encoded(Image.new("RGB", (64, 48), RED), format))


def test_size_needs_no_more_than_the_header() -> None:
    assert images.dimensions(png_header(5000, 4000)) == (5000, 4000)
    with pytest.raises(UnreadablePhotographError, match="more than"):
        images.dimensions(png_header(50_000, 50_000))


@pytest.mark.parametrize(
    ("width", "height", "shown"), [(400, 200, (100, 50)), (30, 60, (30, 60)), (90, 3000, (3, 100))]
)
def test_a_thumbnail_fits_its_square_and_is_never_enlarged(width: int, height: int, shown: tuple[int, int]) -> None:
    with Image.open(io.BytesIO(images.thumbnail(jpeg(1, (width, height)), 100))) as small:
        assert (small.format, small.size) == ("JPEG", shown)


def test_exif_orientation_is_applied() -> None:
    upright = Image.new("RGB", (30, 20), "black")
    upright.paste(RED, (0, 0, 30, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to show it upright
    data = encoded(upright.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    assert np.array_equal(np.asarray(images.decode(data)), np.asarray(upright))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"this is text", "not a picture"),
        (jpeg(0)[:-200], "truncated"),
        (jpeg(0)[:40], "damaged|not a picture"),
        (png_header(60_000, 60_000), "pixels, more than|more than .* pixels"),
        (png_header(12_000, 12_000), "12000 x 12000 pixels"),
    ],
    ids=["zero-bytes", "text", "truncated", "stub", "bomb", "large"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_cannot_be_decoded_has_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadablePhotographError, match=reason):
        images.decode(data)


@given(st.binary(max_size=400), st.integers(0, 900), st.booleans())
def test_damaged_bytes_never_escape(noise: bytes, at: int, keep_tail: bool) -> None:
    whole = jpeg(1)
    at %= len(whole)
    data = whole[:at] + noise + (whole[at + len(noise) :] if keep_tail else b"")
    try:
        assert images.decode(data).mode == "RGB"
    except UnreadablePhotographError as error:
        assert error.reason


@pytest.mark.parametrize("is_compiled", [True, False])
def test_resizing_is_antialiased_and_keeps_the_whole_picture(
    monkeypatch: pytest.MonkeyPatch, is_compiled: bool
) -> None:
    """Also where the compiled resizer has no wheel."""
    monkeypatch.setattr(images, "_HAS_COMPILED_RESIZER", is_compiled and images._HAS_COMPILED_RESIZER)
    checks = Image.fromarray((np.indices((400, 300)).sum(0) % 2 * 255).astype(np.uint8)).convert("RGB")
    pixels = images.load(encoded(checks, "PNG"), [50, 20])
    assert {size: array.shape for size, array in pixels.by_size.items()} == {50: (50, 50, 3), 20: (20, 20, 3)}
    assert all(np.abs(array.astype(int) - 127).max() < 8 for array in pixels.by_size.values())
    halves = Image.new("RGB", (301, 100), "black")
    halves.paste("white", (150, 0, 301, 100))
    left, right = images.load(encoded(halves, "PNG"), [10]).by_size[10][:, [0, -1], 0].T
    assert left.max() < 5 and right.min() > 250


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 64))
def test_resizing_agrees_with_pillow(width: int, height: int, size: int) -> None:
    picture = images.decode(jpeg(7, (120, 90))).resize((width, height))
    ours = images.load(encoded(picture, "PNG"), [size]).by_size[size].astype(int)
    theirs = np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC), int)
    assert np.abs(ours - theirs).mean() < 1


def test_rows_say_which_resizer_made_them() -> None:
    code = (
        "import importlib.util, sys; find = importlib.util.find_spec;"
        "importlib.util.find_spec = lambda name: None if name == 'cykooz_resizer' else find(name);"
        "from catsdogs.photographs import images; print(images.RESIZE_FILTER)"
    )
    without = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert without == "catmull-rom of Pillow"
    if images._HAS_COMPILED_RESIZER:
        assert images.RESIZE_FILTER == "catmull-rom"


def test_large_jpegs_are_decoded_small_and_look_the_same() -> None:
    large = images.decode(jpeg(5)).resize((1600, 1200), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = large.transpose(Image.Transpose.ROTATE_90)
    for data in (encoded(large, "JPEG"), encoded(turned, "JPEG", exif=exif)):
        small, whole = images.load(data, [100, 224]), images.decode(data)
        assert whole.size == (1600, 1200) and small.statistics[:2].tolist() == [1600, 1200]
        assert np.abs(small.statistics - images.statistics(whole))[2] < 1
        for size, array in small.by_size.items():
            expected = np.asarray(whole.resize((size, size), Image.Resampling.BICUBIC), int)
            assert np.abs(array - expected).max() <= 8 and np.abs(array - expected).mean() < 1


def test_load_decodes_no_more_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    data, decoded = jpeg(5, (1600, 1200)), []
    resize = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda image, *rest: decoded.append(image.size) or resize(image, *rest))
    images.load(data, [100])
    assert set(decoded) == {(400, 300)}  # a quarter: an eighth would be less than twice the side


def test_statistics_tell_a_blank_from_a_photograph() -> None:
    assert images.STATISTICS == ("width", "height", "contrast", "colours")
    assert images.statistics(Image.new("RGB", (33, 44), RED)).tolist() == pytest.approx([33, 44, 0, 1], abs=1e-6)
    _, _, contrast, colours = images.statistics(images.decode(jpeg(3, (300, 200))))
    assert contrast > 20 and colours > 200


def test_digest_is_blake2b_of_the_bytes() -> None:
    # python3 -c "import hashlib; print(hashlib.blake2b(b'abc', digest_size=8).hexdigest())"
    assert images.digest(b"abc").to_bytes(8, "little").hex() == "d8bb14d833d59559"


def test_in_parallel_keeps_order_and_bounds_what_waits() -> None:
    started, lock, consumed, ahead = [], threading.Lock(), 0, 5

    def work(number: int) -> int:
        with lock:
            started.append(number)
        return number * number

    results = images.in_parallel(work, range(100), ahead)
    for number, result in enumerate(results):
        assert result == number * number
        consumed += 1
        assert len(started) <= consumed + ahead
    assert consumed == 100


def test_in_parallel_uses_as_many_threads_as_it_is_told() -> None:
    names = images.in_parallel(lambda _: threading.current_thread().name, range(50), 50, threads=1)
    assert len(set(names)) == 1


def test_in_parallel_raises_what_the_work_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        list(images.in_parallel(lambda number: 1 / number, [1, 0, 2], 2))


# What is no part of the pixels. A sound file must show the same picture with any of it, whole, broken or cut short.

SHORT, ASCII, RATIONAL, UNDEFINED = 3, 2, 5, 7
chunk, MEGABYTE = hostile.chunk, hostile.MEGABYTE


def exif_of(*entries: tuple[int, int, int, int], data: bytes = b"", following: int = 0) -> bytes:
    return hostile.tiff(entries, data, following)


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
    return hostile.webp((b"VP8X", canvas), (plain[12:16], plain[20 : 20 + length]), *chunks)


def same_pixels(data: bytes, wanted: Image.Image, orientation: int = 1) -> None:
    """The whole picture, upright, at full size and in a small one, with its true size."""
    turned = Image.Exif()
    turned[274] = orientation
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(wanted.convert("RGB"), "PNG", exif=turned))))
    assert np.array_equal(np.asarray(images.decode(data)), np.asarray(upright))
    pixels = images.load(data, {16})
    assert pixels.statistics[:2].tolist() == list(upright.size)
    assert images.thumbnail(data, 20)
    uploads.check_upload(data)


@pytest.mark.parametrize("kind", EXIF)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_of_exif_only_the_orientation_is_asked(format: str, kind: str) -> None:
    exif, orientation = EXIF[kind]
    if format == "JPEG":
        data, wanted = with_segments(hostile.segment(0xE1, b"Exif\0\0" + exif)), images.decode(with_segments())
    elif format == "PNG":
        data, wanted = with_chunks(hostile.chunk(b"eXIf", exif)), PICTURE
    else:
        data, wanted = webp_with((b"EXIF", exif)), PICTURE
    same_pixels(data, wanted, orientation)


def tiff_with(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
    pixels = GREY.tobytes()
    layout = hostile.grey(*GREY.size, hostile.RAW, strip_offset=1000, strip_bytes=len(pixels))
    return hostile.tiff([*layout, *entries], following=following).ljust(1000, b"\0") + pixels


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
    "JFIF cut short": hostile.segment(0xE0, b"JFIF\0"),
    "JFIF of nothing": hostile.segment(0xE0),
    "a thumbnail of no picture": hostile.segment(0xE0, b"JFXX\0\x10\xff\xd8\xff"),
    "Adobe cut short": hostile.segment(0xEE, b"Adobe"),
    "a profile in parts that are not there": hostile.segment(0xE2, b"ICC_PROFILE\0\7\3cut"),
    "a profile cut short": hostile.segment(0xE2, b"ICC_PROFILE\0"),
    "a directory of pictures that is noise": hostile.segment(0xE2, b"MPF\0" + bytes(range(200))),
    "XMP that is no text": hostile.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta \xff\xfe"),
    "IPTC cut short": hostile.segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\xff\xff\x1c\x02"),
    "Photoshop's resolution cut short": hostile.segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\x10\0"),
    "a comment that is no text": hostile.segment(0xFE, b"\xff\xfe\0"),
    "three thousand comments": hostile.segment(0xFE, b"a cat") * 3000,
    "a segment shorter than its length": b"\xff\xe5\0\0",
    "padding": b"\xff" * 5000,
    "EXIF of a camera twice": hostile.segment(0xE1, b"Exif\0\0" + EXIF["noise"][0]) * 2,
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
        with_segments().replace(b"\xff\xc0", hostile.segment(0xFE, b"a cat") + b"\xff\xc0"),
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
if "AVIF" in images.FORMATS:
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
    same_pixels(with_segments(hostile.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)), plain, orientation)
    if "AVIF" in images.FORMATS:
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


# Samples of other kinds, as arrays whose first corner is black and last corner white.

RAMP = np.linspace(0, 1, 48 * 64).reshape(48, 64)


def tiff_of(samples: np.ndarray, kind: int, bits: int = 0) -> bytes:
    """A grey TIFF of these samples: unsigned are 1, signed 2, floats 3."""
    pixels = samples.tobytes()
    height, width = samples.shape
    layout = hostile.grey(width, height, hostile.RAW, strip_offset=1000, strip_bytes=len(pixels), rows_per_strip=height)
    layout = [entry for entry in layout if entry[0] != 258]
    return (
        hostile.tiff([*layout, (258, SHORT, 1, bits or 8 * samples.itemsize), (339, SHORT, 1, kind)]).ljust(1000, b"\0")
        + pixels
    )


def scaled(most: float, kind: str, least: float = 0) -> np.ndarray:
    return (least + RAMP * (most - least)).astype(kind)


DEPTHS = {
    "16 bits, PNG": lambda: encoded(Image.fromarray(scaled(65535, "u2")), "PNG"),
    "16 bits, TIFF": lambda: tiff_of(scaled(65535, "<u2"), 1),
    "16 bits, JPEG 2000": lambda: encoded(Image.fromarray(scaled(65535, "u2")), "JPEG2000"),
    "32 bits": lambda: tiff_of(scaled(2**32 - 1, "<u4"), 1),
    "32 bits with a sign": lambda: tiff_of(scaled(2**31 - 1, "<i4"), 2),
    "8 bits in 32": lambda: tiff_of(scaled(255, "<u4"), 1),
    "16 bits in 32": lambda: tiff_of(scaled(65535, "<i4"), 2),
    "floats to 1": lambda: tiff_of(scaled(1, "<f4"), 3),
    "floats to 255": lambda: tiff_of(scaled(255, "<f4"), 3),
    "floats to 65,535": lambda: tiff_of(scaled(65535, "<f4"), 3),
    "floats around 0": lambda: tiff_of(scaled(1, "<f4", -1), 3),
    "floats far beyond": lambda: tiff_of(scaled(1e30, "<f4"), 3),
}


@pytest.mark.parametrize("kind", DEPTHS)
def test_samples_of_any_range_become_grey_levels(kind: str) -> None:
    if "JPEG 2000" in kind and "JPEG2000" not in images.FORMATS:
        pytest.skip("this Pillow does not read JPEG 2000")
    found = np.asarray(images.decode(DEPTHS[kind]()), int)
    assert np.abs(found - 255 * RAMP[..., None]).max() <= 1


def test_samples_that_are_no_numbers_are_no_damage() -> None:
    samples = scaled(1, "<f4")
    samples[0, 1], samples[0, 2], samples[0, 3] = np.nan, np.inf, -np.inf
    found = np.asarray(images.decode(tiff_of(samples, 3)))[..., 0]
    assert found[0, 1:4].tolist() == [0, 255, 0] and found[-1, -1] == 255
    assert np.asarray(images.decode(tiff_of(np.zeros((4, 4), "<f4"), 3))).max() == 0
    assert np.asarray(images.decode(tiff_of(np.full((4, 4), np.nan, "<f4"), 3))).max() == 0


def ycck() -> bytes:
    """A CMYK JPEG as Adobe's programs write it: inverted, and turned into luma and chroma."""
    luma = Image.merge(
        "CMYK", (*Image.new("RGB", (8, 8), (0, 255, 255)).convert("YCbCr").split(), Image.new("L", (8, 8)))
    )
    plain = encoded(luma, "JPEG", quality=100, subsampling=0)
    at = plain.index(b"Adobe") + 11
    return plain[:at] + b"\2" + plain[at + 1 :]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
        (encoded(Image.new("LAB", (8, 8), (255, 128, 128)), "TIFF"), WHITE),
        (encoded(Image.new("YCbCr", (8, 8), (76, 85, 255)), "JPEG", quality=100), (254, 0, 0)),
        (encoded(Image.new("RGBA", (8, 8), (*RED, 0)).quantize(), "PNG"), WHITE),
        (encoded(Image.new("P", (8, 8), 0), "PNG", transparency=0), WHITE),
        (encoded(Image.new("L", (8, 8), 9), "PNG", transparency=9), WHITE),
        (encoded(Image.new("RGB", (8, 8), RED), "PNG", transparency=RED), WHITE),
        (encoded(Image.new("RGBA", (8, 8), (*RED, 0)), "WEBP", lossless=True), WHITE),
        (encoded(Image.new("RGBA", (8, 8), (*RED, 255)), "TIFF"), RED),
        (encoded(Image.new("1", (8, 8), 1), "TIFF", compression="group4"), WHITE),
    ],
    ids=[
        "cmyk",
        "lab",
        "ycbcr",
        "palette-alpha",
        "palette-colour",
        "grey-colour",
        "rgb-colour",
        "webp-alpha",
        "tiff-alpha",
        "fax",
    ],
)
def test_other_modes_become_rgb(data: bytes, expected: tuple[int, int, int]) -> None:
    assert np.abs(np.asarray(images.decode(data), int) - expected).max() <= 4


def test_ycck_is_told_by_adobes_segment() -> None:
    with Image.open(io.BytesIO(ycck())) as image:
        assert image.mode == "CMYK"
        expected = np.asarray(image.convert("RGB"), int)
    assert np.abs(np.asarray(images.decode(ycck()), int) - expected).max() == 0


@pytest.mark.parametrize("format", ["AVIF", "JPEG2000"])
def test_formats_of_this_pillow_are_read(format: str) -> None:
    if format not in images.FORMATS:
        pytest.skip(f"this Pillow does not read {format}")
    data = encoded(PICTURE.resize((640, 480)), format)
    assert np.abs(np.asarray(images.decode(data), int) - np.asarray(PICTURE.resize((640, 480)), int)).mean() < 4


def test_a_large_jpeg_2000_is_refused_by_its_header() -> None:
    if "JPEG2000" not in images.FORMATS:
        pytest.skip("this Pillow does not read JPEG 2000")
    small = encoded(Image.new("L", (100, 100)), "JPEG2000", no_jp2=True)
    at = small.index(b"\xff\x51") + 6
    large = small[:at] + struct.pack(">II", 9000, 9000) + small[at + 8 :]
    with pytest.raises(UnreadablePhotographError, match="81,000,000 pixels, more than the 25,000,000"):
        images.decode(large)
    shattered = small[: at + 16] + struct.pack(">II", 1, 1) + small[at + 24 :]
    with pytest.raises(UnreadablePhotographError, match="too many pieces"):
        images.decode(shattered)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(400)


def test_a_phones_pictures_say_what_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under whatever name, as phones send them as .jpg, too."""
    if filetypes.READS_HEIF:
        monkeypatch.setattr(filetypes, "READS_HEIF", False)
        monkeypatch.setattr(images, "formats", lambda: images.FORMATS)
    with pytest.raises(UnreadablePhotographError, match="pip install pillow-heif"):
        images.decode(HEIC)


@pytest.mark.optional("pillow_heif")
def test_a_phones_pictures_are_read_by_pillow_heif() -> None:
    buffer = io.BytesIO()
    import pillow_heif

    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[274] = 6
    PICTURE.save(buffer, "HEIF", quality=100, exif=exif)
    found = images.decode(buffer.getvalue())
    wanted = ImageOps.exif_transpose(Image.open(buffer)).convert("RGB")
    assert found.size == wanted.size and np.abs(np.asarray(found, int) - np.asarray(wanted, int)).mean() < 4

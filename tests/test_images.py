import io
import struct
import threading
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from catsdogs import images
from catsdogs.errors import UnreadablePhotographError
from tests.conftest import jpeg

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
    assert images.size(png_header(5000, 4000)) == (5000, 4000)
    with pytest.raises(UnreadablePhotographError, match="more than"):
        images.size(png_header(50_000, 50_000))


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


def test_resizing_is_antialiased_and_keeps_the_whole_picture() -> None:
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

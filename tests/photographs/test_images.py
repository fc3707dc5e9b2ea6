"""Pictures decoded from every format and mode, resized and measured."""

import io
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from catsdogs.errors import UnreadablePhotographError
from catsdogs.photographs import filetypes, fitting, images, resizing
from catsdogs.photographs.fitting import Fit
from tests.support import formats
from tests.support.datasets import jpeg
from tests.support.formats import chunk, encoded, png, zeros

RED, WHITE = (220, 30, 40), (255, 255, 255)
PICTURE = images.decode(jpeg(3, (60, 40)))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims to be of any size and holds next to nothing."""
    return png(width, height, chunk(b"IDAT", zeros(99)), chunk(b"IEND"))


MODES = {
    "rgb": (encoded(Image.new("RGB", (8, 8), RED), "PNG"), RED),
    "grey": (encoded(Image.new("L", (8, 8), 77), "PNG"), (77, 77, 77)),
    "bilevel": (encoded(Image.new("1", (8, 8), 1), "PNG"), WHITE),
    "palette": (encoded(Image.new("RGB", (8, 8), RED).quantize(4), "GIF"), RED),
    "opaque": (encoded(Image.new("RGBA", (8, 8), (*RED, 255)), "PNG"), RED),
    "transparent": (encoded(Image.new("RGBA", (8, 8), (*RED, 0)), "PNG"), WHITE),
    "grey-alpha": (encoded(Image.new("LA", (8, 8), (10, 0)), "PNG"), WHITE),
    "16-bit": (encoded(Image.fromarray(np.full((8, 8), 0x4D4D, np.uint16)), "PNG"), (77, 77, 77)),
    "float": (encoded(Image.fromarray(np.full((8, 8), 77, np.float32)), "TIFF"), (77, 77, 77)),
    "cmyk": (encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), (255, 0, 0)),
    "animated": (
        encoded(Image.new("RGB", (8, 8), RED), "GIF", save_all=True, append_images=[Image.new("RGB", (8, 8), "blue")]),
        RED,
    ),
}


@pytest.mark.parametrize(("data", "expected"), MODES.values(), ids=MODES)
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
    monkeypatch.setattr(resizing, "HAS_COMPILED_RESIZER", is_compiled and fitting.HAS_COMPILED_RESIZER)
    checks = Image.fromarray((np.indices((400, 300)).sum(0) % 2 * 255).astype(np.uint8)).convert("RGB")
    pixels = images.load(encoded(checks, "PNG"), [Fit(50), Fit(20)]).by_fit
    assert {fit.size: array.shape for fit, array in pixels.items()} == {50: (1, 50, 50, 3), 20: (1, 20, 20, 3)}
    assert all(np.abs(array.astype(int) - 127).max() < 8 for array in pixels.values())
    halves = Image.new("RGB", (301, 100), "black")
    halves.paste("white", (150, 0, 301, 100))
    left, right = images.square(encoded(halves, "PNG"), 10)[:, [0, -1], 0].T
    assert left.max() < 5 and right.min() > 250


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 64))
def test_resizing_agrees_with_pillow(width: int, height: int, size: int) -> None:
    picture = images.decode(jpeg(7, (120, 90))).resize((width, height))
    ours = images.square(encoded(picture, "PNG"), size).astype(int)
    expected = np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC), int)
    assert np.abs(ours - expected).mean() < 1


def test_rows_say_which_resizer_made_them() -> None:
    code = (
        "import importlib.util, sys; find = importlib.util.find_spec;"
        "importlib.util.find_spec = lambda name: None if name == 'cykooz_resizer' else find(name);"
        "from catsdogs.photographs.fitting import Fit; print(Fit(9).resize_filter)"
    )
    without = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert without == "catmull-rom of Pillow"
    if fitting.HAS_COMPILED_RESIZER:
        assert Fit(9).resize_filter == "catmull-rom"


def test_large_jpegs_are_decoded_small_and_look_the_same() -> None:
    large = images.decode(jpeg(5)).resize((1600, 1200), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = large.transpose(Image.Transpose.ROTATE_90)
    for data in (encoded(large, "JPEG"), encoded(turned, "JPEG", exif=exif)):
        small, whole = images.load(data, [Fit(100), Fit(224)]), images.decode(data)
        assert whole.size == (1600, 1200) and small.statistics[:2].tolist() == [1600, 1200]
        assert np.abs(small.statistics - images.statistics(np.asarray(whole)))[2] < 1
        for fit, (array,) in small.by_fit.items():
            expected = np.asarray(whole.resize((fit.size, fit.size), Image.Resampling.BICUBIC), int)
            assert np.abs(array - expected).max() <= 8 and np.abs(array - expected).mean() < 1


def test_load_decodes_no_more_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    data, decoded = jpeg(5, (1600, 1200)), []
    squares = images.squares
    monkeypatch.setattr(images, "squares", lambda pixels, fit: decoded.append(pixels.shape) or squares(pixels, fit))
    images.load(data, [Fit(100)])
    images.load(data, [Fit(100)], side=300)
    assert decoded == [(300, 400, 3), (600, 800, 3)]  # an eighth would be less than twice the side


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from(("RGB", "L", "CMYK")),
    st.booleans(),
    st.sampled_from((0, 1, 2, "keep RGB")),
    st.integers(5, 100),
    st.integers(0, 9),
    st.sampled_from((2, 7, 40)),
)
def test_a_jpegs_pixels_are_those_of_pillow(
    width: int,
    height: int,
    mode: str,
    progressive: bool,
    subsampling: int | str,
    quality: int,
    orientation: int,
    side: int,
) -> None:
    """Bit for bit, turned upright: rows computed before simplejpeg decoded them stay what they are."""
    noise = np.random.default_rng(quality).integers(0, 256, (height // 3 + 1, width // 3 + 1, 3), np.uint8)
    picture = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": quality, "exif": exif, "progressive": progressive}
    colours = {"keep_rgb": True} if subsampling == "keep RGB" else {"subsampling": subsampling}
    data = encoded(picture, "JPEG", **options, **({} if mode == "L" else colours))
    theirs, size = images._decode(data, side)
    ours, our_size = images._decode_array(data, side)
    assert our_size == size and np.array_equal(ours, np.asarray(theirs))
    by_pillow = np.asarray(theirs.resize((64, 64), Image.Resampling.NEAREST))
    contrast, occurring = (
        (by_pillow @ np.array([0.299, 0.587, 0.114])).std(),
        len(np.unique(by_pillow.reshape(-1, 3) // 8, axis=0)),
    )
    assert images.statistics(ours, size).tolist() == np.array([*size, contrast, occurring], np.float32).tolist()


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_a_damaged_jpeg_is_what_pillow_makes_of_it(share: float) -> None:
    whole = jpeg(3, (300, 200))
    data = whole[: int(len(whole) * share)]
    with pytest.raises(UnreadablePhotographError) as theirs:
        images.decode(data)
    with pytest.raises(UnreadablePhotographError) as ours:
        images.load(data, [Fit(32)])
    assert ours.value.reason == theirs.value.reason


def test_statistics_tell_a_blank_from_a_photograph() -> None:
    assert images.STATISTICS == ("width", "height", "contrast", "colours")
    assert images.statistics(np.full((44, 33, 3), RED, np.uint8)).tolist() == pytest.approx([33, 44, 0, 1], abs=1e-6)
    _, _, contrast, colours = images.statistics(np.asarray(images.decode(jpeg(3, (300, 200)))))
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


# Samples of other kinds, as arrays whose first corner is black and last corner white.

RAMP = np.linspace(0, 1, 48 * 64).reshape(48, 64)


def tiff_of(samples: np.ndarray, kind: int, bits: int = 0) -> bytes:
    """A grey TIFF of these samples: unsigned are 1, signed 2, floats 3."""
    pixels = samples.tobytes()
    height, width = samples.shape
    layout = formats.grey(width, height, formats.RAW, strip_offset=1000, strip_bytes=len(pixels), rows_per_strip=height)
    layout = [entry for entry in layout if entry[0] != 258]
    return (
        formats.tiff(
            [*layout, (258, formats.SHORT, 1, bits or 8 * samples.itemsize), (339, formats.SHORT, 1, kind)]
        ).ljust(1000, b"\0")
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
    if "JPEG 2000" in kind and "JPEG2000" not in filetypes.FORMATS:
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


OTHER_MODES = {
    "cmyk": (encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
    "lab": (encoded(Image.new("LAB", (8, 8), (255, 128, 128)), "TIFF"), WHITE),
    "ycbcr": (encoded(Image.new("YCbCr", (8, 8), (76, 85, 255)), "JPEG", quality=100), (254, 0, 0)),
    "palette-alpha": (encoded(Image.new("RGBA", (8, 8), (*RED, 0)).quantize(), "PNG"), WHITE),
    "palette-colour": (encoded(Image.new("P", (8, 8), 0), "PNG", transparency=0), WHITE),
    "grey-colour": (encoded(Image.new("L", (8, 8), 9), "PNG", transparency=9), WHITE),
    "rgb-colour": (encoded(Image.new("RGB", (8, 8), RED), "PNG", transparency=RED), WHITE),
    "webp-alpha": (encoded(Image.new("RGBA", (8, 8), (*RED, 0)), "WEBP", lossless=True), WHITE),
    "tiff-alpha": (encoded(Image.new("RGBA", (8, 8), (*RED, 255)), "TIFF"), RED),
    "fax": (encoded(Image.new("1", (8, 8), 1), "TIFF", compression="group4"), WHITE),
}


@pytest.mark.parametrize(("data", "expected"), OTHER_MODES.values(), ids=OTHER_MODES)
def test_other_modes_become_rgb(data: bytes, expected: tuple[int, int, int]) -> None:
    assert np.abs(np.asarray(images.decode(data), int) - expected).max() <= 4


def test_ycck_is_told_by_adobes_segment() -> None:
    with Image.open(io.BytesIO(ycck())) as image:
        assert image.mode == "CMYK"
        expected = np.asarray(image.convert("RGB"), int)
    assert np.abs(np.asarray(images.decode(ycck()), int) - expected).max() == 0


@pytest.mark.parametrize("format", ["AVIF", "JPEG2000"])
def test_formats_of_this_pillow_are_read(format: str) -> None:
    if format not in filetypes.FORMATS:
        pytest.skip(f"this Pillow does not read {format}")
    data = encoded(PICTURE.resize((640, 480)), format)
    assert np.abs(np.asarray(images.decode(data), int) - np.asarray(PICTURE.resize((640, 480)), int)).mean() < 4


def test_a_large_jpeg_2000_is_refused_by_its_header() -> None:
    if "JPEG2000" not in filetypes.FORMATS:
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
        monkeypatch.setattr(images, "formats", lambda: filetypes.FORMATS)
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

"""Bytes -> pixels: decode any photograph to upright RGB, and resize it with antialiasing, on all cores."""

import contextlib
import functools
import hashlib
import io
import re
import struct
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from catsdogs.errors import UnreadablePhotographError
from catsdogs.files.cores import usable
from catsdogs.photographs import filetypes, metadata
from catsdogs.photographs.fitting import Fit
from catsdogs.photographs.resizing import squares

MAX_PIXELS = Image.MAX_IMAGE_PIXELS or 89_478_485  # Pillow's own limit between a photograph and a bomb
_WHITES = {"F": (1, 255, 65535), "I": (255, 65535)}  # of samples that have no range of their own
STATISTICS = ("width", "height", "contrast", "colours")
_STATISTICS_GRID = 64
_COLOUR_LEVELS = 32
_BAND_PIXELS = 2**20
_SIMPLE_MODES = ("RGB", "L")  # of JPEGs; the others are CMYK
_LYING = 5  # EXIF's orientations from here on lie on their side
# EXIF's orientation -> an array (height, width, 3), turned upright.
_UPRIGHT_AGAIN: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, 3),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}

# Limits to what hostile bytes may cost. Each piece of a file, down to a byte of padding, is a turn of a Python loop in
# Pillow: ten megabytes of them take seconds. A segment of a JPEG takes three reads and holds up to 64 KB, a piece of a
# PNG's pixels takes three and holds 8 KB in most files, a run of a compressed BMP takes two.
_HEADER_READS = 2000
_PIXEL_READS = 50_000
_BYTES_A_READ = 2048  # so that PNGs of hundreds of megabytes, in pieces of the usual size, are read
# Each scan of a JPEG goes over the whole picture, and an empty one has ten bytes: a megabyte of them takes minutes.
# Progressive files have about ten. See D. Commander, "Two Issues with the JPEG Standard" (libjpeg-turbo.org), 2016.
_SCANNED_PIXELS = 1_500_000_000
_SCAN = b"\xff\xda\0"  # in coded pixels, a zero follows 0xFF
# OpenJPEG takes a second for six million pixels, and loops over tiles.
_JPEG2000_PIXELS = 25_000_000
_JPEG2000_TILES = 2**12
_JPEG2000_SIZES = re.compile(rb"\xff\x4f\xff\x51.{4}(.{32})", re.DOTALL)

# Pillow's warnings about odd EXIF data help nobody here: a photograph is read, or listed with a reason.
warnings.filterwarnings("ignore", module=r"PIL\.")

_Box = tuple[int, int, int, int]
Item = TypeVar("Item")
Result = TypeVar("Result")


class TooManyPixelsError(UnreadablePhotographError):
    """More pixels than `MAX_PIXELS`."""


@dataclass(frozen=True)
class Pixels:
    """One decoded photograph.

    Attributes:
        by_fit: fit -> uint8 array of shape (views, size, size, 3), RGB.
        statistics: float32 array of shape (4,), see `STATISTICS`: width and height in pixels; contrast, the standard
            deviation of the luminance in grey levels (0 to 127.5); colours, how many of 32³ colours occur on a grid
            of 64 x 64 points.
    """

    by_fit: dict[Fit, NDArray[np.uint8]]
    statistics: NDArray[np.float32]


def digest(data: bytes) -> int:
    """The 64-bit BLAKE2b digest of a file's bytes, by which a row is matched with its photograph."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def decode(data: bytes) -> Image.Image:
    """An upright RGB picture from the bytes of one of `formats()`; the first frame of an animation.

    EXIF orientation is applied and transparency laid on white. Samples become 8 bits: those of 16 bits have the range
    0 to 65,535. Integers of 32 bits and floats have the first of 0 to 1 (floats alone), 0 to 255 and 0 to 65,535 that
    holds all of a picture's samples; where none does, its largest sample is white, and zero or what is less is black.

    Raises:
        UnreadablePhotographError: no picture, cut short, or more than `MAX_PIXELS` pixels.
    """
    return _decode(data)[0]


def dimensions(data: bytes) -> tuple[int, int]:
    """Width and height in pixels, read from the header, before the picture is turned upright; nothing is decoded.

    Raises:
        UnreadablePhotographError: no picture, a damaged header, or more than `MAX_PIXELS` pixels.
    """
    with _open_picture(data) as (image, _, _):
        return image.size


def encode(image: Image.Image) -> bytes:
    """A BMP file of the upright RGB picture that `decode` would give of this one; equal pixels give equal bytes.

    Raises:
        UnreadablePhotographError: the picture's file is closed, cut short or damaged; or it has no pixels.
    """
    try:
        rgb = _to_rgb(image)
    except (AssertionError, AttributeError):  # Pillow's own, where the file is gone
        raise UnreadablePhotographError("its file was closed before its pixels were read") from None
    except (EOFError, OSError, SyntaxError, ValueError, struct.error) as error:  # Pillow reads when pixels are used
        raise UnreadablePhotographError(f"Pillow's picture has no pixels: {error}") from None
    orientation = metadata.exif_orientation(image.info.get("exif") or b"") or metadata.UPRIGHT
    pixels = _UPRIGHT_AGAIN.get(orientation, lambda same: same)(np.asarray(rgb))
    if not pixels.size:
        raise UnreadablePhotographError("Pillow's picture has no pixels")
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "BMP")
    return buffer.getvalue()


def thumbnail(data: bytes, side: int, quality: int = 80) -> bytes:
    """A JPEG of the upright picture, shrunk to fit a square of `side` pixels; a smaller picture keeps its size.

    Raises:
        UnreadablePhotographError: as `decode`.
    """
    image, _ = _decode(data, side)
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _decode(data: bytes, side: int | None = None) -> tuple[Image.Image, tuple[int, int]]:
    """The upright picture and its true size. A JPEG is decoded with no more pixels than resizing to `side` needs.

    A JPEG can be decoded at a half, a quarter or an eighth of its size, in a fraction of the time. At least twice the
    side is kept, so that the filter still does the antialiasing.
    """
    with _open_picture(data) as (image, orientation, _):
        width, height = image.size
        if side:
            image.draft(None, (2 * side, 2 * side))
        rgb = _to_rgb(image)
        if orientation != metadata.UPRIGHT:
            rgb.getexif()[ExifTags.Base.Orientation] = orientation
            ImageOps.exif_transpose(rgb, in_place=True)
        return rgb, (width, height) if orientation < _LYING else (height, width)


def _decode_array(data: bytes, side: int) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The same as an array (height, width, 3), in two thirds of the time where the file is an ordinary JPEG."""
    with _open_picture(data) as (image, orientation, stripped):
        width, height = image.size
        image.draft(None, (2 * side, 2 * side))
        pixels = _jpeg_array(stripped, image)
        if pixels is None:
            pixels = np.asarray(_to_rgb(image))
        size = (width, height) if orientation < _LYING else (height, width)
        return _UPRIGHT_AGAIN.get(orientation, lambda same: same)(pixels), size


def _jpeg_array(data: bytes, image: Image.Image) -> NDArray[np.uint8] | None:
    """A JPEG at the size that `image` is drafted to, decoded by libjpeg-turbo without Pillow's buffers and copies.

    None where Pillow is to decode it: other formats and colours, and files that are not wholly right, of which Pillow
    reads what there is, or says what is wrong. The pixels are those of Pillow, which has the same library inside.
    """
    if image.format != "JPEG" or image.mode not in _SIMPLE_MODES:
        return None
    try:
        pixels = simplejpeg.decode_jpeg(data, min_width=image.width, min_height=image.height, strict=True)
    except (ValueError, TypeError):
        return None
    return pixels if pixels.shape == (image.height, image.width, 3) else None


@functools.cache
def formats() -> tuple[str, ...]:
    """`filetypes.FORMATS`, and HEIF where pillow-heif is installed."""
    if not filetypes.READS_HEIF:
        return filetypes.FORMATS
    import pillow_heif

    pillow_heif.register_heif_opener()
    return (*filetypes.FORMATS, "HEIF")


@contextlib.contextmanager
def _open_picture(data: bytes) -> Iterator[tuple[Image.Image, int, bytes]]:
    """The picture, of which only the header has been read; its orientation; its bytes without metadata.

    All failures get a reason.
    """
    if not data:
        raise UnreadablePhotographError("the file is empty")
    try:
        data, orientation = metadata.strip_metadata(data)
        file = _Metered(data)
        with Image.open(file, formats=formats()) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise TooManyPixelsError(f"{width} x {height} pixels, more than {MAX_PIXELS:,}")
            if image.format == "JPEG" and data.count(_SCAN) * width * height > _SCANNED_PIXELS:
                raise UnreadablePhotographError("too many scans")
            if image.format == "JPEG2000":
                _refuse_large_jpeg2000(data, width * height)
            if image.format == "AVIF":  # Pillow turns its own orientation into EXIF
                orientation = metadata.exif_orientation(image.info.get("exif", b"")) or metadata.UPRIGHT
            file.reads = _PIXEL_READS + len(data) // _BYTES_A_READ
            yield image, orientation, data
    except UnreadablePhotographError:
        raise
    except Image.DecompressionBombError:
        raise TooManyPixelsError(f"more than {MAX_PIXELS:,} pixels") from None
    except Image.UnidentifiedImageError:
        raise UnreadablePhotographError(filetypes.reason_undecodable(data)) from None
    except Exception as error:  # hostile bytes make Pillow's decoders raise nearly anything
        raise UnreadablePhotographError(f"damaged: {str(error) or type(error).__name__}") from None


class _Metered(io.BytesIO):
    """A file in memory that can be read so often and no more."""

    reads = _HEADER_READS

    def read(self, size: int | None = -1) -> bytes:
        self.reads -= 1
        if self.reads < 0:
            raise UnreadablePhotographError("cut into too many pieces")
        return super().read(size)


def _refuse_large_jpeg2000(data: bytes, pixels: int) -> None:
    if pixels > _JPEG2000_PIXELS:
        raise UnreadablePhotographError(f"{pixels:,} pixels, more than the {_JPEG2000_PIXELS:,} of a JPEG 2000")
    for match in _JPEG2000_SIZES.finditer(data):
        right, bottom, _, _, across, down, _, _ = struct.unpack(">8I", match[1])
        if not across or not down or (right // across + 1) * (bottom // down + 1) > _JPEG2000_TILES:
            raise UnreadablePhotographError("cut into too many pieces")


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB of 8 bits, made band by band: each step from 16 bits or transparency takes as much memory as its input."""
    image.load()  # a PNG may name transparent colours behind its pixels
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    rgb = Image.new("RGB", image.size)
    width, height = image.size
    rows = max(1, _BAND_PIXELS // width)
    bands = [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]
    deep = image.mode == "F" or image.mode.startswith("I")
    black, white = _range(image, bands) if deep else (0, 255)
    for band in bands:
        part = image.crop(band)
        if deep:
            with np.errstate(invalid="ignore"):  # a float may be NaN, which becomes black
                samples = (_samples_of(image, band).astype(np.float64) - black) * (255 / (white - black))
            part = Image.fromarray(np.clip(np.nan_to_num(samples) + 0.5, 0, 255).astype(np.uint8))
        elif part.has_transparency_data:
            part = part.convert("RGBA")
            part = Image.alpha_composite(Image.new("RGBA", part.size, "white"), part)
        rgb.paste(part.convert("RGB"), band[:2])
    return rgb


def _range(image: Image.Image, bands: Iterable[_Box]) -> tuple[float, float]:
    """The sample values that become black and white, see `decode`."""
    if image.mode.startswith("I;16"):
        return 0, 4095 if _bits(image) == 12 else 65535
    least, most = 0.0, 0.0
    for band in bands:
        samples = _samples_of(image, band)
        samples = samples[np.isfinite(samples)]
        if samples.size:
            least, most = min(least, float(samples.min())), max(most, float(samples.max()))
    usual = [white for white in _WHITES[image.mode] if least == 0 and most <= white]
    return (0, usual[0]) if usual else (least, most)


def _samples_of(image: Image.Image, band: _Box) -> NDArray:
    samples = np.asarray(image.crop(band))
    tags = getattr(image, "tag_v2", {})
    # Pillow has no unsigned integers of 32 bits, and reads those of a TIFF as signed ones.
    is_unsigned = tags and _bits(image) == 32 and tags.get(ExifTags.Base.SampleFormat, (1,))[0] == 1
    return samples.view(np.uint32) if image.mode == "I" and is_unsigned else samples


def _bits(image: Image.Image) -> int:
    """Bits per sample of a TIFF; 0 for other pictures."""
    return int(getattr(image, "tag_v2", {}).get(ExifTags.Base.BitsPerSample, (0,))[0])


def load(data: bytes, fits: Iterable[Fit], side: int = 0) -> Pixels:
    """A photograph's bytes -> the squares of each fit.

    Args:
        side: the least number of pixels that a JPEG is decoded for, if that is more than the fits need.

    Raises:
        UnreadablePhotographError: as `decode`.
    """
    fits = set(fits)
    pixels, true_size = _decode_array(data, max(side, *(fit.enlarged for fit in fits)))
    return Pixels({fit: squares(pixels, fit) for fit in fits}, statistics(pixels, true_size))


def square(data: bytes, size: int) -> NDArray[np.uint8]:
    """A photograph's bytes -> the whole picture, squashed to a (size, size, 3) square; raises as `load`."""
    return squares(_decode_array(data, size)[0], Fit(size))[0]


def statistics(pixels: NDArray[np.uint8], size: tuple[int, int] | None = None) -> NDArray[np.float32]:
    """Figures that tell logos, blanks and thumbnails from photographs; see `Pixels.statistics`.

    Args:
        pixels: (height, width, 3) RGB, of the whole picture or a smaller one.
        size: width and height in pixels of the whole picture, where `pixels` is a smaller one.
    """
    # The points that Pillow takes for its nearest neighbours.
    places = (np.arange(_STATISTICS_GRID) + 0.5) / _STATISTICS_GRID
    rows, columns = ((places * length).astype(int) for length in pixels.shape[:2])
    grid = pixels[rows].take(columns, axis=1)
    contrast = (grid @ np.array([0.299, 0.587, 0.114])).std()  # ITU-R BT.601 luma
    red, green, blue = np.moveaxis(grid // (256 // _COLOUR_LEVELS), 2, 0).astype(np.uint16)
    occurs = np.zeros(_COLOUR_LEVELS**3, bool)
    occurs[(red * _COLOUR_LEVELS + green) * _COLOUR_LEVELS + blue] = True
    return np.array([*(size or pixels.shape[1::-1]), contrast, np.count_nonzero(occurs)], np.float32)


def in_parallel(
    work: Callable[[Item], Result], items: Iterable[Item], ahead: int, threads: int | None = None
) -> Iterator[Result]:
    """`map` on threads (None: one per core), in order; at most `ahead` results wait, so that memory stays bounded.

    Threads suffice: Pillow, zlib and the hash release the interpreter's lock while they work.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads or usable(), thread_name_prefix="loader") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

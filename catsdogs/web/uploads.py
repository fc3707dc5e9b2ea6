"""Checks uploads by their size in bytes and their header, before anything is decoded."""

from catsdogs.errors import UnreadablePhotographError
from catsdogs.photographs import images
from catsdogs.web.guard import Problem

MAX_UPLOAD_BYTES = 10 * 2**20
MAX_UPLOAD_PIXELS = 50_000_000
MAX_FILES = 10  # in one request
FORMATS_IN_WORDS = ", ".join([*images.formats()[6:], "JPEG, PNG, WebP, GIF, BMP or TIFF"])  # `images.formats` in words
# For a form's file dialogue.
ACCEPT = ",".join(f"image/{'jp2' if name == 'JPEG2000' else name.lower()}" for name in images.formats())
_TOO_MANY_PIXELS = f"This picture has more than {MAX_UPLOAD_PIXELS // 10**6} megapixels"


def check_upload(data: bytes) -> None:
    """Refuse what is too large, and what is no picture by its header; the rest may still turn out to be damaged.

    Raises:
        Problem: 413 for more than `MAX_UPLOAD_BYTES` or `MAX_UPLOAD_PIXELS`, 415 for none of `images.formats`.
    """
    if len(data) > MAX_UPLOAD_BYTES:
        raise Problem(413, f"This file has more than {MAX_UPLOAD_BYTES // 2**20} MB")
    try:
        width, height = images.dimensions(data)
    except images.TooManyPixelsError:
        raise Problem(413, _TOO_MANY_PIXELS) from None
    except UnreadablePhotographError as error:
        raise Problem(415, f"This is no {FORMATS_IN_WORDS} that can be read: {error.reason}") from None
    if width * height > MAX_UPLOAD_PIXELS:
        raise Problem(413, _TOO_MANY_PIXELS)

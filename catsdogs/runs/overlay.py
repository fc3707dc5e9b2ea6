"""A class activation map laid over its photograph: red speaks for what is explained, blue against it.

The photograph is grey, so that colour is the map's alone. The ends are those of ColorBrewer's RdBu, which the
colour-blind tell apart (https://colorbrewer2.org/#type=diverging&scheme=RdBu&n=11); 0 lets the photograph through.
"""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from catsdogs.photographs import images
from catsdogs.runs.explaining import Why

SIDE = 480  # pixels, of the longer side
AGAINST, FOR = (0x21, 0x66, 0xAC), (0xB2, 0x18, 0x2B)
_STRONGEST = 0.75  # how much of the photograph the strongest colour hides
_LEGEND = 40  # pixels, of the strip below


def paint(data: bytes, why: Why, side: int = SIDE) -> Image.Image:
    """The photograph of these bytes with the map over it; the strongest place of either sign has the full colour.

    Raises:
        UnreadablePhotographError: as `images.decode`.
    """
    photograph = Image.open(io.BytesIO(images.thumbnail(data, side, 95)))
    grey = np.asarray(photograph.convert("L"), np.float64)[..., np.newaxis]
    grey = np.broadcast_to(grey, (*grey.shape[:2], 3))
    shares = why.joint(photograph.width, photograph.height)[..., np.newaxis]
    strength = _STRONGEST * abs(shares) / max(float(abs(shares).max()), 1e-12)
    colour = np.where(shares > 0, np.array(FOR), np.array(AGAINST))
    return Image.fromarray(np.round(grey * (1 - strength) + colour * strength).astype(np.uint8))


def as_jpeg(data: bytes, why: Why, side: int) -> bytes:
    """See `paint`."""
    buffer = io.BytesIO()
    paint(data, why, side).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def as_png(data: bytes, why: Why) -> bytes:
    """See `paint`; with a strip below that says what the colours mean."""
    picture = paint(data, why)
    whole = Image.new("RGB", (max(picture.width, SIDE // 2), picture.height + _LEGEND), "white")
    whole.paste(picture)
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(13)
    for line, colour, words in ((0, FOR, "speaks for"), (1, AGAINST, "speaks against")):
        top = picture.height + 4 + 17 * line
        draw.rectangle((6, top + 1, 18, top + 13), fill=colour)
        draw.text((24, top), f"{words} {why.speaks_for}", "black", font)
    buffer = io.BytesIO()
    whole.save(buffer, "PNG")
    return buffer.getvalue()

"""A sheet shows photographs side by side: the colours and letters of such pictures, and a photograph in its box."""

from functools import cache

from PIL import Image, ImageDraw, ImageFont

GROUND, EMPTY, FRAME = "#ffffff", "#f1f1ef", "#d9d9d6"
INK, MUTED, ALARM = "#1d1d1f", "#68686d", "#b3261e"
font = cache(ImageFont.load_default)


def place(sheet: Image.Image, picture: Image.Image | None, left: int, top: int, box: tuple[int, int]) -> None:
    """Put a picture, if there is one, into the middle of an empty box of (width, height) pixels, shrunk to fit."""
    ImageDraw.Draw(sheet).rectangle((left, top, left + box[0] - 1, top + box[1] - 1), fill=EMPTY)
    if picture:
        picture.thumbnail(box)
        sheet.paste(picture, (left + (box[0] - picture.width) // 2, top + (box[1] - picture.height) // 2))

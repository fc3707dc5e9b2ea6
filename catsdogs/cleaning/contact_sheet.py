"""The suspects as one picture: a thumbnail of each with the reasons against it, most doubtful first."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw

from catsdogs.cleaning.suspect_table import OUTLIERS_FILE, Suspect
from catsdogs.errors import UnreadablePhotographError
from catsdogs.files.atomic import replacing
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset
from catsdogs.photographs.sheet import ALARM, FRAME, GROUND, INK, MUTED, font, place

CONTACT_SHEET_FILE = "outliers.png"
TILES = 60
TILES_ACROSS = 6
THUMBNAIL = (240, 180)  # pixels; larger pictures are shrunk to fit, smaller ones shown as they are
_TILE_GAP = 16
_SHEET_MARGIN = 28
_HEADING_SIZE, _ID_SIZE, _REASON_SIZE = 30, 17, 14
_LEADING = 1.3


class _Line(NamedTuple):
    """A line of text that fits its tile."""

    text: str
    size: int
    colour: str


_Tile = tuple[Image.Image | None, list[_Line]]  # a thumbnail, or None for what cannot be shown; the lines under it


def write_contact_sheet(path: Path, suspects: Sequence[Suspect], dataset: Dataset, tiles: int = TILES) -> None:
    """Draw the first `tiles` suspects, in the order given, into a PNG; a photograph that is gone leaves its tile empty.

    Raises:
        StoreError: the file cannot be written.
    """
    shown = list(images.in_parallel(lambda suspect: _tile(suspect, dataset), suspects[:tiles], ahead=tiles))
    sheet = _draw(shown, _heading(len(suspects), len(shown)))
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")


def _heading(suspects: int, shown: int) -> list[_Line]:
    head = f"{suspects:,} suspects" if suspects != 1 else "1 suspect"
    if suspects > shown:
        head += f", the {shown:,} most doubtful; {suspects - shown:,} more in {OUTLIERS_FILE}"
    legend = "label, score and votes for “no pet” · each network's best label and its probability · the reasons"
    return [_Line(head, _HEADING_SIZE, INK), _Line(legend, _ID_SIZE, MUTED)]


def _tile(suspect: Suspect, dataset: Dataset) -> _Tile:
    best = [f"{name}: {labels.split(', ')[0]}" for name, labels in suspect.labels.items()]
    given = f"labelled {suspect.label}, " if suspect.label else ""
    votes = f", votes {suspect.votes} of {suspect.networks}" if suspect.networks else ""
    lines = [
        *_wrap(f"{suspect.split}/{suspect.id}", _ID_SIZE, INK),
        *_wrap(f"{given}score {suspect.score:.2f}{votes}", _REASON_SIZE, ALARM),
        *(line for text in best for line in _wrap(text, _REASON_SIZE, MUTED)),
        *(line for reason in suspect.reasons for line in _wrap(reason.text, _REASON_SIZE, INK)),
    ]
    try:
        photograph = dataset.find(suspect.split, suspect.id)
        if photograph is None:
            raise UnreadablePhotographError("no longer in the data set")
        picture = images.decode(dataset.read(photograph))
    except UnreadablePhotographError as error:
        return None, [*lines, *_wrap(f"not shown: {error.reason}", _REASON_SIZE, ALARM)]
    picture.thumbnail(THUMBNAIL)
    return picture, lines


def _wrap(text: str, size: int, colour: str) -> list[_Line]:
    """Broken between words, or within a word that is wider than a tile."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}".strip()
        if font(size).getlength(joined) <= THUMBNAIL[0]:
            lines[-1] = joined
            continue
        lines.append("")
        for letter in word:
            if font(size).getlength(lines[-1] + letter) > THUMBNAIL[0]:
                lines.append("")
            lines[-1] += letter
    return [_Line(line, size, colour) for line in lines if line]


def _draw(tiles: Sequence[_Tile], title: Sequence[_Line]) -> Image.Image:
    rows = [tiles[start : start + TILES_ACROSS] for start in range(0, len(tiles), TILES_ACROSS)]
    above = THUMBNAIL[1] + _TILE_GAP // 2  # of a tile's text
    heights = [above + max(sum(map(_height, lines)) for _, lines in row) + 2 * _TILE_GAP for row in rows]
    top = _SHEET_MARGIN + sum(map(_height, title)) + _TILE_GAP
    width = 2 * _SHEET_MARGIN + TILES_ACROSS * (THUMBNAIL[0] + _TILE_GAP) - _TILE_GAP
    sheet = Image.new("RGB", (width, top + sum(heights) + _SHEET_MARGIN), GROUND)
    pen = ImageDraw.Draw(sheet)
    _text(pen, _SHEET_MARGIN, _SHEET_MARGIN, title)
    for row, height in zip(rows, heights, strict=True):
        for column, (thumbnail, lines) in enumerate(row):
            left = _SHEET_MARGIN + column * (THUMBNAIL[0] + _TILE_GAP)
            place(sheet, thumbnail, left, top, THUMBNAIL)
            pen.rectangle((left, top, left + THUMBNAIL[0] - 1, top + THUMBNAIL[1] - 1), outline=FRAME)
            _text(pen, left, top + above, lines)
        top += height
    return sheet


def _text(pen: ImageDraw.ImageDraw, left: int, top: int, lines: Sequence[_Line]) -> None:
    for line in lines:
        pen.text((left, top), line.text, fill=line.colour, font=font(line.size))
        top += _height(line)


def _height(line: _Line) -> int:
    return round(line.size * _LEADING)

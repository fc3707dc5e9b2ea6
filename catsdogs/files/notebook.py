"""What a notebook shows of a value: a small HTML table, every cell escaped, and below it a picture.

No colour is named but those of the notebook itself, so that a dark one stays dark.
"""

import base64
import contextlib
import html
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

MOST_ROWS, MOST_COLUMNS = 30, 20  # as many as a notebook shows of a table without scrolling
MOST_PIXELS = (1200, 2400)  # across and down: what is larger is shrunk
KEPT_BYTES = 300_000  # a picture of no more is shown as it is, a larger one as a JPEG
_QUALITY = 80
_LIKE_A_NUMBER = re.compile(r"([+-]?[\d,]*\.?\d+%?( ± \S+)?)?")
_CAPTION = "caption-side: top; text-align: left; font-weight: bold; white-space: nowrap"
_CELL = "vertical-align: top; white-space: pre-line; text-align:"
_SCROLLED = "max-height: 40em; overflow: auto"  # a long picture does not push the next cell away


class Picture:
    """A picture that was just drawn into a file. Once the file is gone or another, it shows nothing."""

    def __init__(self, path: Path, what: str) -> None:
        """Remember a file, and in words what it shows."""
        self.path, self.what = path.absolute(), what
        self._state = _state_of(self.path)

    def as_html(self) -> str:
        """An `img` with the picture inside, of at most `MOST_PIXELS`; empty if it is not there as it was."""
        if self._state is None or _state_of(self.path) != self._state:
            return ""
        with contextlib.suppress(OSError):  # what cannot be read, or is no picture
            form, data = _bounded(self.path)
            uri = f"data:image/{form};base64,{base64.b64encode(data).decode()}"
            shown = f'<img src="{uri}" alt="{html.escape(self.what)}" style="max-width: 100%">'
            return f'<div style="{_SCROLLED}">{shown}</div>'
        return ""


def as_html(
    columns: Sequence[str],
    rows: Sequence[Iterable[object]],
    caption: str,
    below: Iterable[str] = (),
    count: int | None = None,
    picture: Picture | None = None,
) -> str:
    """A captioned HTML table of the first `MOST_ROWS` rows and `MOST_COLUMNS` columns.

    Args:
        columns: their names; without a line of names if all are empty.
        below: sentences to stand below it, after one that says what was cut off.
        count: how many rows there are, if only the first of them are given.
        picture: to stand below these.
    """
    lines = [[str(cell) for cell in row][:MOST_COLUMNS] for row in rows[:MOST_ROWS]]
    sides = ["right" if all(map(_LIKE_A_NUMBER.fullmatch, column)) else "left" for column in zip(*lines, strict=True)]
    sides = sides or ["left"] * len(columns[:MOST_COLUMNS])
    head = f"<thead>{_row('th', columns[:MOST_COLUMNS], sides)}</thead>" if any(columns) else ""
    body = "".join(_row("td", line, sides) for line in lines)
    title = f'<caption style="{_CAPTION}">{html.escape(caption)}</caption>'
    cut = {"rows": (count or len(rows)) - len(lines), "columns": len(columns) - MOST_COLUMNS}
    more = [f"{number:,} more {what}" for what, number in cut.items() if number > 0]
    text = "".join(f"<p>{html.escape(line)}</p>" for line in (*more, *below) if line)
    shown = picture.as_html() if picture else ""
    return f"<table>{title}{head}<tbody>{body}</tbody></table>{text}{shown}"


def _row(tag: str, cells: Sequence[str], sides: Sequence[str]) -> str:
    shown = (
        f'<{tag} style="{_CELL} {side}">{html.escape(cell)}</{tag}>' for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{''.join(shown)}</tr>"


def _state_of(path: Path) -> tuple[int, int, int] | None:
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_ino, status.st_size, status.st_mtime_ns
    return None


def _bounded(path: Path) -> tuple[str, bytes]:
    """The format and bytes of a PNG, shrunk to `MOST_PIXELS`; raises OSError as Pillow does."""
    from PIL import Image

    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        fits = all(side <= most for side, most in zip(image.size, MOST_PIXELS, strict=True))
        if fits and len(data) <= KEPT_BYTES:
            return "png", data
        small = image.convert("RGB")
    small.thumbnail(MOST_PIXELS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY)
    return "jpeg", buffer.getvalue()

"""What a notebook shows: whatever stands in a cell is text, and long tables and large pictures are cut down."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from catsdogs.files.notebook import KEPT_BYTES, MOST_COLUMNS, MOST_PIXELS, MOST_ROWS, Picture, as_html


class _Cells(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag in ("caption", "td", "th"):
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self.texts:
            self.texts[-1] += data


_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"))


@given(_TEXTS, st.lists(_TEXTS, min_size=1, max_size=4))
def test_cells_come_back_as_they_were_and_make_no_tags(caption: str, cells: list[str]) -> None:
    found = _Cells(as_html(["name"] * len(cells), [cells], caption))
    assert set(found.tags) <= {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert found.texts[0] == caption and found.texts[1 + len(cells) :] == cells


def test_long_tables_say_how_much_more_there_is() -> None:
    text = as_html(["n"], [(number,) for number in range(MOST_ROWS + 1_200)], "numbers", ["a < b", ""])
    assert len(re.findall("<td", text)) == MOST_ROWS
    assert "<p>1,200 more rows</p>" in text and text.endswith("<p>a &lt; b</p>")
    wide = as_html(["n"] * (MOST_COLUMNS + 1), [["0"] * (MOST_COLUMNS + 1)], "wide", count=9)
    assert wide.count("<td") == MOST_COLUMNS and "8 more rows</p><p>1 more columns" in wide
    assert "<thead>" not in as_html(["", ""], [("a", "b")], "no names") and "<tbody></tbody>" in as_html(["n"], [], "")


def test_numbers_stand_to_the_right_and_texts_to_the_left() -> None:
    rows = [("1", "0.5 ± 0.1", "1,280", "cat.1"), ("12", "", "7", "")]
    sides = re.findall(r"<td[^>]*text-align: (\w+)", as_html(["a", "b", "c", "d"], rows, "sides"))
    assert sides == ["right", "right", "right", "left"] * 2


def shown(picture: Picture) -> tuple[Image.Image, int]:
    """The picture inside the page, and how many bytes it has there."""
    found = re.search(r'src="data:image/(?:png|jpeg);base64,([^"]+)" alt="&lt;noise&gt;"', picture.as_html())
    assert found
    data = base64.b64decode(found[1])
    return Image.open(io.BytesIO(data)), len(data)


def test_a_picture_is_shown_as_it_is_or_bounded_in_size_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "noise.png"
    Image.fromarray(np.zeros((30, 20, 3), np.uint8)).save(path)
    small, count = shown(Picture(path, "<noise>"))
    assert (small.format, small.size, count) == ("PNG", (20, 30), path.stat().st_size)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (5000, 1500, 4), np.uint8)).save(path, compress_level=1)
    large, count = shown(Picture(path, "<noise>"))
    assert path.stat().st_size > 50 * KEPT_BYTES and count < 3_000_000
    assert large.format == "JPEG" and large.size == (MOST_PIXELS[1] * 1500 // 5000, MOST_PIXELS[1])


def test_a_picture_that_is_gone_or_another_or_none_shows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "chart.png"
    assert not Picture(path, "chart").as_html()
    path.write_bytes(b"no picture")
    picture = Picture(path, "chart")
    assert not picture.as_html()
    Image.new("RGB", (3, 3)).save(path)
    assert not picture.as_html() and Picture(path, "chart").as_html()

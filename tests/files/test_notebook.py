"""Tables of a notebook: whatever stands in a cell is text, and long ones are cut."""

import re
from html.parser import HTMLParser

from catsdogs.front.tables import MOST_ROWS, as_html
from hypothesis import given
from hypothesis import strategies as st


class _Cells(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self.texts:
            self.texts[-1] += data


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r")), min_size=1, max_size=4))
def test_cells_come_back_as_they_were_and_make_no_tags(cells: list[str]) -> None:
    found = _Cells(as_html(["name"] * len(cells), [cells]))
    assert set(found.tags) <= {"table", "thead", "tbody", "tr", "th", "td"}
    assert found.texts[len(cells) :] == cells


def test_long_tables_say_how_much_more_there_is() -> None:
    text = as_html(["n"], [(number,) for number in range(MOST_ROWS + 1_200)], "a < b")
    assert len(re.findall("<td>", text)) == MOST_ROWS
    assert "<p>1,200 more rows</p>" in text and text.endswith("<p>a &lt; b</p>")

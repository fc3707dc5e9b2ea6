"""Tables as notebooks show them: a small HTML table, every cell escaped."""

import html
from collections.abc import Iterable, Sequence

MOST_ROWS = 30  # as many as a notebook shows of a table without scrolling


def as_html(columns: Sequence[str], rows: Sequence[Iterable[object]], caption: str = "") -> str:
    """An HTML table of the first `MOST_ROWS` rows; below it, how many there are if there are more, and the caption."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    lines = ["".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows[:MOST_ROWS]]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    more = [f"{len(rows) - MOST_ROWS:,} more rows"] if len(rows) > MOST_ROWS else []
    below = "".join(f"<p>{html.escape(line)}</p>" for line in (*more, *caption.splitlines()) if line)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"

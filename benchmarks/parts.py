"""The parts of a report that are measured apart from each other, each under a mark that names its command."""

import re
from pathlib import Path

from benchmarks.report import wrapped
from catsdogs.files.atomic import replacing

_MARK = re.compile(r"^<!-- python -m benchmarks\.\w+ -->\n", re.MULTILINE)


def put(path: Path, mark: str, text: str) -> None:
    """Write one part anew, `mark` and `text`, where it stands or at the end; the others stay as they are."""
    report = path.read_text(encoding="utf-8") if path.exists() else ""
    before, found, after = report.partition(mark)
    following = _MARK.search(after)
    rest = after[following.start() :] if found and following else ""
    parts = [part.strip("\n") for part in (before, f"{mark}{wrapped(text)}", rest)]
    with replacing(path) as temporary:
        temporary.write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")

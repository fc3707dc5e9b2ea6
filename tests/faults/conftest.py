"""What the tests of faults share: the marker that names the row of the matrix, notes of what was seen, the table."""

import platform
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.parts import put
from benchmarks.report import machine
from tests.faults.matrix import FULL, ROWS

MARK = "<!-- invoke faults -->\n"
_KEY, _NOTE = "fault", "saw"


@dataclass
class _Shown:
    """What the tests of one row came to."""

    files: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


_ROWS: dict[str, _Shown] = {key: _Shown() for key in ROWS}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-table", metavar="PAGE", help="write the table of faults into this page")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(key): the row of the matrix of faults that a test belongs to")
    config.addinivalue_line("markers", "only_in_full: a test of minutes, that only `invoke faults` runs")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if not FULL and item.get_closest_marker("only_in_full")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)
    for item in items:
        if Path(__file__).parent in item.path.parents:
            marker = item.get_closest_marker("fault")
            if marker is None or marker.args[0] not in ROWS:
                raise pytest.UsageError(f"{item.nodeid} has no mark `fault` with one of: {', '.join(ROWS)}")
            item.user_properties.append((_KEY, marker.args[0]))


@pytest.fixture
def saw(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Note in a few words, with figures, what a test saw, for the table."""
    return lambda text: request.node.user_properties.append((_NOTE, text))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    properties = dict(report.user_properties)
    if _KEY not in properties:
        return
    row, (file, test) = _ROWS[str(properties[_KEY])], report.nodeid.split("::", 1)
    row.files[file].add(test)
    if report.failed:
        row.failed.append(test)
    elif report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        row.skipped.append(f"{test} ({reason.removeprefix('Skipped: ')})")
    elif report.when == "call":
        row.passed += 1
        row.notes += [str(text) for name, text in report.user_properties if name == _NOTE]


def pytest_sessionfinish(session: pytest.Session) -> None:
    page = session.config.getoption("--faults-table", None)
    if page:
        put(Path(page), MARK, _table())


def _table() -> str:
    counts = "in full" if FULL else "with the smaller counts of the plain suite"
    lines = [
        "",
        "## What was seen",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {counts}, on {machine()}; {platform.system()}, "
        f"Python {platform.python_version()}.",
        "",
        "| fault | promise | shown by | seen |",
        "| --- | --- | --- | --- |",
    ]
    for key, (fault, promise) in ROWS.items():
        row = _ROWS[key]
        files = ", ".join(f"`{file}` ({len(tests)} tests)" for file, tests in sorted(row.files.items()))
        cells = (fault, promise, files or "nothing yet", _seen(row))
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _seen(row: _Shown) -> str:
    """Failures first, for nobody is to overlook them."""
    words = []
    if row.failed:
        words.append(f"**{len(row.failed)} failed: {', '.join(row.failed)}**")
    if row.skipped:
        words.append(f"**{len(row.skipped)} skipped: {', '.join(row.skipped)}**")
    if row.passed or not words:
        words.append(f"{row.passed} passed")
    return "; ".join(["; ".join(words), *row.notes]).replace("\n", " ")

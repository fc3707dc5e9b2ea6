"""Fuzzes the recognition of a data set: a zip, or a CSV beside photographs; `scan`, `scan_unlabelled` and `read`."""

import atheris

with atheris.instrument_imports(include=["catsdogs"]):
    from catsdogs.errors import UnreadablePhotographError
    from catsdogs.photographs import dataset

from fuzz import harness
from tests.faults import specimens


def _read_all(found: dataset.Dataset) -> None:
    for row in found.photographs:
        try:
            found.read(row)
        except UnreadablePhotographError as error:
            assert error.reason  # noqa: S101 - a finding


def target(data: bytes) -> None:
    path = harness.written("x.zip" if data[:1] == b"P" else "x.csv", data)
    for scan in (dataset.scan, dataset.scan_unlabelled):
        found: list[dataset.Dataset] = []
        if not harness.refused(lambda scan=scan, found=found: found.append(scan(path))):
            _read_all(found[0])


if __name__ == "__main__":
    for id in specimens.IDS:
        harness.written(f"{id}.jpg", b"never read")
    harness.main(target, [*specimens.zips().values(), specimens.LABELS])

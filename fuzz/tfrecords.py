"""Fuzzes TFRecord files: bytes as they are, or, after an `m`, messages to be framed with their checksums."""

import atheris

with atheris.instrument_imports(include=["catsdogs"]):
    from catsdogs.errors import UnreadablePhotographError
    from catsdogs.photographs import tfrecord

from fuzz import harness
from tests.faults import specimens


def target(data: bytes) -> None:
    if data[:1] == b"m":
        data = b"".join(map(tfrecord.frame, data[1:].split(b"\0mm\0")))
    path = harness.written("x.tfrecord", data)
    found: list[tfrecord.Record] = []
    if harness.refused(lambda: found.extend(tfrecord.records(path))):
        return
    for record in found:
        try:
            tfrecord.read_photograph(path, record.offset, record.length)
        except UnreadablePhotographError as error:
            assert error.reason  # noqa: S101 - a finding


if __name__ == "__main__":
    harness.main(target, [specimens.shard(), b"m" + b"\0mm\0".join(specimens.messages())])

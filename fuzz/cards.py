"""Fuzzes the JSON that is read: the first byte says whether the rest is a run, a network or a manifest of TFRecords."""

import atheris

with atheris.instrument_imports(include=["catsdogs"]):
    from catsdogs.networks import trained
    from catsdogs.photographs import tfrecord
    from catsdogs.runs import run_card

from fuzz import harness
from tests.faults import specimens


def target(data: bytes) -> None:
    kind, text = data[:1], data[1:]
    if kind == b"r":
        harness.written(run_card.RUN_FILE, text)
        found: list[run_card.Run] = []
        if not harness.refused(lambda: found.append(run_card.read_run(harness.FOLDER))):
            str(found[0].scores[0])
    elif kind == b"n":
        harness.written(trained.CARD_FILE, text)
        harness.refused(trained.row, harness.FOLDER)
    else:
        harness.written(tfrecord.MANIFEST, text)
        harness.refused(tfrecord.read_manifest, harness.FOLDER)


if __name__ == "__main__":
    run, network, manifest = specimens.cards().values()
    harness.main(target, [b"r" + run, b"n" + network, b"m" + manifest])

"""Fuzzes the checks of every CSV: the first byte says which table the rest is."""

import atheris

with atheris.instrument_imports(include=["catsdogs"]):
    from catsdogs.cleaning import decisions, suspect_table
    from catsdogs.competition import grading, submission
    from catsdogs.networks import trained
    from catsdogs.runs import out_of_fold

from fuzz import harness
from tests.faults import specimens

CLASSES = ("cat", "dog")
FEATURES = specimens.features()
RUN = specimens.run()
SAMPLE, SUBMISSION, TRUTH = (part.decode() for part in (specimens.SAMPLE, specimens.SUBMISSION, specimens.TRUTH))


def target(data: bytes) -> None:
    kind, text = data[:1], data[1:]
    if kind == b"s":
        path = harness.written("submission.csv", text)
        harness.refused(submission.check_submission, path, SAMPLE, CLASSES)
        harness.refused(submission.read_submission, path, CLASSES)
        harness.refused(grading.grade_submission, path, harness.FOLDER / "truth.csv", CLASSES)
    elif kind == b"t":
        path = harness.written("hidden.csv", text)
        harness.refused(grading.grade_submission, harness.FOLDER / "sound.csv", path, CLASSES)
        harness.refused(grading.grade_submission, path, path, CLASSES)
        harness.refused(submission.order, ("1", "2"), CLASSES, text.decode(errors="replace"), ("3",))
    elif kind == b"d":
        path = harness.written(decisions.DECISIONS_FILE, text)
        harness.refused(decisions.read_decisions, path, CLASSES)
        harness.refused(decisions.corrections, harness.FOLDER, [FEATURES], "decided")
        if not harness.refused(decisions.decide, path, decisions.Decision("cat.1", decisions.DROP), CLASSES):
            assert decisions.read_decisions(path, CLASSES)["cat.1"].decision == decisions.DROP  # noqa: S101 - a finding
            decisions.undo(path, "cat.1", CLASSES)
    elif kind == b"o":
        harness.refused(suspect_table.read_suspects, harness.written("outliers.csv", text))
    elif kind == b"f":
        harness.written("oof.csv", text)
        harness.refused(out_of_fold.read_out_of_fold, harness.FOLDER, RUN, FEATURES)
    else:
        harness.written(trained.LEARNT_FILE, text)
        harness.refused(trained.fold_of_digest, harness.FOLDER)


if __name__ == "__main__":
    harness.written("truth.csv", specimens.TRUTH)
    harness.written("sound.csv", specimens.SUBMISSION)
    harness.written(trained.CARD_FILE, specimens.network_card())
    harness.main(
        target,
        [
            b"s" + specimens.SUBMISSION,
            b"t" + specimens.TRUTH,
            b"t" + specimens.SAMPLE,
            b"d" + specimens.DECISIONS,
            b"o" + specimens.SUSPECTS,
            b"f" + specimens.OUT_OF_FOLD,
            b"l" + specimens.LEARNT,
        ],
    )

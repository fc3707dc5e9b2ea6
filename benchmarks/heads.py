"""`python -m benchmarks.heads`: what heads score and what they cost, side by side, written to docs/heads.md."""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import head_scores, head_speed
from benchmarks.arithmetic import Spread, Target
from benchmarks.head_scores import DEFAULT, FOLDS, NOTEBOOK, SEED, Ratio, Scores
from benchmarks.head_speed import COMPARED, Timing
from benchmarks.report import machine, spread_text, table, versions, wrapped
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.features import feature_file
from catsdogs.files.atomic import replacing
from catsdogs.networks.choice import expand
from catsdogs.scoring import comparison_table
from catsdogs.scoring.comparison import STANDARD_ERRORS

OUT = Path("docs/heads.md")
ROWS, WIDTH, ROUNDS, REPEATS = 25_000, 6_144, 3, 5
PARTS = ("scores", "speed")
TIMED = "dropout-sigmoid"  # the head whose speed is promised
_VERDICTS = {True: "yes", False: "no", None: ""}


@dataclass
class Record:
    """All that a run saw; `rows` and `width` are those of the stand-ins."""

    command: str
    rows: int
    width: int
    scores: list[Scores] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the report after every part."""
    options = _parse(arguments)
    try:
        for record in benchmark(options):
            with replacing(options.out) as temporary:
                temporary.write_text(render(record), encoding="utf-8")
    except CatsdogsError as error:
        print(f"benchmarks.heads: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("benchmarks.heads: interrupted; finished parts are in the report", file=sys.stderr)
        return 130
    print(f"wrote {options.out}")
    return 0


def benchmark(options: argparse.Namespace) -> Iterator[Record]:
    """The record after each set of networks, and after each round of speed."""
    if options.rounds < 1 or options.repeats < 1:
        raise UsageError("Rounds or repeats below 1", "Give --rounds and --repeats numbers above 0")
    record = Record(shlex.join(["python", "-m", "benchmarks.heads", *options.arguments]), options.rows, options.width)
    if options.only != "speed":
        if not options.features:
            raise UsageError("Scores need real vectors", "Give --features a folder of feature files, or --only speed")
        sets = [expand(names) for names in options.backbones or ["lite"]]
        files = [
            [feature_file.read_features(feature_file.path_of(options.features, name)) for name in names]
            for names in sets
        ]
        for networks in files:
            record.scores.append(head_scores.measure(networks, options.repeats, options.judged))
            yield record
    if options.only != "scores":
        with tempfile.TemporaryDirectory(prefix="catsdogs-bench-") as folder:
            head_speed.draw(Path(folder), options.rows, options.width)
            for record.timings in head_speed.measure(Path(folder), options.rounds):
                yield record


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.heads", description=__doc__)
    parser.add_argument("--features", type=Path, help="a folder of feature files of labelled photographs")
    parser.add_argument(
        "--backbones", action="append", help="networks, separated by commas; again for another set (default: lite)"
    )
    parser.add_argument(
        "--judged",
        type=lambda text: text.split(","),
        default=[],
        help="ids of photographs that a person found to be mislabelled or to show no pet, separated by commas",
    )
    parser.add_argument("--repeats", type=int, default=REPEATS, help="of the cross-validation")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of everything that is timed")
    parser.add_argument("--rows", type=int, default=ROWS, help="train rows of the stand-ins that are timed")
    parser.add_argument("--width", type=int, default=WIDTH, help="columns of the stand-ins, in three networks")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--out", type=Path, default=OUT)
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(given)
    options.arguments = given
    return options


def render(record: Record) -> str:
    """The whole of docs/heads.md."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("scipy", "scikit-learn", "cleanlab"))
    parts = [
        f"""# Heads

Written by `benchmarks/heads.py`, not by hand.

* Machine: {machine()}
* Versions: {versions()}, {libraries}
* Date: {datetime.now(UTC):%Y-%m-%d}
* Command: `{record.command}`
* Targets are those that the project set itself; "met" says whether this run met them.
"""
    ]
    parts += [_scores(scores) for scores in record.scores]
    if record.timings:
        parts.append(_speed(record))
    return wrapped("\n".join(parts))


def _scores(scores: Scores) -> str:
    compared = scores.comparison
    lines = [
        [
            f"`{entry.head}`",
            f"{entry.log_loss:.5f} ± {entry.standard_error:.5f}",
            f"{entry.difference:+.5f} ± {entry.difference_error:.5f}" if entry.verdict else "",
            entry.verdict,
            f"{entry.accuracy:.2%}",
            f"{entry.seconds:.1f}",
        ]
        for entry in compared.entries
    ]
    header = ["head", "log loss", "to the first", "", "accuracy", "seconds"]
    return f"""## Scores on {compared.networks[0]}

Log loss and accuracy: {compared.measured_on}.
Repeat r draws the folds with seed {SEED} + r. Seconds: to fit the {FOLDS} folds once, whatever else the machine did.
{comparison_table.noise_in_words(compared)}
{comparison_table.conclusion(compared)}

{table(header, lines)}
Ratios of log losses on the same photographs and folds. C of the plain logistic regression is the best of
{", ".join(f"{C:g}" for C in head_scores.GRID)} on these very figures, which favours it.
The true temperature is fitted on the labels that it is scored by, which favours it too. Delivered is what `train`
delivers, calibrated. The paired difference is first minus second, and errors says how many of its own standard errors
that is. Of one difference named beforehand, chance alone exceeds {STANDARD_ERRORS:g} in one case of twenty.

{_ratios(scores.ratios)}
{_handling(scores)}"""


def _ratios(ratios: Sequence[Ratio]) -> str:
    def target(ratio: Ratio) -> str:
        if ratio.limit is None:
            return ""
        return f"{'≥' if ratio.at_least else '≤'} {ratio.limit:g}" + (", beyond noise" if ratio.beyond_noise else "")

    lines = [
        [
            ratio.figure,
            f"{ratio.loss:.5f} / {ratio.other:.5f}",
            f"{ratio.value:.3f}",
            target(ratio),
            _VERDICTS[ratio.met],
            f"{ratio.difference:+.5f}",
            f"{ratio.errors:+.1f}",
        ]
        for ratio in ratios
    ]
    return table(["", "log losses", "ratio", "target", "met", "difference", "errors"], lines)


def _handling(scores: Scores) -> str:
    def figures(ratio: Ratio) -> list[str]:
        return [f"{ratio.loss:.5f} / {ratio.other:.5f}", f"{ratio.difference:+.5f} ({ratio.errors:+.1f})"]

    judged = ", ".join(scores.judged)
    sides = f"Log losses are of all photographs on the left, and without {judged} on the right.\n" if judged else ""
    shown = 2 if judged else 1
    lines = [[pair[0].figure, *(part for ratio in pair[:shown] for part in figures(ratio))] for pair in scores.handling]
    header = ["suspects", "all photographs", "difference", *(["without the judged", "difference"] if judged else [])]
    return f"""### Label errors

In each fold suspects are found among the photographs learnt from, by an inner cross-validation of `{DEFAULT}` that
never looks at those held out: {scores.suspects:.1f} on average. Held-out photographs are scored against the labels as
given, mean of {scores.handling_repeats} x {FOLDS} folds, calibrated as above.
In brackets: the paired difference in its standard errors, of which one beyond {STANDARD_ERRORS:g} is no surprise
among so many.
{sides}
{table(header, lines)}"""


def _speed(record: Record) -> str:
    rounds, size = max(timing.round for timing in record.timings), record.rows * record.width * 4
    targets = [_line(target, record) for target in _targets(record.timings, size)]
    header = ["", "five folds, s", "of which `fit`, s", "test average, s", "peak memory / vectors"]
    return f"""## Speed and memory

Random stand-ins: {record.rows:,} train rows and half as many test rows of {record.width:,} columns in three networks,
two classes; the train vectors are {size / 1e9:.3f} GB. Rounds: {rounds}, interleaved; median, and in brackets the
spread. Every measurement is a process of its own. Of a head, reading the vectors and importing libraries are not timed,
for it has been fitted on a few rows before; of a comparison, everything but the start of Python is. Peak memory is that
of the process, libraries included. Compared are the {COMPARED} heads that took longest in the first round.

{table(header, _costs(record.timings, size))}
Ratios are taken within each round. Targets are for {ROWS:,} x {WIDTH:,} on 2 cores; other sizes are not judged.

{table(["figure", "target", "measured", "met"], targets)}"""


def _costs(timings: Sequence[Timing], size: int) -> list[list[str]]:
    lines = []
    for subject, found in _by_subject(timings).items():
        several = "," in subject
        title = f"comparison of {subject.replace(',', ', ')}" if several else f"`{subject}`"
        figures = [
            Spread.of(timing.seconds for timing in found),
            None if several else Spread.of(timing.fits for timing in found),
            None if several else Spread.of(timing.test for timing in found),
            Spread.of(timing.memory / size for timing in found),
        ]
        lines.append([title, *map(spread_text, figures)])
    return lines


def _line(target: Target, record: Record) -> list[str]:
    judged = (record.rows, record.width) == (ROWS, WIDTH)
    limit = f"{'≥' if target.at_least else '≤'} {target.limit:g}{target.unit}"
    return [target.figure, limit, spread_text(target.measured, target.unit), _VERDICTS[target.met if judged else None]]


def _by_subject(timings: Sequence[Timing]) -> dict[str, list[Timing]]:
    """In the order of measurement; heads are also compared, as a subject of names joined by commas."""
    found: dict[str, list[Timing]] = {}
    for timing in timings:
        found.setdefault(timing.subject, []).append(timing)
    return found


def _targets(timings: Sequence[Timing], size: int) -> list[Target]:
    """Against us, the notebook's recipe is charged for its calls of `fit` alone, and we for all of the folds."""
    found = _by_subject(timings)
    rounds = list(zip(found[TIMED], found[NOTEBOOK], strict=True))
    job = f"`{TIMED}`, five folds and the test average"
    comparing = Spread.of(timing.seconds for subject, seen in found.items() if "," in subject for timing in seen)
    return [
        Target(job, 60, False, Spread.of(ours.seconds + ours.test for ours, _ in rounds), " s"),
        Target(
            f"five calls of `fit` of `{NOTEBOOK}` / {job}",
            3,
            True,
            Spread.of(notebook.fits / (ours.seconds + ours.test) for ours, notebook in rounds),
        ),
        Target(f"comparison of {COMPARED} heads", 300, False, comparing, " s"),
        *(
            Target(f"peak memory / vectors: `{subject}`", 3, False, Spread.of(one.memory / size for one in seen))
            for subject, seen in found.items()
            if "," not in subject
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())

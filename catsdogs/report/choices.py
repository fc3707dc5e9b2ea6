"""Which photographs a report shows: random samples, the mistakes, the suspects, and the points of the map."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.cleaning.outliers import Suspect
from catsdogs.report import measures
from catsdogs.report.evidence import Evidence

SAMPLES = 60  # of all classes together
SAMPLES_EACH = 10
TESTED = 25
MISTAKES = 25
SUSPECTS = 60
SUSPECTS_OF_A_KIND = 6  # at least, so that every reason can be looked at
MAP_POINTS = 4_000
MAP_SUSPECTS = 2_000
MAP_WORST = 500
_SEED = 0


class Choices(NamedTuple):
    """Rows of the first file.

    Attributes:
        samples: class -> train rows.
        tested: test rows, by the probability of the second class, of many classes by that of the likeliest.
        worst: train rows, the highest loss first.
        doubtful: train rows, the nearest to an even choice first.
        suspects: the suspects to show, most doubtful first.
        mapped: train rows, in order.
    """

    samples: dict[int, NDArray[np.intp]]
    tested: NDArray[np.intp]
    worst: NDArray[np.intp]
    doubtful: NDArray[np.intp]
    suspects: list[Suspect]
    mapped: NDArray[np.intp]


def choose_photographs(evidence: Evidence) -> Choices:
    """The same choice for the same run, whenever it is made."""
    draw = np.random.default_rng(_SEED)
    worst = np.argsort(-evidence.losses, kind="stable")
    return Choices(
        samples=_samples(evidence, draw),
        tested=_tested(evidence.tested, draw),
        worst=worst[:MISTAKES],
        doubtful=np.argsort(measures.margins(evidence.calibrated), kind="stable")[:MISTAKES],
        suspects=_suspects(evidence.suspects),
        mapped=_mapped(evidence, worst, draw),
    )


def count_kinds(suspects: Sequence[Suspect]) -> Counter[str]:
    """How many suspects there are for each kind of reason."""
    return Counter(kind for suspect in suspects for kind in kinds_of(suspect))


def kinds_of(suspect: Suspect) -> list[str]:
    """The kinds of a suspect's reasons, each once, strongest first."""
    return list(dict.fromkeys(reason.kind for reason in suspect.reasons))


def _samples(evidence: Evidence, draw: np.random.Generator) -> dict[int, NDArray[np.intp]]:
    classes = np.arange(len(evidence.classes))
    if len(classes) > SAMPLES:
        classes = np.sort(draw.choice(classes, SAMPLES, replace=False))
    each = min(SAMPLES // len(classes), SAMPLES_EACH)
    found = {}
    for number in classes.tolist():
        rows = np.flatnonzero(evidence.labels == number)
        found[number] = np.sort(draw.choice(rows, min(each, len(rows)), replace=False))
    return found


def _tested(tested: NDArray[np.float64], draw: np.random.Generator) -> NDArray[np.intp]:
    rows = draw.choice(len(tested), min(TESTED, len(tested)), replace=False)
    ranked = tested[rows, 1] if tested.shape[1] == 2 else tested[rows].max(axis=1)
    chosen: NDArray[np.intp] = rows[np.argsort(ranked, kind="stable")]
    return chosen


def _suspects(suspects: Sequence[Suspect]) -> list[Suspect]:
    """The most doubtful, among them the first few of every kind."""
    seen: Counter[str] = Counter()
    sure = set()
    for place, suspect in enumerate(suspects):
        of = kinds_of(suspect)
        if any(seen[kind] < SUSPECTS_OF_A_KIND for kind in of):
            sure.add(place)
        seen.update(of)
    others = [place for place in range(len(suspects)) if place not in sure]
    return [suspects[place] for place in sorted([*sure, *others[: max(SUSPECTS - len(sure), 0)]])]


def _mapped(evidence: Evidence, worst: NDArray[np.intp], draw: np.random.Generator) -> NDArray[np.intp]:
    rows = len(evidence.labels)
    if rows <= MAP_POINTS:
        return np.arange(rows)
    row_of = {id: row for row, id in enumerate(evidence.first.ids["train"])}
    suspects = [row_of[suspect.id] for suspect in evidence.suspects if suspect.split == "train"]
    told = {*suspects[:MAP_SUSPECTS], *worst[:MAP_WORST].tolist()}
    others = np.array(sorted(set(range(rows)) - told), np.intp)
    drawn = draw.choice(others, MAP_POINTS - len(told), replace=False)
    return np.sort(np.concatenate((np.array(sorted(told), np.intp), drawn)))

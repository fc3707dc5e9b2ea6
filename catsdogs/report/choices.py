"""Which photographs a report shows: random samples, the mistakes, the suspects, and the points of the map."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.cleaning.suspect_table import Suspect
from catsdogs.report.evidence import Evidence
from catsdogs.report.kinds import View

SAMPLES = 60  # of all classes together
SAMPLES_EACH = 10
TEST_SAMPLE = 25
MISTAKES = 25
SUSPECTS = 60
SUSPECTS_OF_A_KIND = 6  # at least, so that every reason can be looked at
MAP_POINTS = 4_000
MAP_SUSPECTS = 2_000
MAP_WORST = 500
_SAMPLE_SEED = 0


class Choices(NamedTuple):
    """Rows of the first file.

    Attributes:
        samples: number of a group, see `View.groups` -> train rows.
        test_sample: test rows, by `View.test_order`.
        worst: train rows, the highest cost first.
        doubtful: train rows, the nearest to an even choice first; none where the view has no doubts.
        suspects: the suspects to show, most doubtful first.
        map_rows: train rows, in order.
    """

    samples: dict[int, NDArray[np.intp]]
    test_sample: NDArray[np.intp]
    worst: NDArray[np.intp]
    doubtful: NDArray[np.intp]
    suspects: list[Suspect]
    map_rows: NDArray[np.intp]


def choose_photographs(evidence: Evidence, view: View) -> Choices:
    """The photographs that a report shows; the same ones for the same run at every call."""
    draw = np.random.default_rng(_SAMPLE_SEED)
    scored = np.count_nonzero(evidence.scored)  # what has no answers sorts behind
    worst = np.lexsort((-evidence.losses, -view.costs))[:scored]
    doubts = view.doubts
    return Choices(
        samples=_samples([rows for _, rows in view.groups], draw),
        test_sample=_test_sample(view.test_order, draw),
        worst=worst[:MISTAKES],
        doubtful=worst[:0] if doubts is None else np.argsort(doubts, kind="stable")[:scored][:MISTAKES],
        suspects=_shown_suspects(evidence.suspects),
        map_rows=_map_rows(evidence, worst, draw),
    )


def kinds_of(suspect: Suspect) -> list[str]:
    """The kinds of a suspect's reasons, each once, strongest first."""
    return list(dict.fromkeys(suspect.kinds))


def _samples(groups: Sequence[NDArray[np.intp]], draw: np.random.Generator) -> dict[int, NDArray[np.intp]]:
    chosen = np.arange(len(groups))
    if len(chosen) > SAMPLES:
        chosen = np.sort(draw.choice(chosen, SAMPLES, replace=False))
    each = min(SAMPLES // len(chosen), SAMPLES_EACH)
    samples = {}
    for number in chosen.tolist():
        rows = groups[number]
        samples[number] = np.sort(draw.choice(rows, min(each, len(rows)), replace=False))
    return samples


def _test_sample(order: NDArray[np.float64], draw: np.random.Generator) -> NDArray[np.intp]:
    rows = draw.choice(len(order), min(TEST_SAMPLE, len(order)), replace=False)
    chosen: NDArray[np.intp] = rows[np.argsort(order[rows], kind="stable")]
    return chosen


def _shown_suspects(suspects: Sequence[Suspect]) -> list[Suspect]:
    """The most doubtful, among them the first few of every kind."""
    counts: Counter[str] = Counter()
    always = set()
    for place, suspect in enumerate(suspects):
        kinds = kinds_of(suspect)
        if any(counts[kind] < SUSPECTS_OF_A_KIND for kind in kinds):
            always.add(place)
        counts.update(kinds)
    others = [place for place in range(len(suspects)) if place not in always]
    return [suspects[place] for place in sorted([*always, *others[: max(SUSPECTS - len(always), 0)]])]


def _map_rows(evidence: Evidence, worst: NDArray[np.intp], draw: np.random.Generator) -> NDArray[np.intp]:
    rows = len(evidence.labels)
    if rows <= MAP_POINTS:
        return np.arange(rows)
    row_of = {id: row for row, id in enumerate(evidence.first.ids["train"])}
    suspects = [row_of[suspect.id] for suspect in evidence.suspects if suspect.split == "train"]
    always = {*suspects[:MAP_SUSPECTS], *worst[:MAP_WORST].tolist()}
    others = np.array(sorted(set(range(rows)) - always), np.intp)
    drawn = draw.choice(others, MAP_POINTS - len(always), replace=False)
    return np.sort(np.concatenate((np.array(sorted(always), np.intp), drawn)))

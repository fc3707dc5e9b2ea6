"""How often a comparison calls one of several heads worse that are all equal in truth, and how often one that is worse.

`python -m benchmarks.equal_heads [FEATURES]`: with the feature files of the Lites and Xception, losses are drawn from
real ones too.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import table, wrapped
from catsdogs import heads
from catsdogs.features import feature_file
from catsdogs.features.folds import deal
from catsdogs.networks.choice import expand
from catsdogs.progress import Progress
from catsdogs.scoring import calibration, crossval, measuring, simultaneous, training_plan
from catsdogs.scoring.measuring import Measurement

COMPARISONS, ROWS, FOLDS, SEED = 500, 1600, 5, 2018
SETS = ("lite", "lite,Xception")
ERRORS = (1, 2, 3, 4)  # by how many standard errors of a difference one head is worse, in turn

_Floats = NDArray[np.float64]


class Case(NamedTuple):
    """What is compared.

    Attributes:
        draw: what entries that are equal in truth are worth, and (K, R) the values of the deals.
        sign: -1 where more is better.
    """

    name: str
    draw: Callable[[np.random.Generator], tuple[list[Measurement], _Floats]]
    sign: int = 1
    comparisons: int = COMPARISONS


class Rates(NamedTuple):
    """The share of comparisons that call any equal entry worse, and that call a worse one worse, for each of `ERRORS`.

    Both within `simultaneous.BEFOREHAND` standard errors over photographs, as before, and by `simultaneous`.
    """

    wrong: tuple[float, float]
    right: list[tuple[float, float]]
    limit: float


def normal(
    entries: int, repeats: int, between: float, random: np.random.Generator
) -> tuple[list[Measurement], _Floats]:
    """Losses that have a part in common, one of the entry's own, and where there are deals one of each deal.

    Args:
        between: the standard deviation of an entry's deals, in that of its own part's mean.
    """
    own = random.normal(size=(entries, ROWS)) + random.exponential(size=ROWS)
    shifts = between * random.normal(size=(entries, repeats)) / np.sqrt(ROWS)
    deals = [[measuring.of_rows(row + shift) for shift in of_deals] for row, of_deals in zip(own, shifts, strict=True)]
    return [measuring.mean_of(one) for one in deals], np.array([[each.value for each in one] for one in deals])


def resampled(losses: _Floats, random: np.random.Generator) -> tuple[list[Measurement], _Floats]:
    """Of (K, n) real losses, all with the same mean, those of photographs drawn from them."""
    found = [measuring.of_rows(row) for row in losses[:, random.integers(losses.shape[1], size=losses.shape[1])]]
    return found, np.array([[one.value] for one in found])


def areas(entries: int, random: np.random.Generator) -> tuple[list[Measurement], _Floats]:
    """Areas under the curves of probabilities that are equally good, of 500 rows, a tenth of them dogs."""
    labels = (random.random(500) < 0.1).astype(np.int64)
    scores = random.normal(size=500) + 2 * labels + random.normal(size=(entries, 500))
    dogs = 1 / (1 + np.exp(-scores))
    found = [measuring.measure("auc", np.stack((1 - one, one), axis=1), labels) for one in dogs]
    return found, np.array([[one.value] for one in found])


def real_losses(folder: Path) -> _Floats:
    """(K, n) calibrated log losses out of fold of all shipped heads on each of `SETS`, moved to the same mean."""
    losses = []
    for names in SETS:
        files = [feature_file.read_features(feature_file.path_of(folder, name)) for name in expand(names)]
        X, labels, all_rows = (
            training_plan.training_vectors(files),
            files[0].labels,
            np.ones(len(files[0].labels), bool),
        )
        fold = deal(labels, np.arange(len(labels)), FOLDS, SEED)
        widths = tuple(file.width for file in files)
        with Progress(FOLDS * len(heads.names()), names, "fit") as bar:
            for name in heads.names():
                make = partial(heads.create, name, SEED, widths)
                crossed = crossval.cross_validate(X, labels, all_rows, fold, make, bar.update)
                losses.append(measuring.log_losses(calibration.cross_fitted(crossed.predictions, labels, fold), labels))
    found = np.array(losses)
    moved: _Floats = found - found.mean(axis=1, keepdims=True) + found.mean()
    return moved


def rates(case: Case) -> Rates:
    """What so many comparisons said."""
    random = np.random.default_rng(SEED)
    wrong, right, limits = np.zeros(2), np.zeros((len(ERRORS), 2)), []
    with Progress(case.comparisons, case.name, "comparison") as bar:
        for _ in range(case.comparisons):
            measured, deals = case.draw(random)
            family = simultaneous.family(measured, deals, FOLDS)
            values = case.sign * np.array([one.value for one in measured])
            plain = np.array([[one.minus(other)[1] for other in measured] for one in measured])
            rules = (plain * simultaneous.BEFOREHAND, family.errors * family.limit)
            wrong += [_worse(values, allowed).any() for allowed in rules]
            for place, errors in enumerate(ERRORS):
                shifted = values.copy()
                shifted[0] += errors * np.median(plain[0, 1:])
                right[place] += [_worse(shifted, allowed)[0] for allowed in rules]
            limits.append(family.limit)
            bar.update()
    shares = right / case.comparisons
    before, after = wrong / case.comparisons
    return Rates((before, after), [(one, other) for one, other in shares.tolist()], float(np.mean(limits)))


def _worse(values: _Floats, allowed: _Floats) -> NDArray[np.bool_]:
    best = int(values.argmin())
    worse: NDArray[np.bool_] = values - values[best] > allowed[best]
    return worse


def cases(folder: Path | None) -> list[Case]:
    """All that is tried."""
    found = [Case(f"{entries} heads", partial(normal, entries, 1, 0.0)) for entries in (2, 6, 12, 20)]
    for repeats in (2, 3, 5):
        found.append(Case(f"12 heads, {repeats} deals that differ", partial(normal, 12, repeats, 1.0)))
    found.append(Case("6 heads by the area under the curve", partial(areas, 6), -1, COMPARISONS // 2))
    if folder:
        losses = real_losses(folder)
        found.append(Case(f"{len(losses)} real tables of losses", partial(resampled, losses)))
    return found


def main() -> None:
    lines = []
    for case in cases(Path(sys.argv[1]) if len(sys.argv) > 1 else None):
        seen = rates(case)
        powers = [f"{before:.0%}, {after:.0%}" for before, after in seen.right]
        wrong = [f"{share:.1%}" for share in seen.wrong]
        lines.append([case.name, f"{case.comparisons:,}", *wrong, f"{seen.limit:.2f}", *powers])
    header = ["", "comparisons", "before", "now", "limit", *(f"worse by {errors}" for errors in ERRORS)]
    print(wrapped(table(header, lines)))


if __name__ == "__main__":
    main()

"""What `run.json` says of a blended run: of what runs it is made, and what each of them adds."""

from dataclasses import dataclass

from catsdogs.scoring.calibration import Calibration


@dataclass(frozen=True)
class Part:
    """What a blended run is made of.

    Attributes:
        name: of the run, or the path of a CSV.
        table: SHA-256 of the run's `oof.csv`, or of the CSV.
        weight: those of all parts add up to 1.
        is_fixed: whether it is a CSV, whose weight was given.
        calibration: of the run's probabilities, before they are averaged.
        added, added_error: what the metric gains by the run, out of fold, with the standard error of that, rows paired;
            above 0 is better. NaN for a CSV, and for the only run.
    """

    name: str
    table: str
    weight: float
    is_fixed: bool
    calibration: Calibration
    added: float
    added_error: float


@dataclass(frozen=True)
class Blend:
    """How the answers of several runs became one, see `scoring.pooling`.

    Attributes:
        space: what was averaged.
        lines: of ranks, see `pooling.Pool`.
        best: the run of the best score of its own, and what the blend gains by the metric beyond it; NaN for one run.
    """

    space: str
    parts: tuple[Part, ...]
    best: str
    gain: float
    gain_error: float
    lines: tuple[tuple[float, float], ...] = ()

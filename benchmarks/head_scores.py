"""What heads score on real vectors, out of fold and on the same folds; what handling label errors changes."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs import heads
from catsdogs.cleaning import duplicates, label_errors
from catsdogs.cleaning.decisions import Corrections
from catsdogs.commands.settings import DEFAULTS
from catsdogs.errors import UsageError
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import deal
from catsdogs.heads import Head
from catsdogs.progress import Progress
from catsdogs.scoring import calibration, comparison, crossval, measuring, training_plan
from catsdogs.scoring.calibration import MAX_TEMPERATURE, Calibration
from catsdogs.scoring.comparison import STANDARD_ERRORS, Comparison

DEFAULT, NOTEBOOK = DEFAULTS["head"], "notebook"
FOLDS, SEED = int(DEFAULTS["folds"]), int(DEFAULTS["seed"])
GRID = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)  # of plain logistic regression's C
HANDLING_REPEATS = 2  # each takes ten fits to a fold
SUSPECT_WEIGHT = 0.3
_PRIOR_VARIANCE = 100.0  # C is this / width, as the shipped heads have it
_ALONE, _UNWEIGHTED = "left alone", "logistic regression, all weights 1"
_DROPPED = f"`{DEFAULT}`, dropped / left alone"
_RELABELLED = f"`{DEFAULT}`, relabelled / left alone"
_WEIGHTED = f"logistic regression, weight {SUSPECT_WEIGHT:g} / 1"
NO_CORRECTIONS = Corrections(frozenset(), {}, "")

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Ratio:
    """A log loss beside another of the same photographs; the difference is paired, with its standard error.

    Attributes:
        limit, at_least: what the ratio must not exceed, or not fall below; None if nothing was promised.
        beyond_noise: whether it was promised too that the difference exceeds two of its standard errors.
    """

    figure: str
    loss: float
    other: float
    difference: float
    error: float
    limit: float | None = None
    at_least: bool = False
    beyond_noise: bool = False

    @classmethod
    def of(cls, figure: str, losses: Array, others: Array, limit: float | None = None, **promised: bool) -> "Ratio":
        """Of (n,) losses."""
        difference = losses - others
        error = float(difference.std(ddof=1) / np.sqrt(len(difference)))
        means = float(losses.mean()), float(others.mean()), float(difference.mean())
        return cls(figure, *means, error, limit, **promised)

    @property
    def value(self) -> float:
        """The first log loss / the second."""
        return self.loss / self.other

    @property
    def errors(self) -> float:
        """The difference in its own standard errors; 0 where both are the same on every photograph."""
        return self.difference / self.error if self.error else 0.0

    @property
    def met(self) -> bool | None:
        """Whether what was promised is kept."""
        if self.limit is None:
            return None
        kept = self.value >= self.limit if self.at_least else self.value <= self.limit
        return kept and (not self.beyond_noise or abs(self.errors) > STANDARD_ERRORS)


@dataclass(frozen=True)
class Scores:
    """What was seen on one set of networks.

    Attributes:
        handling: what became of suspects beside leaving them alone, on all photographs and without the judged ones.
        suspects: how many there were on average among the photographs learnt from in a fold.
        handling_repeats: how often that was cross-validated.
    """

    comparison: Comparison
    ratios: list[Ratio]
    handling: list[tuple[Ratio, Ratio]]
    suspects: float
    handling_repeats: int
    judged: tuple[str, ...]


class _Answers(NamedTuple):
    """For each repeat (n, classes) probabilities out of fold: the head's own, and as `train` delivers them."""

    own: list[Array]
    delivered: list[Array]


class _Vectors(NamedTuple):
    """What heads learn from, and of each repeat the (n,) numbers of the folds; repeat r is drawn by SEED + r."""

    X: NDArray[np.float32]
    labels: Labels
    widths: tuple[int, ...]
    fold_of: list[NDArray[np.int64]]

    def maker(self, name: str, repeat: int, **settings: Any) -> Callable[[], Head]:
        """Of heads as a comparison makes them."""
        return partial(heads.create, name, SEED + repeat, self.widths, **settings)

    def mean_losses(self, answers: Sequence[Array]) -> Array:
        """(n,) log losses, means over the repeats."""
        mean: Array = np.mean([measuring.log_losses(probabilities, self.labels) for probabilities in answers], axis=0)
        return mean


def measure(files: Sequence[Features], repeats: int, judged: Collection[str]) -> Scores:
    """Everything on one set of networks; progress is shown.

    Args:
        judged: ids of photographs that a person has found to be mislabelled or to show no pet.

    Raises:
        UsageError: no repeat; a judged photograph that the files lack.
        TrainingError, StoreError: as `comparison.compare`.
    """
    first = files[0]
    unknown = sorted(set(judged) - set(first.ids["train"]))
    if unknown:
        raise UsageError(f"No training photograph {unknown[0]} in {first.path}", "Give --judged ids that it holds")
    compared = comparison.compare([files], heads.names(), FOLDS, repeats, SEED, NO_CORRECTIONS)
    pictures = duplicates.picture_numbers(first.ids["train"], duplicates.find_copies(files))  # as `compare` does
    fold_of = [deal(first.labels, pictures, FOLDS, SEED + repeat) for repeat in range(repeats)]
    widths = tuple(file.width for file in files)
    vectors = _Vectors(training_plan.training_vectors(files), first.labels, widths, fold_of)
    ratios = _ratios(vectors, compared)
    fair = ~np.isin(first.ids["train"].astype(str), list(judged))
    handling_repeats = min(repeats, HANDLING_REPEATS)
    handling, suspects = _handling(vectors, handling_repeats, fair)
    return Scores(compared, ratios, handling, suspects, handling_repeats, tuple(sorted(judged)))


def _ratios(vectors: _Vectors, compared: Comparison) -> list[Ratio]:
    """The default head beside the notebook's, the best plain logistic regression, the best of all, and the truth."""
    with Progress(len(vectors.fold_of) * FOLDS * (2 + len(GRID)), "pairs", "fit") as bar:
        default = _answers(vectors, bar.update, DEFAULT)
        notebook = _answers(vectors, bar.update, NOTEBOOK)
        grid = {C: _answers(vectors, bar.update, "logistic", C=C) for C in GRID}
    own, delivered = vectors.mean_losses(default.own), vectors.mean_losses(default.delivered)
    notebooks = vectors.mean_losses(notebook.own), vectors.mean_losses(notebook.delivered)
    name_own, plain_own = _best({C: vectors.mean_losses(answers.own) for C, answers in grid.items()})
    name, plain = _best({C: vectors.mean_losses(answers.delivered) for C, answers in grid.items()})
    best = compared.entries[0]
    default_entry = next(entry for entry in compared.entries if entry.head == DEFAULT)
    in_table = (default_entry.log_loss, best.log_loss, default_entry.difference, default_entry.difference_error)
    tempered, own_tempered = (
        vectors.mean_losses([_fitted_on_truth(probabilities, vectors.labels) for probabilities in answers])
        for answers in (default.delivered, default.own)
    )
    truth = "at the true temperature / delivered"
    return [
        Ratio.of(f"`{DEFAULT}` / `{NOTEBOOK}`, both calibrated", delivered, notebooks[1], 0.75, beyond_noise=True),
        Ratio.of(f"`{DEFAULT}` / `{NOTEBOOK}`, first calibrated", delivered, notebooks[0]),
        Ratio.of(f"`{DEFAULT}` / `{NOTEBOOK}`, neither calibrated", own, notebooks[0]),
        Ratio.of(f"`{DEFAULT}` / {name}, both calibrated", delivered, plain, 0.98),
        Ratio.of(f"`{DEFAULT}` / {name_own}, first calibrated", delivered, plain_own, 0.98),
        Ratio.of(f"`{DEFAULT}` / {name_own}, neither calibrated", own, plain_own),
        Ratio(f"`{DEFAULT}` / the best of the table, `{best.head}`", *in_table, 1.03),
        Ratio.of(f"`{DEFAULT}` delivered, {truth}", tempered, delivered, 0.98, at_least=True),
        Ratio.of(f"`{DEFAULT}` uncalibrated, {truth}", own_tempered, delivered),
    ]


def _answers(vectors: _Vectors, advance: Callable[[], Any], name: str, **settings: Any) -> _Answers:
    own, delivered = [], []
    all_rows = np.ones(len(vectors.labels), bool)
    for repeat, fold in enumerate(vectors.fold_of):
        make = vectors.maker(name, repeat, **settings)
        probabilities = crossval.cross_validate(vectors.X, vectors.labels, all_rows, fold, make, advance).predictions
        own.append(probabilities)
        delivered.append(calibration.cross_fitted(probabilities, vectors.labels, fold))
    return _Answers(own, delivered)


def _best(plain: dict[float, Array]) -> tuple[str, Array]:
    """Of the losses for each C, in words and as they are. They choose themselves, which favours them."""
    C = min(plain, key=lambda C: float(plain[C].mean()))
    return f"plain logistic, C = {C:g}", plain[C]


def _fitted_on_truth(probabilities: Array, labels: Labels) -> Array:
    """(n, classes) with the one temperature that nobody could have known beforehand."""
    from scipy.optimize import minimize_scalar

    def loss(logarithm: float) -> float:
        calibrated = Calibration(float(np.exp(logarithm))).apply(probabilities)
        return float(measuring.log_losses(calibrated, labels).mean())

    bound = np.log(MAX_TEMPERATURE)
    found = minimize_scalar(loss, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-4})
    return Calibration(float(np.exp(found.x))).apply(probabilities)


def _handling(vectors: _Vectors, repeats: int, fair: NDArray[np.bool_]) -> tuple[list[tuple[Ratio, Ratio]], float]:
    """Of each way with suspects, on all rows and on those that are `fair`; and how many suspects a fold had."""
    labels = vectors.labels
    delivered: dict[str, list[Array]] = {}
    counts = []
    with Progress(repeats * FOLDS * (FOLDS + 1), "label errors", "fit") as bar:
        for repeat, fold in enumerate(vectors.fold_of[:repeats]):
            out_of_fold: dict[str, Array] = {}
            for number in range(FOLDS):
                learnt, held_out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
                ways, suspects = _ways(vectors, learnt, held_out, repeat, bar.update)
                for way, probabilities in ways.items():
                    rows = out_of_fold.setdefault(way, np.empty((len(labels), probabilities.shape[1])))
                    rows[held_out] = probabilities
                counts.append(suspects)
                bar.update()
            for way, probabilities in out_of_fold.items():
                delivered.setdefault(way, []).append(calibration.cross_fitted(probabilities, labels, fold))
    losses = {way: vectors.mean_losses(answers) for way, answers in delivered.items()}
    references = {_DROPPED: losses[_ALONE], _RELABELLED: losses[_ALONE], _WEIGHTED: losses[_UNWEIGHTED]}
    table = [
        (Ratio.of(way, losses[way], others), Ratio.of(way, losses[way][fair], others[fair]))
        for way, others in references.items()
    ]
    return table, float(np.mean(counts))


def _ways(
    vectors: _Vectors,
    learnt: NDArray[np.intp],
    held_out: NDArray[np.intp],
    repeat: int,
    advance: Callable[[], Any],
) -> tuple[dict[str, Array], int]:
    """Way with suspects -> (held out, classes) probabilities; how many suspects are among the learnt rows.

    Suspects are found by heads that did not learn from them, among the learnt rows alone. Held-out rows stay unseen.
    """
    X, labels, unseen = vectors.X[learnt], vectors.labels[learnt], vectors.X[held_out]
    make, all_rows = vectors.maker(DEFAULT, repeat), np.ones(len(learnt), bool)
    inner = deal(labels, np.arange(len(labels)), FOLDS, SEED + repeat)
    probabilities = crossval.cross_validate(X, labels, all_rows, inner, make, advance).predictions
    suspects = list(label_errors.find_label_errors(probabilities, labels))
    trusted = ~np.isin(np.arange(len(labels)), suspects)
    believed = np.where(trusted, labels, probabilities.argmax(axis=1))
    plain = {
        _UNWEIGHTED: np.ones(len(labels)),
        _WEIGHTED: np.where(trusted, 1.0, SUSPECT_WEIGHT),
    }
    return {
        _ALONE: make().fit(X, labels).predict_proba(unseen),
        _DROPPED: make().fit(X[trusted], labels[trusted]).predict_proba(unseen),
        _RELABELLED: make().fit(X, believed).predict_proba(unseen),
        **{way: _weighted(X, labels, weights, unseen) for way, weights in plain.items()},
    }, len(suspects)


def _weighted(X: NDArray[np.float32], labels: Labels, weights: Array, unseen: NDArray[np.float32]) -> Array:
    """The probabilities of scikit-learn's logistic regression, for no shipped head takes weights."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=_PRIOR_VARIANCE / X.shape[1], max_iter=1000)
    fitted = make_pipeline(StandardScaler(), regression).fit(X, labels, logisticregression__sample_weight=weights)
    probabilities: Array = fitted.predict_proba(unseen)
    return probabilities

"""What `outliers` finds of labels, grades and numbers that were spoiled, and of photographs that do not belong.

`python -m benchmarks.spoiled FEATURES DATA FOREIGN`: the feature files of the Lites, the photographs they are of, and
feature files of the same networks of other pictures.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import median_abs_deviation
from sklearn.metrics import roc_auc_score

from benchmarks.kinds_of_tasks import FOLDS, NETWORKS, SEED, Question, questions
from catsdogs import heads
from catsdogs.cleaning import label_errors
from catsdogs.cleaning.knn_outliers import FAR, NEIGHBOURS
from catsdogs.features import feature_file, folds, joining
from catsdogs.features.scaling import Vectors
from catsdogs.photographs.dataset import scan
from catsdogs.photographs.task import LABELS, NUMBER
from catsdogs.scoring import crossval, training_plan

LABELS_SPOILED, NUMBERS_SPOILED = 0.05, 0.03
ROUNDS = 2
HEAD = "stack"  # a good one, and quick
CROWD, FAR_FROM_ALLS = 500, (5, 20)

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


def spoil(question: Question, share: float, draw: np.random.Generator) -> tuple[NDArray[Any], Flags]:
    """What is asked with a share of it changed, and which: labels turned over, another grade, two deviations more."""
    spoiled, right = draw.random(question.right.shape) < share, question.right
    if question.task.kind == LABELS:
        return np.where(spoiled, 1 - right, right), spoiled
    if question.task.kind == NUMBER:
        sign = draw.choice([-1, 1], right.shape)
        return np.where(spoiled, right + 3 * sign * right.std(), right), spoiled
    grades = int(right.max()) + 1
    return np.where(spoiled, (right + draw.integers(1, grades, right.shape)) % grades, right), spoiled


def doubts(question: Question, given: NDArray[Any], predictions: Floats) -> dict[str, tuple[Floats, float]]:
    """Rule -> the doubt in everything given, and from which doubt on it is listed; the one of `outliers` first."""
    if question.task.kind == LABELS:
        plain = np.where(given > 0, 1 - predictions, predictions)
        ours = label_errors.score_labels(predictions, given)
        return {"by the usual probability": (ours, label_errors.DOUBT), "p(other) of 0.8": (plain, 0.8)}
    if question.task.kind == NUMBER:
        off = np.abs(given - predictions - np.median(given - predictions))
        plain = off / median_abs_deviation(given - predictions, axis=None, scale="normal")
        ours = label_errors.score_numbers(predictions, given)
        return {"among all and among like": (ours, label_errors.FAR), "among all": (plain, label_errors.FAR)}
    mine = predictions[np.arange(len(given)), given]
    others = np.where(np.arange(predictions.shape[1]) == given[:, np.newaxis], 0, predictions)
    plain = (1 + others.max(axis=1) - mine) / 2
    ours = label_errors.score_grades(predictions, given)
    return {"by distance": (ours, label_errors.DOUBT), "margin": (plain, label_errors.DOUBT)}


def measure_spoiled(question: Question, X: NDArray[np.float32], widths: tuple[int, ...]) -> None:
    """Print a row for each rule, the mean of the rounds."""
    kind = question.task.kind
    share = NUMBERS_SPOILED if kind == NUMBER else LABELS_SPOILED
    found: dict[str, list[tuple[float, ...]]] = {}
    for seed in range(ROUNDS):
        for used in (0.0, share):
            given, spoiled = spoil(question, used, np.random.default_rng(seed))
            alone = np.arange(len(given))
            strata: Any = folds.bins_of(given, FOLDS) if kind == NUMBER else given
            fold = (folds.deal_labels if kind == LABELS else folds.deal)(strata, alone, FOLDS, SEED + seed)
            every, make = np.ones(len(X), bool), _maker(HEAD, widths, kind)
            predictions = crossval.cross_validate(X, given, every, fold, make, lambda: None, kind=kind).predictions
            for rule, (doubt, least) in doubts(question, given, predictions).items():
                listed = doubt >= least
                if not used:
                    found.setdefault(f"{rule} untouched", []).append((listed.sum(),))
                    continue
                hit = (listed & spoiled).sum()
                area = roc_auc_score(spoiled.ravel(), doubt.ravel())
                found.setdefault(rule, []).append((area, listed.sum(), hit / max(1, listed.sum()), hit / spoiled.sum()))
    for rule in [rule for rule in found if not rule.endswith("untouched")]:
        area, listed, precision, recall = np.mean(found[rule], axis=0)
        untouched = np.mean(found[f"{rule} untouched"])
        cells = (question.name, rule, f"{area:.3f}", f"{listed:.0f}", f"{precision:.2f}", f"{recall:.2f}")
        print(f"| {' | '.join(cells)} | {untouched:.0f} |", flush=True)


def _maker(head: str, widths: tuple[int, ...], kind: str) -> Callable[[], heads.Head]:
    return lambda: heads.create(head, SEED, widths, kind)


def measure_foreign(crowd: Vectors, foreign: Vectors, name: str) -> None:
    """Print a row for each number of foreign photographs: among so many of a kind, by their distance to the nearest."""
    for count in FAR_FROM_ALLS:
        rounds = []
        for seed in range(5):
            draw = np.random.default_rng(seed)
            chosen = [
                from_[draw.choice(len(from_), n, replace=False)] for from_, n in ((crowd, CROWD), (foreign, count))
            ]
            vectors, is_strange = np.concatenate(chosen), np.arange(CROWD + count) >= CROWD
            cosines = vectors @ vectors.T
            np.fill_diagonal(cosines, -1)
            nearest = min(NEIGHBOURS, len(vectors) // 10)
            distances = 1 - np.sort(cosines, axis=1)[:, -nearest:].mean(axis=1)
            spread = median_abs_deviation(distances, scale="normal")
            listed = distances - np.median(distances) > FAR * spread
            hit = (listed & is_strange).sum()
            rounds.append((roc_auc_score(is_strange, distances), listed.sum(), hit / max(1, listed.sum()), hit / count))
        area, listed, precision, recall = np.mean(rounds, axis=0)
        print(f"| {count} {name} | {area:.3f} | {listed:.0f} | {precision:.2f} | {recall:.2f} |", flush=True)


def main() -> None:
    folder, dataset, other = Path(sys.argv[1]), scan(Path(sys.argv[2])), Path(sys.argv[3])
    files = [feature_file.read_features(feature_file.path_of(folder, name)) for name in NETWORKS]
    foreign = [feature_file.read_features(feature_file.path_of(other, name)) for name in NETWORKS]
    pets = joining.Joined(files, "train", normalised=True).read()
    cats, dogs = pets[files[0].labels == 0], pets[files[0].labels == 1]
    print("| among 500 dogs | AUROC | listed | precision | recall |\n| --- | --- | --- | --- | --- |")
    measure_foreign(dogs, joining.Joined(foreign, "train", normalised=True).read(), "drawn pictures")
    measure_foreign(dogs, cats, "cats")
    print("\n| asked for | rule | AUROC | listed | precision | recall | listed of the untouched |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    X, widths = training_plan.training_vectors(files), tuple(file.width for file in files)
    # The first of each name: labels are the same for all metrics, and in mostly noise nothing is to be found.
    asked = {question.name.split(",")[0]: question for question in reversed(questions(files[0], dataset))}
    for name, question in asked.items():
        measure_spoiled(question._replace(name=name), X, widths)


if __name__ == "__main__":
    main()

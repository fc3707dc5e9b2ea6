"""What folds that part patients say of a head, beside folds that do not and beside patients that nobody has seen.

`python -m benchmarks.groups`: photographs of simulated patients, whose vectors tell who a patient is and, to a degree,
who is ill. A head learns the patients by heart where the folds let it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from catsdogs import heads
from catsdogs.features import folds

PATIENTS, EACH, WIDTH = 100, 20, 200
REPEATS = 20
_HEAD = "logistic"


class Drawn(NamedTuple):
    """Photographs: (n, width) vectors, (n,) whether the patient is ill, (n,) numbers of patients."""

    X: NDArray[np.float32]
    ill: NDArray[np.int64]
    patient: NDArray[np.int64]


def draw_patients(random: np.random.Generator, illness: NDArray[np.float64], of_patient: float) -> Drawn:
    """Photographs of `PATIENTS`, half of them ill.

    Args:
        illness: (width,) what the illness adds to a vector.
        of_patient: the standard deviation of what a patient adds; what a single photograph adds has 1.
    """
    ill = np.arange(PATIENTS) % 2
    patients = of_patient * random.normal(size=(PATIENTS, WIDTH)) + ill[:, np.newaxis] * illness
    patient = np.repeat(np.arange(PATIENTS), EACH)
    vectors = patients[patient] + random.normal(size=(len(patient), WIDTH))
    return Drawn(vectors.astype(np.float32), ill[patient], patient)


def auc_out_of_fold(drawn: Drawn, groups: NDArray[np.int64], seed: int) -> float:
    """AUC of the head by five folds that keep `groups` together."""
    fold = folds.deal(drawn.ill, groups, 5, seed)
    probabilities = np.empty(len(fold))
    for number in range(5):
        learnt = fold != number
        head = heads.create(_HEAD, seed).fit(drawn.X[learnt], drawn.ill[learnt])
        probabilities[~learnt] = head.predict_proba(drawn.X[~learnt])[:, 1]
    return float(roc_auc_score(drawn.ill, probabilities))


def measure(signal: float, of_patient: float) -> NDArray[np.float64]:
    """(repeats, 3) AUC by plain folds, by folds of whole patients, and of a head of all on patients never seen."""
    rows = []
    for seed in range(REPEATS):
        random = np.random.default_rng(seed)
        illness = signal * random.normal(size=WIDTH) / np.sqrt(WIDTH)
        known, others = (draw_patients(random, illness, of_patient) for _ in range(2))
        head = heads.create(_HEAD, seed).fit(known.X, known.ill)
        unseen = float(roc_auc_score(others.ill, head.predict_proba(others.X)[:, 1]))
        alone = np.arange(len(known.ill))
        rows.append((auc_out_of_fold(known, alone, seed), auc_out_of_fold(known, known.patient, seed), unseen))
    return np.array(rows)


def main() -> None:
    print(f"{PATIENTS} patients, {EACH} photographs of each, {WIDTH} columns, {REPEATS} draws, head {_HEAD}; AUC")
    print("| illness | patient | plain folds | whole patients | unseen patients | flattered by | grouped - unseen |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for signal in (0.0, 1.0, 3.0):
        for of_patient in (0.0, 0.3, 1.0):
            found = measure(signal, of_patient)
            plain, grouped, unseen = found.T
            cells = [f"{column.mean():.3f}" for column in (plain, grouped, unseen)]
            cells += [_with_error(plain - unseen), _with_error(grouped - unseen)]
            print(f"| {signal:g} | {of_patient:g} | {' | '.join(cells)} |", flush=True)


def _with_error(differences: NDArray[np.float64]) -> str:
    return f"{differences.mean():+.3f} ± {differences.std(ddof=1) / np.sqrt(len(differences)):.3f}"


if __name__ == "__main__":
    main()

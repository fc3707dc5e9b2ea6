"""Groups: none lies in two folds, and a run says by how much folds that part them flatter."""

from pathlib import Path

import numpy as np
import pytest

from catsdogs.errors import TrainingError
from catsdogs.features.feature_file import Features
from catsdogs.photographs.task import NUMBER, Task
from catsdogs.runs import run_card
from catsdogs.scoring import training_plan
from tests.conftest import refused
from tests.support.kinds import OF_KINDS, features_of
from tests.support.runs import read_csv, train

PATIENTS, EACH = 40, 8
OF_PATIENTS = {f"row.{n}": f"patient {n // EACH}" for n in range(PATIENTS * EACH)}


def patients(folder: Path, illness: float, of_patient: float, seed: int = 0) -> Features:
    """Photographs of patients, half of them ill; vectors tell the illness and the patient as strongly as is said."""
    draw = np.random.default_rng(seed)
    patient = np.repeat(np.arange(PATIENTS), EACH)
    ill = np.arange(PATIENTS) % 2
    each = of_patient * draw.normal(size=(PATIENTS, 60)) + illness * ill[:, np.newaxis] * draw.normal(size=60)
    vectors = np.concatenate((each[patient], np.zeros((4, 60)))) + draw.normal(size=(PATIENTS * EACH + 4, 60))
    texts = [("well", "ill")[ill[number]] for number in patient]
    task = Task("binary", "probability", targets=("ill",), positive="ill", metric="auc", given={"groups": "patient_id"})
    return features_of(folder, task, PATIENTS * EACH, 4, texts=texts, vectors=vectors, group_of=OF_PATIENTS)


def test_plain_folds_flatter_a_head_that_learns_patients_by_heart(tmp_path: Path) -> None:
    """Nothing tells the illness but who the patient is, so that on other patients any head is blind."""
    run = train([patients(tmp_path, illness=0, of_patient=1)], tmp_path, folds=5)
    grouped, plain = run.scores[0], run.scores[-1]
    assert run.grouped_by == "patient_id"
    assert "5 folds with groups in one" in grouped.measured_on
    assert abs(grouped.value - 0.5) < 0.2  # 40 patients tell an AUC to some 0.09
    assert plain.value > 0.8
    assert "which part the groups by patient_id: they flatter by 0." in plain.measured_on
    folds = {}
    for row in read_csv(tmp_path / "run" / "oof.csv"):
        folds.setdefault(OF_PATIENTS[row["id"]], set()).add(row["fold"])
    assert all(len(several) == 1 for several in folds.values())


def test_plain_folds_do_not_flatter_where_photographs_of_a_patient_are_like_any_others(tmp_path: Path) -> None:
    run = train([patients(tmp_path, illness=0.4, of_patient=0)], tmp_path, folds=5)
    assert "no better, beyond noise" in run.scores[-1].measured_on
    assert abs(run.scores[0].value - run.scores[-1].value) < 0.05


def test_groups_and_copies_that_touch_share_a_fold(tmp_path: Path) -> None:
    file = features_of(tmp_path, Task.of_classes(("a", "b")), 12, texts=["a", "b"] * 6, group_of={
        "row.0": "x", "row.1": "x", "row.2": "y", "row.3": "y",
    })  # fmt: skip
    rows = training_plan.TrainingRows.of([file], copies=(("row.1", "row.2"), ("row.8", "row.9")))
    assert len(set(rows.pictures[[0, 1, 2, 3]])) == 1  # a copy of y's is x's
    assert len(set(rows.pictures)) == 12 - 3 - 1
    assert len(set(rows.with_copies((), is_grouped=False).pictures)) == 12


@pytest.mark.parametrize("task", OF_KINDS.values(), ids=OF_KINDS)
def test_groups_of_every_kind_stay_whole(tmp_path: Path, task: Task) -> None:
    group_of = {f"row.{n}": f"g{n % 17}" for n in range(120)}
    rows = training_plan.TrainingRows.of([features_of(tmp_path, task, group_of=group_of)])
    fold = rows.deal(5, 0)
    assert all(len(set(fold[n::17][: len(range(n, 120, 17))])) == 1 for n in range(17))
    assert len(set(fold.tolist())) == 5
    targets = rows.first.targets
    means = np.array([targets[fold == number].mean(axis=0) for number in range(5)])
    spread = targets.std(axis=0) if task.kind == NUMBER else 1
    assert (np.ptp(means, axis=0) < 1.2 * spread).all()


def test_fewer_groups_than_folds_are_refused(tmp_path: Path) -> None:
    group_of = {f"row.{n}": f"g{n % 3}" for n in range(120)}
    file = features_of(tmp_path, OF_KINDS["number"], group_of=group_of)
    with refused(TrainingError, "Of 5 folds, one would hold out nothing: there are 3 groups .* fewer --folds"):
        train([file], tmp_path, folds=5)


def test_a_run_is_repeated_on_the_same_groups_only(tmp_path: Path) -> None:
    file = patients(tmp_path, illness=0, of_patient=1)
    run = train([file], tmp_path, folds=5)
    assert run_card.read_run(tmp_path / "run") == run
    again = train([file], tmp_path, name="again", **vars(run_card.plan_of(run)))
    assert again.scores == run.scores
    others = patients(tmp_path / "other", illness=0, of_patient=1)
    others.groups[:EACH] = "somebody"
    with refused(Exception, "holds other rows than the run run was trained on"):
        run_card.rows_of(run, [others])

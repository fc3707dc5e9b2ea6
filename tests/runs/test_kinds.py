"""Runs of several labels, grades and numbers: trained, written as asked, read back, repeated, and graded."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from catsdogs.competition import grading
from catsdogs.errors import SubmissionError
from catsdogs.features.feature_file import Features
from catsdogs.photographs import label_texts
from catsdogs.photographs.task import LABELS, NAMES, NUMBER, Task
from catsdogs.runs import out_of_fold, run_card
from catsdogs.scoring import judging, training_plan
from tests.conftest import refused
from tests.support.kinds import FRUITS, OF_KINDS, features_of
from tests.support.runs import read_csv, train

EVERY = pytest.mark.parametrize("task", OF_KINDS.values(), ids=OF_KINDS)
BLIND = {"mean-auc": 0.5, "f1-micro": 0.55, "qwk": 0.0, "rmse": 10.0}


def trained(folder: Path, task: Task, **other: object) -> tuple[Features, run_card.Run]:
    file = features_of(folder / "features", task, 200, 12, **other)  # type: ignore[arg-type]
    return file, train([file], folder / "submissions", folds=4)


@EVERY
def test_the_score_is_that_of_rows_that_no_head_saw_and_no_threshold_was_fitted_to(tmp_path: Path, task: Task) -> None:
    file, run = trained(tmp_path, task)
    score = run.scores[0]
    better = -1 if task.kind == NUMBER else 1
    assert better * (score.value - BLIND[task.metric]) > 0.2 * abs(BLIND[task.metric]) + 4 * score.value_error / 10
    raw, fold = out_of_fold.read_out_of_fold(tmp_path / "submissions/run", run, file)
    judged = judging.cross_fitted(raw, judging.truth_of(file), fold, task, judging.grades_of(task, file.classes))
    oracle = {
        "mean-auc": lambda: sklearn_metrics.roc_auc_score(file.targets, judged.unclipped),
        "f1-micro": lambda: sklearn_metrics.f1_score(file.targets, judged.decided, average="micro"),
        "qwk": lambda: sklearn_metrics.cohen_kappa_score(file.labels, judged.decided, weights="quadratic"),
        "rmse": lambda: math.sqrt(sklearn_metrics.mean_squared_error(file.targets, raw)),
    }[task.metric]
    assert score.value == pytest.approx(oracle(), abs=1e-12)
    assert "nan" not in str(score)


@EVERY
def test_labels_that_mean_nothing_show_no_skill(tmp_path: Path, task: Task) -> None:
    """Thresholds and cut points that were judged by the rows they were fitted to would."""
    draw = np.random.default_rng(1)
    texts = np.array(_texts(task, draw))
    _, run = trained(tmp_path, task, texts=texts.tolist(), vectors=draw.normal(size=(212, 8)))
    score = run.scores[0]
    if task.answer == NAMES:  # all labels named for all is the best that is known
        names = [label_texts.labels_in(text) for text in texts]
        share = np.mean([len(shown) for shown in names]) / len(FRUITS)
        assert score.value < 2 * share / (share + 1) + 2 * score.value_error
    elif task.kind == NUMBER:
        assert score.value > 0.95 * np.std(texts.astype(float))
    else:
        assert abs(score.value - BLIND[task.metric]) < 3 * score.value_error


def _texts(task: Task, draw: np.random.Generator) -> list[str]:
    if task.kind == LABELS:
        shown = draw.random((200, 3)) < 0.4
        return [
            label_texts.text_of([n for n, s in zip(task.names, row, strict=True) if s], task.names) for row in shown
        ]
    return [str(number) for number in draw.integers(0, 5 if task.kind == "ordinal" else 100, 200)]


SAMPLES = {
    "probabilities": "file,plum,apple,pear\n" + "".join(f"{n}.jpg,0,0,0\n" for n in range(12, 0, -1)),
    "names": "file,fruits\n" + "".join(f"{n}.jpg,apple\n" for n in range(12, 0, -1)),
    "grade": "file,grade\n" + "".join(f"{n}.jpg,0\n" for n in range(12, 0, -1)),
    "number": "file,weight\n" + "".join(f"{n}.jpg,50.0\n" for n in range(12, 0, -1)),
}


@pytest.mark.parametrize("name", OF_KINDS)
def test_the_submission_has_the_form_of_the_sample(tmp_path: Path, name: str) -> None:
    task = OF_KINDS[name]
    task = Task(**vars(task) | {"id_column": "file"})
    file = features_of(tmp_path / "features", task, 200, 12)
    sample = SAMPLES[name].replace(".jpg", "")
    run = train([file], tmp_path, sample_submission=sample)
    rows = read_csv(tmp_path / "run/submission.csv")
    assert [row["file"] for row in rows] == [str(n) for n in range(12, 0, -1)]
    assert ",".join(rows[0]) == sample.partition("\n")[0]
    predicted = run_card.load_run(tmp_path / "run").predict(file.vectors("test"))[::-1]
    decided = run.rule.decide(predicted)
    for row, numbers, named in zip(rows, predicted, decided, strict=True):
        if name == "probabilities":
            assert [float(row[fruit]) for fruit in FRUITS] == pytest.approx(numbers.tolist())
        elif name == "names":
            assert row["fruits"] == " ".join(fruit for fruit, is_named in zip(FRUITS, named, strict=True) if is_named)
        elif name == "grade":
            assert row["grade"] == run.classes[named]
        else:
            assert float(row["weight"]) == pytest.approx(numbers[0])
            assert file.targets.min() <= numbers[0] <= file.targets.max()


@EVERY
def test_a_run_is_read_back_answers_alike_and_is_repeated(tmp_path: Path, task: Task) -> None:
    file, run = trained(tmp_path, task)
    folder = tmp_path / "submissions"
    assert repr(run_card.read_run(folder / "run")) == repr(run)  # NaN is not NaN
    assert run.classes == file.columns
    again = train([file], folder, name="again", **vars(run_card.plan_of(run)))
    assert repr(again.scores) == repr(run.scores)
    for name in ("submission.csv", "oof.csv"):
        assert (folder / "again" / name).read_bytes() == (folder / "run" / name).read_bytes()


@pytest.mark.parametrize("name", OF_KINDS)
def test_a_photograph_that_cannot_be_read_gets_what_is_known_of_all(tmp_path: Path, name: str) -> None:
    task = OF_KINDS[name]
    _, run = trained(tmp_path, task)
    targets = features_of(tmp_path / "features", task, 200, 12).targets
    if not task.has_classes:
        assert run.prior == pytest.approx(targets.mean(axis=0).tolist())
    else:
        assert sum(run.prior) == pytest.approx(1)


@pytest.mark.parametrize("name", ["probabilities", "names", "number"])
def test_a_person_may_correct_to_labels_that_no_other_photograph_has(tmp_path: Path, name: str) -> None:
    task = OF_KINDS[name]
    file = features_of(tmp_path, task, 200)
    text = "12.25" if task.kind == NUMBER else "apple|pear|plum"
    rows = training_plan.check_trainable([file], relabel={"row.3": text})
    assert rows.to_learn[3].tolist() == ([12.25] if task.kind == NUMBER else [1, 1, 1])
    np.testing.assert_array_equal(np.delete(rows.to_learn, 3, axis=0), np.delete(rows.truth, 3, axis=0))


TRUTHS = {
    "probabilities": lambda targets: ("apple,pear,plum", [",".join(str(int(v)) for v in row) for row in targets]),
    "names": lambda targets: (
        "fruits",
        [" ".join(f for f, v in zip(FRUITS, row, strict=True) if v) for row in targets],
    ),
    "grade": lambda targets: ("grade", [str(int(row[0])) for row in targets]),
    "number": lambda targets: ("weight", [f"{row[0]:.2f}" for row in targets]),
}


@pytest.mark.parametrize("name", OF_KINDS)
def test_a_submission_is_graded_against_a_truth_of_its_form(tmp_path: Path, name: str) -> None:
    task = OF_KINDS[name]
    _, run = trained(tmp_path, task)
    targets = features_of(tmp_path / "features", task, 12, seed=3).targets
    header, cells = TRUTHS[name](targets)
    truth = tmp_path / "truth.csv"
    truth.write_text(f"id,{header}\n" + "".join(f"{n},{cell}\n" for n, cell in enumerate(cells, start=1)))
    path = tmp_path / "submissions/run/submission.csv"
    graded = grading.grade_submission(path, truth, run.classes, (), run.task, run.rule)
    rows = read_csv(path)
    rows.sort(key=lambda row: int(row["id"]))
    if name == "probabilities":
        written = np.array([[float(row[fruit]) for fruit in FRUITS] for row in rows])
        expected = sklearn_metrics.roc_auc_score(targets, written)
    elif name == "names":
        written = np.array([[fruit in row["label"].split(" ") for fruit in FRUITS] for row in rows])
        expected = sklearn_metrics.f1_score(targets, written, average="micro")
    elif name == "grade":
        expected = sklearn_metrics.cohen_kappa_score(
            targets[:, 0], [float(row["label"]) for row in rows], weights="quadratic", labels=range(5)
        )
    else:
        expected = np.sqrt(np.mean((targets[:, 0] - [float(row["weight"]) for row in rows]) ** 2))
    assert graded.value == pytest.approx(expected)
    column = {"names": "label", "grade": "label"}.get(name, header)  # as the submission calls it
    rows_of_truth = [f"p{n},{n},{cell}\n" for n, cell in enumerate(cells, start=1)]
    (tmp_path / "wide.csv").write_text(f"patient,id,{column}\n" + "".join(rows_of_truth))
    of_sample = replace(run.task, id_form="without suffix")
    wide = grading.grade_submission(path, tmp_path / "wide.csv", run.classes, (), of_sample, run.rule)
    assert (wide.value, wide.rows) == (graded.value, graded.rows)
    truth.write_text(truth.read_text().replace(f"\n1,{cells[0]}", "\n1,nonsense", 1))
    with refused(SubmissionError, "truth|nonsense"):
        grading.grade_submission(path, truth, run.classes, (), run.task, run.rule)


def test_a_run_of_a_single_label_is_read_back(tmp_path: Path) -> None:
    """Beside photographs of none there may be one label alone, as `--kind labels` takes a column of it."""
    task = Task(LABELS, NAMES, targets=("fruits",), names=("apple",), separator=" ", metric="f1-micro")
    _, run = trained(tmp_path, task)
    assert run_card.read_run(tmp_path / "submissions/run").classes == run.classes == ("apple",)
    assert {row["label"] for row in read_csv(tmp_path / "submissions/run/submission.csv")} <= {"", "apple"}

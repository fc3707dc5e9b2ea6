"""Cross-validation that never learns from what it scores, and a run folder that is whole, or not there at all."""

import csv
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catsdogs import heads, images, runs, store, submission, training
from catsdogs.dataset import Location, Photograph
from catsdogs.errors import CatsdogsError, StoreError, SubmissionError, TrainingError, UnknownNameError, UsageError
from catsdogs.shards import Cache, Entry
from catsdogs.store import RANDOM_WEIGHTS, Features, Unreadable
from tests.conftest import recipe, rows_of

DAMAGED = Unreadable("test", "99", "the file is empty")


def entries(train: Sequence[tuple[str, int]], test: int) -> list[Entry]:
    rows = [Photograph(id, "train", label, Location(Path("photographs"), id)) for id, label in train]
    rows += [Photograph(str(n + 1), "test", -1, Location(Path("photographs"), str(n + 1))) for n in range(test)]
    return [Entry(row, images.digest(f"{row.split}/{row.id}".encode())) for row in rows]


def features(
    folder: Path,
    name: str = "ResNet50",
    classes: Sequence[str] = ("cat", "dog"),
    rows: int = 20,
    test: int = 6,
    unreadable: Sequence[Unreadable] = (),
    **other: object,
) -> Features:
    """A feature file in which the classes, of `rows` photographs each, lie well apart; test rows take turns."""
    train = [(f"{class_name}.{n}", label) for label, class_name in enumerate(classes) for n in range(rows)]
    table = entries(train, test)
    known = rows_of(table, width=5, name=name)
    labels = np.array([label for _, label in train] + [n % len(classes) for n in range(test)])
    vectors = known.vector + 4 * np.eye(len(classes), 5, dtype=np.float32)[labels]
    cache = Cache(folder, recipe(name, **other))
    cache.write_shard(replace(known, vector=vectors), "none")
    cache.assemble(table, classes, unreadable, "photographs")
    return store.read(cache.path)


def train(files: Sequence[Features], submissions: Path, **other: Any) -> runs.Run:
    usual = {"head": "logistic", "folds": 4, "seed": 0, "name": "run", "command": "catsdogs train"}
    return training.train(files, submissions=submissions, **{**usual, **other})


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_writes_what_it_says(tmp_path: Path) -> None:
    files = [features(tmp_path, name, unreadable=[DAMAGED]) for name in ("ResNet50", "Xception")]
    sample = "id,label\n" + "".join(f"{id},0.5\n" for id in (99, 6, 5, 4, 3, 2, 1))
    run = train(files, tmp_path / "runs", sample_submission=sample)
    folder = tmp_path / "runs" / "run"
    assert {path.name for path in folder.iterdir()} == {"run.json", "oof.csv", "head.h5", "submission.csv"}
    assert [path.name for path in folder.parent.iterdir()] == ["run"]

    assert runs.read_run(folder) == run
    assert run.scores[0].accuracy == 1 and run.scores[0].log_loss < math.log(2)
    assert all(score.rows == 40 and "out of fold" in score.measured_on for score in run.scores)
    assert run.unreadable == {"99": "the file is empty"}
    assert list(run.backbones) == ["ResNet50", "Xception"] and run.width == 10

    rows = table(folder / "submission.csv")
    assert submission.check(folder / "submission.csv", sample, run.classes) == 7
    assert rows[0] == {"id": "99", "label": "0.5"}
    assert [float(row["label"]) > 0.5 for row in rows[1:]] == [True, False] * 3


def test_the_scores_are_those_of_the_out_of_fold_file(tmp_path: Path) -> None:
    file = features(tmp_path)
    run = train([file], tmp_path)
    rows = table(tmp_path / "run" / "oof.csv")
    assert [row["id"] for row in rows] == list(file.ids["train"])
    probabilities = np.array([[1 - float(row["p_dog"]), float(row["p_dog"])] for row in rows])
    labels = np.array([row["label"] == "dog" for row in rows], int)
    folds = np.array([int(row["fold"]) for row in rows])
    assert {(fold, label): 5 for fold in range(1, 5) for label in (0, 1)} == {
        (fold, label): int(np.sum((folds == fold) & (labels == label))) for fold in range(1, 5) for label in (0, 1)
    }
    as_submitted = runs.clipped(probabilities, run.clip)
    assert submission.score(as_submitted, labels, "").log_loss == pytest.approx(run.scores[0].log_loss)
    assert submission.score(probabilities, labels, "").log_loss == pytest.approx(run.scores[-1].log_loss)
    assert "not clipped" in run.scores[-1].measured_on


def test_no_row_is_predicted_by_a_head_that_saw_it() -> None:
    """On labels without a pattern, whoever peeks is better than chance; here there are more columns than rows."""
    random = np.random.default_rng(0)
    X, labels = random.normal(size=(80, 200)).astype(np.float32), np.arange(80) % 2
    kept = np.arange(80) >= 20
    crossed = training.cross_validate(X, labels, kept, "logistic", 4, 0)
    assert submission.score(crossed.probabilities, labels, "").log_loss > math.log(2)
    for number, head in enumerate(crossed.heads):
        learnt = kept & (crossed.fold != number)
        oracle = heads.create("logistic", 0).fit(X[learnt], labels[learnt])
        held = crossed.fold == number
        assert np.array_equal(head.predict_proba(X), oracle.predict_proba(X))
        assert np.array_equal(crossed.probabilities[held], oracle.predict_proba(X[held]))


def test_dropped_rows_are_scored_but_never_learnt_from(tmp_path: Path) -> None:
    file = features(tmp_path)
    honest = train([file], tmp_path, name="honest")
    wrong = replace(file, labels=np.where(file.ids["train"] == "dog.3", 0, file.labels))
    drop = frozenset({"dog.3", "bird.7"})
    run, same = train([wrong], tmp_path, name="wrong", drop=drop), train([file], tmp_path, name="right", drop=drop)
    assert run.dropped == ("dog.3",)
    assert run.prior == (20 / 39, 19 / 39)
    kept, *_, everyone = run.scores
    assert (kept.rows, everyone.rows) == (39, 40) and "dropped" in everyone.measured_on
    assert everyone.log_loss > kept.log_loss  # the wrong label costs, and is not hidden
    assert not any("dropped" in score.measured_on for score in honest.scores)
    assert [row["id"] for row in table(tmp_path / "wrong" / "oof.csv") if row["dropped"] == "1"] == ["dog.3"]
    first, second = (runs.load(tmp_path / name).heads[0].arrays() for name in ("wrong", "right"))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert same.scores[0].log_loss == pytest.approx(run.scores[0].log_loss, abs=0.02)


def test_a_run_is_taken_up_again_as_it_was(tmp_path: Path) -> None:
    file = features(tmp_path, classes=("ape", "bee", "cow"))
    train([file], tmp_path)
    trained = runs.load(tmp_path / "run")
    _, X = store.join([file], "test")
    probabilities = trained.predict_proba(X)
    assert np.allclose(probabilities.sum(axis=1), 1)
    written = [[float(row[name]) for name in file.classes] for row in table(tmp_path / "run" / "submission.csv")]
    assert np.allclose(written, probabilities, rtol=1e-11)
    with pytest.raises(TrainingError, match="takes vectors of width 5, not 4"):
        trained.predict_proba(X[:, :4])


def test_the_missions_head_leaves_learning_curves_and_repeats_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = heads.create
    monkeypatch.setattr(heads, "create", lambda name, seed, **other: create(name, seed, **{"min_updates": 50} | other))
    file = features(tmp_path)
    for name in ("first", "second"):
        train([file], tmp_path, head="dropout-sigmoid", folds=2, name=name)
    folder = tmp_path / "first"
    assert (folder / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    for part in ("fold-1/train", "fold-1/validation", "fold-2/train", "fold-2/validation"):
        (events,) = (folder / "tensorboard" / part).iterdir()
        assert all(tag in events.read_bytes() for tag in (b"epoch_loss", b"epoch_accuracy", b"scalars"))
    for part in ("submission.csv", "oof.csv"):
        assert (folder / part).read_bytes() == (tmp_path / "second" / part).read_bytes()


def test_without_test_photographs_there_is_no_submission(tmp_path: Path) -> None:
    assert train([features(tmp_path, test=0)], tmp_path).test_rows == 0
    assert not (tmp_path / "run" / "submission.csv").exists()


@settings(deadline=None)
@given(
    wrong=st.integers(0, 20),
    confidence=st.floats(0.5, 1),
    classes=st.integers(2, 4),
)
def test_the_clip_never_makes_the_score_worse(wrong: int, confidence: float, classes: int) -> None:
    labels = np.arange(200) % classes
    said = np.where(np.arange(200) < wrong, (labels + 1) % classes, labels)
    probabilities = np.full((200, classes), (1 - confidence) / (classes - 1))
    probabilities[np.arange(200), said] = confidence
    clip = training.choose_clip(probabilities, labels)
    after = runs.clipped(probabilities, clip)
    assert np.allclose(after.sum(axis=1), 1)
    assert submission.log_losses(after, labels).mean() <= submission.log_losses(probabilities, labels).mean() + 1e-12
    if not wrong:
        assert clip == 0


def test_a_certain_mistake_asks_for_a_clip() -> None:
    labels = np.arange(1000) % 2
    probabilities = np.eye(2)[np.where(np.arange(1000) < 1, 1 - labels, labels)]
    assert training.choose_clip(probabilities, labels) == pytest.approx(1 / 1000)


Refused = tuple[Callable[[Path], list[Features]], dict[str, Any], type[CatsdogsError], str]
REFUSED: dict[str, Refused] = {
    "random weights": (
        lambda folder: [features(folder, weights=RANDOM_WEIGHTS)], {}, TrainingError, "random weights"
    ),
    "one class": (lambda folder: [features(folder, classes=("cat",))], {}, TrainingError, "All 20 .* are cat"),
    "few rows": (
        lambda folder: [features(folder, rows=3)], {}, TrainingError, "class cat has 3 .* fewer than 4 folds"
    ),
    "few rows once dropped": (
        lambda folder: [features(folder)],
        {"drop": {f"dog.{n}" for n in range(17)}},
        TrainingError,
        "class dog has 3 .* fewer than 4 folds",
    ),
    "other rows": (
        lambda folder: [features(folder), features(folder, "Xception", rows=21)], {}, StoreError, "lacks 2 train rows"
    ),
    "a negative seed": (lambda folder: [features(folder)], {"seed": -1}, UsageError, "seed -1.*from 0"),
    "a huge seed": (lambda folder: [features(folder)], {"seed": 2**32}, UsageError, "to 4294967295"),
    "one fold": (lambda folder: [features(folder)], {"folds": 1}, UsageError, "1 folds"),
    "unknown head": (lambda folder: [features(folder)], {"head": "svm"}, UnknownNameError, "dropout-sigmoid"),
    "a path for a name": (lambda folder: [features(folder)], {"name": "../run"}, UsageError, "run name"),
    "a hidden name": (lambda folder: [features(folder)], {"name": ".run"}, UsageError, "run name"),
    "no name": (lambda folder: [features(folder)], {"name": ""}, UsageError, "run name"),
    "another sample": (
        lambda folder: [features(folder)], {"sample_submission": "id,label\n7,0.5\n"}, SubmissionError, "1 ids .*: 7"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trained_on_is_refused_and_nothing_is_written(tmp_path: Path, case: str) -> None:
    make, other, error, message = REFUSED[case]
    with pytest.raises(error, match=message) as raised:
        train(make(tmp_path / "features"), tmp_path / "runs", **other)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "runs").exists()


def test_a_name_is_taken_once_unless_forced(tmp_path: Path) -> None:
    files = [features(tmp_path)]
    train(files, tmp_path / "runs", command="first")
    with pytest.raises(TrainingError, match=r"runs/run already\. Choose another --name, or replace it with --force"):
        train(files, tmp_path / "runs", command="second")
    assert runs.read_run(tmp_path / "runs" / "run").command == "first"
    run = tmp_path / "runs" / "run"
    (run / "notes").mkdir()
    for file in ("predictions.csv", "notes/oof.csv", "learning_curves.png"):
        (run / file).write_text(file)
    train(files, tmp_path / "runs", command="third", force=True)
    assert runs.read_run(tmp_path / "runs" / "run").command == "third"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run"]
    assert all((run / file).read_text() == file for file in ("predictions.csv", "notes/oof.csv"))
    assert not (run / "learning_curves.png").exists()  # of the old run: the new head draws none
    (tmp_path / "runs" / "README.md").touch()
    with pytest.raises(TrainingError, match="is not a run"):
        train(files, tmp_path / "runs", name="README.md", force=True)


def test_a_name_taken_while_training_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [features(tmp_path)]
    train(files, tmp_path / "elsewhere", command="the other")
    write = submission.write

    def write_while_another_finishes(*arguments: Any) -> None:
        write(*arguments)
        shutil.copytree(tmp_path / "elsewhere" / "run", tmp_path / "runs" / "run")

    monkeypatch.setattr(submission, "write", write_while_another_finishes)
    with pytest.raises(TrainingError, match="There is a run at"):
        train(files, tmp_path / "runs", command="this")
    assert runs.read_run(tmp_path / "runs" / "run").command == "the other"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run"]


def test_a_failure_on_the_way_leaves_the_old_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [features(tmp_path)]
    train(files, tmp_path / "runs")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(submission, "write", full)
    with pytest.raises(StoreError, match="disk is full"):
        train(files, tmp_path / "runs", command="again", force=True)
    assert runs.read_run(tmp_path / "runs" / "run").command == "catsdogs train"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run"]


def test_runs_are_listed_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    run = train([features(tmp_path / "features")], tmp_path)
    for name, change in {"other": {}, "newer": {"version": 99}, "older": {"scores": None}}.items():
        shutil.copytree(tmp_path / "run", tmp_path / name)
        content = json.loads((tmp_path / name / "run.json").read_text()) | {"name": name} | change
        (tmp_path / name / "run.json").write_text(json.dumps(content))
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "run.json").write_text('{"format": ')
    found, damaged = runs.list_runs(tmp_path)
    assert found == [replace(run, name="other"), run]
    assert [name for error in damaged for name in ("cut", "newer", "older") if f"/{name}/" in str(error)] == [
        "cut", "newer", "older"
    ]  # fmt: skip
    assert runs.list_runs(tmp_path / "absent") == ([], [])
    with pytest.raises(UnknownNameError, match="other, run"):
        runs.load(tmp_path / "absent")
    with pytest.raises(TrainingError, match=r"head\.h5 is damaged"):
        (tmp_path / "other" / "head.h5").write_bytes(b"\x89HDF\r\n")
        runs.load(tmp_path / "other")


GRADE = {"log_loss": 0.1, "standard_error": 0.01, "accuracy": 0.9, "rows": 40, "measured_on": "all"}
DAMAGES: list[dict[str, Any]] = [
    {"format": "other"},
    {"scores": []},
    {"scores": [GRADE | {"log_loss": "0.1"}]},
    {"scores": [{"log_loss": 0.1}]},
    {"scores": [GRADE | {"rank": 1}]},
    {"backbones": None},
    {"backbones": {}},
    {"backbones": {"ResNet50": {"backbone": "ResNet50"}}},
    {"backbones": {"ResNet50": vars(recipe()) | {"more": 1}}},
    {"clip": "a"},
    {"clip": 0.7},
    {"classes": ["cat", "dog", "fox"]},
    {"classes": "ab"},
    {"prior": [0.5, "0.5"]},
    {"folds": 0},
    {"width": 5.0},
    {"settings": []},
]


@pytest.mark.parametrize("change", DAMAGES, ids=str)
def test_a_damaged_description_is_told_in_one_line(tmp_path: Path, change: dict[str, Any]) -> None:
    train([features(tmp_path / "features")], tmp_path)
    path = tmp_path / "run" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(TrainingError, match=r"run\.json is damaged") as raised:
        runs.read_run(tmp_path / "run")
    assert "\n" not in str(raised.value)
    assert [len(part) for part in runs.list_runs(tmp_path)] == [0, 1]


@pytest.mark.parametrize(
    "change",
    [
        {"width": 6},
        {"folds": 5},
        {"classes": ["cat", "dog", "fox"], "prior": [0.4, 0.4, 0.2]},
        {"settings": {"D": 1}},
    ],
    ids=str,
)
def test_heads_that_do_not_fit_the_description_are_damaged(tmp_path: Path, change: dict[str, Any]) -> None:
    train([features(tmp_path / "features")], tmp_path)
    path = tmp_path / "run" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(TrainingError, match=r"head\.h5 is damaged") as raised:
        runs.load(tmp_path / "run")
    assert "\n" not in str(raised.value)


def test_listing_runs_imports_nothing_heavy() -> None:
    code = (
        "import sys; from pathlib import Path; from catsdogs import runs; runs.list_runs(Path('absent'));"
        "print({'keras', 'tensorflow', 'sklearn', 'matplotlib', 'pandas'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"

"""Few-shot: new classes stay unseen, figures are those of an oracle, tables and CSVs say them, mistakes are a line."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from catsdogs.competition import submission
from catsdogs.errors import StoreError, TrainingError, UnknownNameError, UsageError
from catsdogs.features import joining
from catsdogs.features.feature_file import Features
from catsdogs.heads.twin import Twin
from catsdogs.networks import trained
from catsdogs.networks.trained import Card
from catsdogs.twins import fewshot
from catsdogs.twins.example_scale import AS_LEARNT, BY_EXAMPLES
from catsdogs.twins.fewshot import MEAN, NEIGHBOUR, TWIN, FewShotResult
from tests.conftest import refused
from tests.support.features import opened
from tests.support.runs import features, train

CLASSES = ("apple", "bee", "cup", "door", "egg", "fan")
NEW = ("bee", "egg")


def evaluate(*what: Any, **settings: Any) -> FewShotResult:
    return fewshot.evaluate(fewshot.prepare(*what, **settings))


@pytest.fixture
def files(tmp_path: Path) -> list[Features]:
    networks = ("ResNet50", "Xception")
    return [features(tmp_path, name, CLASSES, rows=12, test=6, width=16, apart=3) for name in networks]


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run on other classes of the same networks."""
    others = [
        features(tmp_path / "others", name, ("x", "y", "z"), rows=12, width=16, apart=3)
        for name in ("ResNet50", "Xception")
    ]
    train(others, tmp_path / "runs", head="twin", folds=2, settings={"min_updates": 60})
    return tmp_path / "runs" / "run"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fewshot, "MEMBERS", 2)


def test_new_classes_are_told_apart_far_better_than_by_chance(files: list[Features]) -> None:
    result = evaluate(files, NEW, shots=3, repeats=8)
    assert (result.setup.new, result.setup.learnt) == (NEW, ("apple", "cup", "door", "fan"))
    assert len(result.setup.labels) == 24 and set(result.accuracy) == {TWIN, NEIGHBOUR, MEAN}
    for method, shares in result.accuracy.items():
        assert shares.shape == (8,) and result.mean(method)[0] > 0.7
    again = evaluate(files, NEW[::-1], shots=3, repeats=8)
    assert all(np.array_equal(again.accuracy[method], result.accuracy[method]) for method in result.accuracy)
    other = evaluate(files, NEW, shots=3, repeats=8, seed=1)
    assert not np.array_equal(other.accuracy[NEIGHBOUR], result.accuracy[NEIGHBOUR])


def test_the_new_classes_are_never_learnt_from(files: list[Features], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    fit = Twin.fit

    def watched(head: Twin, X: np.ndarray, y: np.ndarray) -> Twin:
        seen.append(np.asarray(X))
        return fit(head, X, y)  # type: ignore[return-value]

    monkeypatch.setattr(Twin, "fit", watched)
    evaluate(files, NEW, shots=2, repeats=2)
    X = joining.Joined(files, "train").read()
    hidden = X[np.isin(files[0].labels, [CLASSES.index(name) for name in NEW])]
    assert len(seen) == 2 and all(len(rows) == 48 for rows in seen)
    assert not any((rows[:, np.newaxis] == hidden).all(axis=2).any() for rows in seen)


def test_the_baselines_are_scikit_learns(tmp_path: Path) -> None:
    """On one network; the nearest of means is that of centred unit vectors, by the cosine."""
    file = features(tmp_path, "ResNet50", CLASSES, rows=12, width=16, apart=1.5)
    result = evaluate([file], NEW, shots=3, repeats=4, seed=5)
    here = np.isin(file.labels, [1, 4])
    X, y = file.vectors("train"), (file.labels[here] == 4).astype(int)
    X = X[here] - X[~here].mean(axis=0)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    for episode in range(4):
        random = np.random.default_rng((5, episode))
        examples = np.concatenate([random.choice(np.flatnonzero(y == label), 3, replace=False) for label in (0, 1)])
        queries = np.setdiff1d(np.arange(24), examples)
        nearest = KNeighborsClassifier(1, metric="cosine").fit(X[examples], y[examples])
        assert result.accuracy[NEIGHBOUR][episode] == pytest.approx(nearest.score(X[queries], y[queries]))
        centres = NearestCentroid().fit(X[examples], y[examples]).centroids_
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        predicted = (X[queries] @ centres.T).argmax(axis=1)
        assert result.accuracy[MEAN][episode] == pytest.approx((predicted == y[queries]).mean())


def test_with_one_example_the_baselines_are_one(files: list[Features]) -> None:
    result = evaluate(files, NEW, shots=1, repeats=5)
    assert np.array_equal(result.accuracy[NEIGHBOUR], result.accuracy[MEAN])
    assert set(result.log_loss) == {AS_LEARNT}
    assert "one example of a class leaves none to scale on" in fewshot.format_few_shot(result)


def test_what_all_vectors_share_is_taken_away_before_they_are_likened(tmp_path: Path) -> None:
    """Vectors far from 0 all point the same way, so that lengths, not classes, would decide."""
    file = features(tmp_path, "ResNet50", CLASSES, rows=12, width=16, apart=3)
    with opened(file.path) as content:
        content["train"][:] += 30
    centred = evaluate([file], NEW, shots=1, repeats=20)
    plain = centred.setup._replace(learnt_vectors=None)
    assert centred.mean(MEAN)[0] > fewshot.evaluate(plain).mean(MEAN)[0] + 0.05


def test_differences_are_paired_and_errors_are_over_episodes(files: list[Features]) -> None:
    shares = {TWIN: np.array([0.9, 0.8, 1.0]), NEIGHBOUR: np.array([0.8, 0.7, 0.9]), MEAN: np.array([0.9, 0.9, 0.9])}
    result = FewShotResult(fewshot.prepare(files, NEW), shares)
    assert result.mean(TWIN) == pytest.approx((0.9, 0.1 / np.sqrt(3)))
    assert result.ahead(NEIGHBOUR) == pytest.approx((0.1, 0), abs=1e-9)
    assert result.ahead(MEAN) == pytest.approx((0, 0.1 / np.sqrt(3)))


def test_table_and_csv_say_the_figures(files: list[Features], tmp_path: Path) -> None:
    result = evaluate(files, NEW, shots=3, repeats=4)
    text = fewshot.format_few_shot(result)
    for method in result.accuracy:
        line = next(line for line in text.splitlines() if line.startswith(method))
        assert f"{result.mean(method)[0]:.1%}" in line
    assert "50.0%" in text and "bee, egg" in text and "apple, cup, door, fan" in text
    assert max(map(len, text.splitlines())) <= 120
    fewshot.write_few_shot(tmp_path / "few.csv", result)
    with (tmp_path / "few.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 and rows[0]["new"] == "bee+egg" and rows[0]["classified"] == "18"
    for method, shares in result.accuracy.items():
        assert [float(row["accuracy"]) for row in rows if row["method"] == method] == pytest.approx(shares.tolist())
    for column, scaled in (("log_loss", BY_EXAMPLES), ("log_loss_as_learnt", AS_LEARNT)):
        losses = result.log_loss[scaled]
        assert [float(row[column]) for row in rows if row["method"] == TWIN] == pytest.approx(losses.tolist())
        assert f"scaled {scaled}" in text and f"{losses.mean():.3f} ±" in text
        assert {row[column] for row in rows if row["method"] != TWIN} == {""}


def test_a_run_on_other_classes_serves_for_all_classes_of_the_files(files: list[Features], run_folder: Path) -> None:
    result = evaluate(files, shots=3, repeats=5, run_folder=run_folder)
    assert result.setup.new == CLASSES and result.setup.learnt == ("x", "y", "z")
    assert len(result.setup.labels) == 72 and result.mean(TWIN)[0] > 2 / 6


def test_how_far_the_new_photographs_lie_from_the_learnt_ones_is_said(
    files: list[Features], run_folder: Path, tmp_path: Path
) -> None:
    near = evaluate(files, NEW, shots=3, repeats=2)
    assert (
        near.far is not None
        and "farther from all that the twins learnt than 99 % of the learnt" in fewshot.format_few_shot(near)
    )
    away = evaluate(files, shots=3, repeats=2, run_folder=run_folder)
    assert away.far is not None and f"{away.far:.1%} of the new" in fewshot.format_few_shot(away)
    assert "of another world" in fewshot.format_few_shot(replace(away, far=0.8))
    (tmp_path / "others").rename(tmp_path / "gone")
    lost = evaluate(files, shots=3, repeats=2, run_folder=run_folder)
    assert lost.far is None and "is not known" in fewshot.format_few_shot(lost)
    assert "go by vectors as they are" in fewshot.format_few_shot(lost)
    assert "go by vectors as they are" not in fewshot.format_few_shot(near)


@pytest.mark.parametrize("new", [NEW, ("apple", "cup", "fan")])
def test_test_rows_are_classified_from_the_labelled_ones(
    files: list[Features], new: Sequence[str], tmp_path: Path
) -> None:
    path = tmp_path / "answers.csv"
    assert fewshot.classify(path, fewshot.prepare(files, new)) == (6, BY_EXAMPLES)
    ids, probabilities = submission.read_submission(path, new)
    assert ids == ["1", "2", "3", "4", "5", "6"]
    assert np.allclose(probabilities.sum(axis=1), 1)
    for row, label in enumerate(CLASSES):  # test row n is of class n
        if label in new:
            assert new[int(probabilities[row].argmax())] == label


def test_a_network_that_has_learnt_a_new_class_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    texts = dict.fromkeys(("created", "command", "package_version", "base_weights", "unfreeze", "teacher"), "")
    texts |= {"source": "", "learnt": "", "name": "mine", "base": "four-conv"}
    numbers = {"input_size": 64, "folds": 1, "seed": 0, "epochs": 1, "batch_size": 8, "rate": 0.1}
    others = {"tricks": (), "scores": (), "classes": ("bee", "wasp"), "weights": {trained.ALL: "00"}}
    trained.write_card(trained.FOLDER / "mine", Card(**texts, **numbers, **others))  # type: ignore[arg-type]
    with refused(TrainingError, "The network mine has learnt bee"):
        evaluate([features(tmp_path, "mine", CLASSES, width=16)], NEW)


def test_mistakes_are_one_line(files: list[Features], run_folder: Path, tmp_path: Path) -> None:
    with refused(UnknownNameError, "No class is called 'bat'.*apple, bee"):
        evaluate(files, ("bee", "bat"))
    with refused(UsageError, "No class is named as new"):
        evaluate(files)
    with refused(UsageError, "1 new class"):
        evaluate(files, ("bee",))
    with refused(UsageError, "5 of 6 classes are new"):
        evaluate(files, CLASSES[:5])
    with refused(UsageError, "0 examples"):
        evaluate(files, NEW, shots=0)
    with refused(TrainingError, "The class bee has 12 photographs in .*ResNet50.h5, and 13 are needed"):
        evaluate(files, NEW, shots=12)
    with refused(StoreError, "was trained on ResNet50, Xception, not on Xception"):
        evaluate(files[1:], run_folder=run_folder)
    known = [features(tmp_path / "known", name, ("x", "q"), width=16) for name in ("ResNet50", "Xception")]
    with refused(TrainingError, "The run run has learnt x"):
        evaluate(known, run_folder=run_folder)
    other = [features(tmp_path / "bf16", name, width=16, precision="bfloat16") for name in ("ResNet50", "Xception")]
    with refused(StoreError, "not what the run run was trained on: precision: bfloat16, not float32"):
        evaluate(other, run_folder=run_folder)
    with refused(TrainingError, "random weights"):
        evaluate([features(tmp_path / "random", classes=CLASSES, weights="random")], NEW)
    train(files, tmp_path / "runs", name="ridged")
    with refused(TrainingError, "head of the run ridged is ridge"):
        evaluate(files, run_folder=tmp_path / "runs" / "ridged")
    with refused(UnknownNameError, "No run is called 'none'"):
        evaluate(files, run_folder=tmp_path / "runs" / "none")

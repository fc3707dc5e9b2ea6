"""Kaggle's Dog Breed Identification in small: labels in a table, a column for each class, multi-class log loss."""

import csv
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from sklearn.metrics import log_loss

from catsdogs import heads
from catsdogs.cleaning import label_errors, outliers, suspect_table
from catsdogs.competition import grading, submission
from catsdogs.errors import SubmissionError
from catsdogs.features import feature_file
from catsdogs.features.cache import Cache
from catsdogs.features.extract import Settings, extract
from catsdogs.features.feature_file import Features
from catsdogs.networks.table import BACKBONES
from catsdogs.photographs.dataset import Dataset, scan
from catsdogs.runs import run_card, training
from catsdogs.runs.run_card import Run
from catsdogs.scoring import replay, training_plan
from tests.conftest import Command, need, refused
from tests.support.features import opened, recipe, rows_of
from tests.support.runs import digested

LITE0 = "EfficientNetLite0"
BREEDS = ("affenpinscher", "borzoi", "chow", "malinois", "whippet")
EACH, TEST = 12, 15
MISTAKEN = 3  # the photograph, of the first breed, that labels.csv gives to the last one
SAMPLE_COLUMNS = ("whippet", "chow", "affenpinscher", "malinois", "borzoi")
WITHOUT_KERAS = [name for name in heads.names() if name != "notebook"]
SIZE = (120, 90)
COLOURS = ((200, 60, 40), (60, 150, 60), (50, 70, 190), (220, 190, 60), (150, 60, 160))


def hashed(text: str) -> str:
    """A name as that competition's photographs have it."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def draw(path: Path, breed: int, seed: int) -> None:
    """A small JPEG on which shape and colour tell the breed; place, size, shade and background are drawn at random."""
    random = np.random.default_rng([breed, seed])
    noise = random.integers(90, 170, (SIZE[1] // 15, SIZE[0] // 15, 3), np.uint8)
    picture = Image.fromarray(noise).resize(SIZE, Image.Resampling.BICUBIC)
    canvas = ImageDraw.Draw(picture)
    fill = tuple(int(shade) for shade in np.clip(np.array(COLOURS[breed]) + random.integers(-25, 26, 3), 0, 255))
    x, y, r = random.integers(40, 80), random.integers(35, 55), random.integers(22, 32)
    box = [(x - r, y - r), (x + r, y + r)]
    if breed == 0:
        canvas.ellipse(box, fill)
    elif breed == 1:
        canvas.rectangle(box, fill)
    elif breed == 2:
        canvas.polygon([(x - r, y + r), (x + r, y + r), (x, y - r)], fill)
    elif breed == 3:
        canvas.ellipse(box, outline=fill, width=8)
    else:
        for stripe in range(-r, r, 12):
            canvas.rectangle([(x - r, y + stripe), (x + r, y + stripe + 5)], fill)
    picture.save(path, "JPEG")


def write_competition(root: Path) -> Path:
    """train/ and test/ of hashed names, labels.csv, sample_submission.csv, and beside them the truth.csv of test/."""
    for split in feature_file.SPLITS:
        (root / split).mkdir(parents=True)
    labels, truth = [], []
    for breed, name in enumerate(BREEDS):
        for n in range(EACH):
            id = hashed(f"{name}{n}")
            draw(root / "train" / f"{id}.jpg", breed, n)
            labels.append((id, BREEDS[-1] if (breed, n) == (0, MISTAKEN) else name))
    for n in range(TEST):
        id = hashed(f"test{n}")
        draw(root / "test" / f"{id}.jpg", n % len(BREEDS), 100 + n)
        truth.append((id, BREEDS[n % len(BREEDS)]))
    write(root / "labels.csv", ("id", "breed"), sorted(labels))
    write(root / "truth.csv", ("id", "breed"), truth)
    even = [1 / len(BREEDS)] * len(BREEDS)
    write(root / "sample_submission.csv", ("id", *SAMPLE_COLUMNS), [(id, *even) for id, _ in sorted(truth)])
    return root


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def table(path: Path) -> tuple[list[str], list[str], NDArray[np.float64]]:
    """Header, ids and probabilities of a submission."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return header, [row[0] for row in rows], np.array([row[1:] for row in rows], float)


@pytest.fixture(scope="module")
def competition(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return scan(write_competition(tmp_path_factory.mktemp("breeds")))


@pytest.fixture(scope="module")
def extracted(competition: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Features:
    """The vectors of a real network."""
    need(str(BACKBONES[LITE0].package))
    out = tmp_path_factory.mktemp("features")
    summary = extract(competition, [LITE0], out, Settings(engine="keras", batch_size=8))
    assert not summary.unreadable
    return feature_file.read_features(summary.paths[0])


def train(files: Sequence[Features], head: str, submissions: Path, sample: str | None = None, folds: int = 3) -> Run:
    plan = training_plan.Plan(head, folds, seed=0)
    return training.train(
        files, plan, name="run", submissions=submissions, command="catsdogs train", sample_submission=sample
    )


def test_the_layout_is_recognised(competition: Dataset) -> None:
    assert competition.classes == BREEDS
    rows = competition.of("train")
    assert len(rows) == len(BREEDS) * EACH and len(competition.of("test")) == TEST
    assert sum(BREEDS[row.label] == BREEDS[-1] for row in rows) == EACH + 1
    assert competition.by_key["train", hashed("chow2")].label == BREEDS.index("chow")
    assert competition.sample_submission and competition.sample_submission.startswith("id,whippet,")


@pytest.mark.parametrize("head", [*WITHOUT_KERAS, "GaussianNB"])
def test_from_photographs_to_a_graded_submission(
    tmp_path: Path, competition: Dataset, extracted: Features, head: str
) -> None:
    sample = competition.sample_submission
    run = train([extracted], head, tmp_path, sample)
    path, truth = tmp_path / "run" / "submission.csv", competition.root / "truth.csv"
    assert submission.check_submission(path, sample, BREEDS) == TEST
    header, ids, probabilities = table(path)
    assert header == ["id", *SAMPLE_COLUMNS] and ids == sorted(ids)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-9)

    answers = dict(csv.reader(truth.read_text().splitlines()))
    grade = grading.grade_submission(path, truth, run.classes)
    in_order = probabilities[:, [SAMPLE_COLUMNS.index(breed) for breed in BREEDS]]
    assert grade.log_loss == pytest.approx(log_loss([answers[id] for id in ids], in_order, labels=BREEDS))
    assert grade.rows == TEST and grade.accuracy > 0.8
    assert grade.log_loss < math.log(len(BREEDS)) / 2
    assert run.scores[0].accuracy > 0.8 and run.scores[0].rows == len(BREEDS) * EACH
    again = run_card.load_run(tmp_path / "run").predict(extracted.vectors("test"))
    by_id = dict(zip(extracted.ids["test"], again, strict=True))
    assert np.allclose([by_id[id] for id in ids], in_order, atol=1e-9)


def test_the_wrong_label_is_suspected_and_its_correction_obeyed(extracted: Features, tmp_path: Path) -> None:
    plan = training_plan.Plan("stack", folds=3, seed=0)
    suspects = outliers.find_outliers([extracted], out_of_fold=training_plan.out_of_fold([extracted], plan).predictions)
    doubted = {s.id for s in suspects if any(reason.kind == label_errors.LABEL_ERROR for reason in s.reasons)}
    wrong = hashed(f"{BREEDS[0]}{MISTAKEN}")
    assert wrong in doubted and len(doubted) <= 3
    suspect_table.write_suspects(tmp_path / suspect_table.OUTLIERS_FILE, suspects)
    assert "label error" in (tmp_path / suspect_table.OUTLIERS_FILE).read_text()
    as_given = train([extracted], "stack", tmp_path / "given")
    mended = training.train(
        [extracted], replace(plan, relabel={wrong: BREEDS[0]}), name="run", submissions=tmp_path, command="train"
    )
    assert mended.scores[-1].log_loss < as_given.scores[0].log_loss
    assert mended.relabelled == {wrong: BREEDS[0]}


def test_a_tenth_can_be_held_out(extracted: Features, tmp_path: Path) -> None:
    (view,), truth = replay.hold_out([extracted], "mlebench")
    plan = training_plan.Plan("ridge", folds=3, seed=0, protocol="mlebench")
    run = training.train([view], plan, name="run", submissions=tmp_path, command="catsdogs replay", truth=truth)
    grading.write_truth(tmp_path / "truth.csv", truth)
    grade = grading.grade_submission(tmp_path / "run" / "submission.csv", tmp_path / "truth.csv", run.classes)
    assert grade.rows == 6 and grade.log_loss == pytest.approx(run.scores[0].log_loss, abs=1e-5)


def test_a_sample_of_other_breeds_is_refused_before_training(tmp_path: Path) -> None:
    file = made_up(tmp_path / "features", classes=3, each=4)
    with refused(SubmissionError, "are not the classes class0, class1, class2"):
        train([file], "ridge", tmp_path / "runs", "id,class0,class1,pug\n1,0.3,0.3,0.4\n2,0.3,0.3,0.4\n3,0.3,0.3,0.4\n")
    assert not (tmp_path / "runs").exists()


def made_up(
    folder: Path, classes: int, each: int, name: str = "ResNet50", width: int = 24, apart: float = 2
) -> Features:
    """A feature file of so many classes around random places, `each` rows of every class; three test rows of each."""
    names = [f"class{number}" for number in range(classes)]
    labels = np.repeat(np.arange(classes), each)
    rows = digested([(hashed(str(row)), label) for row, label in enumerate(labels)], classes)
    known = rows_of(rows, width, name, labelled=False)
    places = np.random.default_rng(classes + width).normal(size=(classes, width), scale=apart)
    vectors = known.vector + places[np.concatenate([labels, np.arange(classes)])].astype(np.float32)
    cache = Cache(folder, recipe(name))
    cache.write_shard(replace(known, vector=vectors), "none")
    cache.assemble(rows, names, [], "photographs")
    return feature_file.read_features(cache.path)


@pytest.mark.parametrize("head", WITHOUT_KERAS)
def test_120_classes(tmp_path: Path, head: str) -> None:
    files = [made_up(tmp_path, 120, 6, "ResNet50", 24), made_up(tmp_path, 120, 6, "Xception", 30)]
    order = np.random.default_rng(0).permutation(120)
    sample = "id," + ",".join(f"class{n}" for n in order) + "\n"
    sample += "".join(f"{n + 1}" + f",{1 / 120}" * 120 + "\n" for n in order)
    run = train(files, head, tmp_path, sample, folds=2)
    path = tmp_path / "run" / "submission.csv"
    assert submission.check_submission(path, sample, run.classes) == 120
    header, ids, probabilities = table(path)
    assert header[1:] == [f"class{n}" for n in order] and ids == [str(n + 1) for n in order]
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-9) and probabilities.min() > 0
    assert (probabilities.argmax(axis=1) == np.arange(120)).mean() > 0.7
    assert run.scores[0].log_loss < math.log(120) / 2
    with (tmp_path / "run" / "oof.csv").open() as file:
        assert len(next(csv.reader(file))) == 2 + 120 + 3
    assert len(run_card.load_run(tmp_path / "run").heads) == 2


def test_the_notebooks_head_ends_in_a_softmax(tmp_path: Path) -> None:
    """With few rows its 8 epochs of a slow start come to little, so all that is asked is that it learns something."""
    run = train([made_up(tmp_path, 5, 40)], "notebook", tmp_path, folds=2)
    _, _, probabilities = table(tmp_path / "run" / "submission.csv")
    assert probabilities.shape == (5, 5) and np.allclose(probabilities.sum(axis=1), 1)
    assert math.isfinite(run.scores[0].log_loss)
    for head in run_card.load_run(tmp_path / "run").heads:
        history = head.history_  # type: ignore[attr-defined]
        assert len(history["loss"]) == 8 and history["val_loss"][-1] < history["val_loss"][0]


def uneven(folder: Path, counts: dict[str, int]) -> Features:
    """A feature file of so many photographs of each class, around places far apart, and two test rows."""
    labels = np.repeat(np.arange(len(counts)), [*counts.values()])
    rows = digested([(f"p{row}", label) for row, label in enumerate(labels)], 2)
    known = rows_of(rows, 24, labelled=False)
    places = np.random.default_rng(0).normal(size=(len(counts), 24), scale=4).astype(np.float32)
    cache = Cache(folder, recipe("ResNet50"))
    cache.write_shard(replace(known, vector=known.vector + places[[*labels, 0, 0]]), "none")
    cache.assemble(rows, [*counts], [], "photographs")
    return feature_file.read_features(cache.path)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"ant": 20, "bee": 20}, ""),
        ({"ant": 20, "bee": 3, "cat": 20}, ""),
        ({"ant": 20, "bee": 1, "cat": 20}, ""),
        ({"ant": 20, "bee": 1, "cat": 4, "dog": 1, "emu": 0}, ""),
    ],
)
def test_wrong_labels_are_looked_for_among_rare_classes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command, counts: dict[str, int], message: str
) -> None:
    """One rare class used to cost the whole look."""
    monkeypatch.chdir(tmp_path)
    file = uneven(tmp_path / "features", counts)
    with opened(file.path) as content:
        content["label"][4] = 1 + ("cat" in counts)  # an ant
    code, out, err = command("outliers", "--backbones", "ResNet50")
    assert code == 0, err
    assert "Not looked for" not in out and (re.search(message, out) if message else "Looked for" not in out)
    with (tmp_path / "features/outliers.csv").open(newline="") as table:
        doubted = [row["id"] for row in csv.DictReader(table) if "label error" in row["reasons"]]
    assert doubted == ["p4"]


def test_train_says_what_is_left_out_and_kept_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    file = uneven(tmp_path / "features", {"ant": 12, "bee": 0, "cat": 12, "dog": 4, "emu": 0})
    with opened(file.path) as content:
        digests = content["train_digest"][...]
        content["train_digest"][...] = np.where(np.isin(np.arange(28), (3, 5, 14)), digests[1], digests)
    code, out, err = command("train", "--backbones", "ResNet50", "--head", "ridge")
    assert code == 0, err
    assert "fewer pictures than 5 folds: 1 classes (dog), learnt in every fold" in out and "in no score" not in out
    assert "left out, for no photograph shows them: 2 classes (bee, emu)" in out
    assert "kept in one fold each: pictures that occur again, 1, with 4 photographs" in out
    assert "5 folds with copies in one" in out
    code, out, err = command("train", "--repeat", "ridge")
    assert code == 0, err
    for part in ("submission.csv", "oof.csv"):
        first, again = (tmp_path / "submissions" / name / part for name in ("ridge", "ridge-again"))
        assert first.read_bytes() == again.read_bytes()

"""Heads that read rows in blocks learn what they learn in memory, of rows that they may see, and hold few at a time."""

import json
from pathlib import Path

import numpy as np
import pytest

from catsdogs import heads
from catsdogs.competition import submission
from catsdogs.errors import TrainingError
from catsdogs.features import feature_file, joining, virtual
from catsdogs.features.cache import Cache, DigestedPhotograph, ShardRows
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import fold_numbers
from catsdogs.features.scaling import Scaling
from catsdogs.photographs.dataset import Location, Photograph
from catsdogs.runs import run_card, training
from catsdogs.scoring import measuring, streaming, training_plan
from tests.conftest import refused
from tests.support.features import opened, recipe
from tests.support.memory import peak

WIDTHS = (24, 16)


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is trained is streamed, in many blocks, from many shards."""
    monkeypatch.setattr(streaming, "MEMORY_SHARE", 0.0)
    monkeypatch.setattr(streaming, "_BUFFER_BYTES", 300 * 4 * sum(WIDTHS))
    monkeypatch.setattr(streaming, "_BLOCK_BYTES", 70 * 4 * sum(WIDTHS))
    monkeypatch.setattr(streaming, "_RUN_ROWS", 16)
    for name, value in {"VIRTUAL_ROWS": 100, "_CUT": 256, "_LEAST_ROWS": 200, "_MOST_ROWS": 600}.items():
        monkeypatch.setattr(virtual, name, value)


def draw(folder: Path, train: int, test: int = 0, classes: int = 2, widths: tuple[int, ...] = WIDTHS) -> list[Features]:
    """Files of two networks, class by class, that say something of the classes; the second in another order."""
    labels = np.sort(np.arange(train) % classes)
    rows = [Photograph(f"{n:05}", "train", int(label), Location(folder, "x")) for n, label in enumerate(labels)]
    rows += [Photograph(str(n), "test", -1, Location(folder, "x")) for n in range(test)]
    truth = np.concatenate((labels, np.arange(test) % classes))
    random, files = np.random.default_rng(0), []
    centres = random.normal(size=(classes, sum(widths))).astype(np.float32) * 0.35
    digests = random.integers(0, 2**63, len(rows))
    X = (random.normal(size=(len(rows), sum(widths))) + centres[truth]).astype(np.float32) * 3 + 5
    for number in range(len(widths)):
        columns = slice(sum(widths[:number]), sum(widths[: number + 1]))
        entries = [DigestedPhotograph(row, int(digest)) for row, digest in zip(rows, digests, strict=True)]
        cache = Cache(folder, recipe(f"Net{number}", dtype="float16"))
        keys = np.array([entry.key for entry in entries], object)
        zeros = np.zeros((len(rows), 4), np.float32)
        cache.write_shard(ShardRows(keys, digests.astype(np.uint64), X[:, columns], zeros), "none")
        names = tuple(f"c{label}" for label in range(classes))
        cache.assemble(entries if number == 0 else entries[::-1], names, [], "drawn")
        files.append(feature_file.read_features(cache.path))
    return files


def test_blocks_are_the_joined_rows(tmp_path: Path, little_memory: None) -> None:
    files = draw(tmp_path, 700, 90)
    random = np.random.default_rng(1)
    for split in feature_file.SPLITS:
        X = joining.Joined(files, split).read()
        blocks = [*streaming.blocks(joining.Joined(files, split))]
        assert len(blocks) > 1 and np.array_equal(np.concatenate([rows for rows, _ in blocks]), np.arange(len(X)))
        np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), X)
        some = random.integers(0, len(X), 50)
        np.testing.assert_array_equal(joining.Joined(files, split).read(some), X[some])


def test_a_shuffled_pass_shows_each_kept_row_once_and_classes_evenly(tmp_path: Path, little_memory: None) -> None:
    files = draw(tmp_path, 2000, classes=4)
    labels, X = files[0].labels, joining.Joined(files, "train").read()
    kept = np.arange(2000) % 7 != 0
    passes = []
    for seed in (0, 0, 1):
        vectors, random = joining.Joined(files, "train"), np.random.default_rng(seed)
        blocks = [*streaming.shuffled(vectors, labels, kept, random)]
        passes.append(np.concatenate([rows for rows, _ in blocks]))
        assert np.array_equal(np.sort(passes[-1]), np.flatnonzero(kept))
        for rows, block in blocks:
            assert np.array_equal(block, X[rows])
        for rows, _ in blocks[:-1]:
            counts = np.bincount(labels[rows], minlength=4)
            assert counts.max() - counts.min() <= 2 * 16 + 16
    assert np.array_equal(passes[0], passes[1]) and not np.array_equal(passes[0], passes[2])


def test_columns_are_measured_from_blocks_as_at_once() -> None:
    random = np.random.default_rng(0)
    X = (random.normal(size=(500, 9)) * 10.0 ** np.arange(-4, 5) + 100).astype(np.float32)
    X[:, 3] = 7
    whole, parts = Scaling([X]), Scaling(np.array_split(X, 11))
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-9)
    np.testing.assert_allclose(parts.scale, whole.scale, rtol=1e-4)
    assert np.flatnonzero(parts.is_constant).tolist() == [3]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("head", ["dropout-sigmoid", "GaussianNB"])
def test_streamed_scores_are_those_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, little_memory: None, head: str, classes: int
) -> None:
    files = draw(tmp_path, 1500, classes=classes)
    settings = {"penalty": 1.0} if head == "dropout-sigmoid" else {}  # which is chosen in memory alone
    plan = training_plan.Plan(head, 3, 7, drop={"00003", "01000"}, relabel={"00005": "c1"}, settings=settings)
    streamed = training_plan.out_of_fold(files, plan)
    monkeypatch.setattr(streaming, "MEMORY_SHARE", 1.0)
    in_memory = training_plan.out_of_fold(files, plan)
    assert np.array_equal(streamed.fold, in_memory.fold)
    labels = files[0].labels
    losses = [measuring.log_losses(crossed.predictions, labels) for crossed in (streamed, in_memory)]
    error = losses[1].std() / np.sqrt(len(labels))
    assert error < losses[1].mean() < np.log(classes) / 2
    assert abs((losses[0] - losses[1]).mean()) < 0.5 * error
    if head == "GaussianNB":
        np.testing.assert_allclose(streamed.predictions, in_memory.predictions, atol=1e-3)
    else:
        epochs = {name: len(values) for name, values in streamed.heads[0].history_.items()}  # type: ignore[attr-defined]
        assert epochs.keys() == {"loss", "accuracy"} and len(set(epochs.values())) == 1


def test_no_head_learns_from_what_it_must_not_see(tmp_path: Path, little_memory: None) -> None:
    """Rows that are held out or dropped have no part in what it has learnt: with any others its sums would differ."""
    files = draw(tmp_path, 900)
    X, labels = joining.Joined(files, "train").read(), files[0].labels
    kept = np.arange(900) % 5 != 0
    fold = fold_numbers(labels, kept, 3, 0)
    crossed = streaming.cross_validate_blocks(files, labels, kept, fold, lambda: heads.create("GaussianNB"), 0)
    for number, head in enumerate(crossed.heads):
        learnt = kept & (fold != number)
        oracle = heads.create("GaussianNB").fit(X[learnt], labels[learnt])
        np.testing.assert_allclose(head.theta_, oracle.theta_, rtol=1e-5)  # type: ignore[attr-defined]
        assert np.array_equal(head.class_count_, oracle.class_count_)  # type: ignore[attr-defined]
        held = fold == number
        np.testing.assert_allclose(crossed.predictions[held], oracle.predict_proba(X[held]), atol=1e-3)


def test_chance_stays_chance(tmp_path: Path, little_memory: None) -> None:
    files = draw(tmp_path, 600)
    labels = np.random.default_rng(5).permutation(files[0].labels)
    fold = fold_numbers(labels, np.ones(600, bool), 3, 0)
    made = lambda: heads.create("dropout-sigmoid")  # noqa: E731
    crossed = streaming.cross_validate_blocks(files, labels, np.ones(600, bool), fold, made, 0)
    assert measuring.log_losses(crossed.predictions, labels).mean() > np.log(2) - 0.01


def test_train_writes_the_same_run_either_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, little_memory: None
) -> None:
    files = draw(tmp_path, 600, 60)
    monkeypatch.setattr(training.curves, "write_tensorboard", lambda *_: None)
    plan = training_plan.Plan("dropout-sigmoid", 3, 0, settings={"penalty": 1.0})
    tables, found = [], []
    for name, share in (("streamed", 0.0), ("in-memory", 1.0)):
        monkeypatch.setattr(streaming, "MEMORY_SHARE", share)
        found.append(training.train(files, plan, name=name, submissions=tmp_path / "runs", command="test"))
        folder = tmp_path / "runs" / name
        loaded = run_card.load_run(folder)
        X = joining.Joined(files, "test").read()
        tables.append(submission.read_submission(folder / run_card.SUBMISSION_FILE, ("c0", "c1")))
        np.testing.assert_allclose(tables[-1][1], loaded.predict(X), atol=1e-9)
        assert {path.name for path in folder.iterdir()} >= {"run.json", "oof.csv", "heads.skops", "learning_curves.png"}
    assert tables[0][0] == tables[1][0]
    for streamed, in_memory in zip(found[0].scores, found[1].scores, strict=True):
        assert abs(streamed.log_loss - in_memory.log_loss) < 0.5 * in_memory.standard_error
    cards = [json.loads((tmp_path / "runs" / run.name / "run.json").read_text()) for run in found]
    assert cards[0].keys() == cards[1].keys() and cards[0]["settings"] == cards[1]["settings"]


@pytest.mark.parametrize("head", ["logistic", "blend", "RandomForestClassifier"])
def test_other_heads_say_what_they_would_take(tmp_path: Path, little_memory: None, head: str) -> None:
    """They do so before any vectors are read: those that were wanted would be found damaged."""
    files = draw(tmp_path, 150, 30)
    for shard in virtual.parts_folder(files[0].path).rglob("*.h5"):
        shard.write_bytes(b"")
    plan = training_plan.Plan(head, 3, 0)
    with refused(TrainingError, r"take 0\.0 GB, more than 0% of .* needs all of them in memory.*dropout-sigmoid"):
        training.train(files, plan, name="run", submissions=tmp_path / "runs", command="test")


def test_constant_columns_are_refused(tmp_path: Path, little_memory: None) -> None:
    files = draw(tmp_path, 150)
    for shard in virtual.parts_folder(files[1].path).rglob("*.h5"):
        with opened(shard) as file:
            file["vector"][...] = 1
    with refused(TrainingError, "Net1.h5 says the same of every training photograph"):
        training_plan.out_of_fold(files, training_plan.Plan("dropout-sigmoid", 3, 0))


def test_memory_is_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, little_memory: None) -> None:
    """More rows take no more memory but for what is known of each."""
    monkeypatch.setattr(streaming, "_BUFFER_BYTES", 2**19)
    monkeypatch.setattr(streaming, "_BLOCK_BYTES", 2**19)
    used = []
    for rows in (1000, 4000):
        files = draw(tmp_path / str(rows), rows, widths=(256, 256))
        plan = training_plan.Plan("GaussianNB", 3, 0)
        used.append(peak(lambda: training_plan.out_of_fold(files, plan)))  # noqa: B023
    assert used[1] - used[0] < 4000 * 512 * 4 / 4

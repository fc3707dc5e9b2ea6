"""A network trained on a small data set: its folder, its vectors in the feature file, and what is refused."""

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from catsdogs.errors import TrainingError
from catsdogs.features import extract, feature_file
from catsdogs.networks import trained
from catsdogs.networks.quiet import importing_keras
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset, scan
from catsdogs.scoring import training_plan
from tests.conftest import Command, need, refused
from tests.support.datasets import write_kaggle_folder

with importing_keras():
    import keras

    from catsdogs.finetuning import finetune
    from catsdogs.finetuning.hyperparameters import complete_hyperparameters
    from catsdogs.finetuning.lesson import read_lesson
    from catsdogs.networks import build


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Dataset, trained.Card]]:
    """A four-conv of three members on 24 photographs, one of them unreadable and two of them the same."""
    folder = tmp_path_factory.mktemp("finetune")
    data = write_kaggle_folder(folder / "data", cats=13, dogs=12, test=3)
    (data / "train/cat.12.jpg").write_bytes(b"no picture")
    (data / "train/cat.1.jpg").write_bytes((data / "train/cat.0.jpg").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        dataset = scan(data)
        settings = complete_hyperparameters(
            "four-conv", "flip,batch-norm", input_size=32, epochs=2, batch_size=8, seed=4
        )
        yield (
            dataset,
            finetune.finetune(read_lesson(dataset, 2, 4), settings, name="mine", command="catsdogs finetune"),
        )


def test_the_folder_is_whole(made: tuple[Dataset, trained.Card]) -> None:
    _, found = made
    need("tensorboard")
    names = {path.name for path in (trained.FOLDER / found.name).iterdir() if path.name != ".lock"}
    members = {f"{member}.weights.h5" for member in ("fold-1", "fold-2", "all")}
    assert names == {*members, "network.json", "learnt.csv", "kernels.npz", "curves.png", "tensorboard"}
    assert {path.name for path in (trained.FOLDER / found.name / "tensorboard").iterdir()} == {
        "fold-1",
        "fold-2",
        "all",
    }
    assert "out of fold, 24 photographs, 2 folds" in found.scores[0]
    assert not list(trained.FOLDER.glob(".*part/*"))


def test_what_the_tensorboard_files_hold(made: tuple[Dataset, trained.Card]) -> None:
    need("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(trained.FOLDER / made[1].name / "tensorboard/all/train"), size_guidance={"tensors": 0})
    found.Reload()
    tags = found.Tags()
    assert "epoch_log_loss" in tags["tensors"] and any("conv1/kernel" in tag for tag in tags["tensors"])
    assert tags["graph"] and "conv4" in str(found.Graph())


def test_copies_share_a_fold_and_the_table_says_who_was_held_out_where(
    made: tuple[Dataset, trained.Card],
) -> None:
    _, found = made
    with (trained.FOLDER / found.name / trained.LEARNT_FILE).open(newline="") as text:
        rows = {row["id"]: row for row in csv.DictReader(text)}
    assert len(rows) == 24 and rows["cat.0"]["fold"] == rows["cat.1"]["fold"]
    assert all(abs(float(row["p_cat"]) + float(row["p_dog"]) - 1) < 1e-5 for row in rows.values())
    assert {row["fold"] for row in rows.values()} == {"1", "2"}


@pytest.mark.parametrize("engine", ["keras", "openvino"])
def test_each_photograph_gets_the_vector_of_the_member_that_never_saw_it(
    made: tuple[Dataset, trained.Card], tmp_path: Path, engine: str
) -> None:
    dataset, found = made
    extract.extract(dataset, ["mine"], tmp_path, extract.Settings(engine=engine))
    features = feature_file.read_features(feature_file.path_of(tmp_path, "mine"))
    assert features.learnt == 0 and features.width == 512
    folds = trained.fold_of_digest(trained.FOLDER / found.name)
    paths = {number: build.read_path(trained.FOLDER / found.name, f"fold-{number}") for number in (1, 2)}
    paths[0] = build.read_path(trained.FOLDER / found.name, trained.ALL)
    for split in feature_file.SPLITS:
        for row, vector in zip(dataset.of(split)[:4], features.vectors(split), strict=False):
            data = dataset.read(row)
            pixels = images.square(data, 32)[np.newaxis].astype(np.float32)
            said = {number: path.predict(pixels, verbose=0)[0] for number, path in paths.items()}
            right = folds.get(images.digest(data), 0)
            assert (right == 0) == (split == "test")
            distance = {number: float(np.abs(other - vector).max()) for number, other in said.items()}
            assert min(distance, key=distance.__getitem__) == right
            assert np.allclose(said[right], vector, rtol=1e-3, atol=1e-4)


def test_it_is_trained_on_by_heads(made: tuple[Dataset, trained.Card], tmp_path: Path) -> None:
    dataset, _ = made
    extract.extract(dataset, ["mine"], tmp_path, extract.Settings(engine="keras"))
    files = [feature_file.read_features(feature_file.path_of(tmp_path, "mine"))]
    assert len(training_plan.out_of_fold(files, training_plan.Plan("ridge", 2, 0)).predictions) == 24


def test_without_folds_its_vectors_yield_no_score(
    make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = make_dataset(cats=8, dogs=8)
    held = scan(dataset.root, holdout=0.25, seed=1)
    settings = complete_hyperparameters("four-conv", input_size=32, epochs=1, batch_size=8)
    found = finetune.finetune(read_lesson(held, 1, 0), settings, name="alone", command="")
    assert found.scores[0].endswith("(held out, 4 photographs)") and list(found.weights) == ["all"]
    extract.extract(dataset, ["alone"], tmp_path / "features", extract.Settings(engine="keras"))
    features = feature_file.read_features(feature_file.path_of(tmp_path / "features", "alone"))
    assert features.learnt == 12
    with refused(TrainingError, "has learnt from 12 of the photographs"):
        training_plan.check_trainable([features])


def test_a_twin_learns_from_pairs(
    make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = complete_hyperparameters("siamese-cnn", "flip,label-smoothing", input_size=32, epochs=1, batch_size=8)
    lesson = read_lesson(make_dataset(cats=8, dogs=8), 2, 0)
    found = finetune.finetune(lesson, settings, name="pair", command="")
    assert "16 pairs of photographs" in found.scores[0]
    assert trained.row(trained.FOLDER / found.name).width == 32
    assert set(trained.fold_of_digest(trained.FOLDER / found.name).values()) == {1, 2}
    header = (trained.FOLDER / found.name / trained.LEARNT_FILE).read_text().partition("\n")[0]
    assert "p_cat" not in header  # what is said of a pair is said of none of its photographs


def test_a_network_of_keras_applications_starts_from_a_weights_file(
    make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file stands in for Keras's download: its weights are random, so it shows the way and no more."""
    monkeypatch.chdir(tmp_path)
    keras.applications.MobileNetV2(weights=None, include_top=False).save_weights(tmp_path / "MobileNetV2.weights.h5")
    settings = complete_hyperparameters("MobileNetV2", "dropout,l2", input_size=32, epochs=1, batch_size=8)
    lesson = read_lesson(make_dataset(cats=6, dogs=6), 1, 0)
    found = finetune.finetune(lesson, settings, name="student", command="", weights_dir=str(tmp_path))
    start = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(32, 32, 3))
    start.load_weights(tmp_path / "MobileNetV2.weights.h5")
    learnt = build.read_path(trained.FOLDER / found.name, trained.ALL).get_layer("network")
    for name, same in (("block_5_expand", True), ("Conv_1", False)):
        assert np.array_equal(start.get_layer(name).kernel, learnt.get_layer(name).kernel) == same
    with refused(TrainingError, "Random weights"):
        finetune.finetune(lesson, settings, name="other", command="", weights_dir="random")


def test_a_taken_name_and_another_plan_are_refused(
    make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lesson = read_lesson(make_dataset(cats=6, dogs=6), 1, 0)
    settings = complete_hyperparameters("four-conv", input_size=32, epochs=1, batch_size=8)
    finetune.finetune(lesson, settings, name="mine", command="")
    with refused(TrainingError, "--force"):
        finetune.finetune(lesson, settings, name="mine", command="")
    work = trained.FOLDER / ".other.part"
    work.mkdir()
    (work / "plan.json").write_text(json.dumps({"epochs": 9}))
    with refused(TrainingError, "unfinished training with other settings"):
        finetune.finetune(lesson, settings, name="other", command="")
    before = (trained.FOLDER / "mine/network.json").read_bytes()
    finetune.finetune(lesson, replace(settings, seed=9), name="mine", command="", force=True)
    assert (trained.FOLDER / "mine/network.json").read_bytes() != before
    assert sorted(path.name for path in trained.FOLDER.iterdir()) == [".other.part", "mine"]


# Dies in the middle of the second member of a fold.
KILLED = """
import os, signal
from catsdogs.finetuning import fit
from catsdogs.cli import main

after_batch = fit._Checkpoint.on_train_batch_end

def die(self, batch, logs=None):
    if self._work.name == ".fold-2" and len(self.history["loss"]) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    after_batch(self, batch, logs)

fit._Checkpoint.on_train_batch_end = die
main()
"""


def test_killed_and_run_again_by_the_command_it_finishes(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL in the middle of the second member: the first is not trained again, no half-written network is seen."""
    write_kaggle_folder(tmp_path / "data", cats=8, dogs=8)
    flags = ["--backbone", "four-conv", "--data", "data", "--size", "32", "--epochs", "2", "--folds", "2"]
    asked = ["finetune", *flags, "--name", "mine", "--batch-size", "4"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *asked], cwd=tmp_path, capture_output=True)
    work = tmp_path / "networks/.mine.part"
    assert killed.returncode == -signal.SIGKILL and (work / ".fold-2/state.json").exists()
    assert (work / "fold-1.npz").exists() and not (tmp_path / "networks/mine").exists()
    first = (work / "fold-1.weights.h5").stat().st_mtime_ns
    monkeypatch.chdir(tmp_path)
    code, out, _ = command(*asked)
    folder = tmp_path / "networks/mine"
    assert code == 0 and "networks/mine/network.json" in out and "features --backbones mine" in out
    assert (folder / "fold-1.weights.h5").stat().st_mtime_ns == first
    assert not work.exists() and trained.check_weights(folder)

"""One training: what learns, which epoch is kept, and that a kill changes nothing."""

import copy
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from catsdogs.errors import UsageError
from catsdogs.networks.quiet import importing_keras
from tests.conftest import refused

with importing_keras():
    import keras

    from catsdogs.finetuning import fit
    from catsdogs.finetuning.hyperparameters import complete_hyperparameters
    from catsdogs.finetuning.objectives import Classification
    from catsdogs.finetuning.stream import Batches
    from catsdogs.networks import build, trained
    from catsdogs.networks.table import BACKBONES
    from catsdogs.progress import Progress

# What stands behind the last joint, by the names that keras.applications gives.
LAST_BLOCKS = {
    "EfficientNetLite0": {"blocks_15_expand_conv", "blocks_15_depthwise_conv", "blocks_15_project_conv", "conv_head"},
    "Xception": {"block14_sepconv1", "block14_sepconv2"},
    "ResNet50": {"conv5_block3_1_conv", "conv5_block3_2_conv", "conv5_block3_3_conv"},
    "VGG16": {"block5_conv1", "block5_conv2", "block5_conv3"},
    "MobileNetV2": {"block_16_expand", "block_16_depthwise", "block_16_project", "Conv_1"},
}


@pytest.mark.parametrize("name", LAST_BLOCKS)
def test_the_last_block(name: str) -> None:
    network = build._whole_network(BACKBONES[name], include_top=False)
    assert {layer.name for layer in fit.last_block(network) if fit._is_trainable(layer)} == LAST_BLOCKS[name]


def test_a_network_without_a_last_block_says_so() -> None:
    image = left = right = keras.Input((8, 8, 3))
    for _ in range(3):  # two paths that never meet but at the end, as NASNet's cells
        left, right = keras.layers.Conv2D(2, 1)(right), keras.layers.Conv2D(2, 1)(left)
    with refused(UsageError, "--unfreeze all"):
        fit.last_block(keras.Model(image, keras.layers.Add()([left, right])))


@pytest.mark.parametrize(("unfreeze", "share"), [("none", 0.0), ("last-block", 0.3), ("all", 1.0)])
def test_what_is_frozen_does_not_learn(unfreeze: str, share: float) -> None:
    settings = complete_hyperparameters("EfficientNetLite0", unfreeze=unfreeze, input_size=32)
    extractor, model = fit.build_model(settings, None, classes=3, seed=1)
    network = extractor.get_layer("network")
    kernels = [layer for layer in network.layers if fit._is_trainable(layer)]
    learning = sum(layer.count_params() for layer in kernels if layer.trainable)
    assert learning / sum(layer.count_params() for layer in kernels) == pytest.approx(share, abs=0.05)
    assert not any(one.trainable for one in network.layers if isinstance(one, keras.layers.BatchNormalization))
    before = [layer.get_weights() for layer in network.layers]
    model.compile("sgd", "categorical_crossentropy", run_eagerly=True)  # for one step, tracing takes longer
    model.train_on_batch(np.full((4, 32, 32, 3), 99.0), np.eye(3)[[0, 1, 2, 0]])
    for layer, weights in zip(network.layers, before, strict=True):
        same = all(map(np.array_equal, layer.get_weights(), weights))
        assert same or layer.trainable


def test_the_first_top_is_the_best_linear_one() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(90) % 3
    vectors = (np.eye(3)[labels] * 4 + random.normal(size=(90, 3))).astype(np.float32)
    for classes in (2, 3):
        rows = labels < classes
        top = keras.layers.Dense(classes, activation="softmax", name="top")
        model = keras.Sequential([keras.Input((3,)), top])
        fit.initialise_top(model, vectors[rows], labels[rows], seed=1)
        probabilities = model.predict(vectors[rows], verbose=0)
        assert (probabilities.argmax(axis=1) == labels[rows]).mean() > 0.9


class Squares:
    """Pictures that need no disk: class 1 is bright on the left."""

    def __init__(self, count: int, side: int) -> None:
        random = np.random.default_rng(5)
        self.labels = np.arange(count) % 2
        self.pixels = random.integers(60, 190, (count, side, side, 3)).astype(np.uint8)
        self.pixels[self.labels == 1, :, : side // 2] += 60

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self.pixels[rows]

    def from_row(self, first: int) -> "Squares":
        """Those from a row on."""
        others = copy.copy(self)
        others.labels, others.pixels = self.labels[first:], self.pixels[first:]
        return others


def train(
    work: Path, epochs: int, tricks: str = "dropout,cosine", stuck_in: int | None = None, wrong: int = 0
) -> tuple[object, dict]:
    """A small network on `Squares`, as `fit` is called for real; it is judged by labels of which some are wrong.

    In the middle of the epoch `stuck_in` it says so by a file beside `work`, and waits to be killed.
    """
    squares = Squares(48, 32)
    settings = complete_hyperparameters(
        "four-conv", tricks, input_size=32, epochs=epochs, batch_size=16, rate=1e-3, seed=3
    )
    objective = Classification(settings, squares.labels, 2)
    _, model = fit.build_model(settings, None, 2, 3)

    def augment(pixels: np.ndarray, labels: np.ndarray, epoch: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
        if (epoch, batch) == (stuck_in, 1):
            work.with_name("stuck").touch()
            time.sleep(600)
        return pixels.astype(np.float32), labels

    targets = np.eye(2, dtype=np.float32)[squares.labels]
    training = Batches(squares, targets[:40], 16, seed=3, augment=augment)  # type: ignore[arg-type]
    targets[40 : 40 + wrong] = 1 - targets[40 : 40 + wrong]
    validation = Batches(squares.from_row(40), targets[40:], 16)  # type: ignore[arg-type]
    with Progress(epochs * len(training), "training", "batch") as bar:
        history = fit.train_model(
            model, settings, training, validation, objective.loss(), objective.metrics(), work, [], bar
        )
        assert bar.n == bar.total
    return model, history


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    """The surer it gets, the more the two wrong labels of eight cost: the best epoch is an early one."""
    model, history = train(tmp_path, 6, wrong=2)
    squares = Squares(48, 32)
    squares.labels[40:42] = 1 - squares.labels[40:42]
    probabilities = model.predict(squares.pixels[40:].astype(np.float32), verbose=0)  # type: ignore[attr-defined]
    loss = -np.log(probabilities[np.arange(8), squares.labels[40:]]).mean()
    assert loss == pytest.approx(min(history["val_loss"]), rel=1e-3)
    assert history["val_loss"][-1] > 1.1 * loss
    assert {len(values) for values in history.values()} == {6}


def test_early_stopping_counts_from_the_best_epoch(tmp_path: Path) -> None:
    _, history = train(tmp_path, 20, "early-stopping", wrong=2)
    best = int(np.argmin(history["val_loss"]))
    assert len(history["loss"]) in (best + 1 + 20 // 5, 20)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """What a training of five epochs leaves that nothing disturbed, and its history."""
    work = tmp_path_factory.mktemp("whole")
    return work, train(work, 5)[1]


def test_the_kernels_of_every_epoch_are_kept(whole: tuple[Path, dict]) -> None:
    with np.load(whole[0] / trained.KERNELS_FILE) as kept:
        assert kept["kernels"].shape == (6, 3, 3, 3, 32) and kept["epochs"].tolist() == [0, 1, 2, 3, 4, 5]
        assert not np.array_equal(kept["kernels"][0], kept["kernels"][5])


def test_killed_in_an_epoch_it_goes_on_as_if_nothing_had_been(whole: tuple[Path, dict], tmp_path: Path) -> None:
    """The process dies by SIGKILL in the middle of an epoch; the losses are those of an undisturbed training."""
    killed = repr(str(tmp_path / "killed"))
    code = f"import pathlib, tests.finetuning.test_fit as t;t.train(pathlib.Path({killed}), 5, stuck_in=2)"
    state, stuck = tmp_path / "killed" / fit.STATE_FILE, tmp_path / "stuck"
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code], cwd=root, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (stuck.exists() and state.exists() and epochs_in(state) >= 2):
            time.sleep(0.02)
        process.kill()
    done = epochs_in(state)
    assert 2 <= done < 5
    _, resumed = train(tmp_path / "killed", 5)
    work, undisturbed = whole
    for name, values in undisturbed.items():
        assert resumed[name] == pytest.approx(values, rel=1e-3, abs=1e-4)
    shapes = [[array.shape for array in arrays(path / fit.BEST_FILE)] for path in (tmp_path / "killed", work)]
    assert shapes[0] == shapes[1]
    assert not list((tmp_path / "killed").glob(".*"))


def epochs_in(state: Path) -> int:
    return len(json.loads(state.read_text())["history"]["loss"])


def arrays(path: Path) -> list[np.ndarray]:
    import h5py

    found: list[np.ndarray] = []
    with h5py.File(path) as file:
        file.visititems(lambda _, item: found.append(item[...]) if isinstance(item, h5py.Dataset) else None)
    return found

"""A run on new photographs: the same networks or none, and the numbers it gave before."""

from pathlib import Path

import pytest

from catsdogs.errors import StoreError, TrainingError
from catsdogs.features import feature_file
from catsdogs.features.extract import Settings, extract
from catsdogs.networks import weights
from catsdogs.networks.table import BACKBONES
from catsdogs.photographs.dataset import scan
from catsdogs.photographs.fitting import Fit
from catsdogs.runs import ensemble, prediction, run_card
from catsdogs.runs.run_card import Run
from tests.conftest import need, refused
from tests.support.datasets import write_kaggle_folder
from tests.support.runs import LITE0, LITE1, features, read_probabilities, train

FILTER = Fit(1).resize_filter


def sha256(name: str) -> str:
    return next(iter(BACKBONES[name].hashes.values()))


def trained_on(folder: Path, *names: str, **other: object) -> Run:
    """A run on made-up vectors whose files claim to be of these networks; some of their recipe is `other`."""
    files = []
    for name in names:
        usual = {"input_size": BACKBONES[name].input_size, "preprocessing": "lite", "resize_filter": FILTER}
        files.append(features(folder, name, **{"weights": sha256(name), **usual, **other}))
    return train(files, folder)


def networks_of(folder: Path, run: Run, weights_dir: str | None = None) -> list[ensemble.TrainedOn]:
    need(str(BACKBONES[LITE0].package))
    return ensemble.networks_of(folder / "run", run, weights_dir)


def test_the_networks_are_the_runs_in_its_order(tmp_path: Path) -> None:
    run = trained_on(tmp_path, LITE1, LITE0, dtype="float16")
    found = networks_of(tmp_path, run)
    assert [network.backbone.name for network in found] == [LITE1, LITE0] == list(run.backbones)
    assert [network.weights.sha256 for network in found] == [sha256(LITE1), sha256(LITE0)]
    assert [network.recipe.dtype for network in found] == ["float16", "float16"]


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({"weights": "cd" * 32}, r"weights: 579344248a93…, not cdcdcdcdcdcd…\. Give --weights-dir"),
        ({"input_size": 200}, r"input_size: 224, not 200\. Extract the features again"),
        ({"resize_filter": "nearest"}, rf"resize_filter: {FILTER}, not nearest\. Extract the features again"),
    ],
)
def test_networks_that_would_say_something_else(tmp_path: Path, other: dict[str, object], problem: str) -> None:
    run = trained_on(tmp_path, LITE0, **other)
    with refused(StoreError, rf"run was trained on other vectors of {LITE0}: {problem}"):
        networks_of(tmp_path, run)


def test_random_weights_are_not_those_of_a_run(tmp_path: Path) -> None:
    with refused(StoreError, "weights: random, not 579344248a93…"):
        networks_of(tmp_path, trained_on(tmp_path, LITE0), weights.RANDOM_WEIGHTS)


def test_vectors_of_unknown_origin(tmp_path: Path) -> None:
    run = trained_on(tmp_path, LITE0, weights=feature_file.UNKNOWN)
    with refused(TrainingError, "an old notebook's vectors"):
        networks_of(tmp_path, run)


def test_a_prediction_repeats_the_submission(tmp_path: Path) -> None:
    need(str(BACKBONES[LITE0].package))
    data = write_kaggle_folder(tmp_path / "data", cats=8, dogs=8, test=4)
    extract(scan(data), [LITE0], tmp_path / "features", Settings(engine="openvino", batch_size=4))
    run = train([feature_file.read_features(tmp_path / "features" / f"{LITE0}.h5")], tmp_path)
    (data / "test" / "5.jpg").write_bytes(b"no picture")
    folder, target, cache = tmp_path / "run", tmp_path / "answers.csv", tmp_path / "cache"
    predicted = prediction.predict(folder, data / "test", target, cache)
    assert (predicted.rows, predicted.wanted) == (5, f"the probability of {run.classes[1]}")
    assert [row.id for row in predicted.unreadable] == ["5"]
    answers, submitted = read_probabilities(target), read_probabilities(folder / run_card.SUBMISSION_FILE)
    assert answers.pop("5") == pytest.approx(run.prior[1])
    assert answers == pytest.approx(submitted, abs=1e-5)

    written = [path.stat().st_mtime_ns for path in cache.glob(f"*/{LITE0}.h5")]
    assert prediction.predict(folder, data / "test", target, cache) == predicted
    assert [path.stat().st_mtime_ns for path in cache.glob(f"*/{LITE0}.h5")] == written != []

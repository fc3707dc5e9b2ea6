"""The map of a photograph adds up to the logit of the run's heads, exactly, on real pretrained networks."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catsdogs.demo.drawings import draw_pet
from catsdogs.errors import TrainingError
from catsdogs.photographs import images
from catsdogs.photographs.fitting import CROP, PAD, Fit
from catsdogs.runs import overlay, prediction, run_card
from catsdogs.runs.ensemble import load_members, look, networks_of
from catsdogs.runs.explaining import Explainer, Part, Why
from tests.conftest import refused
from tests.support.runs import LITE0, LITE1, extracted, train

EACH = 6


def drawn(kind: str, seed: int) -> bytes:
    buffer = io.BytesIO()
    random = np.random.default_rng((ord(kind[0]), seed))
    draw_pet("dog" if kind == "dog" else "cat", random, (200, 160)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def photographs(folder: Path, kinds: Sequence[str]) -> Path:
    (folder / "train").mkdir(parents=True)
    (folder / "test").mkdir()
    for kind in kinds:
        for n in range(EACH):
            (folder / "train" / f"{kind}.{n}.jpg").write_bytes(drawn(kind, n))
    for n in range(4):
        (folder / "test" / f"{n + 1}.jpg").write_bytes(drawn("cat", 100 + n))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two and of three classes, on two networks that average a map."""
    root = tmp_path_factory.mktemp("place")
    for name, kinds in (("two", ("cat", "dog")), ("three", ("bat", "cat", "dog"))):
        files = extracted(photographs(root / name, kinds), root / f"features-{name}", LITE0, LITE1, precision="float32")
        train(files, root / "submissions", name=name, head="logistic", folds=2)
    return root


@pytest.mark.parametrize(("name", "columns"), [("two", 2), ("three", 3)])
def test_the_map_adds_up_to_the_heads_logit(place: Path, name: str, columns: int) -> None:
    trained = run_card.load_run(place / "submissions" / name)
    networks = networks_of(place / "submissions" / name, trained.run, None)
    explainer, data = Explainer(trained, networks), drawn("dog", 50)
    _, vectors = look(load_members(networks), images.load(data, explainer.fits))
    logits = np.array([np.atleast_2d(head.decision_function(vectors))[0] for head in trained.heads])
    if columns == 2:
        expected = np.stack((-logits[:, 0], logits[:, 0]), axis=1)
    else:
        expected = logits - logits.mean(axis=1, keepdims=True)
    for column in range(columns):
        why = explainer.explain_bytes(data, column)
        assert why.speaks_for == trained.run.classes[column]
        assert [part.network for part in why.parts] == [LITE0, LITE1]
        assert why.logit == pytest.approx(expected[:, column].mean(), rel=1e-4, abs=1e-5)
        of_one_fold = explainer.explain_bytes(data, column, fold=1)
        assert of_one_fold.logit == pytest.approx(expected[1, column], rel=1e-4, abs=1e-5)


def test_a_head_that_is_not_linear_has_no_maps(place: Path, tmp_path: Path) -> None:
    files = extracted(place / "two", place / "features-two", LITE0, LITE1, precision="float32")
    train(files, tmp_path, name="near", head="KNeighborsClassifier", folds=2)
    trained = run_card.load_run(tmp_path / "near")
    networks = networks_of(tmp_path / "near", trained.run, None)
    with refused(TrainingError, "its head KNeighborsClassifier is not linear"):
        Explainer(trained, networks)


def test_predictions_come_with_a_picture_each(place: Path, tmp_path: Path) -> None:
    target, folder = tmp_path / "p.csv", tmp_path / "explain"
    told = prediction.predict(place / "submissions" / "two", place / "two", target, tmp_path / "c", explain=folder)
    assert told.explained == told.rows == len(list(folder.iterdir()))
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            assert picture.format == "PNG" and picture.width >= 200


def flat(fit: Fit, size: tuple[int, int], shares: np.ndarray | None = None) -> Why:
    return Why("dog", [Part("A", np.ones((2, 2)) if shares is None else shares, fit)], 0.5, size)


def test_a_map_lies_where_the_network_looked() -> None:
    assert (flat(Fit(8), (40, 20)).joint(40, 20) == 1.5).all()
    assert (flat(Fit(8, PAD), (40, 20)).joint(40, 20) == 1.5).all()
    cropped = flat(Fit(8, CROP), (40, 20)).joint(40, 20)
    assert (cropped[:, 10:30] == 1.5).all() and (cropped[:, :10] == 0).all() and (cropped[:, 30:] == 0).all()
    left = flat(Fit(8), (40, 20), np.array([[1.0, 0.0], [1.0, 0.0]])).joint(40, 20)
    assert (left[:, 0] == 1.5).all() and (left[:, -1] == 0.5).all() and (np.diff(left, axis=1) <= 0).all()


def test_what_speaks_for_is_red_and_against_blue() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 20), "grey").save(buffer, "PNG")
    why = flat(Fit(8), (40, 20), np.array([[2.0, -3.0], [2.0, -3.0]]))
    painted = np.asarray(overlay.paint(buffer.getvalue(), why)).astype(int)
    red, blue = painted[:, 0], painted[:, -1]
    assert (red[:, 0] > red[:, 2] + 50).all() and (blue[:, 2] > blue[:, 0] + 50).all()

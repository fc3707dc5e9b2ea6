"""One photograph at a time gives the numbers of the CSV, says why, and does so for many threads at once."""

import io
import os
import re
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from catsdogs.cleaning.votes import collect_votes
from catsdogs.demo.drawings import draw_pet, draw_scene
from catsdogs.errors import UnknownNameError, UnreadablePhotographError
from catsdogs.features.feature_file import Features
from catsdogs.networks import imagenet
from catsdogs.photographs import images
from catsdogs.photographs.fitting import Fit
from catsdogs.runs import run_card
from catsdogs.runs.answers import LABELS, NEIGHBOURS, Answer, Predictor
from catsdogs.runs.run_card import TrainedRun
from catsdogs.scoring import replay
from tests.conftest import refused
from tests.support.features import table as entries
from tests.support.features import write_features
from tests.support.runs import LITE0, LITE1, extracted, read_probabilities, train

pytestmark = pytest.mark.usefixtures("networks_are_loaded_once")
SIZE = (200, 160)
PER_CLASS, TEST_PETS, TEST_SCENES = 10, 6, 4


def drawn(kind: str, seed: int) -> bytes:
    """The JPEG of a cat, a dog, or a scene without either."""
    random = np.random.default_rng((len(kind), ord(kind[0]), seed))
    picture = draw_scene(random, SIZE) if kind == "scene" else draw_pet(kind, random, SIZE)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def write(folder: Path, photographs: dict[str, bytes]) -> Path:
    for name, data in photographs.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn photographs in Kaggle's layout; the last of test/ show no pet."""
    files = {f"train/{kind}.{n}.jpg": drawn(kind, n) for kind in ("cat", "dog") for n in range(PER_CLASS)}
    files |= {f"test/{n + 1}.jpg": drawn(("cat", "dog")[n % 2], 100 + n) for n in range(TEST_PETS)}
    files |= {f"test/{TEST_PETS + n + 1}.jpg": drawn("scene", n) for n in range(TEST_SCENES)}
    return write(tmp_path_factory.mktemp("pets"), files)


@pytest.fixture(scope="module")
def files(pets: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Features]:
    return extracted(pets, tmp_path_factory.mktemp("features"), LITE0, LITE1)


@pytest.fixture(scope="module")
def run_folder(files: list[Features], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("submissions")
    train(files, folder, head="blend")
    return folder / "run"


@pytest.fixture(scope="module")
def predictor(run_folder: Path, files: list[Features]) -> Predictor:
    return Predictor(run_folder, files[0].path.parent, None)


@pytest.fixture(scope="module")
def answers(predictor: Predictor, pets: Path) -> dict[str, Answer]:
    return {path.stem: predictor.answer(path.read_bytes()) for path in sorted(pets.glob("*/*.jpg"))}


def test_the_numbers_are_those_of_the_submission(run_folder: Path, answers: dict[str, Answer]) -> None:
    submitted = read_probabilities(run_folder / run_card.SUBMISSION_FILE)
    assert len(submitted) == TEST_PETS + TEST_SCENES and len(set(submitted.values())) > 5
    assert {id: answers[id].predictions["dog"] for id in submitted} == pytest.approx(submitted, abs=1e-3)
    for answer in answers.values():
        assert list(answer.predictions) == ["cat", "dog"]
        assert sum(answer.predictions.values()) == pytest.approx(1)
        assert (answer.width, answer.height) == SIZE


def test_labels_and_votes_are_those_of_the_feature_files(files: list[Features], answers: dict[str, Answer]) -> None:
    ballots = collect_votes(files)
    votes = dict(zip(files[0].ids["test"], ballots.votes("test").tolist(), strict=True))
    assert {id: answers[id].votes for id in votes} == votes and set(votes.values()) >= {0, len(files)}
    for row, id in enumerate(files[0].ids["test"]):
        answer = answers[id]
        assert answer.networks == len(files) and answer.no_pet == (2 * answer.votes > answer.networks)
        for name, best in ballots.labels("test", row).items():
            found = answer.labels[name]
            assert len(found) == LABELS and {label for label, _ in found} <= set(imagenet.labels())
            assert [share for _, share in found] == pytest.approx([share for _, share in best[:LABELS]], abs=1e-3)


def test_a_training_photograph_is_its_own_nearest(files: list[Features], answers: dict[str, Answer]) -> None:
    for id, label in zip(files[0].ids["train"], files[0].labels, strict=True):
        nearest = answers[id].neighbours[0]
        assert (nearest.id, nearest.label) == (id, files[0].classes[label])
        assert nearest.similarity == pytest.approx(1, abs=1e-4)


def test_neighbours_come_by_the_mean_cosine_of_the_networks(files: list[Features], answers: dict[str, Answer]) -> None:
    expected = np.zeros((TEST_PETS + TEST_SCENES, 2 * PER_CLASS))
    for file in files:
        ours, theirs = file.vectors("test").astype(np.float64), file.vectors("train").astype(np.float64)
        lengths = np.outer(np.linalg.norm(ours, axis=1), np.linalg.norm(theirs, axis=1))
        expected += ours @ theirs.T / lengths / len(files)
    for row, id in enumerate(files[0].ids["test"]):
        found = [neighbour.similarity for neighbour in answers[id].neighbours]
        assert found == pytest.approx(np.sort(expected[row])[::-1][:NEIGHBOURS], abs=1e-4)
        of = dict(zip(files[0].ids["train"], expected[row], strict=True))
        assert found == pytest.approx([of[neighbour.id] for neighbour in answers[id].neighbours], abs=1e-4)


def test_threads_get_the_same_answers_and_decode_no_more_than_cores_can(
    predictor: Predictor, pets: Path, answers: dict[str, Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, at_once, most = threading.Lock(), 0, 0
    load = images.load

    def counted(data: bytes, fits: Sequence[Fit]) -> images.Pixels:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        try:
            return load(data, fits)
        finally:
            with lock:
                at_once -= 1

    monkeypatch.setattr(images, "load", counted)
    paths = sorted(pets.glob("*/*.jpg"))
    with ThreadPoolExecutor(8) as pool:
        again = list(pool.map(lambda path: predictor.answer(path.read_bytes()), paths * 2))
    assert 1 <= most <= (os.cpu_count() or 1)
    for path, answer in zip(paths * 2, again, strict=True):
        alone = answers[path.stem]
        assert answer.predictions == pytest.approx(alone.predictions, abs=1e-6)
        assert [neighbour.id for neighbour in answer.neighbours] == [neighbour.id for neighbour in alone.neighbours]


def test_a_photograph_that_cannot_be_read_harms_no_other(
    predictor: Predictor, pets: Path, answers: dict[str, Answer]
) -> None:
    for _ in range(2 * (os.cpu_count() or 1) + 1):  # more than may be decoded at once: each must give its place back
        with pytest.raises(UnreadablePhotographError):
            predictor.answer(b"no picture")
    assert predictor.answer((pets / "test/1.jpg").read_bytes()).neighbours == answers["1"].neighbours


def remove(folder: Path) -> None:
    (folder / f"{LITE1}.h5").unlink()


def cut(folder: Path) -> None:
    (folder / f"{LITE0}.h5").write_bytes((folder / f"{LITE0}.h5").read_bytes()[:5000])


def other_rows(folder: Path) -> None:
    for name in (LITE0, LITE1):
        (folder / f"{name}.h5").unlink()
        write_features(folder, entries(["cat.0", "dog.0"], ["1"]), name)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (remove, rf"No feature file .*{LITE1}\.h5"),
        (cut, rf"{LITE0}\.h5 is cut short or damaged"),
        (other_rows, "is not what the run run was trained on"),
        (shutil.rmtree, "No feature file"),
        (None, "No folder of feature files"),
    ],
)
def test_without_fitting_feature_files_it_answers_without_neighbours(
    tmp_path: Path,
    run_folder: Path,
    files: list[Features],
    pets: Path,
    answers: dict[str, Answer],
    damage: Callable[[Path], None] | None,
    reason: str,
) -> None:
    folder = shutil.copytree(files[0].path.parent, tmp_path / "features")
    if damage:
        damage(folder)
    lonely = Predictor(run_folder, folder if damage else None, None)
    assert re.search(reason, lonely.no_neighbours) and lonely.no_neighbours.endswith(".")
    answer, scene = (lonely.answer((pets / f"test/{n}.jpg").read_bytes()) for n in (1, TEST_PETS + TEST_SCENES))
    assert answer.neighbours == [] and answer.predictions == pytest.approx(answers["1"].predictions, abs=1e-6)
    assert scene.no_pet == answers[str(TEST_PETS + TEST_SCENES)].no_pet  # the classes say that it is about pets


def test_with_them_there_is_nothing_to_excuse(predictor: Predictor) -> None:
    assert predictor.no_neighbours == "" and predictor.run.head == "blend"


def test_held_out_photographs_are_no_neighbours(tmp_path: Path, files: list[Features], pets: Path) -> None:
    views, truth = replay.hold_out(files[:1], "mlebench")
    train(views, tmp_path, protocol="mlebench", truth=truth)
    replayed = Predictor(tmp_path / "run", files[0].path.parent, None)
    assert replayed.no_neighbours == ""
    for split, itself in (("train", True), ("test", False)):
        for id in views[0].ids[split]:
            found = replayed.answer((pets / f"train/{id}.jpg").read_bytes()).neighbours
            assert (found[0].id == id) == itself and not {row.id for row in found} & set(views[0].ids["test"])


@pytest.mark.parametrize(
    ("shown", "about_pets"), [(("cat", "dog"), True), (("cat", "scene"), False), (("scene", "scene"), False)]
)
def test_what_a_run_is_about_is_seen_in_its_photographs(
    tmp_path: Path, shown: tuple[str, str], about_pets: bool
) -> None:
    """Where the classes are not cat and dog, most training photographs of each must show a pet."""
    classes = zip(("young", "old"), shown, (20, 40), strict=True)
    photographs = {f"{name}/{name}{n}.jpg": drawn(kind, first + n) for name, kind, first in classes for n in range(6)}
    data = write(tmp_path / "data", photographs)
    made = extracted(data, tmp_path / "features", LITE0)
    train(made, tmp_path, folds=2)
    found = Predictor(tmp_path / "run", tmp_path / "features", None).answer(drawn("scene", 1))
    assert (found.votes, found.networks) == (1, 1) and found.no_pet == about_pets
    assert sorted(found.predictions) == ["old", "young"]


def test_vectors_are_rounded_as_in_a_float16_file(tmp_path: Path, pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = extracted(pets, tmp_path / "features", LITE0, dtype="float16")
    train(made, tmp_path)
    rounded = Predictor(tmp_path / "run", tmp_path / "features", None)
    judged, judge = [], TrainedRun.predict
    monkeypatch.setattr(TrainedRun, "predict", lambda run, X: judged.append(X.copy()) or judge(run, X))
    answer = rounded.answer((pets / "test/1.jpg").read_bytes())
    (vectors,) = judged
    assert vectors.dtype == np.float32 and np.array_equal(vectors, vectors.astype(np.float16))
    np.testing.assert_allclose(vectors[0], made[0].vectors("test")[0], atol=2e-3)
    assert answer.predictions["dog"] == pytest.approx(
        read_probabilities(tmp_path / "run" / run_card.SUBMISSION_FILE)["1"], abs=1e-3
    )


def test_keras_networks_answer_too(tmp_path: Path, pets: Path) -> None:
    made = extracted(pets, tmp_path / "features", LITE0, engine="keras")
    train(made, tmp_path)
    slow = Predictor(tmp_path / "run", tmp_path / "features", None)
    submitted = read_probabilities(tmp_path / "run" / run_card.SUBMISSION_FILE)
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda id: slow.answer((pets / f"test/{id}.jpg").read_bytes()), submitted)
        probabilities = [answer.predictions["dog"] for answer in found]
    assert probabilities == pytest.approx(list(submitted.values()), abs=1e-3)


def test_no_such_run(tmp_path: Path) -> None:
    with refused(UnknownNameError, "No run is called 'absent'"):
        Predictor(tmp_path / "absent", None, None)

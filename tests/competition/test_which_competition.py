"""The competition that a run is for: told by its photographs' place or by the user, asked for where neither tells."""

import json
from pathlib import Path
from typing import Any

import pytest

from catsdogs.competition import fetch, kaggle
from catsdogs.runs import run_card
from catsdogs.scoring import training_plan
from tests.conftest import Command
from tests.support.datasets import write_kaggle_folder
from tests.support.features import opened
from tests.support.runs import features


@pytest.mark.parametrize(
    ("place", "competition"),
    [
        (f"/kaggle/input/{kaggle.COMPETITION}", kaggle.COMPETITION),
        ("/kaggle/input/leaf-classification", "leaf-classification"),
        ("/kaggle/input/competitions/leaf-classification/train", "leaf-classification"),
        ("/kaggle/input/datasets/someone/my-leaves", ""),
        ("/kaggle/input/competitions", ""),
        ("/kaggle/input", ""),
        ("/home/me/dog-breed-identification", "dog-breed-identification"),
        ("/home/me/dog-breed-identification/unpacked", "dog-breed-identification"),
        ("/home/me/dog-breed-identification.zip", "dog-breed-identification"),
        ("s3://bucket/dog-breed-identification", "dog-breed-identification"),
        ("/home/me/data/dogs-vs-cats", ""),  # the usual folder, whatever somebody put there
        ("/home/me/photographs", ""),
        ("", ""),
    ],
)
def test_the_name_of_the_photographs_place_tells_the_competition(place: str, competition: str) -> None:
    assert fetch.competition_of(place) == competition


def test_a_place_is_known_by_either_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plant-seedlings-classification/work").mkdir(parents=True)
    (tmp_path / "plants").symlink_to(tmp_path / "plant-seedlings-classification")
    (tmp_path / "tpu-getting-started").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path / "plant-seedlings-classification/work")
    assert fetch.competition_of("..") == fetch.competition_of(str(tmp_path / "plants"))
    assert fetch.competition_of("..") == "plant-seedlings-classification"
    assert fetch.competition_of(str(tmp_path / "tpu-getting-started")) == "tpu-getting-started"


def test_what_fetch_left_tells_the_competition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fetch.KAGGLE_COUNTS, "train", 8)
    monkeypatch.setitem(fetch.KAGGLE_COUNTS, "test", 3)
    data = write_kaggle_folder(tmp_path / "data")
    assert fetch.competition_of(str(data)) == ""
    (data / "sample_submission.csv").write_text("id,label\n1,0.5\n2,0.5\n3,0.5\n")
    assert fetch.competition_of(str(data)) == kaggle.COMPETITION
    (data / "train/cat.0.jpg").unlink()
    assert fetch.competition_of(str(data)) == ""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with features of photographs that lie nowhere any more."""
    monkeypatch.chdir(tmp_path)
    features(tmp_path / "features")
    return tmp_path


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was uploaded: the arguments, without Kaggle."""
    seen: list[tuple[Any, ...]] = []

    def upload(*arguments: Any) -> kaggle.UploadAnswer:
        seen.append(arguments)
        return kaggle.UploadAnswer("complete", 0.1, None, "https://www.kaggle.com", "scored")

    monkeypatch.setattr(kaggle, "upload", upload)
    return seen


TRAIN = ("train", "--backbones", "ResNet50", "--head", "ridge", "--name", "run")


def recorded(project: Path) -> str:
    return str(json.loads((project / "submissions/run/run.json").read_text())["competition"])


def test_without_a_competition_submit_asks_for_it(
    project: Path, uploads: list[tuple[Any, ...]], command: Command
) -> None:
    code, out, err = command(*TRAIN)
    assert (code, recorded(project)) == (0, ""), err
    assert "submit --name run --competition NAME" in out
    code, _, err = command("submit", "--name", "run")
    assert (code, "which competition the run run is for. Give --competition NAME" in err) == (2, True)
    assert (len(err.strip().splitlines()), uploads) == (1, [])
    code, out, err = command("submit", "--name", "run", "--competition", "leaf-classification")
    assert (code, [arguments[2] for arguments in uploads]) == (0, ["leaf-classification"]), err
    assert "to leaf-classification" in out


def test_a_run_knows_its_competition(project: Path, uploads: list[tuple[Any, ...]], command: Command) -> None:
    code, out, err = command(*TRAIN, "--competition", "leaf-classification")
    assert (code, recorded(project)) == (0, "leaf-classification"), err
    assert "submit --name run\n" in out
    assert command("submit", "--name", "run")[0] == 0
    assert command("submit", "--name", "run", "--competition", "another")[0] == 0
    assert [arguments[2] for arguments in uploads] == ["leaf-classification", "another"]
    code, _, err = command("train", "--repeat", "run", "--name", "again")
    assert code == 0, err
    assert command("submit", "--name", "again")[0] == 0 and uploads[-1][2] == "leaf-classification"


def test_the_folder_of_the_photographs_tells_it_and_its_sample_is_compared_with(
    project: Path, uploads: list[tuple[Any, ...]], command: Command
) -> None:
    data = write_kaggle_folder(project / "dog-breed-identification", test=6)
    sample = data / "sample_submission.csv"
    sample.write_text("id,label\n" + "".join(f"{number},0.5\n" for number in (6, 5, 4, 3, 2, 1)))
    code, _, err = command(*TRAIN, "--data", str(data))
    assert (code, recorded(project)) == (0, "dog-breed-identification"), err
    code, out, err = command("submit", "--name", "run", "--data", str(data))
    assert (code, "6 rows, like the sample submission; to dog-breed-identification" in out) == (0, True), err
    assert uploads[-1][2] == "dog-breed-identification"
    sample.write_text("id,label\n1,0.5\n7,0.5\n")
    code, _, err = command("submit", "--name", "run", "--data", str(data))
    assert (code, "ids of the sample submission are missing" in err, len(uploads)) == (1, True, 1)


def test_a_run_from_before_is_submitted_where_its_photographs_say(
    project: Path, uploads: list[tuple[Any, ...]], command: Command
) -> None:
    assert command(*TRAIN)[0] == 0
    path = project / "submissions/run/run.json"
    content = {name: value for name, value in json.loads(path.read_text()).items() if name not in run_card._DEFAULTS}
    content["version"] = training_plan.OLDEST
    for source, competition in (("photographs", None), (f"/kaggle/input/{kaggle.COMPETITION}", kaggle.COMPETITION)):
        path.write_text(json.dumps(content | {"source": source}))
        assert command("submit", "--name", "run")[0] == (0 if competition else 2)
        assert [arguments[2] for arguments in uploads] == [competition] * bool(competition)


@pytest.mark.parametrize("name", ["Dogs vs. Cats", "https://www.kaggle.com/c/x", "a/b", "-", "a--b", "UPPER", "x\n"])
def test_what_is_no_name_of_a_competition_is_refused_before_anything(
    project: Path, uploads: list[tuple[Any, ...]], command: Command, name: str
) -> None:
    code, _, err = command(*TRAIN, "--competition", name)
    assert (code, "is no name of a competition" in err, len(err.strip().splitlines())) == (2, True, 1)
    assert not (project / "submissions").exists() and not uploads


@pytest.mark.parametrize("source", [f"/kaggle/input/{kaggle.COMPETITION}", "photographs"])
def test_only_its_replay_says_that_its_training_photographs_are_easier(
    project: Path, command: Command, source: str
) -> None:
    with opened(project / "features/ResNet50.h5") as file:
        file.attrs["source"] = source
    code, out, err = command("replay", "--backbones", "ResNet50", "--head", "ridge")
    assert (code, "easier than Kaggle's test set" in out) == (0, source != "photographs"), err


@pytest.mark.parametrize("classes", [("cat", "dog"), ("ape", "bee")], ids=str)
@pytest.mark.parametrize("competition", [kaggle.COMPETITION, "leaf-classification", ""])
def test_only_dogs_vs_cats_redux_is_put_beside_its_leaderboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command, competition: str, classes: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    features(tmp_path / "features", classes=classes)
    assert command(*TRAIN, *(("--competition", competition) if competition else ()))[0] == 0
    Path("truth.csv").write_text("id,label\n" + "".join(f"{number},{number % 2}\n" for number in range(1, 7)))
    code, out, err = command("grade", "--name", "run", "--truth", "truth.csv")
    assert (code, "gold" in out) == (0, competition == kaggle.COMPETITION), err

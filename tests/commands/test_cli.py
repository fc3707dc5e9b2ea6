"""The command line as a user meets it: every stage on small drawn data, every mistake in one line."""

import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from catsdogs.networks import weights
from catsdogs.networks.table import BACKBONES
from tests.conftest import Command
from tests.support.datasets import draw_data

ROOT = Path(__file__).parents[2]
LITE = BACKBONES["EfficientNetLite0"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small drawn data set."""
    if weights.find_file(LITE, None) is None:
        pytest.skip(f"{LITE.package} is not installed")
    return draw_data(tmp_path_factory.mktemp("project"), 14, 10, 4)


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


def probabilities(path: Path) -> dict[str, float]:
    with path.open() as file:
        return {row["id"]: float(row["label"]) for row in csv.DictReader(file)}


class TestWholeJob:
    """The stages in order, each on what the one before it left."""

    def test_features(self, inside: Path, command: Command) -> None:
        code, out, err = command("features", "--data", "data", "--backbones", "EfficientNetLite0")
        assert code == 0, err
        assert "data: 10 photographs asked for, ids without suffix; the probability of dog, scored by log-loss" in out
        assert "labels from the file names; 34 to learn from, classes cat, dog" in out
        assert len(re.findall(r"unreadable, left out: train/(cat|dog)\.\d+ \(", out)) == 2
        assert "wrote features/EfficientNetLite0.h5  (32 train + 10 test rows, 42 of them computed now, " in out
        assert "catsdogs outliers --backbones EfficientNetLite0" in out
        code, out, _ = command("features", "--data", "data", "--backbones", "EfficientNetLite0")
        assert (code, "EfficientNetLite0.h5 is up to date  (32 train + 10 test rows, " in out) == (0, True)

    def test_outliers(self, inside: Path, command: Command) -> None:
        code, out, err = command("outliers", "--backbones", "EfficientNetLite0", "--all")
        assert code == 0, err
        rows = list(csv.DictReader((inside / "features/outliers.csv").open()))
        assert {"split", "id", "score", "votes", "labels", "reasons"} <= set(rows[0])
        assert sum(1 for _ in (inside / "features/topk.csv").open()) == 43
        with Image.open(inside / "features/outliers.png") as sheet:
            assert sheet.width > 500
        assert "wrote features/outliers.png" in out and "train --outliers drop" in out

    @pytest.mark.parametrize("head", ["dropout-sigmoid", "logistic"])
    def test_train(self, inside: Path, command: Command, head: str) -> None:
        arguments = ("train", "--backbones", "EfficientNetLite0", "--head", head, "--name", head)
        code, out, err = command(*arguments)
        assert code == 0, err
        assert "log loss" in out and "out of fold" in out
        rows = list(csv.DictReader((inside / f"submissions/{head}/submission.csv").open()))
        assert [row["id"] for row in rows] == [str(number) for number in range(1, 11)]
        assert all(0 <= float(row["label"]) <= 1 for row in rows)
        run = json.loads((inside / f"submissions/{head}/run.json").read_text())
        assert run["command"] == " ".join(["catsdogs", *arguments])
        code, _, err = command(*arguments)
        assert code == 1 and head in err and "--force" in err

    def test_same_command_same_csv(self, inside: Path, command: Command) -> None:
        path = inside / "submissions/dropout-sigmoid/submission.csv"
        before = path.read_bytes()
        name = ("--head", "dropout-sigmoid", "--name", "dropout-sigmoid", "--force")
        assert command("train", "--backbones", "EfficientNetLite0", *name)[0] == 0
        assert path.read_bytes() == before

    def test_a_run_is_repeated_from_what_it_says_of_itself(self, inside: Path, command: Command) -> None:
        code, _, err = command("train", "--repeat", "dropout-sigmoid")
        assert code == 0, err
        folders = [inside / "submissions" / name for name in ("dropout-sigmoid", "dropout-sigmoid-again")]
        for file in ("submission.csv", "oof.csv"):
            assert len({(folder / file).read_bytes() for folder in folders}) == 1
        code, _, err = command("train", "--repeat", "dropout-sigmoid", "--seed", "1", "--name", "other")
        assert (code, "--repeat takes everything from the run" in err) == (2, True)

    def test_compare(self, inside: Path, command: Command) -> None:
        (inside / "features/Copy.h5").unlink(missing_ok=True)
        flags = ("--backbones", "EfficientNetLite0", "--folds", "4", "--repeats", "2")
        code, out, err = command("compare", "--heads", "logistic[C=0.1,search=five],stack,GaussianNB", *flags)
        assert code == 0, err
        rows = list(csv.DictReader((inside / "submissions/compare.csv").open()))
        assert {row["head"] for row in rows} == {"logistic[C=0.1,search=five]", "stack", "standard+GaussianNB"}
        assert [float(row["log_loss"]) for row in rows] == sorted(float(row["log_loss"]) for row in rows)
        with Image.open(inside / "submissions/compare.png") as chart:
            assert chart.width > 500
        assert (
            "noise" in out
            and f"train --name best --backbones EfficientNetLite0 --head {shlex.quote(rows[0]['head'])}" in out
        )
        twice = ("--backbones", "EfficientNetLite0", "--backbones", "EfficientNetLite0")
        code, _, err = command("compare", "--heads", "logistic", *twice)
        assert code == 2 and "twice" in err

    def test_replay_is_graded_like_any_run(self, inside: Path, command: Command) -> None:
        flags = ("--backbones", "EfficientNetLite0", "--folds", "2", "--head", "logistic")
        code, out, err = command("replay", *flags)
        assert code == 0, err
        assert re.search(r"log loss \d\.\d+ .*held out, a seeded tenth", out) and "MLE-bench" not in out
        assert "easier than Kaggle's test set" not in out  # which these drawings have nothing to do with
        code, graded, err = command("grade", "--name", "mlebench", "--truth", "submissions/mlebench/truth.csv")
        assert code == 0, err
        assert graded.split(",")[0] == out[out.index("log loss") :].split(",")[0]
        code, _, err = command("replay", "--protocol", "kaggle", *flags, "--name", "other")
        assert (code, "Choose from: mlebench" in err) == (1, True)

    def test_unknown_head(self, inside: Path, command: Command) -> None:
        code, _, err = command("train", "--backbones", "EfficientNetLite0", "--head", "svm")
        assert (code, "'svm'. Choose from: SVR, SVC, blend, dropout-sigmoid, knn, logistic" in err) == (1, True)

    def test_what_cannot_be_trained_on_is_one_line(self, inside: Path, command: Command) -> None:
        (inside / "half.py").write_text("class Half:\n    def fit(self, X, y): return self\n")
        for flags, message in (
            (("--folds", "60"), "Of 60 folds, one would hold out nothing: of 2 classes, 2 have more than one picture"),
            (("--head", "half.py"), "The head half.py lacks Half.get_params, Half.set_params, Half.predict_proba"),
            (("--head", "none.py"), "No head file none.py"),
            (("--head", "logistic", "--name", "logistic"), "There is a run at submissions/logistic already"),
        ):
            code, _, err = command("train", "--backbones", "EfficientNetLite0", *flags)
            assert (code, message in err, len(err.strip().splitlines())) == (1, True, 1), err
        code, _, err = command("outliers", "--backbones", "EfficientNetLite0", "-k", "11")
        assert (code, "-k 11, and 10 labels are kept" in err, len(err.strip().splitlines())) == (2, True, 1)

    def test_a_replay_is_not_for_kaggle(self, inside: Path, command: Command) -> None:
        code, _, err = command("submit", "--name", "mlebench")
        assert (code, "answers for held-out training photographs" in err) == (1, True)

    def test_unknown_policy(self, inside: Path, command: Command) -> None:
        code, _, err = command("train", "--backbones", "EfficientNetLite0", "--outliers", "maybe")
        assert (code, "Choose from: decided, drop, keep" in err) == (1, True)

    def test_train_obeys_what_a_person_decided(self, inside: Path, command: Command) -> None:
        decisions = inside / "features/decisions.csv"
        decisions.write_text("id,decision,label,when\ncat.0,drop,,2026-01-01\ndog.0,keep,,\ndog.1,relabel,cat,\n")
        flags = ("--backbones", "EfficientNetLite0", "--head", "logistic", "--name", "dropped")
        code, out, err = command("train", *flags)
        decisions.unlink()
        assert code == 0, err
        assert "1 of 32 train rows" in out and "relabelled: 1" in out
        assert json.loads((inside / "submissions/dropped/run.json").read_text())["relabelled"] == {"dog.1": "cat"}
        rows = {row["id"]: row for row in csv.DictReader((inside / "submissions/dropped/oof.csv").open())}
        assert len(rows) == 32 and sum(row["dropped"] not in ("", "0", "False") for row in rows.values()) == 1

    def test_predict(self, inside: Path, command: Command) -> None:
        with zipfile.ZipFile(inside / "some.zip", "w") as archive:
            archive.write(inside / "data/test/1.jpg", "holiday/a.jpg")
            archive.write(inside / "data/test/2.jpg", "holiday/b.jpg")
            archive.writestr("holiday/c.jpg", b"no picture")
        code, out, err = command("predict", "--name", "logistic", "--data", "some.zip", "--out", "p.csv")
        assert code == 0, err
        assert "c (not a picture)" in out and "wrote p.csv" in out
        predicted = probabilities(inside / "p.csv")
        submitted = probabilities(inside / "submissions/logistic/submission.csv")
        assert predicted["a"] == pytest.approx(submitted["1"], abs=1e-4)
        assert predicted["b"] == pytest.approx(submitted["2"], abs=1e-4)
        assert predicted["c"] == pytest.approx(16 / 32, abs=0.1)

    def test_grade(self, inside: Path, command: Command) -> None:
        code, out, err = command("grade", "--name", "logistic", "--truth", "data/truth.csv")
        assert code == 0, err
        assert "log loss" in out and "10 rows" in out
        (inside / "short.csv").write_text("id,label\n1,1\n")
        code, _, err = command("grade", "--name", "logistic", "--truth", "short.csv")
        assert code == 1 and "short.csv" in err

    def test_status(self, inside: Path, command: Command) -> None:
        code, out, _ = command("status")
        assert code == 0
        assert "features/EfficientNetLite0.h5: 32 train + 10 test rows x 1280, 2 unreadable" in out
        assert re.search(r"logistic.*EfficientNetLite0.*log loss", out)

    def test_damaged_feature_file(self, inside: Path, command: Command) -> None:
        path = inside / "features/EfficientNetLite0.h5"
        whole = path.read_bytes()
        path.write_bytes(whole[:100_000])
        for arguments in (("train", "--name", "x"), ("outliers",)):
            code, _, err = command(*arguments, "--backbones", "EfficientNetLite0")
            assert code == 1 and "EfficientNetLite0.h5 is cut short or damaged" in err
        assert "EfficientNetLite0.h5 is cut short" in command("status")[1]
        code, out, _ = command("features", "--data", "data", "--backbones", "EfficientNetLite0")
        assert code == 0 and "damaged, set aside and computed again: features/EfficientNetLite0.h5.damaged" in out
        path.with_name("EfficientNetLite0.h5.damaged").unlink()

    def test_random_weights_never_yield_a_score(self, inside: Path, command: Command) -> None:
        flags = ("--backbones", "EfficientNetLite0", "--out", "random")
        random = ("--weights-dir", "random", "--engine", "keras")  # OpenVINO would take an export
        assert command("features", "--data", "data", *flags, *random, "--limit", "8")[0] == 0
        code, _, err = command("train", "--features", "random", "--backbones", "EfficientNetLite0", "--name", "r")
        assert code == 1 and "random weights" in err

    def test_vectors_of_an_old_notebook(self, inside: Path, command: Command) -> None:
        labels = np.repeat([0, 1], 17)
        vectors = np.random.default_rng(0).normal(size=(34, 8)) + labels[:, np.newaxis]
        with h5py.File(inside / "features/gap_Old.h5", "w") as file:
            file["train"], file["label"], file["test"] = vectors, labels, np.zeros((10, 8))
        flags = ("--backbones", "gap_Old", "--head", "logistic", "--name", "old")
        code, _, err = command("train", *flags)
        assert code == 1 and "No such folder or zip: data/dogs-vs-cats" in err
        code, _, err = command("train", *flags, "--data", "data")
        assert code == 0, err
        assert len(probabilities(inside / "submissions/old/submission.csv")) == 10
        code, _, err = command("predict", "--name", "old", "--data", "data/test")
        assert code == 1 and "old notebook" in err
        (inside / "features/gap_Old.h5").unlink()

    def test_weights_folder_from_the_environment(
        self, inside: Path, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CATSDOGS_WEIGHTS", "gone")
        code, _, err = command("features", "--data", "data", "--backbones", "EfficientNetLite0")
        assert code == 1 and "No such folder of weights: gone" in err

    def test_settings_in_invoke_yaml(self, inside: Path, command: Command) -> None:
        (inside / "invoke.yaml").write_text("catsdogs:\n  data: data\n  backbones: EfficientNetLite0\n")
        code, out, err = command("features")
        assert code == 0 and "up to date" in out, err
        (inside / "invoke.yaml").write_text("catsdogs:\n  folder: data\n")
        code, _, err = command("features")
        assert code == 1 and "'folder'" in err and "backbones" in err
        for text in ("catsdogs: hello", "- a list", "catsdogs: {", "\x00"):
            (inside / "invoke.yaml").write_text(text)
            code, _, err = command("status")
            assert code in (1, 2) and "invoke.yaml" in err and len(err.strip().splitlines()) == 1, text
        for text in ("", "catsdogs:\n", "catsdogs:\n  weights_dir:\n"):
            (inside / "invoke.yaml").write_text(text)
            assert command("status")[0] == 0, text
        (inside / "invoke.yaml").unlink()

    def test_one_letter_flag_with_one_dash_or_two(self, inside: Path, command: Command) -> None:
        for flag in (["-k", "1"], ["--k", "1"], ["--k=1"]):
            assert command("outliers", "--backbones", "EfficientNetLite0", *flag)[0] == 0
        assert command("outliers", "--backbones", "EfficientNetLite0", "-k", "11")[0] == 2

    def test_data_that_is_gone_is_said_aloud(self, inside: Path, command: Command) -> None:
        (inside / "data").rename(inside / "elsewhere")
        code, out, err = command("train", "--backbones", "EfficientNetLite0", "--head", "logistic", "--name", "gone")
        (inside / "elsewhere").rename(inside / "data")
        assert code == 0, err
        assert f"No photographs at {inside / 'data'}: no sample submission" in out

    def test_next_steps_can_be_pasted(self, inside: Path, command: Command) -> None:
        shutil.copytree(inside / "features", inside / "my features")
        code, out, err = command("outliers", "--backbones", "EfficientNetLite0", "--features", "my features")
        assert code == 0, err
        assert "--features 'my features'" in out

    def test_clean_leaves_features_and_runs(self, inside: Path, command: Command) -> None:
        (inside / "features/.shards/X-0").mkdir(parents=True)
        code, out, _ = command("clean")
        assert (inside / "features/.shards/X-0").exists()
        assert code == 0 and ".predict" in out
        assert (inside / "features/EfficientNetLite0.h5").exists()
        assert (inside / "submissions/logistic").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["features", "--data", "nowhere"], 1, "No such folder or zip: nowhere"),
        (["features", "--data", "empty"], 1, "empty holds no photographs"),
        (["features", "--data", "unlabelled"], 1, "me.jpg carries no label"),
        (["features", "--data", "data", "--backbones", "ResNet5"], 1, "'ResNet5'. Choose from: lite, ResNet50"),
        (["features", "--data", "data", "--backbones", "lite", "--engine", "warp"], 1, "Choose from: auto, keras"),
        (["features", "--data", "data", "--backbones", "lite", "--dtype", "int"], 1, "Choose from: float32, float16"),
        (["features", "--data", "data", "--backbones", "lite", "--batch-size", "0"], 2, "above 0"),
        (["features", "--data", "data", "--backbones", "lite", "--limit", "many"], 2, "--limit 'many' is not a number"),
        (["features", "--data", "data", "--weights-dir", "gone"], 1, "No such folder of weights: gone"),
        (["features", "--dta", "data"], 2, "--dta"),
        (["train", "--backbones", "Xception"], 1, "No feature file features/Xception.h5"),
        (["train", "--backbones", "lit"], 1, "No backbone or feature file is called 'lit'. Choose from: lite"),
        (["compare", "--backbones", "Xception", "--repeats", "0"], 1, "No feature file"),
        (["replay", "--backbones", "Xception"], 1, "No feature file"),
        (["train", "--repeat", "gone"], 1, "No run is called 'gone'"),
        (["train", "--backbones", ","], 2, "--backbones names no network"),
        (["outliers", "--backbones", "Xception"], 1, "features --backbones Xception"),
        (["predict", "--name", "gone", "--data", "data"], 1, "gone"),
        (["grade", "--name", "gone", "--truth", "t.csv"], 1, "gone"),
        (["submit", "--name", "gone"], 1, "No run is called 'gone'"),
        (["report", "--name", "gone"], 1, "No run is called 'gone'"),
        (["serve", "--name", "gone"], 1, "No run is called 'gone'"),
        (["serve", "--data", "nowhere"], 1, "No such folder or zip: nowhere"),
        (["serve", "--port", "many"], 2, "--port 'many' is not a number"),
        (["serve", "--port", "70000"], 2, "Give a number from 0 to 65,535"),
        (["grade", "--name", "gone", "--truth", "t.csv"], 1, "No run is called 'gone'"),
        (["train", "--backbones", "Xception", "--seed", "x"], 1, "No feature file"),
        (["fetch", "--source", "moon"], 1, "Choose from: kaggle, microsoft"),
        (["feature"], 2, "feature"),
        (["test"], 2, "No idea what 'test' is!"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command, arguments: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("unlabelled/train/me.jpg", "data/train/cat.0.jpg", "data/train/dog.0.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 30), "red").save(path)
    got, out, err = command(*arguments)
    assert (got, out) == (code, "") or "photographs, classes" in out
    assert got == code
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_a_reader_that_goes_away_is_no_error() -> None:
    script = "from catsdogs import cli; import sys; sys.argv = ['catsdogs', '--list']; cli.main()"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as listing:
        assert listing.stdout is not None and listing.stderr is not None
        listing.stdout.close()
        assert listing.stderr.read() == b""


def test_status_needs_no_deep_learning_library(tmp_path: Path) -> None:
    script = (
        "import sys; from catsdogs import cli; sys.argv = ['catsdogs', 'status']; cli.main();"
        "assert not {'keras', 'tensorflow', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)

"""Vectors made elsewhere, and ours for others, by the command line."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catsdogs.features import feature_file
from catsdogs.photographs.dataset import scan
from tests.conftest import Command
from tests.support.datasets import draw_data
from tests.support.runs import features

RIDGE = ("--head", "ridge", "--folds", "2")


def column_of(run: str) -> dict[str, float]:
    lines = Path(f"submissions/{run}/submission.csv").read_text().splitlines()[1:]
    return {line.split(",")[0]: float(line.split(",")[1]) for line in lines}


def test_vectors_that_went_out_come_back_as_they_were(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    features(Path("features"), "ResNet50"), features(Path("features"), "Xception", width=7)
    both = ("--backbones", "ResNet50,Xception")
    assert command("train", *both, *RIDGE, "--name", "ours")[0] == 0
    for kind in ("parquet", "npz"):
        code, out, _ = command("vectors", "--to", kind, *both)
        assert code == 0 and f"wrote vectors.{kind}  (40 train + 6 test rows, ResNet50 x 5 + Xception x 7)" in out
        Path(f"vectors.{kind}").rename(f"of_{kind}.{kind}")
        code, out, err = command("train", "--backbones", f"file:of_{kind}.{kind}", *RIDGE, "--name", kind)
        assert code == 0 and f"of_{kind}.{kind} joins as file-of_{kind}: 46 rows x 12, made elsewhere" in out, err
        assert column_of(kind) == column_of("ours")
        told = [json.loads(Path(f"submissions/{name}/run.json").read_text())["scores"] for name in ("ours", kind)]
        assert told[0] == told[1]
    code, out, _ = command("train", "--backbones", "file-of_npz,Xception", *RIDGE, "--name", "by-name")
    assert code == 0 and "joins as" not in out  # the copy is a feature file like any other
    assert command("train", "--repeat", "npz", "--name", "again")[0] == 0
    assert column_of("again") == column_of("npz")
    assert "features/file-of_npz.h5: 40 train + 6 test rows x 12, made elsewhere float32" in command("status")[1]


def test_wherever_feature_files_are_read(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    features(Path("features"), "ResNet50")
    assert command("vectors", "--to", "npz", "--backbones", "ResNet50", "--out", "x.npz")[0] == 0
    joined = ("--backbones", "ResNet50,file:x.npz")
    for arguments in (
        ("compare", *joined, "--heads", "ridge", "--folds", "2"),
        ("outliers", *joined),
        ("train", *joined, *RIDGE, "--name", "run"),
        ("report", "--name", "run"),
        ("vectors", *joined, "--to", "parquet"),
    ):
        code, _, err = command(*arguments)
        assert code == 0, err
    told = json.loads(Path("submissions/run/run.json").read_text())["backbones"]
    assert list(told) == ["ResNet50", "file-x"] and told["file-x"]["engine"] == "made elsewhere"
    code, _, err = command("features", *joined, "--data", "nowhere")
    assert code == 2 and "file:x.npz holds vectors made elsewhere, and no network here makes them" in err
    Path("other").mkdir()
    Path("other/x.npz").write_bytes(Path("x.npz").read_bytes())
    code, _, err = command("train", "--backbones", "file:x.npz,file:other/x.npz", *RIDGE, "--name", "two")
    assert code == 2 and "file:x.npz and file:other/x.npz would both be called file-x" in err
    Path("features/file-x.h5").unlink()
    code, _, err = command("train", "--repeat", "run", "--name", "gone")
    assert code == 1 and "No feature file features/file-x.h5" in err and "Give --backbones file:" in err


def test_predict_answers_for_photographs_that_have_vectors(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw_data(tmp_path, 6, 3, 0)
    dataset = scan(Path("data"))
    ids = [row.id for row in dataset.photographs]
    vectors = np.random.default_rng(0).normal(size=(len(ids), 4)) + 3 * np.array([["dog" in id] for id in ids])
    pq.write_table(pa.table({"id": ids[::-1], "v": [*vectors[::-1]]}), "theirs.parquet")
    code, out, err = command("train", "--backbones", "file:theirs.parquet", "--data", "data", *RIDGE, "--name", "run")
    assert code == 0 and f"{len(ids)} rows x 4, made elsewhere" in out, err
    file = feature_file.read_features(Path("features/file-theirs.h5"))
    assert file.labels.tolist() == [row.label for row in dataset.of("train")]
    assert command("predict", "--name", "run", "--data", "data/test")[0] == 0
    predicted = Path("submissions/run/predictions.csv").read_text().splitlines()[1:]
    assert {line.split(",")[0]: float(line.split(",")[1]) for line in predicted} == pytest.approx(column_of("run"))
    Path("submissions/run/predictions.csv").unlink()
    photograph = next(Path("data/test").iterdir())
    photograph.write_bytes(photograph.read_bytes() + b"\0")  # the same id, another photograph
    asked = "".join(f"{row.id},0.5\n" for row in dataset.of("test"))
    Path("data/sample_submission.csv").write_text(f"id,label\n{asked}")
    for where in ("data/test", "data"):  # alone, and as a competition's sample asks
        code, _, err = command("predict", "--name", "run", "--data", where)
        (line,) = (line for line in err.splitlines() if line.startswith("catsdogs"))
        assert code == 1 and f"there are none of 1 of these photographs: {photograph.stem}." in line
        assert not Path("submissions/run/predictions.csv").exists()
    pq.write_table(pa.table({"id": ids, "v": [*(vectors + 1)]}), "theirs.parquet")  # of the photographs as they were
    assert command("train", "--backbones", "file:theirs.parquet", *RIDGE, "--name", "newer")[0] == 0
    code, _, err = command("predict", "--name", "run", "--data", "data/train")
    assert code == 1 and "file-theirs.h5 is not what the run run was trained on: weights:" in err
    code, _, err = command("predict", "--name", "newer", "--data", "data/train", "--explain")
    assert code == 1 and "was trained on vectors made elsewhere (file-theirs), which no network here makes" in err

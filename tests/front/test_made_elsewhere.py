"""Vectors made elsewhere, from Python: they join by id, train and answer; `frame` has what `vectors` writes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import catsdogs as cd
from catsdogs.errors import CatsdogsError, StoreError, TrainingError, UsageError
from tests.conftest import Command
from tests.front.test_bad_input import refuse
from tests.support.front import LITE0


@pytest.fixture
def theirs(inside: Path) -> pd.DataFrame:
    """Ids and vectors of all photographs, as a notebook has them; the vectors tell cats from dogs."""
    features = cd.load("features", LITE0)
    noise = np.random.default_rng(0).normal(size=(20, 4))
    noise[:16, 0] += 4 * features.y
    frame = pd.DataFrame({"id": [*features.ids, *features.ids_test], "embedding": list(noise)})
    return frame.sample(frac=1, random_state=0)


def test_they_join_train_and_answer(inside: Path, theirs: pd.DataFrame) -> None:
    theirs.to_parquet("dino.parquet")
    both = cd.load("features", f"{LITE0},file:dino.parquet")
    assert both.backbones == [LITE0, "file-dino"] and both.X.shape == (16, 1284)
    expected = np.stack(theirs.set_index("id")["embedding"][both.ids]).astype(np.float32)
    assert np.array_equal(both.X[:, 1280:], expected)
    run = cd.train(both, "ridge", name="both", folds=2)
    table = cd.compare(cd.load("features", LITE0), both, heads=["ridge"], folds=2)
    assert {entry.backbones for entry in table.entries} == {(LITE0,), (LITE0, "file-dino")}
    assert all(0 <= suspect.score <= 1 for suspect in cd.outliers(both, folds=2))
    answers = cd.predict(run, ["pets/test/2.jpg", "pets/train/cat.1.jpg", "pets/test/1.jpg"])
    written = pd.read_csv(run.submission, dtype={"id": str}).set_index("id")["label"]
    assert np.allclose(answers.values[[0, 2], 1], written[["2", "1"]], atol=1e-6)
    stranger = Path("pets/test/1.jpg").read_bytes() + b"\0"  # the same picture, and other bytes
    refuse(
        lambda: cd.predict(run, [stranger]),
        TrainingError,
        "none of 1 of these photographs: photographs[0]",
        inside,
    )


def test_alone_they_are_joined_to_the_photographs_that_are_given(inside: Path, theirs: pd.DataFrame) -> None:
    theirs.to_parquet("dino.parquet")
    for name in Path("features").glob("*.h5"):
        name.unlink()
    refuse(lambda: cd.load("features", "file:dino.parquet"), cd.errors.DatasetError, "Check `data`", inside)
    alone = cd.load("features", "file:dino.parquet", data="pets")
    assert alone.rows == {"train": 16, "test": 4} and alone.classes == ("cat", "dog") and alone.width == 4
    assert cd.train(alone, "ridge", name="alone", folds=2).score < 0.7
    assert cd.load("features").backbones == ["file-dino"]


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        (lambda frame: pd.concat([frame, frame[frame["id"] == "cat.3"]]), StoreError, "1 ids are there twice: cat.3"),
        (lambda frame: frame[frame["id"] != "dog.2"], StoreError, "lacks 1 of the 20 photographs"),
        (lambda frame: frame.rename(columns={"id": "name"}), StoreError, "dino.parquet has no column id: it has"),
        (lambda frame: frame.drop(columns="embedding"), StoreError, "dino.parquet has no vectors beside id"),
        (
            lambda frame: frame.assign(embedding=[np.where(row, np.nan, row) for row in frame["embedding"]]),
            StoreError,
            "20 rows are not finite",
        ),
        (lambda frame: frame.assign(label="cow"), StoreError, "gives 16 photographs other labels than"),
        (lambda frame: frame.set_index("id").reset_index(names="path"), StoreError, "has no column id"),
    ],
    ids=["twice", "missing", "name", "nothing", "nan", "label", "index"],
)
def test_a_file_that_does_not_fit(
    inside: Path, theirs: pd.DataFrame, change: object, kind: type[CatsdogsError], sentence: str
) -> None:
    change(theirs).to_parquet("dino.parquet")  # type: ignore[operator]
    refuse(lambda: cd.load("features", [LITE0, "file:dino.parquet"]), kind, sentence, inside)
    refuse(lambda: cd.extract("pets", "file:dino.parquet"), UsageError, "holds vectors made elsewhere", inside)


def test_a_frame_says_what_the_command_writes(inside: Path, command: Command) -> None:
    assert command("vectors", "--to", "parquet", "--backbones", LITE0)[0] == 0
    written, features = pd.read_parquet("vectors.parquet").set_index("id"), cd.load("features")
    for split in ("train", "test"):
        frame, rows = features.frame(split), written[written["split"] == split]
        assert frame.index.equals(rows.index)
        numbers = frame.filter(like=f"{LITE0}_").to_numpy()
        assert numbers.dtype == np.float32 and np.array_equal(numbers, np.stack(rows[LITE0]))
    assert features.frame()["label"].tolist() == written["label"][:16].tolist()
    # As docs/python.md writes them for others; what comes back is the same to the last bit.
    pd.concat([features.frame("train"), features.frame("test")]).reset_index().to_parquet("ours.parquet")
    again = cd.load("features", "file:ours.parquet")
    assert np.array_equal(again.X, features.X) and np.array_equal(again.X_test, features.X_test)

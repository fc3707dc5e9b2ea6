"""The drawn competitions: each is asked for exactly, drawn again the same, and read as what it was drawn as."""

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catsdogs.demo import competitions
from catsdogs.demo.competitions import KINDS, Drawn, draw_competition
from catsdogs.demo.things import Look
from catsdogs.errors import DatasetError, UnknownNameError
from catsdogs.photographs import label_texts
from catsdogs.photographs.dataset import Dataset, Photograph, scan
from catsdogs.photographs.recognition import Given
from catsdogs.scoring import metrics
from tests.conftest import refused

PICTURES = (".jpg", ".png", ".tif")
# Kind -> the task's kind and answer, how many classes there are, and how many photographs to learn from and to predict.
EXPECTED = {
    "binary": ("binary", "probability", 2, 60, 26),
    "zips": ("binary", "probability", 2, 64, 28),
    "classes": ("classes", "probabilities", 10, 80, 30),
    "one-hot": ("classes", "probabilities", 4, 78, 26),
    "name": ("classes", "name", 5, 72, 28),
    "best-5": ("classes", "best-k", 22, 70, 30),
    "coco": ("classes", "name", 6, 76, 26),
    "folders": ("classes", "name", 7, 75, 28),
    "positive": ("binary", "probability", 2, 66, 24),
    "labels": ("labels", "probabilities", 8, 72, 24),
    "names": ("labels", "names", 8, 72, 24),
    "grades": ("ordinal", "name", 5, 72, 24),
    "number": ("number", "numbers", 20, 80, 24),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Drawn]:
    root = tmp_path_factory.mktemp("drawn")
    return {kind: draw_competition(kind, root / kind) for kind in KINDS}


def read(competition: Drawn) -> Dataset:
    return scan(competition.data, given=Given(**competition.flags))


def table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pictures(folder: Path) -> Iterator[bytes]:
    for name, content in contents(folder).items():
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                yield from (archive.read(member) for member in archive.namelist() if member.endswith(PICTURES))
        elif name.endswith(PICTURES):
            yield content


@each_kind
def test_the_sample_asks_for_the_truth(drawn: dict[str, Drawn], kind: str) -> None:
    sample, truth = (table(path.read_text()) for path in (drawn[kind].data / competitions.SAMPLE, drawn[kind].truth))
    assert sample[0] == truth[0]
    assert [row[0] for row in sample] == [row[0] for row in truth]
    assert len({row[0] for row in truth}) == len(truth) > 20
    assert len({tuple(row[1:]) for row in truth[1:]}) > 1 and {len(row) for row in (*sample, *truth)} == {len(truth[0])}


@each_kind
def test_every_picture_opens_and_none_occurs_again(drawn: dict[str, Drawn], kind: str) -> None:
    shown = list(pictures(drawn[kind].data))
    assert 40 <= len(set(shown)) == len(shown) <= 120
    for content in shown:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            assert picture.mode == "RGB" and min(picture.size) >= 96


@each_kind
def test_the_same_seed_draws_the_same_bytes(drawn: dict[str, Drawn], tmp_path: Path, kind: str) -> None:
    first = contents(drawn[kind].data.parent)
    assert contents(draw_competition(kind, tmp_path / "again").data.parent) == first
    other = contents(draw_competition(kind, tmp_path / "other", seed=1).data.parent)
    assert not set(pictures(tmp_path / "other")) & set(pictures(tmp_path / "again")) and other != first


@each_kind
def test_it_is_read_as_what_it_was_drawn_as(drawn: dict[str, Drawn], kind: str) -> None:
    dataset = read(drawn[kind])
    task = metrics.settle(dataset.task, drawn[kind].metric, "")
    counts = len(dataset.classes), len(dataset.of("train")), len(dataset.of("test"))
    assert (task.kind, task.answer, *counts) == EXPECTED[kind]
    assert task.metric == drawn[kind].metric
    assert (task.best, not dataset.absent, not dataset.left_alone) == (5 if kind == "best-5" else 0, True, True)
    asked = [row[0] for row in table(drawn[kind].truth.read_text())[1:]]
    assert sorted(row.id for row in dataset.of("test")) == sorted(asked)


@each_kind
def test_labels_and_truth_are_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A plane of a colour for each look, in place of the thing: of a class it is the same to learn from and in test."""
    colours: dict[Look, int] = {}

    def plane(look: Look, *_: object) -> Image.Image:
        number = colours.setdefault(look, len(colours))
        return Image.new("RGB", (32, 32), (number % 3 * 100, number // 3 % 3 * 100, number // 9 * 100))

    monkeypatch.setattr(competitions, "draw_thing", plane)
    drawn = draw_competition(kind, tmp_path / kind)
    dataset = read(drawn)

    def seen(row: Photograph) -> int:
        with Image.open(io.BytesIO(dataset.read(row))) as picture:
            return int((np.asarray(picture)[16, 16] / 100).round() @ (1, 3, 9))

    learnt: dict[str, set[int]] = {}
    for row in dataset.of("train"):
        learnt.setdefault(dataset.classes[row.label], set()).add(seen(row))
    assert set(learnt) == set(dataset.classes)
    assert sum(map(len, learnt.values())) == len(colours) == len(set().union(*learnt.values()))
    for id, right in truth(drawn, dataset).items():
        row = dataset.find("test", id)
        assert row and seen(row) in learnt[right]


def truth(drawn: Drawn, dataset: Dataset) -> dict[str, str]:
    """Id -> class, or text of labels, of any form of a truth."""
    (_, *columns), *rows = table(drawn.truth.read_text())
    names = dataset.task.names
    if dataset.task.kind == "labels" and len(columns) > 1:
        shown = {id: [name for name, cell in zip(columns, cells, strict=True) if cell == "1"] for id, *cells in rows}
        return {id: label_texts.text_of(labels, names) for id, labels in shown.items()}
    if dataset.task.kind == "labels":
        return {id: label_texts.text_of(cell.split(" "), names) for id, cell in rows}
    if len(columns) > 1:
        return {id: columns[values.index("1")] for id, *values in rows}
    is_probability = dataset.task.answer == "probability"
    return {id: dataset.classes[int(value)] if is_probability else value for id, value in rows}


def test_truth_and_readme_lie_beside_the_data(drawn: dict[str, Drawn]) -> None:
    for kind, (data, right, *_) in drawn.items():
        assert right.parent == data.parent and not right.is_relative_to(data)
        readme = (data.parent / "README.txt").read_text()
        assert readme.startswith(f"{kind}: drawn pictures, not photographs") and "truth.csv" in readme
        assert not {"truth.csv", "README.txt"} & {path.name for path in data.rglob("*")}


def test_what_is_missing_is_drawn_again_and_the_rest_left_alone(drawn: dict[str, Drawn], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()  # an empty folder will do
    data, right, *_ = draw_competition("classes", tmp_path / "mine")
    whole = contents(tmp_path / "mine")
    gone = next((data / "imgs/test").iterdir())
    gone.unlink()
    right.write_text("mine\n")
    draw_competition("classes", tmp_path / "mine")
    assert contents(tmp_path / "mine") == whole | {"truth.csv": b"mine\n"}
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else/mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    draw_competition("name", tmp_path / "name")
    before = contents(tmp_path)
    for name, kind, seed in (("else", "zips", 1), ("file", "zips", 1), ("name", "zips", 2018), ("name", "name", 1)):
        with refused(DatasetError, "holds something else than this drawn competition"):
            draw_competition(kind, tmp_path / name, seed)
    assert contents(tmp_path) == before


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with refused(UnknownNameError, "No kind of competition is called 'ten'. Choose from: binary, zips"):
        draw_competition("ten", tmp_path / "ten")
    assert not list(tmp_path.iterdir())

"""The demo's drawings: layout, determinism, the damage done on purpose, and completion of a half-drawn folder."""

import csv
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catsdogs.demo import drawings
from catsdogs.errors import DatasetError


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dozen pictures instead of five hundred."""
    monkeypatch.setattr(drawings, "TRAIN_PER_CLASS", 3)
    monkeypatch.setattr(drawings, "NO_PET_COUNT", 2)
    monkeypatch.setattr(drawings, "TEST_COUNT", 4)
    monkeypatch.setattr(drawings, "SIZES", ((160, 120), (120, 150)))


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def readable(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            picture.load()
    except OSError:
        return False
    return True


def test_layout_is_kaggles(tmp_path: Path) -> None:
    counts = drawings.draw_dataset(tmp_path / "demo")
    assert counts == {"train": 10, "test": 4, "no_pet": 2, "damaged": 2}
    expected = {f"train/{kind}.{i}.jpg" for kind in ("cat", "dog") for i in range(5)}
    expected |= {f"test/{i}.jpg" for i in range(1, 5)} | {"sample_submission.csv", "truth.csv", "README.txt"}
    assert set(contents(tmp_path / "demo")) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
    readme = (tmp_path / "demo" / "README.txt").read_text()
    assert readme.startswith("These pictures are drawings, not photographs.")


def test_submission_and_truth_list_the_test_pictures_in_order(tmp_path: Path) -> None:
    drawings.draw_dataset(tmp_path / "demo")
    sample, truth = rows(tmp_path / "demo" / "sample_submission.csv"), rows(tmp_path / "demo" / "truth.csv")
    assert sample == [{"id": str(i), "label": "0.5"} for i in range(1, 5)]
    assert [row["id"] for row in truth] == [row["id"] for row in sample]
    assert Counter(row["label"] for row in truth) == {"0": 2, "1": 2}


def test_truth_says_what_was_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def plain(kind: str, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
        return Image.new("RGB", size, "white" if kind == "dog" else "black")

    monkeypatch.setattr(drawings, "draw_pet", plain)
    drawings.draw_dataset(tmp_path / "demo")
    for row in rows(tmp_path / "demo" / "truth.csv"):
        with Image.open(tmp_path / "demo" / "test" / f"{row['id']}.jpg") as picture:
            assert np.asarray(picture).mean() / 255 == pytest.approx(float(row["label"]))
    for path in (tmp_path / "demo" / "train").glob("*.jpg"):
        if readable(path) and np.asarray(Image.open(path)).std() == 0:
            assert (np.asarray(Image.open(path)).mean() > 128) == path.name.startswith("dog.")


def test_exactly_two_train_files_are_damaged(tmp_path: Path) -> None:
    drawings.draw_dataset(tmp_path / "demo")
    broken = [path for path in (tmp_path / "demo").rglob("*.jpg") if not readable(path)]
    assert [path.parent.name for path in broken] == ["train", "train"]
    starts = sorted(path.read_bytes()[:2] for path in broken)
    assert starts[1] == b"\xff\xd8" != starts[0]


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        drawings.draw_dataset(tmp_path / name, seed)
    one, two, other = (contents(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert len(set(one.values())) == len(one)
    assert not {one[name] for name in one if name.startswith("test/")} & set(other.values())


def test_complete_folder_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = drawings.draw_dataset(tmp_path / "demo")
    marked = tmp_path / "demo" / "train" / "cat.0.jpg"
    marked.write_bytes(b"mine")
    monkeypatch.setattr(drawings, "draw_pet", None)
    assert drawings.draw_dataset(tmp_path / "demo") == counts
    assert marked.read_bytes() == b"mine"


@pytest.mark.parametrize("gone", ["train/dog.1.jpg", "test/2.jpg", "truth.csv"])
def test_half_folder_is_completed(tmp_path: Path, gone: str) -> None:
    drawings.draw_dataset(tmp_path / "demo")
    whole = contents(tmp_path / "demo")
    (tmp_path / "demo" / gone).unlink()
    drawings.draw_dataset(tmp_path / "demo")
    assert contents(tmp_path / "demo") == whole


def test_another_seed_replaces_the_drawings(tmp_path: Path) -> None:
    drawings.draw_dataset(tmp_path / "demo", 1)
    drawings.draw_dataset(tmp_path / "demo", 2)
    drawings.draw_dataset(tmp_path / "fresh", 2)
    assert contents(tmp_path / "demo") == contents(tmp_path / "fresh")


def test_interruption_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(drawings, "draw_scene", interrupted)
        with pytest.raises(KeyboardInterrupt):
            drawings.draw_dataset(tmp_path / "demo")
    assert not list(tmp_path.iterdir())
    (tmp_path / "demo").mkdir()
    assert drawings.draw_dataset(tmp_path / "demo")["train"] == len(list((tmp_path / "demo" / "train").iterdir()))


def test_a_folder_of_photographs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "cat.0.jpg").write_bytes(b"precious")
    with pytest.raises(DatasetError, match=r"Name an empty or new folder\.$"):
        drawings.draw_dataset(tmp_path)
    assert (tmp_path / "train" / "cat.0.jpg").read_bytes() == b"precious"


@pytest.mark.parametrize("size", [(64, 48), (200, 260), (500, 375)])
def test_pictures_have_the_size_asked_for_and_are_not_flat(size: tuple[int, int]) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        for picture in (drawings.draw_pet("cat", rng, size), drawings.draw_pet("dog", rng, size)):
            assert (picture.mode, picture.size) == ("RGB", size)
            assert np.asarray(picture).std() > 5


def test_every_figure_can_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for scene in drawings.SCENES:
        monkeypatch.setattr(drawings, "SCENES", (scene,))
        assert drawings.draw_scene(rng, (90, 70)).size == (90, 70)
    for pose in ("portrait", "sitting", "standing", "lying"):
        monkeypatch.setattr(drawings, "POSES", {pose: 1.0})
        for kind in ("cat", "dog"):
            for _ in range(6):
                assert drawings.draw_pet(kind, rng, (90, 70)).size == (90, 70)

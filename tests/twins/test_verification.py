"""Two photographs: the verdict is the mean of the run's twins, it can be drawn, and mistakes are one line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmarks import kinds
from catsdogs.errors import TrainingError, UnknownNameError, UnreadablePhotographError
from catsdogs.features import joining
from catsdogs.features.feature_file import Features
from catsdogs.runs import run_card
from catsdogs.twins import verification
from catsdogs.twins.verification import Verdict
from tests.conftest import refused
from tests.support.runs import LITE0, extracted, train

PER_KIND = 6
LEARNT = ("bird", "bottle", "fish")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for place, kind in enumerate(LEARNT):
        (folder / kind).mkdir()
        for number in range(PER_KIND):
            picture = kinds.draw(kind, np.random.default_rng((place, number)))
            picture.save(folder / kind / f"{kind}-{number}.png")
    return folder


@pytest.fixture(scope="module")
def files(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Features]:
    return extracted(pictures, tmp_path_factory.mktemp("features"), LITE0)


@pytest.fixture(scope="module")
def run_folder(files: list[Features], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("submissions")
    train(files, folder, head="twin", folds=2, settings={"min_updates": 60})
    train(files, folder, name="ridged", folds=2)
    return folder / "run"


def test_the_verdict_is_what_the_twins_say_of_the_vectors(
    files: list[Features], run_folder: Path, pictures: Path
) -> None:
    ids, X = files[0].ids["train"], joining.Joined(files, "train").read()
    rows = {Path(id).stem: row for row, id in enumerate(ids)}
    heads = verification.twin_heads(run_card.load_run(run_folder))
    assert len(heads) == 2
    same, other = (("fish-0", "fish-1"), ("bird-2", "fish-1"))
    for left, right in (same, other):
        paths = [pictures / name.split("-")[0] / f"{name}.png" for name in (left, right)]
        verdict = verification.verify(run_folder, *paths)
        a, b = X[[rows[left]]], X[[rows[right]]]
        assert verdict.probability == pytest.approx(np.mean([head.same(a, b)[0] for head in heads]), abs=0.01)
        assert (verdict.run, verdict.left, verdict.right) == ("run", *paths)
    assert verification.verify(run_folder, paths[1], paths[1]).probability > 0.5


def unlike(folder: Path) -> list[Path]:
    """A star and a house in black lines: nothing like the coloured things that were learnt."""
    paths = [folder / "star.png", folder / "house.png"]
    turns = np.arange(10) * np.pi / 5
    star = [(100 + r * np.sin(turn), 100 - r * np.cos(turn)) for turn, r in zip(turns, (90, 35) * 5, strict=True)]
    house = [(30, 190), (30, 90), (100, 20), (170, 90), (170, 190)]
    for path, outline in zip(paths, (star, house), strict=True):
        picture = Image.new("RGB", (200, 200), "white")
        ImageDraw.Draw(picture).polygon([(float(x), float(y)) for x, y in outline], outline="black", width=4)
        picture.save(path)
    return paths


def test_photographs_unlike_all_that_was_learnt_are_said_to_be(
    run_folder: Path, pictures: Path, tmp_path: Path
) -> None:
    star, house = unlike(tmp_path)
    verdict = verification.verify(run_folder, star, house)
    assert [found.is_far for found in verdict.nearest] == [True, True]
    assert "Both are unlike all that the run has learnt, so this probability says little" in str(verdict)
    assert "star.png: nearest to the learnt " in str(verdict) and "100.0% of the learnt photographs lie nearer" in str(
        verdict
    )
    verification.draw_verdict(tmp_path / "verdict.png", verdict)
    fish, bird = pictures / "fish/fish-0.png", pictures / "bird/bird-1.png"
    one = verification.verify(run_folder, fish, house)
    assert "house.png is unlike all" in str(one) and not one.nearest[0].is_far
    known = verification.verify(run_folder, fish, bird)
    assert known.doubt == "" and [found.id for found in known.nearest] == ["fish/fish-0", "bird/bird-1"]
    assert [found.similarity for found in known.nearest] == pytest.approx([1, 1], abs=1e-3)


def test_without_the_features_the_verdict_says_what_it_cannot(
    files: list[Features], run_folder: Path, pictures: Path
) -> None:
    folder = files[0].path.parent
    folder.rename(folder.with_name("gone"))
    try:
        verdict = verification.verify(run_folder, *[pictures / "fish/fish-0.png"] * 2)
    finally:
        folder.with_name("gone").rename(folder)
    assert verdict.nearest == () and "is not known: No feature file" in str(verdict)
    verification.draw_verdict(run_folder / "verify.png", verdict)


def test_mistakes_are_one_line(run_folder: Path, pictures: Path, tmp_path: Path) -> None:
    good, bad = pictures / "fish" / "fish-0.png", tmp_path / "bad.jpg"
    bad.write_text("no picture")
    with refused(UnreadablePhotographError, r"bad\.jpg cannot be read"):
        verification.verify(run_folder, good, bad)
    with refused(UnreadablePhotographError, r"none\.jpg cannot be read: No such file"):
        verification.verify(run_folder, tmp_path / "none.jpg", good)
    with refused(TrainingError, "The head of the run ridged is ridge.*--head twin"):
        verification.verify(run_folder.parent / "ridged", good, good)
    with refused(UnknownNameError, "No run is called 'none'"):
        verification.verify(run_folder.parent / "none", good, good)


def test_the_verdict_in_words() -> None:
    for probability, words in (
        (0.9312, "the same class, probability 0.931"),
        (0.2, "different classes, probability 0.800"),
    ):
        assert str(Verdict("run", Path("a"), Path("b"), probability)) == words


def test_both_pictures_are_drawn_side_by_side(tmp_path: Path) -> None:
    colours = ((200, 30, 30), (30, 30, 200))
    paths = [tmp_path / "left.png", tmp_path / "a picture with quite a long name, as cameras and people give them.png"]
    for path, colour, size in zip(paths, colours, ((640, 200), (60, 90)), strict=True):
        Image.new("RGB", size, colour).save(path)
    verification.draw_verdict(tmp_path / "out" / "verdict.png", Verdict("run", *paths, 0.2))
    with Image.open(tmp_path / "out" / "verdict.png") as sheet:
        assert sheet.format == "PNG"
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    places = [np.argwhere(np.abs(pixels - colour).max(axis=2) < 3) for colour in colours]
    assert len(places[0]) == 400 * 125 and len(places[1]) == 60 * 90
    assert places[0][:, 1].max() < pixels.shape[1] / 2 < places[1][:, 1].min()
    paths[0].unlink()
    with refused(UnreadablePhotographError, r"left\.png cannot be read"):
        verification.draw_verdict(tmp_path / "again.png", Verdict("run", *paths, 0.2))

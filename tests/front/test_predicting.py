"""Photographs from Python: every way to give one gives the same answer, and what is none is refused in a sentence."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import catsdogs as cd
from catsdogs.errors import DatasetError, UnreadablePhotographError, UsageError
from catsdogs.files import tables
from catsdogs.front import predicting
from tests.conftest import Command, refused

FIRST, SECOND = "pets/test/1.jpg", "pets/test/2.jpg"
PIXELS = np.zeros((40, 30, 3), np.uint8)


def test_all_ways_to_give_a_photograph_agree_with_the_command(inside: Path, command: Command) -> None:
    with Image.open(FIRST) as opened, Path(SECOND).open("rb") as file:
        pixels = np.asarray(opened)
        given = [SECOND, Path(FIRST), Path(FIRST).read_bytes(), opened, pixels, file]
        answers = cd.predict("first", given)
    assert answers.ids == [SECOND, FIRST, *(f"photographs[{number}]" for number in range(2, 6))]
    second, first = answers.values[0], answers.values[1]
    assert np.array_equal(answers.values[[2, 5]], [first, second])  # the same bytes
    # These were decoded by Pillow at full size, and are not drafted.
    assert np.allclose(answers.values[[3, 4]], first, atol=1e-3)
    assert command("predict", "--name", "first", "--data", "pets/test")[0] == 0
    header, rows = tables.read_table(Path("submissions/first/predictions.csv"), "")
    written = {row[0]: float(row[header.index("label")]) for row in rows}
    folder = cd.predict(cd.Run("first"), "pets/test")
    assert folder.ids == list(written)
    assert np.allclose(folder.values[:, 1], list(written.values()), atol=1e-6)
    assert np.allclose([second[1], first[1]], [written["2"], written["1"]], atol=1e-6)
    assert folder._repr_html_().count("<tr>") == 5 and repr(folder) == "<Predictions: 4 photographs, cat, dog>"


def test_one_photograph_and_a_stack_of_arrays(inside: Path) -> None:
    one = cd.predict("first", FIRST)
    assert one.ids == [FIRST] and one.values.shape == (1, 2)
    with Image.open(FIRST) as opened:
        pixels = np.asarray(opened)
    stack = cd.predict("first", np.stack([pixels, pixels]))
    assert stack.values.shape == (2, 2) and np.array_equal(stack.values[0], stack.values[1])
    assert not list(Path().glob("catsdogs-*"))


def test_an_unreadable_photograph_of_a_folder_gets_the_prior(inside: Path) -> None:
    Path("pets/test/9.jpg").write_bytes(b"nothing")
    answers = cd.predict("first", "pets/test")
    assert answers.values[answers.ids.index("9")].tolist() == [0.5, 0.5] and list(answers.unreadable) == ["9"]


def closed() -> io.BufferedReader:
    with Path(FIRST).open("rb") as file:
        return file


@pytest.mark.parametrize(
    ("given", "kind", "match"),
    [
        (
            lambda: ["gone.jpg", FIRST, "lost.jpg"],
            DatasetError,
            r"There is no file gone.jpg \(1 more paths: lost.jpg\)",
        ),
        (lambda: "gone.jpg", DatasetError, "There is no file gone.jpg: 1 of 1 photographs. Check the paths"),
        (lambda: [FIRST, closed()], UsageError, r"photographs\[1\] is a closed file"),
        (lambda: [io.StringIO("text")], UsageError, r"photographs\[0\] is a file of text. Open it with mode 'rb'"),
        (list, UsageError, "There are no photographs to answer for"),
        (lambda: 7, UsageError, "photographs is no photograph but of the type int"),
        (lambda: [FIRST, None], UsageError, r"photographs\[1\] is no photograph but of the type NoneType"),
        (lambda: [b"nothing", FIRST], UnreadablePhotographError, r"photographs\[0\] cannot be read"),
        (lambda: [PIXELS / 255], UsageError, r"holds float64 from 0 to 0, not uint8. Give \(255 \* array\)"),
        (lambda: [np.moveaxis(PIXELS, 2, 0)], UsageError, r"has the axes 3 x 40 x 30, .*array.transpose\(1, 2, 0\)"),
    ],
)
def test_what_is_no_photograph(inside: Path, given: Callable[[], Any], kind: type, match: str) -> None:
    with refused(kind, match):
        cd.predict("first", given())


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (PIXELS[..., 0], "has the axes 40 x 30, not height x width x 3. Repeat a grey picture"),
        (np.zeros((40, 30, 4), np.uint8), r"Leave the fourth colour out: array\[..., :3\]"),
        (np.zeros((3, 40, 30), np.uint8), r"Put the colours last: array.transpose\(1, 2, 0\)"),
        (np.zeros((0, 30, 3), np.uint8), "has no pixels"),
        (PIXELS.astype(float) + 200, r"holds float64 from 200 to 200, not uint8. Give array.round"),
        (PIXELS.astype(np.int64) - 1, "holds int64 from -1 to -1, not uint8. Scale it to 0 to 255"),
        (PIXELS.astype(np.uint16) + 4000, "holds uint16 from 4000 to 4000"),
        (np.full((2, 2, 3), np.nan), "holds float64 from nan to nan, not uint8. Scale it"),
    ],
)
def test_arrays_that_are_no_pixels(array: np.ndarray, match: str) -> None:
    with refused(UsageError, match):
        predicting.checked(array, "photographs[0]")

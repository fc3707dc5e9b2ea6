"""Photographs from Python: every way to give one gives the same answer; see test_bad_input.py for what is none."""

from pathlib import Path

import numpy as np
from PIL import Image

import catsdogs as cd
from catsdogs.files import tables
from tests.conftest import Command

FIRST, SECOND = "pets/test/1.jpg", "pets/test/2.jpg"


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

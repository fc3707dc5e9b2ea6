"""Every layout and every wrong turn that `tests.support` draws, read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from catsdogs.errors import CatsdogsError
from catsdogs.photographs.dataset import Dataset, scan
from catsdogs.photographs.locations import Location
from tests.support import layouts, layouts_of_kinds
from tests.support.layouts import Layout
from tests.support.wrong_layouts import WRONG

Builder = Callable[[Path], Layout]


def file_at(root: Path, location: Location) -> str:
    """A file relative to the data set, a zip's member below the zip's name."""
    return (location.container / location.name).relative_to(root).as_posix()


def labelled(dataset: Dataset) -> dict[str, str]:
    return {file_at(dataset.root, row.location): dataset.classes[row.label] for row in dataset.of("train")}


@pytest.mark.parametrize("build", [*layouts.READABLE, *layouts_of_kinds.READABLE], ids=lambda build: build.__name__)
def test_a_layout_is_read(tmp_path: Path, build: Builder) -> None:
    layout = build(tmp_path)
    found = scan(tmp_path)
    assert {row.id: file_at(tmp_path, row.location) for row in found.of("test")} == layout.asked
    assert labelled(found) == layout.labels
    assert (found.task.kind, found.task.answer) == (layout.kind, layout.answer)
    assert {found.task.id_column, *found.task.targets} == set(layout.columns)
    for word in layout.said:
        assert any(word in note for note in found.notes)
    if layout.left_alone:
        assert any(f"{len(layout.left_alone)} photographs" in note for note in found.notes)


@pytest.mark.parametrize("build", WRONG, ids=lambda build: build.__name__)
def test_a_wrong_turn_is_one_line(tmp_path: Path, build: Builder) -> None:
    layout = build(tmp_path)
    with pytest.raises(CatsdogsError) as caught:
        scan(tmp_path)
    assert "\n" not in str(caught.value)
    for word in layout.said:
        assert word in str(caught.value)

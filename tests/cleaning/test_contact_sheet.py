"""The picture of the suspects: its size, what is in the tiles, and what it does about photographs that are gone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catsdogs.cleaning import contact_sheet
from catsdogs.cleaning.suspect_table import Reason, Suspect
from catsdogs.errors import StoreError
from catsdogs.photographs import dataset

COLOURS = {"cat.0": (200, 30, 30), "cat.1": (30, 160, 30), "dog.0": (30, 30, 200)}


@pytest.fixture
def data(tmp_path: Path) -> dataset.Dataset:
    folder = tmp_path / "data" / "train"
    folder.mkdir(parents=True)
    for id, colour in COLOURS.items():
        Image.new("RGB", (480, 360), colour).save(folder / f"{id}.png")
    return dataset.scan(folder.parent)


def suspect(id: str, text: str = "no pet: 2 of 2 networks") -> Suspect:
    labels = {"One": "puck 0.70, shield 0.05", "Two": "web site 0.20"}
    return Suspect("train", id, "cat", 0.9, 2, 2, labels, (Reason(0.9, text),))


def drawn(path: Path) -> np.ndarray:
    with Image.open(path) as sheet:
        assert (sheet.format, sheet.mode) == ("PNG", "RGB")
        return np.asarray(sheet).astype(int)


def first_seen(sheet: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int] | None:
    """Row and column of the first pixel near a colour, if there is one."""
    where = np.argwhere(np.abs(sheet - np.array(colour)).max(axis=2) < 12)
    return (int(where[0][0]), int(where[0][1])) if len(where) else None


def test_thumbnails_stand_in_the_order_given(tmp_path: Path, data: dataset.Dataset) -> None:
    path = tmp_path / contact_sheet.CONTACT_SHEET_FILE
    contact_sheet.write_contact_sheet(path, [suspect(id) for id in ("dog.0", "cat.1", "cat.0")], data)
    sheet = drawn(path)
    places = [first_seen(sheet, COLOURS[id]) for id in ("dog.0", "cat.1", "cat.0")]
    columns = [place[1] for place in places if place]
    assert len(columns) == 3
    assert columns == sorted(columns)
    assert sheet.shape[1] > contact_sheet.TILES_ACROSS * contact_sheet.THUMBNAIL[0]


def test_text_stands_under_each_thumbnail_and_long_reasons_make_room(tmp_path: Path, data: dataset.Dataset) -> None:
    short, long = tmp_path / "short.png", tmp_path / "long.png"
    contact_sheet.write_contact_sheet(short, [suspect("cat.0", "no pet")], data)
    contact_sheet.write_contact_sheet(
        long, [suspect("cat.0", "duplicate: same file as " + "train/" + "0123456789" * 12)], data
    )
    sheet = drawn(long)
    assert sheet.shape[0] > drawn(short).shape[0]
    top, left = first_seen(sheet, COLOURS["cat.0"]) or (0, 0)
    under = sheet[top + contact_sheet.THUMBNAIL[1] :]
    assert (under[:, left : left + contact_sheet.THUMBNAIL[0]] < 128).any()
    assert (under[:, left + contact_sheet.THUMBNAIL[0] + 2 :] == 255).all()  # nothing runs over into the next tile


def test_at_most_so_many_tiles(tmp_path: Path, data: dataset.Dataset) -> None:
    heights, two_rows = [], 2 * contact_sheet.TILES_ACROSS
    for number in (contact_sheet.TILES_ACROSS, two_rows, two_rows + 5):
        contact_sheet.write_contact_sheet(tmp_path / "sheet.png", [suspect("cat.0")] * number, data, tiles=two_rows)
        heights.append(drawn(tmp_path / "sheet.png").shape[0])
    assert heights[0] < heights[1] == heights[2]
    title = [line.text for line in contact_sheet._heading(contact_sheet.TILES + 40, contact_sheet.TILES)]
    assert title[0] == "100 suspects, the 60 most doubtful; 40 more in outliers.csv"


def test_a_photograph_that_is_gone_or_damaged_leaves_its_tile_empty(tmp_path: Path, data: dataset.Dataset) -> None:
    (data.root / "train" / "cat.0.png").unlink()
    (data.root / "train" / "cat.1.png").write_bytes(b"not a picture")
    path = tmp_path / contact_sheet.CONTACT_SHEET_FILE
    contact_sheet.write_contact_sheet(path, [suspect(id) for id in ("cat.0", "cat.1", "never.there", "dog.0")], data)
    sheet = drawn(path)
    assert first_seen(sheet, COLOURS["cat.0"]) is None
    place = first_seen(sheet, COLOURS["dog.0"])
    assert place is not None
    assert place[1] > 3 * contact_sheet.THUMBNAIL[0]


def test_no_suspects_still_make_a_picture(tmp_path: Path, data: dataset.Dataset) -> None:
    contact_sheet.write_contact_sheet(tmp_path / contact_sheet.CONTACT_SHEET_FILE, [], data)
    assert (drawn(tmp_path / contact_sheet.CONTACT_SHEET_FILE) < 128).any()


def test_tiny_and_extreme_shapes_are_not_enlarged(tmp_path: Path, data: dataset.Dataset) -> None:
    for id, size in (("cat.2", (3, 2)), ("cat.3", (4000, 1))):
        Image.new("RGB", size, COLOURS["dog.0"]).save(data.root / "train" / f"{id}.png")
    contact_sheet.write_contact_sheet(
        tmp_path / "sheet.png", [suspect("cat.2"), suspect("cat.3")], dataset.scan(data.root)
    )
    blue = np.abs(drawn(tmp_path / "sheet.png") - np.array(COLOURS["dog.0"])).max(axis=2) < 12
    assert 6 <= blue.sum() <= 6 + contact_sheet.THUMBNAIL[0]


def test_a_sheet_that_cannot_be_written_is_one_line(tmp_path: Path, data: dataset.Dataset) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        contact_sheet.write_contact_sheet(
            tmp_path / "file" / contact_sheet.CONTACT_SHEET_FILE, [suspect("cat.0")], data
        )

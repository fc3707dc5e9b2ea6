"""What a Python program hands over as photographs: taken as it is meant, or refused by the row."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from catsdogs.errors import DatasetError, UnreadablePhotographError, UsageError
from catsdogs.photographs import handed, images
from catsdogs.photographs.locations import Location
from tests.conftest import refused
from tests.support.datasets import jpeg

PIXELS = np.zeros((6, 8, 3), np.uint8)


def listed(row: object, first: object = b"bytes") -> list[object]:
    """Two rows, of which the second is in question."""
    return [first, row]


def test_paths_bytes_pictures_and_arrays_in_one_list(tmp_path: Path) -> None:
    path, picture = tmp_path / "a.jpg", Image.new("RGB", (4, 4))
    path.write_bytes(jpeg(1))
    rows = [path, str(path), np.str_(path), b"x", bytearray(b"x"), picture, PIXELS]
    place = Location(tmp_path, "a.jpg")
    assert handed.photographs(rows) == [place, place, place, b"x", b"x", picture, rows[-1]]


@pytest.mark.parametrize("kind", [list, tuple, np.array, lambda paths: np.array(paths, object)])
def test_a_list_of_any_kind(tmp_path: Path, kind: type) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(jpeg(1))
    paths = [f"{tmp_path}/a", f"{tmp_path}/b"]
    assert handed.photographs(kind(paths)) == [Location(tmp_path, "a"), Location(tmp_path, "b")]


def test_a_column_of_a_table_and_an_array_of_all(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    (tmp_path / "a").write_bytes(jpeg(1))
    table = pandas.DataFrame({"path": [f"{tmp_path}/a"] * 2}, index=[7, 3])
    assert handed.photographs(table["path"]) == [Location(tmp_path, "a")] * 2
    assert (
        handed.photographs(table) == handed.photographs(table.to_numpy().astype(str)) == [Location(tmp_path, "a")] * 2
    )
    with refused(UsageError, r"X is a table.*single column.*Give the column"):
        handed.photographs(table.assign(age=1))
    with refused(UsageError, r"X is of the type generator, which can be gone through only once. Give a list"):
        handed.photographs(path for path in table["path"])
    with refused(UsageError, "photographs is a folder, .*, no list of photographs"):
        handed.photographs(tmp_path, "photographs")
    assert len(handed.photographs(np.zeros((5, 6, 8, 3), np.uint8))) == 5


@pytest.mark.parametrize(
    ("X", "match"),
    [("a.jpg", r"a single photograph \(str\).*Give a list"), (b"x", "a single photograph"),
     (Image.new("RGB", (2, 2)), "a single photograph"), (PIXELS, r"a single array of the shape \(6, 8, 3\)"),
     (np.array(b"x"), "cut at their last zeros"), (np.array(3), "without rows"), (7, "type int"),
     ({"a": b"x"}, "type dict"), (np.array([b"x"]), "array of bytes")],
)  # fmt: skip
def test_what_is_no_list(X: object, match: str) -> None:
    with refused(UsageError, match):
        handed.photographs(X)


def test_a_list_without_rows() -> None:
    with refused(DatasetError, "no rows"):
        handed.photographs([])


@pytest.mark.parametrize(
    ("row", "match"),
    [(PIXELS / 255, r"float64 from 0 to 0, not of uint8.*Give \(255 \* array\)"),
     (PIXELS.astype(np.int64) + 300, "int64 from 300 to 300"),
     (PIXELS.astype(bool), "array of bool, not of uint8"),
     (PIXELS.transpose(2, 0, 1), r"3x6x8, with its channels in front.*transpose\(1, 2, 0\)"),
     (PIXELS[..., 0], "an array 6x8, no pixels"), (np.zeros((6, 8, 4), np.uint8), "6x8x4, no pixels"),
     (PIXELS[:0], "0x8x3, no pixels"), (np.uint8(3), "type uint8, no photograph"), (None, "type NoneType"),
     (1.5, "type float"), (float("nan"), "type float")],
)  # fmt: skip
def test_a_row_that_is_no_photograph(row: object, match: str) -> None:
    with refused(UsageError, f"^Row 1 of X is .*{match}"):
        handed.photographs(listed(row))


def test_a_file_is_no_photograph_but_its_bytes_are(tmp_path: Path) -> None:
    with io.BytesIO(jpeg(1)) as file:
        with refused(UsageError, "Row 1 of X is an open file. Give its path"):
            handed.photographs(listed(file))
        assert handed.photographs([file.getvalue()])
    with refused(UsageError, "Row 1 of X is a closed file"):
        handed.photographs(listed(file))


def test_all_rows_are_looked_at_and_the_first_is_named(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("no", "a", "nor")]
    paths[1].write_bytes(b"")
    with refused(DatasetError, rf"Row 0 of X, {paths[0]}, cannot be read: no such file \(1 more rows .*: 2\)"):
        handed.photographs(paths)
    with pytest.raises(UsageError, match=r"Row 1 of X is of the type int.*Give paths") as caught:
        handed.photographs([b"x", 1, None])
    assert [line[:8] for line in caught.value.listed] == ["row 1: i", "row 2: i"]


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_an_array_is_kept_without_loss(pixels: NDArray[np.uint8]) -> None:
    for same in (pixels, np.asfortranarray(pixels), np.ascontiguousarray(pixels[::-1])[::-1]):
        assert handed.content(same) == handed.content(pixels)
    assert np.array_equal(np.asarray(images.decode(handed.content(pixels))), pixels)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr"])
def test_a_picture_is_what_its_file_would_be(mode: str) -> None:
    """A file of the same picture, in a format that keeps its mode, decodes to the same pixels."""
    picture = Image.open(io.BytesIO(jpeg(3))).convert("RGB").convert("L" if mode[0] in "IF" else "RGB").convert(mode)
    if mode in ("LA", "RGBA"):
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    buffer = io.BytesIO()
    picture.save(buffer, "TIFF" if mode in ("CMYK", "I", "F", "YCbCr") else "PNG")
    expected = np.asarray(images.decode(buffer.getvalue())).astype(int)
    got = np.asarray(images.decode(handed.content(picture))).astype(int)
    # A TIFF's YCbCr is turned into RGB by another library, which rounds otherwise.
    assert np.abs(got - expected).max() <= (2 if mode == "YCbCr" else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_lies_as_its_file_does(orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    buffer = io.BytesIO()
    Image.open(io.BytesIO(jpeg(3))).save(buffer, "PNG", exif=exif)
    data = buffer.getvalue()
    got = images.decode(handed.content(Image.open(io.BytesIO(data))))
    assert np.array_equal(np.asarray(got), np.asarray(images.decode(data)))


def test_a_picture_whose_file_is_closed_or_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(3))
    with Image.open(path) as closed:
        pass
    emptied = Image.open(path)
    emptied.close()
    with refused(UnreadablePhotographError, "has no pixels: Operation on closed image"):
        handed.content(emptied)
    with refused(UnreadablePhotographError, "was closed before its pixels were read"):
        handed.content(closed)
    with refused(UnreadablePhotographError, "has no pixels: image file is truncated"):
        handed.content(Image.open(io.BytesIO(jpeg(3)[:-400])))

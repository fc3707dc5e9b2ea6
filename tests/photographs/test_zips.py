"""Zips as other systems pack them: read in place, or refused in one line that says what to do."""

import io
import struct
import unicodedata
import zipfile
import zlib
from pathlib import Path

import pytest

from catsdogs.errors import DatasetError
from catsdogs.photographs.dataset import Dataset, scan
from tests.conftest import refused
from tests.support.datasets import jpeg

CATS = ["cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg"]


def packed(path: Path, names: list[str], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for seed, name in enumerate(names):
            archive.writestr(name, b"" if name.endswith("/") else jpeg(seed))
    return path


def changed(path: Path, place: int, value: int, names: int = 1) -> None:
    """Change a byte of the first entries of a zip's list, and of the headers before their bytes."""
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x01\x02", place), (b"PK\x03\x04", place - 2)):
        at = -1
        for _ in range(names):
            at = data.index(mark, at + 1)
            data[at + offset] = value
    path.write_bytes(data)


def rows(dataset: Dataset) -> dict[str, bytes]:
    return {row.id: dataset.read(row) for row in dataset.of("train")}


EXPECTED = {name[:-4]: jpeg(seed) for seed, name in enumerate(CATS)}


@pytest.mark.parametrize(
    "shape",
    [
        "{}",
        "train/{}",
        "train\\{}",
        "./train/{}",
        "dogs-vs-cats/train/{}",
        "dogs-vs-cats\\train\\{}",
        "archive/training_set/training_set/{}",
        "dogs-vs-cats-master/data/{}",
    ],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_one_zip(tmp_path: Path, shape: str, method: int) -> None:
    extra = ["__MACOSX/._cat.0.jpg", ".DS_Store", "train/"]
    path = packed(tmp_path / "all.zip", [shape.format(name) for name in CATS] + extra, method)
    assert rows(scan(path)) == rows(scan(tmp_path)) == EXPECTED


@pytest.mark.parametrize("stem", ["train", "Train", "training_set", "seg_train", "train-jpg", "trainImages"])
@pytest.mark.parametrize("inside", ["", "{stem}/", "{stem}/{stem}/", "{stem}\\", "photos/", "images/"])
def test_a_zip_for_each_split(tmp_path: Path, stem: str, inside: str) -> None:
    packed(tmp_path / f"{stem}.zip", [inside.format(stem=stem) + name for name in CATS])
    test = stem.replace("train", "test").replace("Train", "Test").replace("testing", "test")
    packed(tmp_path / f"{test}.zip", [f"{test}/", f"{test}/7.jpg"])
    dataset = scan(tmp_path)
    assert rows(dataset) == EXPECTED
    assert [row.id for row in dataset.of("test")] == ["7"]


def raw_zip(members: dict[bytes, tuple[bytes, int, bytes]]) -> bytes:
    """A zip of names in bytes -> their content, flags and extra field, stored."""
    body, listing = io.BytesIO(), io.BytesIO()
    for name, (content, flags, extra) in members.items():
        sizes = struct.pack("<IIIHH", zlib.crc32(content), len(content), len(content), len(name), len(extra))
        at = body.tell()
        body.write(b"PK\x03\x04" + struct.pack("<HHHHH", 20, flags, 0, 0, 33) + sizes + name + extra + content)
        listing.write(b"PK\x01\x02" + struct.pack("<HHHHHH", 20, 20, flags, 0, 0, 33) + sizes)
        listing.write(struct.pack("<HHHII", 0, 0, 0, 0, at) + name + extra)
    end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), listing.tell(), body.tell(), 0)
    return body.getvalue() + listing.getvalue() + b"PK\x05\x06" + end


def unicode_path(written: bytes, name: str) -> bytes:
    field = b"\x01" + struct.pack("<I", zlib.crc32(written)) + name.encode()
    return struct.pack("<HH", 0x5455, 5) + b"\x01\0\0\0\0" + struct.pack("<HH", 0x7075, len(field)) + field


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("encoding_told_by", ["flag", "nothing", "old code page"])
def test_names_in_other_letters(tmp_path: Path, form: str, encoding_told_by: str) -> None:
    name = unicodedata.normalize(form, "café") if encoding_told_by != "old code page" else "café"
    written = f"{name}.0.jpg".encode("cp437" if encoding_told_by == "old code page" else "utf-8")
    members = {written: (jpeg(0), 0x800 if encoding_told_by == "flag" else 0, b""), b"dog.0.jpg": (jpeg(1), 0, b"")}
    (tmp_path / "all.zip").write_bytes(raw_zip(members))
    dataset = scan(tmp_path / "all.zip")
    assert dataset.classes == (name, "dog") and list(rows(dataset).values()) == [jpeg(0), jpeg(1)]


def test_a_field_beside_the_name_says_it_in_unicode(tmp_path: Path) -> None:
    written = "лис.0.jpg".encode("cp866")
    members = {written: (jpeg(0), 0, unicode_path(written, "лис.0.jpg")), b"dog.0.jpg": (jpeg(1), 0, b"")}
    (tmp_path / "all.zip").write_bytes(raw_zip(members))
    assert scan(tmp_path / "all.zip").classes == ("dog", "лис")
    members = {written: (jpeg(0), 0, unicode_path(b"another", "лис.0.jpg")), b"dog.0.jpg": (jpeg(1), 0, b"")}
    (tmp_path / "all.zip").write_bytes(raw_zip(members))
    assert "лис" not in scan(tmp_path / "all.zip").classes  # a field about a name that was changed since


def test_encrypted_members_are_counted(tmp_path: Path) -> None:
    path = packed(tmp_path / "train.zip", CATS)
    changed(path, 8, 1, names=3)
    for root in (path, tmp_path):
        with refused(DatasetError, r"train\.zip holds 3 encrypted members: cat\.0\.jpg, .*Unpack it with its password"):
            scan(root)


def test_a_method_that_windows_uses_for_large_zips(tmp_path: Path) -> None:
    path = packed(tmp_path / "all.zip", CATS)
    changed(path, 10, 9, names=4)
    with refused(DatasetError, r"holds 4 members packed in a way that cannot be read here: cat\.0\.jpg.*Unpack it"):
        scan(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("twin", ["cat.0.jpg", "./cat.0.jpg"])
def test_names_that_occur_twice(tmp_path: Path, twin: str) -> None:
    path = packed(tmp_path / "all.zip", CATS)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(twin, jpeg(0))
    assert rows(scan(path)) == EXPECTED
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(twin, jpeg(9))
    with refused(DatasetError, r"holds 1 names that occur twice, with other content: (\./)?cat\.0\.jpg"):
        scan(path)


def test_a_zip64(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for seed, name in enumerate(CATS):
            with archive.open(zipfile.ZipInfo(f"train/{name}"), "w", force_zip64=True) as member:
                member.write(jpeg(seed))
    assert rows(scan(tmp_path / "all.zip")) == EXPECTED


def test_zips_inside_are_not_passed_over_for_a_picture_beside_them(tmp_path: Path) -> None:
    packed(tmp_path / "train.zip", CATS)
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(tmp_path / "train.zip", "comp/train.ZIP")
        archive.writestr("comp/preview.jpg", jpeg(0))
    (tmp_path / "train.zip").unlink()
    with refused(DatasetError, r"outer\.zip holds zips inside \(comp/train\.ZIP\)\. Unpack the outer one"):
        scan(tmp_path / "outer.zip")


@pytest.mark.parametrize("top", ["", "dog-breeds/", "a/b/"])
@pytest.mark.parametrize("labels", ["labels.csv", "train.csv", "mine.csv"])
def test_tables_lie_in_the_top_folder_with_the_photographs(tmp_path: Path, top: str, labels: str) -> None:
    flat = labels == "mine.csv"
    names = [f"{top}{'' if flat else 'train/'}{letter}.jpg" for letter in "abcd"]
    sample = f"id,pug,boxer\n{'d' if flat else 'e'},0.5,0.5\n"
    path = packed(tmp_path / "all.zip", names + ([] if flat else [f"{top}test/e.jpg"]))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{top}{labels}", "id,breed\na,pug\nb,boxer\nc,pug\n")
        archive.writestr(f"{top}sample_submission.csv", sample)
        archive.writestr("__MACOSX/._labels.csv", b"\xff")
    for root in (path, tmp_path):
        dataset = scan(root)
        assert dataset.classes == ("boxer", "pug") and len(dataset.of("train")) == 3
        assert [row.id for row in dataset.of("test")] == ["d" if flat else "e"]
        assert dataset.sample_submission == sample
    assert flat or "1 photographs" in dataset.notes[0]

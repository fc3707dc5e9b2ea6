"""Which files are photographs, in folders, zips and object stores; what nobody put there, and what is left alone."""

import io
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from PIL import Image

from catsdogs.errors import DatasetError
from catsdogs.files import storage
from catsdogs.photographs import filetypes, images, tfrecord, tfrecord_writer
from catsdogs.photographs.dataset import Dataset, scan, scan_unlabelled
from tests.conftest import Command, refused
from tests.photographs.test_images import HEIC
from tests.support.datasets import jpeg, write_kaggle_folder

Files = dict[str, bytes]


def in_a_folder(root: Path, files: Files) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def in_a_zip(root: Path, files: Files) -> Path:
    with zipfile.ZipFile(root / "all.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return root / "all.zip"


def in_a_store(root: Path, files: Files) -> Path:
    place = storage.place(f"memory://bucket{root}")
    for name, data in files.items():
        (place / name).write_bytes(data)
    return place


def in_a_zip_in_a_store(root: Path, files: Files) -> Path:
    return in_a_store(root, {"all.zip": in_a_zip(root, files).read_bytes()}) / "all.zip"


PLACES = [in_a_folder, in_a_zip, in_a_store, in_a_zip_in_a_store]
in_every_place = pytest.mark.parametrize("put", PLACES, ids=lambda put: put.__name__)
Put = Callable[[Path, Files], Path]


def ids(dataset: Dataset, split: str = "train") -> list[str]:
    return [row.id for row in dataset.of(split)]


def encoded(format: str) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(jpeg(0))).save(buffer, format)
    return buffer.getvalue()


# What systems write beside people's photographs: folders with thumbnails or what was thrown away, and files.
FOLDERS = (
    *("@eaDir", "@EADIR", "#recycle", "#snapshot", "@Recycle", "@Recently-Snapshot", "@tmp", "~snapshot"),
    *("$RECYCLE.BIN", "$Recycle.Bin", "System Volume Information", "FOUND.000", "found.012"),
    *("lost+found", "LOST.DIR", ".Trash-1000", ".Trashes", ".thumbnails", ".thumb", ".AppleDouble", "__MACOSX"),
    *(".git", ".ipynb_checkpoints", "__pycache__", ".Spotlight-V100", ".fseventsd", ".@__thumb", ".snapshot"),
    *("Network Trash Folder", "Temporary Items"),
)
FILES = ("._cat.jpg", ".cat.jpg", "Thumbs.db", "desktop.ini", ".DS_Store", ".nomedia", "Icon\r", ".hidden.png")
# And what people do.
OWN = ("trash", "recycle", "snapshot", "found", "tmp", "thumbs", "$100", "#1", "@home", "lost", "c++", "git")


@in_every_place
def test_what_nobody_put_there_is_no_class_and_no_photograph(put: Put, tmp_path: Path) -> None:
    wanted = {f"{name}/1.jpg": jpeg(0) for name in ("cat", "dog")}
    others = {f"{folder}/1.jpg": jpeg(1) for folder in FOLDERS}
    others |= {f"cat/{folder}/2.jpg": jpeg(2) for folder in FOLDERS}
    others |= {f"dog/{name}": jpeg(3) for name in FILES} | {name: jpeg(4) for name in FILES}
    others |= {f"{folder}/train.zip": b"" for folder in FOLDERS}
    root = put(tmp_path, wanted | others)
    dataset = scan(root)
    assert (dataset.classes, ids(dataset), dataset.left_alone) == (("cat", "dog"), ["cat/1", "dog/1"], ())
    assert ids(scan_unlabelled(root), "test") == ["cat/1", "dog/1"]


@in_every_place
def test_what_people_put_there_stays(put: Put, tmp_path: Path) -> None:
    dataset = scan(put(tmp_path, {f"{name}/1.jpg": jpeg(0) for name in OWN}))
    assert set(dataset.classes) == set(OWN)


def test_a_folder_of_nobodys_may_be_asked_for_itself(tmp_path: Path) -> None:
    root = in_a_folder(tmp_path / "lost+found" / ".git", {"cat/1.jpg": jpeg(0), "dog/1.jpg": jpeg(0)})
    assert scan(root).classes == ("cat", "dog")


def test_tfrecord_files_beside_files_of_systems(tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    tfrecord_writer.write_record_files(scan(write_kaggle_folder(tmp_path / "data")), packed, count=1)
    for folder in FOLDERS:
        (packed / folder).mkdir(exist_ok=True)
        (packed / folder / "train-0.tfrecord").write_bytes(b"no record")
    (packed / "._train-00000-of-00001.tfrecord").write_bytes(b"no record")
    (packed / "manifest.json").unlink()
    assert len(tfrecord.record_files_in(packed)) == 2 and len(scan(packed).of("train")) == 8
    names = [path.relative_to(packed).as_posix() for path in packed.rglob("*")]
    assert tfrecord.record_files_among(packed, names) == tfrecord.record_files_in(packed)


READ = (
    ".jpg",
    ".JPG",
    ".Jpeg",
    ".jpe",
    ".JPE",
    ".jfif",
    ".mpo",
    ".png",
    ".apng",
    ".webp",
    ".gif",
    ".bmp",
    ".tif",
    ".TIFF",
)


@in_every_place
@pytest.mark.parametrize("suffix", READ)
def test_every_suffix_of_what_is_read(put: Put, suffix: str, tmp_path: Path) -> None:
    dataset = scan(put(tmp_path, {f"{name}/1{suffix}": jpeg(0) for name in ("cat", "dog")}))
    assert ids(dataset) == ["cat/1", "dog/1"] and dataset.read(dataset.photographs[0]) == jpeg(0)


@pytest.mark.parametrize(("suffix", "format"), [(".avif", "AVIF"), (".jp2", "JPEG2000"), (".J2K", "JPEG2000")])
def test_suffixes_of_what_this_pillow_reads(suffix: str, format: str, tmp_path: Path) -> None:
    root = in_a_folder(tmp_path, {f"{name}/1{suffix}": b"" for name in ("cat", "dog")})
    if format in filetypes.FORMATS:
        assert ids(scan(root)) == ["cat/1", "dog/1"]
    else:
        with refused(DatasetError, "2 pictures of kinds that are not read: cat/1"):
            scan(root)


NO_PICTURES = {"README": b"cats and dogs\n", "LICENSE": b"", "Makefile": b"BM: all\n\tBMBMBMBMBMBMBMBMBMBMBM\n"}


@in_every_place
def test_files_without_a_suffix_are_told_by_their_content(put: Put, tmp_path: Path) -> None:
    formats = ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", *filetypes.FORMATS[6:]]
    photographs = {
        f"{kind}/{format}-{number}": encoded(format) for kind in "ab" for number, format in enumerate(formats)
    }
    root = put(tmp_path, photographs | {f"c/{name}": data for name, data in NO_PICTURES.items()})
    dataset = scan(root)
    assert dataset.classes == ("a", "b") and set(ids(dataset)) == set(photographs)
    assert all(images.decode(dataset.read(row)) for row in dataset.photographs)


def test_a_number_behind_a_dot_is_no_suffix(tmp_path: Path) -> None:
    root = in_a_folder(tmp_path, {f"{name}/IMG.{number}": jpeg(number) for name in "ab" for number in (1, 2)})
    assert ids(scan(root)) == ["a/IMG.1", "a/IMG.2", "b/IMG.1", "b/IMG.2"]
    in_a_folder(tmp_path, {f"a/notes.{suffix}": jpeg(0) for suffix in ("txt", "7z", "mp4", "xml", "h5")})
    assert len(scan(root).photographs) == 4


def test_one_file_without_a_suffix(tmp_path: Path) -> None:
    root = in_a_folder(tmp_path, {"photo": jpeg(0), **NO_PICTURES})
    assert ids(scan_unlabelled(root / "photo"), "test") == ["photo"]
    with refused(DatasetError, "README is not a readable zip"):
        scan_unlabelled(root / "README")


def test_what_has_a_suffix_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is more than one object of a folder in a store, where each is a request."""
    write_kaggle_folder(tmp_path / "data")
    read: list[str] = []
    really = storage.read_bytes
    monkeypatch.setattr(
        storage, "read_bytes", lambda path, *rest, **more: read.append(path.name) or really(path, *rest, **more)
    )
    assert len(scan(tmp_path / "data").photographs) == 11 and not read
    place = in_a_store(tmp_path, {f"{kind}/{number}": jpeg(number) for kind in "ab" for number in range(20)})
    assert len(scan(place).photographs) == 40 and len(read) == 2


UNREAD = (
    ".heic",
    ".HEIC",
    ".heif",
    ".cr2",
    ".NEF",
    ".dng",
    ".svg",
    ".psd",
    ".ppm",
    ".tga",
    ".ico",
    ".jxl",
    ".dcm",
    ".eps",
)


@pytest.fixture
def without_heif(monkeypatch: pytest.MonkeyPatch) -> None:
    if filetypes.READS_HEIF:
        pytest.skip("pillow-heif is installed")


@pytest.mark.usefixtures("without_heif")
@in_every_place
def test_pictures_that_are_not_read_are_named(put: Put, tmp_path: Path) -> None:
    unread = {f"cat/{number:02}{suffix}": b"" for number, suffix in enumerate(UNREAD)}
    dataset = scan(put(tmp_path, {"cat/a.jpg": jpeg(0), "dog/b.jpg": jpeg(0), "cat/notes.txt": b""} | unread))
    assert ids(dataset) == ["cat/a", "dog/b"] and set(dataset.left_alone) == set(unread)
    said = filetypes.describe_unread(sorted(dataset.left_alone))
    assert said.startswith(
        "14 pictures of kinds that are not read: cat/00.heic, cat/01.HEIC, cat/02.heif and 11 more ("
    )
    assert said.count("pip install pillow-heif") == 1 and "convert them to JPEG or PNG" in said


@pytest.mark.usefixtures("without_heif")
@in_every_place
def test_a_phones_folder_says_what_reads_it(put: Put, tmp_path: Path) -> None:
    root = put(tmp_path, {f"IMG_{number}.HEIC": HEIC for number in range(1234)})
    hint = r"holds pictures of kinds that are not read: 1,234 \.heic \(IMG_0\.HEIC\): .*pillow-heif"
    for look in (scan, scan_unlabelled):
        with refused(DatasetError, hint):
            look(root)


@pytest.mark.usefixtures("without_heif")
def test_one_picture_that_is_not_read(tmp_path: Path) -> None:
    path = in_a_folder(tmp_path, {"IMG_1.HEIC": HEIC}) / "IMG_1.HEIC"
    with refused(DatasetError, r"pictures of kinds that are not read: 1 \.heic \(IMG_1\.HEIC\)"):
        scan_unlabelled(path)


@pytest.mark.usefixtures("without_heif")
def test_a_command_says_what_it_leaves_alone(tmp_path: Path, command: Command) -> None:
    write_kaggle_folder(tmp_path / "data")
    in_a_folder(tmp_path / "data", {"train/cat.9.heic": HEIC, "train/dog.9": HEIC})
    code, out, _ = command("shards", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "shards"))
    assert code == 0
    assert "left alone: 1 picture of a kind that is not read: train/cat.9.heic (HEIC is read once" in out
    assert "unreadable, left out: train/dog.9 (not a picture that is read; HEIC is read once" in out


def test_formats_that_start_programs_or_that_no_data_set_holds_have_no_suffix() -> None:
    read: Iterable[str] = filetypes.PHOTO_SUFFIXES
    assert not {".eps", ".ps", ".pdf", ".wmf", ".emf", ".svg", ".ico", ".psd"} & set(read)

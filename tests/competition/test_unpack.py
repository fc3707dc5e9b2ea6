"""Real and hostile zips: whatever is unsafe or damaged is refused, and no half file is left."""

import errno
import io
import os
import resource
import shutil
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catsdogs.competition import unpack
from catsdogs.errors import FetchError
from tests.support.downloads import noise_jpeg, tree, zipped


def archived(folder: Path, *members: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    """A zip beside an empty folder named `out`, with one innocent member before the ones given."""
    (folder / "out").mkdir()
    path = folder / "archive.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("innocent.jpg", noise_jpeg(1))
        for member, content in members:
            archive.writestr(member, content)
    return path


def link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.create_system = 3
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


def raw(name: str) -> zipfile.ZipInfo:
    """A member whose name the zipfile module does not mend while it writes."""
    member = zipfile.ZipInfo("x")
    member.filename = name
    return member


def refused(archive: Path, problem: str) -> None:
    before = tree(archive.parent)
    with pytest.raises(FetchError, match=problem):
        unpack.unpack(archive, archive.parent / "out")
    assert tree(archive.parent) == before


ELSEWHERE = """
    ../evil.jpg  a/../../evil.jpg  ..  /etc/evil.jpg  C:/evil.jpg  C:evil.jpg  a//evil.jpg  ./evil.jpg
    ..\\evil.jpg  a\\..\\evil.jpg  \\\\host\\evil.jpg  evil.jpg\0.txt
"""


@pytest.mark.parametrize("name", ELSEWHERE.split())
def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    archive = archived(tmp_path, (raw(name), b"evil"))
    refused(archive, "evil|'..'")


def test_links_are_refused(tmp_path: Path) -> None:
    refused(archived(tmp_path, (link("passwd.jpg"), b"/etc/passwd")), "'passwd.jpg' is a link")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["innocent.jpg", "Innocent.JPG"])
def test_a_name_that_occurs_twice_is_refused(tmp_path: Path, name: str) -> None:
    refused(archived(tmp_path, (name, b"other")), f"'{name}' has a name that occurs twice")


def test_a_file_that_is_also_a_folder_is_refused(tmp_path: Path) -> None:
    refused(archived(tmp_path, ("innocent.jpg/a.jpg", b"other")), "'innocent.jpg/a.jpg' lies in a folder")


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    archive = archived(tmp_path, ("secret.jpg", b"content"))
    content = bytearray(archive.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 8] |= 1
    archive.write_bytes(content)
    refused(archive, r"'secret.jpg' is encrypted")


def test_an_unusual_method_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("a.jpg", noise_jpeg(1))
    refused(archive, "'a.jpg' is packed by method 14")


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = archived(tmp_path, ("bomb.jpg", bytes(3_000_000)))
    refused(archive, "'bomb.jpg' and the others would grow from 0.00. to 3 MB")
    monkeypatch.setattr(unpack, "MAX_RATIO", 2000)
    unpack.unpack(archive, tmp_path / "out")
    assert set(tree(tmp_path / "out")) == {"innocent.jpg", "bomb.jpg"}
    monkeypatch.setattr(unpack, "MAX_UNPACKED_BYTES", 2_000_000)
    refused(archive, "would grow")


def test_a_zip_in_a_zip_is_unpacked_and_checked_as_well(tmp_path: Path) -> None:
    good = zipped({"train/cat.0.jpg": noise_jpeg(3)})
    archive = archived(tmp_path, ("sub/good.zip", good))
    unpack.unpack(archive, tmp_path / "out")
    assert set(tree(tmp_path / "out")) == {"innocent.jpg", "sub/train/cat.0.jpg"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (zipped({"../evil.jpg": b"evil"}), r"\.\./evil\.jpg"),
        (zipped({"third.zip": zipped({"a.jpg": b"a"})}), "'third.zip' is a zip inside a zip inside a zip"),
        (zipped({"a.jpg": noise_jpeg(4)})[:-30], "damaged or incomplete"),
    ],
)
def test_a_bad_zip_in_a_zip_leaves_nothing_of_it(tmp_path: Path, content: bytes, problem: str) -> None:
    archive = archived(tmp_path, ("inner.zip", content))
    with pytest.raises(FetchError, match=problem) as raised:
        unpack.unpack(archive, tmp_path / "out")
    assert str(archive) in str(raised.value)
    assert set(tree(tmp_path)) == {"archive.zip", "out/innocent.jpg"}


def test_a_wrong_checksum_is_said_and_leaves_no_file(tmp_path: Path) -> None:
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        packed.writestr("a.jpg", b"photograph")
    archive.write_bytes(archive.read_bytes().replace(b"photograph", b"photogravh", 1))
    refused(archive, r"archive\.zip is damaged or incomplete .*a\.jpg.*Delete it and run the same command again")


INNER_ZIP = zipped({"test/1.jpg": b"photograph"})
NESTED_ZIP = zipped({"train/cat.0.jpg": noise_jpeg(3), "inner.zip": INNER_ZIP})


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_one_line_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    places = st.integers(0, len(NESTED_ZIP) - 1)
    changes = data.draw(st.dictionaries(places, st.integers(0, 255), max_size=4))
    end = data.draw(st.just(len(NESTED_ZIP)) | places)
    broken = bytes(changes.get(place, value) for place, value in enumerate(NESTED_ZIP[:end]))
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    archive = tmp_path / "archive.zip"
    archive.write_bytes(broken)
    try:
        unpack.unpack(archive, tmp_path / "out")
    except FetchError as error:
        assert "\n" not in str(error)
    # Whatever was written was whole; a change in its name can make a plain file of the inner zip.
    assert set(tree(tmp_path / "out").values()) <= {noise_jpeg(3), b"photograph", INNER_ZIP}
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
    assert {path.name for path in tmp_path.iterdir()} <= {"archive.zip", "out"}


def test_too_small_a_disk_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = archived(tmp_path, ("large.jpg", os.urandom(3_000_000)))
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    refused(archive, r"needs about 3 MiB and has 1 MiB free\. Free some space")


def test_a_disk_that_fills_up_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(packed: io.BufferedIOBase, sink: io.BufferedIOBase) -> None:
        sink.write(packed.read(3))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    archive = archived(tmp_path)
    monkeypatch.setattr(shutil, "copyfileobj", full)
    refused(archive, r"disk is full: .*innocent\.jpg was not written\. Free some space")


def test_a_write_that_fails_leaves_no_half_file(tmp_path: Path) -> None:
    archive = archived(tmp_path, ("large.jpg", os.urandom(300_000)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(FetchError, match=r"disk is full: .*large\.jpg was not written"):
            unpack.unpack(archive, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert set(tree(tmp_path / "out")) == {"innocent.jpg"}


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"none\.zip cannot be read \(No such file"):
        unpack.unpack(tmp_path / "none.zip", tmp_path)

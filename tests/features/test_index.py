"""The index of a feature file: a run with nothing to do goes by it, and it is never believed over the files."""

import os
import shutil
from pathlib import Path

import h5py
import pytest

from catsdogs.errors import DamagedError, StoreError
from catsdogs.features import assembling, feature_file, index, virtual
from catsdogs.features.cache import Cache
from catsdogs.files import seal, storage
from tests.conftest import refused
from tests.support.features import opened, recipe, rows_of, table, write_features
from tests.support.s3 import Faults

pytest_plugins = ("tests.support.s3",)

ENTRIES = table([f"t{n:03}" for n in range(230)], [str(n) for n in range(70)])
NAME = "ResNet50"
KINDS = ("plain", "virtual")


@pytest.fixture(params=KINDS)
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A feature file, plain or virtual, that `features` has written."""
    small(monkeypatch, request.param)
    return write_features(tmp_path, ENTRIES).path


def small(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    rows = 100 if kind == "virtual" else 1000
    for name, value in {"VIRTUAL_ROWS": rows, "_CUT": 16, "_LEAST_ROWS": 8, "_MOST_ROWS": 40}.items():
        monkeypatch.setattr(virtual, name, value)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose bytes are held against their seals."""
    paths: list[Path] = []
    check = seal.check_seal
    monkeypatch.setattr(seal, "check_seal", lambda path: paths.append(path) or check(path))
    return paths


def look_through(folder: Path) -> bool:
    """A run with nothing to do; whether it wrote the feature file."""
    found = Cache(folder, recipe())
    assert all(entry in found for entry in ENTRIES)
    return found.assemble(ENTRIES, ("a", "b"), [], "photographs")


def files_of(path: Path) -> list[Path]:
    return [path, *sorted(virtual.parts_folder(path).rglob("*.h5"))]


def test_nothing_but_the_index_is_read(path: Path, checked: list[Path]) -> None:
    assert index.fitting(path)
    checked.clear()
    assert not look_through(path.parent)
    assert set(checked) == {index.path_of(path)}


def test_it_says_what_the_files_say(path: Path) -> None:
    found, features = index.fitting(path), feature_file.read_features(path)
    assert found is not None
    keys, digests = assembling.identities_in(features)
    assert (found.keys == keys).all() and (found.digests == digests).all()
    assert found.contents == assembling.hash_in(features, keys, digests)
    assert (found.recipe, found.source, found.unreadable) == (features.recipe, features.source, features.unreadable)
    index.path_of(path).unlink()
    look_through(path.parent)  # it is made again from the files
    again = index.fitting(path)
    assert again is not None and again.pieces == found.pieces and again.contents == found.contents


@pytest.mark.parametrize("damage", ["gone", "cut", "flipped", "empty", "text", "newer", "uneven", "of another network"])
def test_a_missing_or_damaged_index_is_made_again(path: Path, damage: str, checked: list[Path]) -> None:
    place = index.path_of(path)
    data = place.read_bytes()
    match damage:
        case "gone":
            place.unlink()
        case "newer":
            with opened(place) as file:
                file.attrs["version"] = 99
        case "uneven":
            with opened(place) as file:
                digests = file["digest"][1:]
                del file["digest"]
                file["digest"] = digests
        case "of another network":
            other = write_features(path.parent / "other", ENTRIES, "Xception")
            shutil.copy(index.path_of(other.path), place)
        case _:
            place.write_bytes(
                {"cut": data[:-9], "flipped": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], "empty": b""}.get(
                    damage, b"id,label\n"
                )
            )
    checked.clear()
    assert not look_through(path.parent)
    assert set(files_of(path)) <= set(checked)
    assert index.fitting(path)


@pytest.mark.parametrize("change", ["touched", "other bytes", "cut", "gone", "another's", "moved"])
@pytest.mark.parametrize("which", [0, -1])
def test_it_is_not_believed_over_the_files(path: Path, change: str, which: int) -> None:
    """Whatever becomes of a file, what the cache then says is what it says without an index."""
    file = files_of(path)[which]
    data, status = file.read_bytes(), file.stat()
    match change:
        case "touched":
            os.utime(file)
        case "other bytes":
            file.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
        case "cut":
            file.write_bytes(data[:1000])
        case "gone":
            file.unlink()
        case "another's":  # of the same size and time
            other = write_features(path.parent / "other", [entry._replace(digest=7) for entry in ENTRIES[:1]])
            content = other.path.read_bytes()[: len(data)].ljust(len(data), b"\0")
            file.write_bytes(content)
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        case "moved":
            file.rename(file.with_name("0000.h5"))
    copy = path.parent.parent / f"{path.parent.name}-without"
    shutil.copytree(path.parent, copy)
    index.path_of(copy / path.name).unlink()
    seal._check_once.cache_clear()  # as in another process
    assert index.fitting(path) is None
    ours, theirs = Cache(path.parent, recipe()), Cache(copy, recipe())
    assert [entry in ours for entry in ENTRIES] == [entry in theirs for entry in ENTRIES]
    assert [aside.name for aside in ours.set_aside] == [aside.name for aside in theirs.set_aside]
    shutil.rmtree(copy)


@pytest.mark.parametrize("who", ["a reader", "features"])
def test_damage_that_does_not_show_is_found_when_the_rows_are_read(path: Path, who: str) -> None:
    """A bit that flips on the disk moves no time. Whoever reads the file says so, and the next run finds it."""
    file = files_of(path)[-1]
    data, status = file.read_bytes(), file.stat()
    file.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    seal._check_once.cache_clear()  # as in another process
    assert index.fitting(path) and all(entry in Cache(path.parent, recipe()) for entry in ENTRIES)
    with refused(DamagedError, "checksum is wrong"):
        if who == "features":  # which has to copy every row
            Cache(path.parent, recipe()).assemble(ENTRIES[::-1], ("a", "b"), [], "photographs")
        for split in feature_file.SPLITS:
            feature_file.read_features(path).vectors(split)
    assert index.fitting(path) is None
    again = Cache(path.parent, recipe())
    assert not all(entry in again for entry in ENTRIES) and again.set_aside


def test_a_recipe_of_another_kind_is_refused_as_without(path: Path) -> None:
    assert index.fitting(path)
    with refused(StoreError, r"ResNet50\.h5 was written with precision: float32, not bfloat16"):
        Cache(path.parent, recipe(precision="bfloat16"))


def test_files_without_a_seal_have_no_index(tmp_path: Path) -> None:
    path = write_features(tmp_path, ENTRIES[:3]).path
    index.path_of(path).unlink()
    with h5py.File(path) as sealed, h5py.File(tmp_path / "bare.h5", "w") as bare:
        for name in sealed:
            sealed.copy(name, bare)
        bare.attrs.update(dict(sealed.attrs))
    (tmp_path / "bare.h5").replace(path)
    assert not Cache(tmp_path, recipe()).assemble(ENTRIES[:3], ("a", "b"), [], "photographs")
    assert not index.path_of(path).exists()


def test_a_folder_that_may_not_be_written_keeps_its_index(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise PermissionError(13, "not yours")

    monkeypatch.setattr(storage, "remove_all", failing)
    index.forget(path)
    assert index.fitting(path)


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_store(s3_bucket: str, s3_faults: Faults, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A run with nothing to do takes as many requests for many parts as for one, and reads none of them."""
    small(monkeypatch, kind)
    out = storage.place(f"{s3_bucket}/features")
    first = Cache(out, recipe())
    first.write_shard(rows_of(ENTRIES), "none")
    first.assemble(ENTRIES, ("a", "b"), [], "photographs")
    s3_faults.requests.clear()
    assert not look_through(out)
    read = [request for request in s3_faults.requests if request.startswith("GET") and ".h5" in request]
    assert len(s3_faults.requests) <= 13 and len(read) <= 2, s3_faults.requests
    (out / f"{NAME}.h5").write_bytes((out / f"{NAME}.h5").read_bytes())  # put again: another time, the same content
    assert not look_through(out) and index.fitting(out / f"{NAME}.h5")


@pytest.mark.parametrize("count", [3, 30])
def test_assembling_asks_a_store_once_for_each_shard(s3_bucket: str, s3_faults: Faults, count: int) -> None:
    """Beyond a GET for each shard it takes the same few requests for any number of them, removal included."""
    out, step = storage.place(f"{s3_bucket}/features"), len(ENTRIES) // count
    writer = Cache(out, recipe())
    for start in range(0, len(ENTRIES), step):
        writer.write_shard(rows_of(ENTRIES[start : start + step]), "none")
    s3_faults.requests.clear()
    writer.assemble(ENTRIES, ("a", "b"), [], "photographs")
    shards = [request for request in s3_faults.requests if ".shards" in request and request.startswith("GET")]
    read = [request for request in shards if "?" not in request]
    assert len(read) == len(set(read)) == -(-len(ENTRIES) // step)
    assert len(s3_faults.requests) - len(read) <= 12
    assert not [name for name in storage.list_stamps(out) if name.startswith(".shards")]
    # A run that goes on after a kill reads each shard once, too, when it opens the cache.
    for start in range(0, len(ENTRIES), step):
        writer.write_shard(rows_of(ENTRIES[start : start + step]), "none")
    s3_faults.requests.clear()
    Cache(out, recipe()).assemble(ENTRIES[::-1], ("a", "b"), [], "photographs")
    assert len(s3_faults.requests) - len(read) <= 22


def test_another_run_s_file_in_a_store_is_not_taken_for_ours(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs at once: between this one's writing and its index, the other one puts its own file there."""
    out = storage.place(f"{s3_bucket}/features")
    ours, theirs = Cache(out, recipe()), Cache(storage.place(f"{s3_bucket}/theirs"), recipe())
    for one, entries in ((ours, ENTRIES), (theirs, ENTRIES[:100])):
        one.write_shard(rows_of(entries), "none")
    theirs.assemble(ENTRIES[:100], ("a", "b"), [], "photographs")
    write = ours._write_index

    def overtaken(content: index.Index) -> None:
        (out / f"{NAME}.h5").write_bytes(theirs.path.read_bytes())
        write(content)

    monkeypatch.setattr(ours, "_write_index", overtaken)
    ours.assemble(ENTRIES, ("a", "b"), [], "photographs")
    assert index.fitting(out / f"{NAME}.h5") is None
    found = Cache(out, recipe())
    assert sum(entry in found for entry in ENTRIES) == 100

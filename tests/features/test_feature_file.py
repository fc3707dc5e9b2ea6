import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import textwrap
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catsdogs.errors import LockedError, StoreError
from catsdogs.features import feature_file, joining
from catsdogs.features.cache import Cache, DigestedPhotograph
from catsdogs.features.feature_file import SPLITS, Unreadable
from catsdogs.files import atomic, hdf5, locks
from catsdogs.networks.table import BACKBONES
from catsdogs.photographs.dataset import Dataset
from tests.conftest import opened, recipe, refused, rows_of, table, write_features, write_kaggle_folder

# HDF5 ends a string at its first NUL, which no file name can hold; half a surrogate pair is no text.
IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
TRAIN, TEST = [f"cat.{n}" for n in range(7)], [str(n) for n in range(1, 5)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_features(tmp_path / "features", table(TRAIN, TEST)).path


def replace_dataset(file: h5py.File, name: str, values: object) -> None:
    attributes, dtype = dict(file[name].attrs), file[name].dtype
    del file[name]
    file.create_dataset(name, data=values, dtype=dtype).attrs.update(attributes)


def child(code: str, *arguments: object, **options: object) -> subprocess.Popen:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]


def peak(work: Callable[[], object]) -> int:
    """The most memory, in bytes, that Python and NumPy took at a time for this."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@settings(max_examples=30, deadline=None)
@given(
    train=st.lists(IDS, min_size=1, max_size=12, unique=True),
    test=st.lists(IDS, max_size=12, unique=True),
    width=st.integers(1, 5),
    shard=st.integers(1, 9),
    dtype=st.sampled_from(["float32", "float16"]),
    labelled=st.booleans(),
    seed=st.integers(0, 99),
)
def test_what_is_written_is_read(
    train: list[str], test: list[str], width: int, shard: int, dtype: str, labelled: bool, seed: int
) -> None:
    entries = table(train, test)
    shuffled = random.Random(seed).sample(entries, len(entries))
    bad = (Unreadable("test", "bad", "not a picture"),)
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder), recipe(dtype=dtype))
        for start in range(0, len(entries), shard):
            cache.write_shard(rows_of(shuffled[start : start + shard], width, labelled=labelled), "none")
        cache.assemble(entries, ("кот", "dog"), bad, "photographs")
        got = feature_file.read_features(cache.path)
        vectors = {split: got.vectors(split) for split in SPLITS}
    assert (got.recipe, got.width, got.classes) == (recipe(dtype=dtype), width, ("кот", "dog"))
    assert (got.unreadable, got.source, got.name) == (bad, "photographs", "ResNet50")
    assert got.labels.tolist() == [number % 2 for number in range(len(train))]
    for split, ids in zip(SPLITS, (train, test), strict=True):
        expected = rows_of([entry for entry in entries if entry.photograph.split == split], width)
        assert got.ids[split].tolist() == ids
        assert vectors[split].dtype == np.float32
        np.testing.assert_array_equal(vectors[split], expected.vector.astype(dtype))
        np.testing.assert_array_equal(got.digests[split], expected.digest)
        np.testing.assert_array_equal(got.statistics[split], expected.statistics)
        assert (split in got.topk_class, split in got.topk_prob) == (labelled, labelled)
        if labelled:
            np.testing.assert_array_equal(got.topk_class[split], expected.topk_class.reshape(-1, 10))
            np.testing.assert_array_equal(got.topk_prob[split], expected.topk_prob.reshape(-1, 10))


def test_the_recipe_can_be_read_alone(file: Path) -> None:
    assert feature_file.recipe_of(file) == feature_file.read_features(file).recipe
    with opened(file) as h5:
        h5.attrs["version"] = feature_file.VERSION + 1
    with refused(StoreError, "newer than"):
        feature_file.recipe_of(file)


def test_anyone_can_read_the_file(file: Path) -> None:
    with h5py.File(file) as plain:
        assert plain["train"].shape == (7, 3) and plain["test"].shape == (4, 3)
        assert plain["train_id"].asstr()[0] == "cat.0"
        assert list(plain["label"].attrs["classes"]) == ["a", "b"]
        assert plain["label"].dtype.kind == "i" and plain["train_digest"].dtype == np.uint64
        assert plain["train"].chunks is not None


class TestJoin:
    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 999), test=st.integers(0, 5))
    def test_rows_are_matched_by_id(self, seed: int, test: int) -> None:
        entries = table(TRAIN, TEST[:test])
        shuffled = random.Random(seed).sample(entries, len(entries))
        with tempfile.TemporaryDirectory() as folder:
            files = [
                write_features(Path(folder), entries, "ResNet50", 3),
                write_features(Path(folder), shuffled, "Xception", 2),
            ]
            joining.check_joinable(files)
            for split in SPLITS:
                ids, joined = joining.join(files, split)
                rows = [entry for entry in entries if entry.photograph.split == split]
                assert ids.tolist() == [entry.photograph.id for entry in rows]
                expected = [rows_of(rows, 3, "ResNet50").vector, rows_of(rows, 2, "Xception").vector]
                np.testing.assert_array_equal(joined, np.hstack(expected))

    @pytest.mark.parametrize("block", [1, 3, 7])
    @pytest.mark.parametrize("dtype", ["float32", "float16"])
    def test_rows_of_many_blocks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, dtype: str) -> None:
        monkeypatch.setattr(feature_file, "_BLOCK_ROWS", block)
        entries = table(TRAIN, TEST)
        files = []
        for name, order in (("ResNet50", entries), ("Xception", entries[::-1])):
            cache = Cache(tmp_path, recipe(name, dtype=dtype))
            cache.write_shard(rows_of(entries, 5, name), "none")
            cache.assemble(order, ("a", "b"), [], "photographs")
            files.append(feature_file.read_features(cache.path))
        expected = [rows_of(entries[:7], 5, name).vector.astype(dtype) for name in ("ResNet50", "Xception")]
        joined = joining.join(files, "train")[1]
        assert joined.dtype == np.float32
        np.testing.assert_array_equal(joined, np.hstack(expected))

        with opened(files[1].path) as h5:  # its rows stand the other way round
            h5["train"][1, 4] = np.nan
        with refused(StoreError, r"Xception\.h5: train row 1 \(cat\.5\) is not finite"):
            joining.join(files, "train")

    def test_a_file_that_was_replaced_meanwhile(self, tmp_path: Path) -> None:
        entries = table(TRAIN, TEST)
        files = [write_features(tmp_path, entries, name) for name in ("ResNet50", "Xception")]
        write_features(tmp_path, entries[1:], "Xception")
        with refused(StoreError, r"Xception\.h5: train has the shape \(6, 3\), not \(7, 3\)"):
            joining.join(files, "train")

    def test_memory_is_that_of_the_result(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feature_file, "_BLOCK_ROWS", 50)
        entries = table([str(n) for n in range(600)], [])
        for name, order in (("ResNet50", entries), ("Xception", entries[::-1])):
            write_features(tmp_path, order, name, width=3000)
        files = [feature_file.read_features(tmp_path / f"{name}.h5") for name in ("ResNet50", "Xception")]
        assert peak(lambda: joining.join(files, "train")) < 1.25 * len(entries) * 2 * 3000 * 4

    def test_different_rows_name_the_missing_ids_and_what_to_run(self, tmp_path: Path) -> None:
        more = write_features(tmp_path, table(TRAIN, TEST), "ResNet50")
        fewer = write_features(tmp_path, table(TRAIN, TEST[:2]), "Xception")
        for files in ([more, fewer], [fewer, more]):
            with refused(StoreError, r"Xception\.h5 lacks 2 test rows: 3, 4\. Run .*--backbones .*Xception"):
                joining.check_joinable(files)
            with refused(StoreError, "lacks 2 test rows"):
                joining.join(files, "test")

    def test_many_missing_ids_are_counted(self, tmp_path: Path) -> None:
        more = write_features(tmp_path, table([str(n) for n in range(2000)], []), "ResNet50")
        fewer = write_features(tmp_path, table(["0"], []), "Xception")
        with refused(StoreError, r"lacks 1,999 train rows: 1, 2, 3, 4, 5, …\."):
            joining.check_joinable([more, fewer])

    def test_changed_photographs_are_refused(self, tmp_path: Path) -> None:
        entries = table(TRAIN, TEST)
        changed = [
            DigestedPhotograph(row.photograph, row.digest + (row.key in ("test/2", "test/3"))) for row in entries
        ]
        files = [write_features(tmp_path, entries, "ResNet50"), write_features(tmp_path, changed, "Xception")]
        with refused(StoreError, r"2 and 1 other test photographs changed between .*ResNet50\.h5 and .*Xception\.h5"):
            joining.check_joinable(files)

    def test_other_labels_are_refused(self, tmp_path: Path) -> None:
        entries = table(TRAIN, TEST)
        files = [
            write_features(tmp_path, entries, "ResNet50"),
            write_features(tmp_path, entries, "Xception", classes=("b", "a")),
        ]
        with refused(StoreError, "give different labels"):
            joining.check_joinable(files)


class TestDamage:
    """Every way in which a feature file can be wrong comes out in one line."""

    def test_no_such_file(self, file: Path) -> None:
        with refused(StoreError, r"No feature file .*Xception\.h5 \(there are: ResNet50\)\. .*--backbones Xception"):
            feature_file.read_features(file.with_name("Xception.h5"))

    def test_cut_short_anywhere(self, file: Path) -> None:
        data = file.read_bytes()
        for keep in [0, 1, 8, 100, *range(0, len(data), len(data) // 20), len(data) - 1]:
            file.write_bytes(data[:keep])
            with refused(StoreError, r"cut short or damaged.*Run .*--backbones ResNet50"):
                feature_file.read_features(file)

    @pytest.mark.parametrize("content", ["text", "other HDF5", "a folder"])
    def test_no_feature_file(self, file: Path, content: str) -> None:
        file.unlink()
        if content == "text":
            file.write_text("id,label\n1,0.5\n" * 500)
        elif content == "a folder":
            file.mkdir()
        else:
            with h5py.File(file, "w") as other:
                other["weights"] = np.zeros(3)
        for read in (feature_file.read_features, feature_file.recipe_of):
            with refused(StoreError, "not a feature file" if content == "other HDF5" else "cut short or damaged"):
                read(file)

    def test_newer_version(self, file: Path) -> None:
        with opened(file) as h5:
            h5.attrs["version"] = feature_file.VERSION + 1
        with refused(
            StoreError, rf"has version {feature_file.VERSION + 1}, newer than {feature_file.VERSION}\. Upgrade catsdogs"
        ):
            feature_file.read_features(file)

    @pytest.mark.parametrize("name", ["train_id", "label", "test_digest", "test_topk_class", "train_statistics"])
    def test_missing_part(self, file: Path, name: str) -> None:
        with opened(file) as h5:
            del h5[name]
        with refused(StoreError, rf"ResNet50\.h5 lacks {name}\. Run .*--backbones ResNet50"):
            feature_file.read_features(file)

    @pytest.mark.parametrize(
        "name",
        [f"{split}_{part}" for split in SPLITS for part in ("id", "digest", "statistics", "topk_class", "topk_prob")]
        + ["label"],
    )
    def test_parts_of_different_length(self, file: Path, name: str) -> None:
        with opened(file) as h5:
            replace_dataset(h5, name, h5[name][:-1])
        with refused(StoreError, rf"{name} has the shape \([36],.*\), not \([47],.*\)\. Run .*--backbones ResNet50"):
            feature_file.read_features(file)

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("train", np.zeros(7)),
            ("train", np.zeros((7, 3, 1))),
            ("test", np.zeros((4, 2))),
            ("train_statistics", np.zeros(7)),
            ("train_statistics", np.zeros((7, 5))),
            ("test_topk_class", np.zeros((4, 5))),
            ("train_topk_prob", np.zeros((7, 11))),
            ("train_digest", np.zeros((7, 1))),
            ("label", 0),
        ],
    )
    def test_other_shape(self, file: Path, name: str, values: object) -> None:
        with opened(file) as h5:
            replace_dataset(h5, name, values)
        with refused(StoreError, rf"{name} .*the shape.* not \(.*\)\. Run .*--backbones ResNet50"):
            feature_file.read_features(file)

    @pytest.mark.parametrize("name", ["train", "test_id", "label", "unreadable"])
    def test_group_in_the_place_of_rows(self, file: Path, name: str) -> None:
        with opened(file) as h5:
            del h5[name]
            h5.create_group(name)
        with refused(StoreError, "the shape|cut short or damaged"):
            feature_file.read_features(file)

    @pytest.mark.parametrize("label", [5000, 1000, -5])
    def test_label_that_imagenet_lacks(self, file: Path, label: int) -> None:
        with opened(file) as h5:
            h5["test_topk_class"][2, 9] = label
        with refused(StoreError, "test_topk_class names a label outside 0 to 999"):
            feature_file.read_features(file)

    def test_file_under_the_name_of_another_backbone(self, file: Path) -> None:
        renamed = file.rename(file.with_name("Xception.h5"))
        with refused(StoreError, r"Xception\.h5 holds vectors of ResNet50\. Rename it to ResNet50\.h5, or delete it"):
            feature_file.read_features(renamed)

    def test_file_that_may_not_be_read(self, file: Path) -> None:
        file.chmod(0)
        # Root may read anything, so there the child becomes nobody once it stands in the folder.
        code = """
            import os
            from pathlib import Path
            import filelock  # the library may lie where nobody may not read it
            from catsdogs.features import feature_file
            from catsdogs.errors import StoreError

            if os.getuid() == 0:
                os.setuid(65534)
            try:
                feature_file.is_gap_file(Path("ResNet50.h5"))
            except StoreError as error:
                print(error)
        """
        file.parent.chmod(0o755)
        out, err = child(code, cwd=file.parent).communicate(timeout=60)
        assert (out, err) == ("ResNet50.h5 may not be read by this user. Check its permissions.\n", "")

    def test_file_that_is_open_elsewhere(self, file: Path) -> None:
        code = "import sys, pathlib; from catsdogs.features.feature_file import read_features; read_features(pathlib.Path(sys.argv[1]))"
        with opened(file):
            err = child(code, file).communicate(timeout=60)[1]
        assert err.endswith("ResNet50.h5 is open in another program that may write to it. Close it there.\n")

    @pytest.mark.parametrize(("split", "id"), [("train", ""), ("train", "cat.1"), ("test", ""), ("test", "2")])
    def test_missing_or_repeated_id(self, file: Path, split: str, id: str) -> None:
        with opened(file) as h5:
            h5[f"{split}_id"][0] = id
        with refused(StoreError, f"{split}_id misses an id or holds one twice"):
            feature_file.read_features(file)

    @pytest.mark.parametrize("label", [-1, 2])
    def test_label_without_class(self, file: Path, label: int) -> None:
        with opened(file) as h5:
            h5["label"][3] = label
        with refused(StoreError, "label names a class"):
            feature_file.read_features(file)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_not_finite_names_the_row(self, file: Path, value: float) -> None:
        with opened(file) as h5:
            h5["train"][4, 1] = value
        features = feature_file.read_features(file)
        assert np.isfinite(features.vectors("test")).all()
        with refused(StoreError, r"train row 4 \(cat\.4\) is not finite\. Run .*--backbones ResNet50"):
            features.vectors("train")


class TestGapFiles:
    """Files of old notebooks hold `train`, `test` and `label`, in the order of Keras's directory iterator."""

    @pytest.fixture
    def dataset(self, make_dataset) -> Dataset:
        return make_dataset(cats=11, dogs=3, test=12)

    @staticmethod
    def write(path: Path, labels: np.ndarray, test: int) -> Path:
        with h5py.File(path, "w") as h5:
            h5["train"] = np.arange(len(labels) * 2, dtype=np.float32).reshape(-1, 2)
            h5["test"] = np.arange(test * 2, dtype=np.float32).reshape(-1, 2)
            h5["label"] = labels
        return path

    def test_rows_get_their_ids_from_the_data_set(self, tmp_path: Path, dataset: Dataset) -> None:
        labels = np.repeat([0, 1], [11, 3])
        path = self.write(tmp_path / "gap_ResNet50.h5", labels, 12)
        assert feature_file.is_gap_file(path)
        got = feature_file.read_features(path, dataset)
        cats = ["cat.0", "cat.1", "cat.10", *(f"cat.{n}" for n in range(2, 10))]
        assert got.ids["train"].tolist() == [*cats, "dog.0", "dog.1", "dog.2"]
        assert got.ids["test"].tolist() == ["1", "10", "11", "12", *(str(n) for n in range(2, 10))]
        assert got.labels.tolist() == labels.tolist()
        assert (got.name, got.width, got.classes) == ("gap_ResNet50", 2, ("cat", "dog"))
        assert got.vectors("test")[1].tolist() == [2, 3]

    def test_it_joins_a_file_of_ours(self, tmp_path: Path, dataset: Dataset) -> None:
        old = feature_file.read_features(self.write(tmp_path / "gap_X.h5", np.repeat([0, 1], [11, 3]), 12), dataset)
        entries = [DigestedPhotograph(photograph, 1) for photograph in dataset.photographs]
        ours = write_features(tmp_path, entries, classes=dataset.classes)
        joining.check_joinable([ours, old])
        ids, joined = joining.join([ours, old], "test")
        assert joined[ids.tolist().index("10"), -2:].tolist() == [2, 3]

    @pytest.mark.parametrize("shape", [(14,), (14, 2, 1), (14, 3)])
    def test_other_shapes(self, tmp_path: Path, dataset: Dataset, shape: tuple[int, ...]) -> None:
        path = self.write(tmp_path / "gap_X.h5", np.repeat([0, 1], [11, 3]), 12)
        with opened(path) as h5:
            replace_dataset(h5, "train", np.zeros(shape))
        with refused(StoreError, r"gap_X\.h5: train and test have the shapes .* Write it again with what wrote it"):
            feature_file.read_features(path, dataset)

    def test_wrong_data_sets(self, tmp_path: Path, dataset: Dataset) -> None:
        path = self.write(tmp_path / "gap_X.h5", np.repeat([0, 1], [11, 3]), 12)
        with refused(StoreError, r"gap_X\.h5 has no ids\. Give --data"):
            feature_file.read_features(path)
        for labels, test, problem in (
            (np.repeat([0, 1], [11, 4]), 12, "train has 15 rows, .* has 14 photographs"),
            (np.repeat([0, 1], [11, 3]), 13, "test has 13 rows, .* has 12 photographs"),
            (np.repeat([0, 1], [10, 4]), 12, "label does not fit"),
            (np.repeat([1, 0], [11, 3]), 12, "label does not fit"),
        ):
            with refused(StoreError, problem):
                feature_file.read_features(self.write(path, labels, test), dataset)


class TestWriting:
    def test_earlier_file_stays_when_writing_fails(self, file: Path) -> None:
        before = file.read_bytes()
        with pytest.raises(KeyboardInterrupt), hdf5.writing(file) as h5:
            h5["train"] = np.zeros(3)
            raise KeyboardInterrupt
        assert file.read_bytes() == before
        assert [path.name for path in file.parent.glob("*.h5*")] == ["ResNet50.h5"]

    # Whichever write fails (the superblock, a chunk, the strings, the last flush), HDF5 must not crash the process.
    def test_full_disk(self, file: Path) -> None:
        before, others = file.read_bytes(), sorted(file.parent.rglob("*"))
        code = """
            import os, resource, sys
            from pathlib import Path
            import h5py, numpy as np
            from catsdogs.files import hdf5
            from catsdogs.errors import StoreError

            path, limit = Path(sys.argv[1]), int(sys.argv[2])
            while True:
                limit = limit * 3 // 2
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                try:
                    with hdf5.writing(path) as file:
                        for part in "ab":
                            rows = file.create_dataset(f"rows_{part}", (1000, 64), chunks=(64, 64))
                            for start in range(0, 1000, 64):
                                rows[start : start + 64] = 1
                            file.create_dataset(f"id_{part}", data=["x" * 20] * 1000, dtype=h5py.string_dtype())
                            file[f"label_{part}"] = np.ones(30_000)
                        if limit > 2**21:
                            break
                except StoreError as error:
                    print(error)
        """
        target = file.with_name("Xception.h5")
        process = child(code, target, 10)
        lines = process.communicate(timeout=60)[0].splitlines()
        assert process.returncode == 0 and target.exists()
        assert len(lines) > 20
        assert set(lines) == {
            f"The disk is full: {target} was not written. Free some space and run the same command again."
        }
        target.unlink()
        assert file.read_bytes() == before and sorted(file.parent.rglob("*")) == others

    def test_full_disk_keeps_the_earlier_file_and_the_shards(self, tmp_path: Path) -> None:
        entries = table([str(n) for n in range(400)], [])
        write_features(tmp_path, entries[:2])
        before = (tmp_path / "ResNet50.h5").read_bytes()
        cache = Cache(tmp_path, recipe())
        for start in range(2, 400, 50):
            cache.write_shard(rows_of(entries[start : start + 50]), "none")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
        try:
            with refused(StoreError, r"The disk is full: .*ResNet50\.h5 was not written"):
                cache.assemble(entries, ("a", "b"), [], "photographs")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (tmp_path / "ResNet50.h5").read_bytes() == before
        assert not [path for path in tmp_path.rglob("*") if path.suffix == ".tmp"]
        again = Cache(tmp_path, recipe())
        assert all(entry in again for entry in entries)

    def test_too_little_space(self, tmp_path: Path) -> None:
        atomic.check_free_space(tmp_path, 1)
        with refused(StoreError, r"needs about [\d,]+ MiB and has [\d,]+ MiB free"):
            atomic.check_free_space(tmp_path, 2**60)

    def test_read_only_folder(self, tmp_path: Path) -> None:
        folder = tmp_path / "features"
        folder.mkdir(mode=0o555)
        # Root may write anywhere, so there the child becomes nobody once it stands in the folder.
        code = """
            import os
            from pathlib import Path
            import filelock  # the library may lie where nobody may not read it
            from catsdogs.files import hdf5, locks
            from catsdogs.errors import StoreError

            if os.getuid() == 0:
                os.setuid(65534)
            for path in ("", "deeper/still"):
                try:
                    with locks.locked(Path(path)):
                        print("locked")
                except StoreError as error:
                    print(error)
            try:
                with hdf5.writing(Path("x.h5")):
                    print("written")
            except StoreError as error:
                print(error)
        """
        process = child(code, cwd=folder)
        out, err = process.communicate(timeout=60)
        assert not err and len(out.splitlines()) == 3
        for line in out.splitlines():
            assert "cannot be written" in line and line.endswith("Check the folder and its permissions.")
        assert not list(folder.iterdir())

    def test_a_file_in_the_place_of_the_folder(self, file: Path) -> None:
        with refused(StoreError, "cannot be written"), locks.hold_folder(file / "features" / "deeper"):
            pass


class TestLock:
    HOLD = """
        import sys
        from pathlib import Path
        from catsdogs.files import locks

        with locks.locked(Path(sys.argv[1])):
            print("held", flush=True)
            sys.stdin.read()
    """

    @pytest.fixture
    def holder(self, tmp_path: Path) -> Iterator[subprocess.Popen]:
        process = child(self.HOLD, tmp_path, stdin=subprocess.PIPE)
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()
        process.communicate()

    def test_second_writer_is_refused(self, tmp_path: Path, holder: subprocess.Popen) -> None:
        with refused(LockedError, f"Another process is writing to {tmp_path}"), locks.hold_folder(tmp_path):
            raise AssertionError("both hold the lock")
        holder.communicate("")
        with locks.hold_folder(tmp_path):
            pass

    def test_a_killed_writer_lets_go(self, tmp_path: Path, holder: subprocess.Popen) -> None:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        with locks.hold_folder(tmp_path):
            pass

    def test_the_lock_ends_with_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ZeroDivisionError), locks.hold_folder(tmp_path):
            raise ZeroDivisionError
        with locks.hold_folder(tmp_path):
            pass


def test_names_lists_what_is_cached(file: Path) -> None:
    (file.parent / ".ResNet50.h5.123.tmp").touch()
    (file.parent / ".hidden.h5").touch()
    (file.parent / "outliers.csv").touch()
    write_kaggle_folder(file.parent / "data")
    assert feature_file.names(file.parent) == ["ResNet50"]
    assert not feature_file.is_gap_file(file)


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        *((f"EfficientNetB{n}", {"preprocessing": "none"}, {"preprocessing": "rescaled"}) for n in range(8)),
        *(
            (f"ConvNeXt{size}", {"preprocessing": "none"}, {"preprocessing": "none", "vector": "normalised"})
            for size in ("Tiny", "Small", "Base", "Large", "XLarge")
        ),
    ],
)
def test_files_of_networks_that_were_built_wrongly_are_refused(
    tmp_path: Path, name: str, wrong: dict[str, str], right: dict[str, str]
) -> None:
    """By every command that reads them, not only by the one that writes them."""
    entries = table(["a", "b"], ["1"])
    for said in (right, wrong):
        cache = Cache(tmp_path, recipe(name, **said))
        cache.write_shard(rows_of(entries, 3, name), "none")
        cache.assemble(entries, ["x", "y"], [], "photographs")
        path = feature_file.path_of(tmp_path, name)
        if said is right:
            row = BACKBONES[name]
            assert (row.preprocessing, row.vector) == (said["preprocessing"], said.get("vector", "pooled"))
            assert feature_file.read_features(path).recipe == recipe(name, **said)
            path.unlink()
    with opened(path) as file:
        del file.attrs["vector"]  # as there was none
    for function in (feature_file.read_features, feature_file.recipe_of):
        with refused(
            StoreError, f"{name}.h5 was made by an earlier version .* run `catsdogs features --backbones {name}`"
        ):
            function(path)

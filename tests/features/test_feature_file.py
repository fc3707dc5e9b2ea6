"""The feature file: what is written is read, and whatever is wrong with it comes out in one line."""

import random
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catsdogs.errors import StoreError
from catsdogs.features import feature_file
from catsdogs.features.cache import Cache
from catsdogs.features.feature_file import SPLITS, Unreadable
from catsdogs.networks.table import BACKBONES
from catsdogs.photographs import label_texts
from catsdogs.photographs.task import Task
from tests.conftest import refused
from tests.support.datasets import write_kaggle_folder
from tests.support.features import opened, recipe, rows_of, table, write_features
from tests.support.kinds import OF_KINDS, features_of
from tests.support.processes import child

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
        code = """
            import pathlib, sys
            from catsdogs.features import feature_file

            feature_file.read_features(pathlib.Path(sys.argv[1]))
        """
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
    for fields in (right, wrong):
        cache = Cache(tmp_path, recipe(name, **fields))
        cache.write_shard(rows_of(entries, 3, name), "none")
        cache.assemble(entries, ["x", "y"], [], "photographs")
        path = feature_file.path_of(tmp_path, name)
        if fields is right:
            row = BACKBONES[name]
            assert (row.preprocessing, row.vector) == (fields["preprocessing"], fields.get("vector", "pooled"))
            assert feature_file.read_features(path).recipe == recipe(name, **fields)
            path.unlink()
    with opened(path) as file:
        del file.attrs["vector"]  # as there was none
    for function in (feature_file.read_features, feature_file.recipe_of):
        with refused(
            StoreError, f"{name}.h5 was made by an earlier version .* run `catsdogs features --backbones {name}`"
        ):
            function(path)


@pytest.mark.parametrize("count", [501, 5005, 15_587])
def test_thousands_of_classes(tmp_path: Path, count: int) -> None:
    classes = tuple(f"individual {number:06}" for number in range(count))
    entries = table([f"p{number}" for number in range(6)], ["1"])
    cache = Cache(tmp_path, recipe())
    cache.write_shard(rows_of(entries), "none")
    asked = Task("classes", "probabilities", targets=classes)
    assert cache.assemble(entries, classes, [], "photographs", task=asked)
    found = feature_file.read_features(cache.path)
    assert (found.classes, found.task) == (classes, asked)
    assert not Cache(tmp_path, recipe()).assemble(entries, classes, [], "photographs", task=asked)


@pytest.mark.parametrize("task", OF_KINDS.values(), ids=OF_KINDS)
def test_targets_stand_beside_labels_and_say_the_same(tmp_path: Path, task: Task) -> None:
    file = features_of(tmp_path, task)
    texts = np.array(file.classes)[file.labels]
    assert file.task == task
    assert file.targets.shape == (120, len(task.names) or 1)
    for text, row in zip(texts, file.targets, strict=True):
        if task.kind == "labels":
            shown = [name for name, value in zip(task.names, row, strict=True) if value]
            assert label_texts.labels_in(text) == shown
        else:
            assert float(text) == row[0]
    with h5py.File(file.path) as written:
        assert written.attrs["version"] == 2
        np.testing.assert_array_equal(written["targets"], file.targets)
        assert list(written["targets"].attrs["names"]) == list(task.names or task.targets)
    with opened(file.path) as written:
        written["targets"][0, 0] += 1
    with refused(StoreError, "targets are not what label says"):
        feature_file.read_features(file.path)


def test_files_of_classes_are_written_as_before(tmp_path: Path) -> None:
    file = write_features(tmp_path, table(["a", "b"], ["1"]))
    assert file.targets.shape == (2, 0)
    with h5py.File(file.path) as written:
        assert written.attrs["version"] == 1
        assert not {"targets", "group"} & set(written)


def test_groups_stand_beside_labels_and_a_changed_one_is_written(tmp_path: Path) -> None:
    entries, group_of = table(["a", "b", "c"], ["1"]), {"a": "p1", "c": "p1"}
    cache = Cache(tmp_path, recipe())
    cache.write_shard(rows_of(entries), "none")
    assert cache.assemble(entries, ["x", "y"], [], "photographs", group_of=group_of)
    assert feature_file.read_features(cache.path).groups.tolist() == ["p1", "b", "p1"]  # who is in none is alone
    assert not Cache(tmp_path, recipe()).assemble(entries, ["x", "y"], [], "photographs", group_of=group_of)
    assert Cache(tmp_path, recipe()).assemble(entries, ["x", "y"], [], "photographs")
    assert feature_file.read_features(cache.path).groups.size == 0


def test_a_label_that_is_no_number_is_damage_to_a_file_of_numbers(tmp_path: Path) -> None:
    file = features_of(tmp_path, OF_KINDS["number"])
    with opened(file.path) as written:
        written["label"].attrs["classes"] = np.array(["much", *file.classes[1:]], dtype=h5py.string_dtype())
    with refused(StoreError, "The label 'much' is not a number"):
        feature_file.read_features(file.path)

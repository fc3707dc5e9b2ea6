"""What several test modules share: small real data sets, feature files with known vectors, and the shared folder."""

import contextlib
import functools
import hashlib
import importlib.util
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import h5py
import hypothesis
import numpy as np
import pytest
from PIL import Image

from catsdogs import cli
from catsdogs.demo import drawings
from catsdogs.errors import CatsdogsError
from catsdogs.features import feature_file
from catsdogs.features.cache import Cache, DigestedPhotograph, ShardRows
from catsdogs.features.feature_file import Recipe
from catsdogs.files import seal
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset, Location, Photograph, scan

Command = Callable[..., tuple[int, str, str]]

hypothesis.settings.register_profile("catsdogs", deadline=None)  # how long an example takes depends on the machine
hypothesis.settings.load_profile("catsdogs")

SHARED = Path(os.environ.get("CATSDOGS_SHARED", Path(__file__).parents[2] / "shared"))


def jpeg(seed: int, size: tuple[int, int] = (80, 60)) -> bytes:
    """A small real JPEG, different for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1] // 10, size[0] // 10, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return buffer.getvalue()


def write_kaggle_folder(root: Path, cats: int = 4, dogs: int = 4, test: int = 3) -> Path:
    """Kaggle's layout with small JPEGs: train/cat.0.jpg, train/dog.0.jpg, test/1.jpg."""
    names = [f"train/cat.{n}.jpg" for n in range(cats)] + [f"train/dog.{n}.jpg" for n in range(dogs)]
    names += [f"test/{n + 1}.jpg" for n in range(test)]
    for seed, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(seed))
    return root


def draw_data(root: Path, per_class: int, test: int, no_pet: int) -> Path:
    """The demo's data set in a few pictures, below `root`."""
    with pytest.MonkeyPatch.context() as patch:
        for name, count in {"TRAIN_PER_CLASS": per_class, "TEST_COUNT": test, "NO_PET_COUNT": no_pet}.items():
            patch.setattr(drawings, name, count)
        drawings.draw_dataset(root / "data")
    return root


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """A file to tamper with, sealed again afterwards: what is not what it seems, and still whole."""
    with h5py.File(path, "r+") as file:
        yield file
    if seal.is_sealed(path):
        seal.seal(path)


@contextlib.contextmanager
def refused(kind: type[CatsdogsError], match: str) -> Iterator[None]:
    """The block must end with this error, in one line that ends with what to do."""
    with pytest.raises(kind, match=match) as caught:
        yield
    assert "\n" not in str(caught.value) and caught.value.remedy


def table(train: Sequence[str], test: Sequence[str], root: Path = Path("photographs")) -> list[DigestedPhotograph]:
    """Entries of photographs that need not exist, labelled 0 and 1 in turn, with digests that follow from the keys."""
    rows = [Photograph(id, "train", number % 2, Location(root, id)) for number, id in enumerate(train)]
    rows += [Photograph(id, "test", -1, Location(root, id)) for id in test]
    return [DigestedPhotograph(row, images.digest(f"{row.split}/{row.id}".encode())) for row in rows]


def recipe(backbone: str = "ResNet50", **other: object) -> Recipe:
    usual = Recipe(backbone, "ab" * 32, 224, "bicubic", "caffe", "keras", "float32", "float32")
    return Recipe(**{**vars(usual), **other})  # type: ignore[arg-type]


def rows_of(
    entries: Sequence[DigestedPhotograph], width: int = 3, name: str = "ResNet50", labelled: bool = True
) -> ShardRows:
    """Rows whose numbers follow from network, key and digest alone, so that a row in the wrong place shows."""

    def drawn(entry: DigestedPhotograph) -> np.random.Generator:
        seed = hashlib.sha256(f"{name} {entry.key} {entry.digest}".encode()).digest()
        return np.random.default_rng(list(seed))

    return ShardRows(
        key=np.array([entry.key for entry in entries], object),
        digest=np.array([entry.digest for entry in entries], np.uint64),
        vector=np.array([drawn(entry).normal(size=width) for entry in entries], np.float32).reshape(-1, width),
        statistics=np.array([drawn(entry).normal(size=4) for entry in entries], np.float32).reshape(-1, 4),
        topk_class=np.array([drawn(entry).integers(0, 1000, 10) for entry in entries], np.int16) if labelled else None,
        topk_prob=np.array([drawn(entry).random(10) for entry in entries], np.float32) if labelled else None,
    )


def write_features(
    folder: Path,
    entries: Sequence[DigestedPhotograph],
    name: str = "ResNet50",
    width: int = 3,
    classes: Sequence[str] = ("a", "b"),
) -> feature_file.Features:
    """A feature file in one shard, with the numbers of `rows_of`."""
    cache = Cache(folder, recipe(name))
    cache.write_shard(rows_of(entries, width, name), "none")
    cache.assemble(entries, classes, [], "photographs")
    return feature_file.read_features(cache.path)


def need(package: str) -> None:
    """Skip the test where a package is absent."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "optional(package): a test of a package that `.[test]` does not bring")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of optional packages that are not installed."""
    marks = [(item, item.get_closest_marker("optional")) for item in items]
    left_out = [item for item, mark in marks if mark and importlib.util.find_spec(mark.args[0]) is None]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def need_bfloat16_of_keras() -> None:
    """Skip the test where oneDNN may not compute what TensorFlow, which looks at the processor, asks it for."""
    if "ONEDNN_MAX_CPU_ISA" in os.environ:
        pytest.skip("TensorFlow goes by the processor, not by ONEDNN_MAX_CPU_ISA")


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Exported networks are kept for all processes of one run of the tests, and for no other: an export takes long."""
    base = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"))
        yield


@pytest.fixture(scope="module")
def networks_are_loaded_once() -> Iterator[None]:
    """The tests of a module share what takes a second each time: engines, and networks that are loaded."""
    from catsdogs.networks.engines import selection
    from catsdogs.networks.engines.keras import KerasEngine
    from catsdogs.networks.engines.openvino import OpenVINOEngine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "create_engine", functools.cache(selection.create_engine))
        for engine in (KerasEngine, OpenVINOEngine):
            patch.setattr(engine, "load", functools.cache(engine.load))
        yield


@pytest.fixture
def kaggle_folder(tmp_path: Path) -> Path:
    return write_kaggle_folder(tmp_path / "data")


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Dataset]:
    return lambda **counts: scan(write_kaggle_folder(tmp_path / "data", **counts))


@pytest.fixture
def shared_photographs() -> Path:
    folder = SHARED / "dogs-vs-cats"
    if not folder.is_dir():
        pytest.skip(f"the shared photographs are not at {folder}; set CATSDOGS_SHARED")
    return folder


@pytest.fixture
def shared_weights() -> Path:
    folder = SHARED / "weights"
    if not folder.is_dir():
        pytest.skip(f"the shared weights are not at {folder}; set CATSDOGS_SHARED")
    return folder


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `catsdogs …` in this process: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["catsdogs", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run

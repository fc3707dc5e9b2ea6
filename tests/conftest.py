"""What all tests share: how a command is run, what must be refused, and the fixtures of data and networks."""

import contextlib
import functools
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

# Triton must not be imported after TensorFlow, see `importing_timm`, and the tests import both in any order.
sys.modules.setdefault("triton", None)  # type: ignore[arg-type]

from catsdogs import cli  # noqa: E402
from catsdogs.errors import CatsdogsError  # noqa: E402
from catsdogs.photographs.dataset import Dataset, scan  # noqa: E402
from tests.support.datasets import write_kaggle_folder  # noqa: E402

Command = Callable[..., tuple[int, str, str]]

hypothesis.settings.register_profile("catsdogs", deadline=None)  # how long an example takes depends on the machine
hypothesis.settings.load_profile("catsdogs")

SHARED = Path(os.environ.get("CATSDOGS_SHARED", Path(__file__).parents[2] / "shared"))


@contextlib.contextmanager
def refused(kind: type[CatsdogsError], match: str) -> Iterator[None]:
    """The block must end with this error, in one line that ends with what to do."""
    with pytest.raises(kind, match=match) as caught:
        yield
    assert "\n" not in str(caught.value) and caught.value.remedy


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

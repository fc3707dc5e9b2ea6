"""Networks exported for OpenVINO: once, whole, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from benchmarks import structure
from catsdogs.errors import WeightsError
from catsdogs.networks import weights
from catsdogs.networks.engines import export, selection
from catsdogs.networks.table import BACKBONES
from catsdogs.networks.weights import Weights
from tests.conftest import refused
from tests.support.engines import BATCH, LITE0, lite0


class TestExport:
    def test_a_network_is_exported_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lite0("openvino", "float32")
        monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("exported again"))
        output = lite0("openvino", "float32").submit(np.zeros((BATCH, 224, 224, 3), np.uint8))()
        assert output.vector.shape == (BATCH, LITE0.width)

    @pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
    def test_a_damaged_network_is_exported_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
    ) -> None:
        def write(_backbone: object, _weights: object, path: Path) -> None:
            made.append(path)
            for suffix in (".xml", ".bin"):
                path.with_suffix(suffix).write_bytes(b"network" * 100)

        made: list[Path] = []
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(export._Exporter, "export", lambda _, *how: write(*how))
        path = export.exported(LITE0, Weights(None, "random"))
        victim = path.with_suffix(".xml" if damage == "remove" else ".bin")
        whole = victim.read_bytes()
        if damage == "remove":
            victim.unlink()
        else:
            victim.write_bytes(whole[:-1] + (b"!" if damage == "flip" else b""))
        assert export.exported(LITE0, Weights(None, "random")) == path
        assert victim.read_bytes() == whole and len(made) == 2
        assert export.exported(LITE0, Weights(None, "other")) != path

    def test_one_process_exports_several_networks_until_they_compute(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def start(command: list[str], **how: object) -> "subprocess.Popen[str]":
            process = popen(command, **how)
            started.extend([process] if export.__name__ in command else [])
            return process

        started: list[subprocess.Popen[str]] = []
        popen = subprocess.Popen
        export.release()
        monkeypatch.setattr(subprocess, "Popen", start)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        engine = selection.create_engine("openvino", "float32", 1)
        with h5py.File(tmp_path / "DenseNet121.weights.h5", "w") as file:
            file["a"] = [1.0]
        loaded = [engine.load(LITE0, Weights(None, "random"))]
        with refused(WeightsError, "does not fit DenseNet121"):
            engine.load(BACKBONES["DenseNet121"], weights.obtain(BACKBONES["DenseNet121"], str(tmp_path)))
        loaded.append(engine.load(BACKBONES["MobileNetV2"], Weights(None, "random")))
        assert len(started) == 1 and started[0].poll() is None
        loaded[0].submit(np.zeros((1, 224, 224, 3), np.uint8))()
        assert started[0].poll() == 0
        # Killed while it exports, it is named as the reason; the next network gets another one.
        begun = export._exporters["openvino"]._started()
        begun.kill()
        begun.wait()
        engine.load(BACKBONES["DenseNet121"], Weights(None, "random"))
        assert len(started) == 3
        export.release()
        assert not list(tmp_path.rglob("*.tmp"))

    def test_it_starts_before_it_is_needed_and_stays_while_others_compute(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        export.release()
        exporter = export._exporters["openvino"]
        export.expect([LITE0])
        begun = exporter._process
        assert begun and begun.poll() is None
        with export.kept():
            export.exported(LITE0, Weights(None, "random"))
            export.release()
            assert exporter._process is begun and begun.poll() is None
        assert begun.poll() == 0
        export.expect([LITE0])
        assert exporter._process is None

    @pytest.mark.parametrize("source", export.CODE)
    def test_the_name_of_a_file_depends_on_the_code_that_makes_it(self, source: str) -> None:
        """All that the exporting modules import of `networks/`, but for what finds the row and the weights."""
        networks = Path(export.__file__).parents[1]
        named = {path for pattern in export.CODE[source] for path in networks.glob(pattern)}
        assert named
        # The row and the weights are in the name by what they hold; the rest concerns other makers' networks.
        known = {"choice.py", "hub.py", "hub_rows.py", "quiet.py", "table.py", "timm_weights.py", "trained.py"}
        known |= {"__init__.py", "engines/interface.py", "weights.py"}
        for path in named:
            for name in structure.imports(path):
                parts = name.split(".")[2:] if name.startswith("catsdogs.networks.") else []
                found = [networks.joinpath(*parts[:end]).with_suffix(".py") for end in range(len(parts), 0, -1)]
                for module in [module for module in found if module.exists()][:1]:
                    assert module in named or str(module.relative_to(networks)) in known, f"{path.name}: {name}"

    def test_weights_that_do_not_fit(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "Xception.weights.h5", "w") as file:
            file["a"] = [1.0]
        xception = BACKBONES["Xception"]
        with refused(WeightsError, r"Xception\.weights\.h5 does not fit Xception: it holds 1 arrays"):
            export.exported(xception, weights.obtain(xception, str(tmp_path)))
        cache = Path(os.environ["XDG_CACHE_HOME"]) / "catsdogs/openvino"
        assert not [path for path in cache.glob("Xception*") if path.is_dir()]

    def test_without_tensorflow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "tensorflow.py").write_text("raise ModuleNotFoundError('no tensorflow here')")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.syspath_prepend(tmp_path)
        export.release()  # so that a process is started that finds no TensorFlow
        with refused(WeightsError, r"cannot be exported for OpenVINO: .*no tensorflow here\. Install tensorflow"):
            export.exported(BACKBONES["EfficientNetB0"], Weights(None, "random"))

    def test_modules_in_the_folder_of_the_call_are_not_meant(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "keras.py").write_text("raise SystemExit('not Keras')")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        export.release()
        assert export.exported(LITE0, Weights(None, "random")).exists()

    def test_the_converter_is_told_the_version_of_tensorflow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From Python 3.13 on it cannot find that out, and no network could be exported."""
        from openvino.frontend.tensorflow import utils

        monkeypatch.setattr(utils, "get_environment_setup", utils.get_environment_setup)  # put back at the end
        monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(__version__="9.9"))
        with monkeypatch.context() as patch:
            patch.setattr(export.sys, "version_info", (3, 13))
            export._mend_converter()
        assert utils.get_environment_setup("tf") == {"tensorflow": "9.9"}

    def test_cache_that_cannot_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setattr(export, "_cache", lambda: tmp_path / "file")  # nor is there another
        with refused(WeightsError, r"EfficientNetLite0 cannot be kept in .*: .* set XDG_CACHE_HOME"):
            export.exported(LITE0, Weights(None, "random"))
        assert export.remembered("anything", lambda: True) is True

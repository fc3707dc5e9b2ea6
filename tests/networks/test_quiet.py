"""Keras imported quietly, and with the same settings whatever its `keras.json` says."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import pytest

from catsdogs.networks import build, weights
from catsdogs.networks.quiet import _send_elsewhere, keras_home, quiet_import, settle_keras
from catsdogs.networks.table import BACKBONES, SMALL


def test_what_native_code_writes_is_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_import():
        os.write(2, b"cuInit failed, though nobody asked\n")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"


@pytest.mark.parametrize("error", [ImportError, KeyboardInterrupt])
def test_it_is_shown_when_the_import_fails(capfd: pytest.CaptureFixture[str], error: type[BaseException]) -> None:
    with pytest.raises(error), quiet_import():
        os.write(2, b"libfoo.so is missing\n")
        raise error
    assert capfd.readouterr().err == "libfoo.so is missing\n"


KERAS_1 = {"image_dim_ordering": "th", "epsilon": 1e-07, "floatx": "float32", "backend": "theano"}
USUAL = {"floatx": "float32", "epsilon": 1e-07, "backend": "tensorflow", "image_data_format": "channels_last"}
FILES = {
    "Keras 1": json.dumps(KERAS_1),
    "Keras 1, later": json.dumps(KERAS_1 | {"image_data_format": "channels_first"}),
    "channels first": json.dumps(USUAL | {"image_data_format": "channels_first"}),
    "th": json.dumps(USUAL | {"image_data_format": "th"}),
    "float16": json.dumps(USUAL | {"floatx": "float16"}),
    "bfloat16": json.dumps(USUAL | {"floatx": "bfloat16"}),
    "a list": json.dumps(USUAL | {"floatx": ["float32"], "backend": []}),
    "epsilon": json.dumps(USUAL | {"epsilon": 1e-3}),
    "whole epsilon": json.dumps(USUAL | {"epsilon": 1}),
    "nnx": json.dumps(USUAL | {"nnx_enabled": True}),
    "cntk": json.dumps(USUAL | {"backend": "cntk"}),
    "numpy": json.dumps(USUAL | {"backend": "numpy"}),
    "cut short": json.dumps(USUAL)[:40],
    "empty": "",
    "no object": "[1, 2]",
    "null": "null",
    "deep": "[" * 100_000,
    "not text": "\udcff\udcfe",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    (tmp_path / "home" / "models").mkdir(parents=True)
    (tmp_path / "home" / "models" / "mine.h5").touch()
    return tmp_path / "home"


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_keras_is_kept_from_a_file_it_should_not_heed(home: Path, content: str) -> None:
    (home / "keras.json").write_bytes(content.encode(errors="surrogateescape"))
    _send_elsewhere(keras_home())
    assert keras_home() != home and not (keras_home() / "keras.json").exists()
    assert (keras_home() / "models" / "mine.h5").exists()  # with the same downloads
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    assert (home / "keras.json").read_bytes() == content.encode(errors="surrogateescape")


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_the_backend_of_the_file_is_heeded(home: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax")
    (home / "keras.json").write_text(json.dumps(USUAL | {"backend": backend}))
    _send_elsewhere(home)
    assert keras_home() == home and "KERAS_BACKEND" not in os.environ
    (home / "keras.json").write_text(json.dumps(USUAL | {"backend": backend, "floatx": "float16"}))
    _send_elsewhere(home)
    assert keras_home() != home and os.environ["KERAS_BACKEND"] == backend
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    _send_elsewhere(home)
    assert os.environ["KERAS_BACKEND"] == "torch"  # the environment's counts for more


def test_no_file_and_a_folder_in_its_place(home: Path) -> None:
    _send_elsewhere(home)
    assert keras_home() == home
    (home / "keras.json").mkdir()
    _send_elsewhere(home)
    assert keras_home() != home


def test_settings_of_a_keras_that_is_imported_already() -> None:
    expected = build.build(BACKBONES["MobileNetV3Small"], weights.Weights(None, "random")).output_shape
    try:
        keras.config.set_image_data_format("channels_first")
        keras.config.set_floatx("float16")
        keras.config.set_epsilon(1e-3)
        model = build.build(BACKBONES["MobileNetV3Small"], weights.Weights(None, "random"))
        path = build.build_path("four-conv", SMALL["four-conv"].input_size)
        assert model.output_shape == expected and path.output_shape == (None, 512)
        assert {weight.dtype for weight in (*model.weights, *path.weights)} == {"float32"}
        assert (keras.config.image_data_format(), keras.config.epsilon()) == ("channels_last", 1e-7)
    finally:
        settle_keras()


def test_features_finetune_and_exports_with_the_file_of_keras_1(home: Path, tmp_path: Path) -> None:
    """In a process that has imported nothing yet, and in those that it starts."""
    (home / "keras.json").write_text(FILES["Keras 1, later"].replace("1e-07", "1"))
    code = """
        import sys
        from pathlib import Path
        from catsdogs.networks.engines import export, selection
        from catsdogs.networks.table import BACKBONES, SMALL
        from catsdogs.networks.weights import Weights

        backbone = BACKBONES["MobileNetV3Small"]
        assert export.exported(backbone, Weights(None, "random")).exists()
        export.release()
        assert "keras" not in sys.modules
        import numpy as np

        network = selection.create_engine("keras", "float32", 1).load(backbone, Weights(None, "random"))
        print(network.submit(np.zeros((1, 224, 224, 3), np.uint8))().vector.shape)
        from catsdogs.finetuning import fit
        from catsdogs.finetuning.hyperparameters import complete_hyperparameters

        print(fit.build_model(complete_hyperparameters("four-conv"), None, 2, 0)[1].output_shape)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    ended = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["(1, 576)", "(None, 2)"]
    assert json.loads((home / "keras.json").read_text())["backend"] == "theano"

"""Keras imported quietly, and with the same settings whatever its `keras.json` says."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import pytest

from catsdogs.networks import build, quiet, weights
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


class TestCompiledCodeIsKept:
    """In the user's cache, between runs."""

    VARIABLES = ("JAX_COMPILATION_CACHE_DIR", "TF_XLA_FLAGS", "XLA_FLAGS")

    @pytest.fixture(autouse=True)
    def clean(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        for name in self.VARIABLES:
            monkeypatch.setenv(name, "")  # so that what is set is undone
            monkeypatch.delenv(name)
        for name in ("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "JAX_COMPILATION_CACHE_MAX_SIZE"):
            monkeypatch.setenv(name, "1")

    @pytest.fixture
    def cards(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Where a driver describes a T4 each; the parts that differ from machine to machine are not for the cache."""
        for number in range(2):
            (tmp_path / str(number)).mkdir()
            (tmp_path / str(number) / "information").write_text(f"Model: \t Tesla T4\nBus Location: 000{number}\n")
        monkeypatch.setattr(quiet, "_CARDS", f"{tmp_path}/?/information")
        return tmp_path / "1" / "information"

    def test_without_a_card_there_is_nothing_for_tensorflow(self, tmp_path: Path) -> None:
        quiet.keep_compiled()
        assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "cache" / "catsdogs" / "compiled" / "jax")
        assert "TF_XLA_FLAGS" not in os.environ and "XLA_FLAGS" not in os.environ

    def test_each_set_of_cards_and_release_has_its_own_folder(
        self, cards: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def folder() -> str:
            monkeypatch.delenv("TF_XLA_FLAGS", raising=False)
            quiet.keep_compiled()
            return os.environ["TF_XLA_FLAGS"].split()[0].partition("=")[2]

        first = folder()
        cards.write_text("Model: \t Tesla T4\nBus Location: 0009\n")
        assert folder() == first
        cards.write_text("Model: \t Tesla P100\n")
        assert folder() != first
        cards.write_text("Model: \t Tesla T4\n")
        monkeypatch.setattr(quiet, "_release", lambda _: "2.22.0")
        assert folder() != first

    def test_an_older_tensorflow_is_given_no_flag_it_may_not_know(
        self, cards: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(quiet, "_release", lambda _: "2.19.1")
        quiet.keep_compiled()
        assert "persistent_cache_directory" in os.environ["TF_XLA_FLAGS"] and "XLA_FLAGS" not in os.environ

    def test_what_the_user_has_set_stays(self, cards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        given = {
            "JAX_COMPILATION_CACHE_DIR": "/mine",
            "TF_XLA_FLAGS": "--tf_xla_persistent_cache_directory=/mine",
            "XLA_FLAGS": "--xla_dump_to=/there",
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        for _ in range(2):
            quiet.keep_compiled()
        assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "/mine"
        assert os.environ["TF_XLA_FLAGS"].startswith(given["TF_XLA_FLAGS"] + " --tf_xla_persistent_cache_device_types=")
        assert os.environ["TF_XLA_FLAGS"].count("--") == 2
        assert os.environ["XLA_FLAGS"].startswith("--xla_dump_to=/there --xla_gpu_per_fusion_autotune_cache_dir=")
        assert os.environ["XLA_FLAGS"].count("--") == 2

    def test_a_cache_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("a file")
        quiet.keep_compiled()
        assert not os.environ.keys() & set(self.VARIABLES)

    @pytest.mark.parametrize("backend", ["jax", "tensorflow"])
    def test_a_second_run_finds_it(self, cards: Path, tmp_path: Path, backend: str) -> None:
        """TensorFlow's compiler, too, works on the processor if it is told to."""
        pytest.importorskip(backend)
        code = """
            import os, sys
            from catsdogs.networks import quiet

            quiet._CARDS, quiet._GPUS = sys.argv[1], "CPU"
            with quiet.importing_keras():
                import keras
            import numpy as np

            model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, kernel_initializer="ones")])
            model.compile(jit_compile=True)
            print(model.predict_on_batch(np.ones((2, 8, 8, 3), np.float32)).sum())
        """
        command = [sys.executable, "-c", textwrap.dedent(code), f"{tmp_path}/?/information"]
        environment = os.environ | {"KERAS_BACKEND": backend, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        environment["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(2**30)
        kept = []
        for _ in range(2):
            ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, cwd=tmp_path)
            assert ended.stdout.split() == [str(27.0 * 2 * 36 * 4)], ended.stderr
            found = (tmp_path / "cache" / "catsdogs" / "compiled").rglob("*")
            files = {path: path.stat().st_mtime_ns for path in found if path.is_file() and path.stat().st_size > 8}
            kept.append({path: time for path, time in files.items() if not path.name.endswith("-atime")})
        assert kept[0] and kept[0] == kept[1]

"""Exporting from Python: the same step as the command's, with the run's own answers in the model."""

import logging
from pathlib import Path

import pytest

import catsdogs as cd
from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.runs import exporting
from tests.conftest import Command, refused


def test_a_run_is_exported_as_by_the_command(
    inside: Path, monkeypatch: pytest.MonkeyPatch, command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    """Building a model takes ten seconds and has its tests in tests/runs; what is given to it is looked at here."""

    def export(folder: Path, format: str, weights_dir: str | None) -> exporting.Exported:
        asked.append((folder, format, weights_dir))
        path = folder / "export" / format / "model.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"model")
        return exporting.Exported(path.parent, (path,), 1e-6, {"photograph_224": 224})

    asked: list[tuple[Path, str, str | None]] = []
    monkeypatch.setattr(exporting, "export", export)
    with caplog.at_level(logging.INFO, "catsdogs"):
        assert cd.Run("first").export("openvino") == Path("submissions/first/export/openvino")
    assert "wrote submissions/first/export/openvino/model.xml  (0.0 MB)" in caplog.text
    code, said = command("export", "--name", "first", "--format", "openvino")[:2]
    assert code == 0 and "largest difference to predict on 24 drawn photographs: 1e-06" in said
    assert asked[0] == asked[1]


def test_a_format_that_is_none_or_not_installed(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = cd.Run("first")
    with refused(UnknownNameError, "No format is called 'pickle'. Choose from: onnx, openvino, keras, tflite"):
        run.export("pickle")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with refused(UsageError, r"The format tflite needs ai_edge_litert, not installed. Run: pip install 'catsdogs\[exp"):
        run.export("tflite")
    assert not (run.folder / "export").exists()

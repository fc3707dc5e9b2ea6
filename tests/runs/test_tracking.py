"""Runs told to MLflow: a local file store, read back by MLflow's own client, and what cannot be reached."""

import http.server
import math
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catsdogs.errors import FetchError, UsageError
from catsdogs.runs import run_card, tracking
from catsdogs.scoring import curves
from catsdogs.scoring.grades import Grade
from tests.conftest import refused
from tests.support.runs import features, train

mlflow = pytest.importorskip("mlflow")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A working folder of its own, and no settings of MLflow's but the test's."""
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    yield
    mlflow.set_tracking_uri(None)


def told(tracked: tracking.Tracked) -> tuple[Any, Any]:
    """MLflow's client, and what it has of the run."""
    client = mlflow.MlflowClient(tracked.uri)
    return client, client.get_run(tracked.id)


def test_settings_scores_and_files(tmp_path: Path, folder: Path) -> None:
    tracked = tracking.track(folder)
    assert tracked.uri == (tmp_path / "mlruns").as_uri()
    client, there = told(tracked)
    run = run_card.read_run(folder)
    assert (there.info.status, there.info.run_name) == ("FINISHED", run.name)
    assert client.get_experiment(there.info.experiment_id).name == "catsdogs"
    params = there.data.params
    assert (params["head"], params["folds"], params["networks"]) == ("ridge", "4", "ResNet50")
    assert params["weights.ResNet50"] == "ab" * 32 and params["width"] == "5"
    settings = {f"head.{name}": str(value) for name, value in run.settings.items()}
    assert settings and settings.items() <= params.items()
    assert there.data.metrics["log-loss"] == run.scores[0].log_loss
    assert there.data.metrics["2.accuracy"] == run.scores[1].accuracy
    assert there.data.tags["mlflow.note.content"].startswith(str(run.scores[0]))  # which says how it was measured
    kept = {path.name: (folder / path.name).read_bytes() for path in folder.iterdir()}
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    client.download_artifacts(tracked.id, "", str(artifacts))
    assert {path.name: path.read_bytes() for path in artifacts.iterdir()} == kept


def test_a_curve_for_each_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # TensorFlow takes seconds to import, and what it writes is another test's.
    monkeypatch.setattr(curves, "write_tensorboard", lambda folder, _: (folder / "fold-1").mkdir(parents=True))
    file = features(tmp_path / "features")
    train([file], tmp_path / "submissions", head="dropout-sigmoid", folds=2)
    tracked = tracking.track(tmp_path / "submissions/run")
    heads = run_card.load_run(tmp_path / "submissions/run").heads
    client, _ = told(tracked)
    for number, head in enumerate(heads, start=1):
        points = client.get_metric_history(tracked.id, f"head-{number}.val_loss")
        history: dict[str, list[float]] = head.history_  # type: ignore[attr-defined]
        assert [point.value for point in points] == history["val_loss"]
        assert [point.step for point in points] == list(range(1, len(points) + 1))
    assert {"tensorboard", "learning_curves.png"} <= {file.path for file in client.list_artifacts(tracked.id)}


def test_mlflow_says_where_and_under_what_name(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "theirs").as_uri())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "redux")
    (folder / "notes.txt").write_text("mine")  # and nobody else's
    first, second = tracking.track(folder), tracking.track(folder)
    assert first.uri == (tmp_path / "theirs").as_uri() and first.id != second.id
    client, there = told(second)
    assert client.get_experiment(there.info.experiment_id).name == "redux"
    assert "notes.txt" not in {artifact.path for artifact in client.list_artifacts(second.id)}
    assert not (tmp_path / "mlruns").exists()


def test_a_server_that_does_not_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:secret@127.0.0.1:9")
    with pytest.raises(FetchError, match=r"MLflow at http://127\.0\.0\.1:9 did not take the run") as caught:
        tracking.track(folder)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_server_that_is_none_of_mlflow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        with refused(FetchError, "did not take the run: .*404"):
            tracking.track(folder)
        server.shutdown()


def test_a_run_that_is_told_in_part_is_marked_as_failed(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(mlflow.MlflowClient, "log_artifact", full)
    with refused(FetchError, "no space left"):
        tracking.track(folder)
    client = mlflow.MlflowClient((tmp_path / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("catsdogs")
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FAILED"]


def test_figures_that_are_not_known_are_left_out() -> None:
    score = Grade(math.nan, math.nan, 0.5, 8, "out of fold", metric="f1-macro", value=0.25, value_error=math.nan)
    assert tracking.figures([score]) == {"f1-macro": 0.25, "accuracy": 0.5, "rows": 8}


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with refused(UsageError, r"--track needs MLflow, .* pip install 'catsdogs\[mlflow\]'"):
        tracking.check_installed()

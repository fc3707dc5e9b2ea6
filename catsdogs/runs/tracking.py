"""Tracking: a finished run told to MLflow, its settings, scores, curves and files. Nothing here is used unasked.

Where it goes is MLflow's to say: the tracking URI that MLflow itself reads, MLFLOW_TRACKING_URI; without one the folder
`mlruns/` here.
"""

import contextlib
import math
import os
import re
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from catsdogs.errors import FetchError, UsageError
from catsdogs.heads import Head
from catsdogs.runs import run_card
from catsdogs.runs.run_card import Run
from catsdogs.scoring.grades import Grade

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCAL_FOLDER = "mlruns"
EXPERIMENT = "catsdogs"
_LONGEST_VALUE = 6000  # characters, of a parameter: MLflow's `MAX_PARAM_VAL_LENGTH`
_FIGURES_AT_A_TIME = 1000  # MLflow's own limit for a request
_REASON = 200  # characters of what MLflow says
# What MLflow's environment variables are where the user's environment does not say otherwise.
_ENVIRONMENT = {
    # Its own 7 tries, each after twice the time, take 246 s where nobody answers (measured with 3.17.2).
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ALLOW_FILE_STORE": "true",  # newer releases refuse folders, which need no database, unless told
    "MLFLOW_DISABLE_TELEMETRY": "true",  # a run is told to the user's server, and its makers are told nothing
}


class Tracked(NamedTuple):
    """Where MLflow has a run: the tracking URI, and its id there."""

    uri: str
    id: str


def check_installed() -> None:
    """Refuse to go on without MLflow, before the work that is to be told to it.

    Raises:
        UsageError: it is not installed.
    """
    _mlflow()


def track(run_folder: Path) -> Tracked:
    """Tell MLflow of a run: parameters, metrics, a curve for each fold, and the files of its folder.

    The experiment is that of MLFLOW_EXPERIMENT_NAME, else `catsdogs`. The run's description there says of each score
    what it was measured on.

    Raises:
        FetchError: MLflow cannot be reached, or does not take the run. What it had taken by then is marked as failed.
        TrainingError: as `run_card.load_run`.
        UsageError: MLflow is not installed.
    """
    mlflow = _mlflow()
    trained = run_card.load_run(run_folder)
    run = trained.run
    with _told_in_a_line(mlflow):
        client = mlflow.MlflowClient(_uri(mlflow))
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        known = client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else client.create_experiment(name)
        tags = {"mlflow.note.content": "\n\n".join(map(str, run.scores)), "catsdogs.command": run.command}
        id = client.create_run(experiment, run_name=run.name, tags=tags).info.run_id
        status = "FAILED"
        try:
            _log(client, id, run, trained.heads, run_folder)
            status = "FINISHED"
        finally:
            client.set_terminated(id, status)
    return Tracked(_without_password(client.tracking_uri), id)


def parameters(run: Run) -> dict[str, str]:
    """What a run was trained with, as texts that MLflow takes; `run.json` has all of it."""
    told = {
        "head": run.head,
        **{f"head.{name}": value for name, value in run.settings.items()},
        **{name: getattr(run, name) for name in ("seed", "folds", "repeats", "refit", "balance", "pseudo", "protocol")},
        "networks": "+".join(run.backbones),
        **{f"weights.{name}": recipe["weights"] for name, recipe in run.backbones.items()},
        "width": sum(run.widths),
        "train_rows": run.train_rows,
        "test_rows": run.test_rows,
        "dropped": len(run.dropped),
        "relabelled": len(run.relabelled),
        "groups": run.grouped_by,
        "kind": run.task.kind,
        "metric": run.task.metric,
        "rows": run.rows_digest,
        "source": run.source,
        "catsdogs": run.package_version,
    }
    return {_key(name): str(value)[:_LONGEST_VALUE] for name, value in told.items() if value != ""}


def figures(scores: Sequence[Grade]) -> dict[str, float]:
    """Name -> value of each score; from the second score on, with its number before it: `2.log-loss`."""
    found = dict[str, float]()
    for number, score in enumerate(scores, start=1):
        before = f"{number}." if number > 1 else ""
        named = {
            score.metric: score.value,
            f"{score.metric}.standard_error": score.value_error,
            "log-loss": score.log_loss,
            "log-loss.standard_error": score.standard_error,
            "accuracy": score.accuracy,
            "rows": score.rows,
        }
        found |= {_key(before + name): float(value) for name, value in named.items() if math.isfinite(value)}
    return found


def _log(client: "MlflowClient", id: str, run: Run, heads: Sequence[Head], run_folder: Path) -> None:
    from mlflow.entities import Metric, Param

    client.log_batch(id, params=[Param(name, value) for name, value in parameters(run).items()])
    now = int(time.time() * 1000)
    points = [Metric(name, value, now, 0) for name, value in figures(run.scores).items()]
    for number, head in enumerate(heads, start=1):
        history: Mapping[str, Sequence[float]] = getattr(head, "history_", {})
        for name, values in history.items():
            steps = enumerate(values, start=1)
            points += [Metric(_key(f"head-{number}.{name}"), float(value), now, step) for step, value in steps]
    for start in range(0, len(points), _FIGURES_AT_A_TIME):
        client.log_batch(id, metrics=points[start : start + _FIGURES_AT_A_TIME])
    for path in (run_folder / name for name in run_card.FILES):
        if path.is_dir():
            client.log_artifacts(id, str(path), path.name)
        elif path.exists():
            client.log_artifact(id, str(path))


def _key(name: str) -> str:
    """A name in the letters that MLflow takes."""
    return "".join(letter if letter.isalnum() or letter in "_-. /" else "_" for letter in name)


def _uri(mlflow: ModuleType) -> str:
    """The tracking URI that MLflow reads; without one, a local folder."""
    if mlflow.is_tracking_uri_set():
        return str(mlflow.get_tracking_uri())
    return Path(LOCAL_FOLDER).absolute().as_uri()


def _mlflow() -> ModuleType:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow
    except ImportError as error:
        problem = f"--track needs MLflow, which is not installed ({error})"
        raise UsageError(problem, "Install it: pip install 'catsdogs[mlflow]'") from None
    module: ModuleType = mlflow
    return module


@contextlib.contextmanager
def _told_in_a_line(mlflow: ModuleType) -> Iterator[None]:
    """What MLflow or the way to it raises, as an error of ours."""
    try:
        yield
    except (mlflow.exceptions.MlflowException, OSError, ImportError) as error:  # requests' errors are OSErrors
        reason = textwrap.shorten(str(error) or type(error).__name__, _REASON, placeholder=" …")
        problem = f"MLflow at {_uri(mlflow)} did not take the run: {reason}"
        # The extra has neither databases nor clients of object stores.
        remedy = "Check MLFLOW_TRACKING_URI; what it names may need all of MLflow: pip install mlflow"
        raise FetchError(_without_password(problem), remedy) from None


def _without_password(text: str) -> str:
    """A text without the user and password that stand in a URL."""
    return re.sub(r"//[^/@\s]+@", "//", text)

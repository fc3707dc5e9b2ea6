"""Networks and linear heads as one model that answers without this program: its formats, its making and its asking.

Keras builds the model on TensorFlow, in a process of its own, see `deployment_keras`. Each format is asked here by its
own runtime.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import UnknownNameError, UsageError, WeightsError
from catsdogs.networks.quiet import importing_keras
from catsdogs.networks.table import KERAS, MAKERS, Backbone, as_card
from catsdogs.networks.weights import Weights
from catsdogs.photographs.fitting import Fit

ONNX, OPENVINO, KERAS_FILE, TFLITE = "onnx", "openvino", "keras", "tflite"
# The file that each format's runtime opens; OpenVINO's has its weights beside it.
MODEL_FILES = {ONNX: "model.onnx", OPENVINO: "model.xml", KERAS_FILE: "model.keras", TFLITE: "model.tflite"}
METADATA = "catsdogs"  # the name under which a model has its metadata, a text of JSON
METADATA_FILE = f"{METADATA}.json"  # what the same text is called where a model file is a zip, too
JOB_FILE, NUMBERS_FILE = "job.json", "numbers.npz"  # what the process that builds is given
ANSWER = "\x1e"  # it begins its answer with it; all else that it writes are messages
_NEEDED = {ONNX: ("onnx", "onnxruntime", "tf2onnx"), OPENVINO: (), KERAS_FILE: (), TFLITE: ("ai_edge_litert",)}
_ROOT = Path(__file__).parents[3]

Photographs = Mapping[str, NDArray[np.uint8]]  # name of each input -> (n, side, side, 3) squares, RGB
Answers = Callable[[Photographs], NDArray[np.float32]]


class Formula(NamedTuple):
    """How vectors become answers; all numbers are of the run, none is fitted here.

    Attributes:
        kind: of the task, see `photographs.task`.
        coef, intercept: (heads, units, width) and (heads, units), of the logits.
        groups: heads number g, g + groups, g + 2 groups, ... are averaged before they are calibrated, and the groups
            after. See `run_card.TrainedRun.predict`.
        temperature, clip: of the probabilities, see `calibration.Calibration`.
        least, most: (heads, columns), of numbers, which are shares of this range; empty for other kinds.
        scores_are_shares: of numbers, whether a score from -1 to 1 is a share as it is; else a sigmoid makes it one.
    """

    kind: str
    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    groups: int
    temperature: float
    clip: float
    least: NDArray[np.float64]
    most: NDArray[np.float64]
    scores_are_shares: bool


class Part(NamedTuple):
    """A network of the model, in the order of the vectors.

    Attributes:
        dtype: that its vectors are rounded to, as feature files have them.
    """

    backbone: Backbone
    weights: Weights
    dtype: str


def check_format(format: str) -> None:
    """Refuse what is no format, or one whose packages are not installed.

    Raises:
        UnknownNameError, UsageError: so.
    """
    if format not in MODEL_FILES:
        raise UnknownNameError("format", format, list(MODEL_FILES))
    missing = [name for name in _NEEDED[format] if importlib.util.find_spec(name) is None]
    if missing:
        problem = f"The format {format} needs {', '.join(missing)}, not installed"
        raise UsageError(problem, "Run: pip install 'catsdogs[export]'")


def check_name(name: str) -> None:
    """Refuse a network whose name says that timm or KerasHub made it; no package or weights are looked for.

    Raises:
        WeightsError: so.
    """
    if name.startswith(MAKERS):
        raise _not_of_keras(name)


def check_backbone(backbone: Backbone) -> None:
    """Refuse networks that Keras alone does not build: timm's and KerasHub's, and those trained from KerasHub's.

    Raises:
        WeightsError: so.
    """
    if backbone.source != KERAS:
        raise _not_of_keras(backbone.name)


def _not_of_keras(name: str) -> WeightsError:
    return WeightsError(
        f"{name} cannot be exported, for timm and KerasHub make networks that Keras alone cannot read",
        "Train a run on networks of keras.applications, on lite, or on networks trained from these",
    )


def input_fit(backbone: Backbone) -> Fit:
    """How a photograph becomes what the model takes for a network: one square, of which the model makes the views."""
    return backbone.fit._replace(size=backbone.fit.whole, views="")


def inputs_of(backbones: Sequence[Backbone]) -> dict[str, Fit]:
    """The name of each input of the model -> the square that it takes; networks of one square share an input."""
    named: dict[str, Fit] = {}
    for fit in dict.fromkeys(map(input_fit, backbones)):
        name = f"photograph_{fit.size}"
        named[name if name not in named else f"{name}_{len(named)}"] = fit
    return named


def write(format: str, parts: Sequence[Part], formula: Formula, metadata: str, folder: Path) -> None:
    """Write a model's files into a folder; takes some ten seconds for three small networks, most of it TensorFlow's.

    Raises:
        WeightsError: the weights do not fit, TensorFlow is not installed, or the format lacks what a network does.
        OSError: the disk is full, or fails.
    """
    cards = [
        [
            as_card(part.backbone),
            part.weights.path and str(part.weights.path.absolute()),
            part.weights.sha256,
            part.dtype,
        ]
        for part in parts
    ]
    plain = {name: value for name, value in formula._asdict().items() if not isinstance(value, np.ndarray)}
    job = {"format": format, "parts": cards, "formula": plain, "metadata": metadata, "folder": str(folder.absolute())}
    # On the disk whose space was checked; whoever clears the folder after a kill clears this, too.
    with tempfile.TemporaryDirectory(prefix="making-", dir=folder.absolute()) as given:
        Path(given, JOB_FILE).write_text(json.dumps(job), encoding="utf-8")
        arrays = {name: value for name, value in formula._asdict().items() if isinstance(value, np.ndarray)}
        np.savez(Path(given, NUMBERS_FILE), allow_pickle=False, **arrays)
        _run(format, given)


def _run(format: str, given: str) -> None:
    settings = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    search = os.pathsep.join([str(_ROOT), *filter(None, sys.path)])
    ended = subprocess.run(  # noqa: S603 - our own module
        # -P: a keras.py in the current folder is not Keras
        [sys.executable, "-P", "-m", f"{__package__}.deployment_keras", given],
        env=os.environ | settings | {"PYTHONPATH": search, "TMPDIR": given},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    _, has_answered, answer = ended.stdout.rpartition(ANSWER)
    if not has_answered:
        reason = next(filter(None, reversed(answer.splitlines())), f"exit code {ended.returncode}")
        remedy = "If the disk is full, free some space; else choose another format"
        raise WeightsError(f"The model cannot be written as {format}: {reason}", remedy)
    mistake = json.loads(answer)
    if isinstance(mistake, int):
        raise OSError(mistake, os.strerror(mistake))
    if mistake:
        raise WeightsError(*mistake)


def read(format: str, path: Path) -> Answers:
    """A written model in its format's own runtime, on the processor: squares of photographs -> (n, columns) answers.

    Raises:
        UsageError: Keras cannot start.
    """
    return _READERS[format](path)


def _onnx(path: Path) -> Answers:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda photographs: session.run(None, dict(photographs))[0]


def _openvino(path: Path) -> Answers:
    import openvino

    # Without this hint OpenVINO takes bfloat16 where the processor has it.
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda photographs: compiled(dict(photographs))[0].copy()


def _keras(path: Path) -> Answers:
    with importing_keras():
        import keras

    model: Any = keras.models.load_model(path, compile=False)
    return lambda photographs: keras.ops.convert_to_numpy(model(dict(photographs), training=False))


def _tflite(path: Path) -> Answers:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path)).get_signature_runner()
    return lambda photographs: next(iter(runner(**photographs).values()))


_READERS: dict[str, Callable[[Path], Answers]] = {
    ONNX: _onnx,
    OPENVINO: _openvino,
    KERAS_FILE: _keras,
    TFLITE: _tflite,
}

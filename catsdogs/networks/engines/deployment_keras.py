"""Builds networks and linear heads as one Keras model, and writes it in a format; run as a process, on TensorFlow.

Layers and operations are Keras's own, so that `keras.models.load_model` reads the file where this program is not.
"""

import json
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from catsdogs.errors import CatsdogsError
from catsdogs.networks import build
from catsdogs.networks.engines import deployment
from catsdogs.networks.engines.deployment import Formula, Part, input_fit, inputs_of
from catsdogs.networks.engines.keras_export import Answering
from catsdogs.networks.quiet import settle_keras
from catsdogs.networks.table import Backbone, from_card
from catsdogs.networks.weights import Weights
from catsdogs.photographs.fitting import CROPS5, FLIP, Fit
from catsdogs.photographs.task import LABELS, NUMBER, ORDINAL

ANSWERS = "answers"  # the name of the model's output
_Tensor = Any


def build_model(parts: Sequence[Part], formula: Formula) -> keras.Model:
    """uint8 squares of photographs, an input for each of `deployment.inputs_of` -> (n, columns) float32 answers.

    Raises:
        WeightsError: as `build.build`.
    """
    settle_keras()
    named = inputs_of([part.backbone for part in parts])
    given = {fit: keras.Input((fit.size, fit.size, 3), dtype="uint8", name=name) for name, fit in named.items()}
    networks: dict[tuple[Backbone, Weights], keras.Model] = {}
    vectors = []
    for backbone, weights, dtype in parts:
        key = (backbone.network, weights)
        if key not in networks:
            whole = build.build(*key)
            networks[key] = keras.Model(whole.input, whole.output["vector"], name=f"network_{len(networks) + 1}")
        views = [networks[key](view) for view in _views(given[input_fit(backbone)], backbone.fit)]
        vector = keras.layers.Average()(views) if len(views) > 1 else views[0]
        if dtype != "float32":
            vector = keras.ops.cast(keras.ops.cast(vector, dtype), "float32")
        vectors.append(vector)
    joined = keras.layers.Concatenate()(vectors) if len(vectors) > 1 else vectors[0]
    answers = keras.layers.Identity(name=ANSWERS)(_answers(joined, formula))
    return keras.Model({one.name: one for one in given.values()}, answers, name="run")


def _views(square: _Tensor, fit: Fit) -> list[_Tensor]:
    """What a network sees of a square, see `resizing.squares`."""
    if fit.views == FLIP:
        return [square, keras.ops.flip(square, axis=2)]
    if fit.views == CROPS5:
        far = fit.whole - fit.size
        places = [(far // 2, far // 2), (0, 0), (0, far), (far, 0), (far, far)]
        crops = [((top, far - top), (left, far - left)) for top, left in places]
        return [keras.layers.Cropping2D(crop)(square) for crop in crops]
    return [square]


def _answers(vectors: _Tensor, formula: Formula) -> _Tensor:
    """(n, width) vectors -> (n, columns) answers, as `run_card.TrainedRun.predict` gives them."""
    heads, units, width = formula.coef.shape
    dense = keras.layers.Dense(heads * units, name="heads")
    dense.build((None, width))
    dense.set_weights([formula.coef.reshape(-1, width).T, formula.intercept.ravel()])
    logits = keras.layers.Reshape((heads, units))(dense(vectors))
    each = _of_kind(logits, formula)
    deals, columns = heads // formula.groups, each.shape[-1]
    grouped = keras.layers.Reshape((deals, formula.groups, columns))(each)
    means = keras.ops.mean(grouped, axis=1)
    return keras.ops.mean(means if formula.kind == NUMBER else _calibrated(means, formula), axis=1)


def _of_kind(logits: _Tensor, formula: Formula) -> _Tensor:
    """(n, heads, units) logits -> (n, heads, columns) answers of each head, as `heads._of_kind` makes them."""
    if formula.kind == LABELS:
        return keras.ops.sigmoid(logits)
    if formula.kind == ORDINAL:
        return _of_grades(keras.ops.sigmoid(logits), logits.shape[-1])
    if formula.kind == NUMBER:
        if formula.scores_are_shares:
            shares = keras.ops.clip(keras.layers.Rescaling(0.5, 0.5)(logits), 0.0, 1.0)
        else:
            shares = keras.ops.sigmoid(logits)
        ranges = (formula.most - formula.least).tolist()
        return keras.layers.Rescaling(ranges, formula.least.tolist())(shares)
    if logits.shape[-1] == 1:  # a sigmoid for the second of two classes
        return keras.ops.sigmoid(keras.layers.Concatenate()([keras.ops.negative(logits), logits]))
    return keras.ops.softmax(logits, axis=-1)


def _of_grades(passed: _Tensor, count: int) -> _Tensor:
    """Whether each grade but the last was passed -> the probability of each grade."""
    reached = [keras.ops.ones_like(passed[..., :1])]
    for column in range(count):
        reached.append(keras.ops.minimum(reached[-1], passed[..., column : column + 1]))
    ends = [*reached, keras.ops.zeros_like(reached[0])]
    return keras.layers.Concatenate()([keras.ops.subtract(*ends[place : place + 2]) for place in range(count + 1)])


def _calibrated(probabilities: _Tensor, formula: Formula) -> _Tensor:
    """Probabilities, tempered and clipped as `judging.apply` does; of labels each as one of two classes."""
    power, clip = 1 / formula.temperature, formula.clip
    raised = probabilities if power == 1 else keras.ops.power(probabilities, power)
    if formula.kind == LABELS:
        others = keras.ops.power(keras.ops.subtract(1.0, probabilities), power)
        tempered = raised if power == 1 else keras.ops.divide(raised, keras.ops.add(raised, others))
        return keras.ops.clip(tempered, clip, 1 - clip)
    kept = keras.ops.clip(_shares(raised), clip / (probabilities.shape[-1] - 1), 1 - clip)
    return _shares(kept)


def _shares(values: _Tensor) -> _Tensor:
    """Each row divided by its sum."""
    return keras.ops.divide(values, keras.ops.sum(values, axis=-1, keepdims=True))


def _write_keras(model: keras.Model, path: Path, metadata: str) -> None:
    model.save(path)
    _append(path, metadata)


def _write_onnx(model: keras.Model, path: Path, metadata: str) -> None:
    import onnx

    _export(model, path, "onnx")
    written = onnx.load(path)
    onnx.helper.set_model_props(written, {deployment.METADATA: metadata})
    for value in (*written.graph.input, *written.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "photographs"
    onnx.checker.check_model(written)
    onnx.save(written, path)


def _write_openvino(model: keras.Model, path: Path, metadata: str) -> None:
    import openvino

    raw = path.with_name("raw.xml")
    _export(model, raw, "openvino")
    written = openvino.Core().read_model(raw)
    written.set_rt_info(metadata, deployment.METADATA)
    openvino.serialize(written, path)
    for file in (raw, raw.with_suffix(".bin")):
        file.unlink()


def _write_tflite(model: keras.Model, path: Path, metadata: str) -> None:
    _export(model, path, "litert")
    _append(path, metadata)


def _export(model: keras.Model, path: Path, format: str) -> None:
    """Write a model with constants in place of variables, which some converters would keep as such."""
    parts = (model.trainable_variables, model.non_trainable_variables)
    numbers = [[keras.ops.convert_to_numpy(variable) for variable in part] for part in parts]
    constant = Answering(lambda given: {ANSWERS: model.stateless_call(*numbers, given, training=False)[0]})
    specs = {one.name: keras.InputSpec(shape=one.shape, dtype=one.dtype, name=one.name) for one in model.inputs}
    constant.export(str(path), format=format, verbose=False, input_signature=[specs])


def _append(path: Path, metadata: str) -> None:
    """Put the metadata into a zip; behind other bytes a new one, as TensorFlow Lite's metadata has its files."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(deployment.METADATA_FILE, metadata)


_WRITERS: Mapping[str, Callable[[keras.Model, Path, str], None]] = {
    deployment.ONNX: _write_onnx,
    deployment.OPENVINO: _write_openvino,
    deployment.KERAS_FILE: _write_keras,
    deployment.TFLITE: _write_tflite,
}


def _main(given: Path) -> None:
    """Write the model of a job, and answer with a line: null, problem and remedy, or what number an OSError has."""
    job = json.loads((given / deployment.JOB_FILE).read_text(encoding="utf-8"))
    with np.load(given / deployment.NUMBERS_FILE, allow_pickle=False) as arrays:
        formula = Formula(**job["formula"], **arrays)
    parts = [
        Part(from_card(card), Weights(file and Path(file), sha256), dtype) for card, file, sha256, dtype in job["parts"]
    ]
    path = Path(job["folder"], deployment.MODEL_FILES[job["format"]])
    mistake: tuple[str, str] | int | None = None
    try:
        _WRITERS[job["format"]](build_model(parts, formula), path, job["metadata"])
    except CatsdogsError as error:
        mistake = (error.problem, error.remedy)
    except OSError as error:
        if error.errno is None:
            raise
        mistake = error.errno
    sys.stdout.write(f"{deployment.ANSWER}{json.dumps(mistake)}\n")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))

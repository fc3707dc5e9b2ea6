"""ONNX Runtime on the exported network, all cores, fed by the same decoding threads as ours."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders import PREPROCESSING, Job, Stopwatch, feature_map_model
from catsdogs.networks.table import Backbone


def prepare(backbone: Backbone, folder: Path) -> None:
    """Convert the network, as Keras does it."""
    import keras

    # Of `preprocess_input` tf2onnx makes an input: its mean is a tensor, these are numbers.
    is_reversed, mean, divisor = PREPROCESSING[backbone.preprocessing]
    image = keras.Input((backbone.input_size, backbone.input_size, 3), dtype="uint8", name="image")
    rgb = keras.ops.cast(image, "float32")
    picture = ((rgb[..., ::-1] if is_reversed else rgb) - np.array(mean, np.float32)) / divisor
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(feature_map_model(backbone)(picture)))
    model(np.zeros((1, *image.shape[1:]), np.uint8))  # Keras exports no model that was never called
    model.export(str(_path(folder, backbone)), format="onnx", verbose=False)


def run(job: Job) -> float:
    """See `benchmarks.contenders`."""
    sessions = [(backbone.input_size, _session(_path(job.prepared, backbone))) for backbone in job.backbones]
    size = job.batch_size(int(job.variant.removeprefix("batch ")))

    def step(batch: dict[int, Any]) -> None:
        for side, session in sessions:
            session.run(None, {session.get_inputs()[0].name: batch[side]})

    step(job.zeros(size))
    watch = Stopwatch()
    with watch:
        for batch in job.batches(size):
            step(batch)
    return watch.seconds


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _path(folder: Path, backbone: Backbone) -> Path:
    return folder / f"{backbone.name}.onnx"

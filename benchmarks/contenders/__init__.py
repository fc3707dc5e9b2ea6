"""The contenders, a file each: `run(job)` returns how many seconds the photographs took once it was warm.

A contender that must convert a network beforehand has `prepare(backbone, folder)` too; that is not timed.
"""

import importlib
import importlib.util
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.pixels import squares
from catsdogs.networks import weights
from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import RANDOM_WEIGHTS, Weights
from catsdogs.photographs import images

_AHEAD = 128
# in numbers, `backbones.build.preprocess`: whether the channels are reversed, mean, divisor
PREPROCESSING = {
    "caffe": (True, (103.939, 116.779, 123.68), 1.0),
    "tf": (False, (127.5, 127.5, 127.5), 127.5),
    "lite": (False, (127.0, 127.0, 127.0), 128.0),
    "none": (False, (0.0, 0.0, 0.0), 1.0),
}


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        module: the file of this folder that does it.
        variants: its ways to do it; of several, each row keeps the one that a short trial finds fastest.
        addition: a word that makes one more variant of the fastest, tried last.
        packages: what it needs besides Keras on TensorFlow.
        role: `other`, `ours` end to end, or `alone`: our network fed from memory, the ceiling.
    """

    name: str
    title: str
    module: str
    variants: tuple[str, ...] = ("float32",)
    addition: str = ""
    packages: tuple[str, ...] = ()
    role: str = "other"

    @property
    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [name for name in self.packages if importlib.util.find_spec(name) is None]


NOTEBOOK = "notebook"
COLUMNS = (
    Column(NOTEBOOK, "the notebook's way", "notebook"),
    Column("tfdata", "Keras, tf.data", "tfdata", ("float32", "mixed_bfloat16")),
    Column("onnx", "ONNX Runtime", "onnx_runtime", ("batch 8", "batch 32"), packages=("onnxruntime", "tf2onnx")),
    Column("pytorch", "PyTorch", "pytorch", ("float32", "bfloat16"), addition="compiled", packages=("torch",)),
    Column("ours-float32", "ours, float32", "ours", packages=("openvino",), role="ours"),
    Column("ours-bfloat16", "ours, bfloat16", "ours", ("bfloat16",), packages=("openvino",), role="ours"),
    Column("alone-float32", "network alone, float32", "alone", packages=("openvino",), role="alone"),
    Column("alone-bfloat16", "network alone, bfloat16", "alone", ("bfloat16",), packages=("openvino",), role="alone"),
)
PREPARING = ("onnx", "pytorch", "ours-float32")


@dataclass(frozen=True)
class Job:
    """What a contender is to do: run these networks over every photograph under `photographs`/all."""

    variant: str
    backbones: tuple[Backbone, ...]
    photographs: Path
    prepared: Path

    @cached_property
    def paths(self) -> list[Path]:
        """The photographs, in order."""
        return sorted((self.photographs / "all").iterdir())

    @property
    def sizes(self) -> set[int]:
        """The input sizes of the networks."""
        return {backbone.input_size for backbone in self.backbones}

    def batch_size(self, preferred: int) -> int:
        """A power of two that leaves no rest, which would be compiled anew, and makes two batches or more."""
        while preferred > 1 and (len(self.paths) % preferred or len(self.paths) < 2 * preferred):
            preferred //= 2
        return preferred

    def batches(self, size: int) -> Iterator[dict[int, NDArray[np.uint8]]]:
        """Input size -> (`size`, side, side, 3), decoded and resized as ours are, on all cores, ahead of use."""

        def load(path: Path) -> dict[int, NDArray[np.uint8]]:
            return squares(path, self.sizes)

        rows: list[dict[int, NDArray[np.uint8]]] = []
        for row in images.in_parallel(load, self.paths, _AHEAD):
            rows.append(row)
            if len(rows) == size:
                yield {side: np.stack([row[side] for row in rows]) for side in self.sizes}
                rows.clear()

    def zeros(self, size: int) -> dict[int, NDArray[np.uint8]]:
        """A batch to warm up with."""
        return {side: np.zeros((size, side, side, 3), np.uint8) for side in self.sizes}


def weights_dir(backbones: tuple[Backbone, ...]) -> str | None:
    """Real weights where they lie in an installed package, else random ones: the speed is the same."""
    return None if all(row.package and weights.find_file(row, None) for row in backbones) else RANDOM_WEIGHTS


def weights_of(backbone: Backbone) -> Weights:
    """The weights of one network, see `weights_dir`."""
    return weights.obtain(backbone, weights_dir((backbone,)))


def load(column: Column) -> Any:
    """The module of a column."""
    return importlib.import_module(f"benchmarks.contenders.{column.module}")


def by_name(name: str) -> Column:
    """The column of that name."""
    return next(column for column in COLUMNS if column.name == name)


class Stopwatch:
    """Seconds within its `with` blocks, added up."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started = 0.0

    def __enter__(self) -> "Stopwatch":
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._started


def vector_model(backbone: Backbone, policy: str = "float32") -> Any:
    """Our Keras model, uint8 photographs to pooled vectors, without the classifier that the others do not run."""
    import keras

    from catsdogs.networks.build import build

    model = build(backbone, weights_of(backbone), policy)
    outputs: Mapping[str, Any] = model.output
    return keras.Model(model.input, outputs["vector"], name=backbone.name)


def feature_map_model(backbone: Backbone) -> Any:
    """The network itself, preprocessed pictures to feature map, to be converted for others."""
    import keras

    network = next(layer for layer in vector_model(backbone).layers if isinstance(layer, keras.Model))
    return keras.Model(network.input, network.outputs[0], name=backbone.name)

"""The Keras engine: CPU or GPU, on the TensorFlow, JAX and PyTorch backends."""

import contextlib
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from catsdogs.networks import devices
from catsdogs.networks.build import build
from catsdogs.networks.devices import device_count, fast_precision, on_accelerator, scope, split_batch
from catsdogs.networks.engines.interface import AUTO
from catsdogs.networks.engines.queued import CPU_BATCH_SIZE, GPU_BATCH_SIZE, QueuedEngine, QueuedNetwork
from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import Weights

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


class KerasEngine(QueuedEngine):
    """See `QueuedEngine`. Several GPUs are dealt whole batches.

    The cores of a TPU, and simulated devices, share each batch instead: its size is a multiple of their number.
    """

    name = "keras"

    def __init__(self, precision: str = AUTO, batch_size: int | None = None, choice: str = "one") -> None:
        cards = devices.cards_in_use(choice)
        self.devices = "all" if choice == "all" and not cards else "one"  # what shares a batch
        self.on_gpu = bool(cards) or on_accelerator(self.devices)
        self.backend, self.parts = keras.backend.backend(), device_count(self.devices)
        # Where Keras places models by itself, it is not told to.
        self.seats = [card.name for card in cards] if len(cards) > 1 else [None]
        devices.sum_in_float32(self.backend)
        size = batch_size or (GPU_BATCH_SIZE if self.on_gpu else CPU_BATCH_SIZE)
        super().__init__(
            fast_precision(choice) if precision == AUTO else precision,
            -(-size // self.parts) * self.parts,
            len(self.seats),
            devices.smallest_memory(cards),
        )

    def load(self, backbone: Backbone, weights: Weights) -> "KerasNetwork":
        """Build the network, and let Keras compile it where that pays, beside others and whatever follows.

        Keras's `auto` compiles on JAX, and on TensorFlow with a GPU: on a CPU, XLA is slower than plain TensorFlow.
        PyTorch runs eagerly: its compiler breaks off at nearly every layer of Keras, after minutes.
        """
        return KerasNetwork(self, backbone, weights)

    @contextlib.contextmanager
    def seat(self, copy: int) -> Any:
        """The context in which a copy of a network is built and run."""
        name = self.seats[copy]
        with scope(self.devices) if name is None else keras.device(name):
            yield

    def upload(self, pixels: NDArray[np.uint8], copy: int) -> Any:
        """See `QueuedEngine.upload`. A network's input is uint8, so Keras converts nothing on the way."""
        with self.seat(copy):
            return split_batch(pixels, self.devices) if self.parts > 1 else keras.ops.convert_to_tensor(pixels)


def exact_vectors(backbone: Backbone, weights: Weights, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The (b, width) vectors of a few photographs in float32, to compare another precision with; not compiled."""
    outputs = build(backbone, weights)(pixels, training=False)
    vectors: NDArray[np.float32] = keras.ops.convert_to_numpy(outputs["vector"])
    return vectors


class KerasNetwork(QueuedNetwork):
    """One loaded model, or a copy on each GPU. It does what `Model.predict_on_batch` does, without waiting for it."""

    _engine: KerasEngine

    def __init__(self, engine: KerasEngine, backbone: Backbone, weights: Weights) -> None:
        self._backbone, self._weights = backbone, weights
        super().__init__(engine, backbone.name, backbone.input_size)
        self._make()
        if self._models[0].jit_compile:
            self.warm_up()

    def _make(self) -> None:
        engine = self._engine
        self._models: list[keras.Model] = []
        for copy in range(engine.copies):
            with engine.seat(copy):
                model = build(self._backbone, self._weights, _POLICIES[engine.precision])
                model.compile(jit_compile="auto")
            self._models.append(model)
        self._variables: list[Any] = [None] * engine.copies

    def _warm(self) -> None:
        pixels = np.zeros((self._rows, *self._models[0].input_shape[1:]), np.uint8)
        # One after the other: what the compiler found out about the first GPU serves for the others, so that all
        # compute by the same kernels.
        for copy, model in enumerate(self._models):
            try:
                self._start(self._engine.upload(pixels, copy), copy)
            except devices.tensorflow_errors() as error:
                if devices.ran_out_of_memory(error):
                    raise
                # Its compiler, or its file of compiled code, failed: plain TensorFlow does without.
                self.note = f"{self._name} is not compiled: {(str(error).strip() or 'XLA failed').splitlines()[0]}"
                model.compile(jit_compile=False)
                model.predict_function = None

    def _start(self, batch: Any, copy: int) -> dict[str, Any]:
        """The outputs, which a GPU may still be computing."""
        model = self._models[copy]
        with self._engine.seat(copy):
            if model.predict_function is None:  # Keras makes it, and what else it needs, for the first batch
                return model.predict_on_batch(batch)
            if self._engine.backend != "jax":
                return model.predict_function([(batch,)])
            # On JAX the function takes the variables, uses their memory again, and hands them back.
            if self._variables[copy] is None:
                groups = (model.trainable_variables, model.non_trainable_variables)
                self._variables[copy] = tuple([variable.value for variable in group] for group in groups)
            outputs, self._variables[copy] = model.predict_function(self._variables[copy], iter([(batch,)]))
            return outputs

    def _fetch(self, started: dict[str, Any]) -> dict[str, NDArray]:
        return {name: keras.ops.convert_to_numpy(tensor) for name, tensor in started.items()}

    def _half(self, rows: int) -> int:
        return rows // 2 // self._engine.parts * self._engine.parts

    def _make_room(self) -> None:
        self._models, self._variables = [], []  # what failed may have taken the variables along
        self._make()

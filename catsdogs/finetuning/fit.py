"""One network trained on one set of photographs: the best epoch is kept, and a killed training resumes."""

import importlib.util
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import UsageError
from catsdogs.files import seal, storage
from catsdogs.files.atomic import check_free_space, replacing
from catsdogs.finetuning import film, optimisation
from catsdogs.finetuning.filters import layers_of
from catsdogs.finetuning.hyperparameters import EVERYTHING, LAST_BLOCK, NOTHING, Hyperparameters
from catsdogs.heads.logistic import Logistic
from catsdogs.networks import build, trained
from catsdogs.networks.architectures import twin
from catsdogs.networks.weights import Weights
from catsdogs.progress import Progress
from catsdogs.scoring import curves
from catsdogs.scoring.curves import Curves

DROPOUT_RATE = 0.5
STATE_FILE = "state.json"
BEST_FILE = "best.weights.h5"
_OVERHEAD_BYTES = 4096  # of a file of weights, for each variable; some 900 were measured
_PENALTIES = np.logspace(-3, 3, 7)  # times the variance of all columns together
_NORMALISATIONS = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)
_MERGES = ("Add", "Concatenate", "MaxPooling2D")


def build_model(
    hyperparameters: Hyperparameters, weights: Weights | None, classes: int, seed: int
) -> tuple[keras.Model, keras.Model]:
    """The extractor and the model that learns: pixels (n, size, size, 3) in 0..255 -> vectors; (n, c) probabilities.

    The two share their layers; for pairs the model is twins, see `twin.join_twins`. Layers of a pretrained network that
    are not to learn are frozen, batch normalisation always: it keeps ImageNet's statistics, as
    https://keras.io/guides/transfer_learning advises.
    """
    keras.utils.set_random_seed(seed)
    dropout = DROPOUT_RATE if "dropout" in hyperparameters.tricks else 0.0
    extractor = build.build_path(
        hyperparameters.base,
        hyperparameters.input_size,
        weights,
        dropout=dropout,
        batch_norm="batch-norm" in hyperparameters.tricks,
        initializer=optimisation.initializer(hyperparameters.tricks),
    )
    vector = extractor.output
    if not hyperparameters.from_scratch:
        _freeze(extractor.get_layer("network"), hyperparameters.unfreeze)
        if dropout:
            vector = keras.layers.Dropout(dropout)(vector)
    probabilities = keras.layers.Dense(classes, activation="softmax", dtype="float32", name="top")(vector)
    model = keras.Model(extractor.input, probabilities, name=extractor.name)
    optimisation.regularise([layer for layer in layers_of(model) if layer.trainable_weights], hyperparameters.tricks)
    # Only now: what the top has drawn decides what the twins draw.
    return extractor, twin.join_twins(extractor) if hyperparameters.learns_from_pairs else model


def initialise_top(model: keras.Model, vectors: NDArray[np.float32], labels: NDArray[np.int64], seed: int) -> None:
    """Begin with the best linear top on the vectors as they are, so that the first steps do not distort the network.

    Kumar et al. 2022, Fine-Tuning can Distort Pretrained Features, https://arxiv.org/abs/2202.10054.
    """
    head = Logistic(random_state=seed).fit(vectors, labels)
    kernel, bias = head.coef_.T, head.intercept_
    if kernel.shape[1] == 1:  # one unit's logit is the difference of two units' logits
        kernel, bias = np.hstack((-kernel / 2, kernel / 2)), np.array([-bias[0] / 2, bias[0] / 2])
    model.get_layer("top").set_weights([kernel, bias])


def train_model(
    model: keras.Model,
    hyperparameters: Hyperparameters,
    training: Any,
    validation: Any,
    loss: keras.losses.Loss,
    metrics: Mapping[str, Callable[[Any, Any], Any]],
    work: Path,
    logs: Sequence[keras.callbacks.Callback],
    progress: Progress,
) -> Curves:
    """Train, and leave the model with the weights of the epoch whose validation log loss was least.

    Args:
        training, validation: `Batches` or `Pairs` to learn from and to choose the epoch by.
        metrics: `log_loss` and `accuracy` of (labels, probabilities), each (n,).
        work: a folder for the state after each epoch; a state that is there is resumed.
        logs: what writes TensorBoard's event files, see `tensorboard_callbacks`.
        progress: advanced by a batch at a time.

    Returns:
        For each epoch its `loss`, `accuracy`, `val_loss` and `val_accuracy`, where loss is the log loss.
    """
    steps, epochs = len(training), hyperparameters.epochs
    tricks, batch_size = hyperparameters.tricks, hyperparameters.batch_size
    optimizer = optimisation.optimizer(tricks, hyperparameters.rate, batch_size, steps, epochs)
    named = [keras.metrics.MeanMetricWrapper(function, name=name) for name, function in metrics.items()]
    model.compile(optimizer, loss, weighted_metrics=named)
    optimizer.build(model.trainable_variables)  # now, so that its state can be read back
    checkpoint = _Checkpoint(work, training, optimisation.patience(tricks, epochs), progress)
    done = checkpoint.resume(model)
    progress.initial = progress.n = done * steps  # so that the time left is judged by what is done now
    if done < epochs and not checkpoint.should_stop:
        model.fit(
            training,
            validation_data=validation,
            epochs=epochs,
            initial_epoch=done,
            shuffle=False,
            verbose=0,
            callbacks=[checkpoint, *logs],
        )
    progress.update((epochs - len(checkpoint.history["loss"])) * steps)  # what early stopping saved
    with seal.lockable(work / BEST_FILE) as path:
        model.load_weights(path)
    return checkpoint.history


class _Checkpoint(keras.callbacks.Callback):
    """After each epoch: the weights and the optimizer's state, the best weights so far, the first layer's filters.

    `state.json` is written last and names the other files, so that a kill at any moment leaves one whole state.
    """

    def __init__(self, work: Path, training: Any, patience: int | None, progress: Progress) -> None:
        super().__init__()
        self._work, self._training, self._patience, self._progress = work, training, patience, progress
        self.history: dict[str, list[float]] = {name: [] for name in ("loss", "accuracy", "val_loss", "val_accuracy")}

    @property
    def should_stop(self) -> bool:
        """Whether the validation log loss has not fallen for as many epochs as early stopping waits."""
        losses = self.history["val_loss"]
        return bool(self._patience and losses and len(losses) - 1 - int(np.argmin(losses)) >= self._patience)

    def resume(self, model: keras.Model) -> int:
        """Read the state back, if there is one, and return how many epochs are done."""
        self._work.mkdir(parents=True, exist_ok=True)
        path = self._work / STATE_FILE
        if storage.exists(path):
            try:
                state = json.loads(path.read_text(encoding="utf-8"))
                self.history = state["history"]
                with seal.lockable(self._latest(self._epochs)) as path:
                    model.load_weights(path)
            except OSError as error:
                raise storage.read_error(path, error) from None
            for counter, value in zip(_counters(model), state["counters"], strict=True):
                counter.assign(value)
        else:
            self._keep_kernels(model)
        return self._epochs

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._training.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._progress.update(1)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for name, values in self.history.items():
            value = float(logs[name.replace("loss", "log_loss")])
            values.append(value if math.isfinite(value) else math.inf)
        if int(np.argmin(self.history["val_loss"])) == epoch:
            save_weights(self.model, self._work / BEST_FILE)
        save_weights(self.model, self._latest(epoch + 1))
        self._keep_kernels(self.model)
        with replacing(self._work / STATE_FILE) as temporary:
            counters = [keras.ops.convert_to_numpy(counter).tolist() for counter in _counters(self.model)]
            temporary.write_text(json.dumps({"history": self.history, "counters": counters}), encoding="utf-8")
        self._latest(epoch).unlink(missing_ok=True)
        self._progress.set_postfix_str(f"epoch {epoch + 1}, validation {self.history['val_loss'][-1]:.4f}")
        self.model.stop_training = self.model.stop_training or self.should_stop

    @property
    def _epochs(self) -> int:
        return len(self.history["loss"])

    def _latest(self, epochs: int) -> Path:
        return self._work / f"epoch-{epochs}.weights.h5"

    def _keep_kernels(self, model: keras.Model) -> None:
        """Add the first convolution's weights to what `filters` animates."""
        convolutions = (layer for layer in layers_of(model) if isinstance(layer, keras.layers.Conv2D))
        layer = next((layer for layer in convolutions if layer.kernel.shape[2] == 3), None)
        if layer and layer.trainable:
            kernel = keras.ops.convert_to_numpy(layer.kernel)
            film.append_kernel(self._work / trained.KERNELS_FILE, kernel, layer.name, self._epochs)


def last_block(network: keras.Model) -> list[Any]:
    """The layers behind the last place where branches are joined, or maps pooled, and which everything flows through.

    In ResNets that is the last residual block, in InceptionV3 the last mixed block, in VGG the last stage; in networks
    that end in plain convolutions (Xception, MobileNetV2, EfficientNet) these convolutions. A block that is one layer,
    as those of KerasHub's transformers are, joins branches within it, and is the last block.

    Raises:
        UsageError: there is no such place.
    """
    steps = network.operations
    place = {id(step): number for number, step in enumerate(steps)}
    earliest = len(steps)  # the first step whose output one of those behind reads
    for number in reversed(range(len(steps))):
        behind = steps[number + 1 :]
        # Everything flows through a step if nothing before it is read by any step behind it.
        if earliest >= number and type(steps[number]).__name__ in _MERGES and any(map(_is_trainable, behind)):
            return list(behind)
        if earliest >= number and _is_block(steps[number]):
            return list(steps[number:])
        parents = [parent.operation for node in steps[number]._inbound_nodes for parent in node.parent_nodes]
        earliest = min([earliest, *(place[id(parent)] for parent in parents if id(parent) in place)])
    raise UsageError("This network has no last block that stands alone", "Give --unfreeze all")


def _is_block(step: Any) -> bool:
    """Whether a layer is made of others that learn, and is not one of Keras's own."""
    parts = list(step._flatten_layers(include_self=False)) if isinstance(step, keras.Layer) else []
    return sum(map(_is_trainable, parts)) > 1 and not type(step).__module__.startswith("keras.")


def _is_trainable(step: Any) -> bool:
    # DINOv2's embeddings of KerasHub: what it saves of learnt places at another size is not what was learnt.
    is_loose = hasattr(step, "interpolated_position_embeddings")
    return bool(getattr(step, "weights", ())) and not isinstance(step, _NORMALISATIONS) and not is_loose


def _freeze(network: keras.Model, unfreeze: str) -> None:
    layers = {LAST_BLOCK: last_block, EVERYTHING: lambda network: network.layers, NOTHING: lambda network: []}
    learning = {id(layer) for layer in layers[unfreeze](network) if _is_trainable(layer)}
    for layer in network.layers:
        layer.trainable = id(layer) in learning
        for part in layer._flatten_layers(include_self=False):  # of a block that is one layer
            if isinstance(part, keras.layers.BatchNormalization):
                part.trainable = False


def _counters(model: keras.Model) -> list[Any]:
    """The states from which dropout masks are drawn, which Keras does not save with the weights."""
    dropouts = [layer for layer in layers_of(model) if isinstance(layer, keras.layers.Dropout) and layer.rate > 0]
    return [layer.seed_generator.state for layer in dropouts]


def save_weights(model: keras.Model, path: Path) -> None:
    """Save weights, whole or not at all; Keras insists on the ending of the name."""
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer else ())]
    # Keras lets HDF5 write the file, which crashes the process if it cannot finish on a full disk.
    check_free_space(path.parent, sum(4 * math.prod(variable.shape) + _OVERHEAD_BYTES for variable in variables))
    with replacing(path) as temporary:
        named = temporary.with_name(f"{temporary.name}.weights.h5")
        try:
            _save_as(model, named)
            named.rename(temporary)
        finally:
            named.unlink(missing_ok=True)


def aligned(extractor: keras.Model, vectors: NDArray[np.float32], reference: NDArray[np.float32]) -> keras.Model:
    """The extractor with a linear map from its `vectors`, (n, width), to the `reference` of the same photographs.

    The map is a ridge regression of the difference, so that where little is known the vectors stay as they are. Its
    penalty is the best by leave-one-out.
    """
    from sklearn.linear_model import RidgeCV

    ridge = RidgeCV(alphas=_PENALTIES * float(vectors.var(axis=0).sum())).fit(vectors, reference - vectors)
    mapped = build.with_language(extractor)
    mapped.layers[-1].set_weights([np.eye(len(ridge.coef_)) + ridge.coef_.T, ridge.intercept_])
    return mapped


def tensorboard_callbacks(model: keras.Model, folder: Path, in_full: bool) -> list[keras.callbacks.Callback]:
    """Callbacks that write event files: scalars, and if `in_full` the graph and histograms of the weights that learn.

    Keras writes them through TensorFlow and the package tensorboard; without these there are none. Its own histograms
    take thirty times a layer's memory, gigabytes for a dense layer, and TensorBoard cannot draw the graphs that Keras 3
    writes: these two are ours.
    """
    if not all(importlib.util.find_spec(package) for package in ("tensorboard", "tensorflow")):
        return []
    scalars = keras.callbacks.TensorBoard(str(folder), write_graph=False)

    def write_graph(logs: Any) -> None:
        if keras.backend.backend() == "tensorflow":
            curves.write_graph(folder / "train", model, [tuple(entry.shape) for entry in model.inputs])

    def write_histograms(epoch: int, logs: Any) -> None:
        weights = {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights}
        curves.write_histograms(folder / "train", epoch, weights)

    ours = keras.callbacks.LambdaCallback(on_train_begin=write_graph, on_epoch_end=write_histograms)
    return [scalars, ours] if in_full else [scalars]


def _save_as(model: keras.Model, path: Path) -> None:
    try:
        model.save_weights(path)
    except OSError as error:
        if error.errno not in storage.WITHOUT_LOCKS:
            raise
        with tempfile.TemporaryDirectory(prefix="catsdogs-") as folder:  # where HDF5 can lock what it writes
            elsewhere = Path(folder) / path.name
            model.save_weights(elsewhere)
            shutil.copyfile(elsewhere, path)

"""One network trained on one set of photographs: the best epoch kept, gone on with where a kill left it."""

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
from catsdogs.finetuning import optimisation
from catsdogs.finetuning.plans import EVERYTHING, LAST_BLOCK, NOTHING, Hyperparameters
from catsdogs.heads.logistic import Logistic
from catsdogs.networks import build, trained
from catsdogs.networks.weights import Weights
from catsdogs.progress import Progress
from catsdogs.scoring import curves

DROPOUT = 0.5
STATE_FILE = "state.json"
BEST = "best.weights.h5"
_COLOURS = 3
_OVERHEAD_BYTES = 4096  # of a file of weights, for each variable; some 900 were measured
_PENALTIES = np.logspace(-3, 3, 7)  # times the variance of all columns together
_NORMALISATIONS = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)
_MERGES = ("Add", "Concatenate", "MaxPooling2D")
History = dict[str, list[float]]


def make(plan: Hyperparameters, weights: Weights | None, classes: int, seed: int) -> tuple[keras.Model, keras.Model]:
    """The path to the vector, and the model that learns: pixels (n, size, size, 3) in 0..255 -> probabilities (n, c).

    The two share their layers. Those of a pretrained network that are not to learn are frozen, batch normalisation
    always: it keeps ImageNet's statistics, as https://keras.io/guides/transfer_learning advises.
    """
    keras.utils.set_random_seed(seed)
    dropout = DROPOUT if "dropout" in plan.tricks else 0.0
    path = build.build_path(
        plan.base,
        plan.input_size,
        weights,
        dropout=dropout,
        batch_norm="batch-norm" in plan.tricks,
        initializer=optimisation.initializer(plan.tricks),
    )
    vector = path.output
    if not plan.from_scratch:
        _freeze(path.get_layer("network"), plan.unfreeze)
        if dropout:
            vector = keras.layers.Dropout(dropout)(vector)
    probabilities = keras.layers.Dense(classes, activation="softmax", dtype="float32", name="top")(vector)
    model = keras.Model(path.input, probabilities, name=plan.base)
    optimisation.regularise([layer for layer in _layers(model) if layer.trainable_weights], plan.tricks)
    return path, model


def start_top(model: keras.Model, vectors: NDArray[np.float32], labels: NDArray[np.int64], seed: int) -> None:
    """Begin with the best linear top on the vectors as they are, so that the first steps do not spoil the network.

    Kumar et al. 2022, Fine-Tuning can Distort Pretrained Features, https://arxiv.org/abs/2202.10054.
    """
    head = Logistic(random_state=seed).fit(vectors, labels)
    kernel, bias = head.coef_.T, head.intercept_
    if kernel.shape[1] == 1:  # one unit's logit is the difference of two units' logits
        kernel, bias = np.hstack((-kernel / 2, kernel / 2)), np.array([-bias[0] / 2, bias[0] / 2])
    model.get_layer("top").set_weights([kernel, bias])


def fit(
    model: keras.Model,
    plan: Hyperparameters,
    learn: Any,
    watch: Any,
    loss: keras.losses.Loss,
    metrics: Mapping[str, Callable[[Any, Any], Any]],
    work: Path,
    logs: Sequence[keras.callbacks.Callback],
    progress: Progress,
) -> History:
    """Train, and leave the model with the weights of the epoch whose validation log loss was least.

    Args:
        learn, watch: `Batches` or `Pairs` to learn from and to choose the epoch by.
        metrics: `log_loss` and `accuracy` of (labels, probabilities), each (n,).
        work: a folder for the state after each epoch; what is found there is gone on with.
        logs: what writes TensorBoard's event files, see `tensorboard`.
        progress: advanced by a batch at a time.

    Returns:
        A figure for each epoch of `loss`, `accuracy`, `val_loss` and `val_accuracy`, where loss is the log loss.
    """
    steps = len(learn)
    optimizer = optimisation.optimizer(plan.tricks, plan.rate, plan.batch_size, steps, plan.epochs)
    named = [keras.metrics.MeanMetricWrapper(function, name=name) for name, function in metrics.items()]
    model.compile(optimizer, loss, weighted_metrics=named)
    optimizer.build(model.trainable_variables)  # now, so that its state can be read back
    keeper = _Keeper(work, learn, steps, optimisation.patience(plan.tricks, plan.epochs), progress)
    done = keeper.take_up(model)
    progress.initial = progress.n = done * steps  # so that the time left is judged by what is done now
    if done < plan.epochs and not keeper.is_enough:
        model.fit(
            learn,
            validation_data=watch,
            epochs=plan.epochs,
            initial_epoch=done,
            shuffle=False,
            verbose=0,
            callbacks=[keeper, *logs],
        )
    progress.update((plan.epochs - len(keeper.history["loss"])) * steps)  # what early stopping saved
    with seal.lockable(work / BEST) as path:
        model.load_weights(path)
    return keeper.history


class _Keeper(keras.callbacks.Callback):
    """After each epoch: the weights and the optimizer's state, the best weights so far, the first layer's filters.

    `state.json` is written last and names the other files, so a kill at any moment leaves one whole state.
    """

    def __init__(self, work: Path, learn: Any, steps: int, patience: int | None, progress: Progress) -> None:
        super().__init__()
        self._work, self._learn, self._steps, self._patience, self._progress = work, learn, steps, patience, progress
        self.history: History = {name: [] for name in ("loss", "accuracy", "val_loss", "val_accuracy")}

    @property
    def is_enough(self) -> bool:
        """Whether the validation log loss has not fallen for as many epochs as early stopping waits."""
        losses = self.history["val_loss"]
        return bool(self._patience and losses and len(losses) - 1 - int(np.argmin(losses)) >= self._patience)

    def take_up(self, model: keras.Model) -> int:
        """Read the state back, if there is one; how many epochs it has behind it."""
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
        self._learn.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._progress.update(1)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        figures = {
            name.replace("log_loss", "loss"): float(logs[name]) for name in logs if name not in ("loss", "val_loss")
        }
        for name, values in self.history.items():
            values.append(figures[name] if math.isfinite(figures[name]) else math.inf)
        if int(np.argmin(self.history["val_loss"])) == epoch:
            _save(self.model, self._work / BEST)
        _save(self.model, self._latest(epoch + 1))
        self._keep_kernels(self.model)
        with replacing(self._work / STATE_FILE) as temporary:
            counters = [keras.ops.convert_to_numpy(counter).tolist() for counter in _counters(self.model)]
            temporary.write_text(json.dumps({"history": self.history, "counters": counters}), encoding="utf-8")
        self._latest(epoch).unlink(missing_ok=True)
        self._progress.set_postfix_str(f"epoch {epoch + 1}, validation {self.history['val_loss'][-1]:.4f}")
        self.model.stop_training = self.model.stop_training or self.is_enough

    @property
    def _epochs(self) -> int:
        return len(self.history["loss"])

    def _latest(self, epochs: int) -> Path:
        return self._work / f"epoch-{epochs}.weights.h5"

    def _keep_kernels(self, model: keras.Model) -> None:
        """Add the first convolution's weights to what `filters` animates."""
        convolutions = (layer for layer in _layers(model) if isinstance(layer, keras.layers.Conv2D))
        layer = next((layer for layer in convolutions if layer.kernel.shape[2] == _COLOURS), None)
        if layer is None or not layer.trainable:
            return
        path, kernel = self._work / trained.KERNELS_FILE, keras.ops.convert_to_numpy(layer.kernel)[np.newaxis]
        if self._epochs:
            with np.load(path) as kept:
                kernel = np.concatenate((kept["kernels"][: self._epochs], kernel))
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, layer=layer.name, epochs=np.arange(len(kernel)), kernels=kernel)


def last_block(network: keras.Model) -> list[Any]:
    """The layers behind the last place where branches have been joined, or maps pooled, and all flows through.

    In ResNets that is the last residual block, in InceptionV3 the last mixed block, in VGG the last stage; in networks
    that end in plain convolutions (Xception, MobileNetV2, EfficientNet) these convolutions.

    Raises:
        UsageError: there is no such place.
    """
    steps = network.operations
    place = {id(step): number for number, step in enumerate(steps)}
    reach = list(range(len(steps)))  # the last step that reads what each gives
    for number, step in enumerate(steps):
        for node in step._inbound_nodes:
            for parent in node.parent_nodes:
                before = place.get(id(parent.operation), number)
                reach[before] = max(reach[before], number)
    furthest, joints = 0, []
    for number, step in enumerate(steps):
        # Everything flows through a step if nothing before it is read by any step behind it.
        if furthest <= number and type(step).__name__ in _MERGES:
            joints.append(number)
        furthest = max(furthest, reach[number])
    for joint in reversed(joints):
        if any(map(_learns, steps[joint + 1 :])):
            return list(steps[joint + 1 :])
    raise UsageError("This network has no last block that stands alone", "Give --unfreeze all")


def _learns(step: Any) -> bool:
    return bool(getattr(step, "weights", ())) and not isinstance(step, _NORMALISATIONS)


def _freeze(network: keras.Model, unfreeze: str) -> None:
    free = {LAST_BLOCK: last_block, EVERYTHING: lambda network: network.layers, NOTHING: lambda network: []}
    learning = {id(layer) for layer in free[unfreeze](network) if _learns(layer)}
    for layer in network.layers:
        layer.trainable = id(layer) in learning


def _layers(model: keras.Model) -> Sequence[keras.layers.Layer]:
    """All layers, those of inner models too."""
    return [layer for layer in model._flatten_layers(include_self=False) if not isinstance(layer, keras.Model)]


def _counters(model: keras.Model) -> list[Any]:
    """The state of what draws dropout masks, which Keras does not save with the weights."""
    dropouts = [layer for layer in _layers(model) if isinstance(layer, keras.layers.Dropout) and layer.rate > 0]
    return [layer.seed_generator.state for layer in dropouts]


def _save(model: keras.Model, path: Path) -> None:
    """Save weights, whole or not at all; Keras insists on the ending of the name."""
    optimizer = getattr(model, "optimizer", None)
    kept = [*model.variables, *(optimizer.variables if optimizer else ())]
    # Keras lets HDF5 write the file, which crashes the process if it cannot finish on a full disk.
    check_free_space(path.parent, sum(4 * math.prod(variable.shape) + _OVERHEAD_BYTES for variable in kept))
    with replacing(path) as temporary:
        named = temporary.with_name(f"{temporary.name}.weights.h5")
        try:
            _save_as(model, named)
            named.rename(temporary)
        finally:
            named.unlink(missing_ok=True)


def translated(path: keras.Model, said: NDArray[np.float32], wanted: NDArray[np.float32]) -> keras.Model:
    """A path whose vectors `said`, (n, width), are mapped linearly to those `wanted` of the same photographs.

    Ridge regression of the difference, so that where little is known the vectors stay as they are; its penalty is the
    best by leave-one-out.
    """
    from sklearn.linear_model import RidgeCV

    found = RidgeCV(alphas=_PENALTIES * float(said.var(axis=0).sum())).fit(said, wanted - said)
    wider = build.with_language(path)
    layer = wider.layers[-1]
    layer.set_weights([np.eye(len(found.coef_)) + found.coef_.T, found.intercept_])
    return wider


def save_path(path: keras.Model, target: Path) -> None:
    """Save a path's weights under their name, whole or not at all."""
    _save(path, target)


def clear(work: Path) -> None:
    """Remove the state of a training that is over."""
    shutil.rmtree(work, ignore_errors=True)


def tensorboard(folder: Path, in_full: bool) -> list[keras.callbacks.Callback]:
    """Callbacks that write event files: scalars, and in full also the graph and histograms of what learns.

    Keras writes them through TensorFlow and the package tensorboard; without these there are none.
    """
    if not all(importlib.util.find_spec(package) for package in ("tensorboard", "tensorflow")):
        return []
    scalars = keras.callbacks.TensorBoard(str(folder), write_graph=False)
    return [scalars, _Inside(folder / "train")] if in_full else [scalars]


class _Inside(keras.callbacks.Callback):
    """The graph, and histograms of the weights that learn, an epoch each.

    Keras's own histograms take thirty times a layer's memory, gigabytes for a dense layer, and TensorBoard cannot draw
    the graphs that Keras 3 writes.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def on_train_begin(self, logs: Any = None) -> None:
        if keras.backend.backend() == "tensorflow":
            curves.write_graph(self._folder, self.model, [tuple(entry.shape) for entry in self.model.inputs])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        weights = {weight.path: keras.ops.convert_to_numpy(weight) for weight in self.model.trainable_weights}
        curves.write_histograms(self._folder, epoch, weights)


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

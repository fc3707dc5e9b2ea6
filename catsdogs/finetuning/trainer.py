"""Trains the members of a network: one on everything, and one for each fold on all rows but those it holds out."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from catsdogs.files import storage
from catsdogs.files.atomic import replacing
from catsdogs.finetuning import fit
from catsdogs.finetuning.augmentation import Augmentation
from catsdogs.finetuning.hyperparameters import Hyperparameters
from catsdogs.finetuning.lesson import Lesson
from catsdogs.finetuning.objectives import Classification, Predictions, SameClass
from catsdogs.finetuning.stream import Batches, SquarePhotographs
from catsdogs.networks import devices, trained
from catsdogs.networks.trained import ALL
from catsdogs.networks.weights import Weights
from catsdogs.progress import Progress
from catsdogs.scoring.curves import TENSORBOARD_FOLDER, Curves

VALIDATION_SHARE = 0.1  # of what a member learns from: it chooses the epoch, so it measures nothing
# (n_train, width) vectors of the network before it learns, and of the member on everything, by their first names.
_START_FILE, _REFERENCE_FILE = "start.npy", "language.npy"


class Trainer:
    """Trains one member after the other in the folder `work`."""

    def __init__(
        self,
        lesson: Lesson,
        hyperparameters: Hyperparameters,
        weights: Weights | None,
        work: Path,
        device_choice: str,
        soft_labels: NDArray[np.float64] | None = None,
    ) -> None:
        rows = lesson.train + lesson.test
        labels = np.concatenate((lesson.labels, lesson.test_labels))
        if soft_labels is not None:  # the test rows are never learnt from
            soft_labels = np.vstack((soft_labels, np.zeros((len(lesson.test), soft_labels.shape[1]))))
        objective = SameClass if hyperparameters.learns_from_pairs else Classification
        self._objective = objective(hyperparameters, labels, len(lesson.dataset.classes), soft_labels)
        self._lesson, self._weights, self._work = lesson, weights, work
        self._hyperparameters, self._device_choice = hyperparameters, device_choice
        size = hyperparameters.input_size
        self._augmentation = Augmentation(hyperparameters.tricks, size, hyperparameters.seed)
        self._before_augmentation = SquarePhotographs(lesson.dataset, rows, self._augmentation.side)
        self._plain = SquarePhotographs(lesson.dataset, rows, size)
        self._train_rows = np.arange(len(lesson.train))
        self._test_rows = np.arange(len(lesson.train), len(rows))

    def train_all(self) -> tuple[dict[str, Curves], dict[str, Predictions]]:
        """Train every member that is not finished yet, the one on everything first, and keep their networks.

        Returns:
            Of each member, in order, its history, see `fit.train_model`, and its predictions: that of a fold for that
            fold's rows, the member `all` for the test rows.
        """
        by_fold = self._lesson.rows_by_fold()
        held_out = {ALL: self._test_rows} | {f"fold-{fold}": rows for fold, rows in by_fold.items()}
        histories, predictions = {}, {}
        for number, (member, rows) in enumerate(held_out.items()):
            progress = f"{number + 1} of {len(held_out)}"
            histories[member], predictions[member] = self.train(member, progress, number, rows, keep=True)
        return histories, predictions

    def count_validation(self) -> int:
        """How many rows choose the epoch of the member `all`."""
        return len(self._split(self._train_rows)[1])

    def train(
        self, member: str, place: str, number: int, held_out: NDArray[np.intp], keep: bool = False
    ) -> tuple[Curves, Predictions]:
        """Train one member, unless it is done, on all train rows but those held out, and predict these.

        `place` says in words, for the progress bar, which of all members it is; `number` is added to the seed; only the
        network of a member to `keep` outlives the call.
        """
        done = self._work / f"{member}.npz"
        if storage.exists(done):
            try:
                with np.load(done) as kept:
                    return json.loads(str(kept["history"])), Predictions(kept["probabilities"], kept["right"])
            except OSError as error:
                raise storage.read_error(done, error) from None
        rows = np.setdiff1d(self._train_rows, held_out)
        with devices.scope(self._device_choice):
            extractor, model, history = self._fit(member, place, number, rows, keep)
            predictions = Predictions(np.empty((0, 0)), np.empty(0, np.int64))
            if len(held_out):
                predictions = self._objective.predict(model, self._plain, held_out)
            if keep:
                self._keep(member, extractor, rows)
        with replacing(done) as temporary, temporary.open("wb") as file:
            probabilities, labels = predictions
            np.savez(file, history=json.dumps(history), probabilities=probabilities, right=labels)
        shutil.rmtree(self._state(member), ignore_errors=True)
        keras.utils.clear_session()
        return history, predictions

    def _fit(
        self, member: str, place: str, number: int, rows: NDArray[np.intp], keep: bool
    ) -> tuple[keras.Model, keras.Model, Curves]:
        """The extractor, the model around it, and its history, trained on these rows."""
        training_rows, validation_rows = self._split(rows)
        settings, state = self._hyperparameters, self._state(member)
        seed = settings.seed + number
        extractor, model = fit.build_model(settings, self._weights, len(self._lesson.dataset.classes), seed)
        if not settings.from_scratch and not (state / fit.STATE_FILE).exists():
            vectors = self._vectors(_START_FILE, extractor)[training_rows]
            fit.initialise_top(model, vectors, self._lesson.labels[training_rows], settings.seed)
        batches = self._objective.batches
        training = batches(self._before_augmentation, training_rows, seed, self._augmentation)
        validation = batches(self._plain, validation_rows, seed)
        folder = self._work / TENSORBOARD_FOLDER / member
        logs = fit.tensorboard_callbacks(model, folder, in_full=member == ALL) if keep else []
        with Progress(len(training) * settings.epochs, f"{member} ({place})", "batch") as progress:
            loss, metrics = self._objective.loss(), self._objective.metrics()
            history = fit.train_model(model, settings, training, validation, loss, metrics, state, logs, progress)
        return extractor, model, history

    def _keep(self, member: str, extractor: keras.Model, rows: NDArray[np.intp]) -> None:
        """Save a member's extractor; that of a fold with a linear map to the vectors of the member on everything.

        Networks that were trained apart give the same photograph other vectors, and a head needs those of all folds in
        one coordinate system. The map is fitted on the photographs that both have learnt from, without their labels.
        """
        if member == ALL:
            kernels = self._state(ALL) / trained.KERNELS_FILE
            if kernels.exists():
                kernels.replace(self._work / trained.KERNELS_FILE)
            if self._lesson.folds.any():
                self._vectors(_REFERENCE_FILE, extractor)
        else:
            vectors = self._predict_vectors(extractor, rows)
            extractor = fit.aligned(extractor, vectors, self._vectors(_REFERENCE_FILE)[rows])
        fit.save_weights(extractor, trained.weights_path(self._work, member))

    def _state(self, member: str) -> Path:
        """The folder of a member's state after each epoch."""
        return self._work / f".{member}"

    def _split(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The rows to learn from and those that choose the epoch, a share of each class but never all its pictures."""
        random = np.random.default_rng(self._hyperparameters.seed)
        pictures = self._lesson.pictures
        validation = np.empty(0, np.int64)
        for label in range(len(self._lesson.dataset.classes)):
            of_class = pictures[random.permutation(rows[self._lesson.labels[rows] == label])]
            _, first, counts = np.unique(of_class, return_index=True, return_counts=True)
            order = np.argsort(first)
            enough = 1 + np.searchsorted(np.cumsum(counts[order]), max(1, round(VALIDATION_SHARE * len(of_class))))
            validation = np.union1d(validation, of_class[first[order]][: min(enough, len(order) - 1)])
        is_validation = np.isin(pictures[rows], validation)
        return rows[~is_validation], rows[is_validation]

    def _vectors(self, name: str, extractor: keras.Model | None = None) -> NDArray[np.float32]:
        """(n_train, width) vectors kept in the file `name`, computed by the extractor where there is none."""
        path = self._work / name
        if extractor is not None and not path.exists():
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.save(file, self._predict_vectors(extractor, self._train_rows))
        vectors: NDArray[np.float32] = np.load(path)
        return vectors

    def _predict_vectors(self, extractor: keras.Model, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        no_labels = np.zeros((len(rows), 1), np.float32)
        batches = Batches(self._plain.of(rows), no_labels, self._hyperparameters.batch_size)
        vectors: NDArray[np.float32] = extractor.predict(batches, verbose=0)[: len(rows)]
        return vectors


def clear_progress(folder: Path, members: Iterable[str]) -> None:
    """Remove what only an unfinished training needs."""
    for name in (_START_FILE, _REFERENCE_FILE, *(f"{member}.npz" for member in members)):
        (folder / name).unlink(missing_ok=True)

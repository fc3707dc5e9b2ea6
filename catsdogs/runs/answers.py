"""A run that answers for one photograph at once, and says why: its networks' labels, the nearest photographs."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.cleaning.votes import are_plain_pets, collect_votes, expected_labels
from catsdogs.errors import CatsdogsError, StoreError
from catsdogs.features import feature_file, joining, neighbours
from catsdogs.features.feature_file import Features
from catsdogs.files.cores import usable
from catsdogs.networks import imagenet
from catsdogs.networks.engines.interface import Output
from catsdogs.photographs import images
from catsdogs.photographs.task import NUMBER
from catsdogs.runs import run_card
from catsdogs.runs.ensemble import load_members, look, networks_of
from catsdogs.runs.explaining import Explainer, Why
from catsdogs.runs.run_card import Run

NEIGHBOURS = 5
LABELS = 5


class Neighbour(NamedTuple):
    """A training photograph with the label it came with; `similarity` is a cosine, 1 for the same picture."""

    id: str
    label: str
    similarity: float


@dataclass(frozen=True)
class Answer:
    """What a run says of a photograph.

    Attributes:
        width, height: pixels of the upright picture.
        kind: of the run's task.
        predictions: class -> probability, as in the run's submission; or label -> probability, or name -> number.
        decided: the labels that are named, the grade, or the likeliest class; empty for numbers.
        labels: network -> its best ImageNet labels with their probabilities; networks without classifier are absent.
        votes: how many networks see among their ten best labels neither a pet nor a class of the run, of the `networks`
            that have labels.
        no_pet: more than half of these networks see none, and whatever is of the run's classes should show one.
        neighbours: nearest first, by the cosine of the vectors, averaged over the networks.
    """

    width: int
    height: int
    kind: str
    predictions: dict[str, float]
    decided: list[str]
    labels: dict[str, list[tuple[str, float]]]
    votes: int
    networks: int
    no_pet: bool
    neighbours: list[Neighbour]


class Predictor:
    """A run, its networks and its training photographs, all in memory; any number of threads may ask it at once.

    Attributes:
        run: what `run.json` says of it.
        no_neighbours: why answers come without neighbours; empty if they have them.
        ranges: name of a number -> the least and the greatest of the training photographs; empty for other kinds, and
            without neighbours.
    """

    def __init__(self, run_folder: Path, features: Path | None, weights_dir: str | None) -> None:
        """Take up a run with its networks, and its training photographs from the folder of feature files.

        Takes some three seconds, and a few more for each network that OpenVINO has never run here. Feature files
        that are missing or do not fit the run leave answers without neighbours.

        Raises:
            CatsdogsError: no such run, or networks that are not those the run was trained on.
        """
        self._trained = run_card.load_run(run_folder)
        self.run, self.no_neighbours = self._trained.run, ""
        self.ranges: dict[str, tuple[float, float]] = {}
        self._networks = networks_of(run_folder, self.run, weights_dir)
        self._members = load_members(self._networks)
        self._explainer: Explainer | None = None
        self._no_maps, self._explaining = "", threading.Lock()
        self._fits = {member.backbone.fit for member in self._members}
        votes = self.run.task.has_classes
        self._about_pets, self._at_home = votes and are_plain_pets(self.run.classes), expected_labels(self.run.classes)
        self._gallery: neighbours.Gallery | None = None
        try:
            files = training_files(self.run, features)
            gallery, self._first = neighbours.Gallery(joining.Joined(files, "train", normalised=True)), files[0]
            self.ranges = _ranges(files[0])
            # The run's photographs should show pets, or what their classes are called; see `votes.Ballots`.
            self._about_pets = self._about_pets or (
                votes and any(file.topk_class for file in files) and collect_votes(files).votes_on_unlabelled
            )
            self._gallery = gallery
        except CatsdogsError as error:
            self.no_neighbours = str(error)
        # A decoded photograph takes up to some hundred megabytes, and more of them than cores are done no sooner.
        self._decoding = threading.BoundedSemaphore(usable())
        # Few heads say whether threads may share them; and several matrix products at once take each other's cores:
        # 25,000 photographs of three networks are searched 64 times a second by one thread, 15 times by eight.
        self._judging = threading.Lock()

    def answer(self, data: bytes) -> Answer:
        """What the run says of a photograph's bytes.

        Raises:
            UnreadablePhotographError: as `images.load`.
        """
        with self._decoding:
            pixels = images.load(data, self._fits)
        outputs, vectors = look(self._members, pixels)
        with self._judging:
            predictions = self._trained.predict(vectors)
            nearest = self._nearest(vectors)
        labels = {
            member.recipe.backbone: labels
            for member, output in zip(self._members, outputs, strict=True)
            if (labels := _labels(output))
        }
        votes = sum(not any(self._at_home[label] for label, _ in best) for best in labels.values())
        names = imagenet.labels()
        return Answer(
            width=int(pixels.statistics[0]),
            height=int(pixels.statistics[1]),
            kind=self.run.task.kind,
            predictions=dict(zip(self.run.classes, predictions[0].tolist(), strict=True)),
            decided=_decided(self.run, predictions),
            labels={name: [(names[label], share) for label, share in best[:LABELS]] for name, best in labels.items()},
            votes=votes,
            networks=len(labels),
            no_pet=self._about_pets and 2 * votes > len(labels),
            neighbours=nearest,
        )

    def why(self, data: bytes, answer: Answer) -> Why | None:
        """What the parts of a photograph speak for: what is answered; None for a run that has no such maps.

        Raises:
            UnreadablePhotographError: as `images.load`.
        """
        with self._explaining:  # the networks are loaded up to their pooling for the first who asks
            if not self._explainer and not self._no_maps:
                try:
                    self._explainer = Explainer(self._trained, self._networks)
                except CatsdogsError as error:
                    self._no_maps = str(error)
        if not self._explainer:
            return None
        with self._decoding:
            pixels = images.load(data, self._explainer.fits)
        likeliest = max(answer.predictions, key=answer.predictions.__getitem__)
        column = 0 if answer.kind == NUMBER else self.run.classes.index(likeliest)
        return self._explainer.explain(pixels, column)

    def _nearest(self, vectors: NDArray[np.float32]) -> list[Neighbour]:
        """The training photographs nearest to one photograph's vectors, (1, sum of widths)."""
        if not self._gallery:
            return []
        first, (rows, cosines) = self._first, self._gallery.nearest(vectors, NEIGHBOURS)
        return [
            Neighbour(first.ids["train"][row], first.classes[first.labels[row]], min(1.0, cosine))
            for row, cosine in zip(rows.tolist(), cosines.tolist(), strict=True)
        ]


def _decided(run: Run, predictions: NDArray[np.float64]) -> list[str]:
    """What is named of one photograph's predictions, (1, columns)."""
    decided = run.rule.decide(predictions)
    if run.task.kind == NUMBER:
        return []
    if decided.ndim == 1:
        return [run.classes[decided[0]]]
    return [name for name, is_named in zip(run.classes, decided[0], strict=True) if is_named]


def _ranges(first: Features) -> dict[str, tuple[float, float]]:
    """Name of a number -> the least and the greatest that training photographs have; empty for other kinds."""
    if first.task.kind != NUMBER:
        return {}
    lowest, highest = first.targets.min(axis=0).tolist(), first.targets.max(axis=0).tolist()
    return dict(zip(first.columns, zip(lowest, highest, strict=True), strict=True))


def training_files(run: Run, folder: Path | None) -> list[Features]:
    """The run's feature files; of a run that held labelled photographs out, views without them.

    Raises:
        StoreError: there are none, or not those the run was trained on.
    """
    if folder is None:
        raise StoreError("No folder of feature files is known", "Give --features")
    files = [feature_file.read_features(feature_file.path_of(folder, name)) for name in run.backbones]
    return run_card.rows_of(run, files)


def _labels(output: Output) -> list[tuple[int, float]]:
    """The ten best ImageNet indices of a batch of one with their probabilities; none without a classifier."""
    if output.topk_class is None or output.topk_prob is None:
        return []
    return list(zip(output.topk_class[0].tolist(), output.topk_prob[0].tolist(), strict=True))

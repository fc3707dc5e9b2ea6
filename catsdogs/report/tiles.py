"""A tile of the report: a photograph with its label, probabilities, ImageNet labels, and the reasons of suspicion."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.cleaning import decisions
from catsdogs.cleaning.suspect_table import Suspect
from catsdogs.report.choices import kinds_of
from catsdogs.report.evidence import Evidence
from catsdogs.report.figures import class_colour
from catsdogs.report.pictures import Picture

IMAGENET_LABELS = 2  # of each network


class ClassProbability(NamedTuple):
    """A class and its probability, with the colour of its bar."""

    name: str
    probability: float
    colour: str


class Tile(NamedTuple):
    """A photograph of the report; what it lacks is empty.

    Attributes:
        label: the class given.
        probabilities: of the likeliest class, then of the class given if it is another.
        imagenet_labels: network -> its best labels in words.
        kinds: those of its reasons of suspicion.
        marks: what was decided about it, in words.
    """

    id: str
    split: str
    label: str
    picture: Picture | None
    probabilities: list[ClassProbability]
    loss: float | None
    imagenet_labels: dict[str, str]
    marks: Sequence[str]
    reasons: Sequence[str] = ()
    kinds: Sequence[str] = ()

    @property
    def alt(self) -> str:
        """The text in place of the picture for who cannot see it."""
        likely = f", called {self.probabilities[0].name}" if self.probabilities else ""
        return f"photograph {self.id}{f', labelled {self.label}' if self.label else ''}{likely}"


class TileMaker:
    """Makes the tiles of a run's report."""

    def __init__(self, evidence: Evidence, picture_of: Callable[[str, str], Picture | None]) -> None:
        """`picture_of` gives the picture of a split and id, or None."""
        self._evidence = evidence
        self._picture_of = picture_of
        self._dropped = frozenset(evidence.run.dropped)
        self._rows = {split: _rows_by_id(ids) for split, ids in evidence.first.ids.items()}
        first = evidence.ballots.first if evidence.ballots else None
        self._ballot_rows = {split: _rows_by_id(ids) for split, ids in first.ids.items()} if first else {}

    def samples(self, rows: NDArray[np.intp]) -> list[Tile]:
        """Train rows with nothing but their pictures and labels."""
        return [self._tile("train", row)._replace(probabilities=[], loss=None) for row in rows.tolist()]

    def test(self, rows: NDArray[np.intp]) -> list[Tile]:
        """Test rows with their probabilities."""
        return [self._tile("test", row) for row in rows.tolist()]

    def train(self, rows: NDArray[np.intp]) -> list[Tile]:
        """Train rows with their out-of-fold probabilities and losses, and with ImageNet labels."""
        tiles = [self._tile("train", row) for row in rows.tolist()]
        return [tile._replace(imagenet_labels=self._imagenet_labels(tile.split, tile.id)) for tile in tiles]

    def suspects(self, suspects: Sequence[Suspect]) -> list[Tile]:
        """Suspects with all that is known of them."""
        tiles = []
        for suspect in suspects:
            tile = self._tile(suspect.split, self._rows[suspect.split][suspect.id])
            reasons = [reason.text for reason in suspect.reasons]
            labels = self._imagenet_labels(suspect.split, suspect.id)
            tiles.append(tile._replace(imagenet_labels=labels, reasons=reasons, kinds=kinds_of(suspect)))
        return tiles

    def marks(self, id: str) -> list[str]:
        """What was decided about a train row, and what this run did to it."""
        run = self._evidence.run
        decision = self._evidence.decisions.get(id)
        marks = []
        if decision:
            to = f" as {decision.label}" if decision.decision == decisions.RELABEL else ""
            marks.append(f"decided: {decision.decision}{to}")
        if id in self._dropped:
            marks.append("not learnt from in this run")
        if id in run.relabelled:
            marks.append(f"learnt as {run.relabelled[id]} in this run")
        return marks

    def _tile(self, split: str, row: int) -> Tile:
        evidence, names = self._evidence, self._evidence.classes
        id = str(evidence.first.ids[split][row])
        label = int(evidence.labels[row]) if split == "train" else None
        probabilities = (evidence.probabilities if split == "train" else evidence.test_probabilities)[row]
        likeliest = int(probabilities.argmax())
        shown = [likeliest] if label is None or label == likeliest else [likeliest, label]
        return Tile(
            id=id,
            split=split,
            label="" if label is None else names[label],
            picture=self._picture_of(split, id),
            probabilities=[ClassProbability(names[n], float(probabilities[n]), class_colour(n)) for n in shown],
            loss=None if label is None else float(evidence.losses[row]),
            imagenet_labels={},
            marks=self.marks(id) if split == "train" else [],
        )

    def _imagenet_labels(self, split: str, id: str) -> dict[str, str]:
        ballots = self._evidence.ballots
        if ballots is None:
            return {}
        return ballots.labels_in_words(split, self._ballot_rows[split][id], IMAGENET_LABELS)


def _rows_by_id(ids: NDArray[np.object_]) -> dict[str, int]:
    return {id: row for row, id in enumerate(ids.tolist())}

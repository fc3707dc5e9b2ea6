"""What the page says of one photograph: its picture, label and probabilities, what networks see, what is against it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.cleaning import decisions, suspect_table
from catsdogs.cleaning.outliers import Suspect
from catsdogs.report.choices import kinds_of
from catsdogs.report.evidence import Evidence
from catsdogs.report.figures import class_colour
from catsdogs.report.pictures import Picture

IMAGENET_LABELS = 2  # of each network

Photographs = Callable[[str, str], Picture | None]


class ClassProbability(NamedTuple):
    """A class and its probability, with the colour of its bar."""

    name: str
    probability: float
    class_colour: str


class Tile(NamedTuple):
    """A photograph; what it lacks is empty.

    Attributes:
        label: the class given.
        said: the likeliest class, then the class given if it is another.
        seen: network -> its best ImageNet labels in words.
        marks: what was decided about it, in words.
    """

    id: str
    split: str
    label: str
    picture: Picture | None
    said: list[ClassProbability]
    loss: float | None
    seen: dict[str, str]
    reasons: list[str]
    kinds: list[str]
    marks: list[str]

    @property
    def alt(self) -> str:
        """What stands for the picture where it cannot be seen."""
        likely = f", called {self.said[0].name}" if self.said else ""
        return f"photograph {self.id}{f', labelled {self.label}' if self.label else ''}{likely}"


class TileMaker:
    """Makes the cards of a run."""

    def __init__(self, evidence: Evidence, photographs: Photographs) -> None:
        self._evidence = evidence
        self._photographs = photographs
        self._dropped = frozenset(evidence.run.dropped)
        self._rows = {split: _places(ids) for split, ids in evidence.first.ids.items()}
        first = evidence.ballots.first if evidence.ballots else None
        self._ballot_rows = {split: _places(ids) for split, ids in first.ids.items()} if first else {}

    def samples(self, rows: NDArray[np.intp]) -> list[Tile]:
        """Train rows with nothing but their pictures and labels."""
        return [self._card("train", row)._replace(said=[], loss=None) for row in rows.tolist()]

    def tested(self, rows: NDArray[np.intp]) -> list[Tile]:
        """Test rows with their probabilities."""
        return [self._card("test", row) for row in rows.tolist()]

    def judged(self, rows: NDArray[np.intp]) -> list[Tile]:
        """Train rows with their out-of-fold probabilities and losses, and with what the networks see."""
        cards = [self._card("train", row) for row in rows.tolist()]
        return [card._replace(seen=self._seen(card.split, card.id)) for card in cards]

    def suspects(self, suspects: Sequence[Suspect]) -> list[Tile]:
        """Suspects with all that is known of them."""
        cards = []
        for suspect in suspects:
            card = self._card(suspect.split, self._rows[suspect.split][suspect.id])
            reasons = [reason.text for reason in suspect.reasons]
            seen = self._seen(suspect.split, suspect.id)
            cards.append(card._replace(seen=seen, reasons=reasons, kinds=kinds_of(suspect)))
        return cards

    def marks(self, id: str) -> list[str]:
        """What was decided about a train row, and what this run did to it."""
        run = self._evidence.run
        decision = self._evidence.decided.get(id)
        marks = []
        if decision:
            to = f" as {decision.label}" if decision.decision == decisions.RELABEL else ""
            marks.append(f"decided: {decision.decision}{to}")
        if id in self._dropped:
            marks.append("not learnt from in this run")
        if id in run.relabelled:
            marks.append(f"learnt as {run.relabelled[id]} in this run")
        return marks

    def _card(self, split: str, row: int) -> Tile:
        evidence = self._evidence
        id = str(evidence.first.ids[split][row])
        label = int(evidence.labels[row]) if split == "train" else None
        probabilities = (evidence.calibrated if split == "train" else evidence.tested)[row]
        answer = int(probabilities.argmax())
        named = [answer] if label in (None, answer) else [answer, label]
        return Tile(
            id=id,
            split=split,
            label="" if label is None else evidence.classes[label],
            picture=self._photographs(split, id),
            said=[
                ClassProbability(evidence.classes[n], float(probabilities[n]), class_colour(n))
                for n in named
                if n is not None
            ],
            loss=None if label is None else float(evidence.losses[row]),
            seen={},
            reasons=[],
            kinds=[],
            marks=self.marks(id) if split == "train" else [],
        )

    def _seen(self, split: str, id: str) -> dict[str, str]:
        ballots = self._evidence.ballots
        if ballots is None:
            return {}
        labels = ballots.labels(split, self._ballot_rows[split][id])
        return {name: suspect_table.labels_in_words(top[:IMAGENET_LABELS]) for name, top in labels.items()}


def _places(ids: NDArray[np.object_]) -> dict[str, int]:
    return {id: row for row, id in enumerate(ids.tolist())}

"""A tile of the report: a photograph with what is told of it, its ImageNet labels, and the reasons of suspicion."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from catsdogs.cleaning import decisions
from catsdogs.cleaning.suspect_table import Suspect
from catsdogs.features.feature_file import Features
from catsdogs.report.choices import kinds_of
from catsdogs.report.evidence import Evidence
from catsdogs.report.kinds.view import Told, View
from catsdogs.report.pictures import GALLERY_SIDE, Picture, PictureKey, Pictures

IMAGENET_LABELS = 2  # of each network


class Tile(NamedTuple):
    """A photograph of the report; what it lacks is empty.

    Attributes:
        told: what it was given and what the run says of it.
        imagenet_labels: network -> its best labels in words.
        kinds: those of its reasons of suspicion.
        marks: what was decided about it, in words.
    """

    id: str
    split: str
    picture: Picture | None
    told: Told
    imagenet_labels: Mapping[str, str]
    marks: Sequence[str]
    reasons: Sequence[str] = ()
    kinds: Sequence[str] = ()


class TileMaker:
    """Makes the tiles of a run's report."""

    def __init__(self, evidence: Evidence, view: View, pictures: Pictures) -> None:
        self._evidence, self._view = evidence, view
        self._pictures = pictures
        self._dropped = frozenset(evidence.run.dropped)
        self._rows = _rows_by_id(evidence.first)
        self._ballot_rows = _rows_by_id(evidence.ballots.first) if evidence.ballots else {}

    def sample(self, row: int) -> Tile:
        """A train row with nothing but its picture and what it was given."""
        return self.tile("train", row)._replace(told=self._view.tell_sample(row), imagenet_labels={})

    def suspect(self, suspect: Suspect) -> Tile:
        """A suspect with all that is known of it."""
        tile = self.tile(suspect.split, self._rows[suspect.split][suspect.id])
        labels = self._imagenet_labels(suspect.split, suspect.id)
        reasons = [reason.text for reason in suspect.reasons]
        return tile._replace(imagenet_labels=labels, reasons=reasons, kinds=kinds_of(suspect))

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

    def tile(self, split: str, row: int) -> Tile:
        """A row with what the run says of it; a train row also with its ImageNet labels."""
        id = str(self._evidence.first.ids[split][row])
        return Tile(
            id=id,
            split=split,
            picture=self._pictures.get(PictureKey(split, id, GALLERY_SIDE)),
            told=self._view.tell(split, row),
            imagenet_labels=self._imagenet_labels(split, id) if split == "train" else {},
            marks=self.marks(id) if split == "train" else [],
        )

    def _imagenet_labels(self, split: str, id: str) -> dict[str, str]:
        ballots = self._evidence.ballots
        if ballots is None:
            return {}
        return ballots.labels_in_words(split, self._ballot_rows[split][id], IMAGENET_LABELS)


def _rows_by_id(file: Features) -> dict[str, dict[str, int]]:
    return {split: {id: row for row, id in enumerate(ids.tolist())} for split, ids in file.ids.items()}

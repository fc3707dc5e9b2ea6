"""Maps beside the worst photographs: what speaks for the answer of the head that never saw the photograph."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from catsdogs.errors import CatsdogsError, UnreadablePhotographError, WeightsError
from catsdogs.networks import choice, weights
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset
from catsdogs.photographs.task import NUMBER
from catsdogs.progress import Progress
from catsdogs.report.evidence import Evidence
from catsdogs.report.pictures import GALLERY_SIDE
from catsdogs.runs import overlay, run_card
from catsdogs.runs.ensemble import networks_of, refuse_made_elsewhere
from catsdogs.runs.explaining import Explainer


class Map(NamedTuple):
    """A photograph under its map, as a data URI, and what red areas speak for."""

    uri: str
    speaks_for: str


class Maps(NamedTuple):
    """Id of a train photograph -> its map; or, where there are none, the reason in a sentence."""

    by_id: Mapping[str, Map]
    reason: str = ""


def make_maps(
    run_folder: Path, evidence: Evidence, rows: Sequence[int], dataset: Dataset | None, weights_dir: str | None
) -> Maps:
    """The maps of these train rows. Nothing is downloaded for them, and whatever they lack the report does without."""
    if dataset is None:
        return Maps({}, "The photographs are not at hand.")
    try:
        explainer = _explainer(run_folder, evidence, weights_dir)
    except CatsdogsError as error:
        return Maps({}, f"{error.problem}.")
    found, run = dict[str, Map](), evidence.run
    for row in Progress(len(rows), "explaining", "photograph", iterable=rows):
        id = str(evidence.first.ids["train"][row])
        photograph = dataset.find("train", id)
        if photograph is None:
            continue
        column = 0 if run.task.kind == NUMBER else int(evidence.answers[row].argmax())
        try:
            data = dataset.read(photograph)
            if images.digest(data) != int(evidence.first.digests["train"][row]):
                continue  # its tile says that the file has changed
            why = explainer.explain_bytes(data, column, int(evidence.fold[row]))
            picture = overlay.as_jpeg(data, why, 2 * GALLERY_SIDE)
        except UnreadablePhotographError:
            continue
        found[id] = Map("data:image/jpeg;base64," + base64.b64encode(picture).decode(), why.speaks_for)
    return Maps(found)


def _explainer(run_folder: Path, evidence: Evidence, weights_dir: str | None) -> Explainer:
    """The run's; a CatsdogsError where it has none, or weights are missing that a prediction would download."""
    refuse_made_elsewhere(run_folder, evidence.run)
    for backbone in choice.choose(list(evidence.run.backbones), weights_dir):
        if not backbone.trained and weights.find_file(backbone, weights_dir) is None:
            raise WeightsError(f"The weights of {backbone.name} are not at hand", "Give --weights-dir")
    return Explainer(run_card.load_run(run_folder), networks_of(run_folder, evidence.run, weights_dir))

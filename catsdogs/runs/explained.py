"""The maps of a prediction as pictures: of all photographs where they are few, else of the least certain ones."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import UnreadablePhotographError
from catsdogs.features import joining
from catsdogs.features.feature_file import Features
from catsdogs.files.atomic import replacing
from catsdogs.photographs.dataset import Dataset
from catsdogs.photographs.task import LABELS, NUMBER
from catsdogs.progress import Progress
from catsdogs.runs import overlay
from catsdogs.runs.explaining import Explainer
from catsdogs.runs.run_card import TrainedRun
from catsdogs.scoring import streaming

MOST = 100  # maps: a minute's work, and as many as a person looks at


def write_maps(
    explainer: Explainer, trained: TrainedRun, dataset: Dataset, files: Sequence[Features], folder: Path
) -> int:
    """Write `<id>.png` for the `MOST` least certain test rows, and return how many. Of numbers they are the first rows.

    In a file's name what is no letter, digit or one of `_.-~ ` is written as in addresses: `a%2Fb.png`.

    Raises:
        StoreError: the folder cannot be written.
    """
    kind = trained.run.task.kind
    found = [_judged(trained.predict(vectors), kind) for _, vectors in streaming.blocks(joining.Joined(files, "test"))]
    certainty, column = (np.concatenate(parts) for parts in zip(*found, strict=True))
    rows = np.argsort(certainty, kind="stable")[:MOST].tolist()
    written = 0
    with Progress(len(rows), "explaining", "photograph") as progress:
        for row in rows:
            id = str(files[0].ids["test"][row])
            photograph = dataset.find("test", id)
            progress.update()
            if photograph is None:
                continue
            try:
                data = dataset.read(photograph)
                picture = overlay.as_png(data, explainer.explain_bytes(data, int(column[row])))
            except UnreadablePhotographError:  # it was damaged since its vectors were computed
                continue
            path = folder / f"{quote(id, safe=' ')}.png"
            with replacing(path) as temporary:
                temporary.write_bytes(picture)
            written += 1
    return written


def _judged(predictions: NDArray[np.float64], kind: str) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """(n,) how certain predictions are, and (n,) the columns to be explained."""
    column = predictions.argmax(axis=1)
    if kind == NUMBER:  # a number comes with no certainty
        return np.zeros(len(predictions)), np.zeros(len(predictions), np.intp)
    if kind == LABELS:
        return abs(predictions - 0.5).min(axis=1), column
    return predictions.max(axis=1), column

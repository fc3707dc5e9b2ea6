"""What `train --repeats`, `--refit` and `--pseudo` do on photographs that are kept aside, where few are labelled.

`python -m benchmarks.last_mile FEATURES LABELLED DRAWS`: feature files of the Lites, of labelled photographs. So many
are drawn to learn from, as many of each class, and the seed of the folds with them. All others are test rows, whose
labels are hidden until they are scored.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from benchmarks.kinds_of_tasks import FOLDS, NETWORKS, SEED
from catsdogs.features import feature_file
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import deal
from catsdogs.runs import training
from catsdogs.scoring import replay
from catsdogs.scoring.training_plan import Plan

HEAD = "blend"
WAYS: Mapping[str, Mapping[str, Any]] = MappingProxyType({
    "as it is": {},
    "`--pseudo 0.99`": {"pseudo": 0.99},
    "`--refit`": {"refit": True},
    "`--repeats 3`": {"repeats": 3},
})  # fmt: skip


def drawn(files: Sequence[Features], labelled: int, draw: int) -> tuple[list[Features], dict[str, str]]:
    """The files with all rows but so many as test rows, and the classes of these by their ids."""
    first = files[0]
    rows = len(first.labels)
    part = deal(first.labels, np.arange(rows), rows // labelled, draw) == 0
    hidden = np.flatnonzero(~part)
    truth = {first.ids["train"][row]: first.classes[first.labels[row]] for row in hidden}
    return replay.split(files, truth.keys()), truth


def losses(files: Sequence[Features], labelled: int, draws: int) -> Iterator[tuple[str, list[float], list[float]]]:
    """Each way with its log losses, draw by draw: of the hidden photographs, and out of fold."""
    every = [drawn(files, labelled, draw) for draw in range(draws)]
    for way, settings in WAYS.items():
        of_hidden, out_of_fold = [], []
        for draw, (split, truth) in enumerate(every):
            plan = Plan(HEAD, FOLDS, SEED + 10 * draw, protocol="mlebench", held_out=tuple(truth), **settings)
            with tempfile.TemporaryDirectory() as folder:
                into = Path(folder)
                run = training.train(split, plan, name="run", submissions=into, command="last_mile", truth=truth)
            of_hidden.append(run.scores[0].log_loss)
            out_of_fold.append(run.scores[1].log_loss)
        yield way, of_hidden, out_of_fold


def main() -> None:
    folder, labelled, draws = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    files = [feature_file.read_features(feature_file.path_of(folder, name)) for name in NETWORKS]
    print(f"| labelled, hidden | `{HEAD}` | hidden photographs | difference | out of fold |")
    print("| --- | --- | --- | --- | --- |")
    base: list[float] = []
    for way, of_hidden, out_of_fold in losses(files, labelled, draws):
        base = base or of_hidden
        apart = np.subtract(of_hidden, base)
        found = f"{apart.mean():+.5f} ± {apart.std(ddof=1) / np.sqrt(draws):.5f}" if way in list(WAYS)[1:] else ""
        rows = f"{labelled:,}, {len(files[0].labels) - labelled:,}"
        print(f"| {rows} | {way} | {np.mean(of_hidden):.5f} | {found} | {np.mean(out_of_fold):.5f} |", flush=True)


if __name__ == "__main__":
    main()

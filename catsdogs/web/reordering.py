"""Orders the suspects anew after decisions, in the background: no request waits for a head to learn.

One thread fits at a time. What was decided meanwhile is learnt next, all at once. Nothing of it is written: the table
of decisions is the truth, from which a server that starts again learns the same.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from catsdogs.cleaning import belief, decisions, duplicates, outliers, suspect_table
from catsdogs.cleaning.decisions import DROP, KEEP, RELABEL
from catsdogs.cleaning.suspect_table import Suspect
from catsdogs.errors import CatsdogsError, StoreError
from catsdogs.features import feature_file
from catsdogs.scoring import quick_head, training_plan
from catsdogs.scoring.training_plan import TrainingRows

FOLDS, SEED = 5, 0


@dataclass(frozen=True)
class Order:
    """The suspects in an order.

    Attributes:
        version: grows with each renewal; 0 is that of the table.
        waiting: whether a newer one is on its way.
        scores: (split, id) -> score, the likeliest to be corrected first; empty for version 0.
        decided: how many decisions it was learnt from.
        problem: why the order cannot be renewed, in a line; empty where it can.
    """

    version: int = 0
    waiting: bool = False
    scores: dict[tuple[str, str], float] | None = None
    decided: int = 0
    problem: str = ""


class Reordering:
    """Renews the order of the suspects of a folder of features whenever it is asked to."""

    def __init__(self, features: Path) -> None:
        self._features = features
        self._changed = threading.Condition()
        self._asked = 0
        self._thread: threading.Thread | None = None
        self._order = Order()
        self._learner: tuple[object, _Learner] | None = None

    def __repr__(self) -> str:
        return f"Reordering({self._features})"

    @property
    def order(self) -> Order:
        """The newest order."""
        with self._changed:
            return replace(self._order, waiting=self._asked > 0)

    def ask(self, first: bool = False) -> None:
        """Have the order renewed by what is decided now, and return at once; `first`: unless it ever was asked."""
        with self._changed:
            if first and self._thread:
                return
            self._asked += 1
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="reordering", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked)
                asked, version = self._asked, self._order.version
            try:
                suspects, decided = self._renew()
                scores = {(one.split, one.id): one.score for one in suspects}
                order = Order(version + 1, scores=scores, decided=decided)
            except CatsdogsError as error:
                order = replace(self._order, problem=str(error))
            except BaseException:  # a defect of ours: the terminal gets its traceback, and the page stops waiting
                problem = "Ordering stopped unexpectedly; the terminal of the server says why."
                with self._changed:
                    self._order, self._asked = replace(self._order, problem=problem), 0
                raise
            with self._changed:
                self._order, self._asked = order, self._asked - asked

    def _renew(self) -> tuple[list[Suspect], int]:
        table = self._features / suspect_table.OUTLIERS_FILE
        suspects = suspect_table.read_suspects(table)
        paths = _networks_of(self._features, suspects)
        stats = [path.stat() for path in (table, *paths)]
        state = [(path, stat.st_mtime_ns, stat.st_size) for path, stat in zip((table, *paths), stats, strict=True)]
        if self._learner is None or self._learner[0] != state:
            self._learner = None  # two would not fit into memory
            self._learner = state, _Learner(paths, suspects)
        return self._learner[1].ordered(suspects, self._features / decisions.DECISIONS_FILE)


class _Learner:
    """What does not change by decisions, in memory: the quick head's rows and factors, and the suspects' distances."""

    def __init__(self, paths: Sequence[Path], suspects: Sequence[Suspect]) -> None:
        self._files = training_plan.occupied([feature_file.read_features(path) for path in paths])
        first = self._files[0]
        crowd = duplicates.crowd_of(self._files, first)
        copies = duplicates.find_copies(self._files, duplicates.find_pairs(self._files, first, crowd=crowd))
        self._head, self._rows = quick_head.of_files(self._files, copies, FOLDS, SEED)
        self._far = outliers.distances(suspects, first, crowd)

    def ordered(self, suspects: Sequence[Suspect], path: Path) -> tuple[list[Suspect], int]:
        """The suspects by what is decided, and by how many decisions."""
        first = self._files[0]
        ids = first.ids["train"].tolist()
        decided = decisions.read_decisions(path, first.classes, ids, first.task) if path.exists() else {}
        drop = {id for id, one in decided.items() if one.decision == DROP}
        relabel = {id: one.label for id, one in decided.items() if one.decision == RELABEL}
        rows = TrainingRows.of(self._rows.files, drop, relabel)
        columns = self._rows.columns
        target = quick_head.targets_of(rows)[:, :columns]
        predictions = self._head.out_of_fold(target, ~rows.kept)
        doubt = outliers.doubts(suspects, first, first, predictions)
        evidence = belief.weigh(suspects, doubt, self._far)
        corrected = {id: one.decision != KEEP for id, one in decided.items()}
        return belief.rank(suspects, evidence, corrected), len(decided)


def _networks_of(folder: Path, suspects: Sequence[Suspect]) -> list[Path]:
    """The feature files by which the suspects were listed: those of the networks that are named, or all there are."""
    there = feature_file.names(folder)
    named = {name for suspect in suspects for name in suspect.labels}
    chosen = [name for name in there if name in named] or list(there)
    if not chosen:
        raise StoreError(f"No features in {folder}", "Write them with `catsdogs features`")
    return [feature_file.path_of(folder, name) for name in chosen]

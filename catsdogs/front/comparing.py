"""Comparing: every head on every set of networks, on the same folds; `compare` returns the table."""

import re
from collections.abc import Sequence
from pathlib import Path

from catsdogs import heads
from catsdogs.errors import UsageError
from catsdogs.features import feature_file
from catsdogs.files.notebook import Picture, as_html
from catsdogs.front.arguments import checked
from catsdogs.front.defaults import FOLDS, OUTLIERS, SEED, SUBMISSIONS
from catsdogs.front.notes import note, write
from catsdogs.front.places import check_writable
from catsdogs.front.reading import refuse_idle_data, with_task
from catsdogs.front.training import corrections
from catsdogs.front.vectors import Features
from catsdogs.scoring import comparison, comparison_chart, comparison_file, comparison_table
from catsdogs.scoring.comparison import Entry

_OUTSIDE_BRACKETS = re.compile(r",(?![^\[]*\])")  # commas between heads, not those between settings of one
_Sets = Sequence[Sequence[feature_file.Features]]


class Comparison:
    """A comparison of heads and networks, best first.

    It shows itself as a table, in a notebook with its chart.

    Attributes:
        entries: its lines; each has its head, its networks, its log loss and other figures, see `Entry`.

    >>> import catsdogs as cd
    >>> table = cd.compare(cd.load("features"), heads=["ridge"], folds=2)
    >>> table.best.head, table.best.backbones
    ('ridge', ('EfficientNetLite0',))
    >>> str(table).splitlines()[1].split()[:3]
    ['1', 'ridge', 'EfficientNetLite0']
    """

    def __init__(self, compared: comparison.Comparison, chart: Path) -> None:
        """`chart` is where it was drawn."""
        self._compared, self.entries = compared, compared.entries
        self._picture = Picture(chart, "the heads compared, a dot for each, with its doubt")

    @property
    def best(self) -> Entry:
        """The first line."""
        return self.entries[0]

    def __repr__(self) -> str:
        return comparison_table.format_table(self._compared)

    def _repr_html_(self) -> str:
        named = self._compared.ranked_by
        lines = []
        for entry in self.entries:
            value, error = self._compared.value_of(entry)
            difference = f"{entry.difference:+.5f} ± {entry.difference_error:.5f}" if entry.verdict else ""
            seconds = f"{entry.seconds:.1f}"
            lines.append((entry.head, entry.networks, f"{value:.5f} ± {error:.5f}", difference, entry.verdict, seconds))
        compared, columns = self._compared, ("head", "networks", named, "to the first", "", "seconds")
        below = [compared.measured_on, comparison_table.noise_in_words(compared)]
        below += [comparison_table.conclusion(compared), *compared.refused]
        return as_html(columns, lines, f"Heads compared by {named}, best first", below, picture=self._picture)


@checked()
def compare(
    *features: Features,
    heads: str | Sequence[str] = (),
    folds: int = FOLDS,
    repeats: int = 1,
    seed: int = SEED,
    outliers: str = OUTLIERS,
    metric: str = "",
    groups: str = "",
    data: str | Path | None = None,
) -> Comparison:
    """Every head on every set of networks, on the same folds: their scores, and which differences are noise.

    The table is kept, as `catsdogs compare` keeps it, in submissions/compare.csv and compare.png.

    Args:
        features: what `load` or `extract` returns, one for each set of networks.
        heads: such as `["ridge", "logistic[C=0.1]"]`, or a text with commas between them; all of this program's that
            serve the task if not given.
        folds, seed: of the cross-validation; repeat r draws its folds by seed + r.
        repeats: how many times to cross-validate, on other folds each time.
        outliers, metric, groups, data: as `train` takes them.

    Raises:
        UsageError, UnknownNameError: no features; a head given twice; no such head, metric or policy.
        TrainingError: no head can take the vectors.
        StoreError: files that hold different rows, or are damaged.

    >>> import catsdogs as cd
    >>> table = cd.compare(cd.load("features"), heads=["ridge", "knn"], folds=2)
    >>> sorted(entry.head for entry in table.entries), table.best.verdict
    (['knn', 'ridge'], '')
    """
    if not features:
        raise UsageError("There are no features to compare on", "Give what catsdogs.load or catsdogs.extract returns")
    sets = [one.files for one in features]
    told = outliers, str(data) if data else None, "", metric, groups
    compared = compare_files(sets, heads, folds, repeats, seed, *told)
    return Comparison(compared, SUBMISSIONS / comparison_file.COMPARISON_CHART_FILE)


def chosen_heads(asked: str | Sequence[str], kind: str) -> list[str]:
    """The heads that are asked for, in a list or a text; if none are, all of this program's that serve a task."""
    listed = [asked] if isinstance(asked, str) else asked
    if names := [name.strip() for text in listed for name in _OUTSIDE_BRACKETS.split(text) if name.strip()]:
        return [heads.canonical(name) for name in names]
    unfit = {name: reason for name in heads.names() if (reason := heads.serves(name, kind))}
    for reason in unfit.values():
        note(f"left out: {reason}")
    return [name for name in heads.names() if name not in unfit]


def compare_files(
    sets: _Sets,
    asked: str | Sequence[str],
    folds: int,
    repeats: int,
    seed: int,
    outliers: str,
    data: str | None,
    competition: str,
    metric: str,
    groups: str,
) -> comparison.Comparison:
    """Compare heads on sets of feature files, note the table, and write it and its chart; raises as `compare`."""
    by_path = {file.path: file for one in sets for file in one}  # each once, however many of the sets it is in
    files = with_task(list(by_path.values()), data, competition, metric, groups)
    by_path = dict(zip(by_path, files, strict=True))
    chosen = chosen_heads(asked, files[0].task.kind)
    if not groups:  # which stand there
        refuse_idle_data(data, files)
    check_writable(SUBMISSIONS)
    decided = corrections(files, files[0].path.parent, outliers)
    told = [[by_path[file.path] for file in one] for one in sets]
    compared = comparison.compare(told, chosen, folds, repeats, seed, decided)
    note(comparison_table.format_table(compared), is_returned=True)
    write(SUBMISSIONS / comparison_file.COMPARISON_FILE, comparison_file.write_comparison, compared)
    write(SUBMISSIONS / comparison_file.COMPARISON_CHART_FILE, comparison_chart.draw_comparison, compared)
    return compared

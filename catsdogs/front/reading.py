"""Reading: the photographs at a place with their task, which `look` returns, and feature files with theirs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack

from catsdogs.competition import fetch, kaggle, known
from catsdogs.errors import DatasetError, StoreError, UnknownNameError, UsageError
from catsdogs.features import feature_file, made_elsewhere, vector_table
from catsdogs.features.feature_file import Features
from catsdogs.files import storage
from catsdogs.front.arguments import checked
from catsdogs.front.defaults import DEFAULTS, SEED
from catsdogs.front.notes import note, note_left_alone
from catsdogs.front.places import check_writable
from catsdogs.networks import trained
from catsdogs.networks.choice import FILE_PREFIX, file_name, is_pretrained, split_names, vectors_path
from catsdogs.networks.table import BACKBONES, SHORTHANDS
from catsdogs.photographs import description
from catsdogs.photographs.dataset import Dataset, scan
from catsdogs.photographs.recognition import Given
from catsdogs.photographs.task import Task
from catsdogs.scoring import likeliest, metrics, streaming

_WORTH_SAYING = 2**31  # bytes: a notebook's machine has some 13 GB


class Reading(TypedDict, total=False):
    """How photographs are read where their files leave a question open; what is left out is found in the files.

    Attributes:
        labels: the table of labels, after a colon its column: `train.csv:breed`.
        images: the folder of the photographs, as seen from the data.
        positive: the classes, with commas between them, of whose joint probability one number is asked for.
        kind: `binary`, `classes`, `labels`, `ordinal` or `number`.
        groups: what photographs hang together by: a column of a table, `folder`, or `folder:2`.
        metric: what answers are scored by.
        competition: Kaggle's name of the competition.
        classes: those to take, in a list, or a text with commas between them.
        holdout: the share of the labelled photographs, between 0 and 1, that become the test rows.
        seed: draws these.
    """

    labels: str
    images: str
    positive: str
    kind: str
    groups: str
    metric: str
    competition: str
    classes: str | Sequence[str]
    holdout: float
    seed: int


@checked()
def look(data: str | Path = DEFAULTS["data"], **how: Unpack[Reading]) -> Task:
    """What a competition asks for, as its sample submission and labels say; no photograph is opened.

    Args:
        data: a folder or zip with train/ and test/, a folder per class, a CSV of names and labels, or TFRecord files.
        how: what its files leave open: labels, the table of labels, after a colon its column; images, the folder of
            the photographs; positive, the classes of whose joint probability one number is asked for; kind, `binary`,
            `classes`, `labels`, `ordinal` or `number`; groups, what photographs hang together by; metric; competition,
            Kaggle's name of it; classes, those to take; holdout, the share of labelled photographs to be the test rows
            instead, which seed draws. catsdogs.front.reading.Reading says more.

    Returns:
        The task: its `kind`, its `answer`, its `metric`, its columns.

    Raises:
        DatasetError: nothing there, or no layout recognised.
        UsageError, UnknownNameError: something given that cannot be.

    >>> import catsdogs as cd
    >>> task = cd.look("pets")
    >>> task.kind, task.positive, task.metric
    ('binary', 'dog', 'log-loss')
    """
    return read(storage.place(str(data)), **how).task


def read(data: Path, **how: Unpack[Reading]) -> Dataset:
    """The photographs at a place, with their task settled; what they are is noted. Raises as `look`."""
    dataset = find(data, is_answered=True, **how)
    task = settled(dataset.task, str(data), dataset.classes, how.get("competition", ""), how.get("metric", ""))
    dataset = replace(dataset, asked=task)
    note(description.describe(dataset))
    open_question = description.open_question(dataset.task, dataset.classes)
    for sentence in filter(None, (*dataset.notes, open_question, *description.offered_groups(dataset))):
        note(sentence)
    rows, classes = len(dataset.of("train")), len(dataset.task.names) or len(dataset.classes)
    if likeliest.are_kept(dataset.task, rows, classes):
        note(f"train will keep the {likeliest.KEPT} likeliest of {classes:,} classes: --head dropout-sigmoid learns so")
        return dataset
    streaming.check_tables(rows, classes)  # refused before the slow half
    if (needed := streaming.table_bytes(rows, classes)) > _WORTH_SAYING:
        note(f"train will take about {needed / 1e9:,.1f} GB for the probabilities of {classes:,} classes")
    return dataset


def find(data: Path, is_answered: bool, **how: Unpack[Reading]) -> Dataset:
    """The photographs at a place as they are found; `is_answered` and what is raised as in `dataset.scan`."""
    told = {**how}
    given = Given(*(str(told.get(name, "")) for name in Given._fields))
    classes = how.get("classes", ())
    chosen, share = split_names(classes) if isinstance(classes, str) else list(classes), how.get("holdout", 0.0)
    dataset = scan(data, chosen, share, how.get("seed", SEED), given, is_answered)
    note_left_alone(dataset.left_alone)
    return dataset


def find_again(given: str | None, remembered: str, task: Task | None = None) -> Dataset | None:
    """The photographs at a path given by hand, which must be there; else where a file of ours remembers them.

    They are read as they were when their `task` was found out. None, with a note, if nothing is there any more.
    """
    place = storage.place(given or remembered)
    if given or storage.exists(place):
        return scan(place, given=Given(**task.given) if task else Given(), is_answered=False)
    note(f"No photographs at {remembered}: no sample submission to compare with, no thumbnails. Give --data")
    return None


def competition_name(given: str | None, place: str) -> str:
    """Kaggle's name of a competition: as given, else what the photographs' place tells; empty if it tells nothing."""
    return kaggle.name_of(given) if given else fetch.competition_of(place)


def settled(task: Task, place: str, classes: Sequence[str], given: str, metric: str) -> Task:
    """A task with its competition and metric: as given, else as known of the photographs' place.

    Raises:
        UsageError, DatasetError: a metric that does not suit the task: the one given, or that of the competition.
    """
    competition = competition_name(given or task.competition, place)
    of_another = known.metric_of(competition) if competition != task.competition else ""
    try:
        return metrics.settle(task, metric or of_another or task.metric, competition, classes)
    except UsageError as error:
        if metric:
            raise
        problem = f"{competition} is scored by {of_another}: {error.problem}"
        raise DatasetError(problem, f"{error.remedy}, with --metric, to answer it otherwise") from None


def read_files(
    folder: Path, names: Sequence[str], data: Path, is_given: bool = False, **how: Unpack[Reading]
) -> list[Features]:
    """The feature files of some networks; vectors made elsewhere, such as `file:dino.parquet`, are joined to them.

    Args:
        data: the photographs, for an old notebook's vectors, and for those made elsewhere.
        is_given: somebody said so, and vectors made elsewhere are not joined to a feature file that lies there.
        how: see `Reading`.

    Raises:
        UnknownNameError: neither a network nor a file there is called so.
        UsageError: two files of vectors would have one name.
        StoreError: as `feature_file.read_features` and `made_elsewhere.take`.
    """
    there = (*trained.names(), *SHORTHANDS, *BACKBONES)
    found: dict[str, Features] = {}
    for name in names:
        if vectors_path(name):
            continue
        path = feature_file.path_of(folder, name)
        may_be = is_pretrained(name) or name.startswith(FILE_PREFIX) or name.partition("@")[0] in there
        if not (may_be or storage.exists(path)):
            choice = list(dict.fromkeys((*feature_file.names(folder), *there)))
            raise UnknownNameError("backbone or feature file", name, choice)
        found[name] = feature_file.read_features(path, lambda: scan(data, is_answered=False))
    for name in names:
        if vectors_path(name):
            if other := next((one for one in found if file_name(one) == file_name(name)), ""):
                raise UsageError(f"{other} and {name} would both be called {file_name(name)}", "Rename one of the two")
            rows = next((file for file in found.values() if file.digests), None)
            if not (rows or is_given):
                rows = _rows_there(folder, name)
            found[name] = _made_elsewhere(folder, name, rows or (lambda: find(data, is_answered=False, **how)))
    return [found[name] for name in names]


def _made_elsewhere(folder: Path, name: str, rows: Features | Callable[[], Dataset]) -> Features:
    """The feature file of vectors made elsewhere, joined to the rows of another, or to photographs."""
    source, target = storage.place(vectors_path(name)), feature_file.path_of(folder, name)
    vector_table.digest_of(source)  # one that is not there is refused before photographs are read
    joined_to = rows if isinstance(rows, Features) else made_elsewhere.rows_of(rows())
    check_writable(folder)
    taken = made_elsewhere.take(source, target, joined_to)
    for sentence in taken.notes:
        note(sentence)
    return taken.features


def _rows_there(folder: Path, name: str) -> Features | None:
    """A feature file of the folder that a network of this program made, else the copy of `name` that is kept there."""
    for path in (feature_file.path_of(folder, there) for there in feature_file.names(folder)):
        if not feature_file.is_gap_file(path):
            file = feature_file.read_features(path)
            if not file.recipe.is_made_elsewhere:
                return file
    return made_elsewhere.kept(feature_file.path_of(folder, name))


def with_task(
    files: Sequence[Features], data: str | None, competition: str = "", metric: str = "", groups: str = ""
) -> list[Features]:
    """Feature files with the task that is given, where theirs says nothing else; `data` as in `with_groups`."""
    task = settled(files[0].task, data or files[0].source, files[0].classes, competition, metric)
    return with_groups([replace(file, task=task) for file in files], data, groups)


def with_groups(files: Sequence[Features], data: str | None, wanted: str) -> list[Features]:
    """Feature files with the groups that are wanted, from the data set if the files do not have them.

    Args:
        data: where the photographs are, if not where the files remember them.

    Raises:
        DatasetError: the data set does not have them; see `recognition.Given`.
        StoreError: the data set is gone.
    """
    task = files[0].task
    if not wanted or (wanted == task.given.get("groups") and files[0].groups.size):
        return list(files)
    told = replace(task, given=task.given | {"groups": wanted})
    dataset = find_again(data, files[0].source, told)
    if dataset is None:
        raise StoreError(
            f"The groups by {wanted} stand in the data set, and nothing is at {files[0].source}",
            "Give --data its place, or --groups to `catsdogs features`, which keeps them in the feature files",
        )
    groups = [feature_file.groups_of(file.ids["train"].tolist(), dataset.groups) for file in files]
    return [replace(file, task=told, groups=found) for file, found in zip(files, groups, strict=True)]


def refuse_idle_data(given: str | None, files: Sequence[Features]) -> None:
    """Refuse a place of photographs where only vectors that know none would need it: old notebooks', or others'.

    Raises:
        UsageError: it is given, and there are none.
    """
    takes_it = any(file.recipe.weights == feature_file.UNKNOWN for file in files)
    if given and not takes_it and not all(file.recipe.is_made_elsewhere for file in files):
        raise UsageError(
            f"--data {given} would do nothing: {files[0].path} says which photographs its rows are",
            "Leave --data out, or write the features of other photographs with `catsdogs features --data`",
        )

"""Training: a head cross-validated on cached vectors, and its run kept; `train` is the whole of it."""

import re
from collections.abc import Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, TypedDict, Unpack

from catsdogs import heads
from catsdogs.cleaning import decisions, duplicates
from catsdogs.cleaning.decisions import Allowed, Corrections
from catsdogs.errors import TrainingError, UnknownNameError, UsageError, and_more, in_short
from catsdogs.features import feature_file
from catsdogs.front.arguments import checked
from catsdogs.front.defaults import FOLDS, HEAD, OUTLIERS, SEED, SUBMISSIONS
from catsdogs.front.notes import note, note_rows, wrote
from catsdogs.front.places import check_writable
from catsdogs.front.reading import find_again, refuse_idle_data, with_task
from catsdogs.front.runs import Run
from catsdogs.front.vectors import Features
from catsdogs.photographs.dataset import Dataset
from catsdogs.runs import run_card, training
from catsdogs.scoring import replay
from catsdogs.scoring.training_plan import Plan, TrainingRows

_Files = Sequence[feature_file.Features]


class Training(TypedDict, total=False):
    """What else a training may be told.

    Attributes:
        repeats, refit, pseudo, balance: see `Plan`.
        metric, groups, competition: where the data do not tell, see `Reading`.
    """

    repeats: int
    refit: bool
    pseudo: float
    balance: bool
    metric: str
    groups: str
    competition: str


@checked("relabel")
def train(
    features: Features,
    head: str = HEAD,
    *,
    name: str = "",
    settings: Mapping[str, Any] | None = None,
    folds: int = FOLDS,
    seed: int = SEED,
    outliers: str = OUTLIERS,
    relabel: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
    data: str | Path | None = None,
    force: bool = False,
    **how: Unpack[Training],
) -> Run:
    """Cross-validate a head on vectors, and write submissions/NAME/ with the CSV, whole or not at all.

    Args:
        features: what `load` or `extract` returns.
        head: as the command line takes it: `blend`, `logistic[C=0.1]`, a file `my_head.py`, `pca:256+logistic`.
        name, settings: of the run, else named after the head; of the head, such as `{"C": 0.1}`.
        folds, seed: of the cross-validation, and of the head.
        outliers: `decided` obeys decisions.csv beside the features, `drop` also what no network takes for a pet, `keep`
            nothing.
        relabel: id -> the label to learn it as, whatever decisions.csv says: a mapping, pairs, or a pandas Series with
            the ids as its index. It is scored by the label it came with.
        data: where the photographs are, if not where the features remember them.
        force: replace a run of that name.
        how: repeats, deals of folds and seeds; refit, whether a head fitted to all rows answers; pseudo, a probability
            from which on test rows are learnt; balance, whether rare classes count for as much; metric, groups and
            competition, as `look` takes them.

    Raises:
        UnknownNameError, UsageError: no such head, setting, label or policy; what cannot be.
        TrainingError, StoreError, SubmissionError: the name is taken; no head can learn from this; damaged files.

    >>> import catsdogs as cd
    >>> run = cd.train(cd.load("features"), "ridge", name="second", folds=2)
    >>> run.folder.as_posix(), run.oof.shape, run.submission.name
    ('submissions/second', (16, 2), 'submission.csv')
    """
    name, place = name or named_after(head), str(data) if data else None
    check_run_name(name, force)
    decided = corrections(features.files, features.folder, outliers)
    decided = decided._replace(relabel=decided.relabel | labels_by_id(relabel, features.files[0]))
    typed = [f"{key}={value}" for key, value in (settings or {}).items()]
    told = {name: str(how.get(name, "")) for name in ("competition", "metric", "groups")}
    plan = plan_of(head, typed, folds, seed, decided, **{key: one for key, one in how.items() if key not in told})
    files = with_task(features.files, place, **told)
    train_run(files, plan, name, data=place, command=f"catsdogs.train({head!r}, name={name!r})", force=force)
    return Run(name)


def named_after(head: str) -> str:
    """What a run is called if nobody says: `pca-256-logistic` of `pca:256+logistic`, `my_head` of a file of yours."""
    return re.sub(r"[^\w.-]+", "-", Path(head).stem if head.endswith(".py") else head).strip("-")


def check_run_name(name: str, force: bool) -> None:
    """Refuse a run's name that is taken or none, and a folder that cannot be written, before anything is read."""
    training.target_of(SUBMISSIONS, name, force)
    check_writable(SUBMISSIONS)


def plan_of(head: str, given: Sequence[str], folds: int, seed: int, corrected: Corrections, **how: Any) -> Plan:
    """What to train: a head by its name, with settings such as `C=0.1`, on corrected rows; `how` has more of a `Plan`.

    Raises:
        UnknownNameError, UsageError: as `heads.settled`.
    """
    name, settings = heads.settled(heads.canonical(head), given)
    return Plan(name, folds, seed, corrected.drop, corrected.relabel, settings, **how)


def corrections(files: _Files, folder: Path, policy: str) -> Corrections:
    """What a person decided about the photographs, as far as it is to be obeyed; `folder` has the decisions.

    Raises:
        UnknownNameError: no such policy.
        StoreError, TrainingError: as `decisions.corrections`.
    """
    if policy not in decisions.POLICIES:
        raise UnknownNameError("policy for --outliers", policy, list(decisions.POLICIES))
    decided = decisions.corrections(folder, files, policy)
    if decided.sentence:
        note(decided.sentence)
    return decided


def labels_by_id(given: Any, first: feature_file.Features) -> dict[str, str]:
    """Id -> label of a mapping, of pairs, or of a pandas Series, after each was held against the rows.

    Raises:
        UsageError: none of these; an id with two labels; ids that no row has.
        UnknownNameError: a label that no row may have.
    """
    if given is None:
        return {}
    pairs, what = _pairs(given)
    found: dict[str, str] = {}
    for id, label in pairs:
        if found.setdefault(id, label) != label:
            raise UsageError(f"The id {id} has two labels, {found[id]} and {label}", "Give each id one")
    known, allowed = set(first.ids["train"].tolist()), Allowed(first.classes, first.task)
    if strange := [id for id in found if id not in known]:
        problem = f"{what} {strange[0]!r} is the id of no training photograph{and_more(strange[1:], 'ids')}"
        raise UsageError(problem, f"Give ids such as {in_short(first.ids['train'][:2].tolist())}")
    for id, label in found.items():
        if allowed.find(label) is None:
            raise UsageError(f"{id} cannot be relabelled as {label!r}", f"Give it {allowed.in_words}")
    return {id: allowed.find(label) or label for id, label in found.items()}


def _pairs(given: Any) -> tuple[list[tuple[str, str]], str]:
    """Pairs of id and label, and what the ids are called."""
    if hasattr(given, "columns"):  # a frame of pandas, which is not imported for this
        if "label" not in given.columns:
            columns = in_short(list(map(str, given.columns)))
            raise UsageError(
                f"The frame has no column label, but {columns}", "Give frame['NAME'], the column of labels"
            )
        given = given["label"]
    if hasattr(given, "index") and hasattr(given, "items"):
        return [(str(id), str(label)) for id, label in given.items()], "The index"
    pairs = list(given.items() if isinstance(given, Mapping) else given if isinstance(given, Iterable) else [given])
    if strange := [pair for pair in pairs if isinstance(pair, str) or not isinstance(pair, Sized) or len(pair) != 2]:
        raise UsageError(f"{strange[0]!r} is no pair of id and label", "Give a mapping, such as {'cat.0': 'dog'}")
    return [(str(id), str(label)) for id, label in pairs], "The id"


def train_run(
    files: _Files, plan: Plan, name: str, *, data: str | None, command: str, force: bool = False
) -> run_card.Run:
    """Train, write the run, and note what was left out, kept together, scored and written.

    Args:
        files: with the task that the run is for, see `reading.with_task`.
        data: where the photographs are, if not where the files remember them.
        command: what the user typed.
    """
    to = files[0].task.competition
    truth, sample = dict[str, str](), None
    if plan.protocol:
        refuse_idle_data(data, files)
        files, truth = replay.hold_out(files, plan.protocol, plan.held_out)
        if copies := replay.copies_learnt(files[0]):
            note(f"{copies:,} of the {len(truth):,} hidden photographs have copies among the others, as in that split")
    elif dataset := find_again(data, files[0].source, files[0].task):
        sample = _sample_submission(files, dataset)
    run = training.train(
        files,
        plan,
        submissions=SUBMISSIONS,
        name=name,
        sample_submission=sample,
        truth=truth,
        competition=to,
        command=command,
        force=force,
    )
    _note_run(run, files, plan)
    return run


def _sample_submission(files: _Files, dataset: Dataset) -> str | None:
    """The data set's sample submission, unless its labelled photographs were held out to be the test rows."""
    test_rows = (dataset.find("test", id) for id in files[0].ids["test"])
    if not any(row and row.split == "train" for row in test_rows):
        return dataset.sample_submission
    for file in files:
        try:
            replay.refuse_taught(file)
        except TrainingError as error:  # the score out of fold is fair all the same
            note(f"No grade of the test photographs will be honest: {error.problem}")
    return None


def _note_run(run: run_card.Run, files: _Files, plan: Plan) -> None:
    """What was left out, kept together and scored, and the files of the run."""
    folder = SUBMISSIONS / run.name
    if run.left_out:
        note(f"left out, for no photograph shows them: {len(run.left_out):,} classes ({in_short(run.left_out)})")
    if run.copies:
        several = sum(map(len, run.copies))
        note(f"kept in one fold each: pictures that occur again, {len(run.copies):,}, with {several:,} photographs")
    if rare := TrainingRows.of(files, plan.drop, plan.relabel, run.copies).rare(run.folds):
        note(rare)
    if plan.copies is None and (why := duplicates.why_not_near(files)):
        note(f"Of copies, only those of the same bytes were looked for: {why}")
    for score in run.scores:
        note(score)
    if run.unreadable:
        note_rows(
            list(run.unreadable.items()),
            lambda id, reason: f"given the class prior, for it cannot be read: test/{id} ({reason})",
            folder / run_card.RUN_FILE,
        )
    for path in sorted(folder.iterdir()):
        wrote(path)

"""What a person decided about suspects: which training rows are left out of training, and which get another label."""

import contextlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from catsdogs.cleaning.suspect_table import OUTLIERS_FILE
from catsdogs.cleaning.votes import collect_votes, shortened
from catsdogs.errors import DatasetError, LockedError, StoreError, TrainingError, and_more, to_choose_from
from catsdogs.features.feature_file import Features
from catsdogs.files import locks, storage, tables
from catsdogs.files.atomic import replacing, write_errors
from catsdogs.files.tables import Cells, NoTableError
from catsdogs.photographs import label_texts
from catsdogs.photographs.names import Names, one_form
from catsdogs.photographs.task import LABELS, Task

DECISIONS_FILE = "decisions.csv"
DECISION_COLUMNS = ("id", "decision", "label", "when")
KEEP, DROP, RELABEL = "keep", "drop", "relabel"
POLICIES = ("decided", "drop", "keep")  # of `corrections`, the default first
_LISTED = "the run's oof.csv marks them"
_LOCK = ".decisions.lock"
_PATIENCE = 5.0  # seconds to wait for another writer, who needs milliseconds


class Decision(NamedTuple):
    """One train row: keep it, drop it, or relabel it as `label`, see `Allowed`; `when` is the time, as written."""

    id: str
    decision: str
    label: str = ""
    when: str = ""


class Allowed(NamedTuple):
    """What a row may be relabelled as.

    Attributes:
        classes: those that the rows have. Of tasks of several labels or numbers any other text of such will do.
        task: what is asked of each photograph; None if it is one of the classes.
    """

    classes: tuple[str, ...]
    task: Task | None = None

    def find(self, text: str) -> str | None:
        """A label as the rows write it, such as `rust|scab` for `scab | rust`; None for what is none."""
        if self.task is None or self.task.has_classes:
            found = Names(self.classes).find(text) or text
            return found if found in self.classes else None
        if self.task.kind == LABELS:
            known = Names(self.task.names)
            shown = [known.find(part.strip()) or "" for part in label_texts.labels_in(text)]
            return label_texts.text_of(shown, self.task.names) if all(shown) else None
        text = label_texts.SEPARATOR.join(part.strip() for part in text.split(label_texts.SEPARATOR))
        try:
            label_texts.table_of(self.task, [text])
        except DatasetError:
            return None
        return text

    @property
    def in_words(self) -> str:
        """What a label may say."""
        if self.task is None or self.task.has_classes:
            return f"one of the classes: {to_choose_from(self.classes)}"
        names = to_choose_from(self.task.names)
        if self.task.kind == LABELS:
            return f"labels with | between, or {label_texts.NO_LABEL}: {names}"
        several = f"numbers with | between: {names}"
        return several if len(self.task.names) > 1 else "a number"


class Corrections(NamedTuple):
    """What is done to the train rows before a head learns from them.

    Attributes:
        drop: the train ids to leave out.
        relabel: train id -> the label that counts instead of the one given.
        sentence: how many of both, why, and where they are listed; empty where nothing is corrected.
    """

    drop: frozenset[str]
    relabel: dict[str, str]
    sentence: str


def read_decisions(
    path: Path, classes: Sequence[str], ids: Iterable[str] = (), task: Task | None = None
) -> dict[str, Decision]:
    """Train id -> the last decision about it in `decisions.csv`; `label` and `when` may be missing or empty.

    Args:
        classes, task: what a row may be relabelled as, see `Allowed`.
        ids: those of photographs, which an id of the table may name in another Unicode form or without its blanks.

    Raises:
        StoreError: not a table with an id and a decision, or a row without an id, with another word than keep, drop
            or relabel, or that relabels as something that is not allowed.
    """
    known = Names(ids)
    decided = filter(None, _decisions(path, _read_cells(path), Allowed(tuple(classes), task)))
    named = (decision._replace(id=known.find(decision.id) or decision.id) for decision in decided)
    return {decision.id: decision for decision in named}


def decide(path: Path, decision: Decision, classes: Sequence[str], task: Task | None = None) -> Decision:
    """Append a decision to the table, which is made if need be, and return it; its `when` is now, UTC, ISO 8601.

    The table is on the disk when this returns. Columns and rows that a person typed stay as they are.

    Raises:
        StoreError: as `read_decisions`; the decision itself is a bad row; the table cannot be written. It is unchanged.
        LockedError: another process is writing it, and does not come to an end.
    """
    allowed = Allowed(tuple(classes), task)
    decision = decision._replace(when=datetime.now(UTC).isoformat(timespec="seconds"))
    _check_decision(decision, f"The decision about {decision.id}", allowed)
    if decision.id != decision.id.strip():  # reading forgives spaces that were typed around an id, and would miss it
        raise StoreError(f"The name of {decision.id!r} begins or ends with a space", "Rename the photograph")
    with _locked(path) as typed:
        _decisions(path, typed, allowed)
        rows, header = typed.rows, _header(typed.rows)
        missing = [column for column in DECISION_COLUMNS if column not in header]
        # Cells beyond the last column have no meaning, and must not get that of a new column.
        stray = [""] * (max(map(len, rows)) - len(header)) if missing else []
        rows[0] += [*stray, *missing]
        cells = decision._asdict()
        rows.append([cells.get(column, "") for column in _header(rows)])
        _write_cells(path, typed)
    return decision


def undo(path: Path, id: str, classes: Sequence[str], task: Task | None = None) -> Decision | None:
    """Take the last row about a train id away; the decision about it that counts from now on, or None.

    Raises:
        StoreError, LockedError: as `decide`.
    """
    with _locked(path) as typed:
        decisions = _decisions(path, typed, Allowed(tuple(classes), task))
        about = [row for row, one in enumerate(decisions) if one and one_form(one.id) == one_form(id)]
        if about:
            del typed.rows[about[-1] + 1]  # below the header
            _write_cells(path, typed)
        return decisions[about[-2]] if len(about) > 1 else None


def corrected_ids(path: Path, first: Features) -> dict[str, bool]:
    """Train id -> whether a person dropped or relabelled it; False where it was kept; empty without `decisions.csv`.

    Raises:
        StoreError: as `read_decisions`.
    """
    if not storage.exists(path):
        return {}
    found = read_decisions(path, first.classes, first.ids["train"].tolist(), first.task)
    return {id: decision.decision != KEEP for id, decision in found.items()}


def corrections(folder: Path, files: Sequence[Features], policy: str) -> Corrections:
    """What one of `POLICIES` does to the train rows of `files`; test rows are never touched.

    decided: what the folder's `decisions.csv` drops and relabels; nothing where there is none.
    drop: the same where there is one, for a person's word counts most. Otherwise the train rows are dropped that every
        network votes against by its top 10 labels, see `votes.Ballots`. They are counted anew from the feature files,
        because an `outliers.csv` may be older than these, or made with another `-k`.
    keep: nothing, whatever was decided.

    Raises:
        StoreError: a bad row in `decisions.csv`; or networks are to vote, and no file has labels to vote with.
        TrainingError: no class is of pets, or the votes drop more than half of the rows, so that they tell nothing.
    """
    path = folder / DECISIONS_FILE
    if policy != "keep" and storage.exists(path):
        return _decided(path, files[0])
    if policy == "drop":
        return _without_pets(folder, files)
    return Corrections(frozenset(), {}, "")


def _decided(path: Path, first: Features) -> Corrections:
    """The corrections that a person decided; decisions about ids that are no train rows are counted, and do nothing."""
    ids = set(first.ids["train"].tolist())
    decided = read_decisions(path, first.classes, ids, first.task).values()
    present = [decision for decision in decided if decision.id in ids]
    absent = Counter(decision.decision for decision in decided if decision.id not in ids)
    drop = frozenset(decision.id for decision in present if decision.decision == DROP)
    relabel = {decision.id: decision.label for decision in present if decision.decision == RELABEL}
    more = {word: f" ({number:,} more are not among the train rows)" for word, number in absent.items()}
    sentence = f"Left out: {len(drop):,} of {len(ids):,} train rows, which {path} drops{more.get(DROP, '')}; {_LISTED}"
    if relabel or absent[RELABEL]:
        sentence += f"; relabelled: {len(relabel):,}{more.get(RELABEL, '')}"
    return Corrections(drop, relabel, sentence)


def _without_pets(folder: Path, files: Sequence[Features]) -> Corrections:
    """The corrections by vote: the train rows are dropped that all networks vote against."""
    first = files[0]
    rows = len(first.labels)
    ballots = collect_votes(files)
    networks = len(ballots.names)
    remedy = f"Train with --outliers keep, or name the rows to drop in {folder / DECISIONS_FILE}"
    if not ballots.is_about_pets:
        which = f"the photographs of {shortened(first.classes)} show none"
        if not first.task.has_classes:
            which = f"networks vote on classes of pets, not on {shortened(first.task.names)}"
        raise TrainingError(f"--outliers drop leaves out what shows no pet, and {which}", remedy)
    unanimous, judged = np.flatnonzero(ballots.unanimous("train")), np.count_nonzero(ballots.voted_on("train"))
    if 2 * len(unanimous) > judged:
        raise TrainingError(
            f"No network sees a pet in {len(unanimous):,} of {judged:,} train rows, so these are not of cats and dogs",
            remedy,
        )
    table, without_vote = folder / OUTLIERS_FILE, shortened(ballots.without_vote)
    return Corrections(
        frozenset(ballots.first.ids["train"][unanimous].tolist()),
        {},
        f"Left out: {len(unanimous):,} of {rows:,} train rows, in which {networks} of {networks} networks see no pet; "
        f"{_LISTED}"
        + (f"; no vote among {without_vote}, most of which show none" if without_vote else "")
        + (f", suspects and reasons are in {table}" if table.exists() else ""),
    )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[Cells]:
    """The cells of the table, or of a new one, which is held for one writer, thread or process; others wait."""
    if storage.is_remote(path):
        raise StoreError(
            f"Decisions are not written to an object store such as {path.parent}",
            f"Review a copy of that folder on this machine, and put its {DECISIONS_FILE} there",
        )
    with contextlib.ExitStack() as stack:
        try:
            with write_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locks.hold(path.with_name(_LOCK), _PATIENCE))
        except LockedError:
            raise LockedError(f"Another process is writing {path}", "Try again when it has ended") from None
        yield _read_cells(path) if storage.exists(path) else Cells([list(DECISION_COLUMNS)])


def _read_cells(path: Path) -> Cells:
    """The cells of the table as they were typed, the header first."""
    try:
        typed = tables.cells(tables.decode(path.read_bytes())[0])
    except OSError as error:
        raise storage.read_error(path, error) from None
    except NoTableError as error:
        raise StoreError(f"{path} cannot be read: {error}", "Save it as CSV in UTF-8") from None
    header = _header(typed.rows)
    if not {"id", "decision"} <= set(header) or any(header.count(column) > 1 for column in DECISION_COLUMNS):
        raise StoreError(
            f"{path}, row 1 has the columns {tables.in_line(header, typed.delimiter)}",
            f"Its first line must be {','.join(DECISION_COLUMNS)}",
        )
    return typed


def _write_cells(path: Path, typed: Cells) -> None:
    """Write the table as it was saved: with its delimiter, and in its encoding if that has all letters."""
    encoding = tables.decode(path.read_bytes())[1] if path.exists() else "utf-8"
    text = io.StringIO(newline="")
    if typed.is_declared:
        text.write(f"sep={typed.delimiter}\n")
    tables.write_rows(text, typed.rows, typed.delimiter)
    try:
        data = text.getvalue().encode(encoding)
    except UnicodeEncodeError:
        data = text.getvalue().encode("utf-8-sig")
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _header(rows: Sequence[Sequence[str]]) -> list[str]:
    return [column.strip().lower() for column in rows[0]] if rows else []


def _decisions(path: Path, typed: Cells, allowed: Allowed) -> list[Decision | None]:
    """What each row below the header decides; None for an empty one."""
    header = _header(typed.rows)
    decisions: list[Decision | None] = []
    mistakes: list[tuple[int, StoreError]] = []
    for number, row in enumerate(typed.rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            decisions.append(None)
            continue
        named = dict.fromkeys(DECISION_COLUMNS, "") | dict(zip(header, map(str.strip, row), strict=False))
        label = allowed.find(named["label"]) or named["label"]
        decision = Decision(named["id"], named["decision"].lower(), label, named["when"])
        try:
            _check_decision(decision, f"{path}, row {number + typed.is_declared}", allowed)
        except StoreError as error:
            mistakes.append((number + typed.is_declared, error))
        decisions.append(decision)
    if mistakes:
        (_, first), *others = mistakes
        more = and_more([number for number, _ in others], "rows that cannot be used")
        raise StoreError(f"{first.problem}{more}", first.remedy, [error.problem for _, error in mistakes])
    return decisions


def _check_decision(decision: Decision, place: str, allowed: Allowed) -> None:
    if not decision.id:
        raise StoreError(f"{place} has no id", "Complete or remove the row")
    if decision.decision not in (KEEP, DROP, RELABEL):
        raise StoreError(f"{place} decides {decision.decision!r}", f"Write {KEEP}, {DROP} or {RELABEL}")
    if decision.decision == RELABEL and allowed.find(decision.label) != decision.label:
        raise StoreError(
            f"{place} relabels {decision.id} as {decision.label or 'nothing'}",
            f"Put into the column label {allowed.in_words}",
        )

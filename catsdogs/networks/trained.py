"""A network trained here: the folder `networks/<name>/`, its card, and the row that it adds to the table."""

import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catsdogs.errors import TrainingError, UnknownNameError, UsageError, WeightsError
from catsdogs.files import atomic, storage, tables
from catsdogs.files.atomic import replacing
from catsdogs.files.cards import as_json, typed
from catsdogs.files.tables import NoTableError
from catsdogs.networks import hub_rows
from catsdogs.networks.table import BACKBONES, HUB, MAKERS, RESCALED, SHORTHANDS, SMALL, Backbone

FOLDER = Path("networks")
FORMAT = "catsdogs network"
VERSION = 1
CARD_FILE = "network.json"
LEARNT_FILE = "learnt.csv"
KERNELS_FILE = "kernels.npz"
# Members: `all` learnt from every training photograph, `fold-1` from all but those of the first fold, and so on.
ALL = "all"
_UNKNOWN_DOUBT = " ± nan"  # earlier versions wrote it where no standard error was known
_LEARNT_COLUMNS = ("id", "digest", "label", "fold")


@dataclass(frozen=True)
class Card:
    """The content of `network.json`. It is written last, so a folder without it holds no network.

    Attributes:
        created: the time, UTC, ISO 8601.
        command: what the user typed.
        base: the network it started from, a row of the table or one of `architectures.small`.
        base_weights: SHA-256 of the weights it started from; empty for a network from scratch.
        input_size: side of the square input, in pixels.
        unfreeze: which layers of a pretrained network learnt: `last-block`, `all` or `none`; `all` from scratch.
        tricks: names of `finetuning.tricks`.
        teacher: the run whose probabilities it was taught, if it was distilled.
        classes: names, in the order of the labels.
        folds: how many members were trained without a fold of the photographs; 1 if there is the member `all` alone.
        rate: the learning rate before any schedule.
        source: the data set.
        weights: member -> SHA-256 of its weights file.
        learnt: SHA-256 of `learnt.csv`, the photographs it learnt from.
        scores: sentences; each says how it was measured.
    """

    name: str
    created: str
    command: str
    package_version: str
    base: str
    base_weights: str
    input_size: int
    unfreeze: str
    tricks: tuple[str, ...]
    teacher: str
    classes: tuple[str, ...]
    folds: int
    seed: int
    epochs: int
    batch_size: int
    rate: float
    source: str
    weights: dict[str, str]
    learnt: str
    scores: tuple[str, ...]


class Learnt(NamedTuple):
    """The n photographs that a network learnt from: arrays (n,) of ids, digests and class numbers.

    `folds` are the numbers, from 1, of the folds that held them out, and 0 without folds.
    """

    ids: NDArray[np.object_]
    digests: NDArray[np.uint64]
    labels: NDArray[np.int64]
    folds: NDArray[np.int64]


def names() -> list[str]:
    """The networks trained in this working folder."""
    return sorted(path.parent.name for path in FOLDER.glob(f"[!.]*/{CARD_FILE}"))


def check_free(name: str, force: bool) -> None:
    """Refuse a name that is not that of a folder, or is taken, unless by a network that may be replaced.

    Raises:
        UsageError: it is no name, or that of a network of the table.
        TrainingError: the name is taken.
    """
    kinds = {unicodedata.category(character) for character in name}
    is_text = name == name.strip() and not kinds & {"Cc", "Cs"}  # no control characters, no half surrogate pairs
    if not name or name.startswith(".") or Path(name).name != name or {",", "@"} & {*name} or not is_text:
        raise UsageError(f"The network's name {name!r} is not that of a folder", "Give --name letters, digits, hyphens")
    if name in (*BACKBONES, *SHORTHANDS, *SMALL) or name.startswith(MAKERS):
        raise UsageError(f"{name} is the name of a network already", f"Give another --name, such as my-{name.lower()}")
    atomic.clear_leftovers(FOLDER / name)
    if (FOLDER / name / CARD_FILE).exists() and not force:
        raise TrainingError(f"There is a network at {FOLDER / name} already", "Choose another --name, or give --force")


def read_card(folder: Path) -> Card:
    """The card of a trained network.

    Raises:
        UnknownNameError: there is none.
        WeightsError: it is damaged, or of a newer version.
    """
    path = folder / CARD_FILE
    if not storage.exists(path):
        raise UnknownNameError("trained network", folder.name, names())
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"the format is {content['format']!r}")
        if content["version"] != VERSION:
            raise WeightsError(f"{path} has version {content['version']}, not {VERSION}", "Upgrade catsdogs")
        card: Card = typed(Card, {field.name: content[field.name] for field in fields(Card)}, "network")
        is_known = card.base in (*BACKBONES, *SMALL) or _is_hubs(card.base)
        if not is_known or ALL not in card.weights or card.input_size < 1:
            raise ValueError(f"base {card.base!r}, input size {card.input_size}, members {', '.join(card.weights)}")
    except OSError as error:
        raise storage.read_error(path, error, WeightsError) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(
            f"{path} is damaged ({type(error).__name__}: {error})", f"Train it again with --name {folder.name} --force"
        ) from None
    return replace(card, scores=tuple(text.replace(_UNKNOWN_DOUBT, "") for text in card.scores))


def write_card(folder: Path, card: Card) -> None:
    """Write the card, which makes the folder a network."""
    content = {"format": FORMAT, "version": VERSION, **asdict(card)}
    with replacing(folder / CARD_FILE) as temporary:
        temporary.write_text(as_json(content), encoding="utf-8")


def row(folder: Path) -> Backbone:
    """A trained network as a row of the table; raises as `read_card`."""
    card = read_card(folder)
    if _is_hubs(card.base):
        base = hub_rows.described(folder, card.base, card.input_size)
    else:
        base = (BACKBONES | SMALL)[card.base]
    preprocessing = "none" if base.preprocessing == RESCALED else base.preprocessing  # its kernels carry the rest
    row = Backbone(card.name, card.input_size, base.width, preprocessing, trained=folder.resolve())
    return replace(row, vector=base.vector, source=base.source)


def weights_path(folder: Path, member: str) -> Path:
    """Where a member's weights lie."""
    return folder / f"{member}.weights.h5"


def check_weights(folder: Path) -> str:
    """Check each file against the card; returns the SHA-256 of all that a vector depends on.

    Raises:
        WeightsError: a file is missing or is not the one that was trained.
    """
    card = read_card(folder)
    files = {weights_path(folder, member): digest for member, digest in card.weights.items()}
    for path, expected in (files | {folder / LEARNT_FILE: card.learnt}).items():
        try:
            received = file_digest(path)
        except FileNotFoundError:
            raise WeightsError(f"{path} cannot be read: it is missing", _train_again(card)) from None
        except OSError as error:
            raise storage.read_error(path, error, WeightsError) from None
        if received != expected:
            raise WeightsError(
                f"{path} has the wrong hash. Received: {received}. Expected: {expected}", _train_again(card)
            )
    described = [file_digest(path) for path in hub_rows.description(folder)] if _is_hubs(card.base) else []
    whole = [sorted(card.weights.items()), card.learnt, *described]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()


def file_digest(path: Path, kind: str = "sha256") -> str:
    """The digest of a file's bytes, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def write_learnt(folder: Path, learnt: Learnt, classes: Sequence[str], columns: Mapping[str, NDArray]) -> None:
    """Write which photographs were learnt from, with further (n,) columns of numbers."""
    rows = []
    for number, (id, digest, label, fold) in enumerate(zip(*learnt, strict=True)):
        figures = (f"{column[number]:.9g}" for column in columns.values())
        rows.append((id, f"{digest:016x}", classes[label], fold, *figures))
    tables.write_table(folder / LEARNT_FILE, (*_LEARNT_COLUMNS, *columns), rows)


def fold_of_digest(folder: Path) -> dict[int, int]:
    """Digest of each photograph that a network learnt from -> the fold that held it out, as in `Learnt`.

    Raises:
        WeightsError: the table is missing or damaged.
    """
    path = folder / LEARNT_FILE
    try:
        header, *rows = tables.cells(path.read_bytes().decode("utf-8")).rows
        lines = (dict(zip(header, row, strict=True)) for row in rows)
        folds = {int(line["digest"], 16): int(line["fold"]) for line in lines}
    except OSError as error:
        raise storage.read_error(path, error, WeightsError) from None
    except (ValueError, KeyError, NoTableError) as error:
        raise WeightsError(f"{path} is damaged: {error}", _train_again(read_card(folder))) from None
    card = read_card(folder)
    if not folds or not set(folds.values()) <= (set(range(1, card.folds + 1)) if card.folds > 1 else {0}):
        raise WeightsError(f"{path} does not fit {CARD_FILE}", _train_again(card))
    return folds


def _is_hubs(base: str) -> bool:
    """Whether a network was trained from KerasHub's; then its folder has the JSON that describes it."""
    return base.startswith(f"{HUB}-")


def _train_again(card: Card) -> str:
    return f"Train it again with --name {card.name} --force"

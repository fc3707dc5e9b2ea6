"""Verification: do two photographs show the same class? Answered by a run whose head is a twin, for any class."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from catsdogs.errors import CatsdogsError, TrainingError, UnreadablePhotographError
from catsdogs.features import joining, neighbours
from catsdogs.files import storage
from catsdogs.files.atomic import replacing
from catsdogs.heads.twin import Twin
from catsdogs.photographs import images
from catsdogs.photographs.sheet import ALARM, GROUND, INK, font, place
from catsdogs.runs import answers, ensemble, run_card
from catsdogs.runs.run_card import TrainedRun

_PICTURE_BOX = (400, 320)  # pixels for a picture; larger ones are shrunk to fit, smaller ones shown as they are
_SPACE, _ANSWER_SIZE, _NOTE_SIZE = 24, 26, 15
_SAME = "#1b6e3c"
_LINE_LETTERS = 105  # letters of a line across the sheet
_NAME_LETTERS = 44  # of a file's name, which fit under its picture

_Picture = TypeVar("_Picture")


class Nearest(NamedTuple):
    """The learnt photograph nearest to another one: their cosine, and the share of `neighbours.unfamiliarity`."""

    id: str
    label: str
    similarity: float
    unfamiliarity: float

    @property
    def is_far(self) -> bool:
        """Whether hardly any learnt photograph lies as far from all the others."""
        return self.unfamiliarity >= neighbours.FAR

    def __str__(self) -> str:
        far = f"{self.unfamiliarity:.1%} of the learnt photographs lie nearer to another learnt one"
        return f"nearest to the learnt {self.id} ({self.label}), similarity {self.similarity:.3f}; {far}"


@dataclass(frozen=True)
class Verdict:
    """The answer of a run about two photographs.

    Attributes:
        probability: that of the same class, the mean over the folds' heads, where half of all pairs are of one class.
        nearest: the learnt photograph nearest to the left and to the right one; empty where they are not at hand.
        unknown: why they are not.
    """

    run: str
    left: Path
    right: Path
    probability: float
    nearest: tuple[Nearest, ...] = ()
    unknown: str = ""

    @property
    def answer(self) -> str:
        """The same class or not."""
        if self.probability >= 0.5:
            return f"the same class, probability {self.probability:.3f}"
        return f"different classes, probability {1 - self.probability:.3f}"

    @property
    def doubt(self) -> str:
        """Why the answer says little; empty where both photographs lie among what was learnt."""
        if self.unknown:
            return f"How far they lie from what the run has learnt is not known: {self.unknown}"
        far = [path.name for path, near in zip((self.left, self.right), self.nearest, strict=False) if near.is_far]
        if not far:
            return ""
        who = f"{far[0]} is" if len(far) == 1 else "Both are"
        return f"{who} unlike all that the run has learnt, so this probability says little"

    def __str__(self) -> str:
        lines = [f"{path.name}: {near}" for path, near in zip((self.left, self.right), self.nearest, strict=False)]
        return "\n".join(filter(None, (self.answer, self.doubt, *lines)))


def verify(run_folder: Path, left: Path, right: Path, weights_dir: str | None = None) -> Verdict:
    """Whether two photographs show the same class, which need not be one of the run's.

    Raises:
        TrainingError: the head of the run is no twin.
        UnreadablePhotographError: one of the photographs is missing or cannot be decoded.
        CatsdogsError: no such run, or networks that are not those the run was trained on.
    """
    trained_run = run_card.load_run(run_folder)
    run, heads = trained_run.run, twin_heads(trained_run)
    for path in (left, right):
        _read(path, images.dimensions)
    networks = ensemble.networks_of(run_folder, run, weights_dir)
    fits = {network.backbone.fit for network in networks}
    pixels = [_read(path, partial(images.load, fits=fits)) for path in (left, right)]  # before networks are loaded
    members = ensemble.load_members(networks)
    A, B = (ensemble.look(members, picture)[1] for picture in pixels)
    probability = float(np.mean([head.same(A, B)[0] for head in heads]))
    try:
        return Verdict(run.name, left, right, probability, _nearest(run, (A, B)))
    except CatsdogsError as error:
        return Verdict(run.name, left, right, probability, unknown=str(error))


def _nearest(run: run_card.Run, photographs: Sequence[NDArray[np.float32]]) -> tuple[Nearest, ...]:
    """The nearest photograph that the run has learnt from, for each of some by its (1, width) vectors.

    Raises:
        CatsdogsError: the feature files of the run are not there any more, or others.
    """
    files = answers.training_files(run, storage.place(run.features))
    first = files[0]
    gallery = neighbours.Gallery(joining.Joined(files, "train", normalised=True))
    usual, nearest = gallery.usual(), []
    for vectors in photographs:
        (row,), (cosine,) = gallery.nearest(vectors, 1)
        share = float(neighbours.unfamiliarity(np.array([cosine]), usual)[0])
        label = first.classes[first.labels[row]]
        nearest.append(Nearest(str(first.ids["train"][row]), label, min(1.0, float(cosine)), share))
    return tuple(nearest)


def twin_heads(trained_run: TrainedRun) -> list[Twin]:
    """The heads of a run, one for each fold.

    Raises:
        TrainingError: they are no twins.
    """
    within = [getattr(head, "parts_", [head])[0] for head in trained_run.heads]  # of grades a head is around another
    heads = [head for head in within if isinstance(head, Twin)]
    if not heads:
        raise TrainingError(
            f"The head of the run {trained_run.run.name} is {trained_run.run.head}, which compares no two photographs",
            "Give --name a run that was trained with --head twin",
        )
    return heads


def draw_verdict(path: Path, verdict: Verdict) -> None:
    """The two photographs side by side under the verdict, as a PNG.

    Raises:
        UnreadablePhotographError: one of them is gone.
        StoreError: the file cannot be written.
    """
    top, text = 2 * _SPACE + _ANSWER_SIZE, font(_NOTE_SIZE)
    doubt = textwrap.wrap(verdict.doubt, _LINE_LETTERS)
    top += round(1.3 * _NOTE_SIZE) * len(doubt)
    sheet = Image.new("RGB", (3 * _SPACE + 2 * _PICTURE_BOX[0], top + _PICTURE_BOX[1] + 4 * _SPACE), GROUND)
    pen = ImageDraw.Draw(sheet)
    colour = _SAME if verdict.probability >= 0.5 else ALARM
    title = verdict.answer[0].upper() + verdict.answer[1:]
    pen.text((_SPACE, _SPACE), title, fill=colour, font=font(_ANSWER_SIZE))
    for number, line in enumerate(doubt):
        height = 1.5 * _SPACE + _ANSWER_SIZE + number * round(1.3 * _NOTE_SIZE)
        pen.text((_SPACE, height), line, fill=ALARM, font=text)
    for number, photograph in enumerate((verdict.left, verdict.right)):
        left = _SPACE + number * (_PICTURE_BOX[0] + _SPACE)
        place(sheet, _read(photograph, images.decode), left, top, _PICTURE_BOX)
        pen.text((left, top + _PICTURE_BOX[1] + _SPACE // 3), _clipped(photograph.name), fill=INK, font=text)
        if verdict.nearest:
            near = verdict.nearest[number]
            line = f"nearest learnt: {_clipped(near.id, 16)}; {near.unfamiliarity:.1%} of the learnt lie nearer"
            pen.text((left, top + _PICTURE_BOX[1] + _SPACE + 4), line, fill=INK, font=text)
    pen.text((_SPACE, top + _PICTURE_BOX[1] + 3 * _SPACE - 4), f"asked of the run {verdict.run}", fill=INK, font=text)
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")


def _read(path: Path, decode: Callable[[bytes], _Picture]) -> _Picture:
    try:
        return decode(path.read_bytes())
    except (OSError, UnreadablePhotographError) as error:
        reason = error.reason if isinstance(error, UnreadablePhotographError) else error.strerror
        raise UnreadablePhotographError(f"{path} cannot be read: {reason}") from None


def _clipped(name: str, letters: int = _NAME_LETTERS) -> str:
    return name if len(name) <= letters else f"{name[: letters - 1]}…"

"""Two photographs: do they show the same class or not? Answered by a run whose head is a twin, of any classes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from catsdogs import images, prediction, predictor, runs
from catsdogs.errors import TrainingError, UnreadablePhotographError
from catsdogs.files import replacing
from catsdogs.heads.twin import Twin
from catsdogs.runs import TrainedRun

_ROOM = (400, 320)  # pixels for a picture; larger ones are shrunk to fit, smaller ones shown as they are
_GAP, _TITLE_SIZE, _TEXT_SIZE = 24, 26, 15
_GROUND, _EMPTY, _INK, _SAME, _OTHER = "#ffffff", "#f1f1ef", "#1d1d1f", "#1b6e3c", "#b3261e"
_LETTERS = 44  # of a file's name, which fit under its picture


@dataclass(frozen=True)
class Verdict:
    """What a run says of two photographs.

    `probability` is that of the same class, the mean over the folds' heads, where half of all pairs are of one class.
    """

    run: str
    left: Path
    right: Path
    probability: float

    def __str__(self) -> str:
        if self.probability >= 0.5:
            return f"the same class, probability {self.probability:.3f}"
        return f"different classes, probability {1 - self.probability:.3f}"


def verify(run_folder: Path, left: Path, right: Path, weights_dir: str | None = None) -> Verdict:
    """Whether two photographs show the same class, which need not be one of the run's.

    Raises:
        TrainingError: the head of the run is no twin.
        UnreadablePhotographError: one of the photographs is missing or cannot be decoded.
        CatsdogsError: no such run, or networks that are not those the run was trained on.
    """
    trained = runs.load(run_folder)
    heads = twins(trained)
    for path in (left, right):
        _picture(path)  # refused before networks are loaded
    members = predictor.load(prediction.networks_of(run_folder, trained.run, weights_dir))
    sizes = {member.recipe.input_size for member in members}
    A, B = (predictor.look(members, images.load(path.read_bytes(), sizes))[1] for path in (left, right))
    return Verdict(trained.run.name, left, right, float(np.mean([head.same(A, B)[0] for head in heads])))


def twins(trained: TrainedRun) -> list[Twin]:
    """The heads of a run, one for each fold.

    Raises:
        TrainingError: they are no twins.
    """
    found = [head for head in trained.heads if isinstance(head, Twin)]
    if not found:
        raise TrainingError(
            f"The head of the run {trained.run.name} is {trained.run.head}, which compares no two photographs",
            "Give --name a run that was trained with --head twin",
        )
    return found


def draw(path: Path, verdict: Verdict) -> None:
    """The two photographs side by side under the verdict, as a PNG.

    Raises:
        UnreadablePhotographError: one of them is gone.
        StoreError: the file cannot be written.
    """
    text = ImageFont.load_default(_TEXT_SIZE)
    top = 2 * _GAP + _TITLE_SIZE
    sheet = Image.new("RGB", (3 * _GAP + 2 * _ROOM[0], top + _ROOM[1] + 3 * _GAP), _GROUND)
    pen = ImageDraw.Draw(sheet)
    colour = _SAME if verdict.probability >= 0.5 else _OTHER
    pen.text((_GAP, _GAP), f"{verdict}".capitalize(), fill=colour, font=ImageFont.load_default(_TITLE_SIZE))
    for number, photograph in enumerate((verdict.left, verdict.right)):
        picture = _picture(photograph)
        picture.thumbnail(_ROOM)
        left = _GAP + number * (_ROOM[0] + _GAP)
        pen.rectangle((left, top, left + _ROOM[0] - 1, top + _ROOM[1] - 1), fill=_EMPTY)
        sheet.paste(picture, (left + (_ROOM[0] - picture.width) // 2, top + (_ROOM[1] - picture.height) // 2))
        pen.text((left, top + _ROOM[1] + _GAP // 3), _short(photograph.name), fill=_INK, font=text)
    pen.text((_GAP, top + _ROOM[1] + 2 * _GAP - 4), f"asked of the run {verdict.run}", fill=_INK, font=text)
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")


def _picture(path: Path) -> Image.Image:
    try:
        return images.decode(path.read_bytes())
    except (OSError, UnreadablePhotographError) as error:
        why = error.reason if isinstance(error, UnreadablePhotographError) else error.strerror
        raise UnreadablePhotographError(f"{path} cannot be read: {why}") from None


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"

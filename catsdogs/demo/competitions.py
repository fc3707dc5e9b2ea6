"""Draws small competitions of every kind, in the folders, tables and forms of ids in which organisers publish them.

What is to be told apart in them is what `things` draws.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from PIL import Image

from catsdogs.demo.things import EMPTY, SIZES, Look, draw_thing, looks
from catsdogs.errors import DatasetError, UnknownNameError
from catsdogs.files import tables

SEED = 2018
DATA_FOLDER, TRUTH_FILE, README_FILE = "data", "truth.csv", "README.txt"
SAMPLE = "sample_submission.csv"
TILE = ((96, 96),)  # the size of a tile of tissue

README = """{kind}: drawn pictures, not photographs; seed {seed}. {sentence}.
`catsdogs.demo.competitions` drew them, so that a competition of this kind can be tried without a download. No score
measured on them says anything about photographs.

data/       the competition, as its organisers would publish it
truth.csv   the right answers, in the form of its sample submission
"""


class Drawn(NamedTuple):
    """A competition that was drawn.

    Attributes:
        data: the folder that a Kaggler would download.
        truth: a CSV of the right answers, beside that folder.
        flags: what a person must say where the files do not tell, by the names of `photographs.recognition.Given`.
        metric: what its answers are scored by.
    """

    data: Path
    truth: Path
    flags: dict[str, str]
    metric: str


class _Layout(NamedTuple):
    """The files of a competition, and the truth: its header, and a row for each photograph that is asked for."""

    files: dict[str, bytes]
    header: Sequence[str]
    truth: Sequence[Sequence[object]]


class _Kind(NamedTuple):
    sentence: str
    lay_out: Callable[["_Studio"], _Layout]
    metric: str
    flags: Mapping[str, str] = {}


class _Studio:
    """Deals out classes and names, and draws; all from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def deal(self, counts: Sequence[int]) -> list[int]:
        """The number of each class as often as `counts` says, in random order."""
        return self.rng.permutation(np.repeat(np.arange(len(counts)), counts)).tolist()

    def names(self, count: int, digits: int = 10) -> list[str]:
        """So many different names, of hexadecimal digits of which the first is a letter."""
        drawn: dict[str, None] = {}
        while len(drawn) < count:
            drawn[self.rng.choice(list("abcdef")) + self.rng.bytes(digits).hex()[: digits - 1]] = None
        return list(drawn)

    def pictures(
        self, names: Iterable[str], shown: Iterable[Look], sizes: Sequence[tuple[int, int]] = SIZES
    ) -> dict[str, bytes]:
        """A file for each name, of the kind that its suffix says; its look is beside it in `shown`."""
        files = {}
        for name, look in zip(names, shown, strict=True):
            buffer = io.BytesIO()
            options = {} if name.endswith(".tif") else {"quality": 88}
            draw_thing(look, self.rng, sizes).save(buffer, Image.registered_extensions()[Path(name).suffix], **options)
            files[name] = buffer.getvalue()
        return files


def _table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    tables.write_rows(text, [header, *rows])
    return text.getvalue().encode()


def _archive(files: Mapping[str, bytes]) -> bytes:
    """A zip of these files, none compressed, all of the same day: the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def _in_folder(folder: str, names: Iterable[str], suffix: str = "") -> list[str]:
    return [f"{folder}/{name}{suffix}" for name in names]


def _one_hot(number: int, count: int) -> list[int]:
    return [int(column == number) for column in range(count)]


def _binary(studio: _Studio) -> _Layout:
    of = Look(pattern="plain"), Look(pattern="spotted")
    train, test = studio.deal((32, 28)), studio.deal((13, 13))
    ids = studio.names(len(train) + len(test), 40)
    learnt, asked = ids[: len(train)], ids[len(train) :]
    files = studio.pictures(_in_folder("train", learnt, ".tif"), [of[label] for label in train], TILE)
    files |= studio.pictures(_in_folder("test", asked, ".tif"), [of[label] for label in test], TILE)
    files["train_labels.csv"] = _table(("id", "label"), zip(learnt, train, strict=True))
    files[SAMPLE] = _table(("id", "label"), [(id, 0) for id in asked])
    return _Layout(files, ("id", "label"), list(zip(asked, test, strict=True)))


def _zips(studio: _Studio) -> _Layout:
    of = Look(pattern="patchy"), Look(pattern="striped")
    train, test = studio.deal((26, 38)), studio.deal((12, 16))
    ids = [f"{name}.jpg" for name in studio.names(len(train) + len(test), 16)]
    learnt, asked = ids[: len(train)], ids[len(train) :]
    header = ("id", "has_stripes")
    files = {
        "train.zip": _archive(studio.pictures(_in_folder("train", learnt), [of[label] for label in train])),
        "test.zip": _archive(studio.pictures(_in_folder("test", asked), [of[label] for label in test])),
        "train.csv.zip": _archive({"train.csv": _table(header, zip(learnt, train, strict=True))}),
        SAMPLE: _table(header, [(id, 0.5) for id in asked]),
    }
    return _Layout(files, header, list(zip(asked, test, strict=True)))


def _classes(studio: _Studio) -> _Layout:
    of = looks(10)
    train, test = studio.deal([8] * 10), studio.deal([3] * 10)
    names = [f"img_{number}.jpg" for number in studio.rng.permutation(5 * len(train))[: len(train) + len(test)]]
    learnt, asked = names[: len(train)], names[len(train) :]
    folders = [f"imgs/train/c{label}/{name}" for label, name in zip(train, learnt, strict=True)]
    files = studio.pictures(folders, [of[label] for label in train])
    files |= studio.pictures(_in_folder("imgs/test", asked), [of[label] for label in test])
    header = ("img", *(f"c{label}" for label in range(10)))
    files[SAMPLE] = _table(header, [(name, *[0.1] * 10) for name in asked])
    return _Layout(files, header, [(name, *_one_hot(label, 10)) for name, label in zip(asked, test, strict=True)])


def _one_hot_columns(studio: _Studio) -> _Layout:
    columns = ("bare", "blotched", "rings", "specks")
    of = [Look("oval", pattern, 120) for pattern in ("plain", "patchy", "striped", "spotted")]
    train, test = studio.deal((22, 14, 22, 20)), studio.deal((7, 5, 7, 7))
    ids = [f"Leaf_{number}" for number in studio.rng.permutation(len(train) + len(test))]
    learnt, asked = ids[: len(train)], ids[len(train) :]
    files = studio.pictures(_in_folder("images", ids, ".jpg"), [of[label] for label in (*train, *test)])
    header, count = ("image_id", *columns), len(columns)
    files["train.csv"] = _table(
        header, [(id, *_one_hot(label, count)) for id, label in zip(learnt, train, strict=True)]
    )
    files["test.csv"] = _table(("image_id",), [(id,) for id in asked])
    files[SAMPLE] = _table(header, [(id, *[1 / count] * count) for id in asked])
    return _Layout(files, header, [(id, *_one_hot(label, count)) for id, label in zip(asked, test, strict=True)])


def _name(studio: _Studio) -> _Layout:
    of = looks(5)
    train, test = studio.deal((9, 14, 12, 26, 11)), studio.deal((3, 6, 5, 10, 4))
    ids = [f"{number}.jpg" for number in 10**9 + studio.rng.permutation(10**4)[: len(train) + len(test)]]
    learnt, asked = ids[: len(train)], ids[len(train) :]
    files = studio.pictures(_in_folder("train_images", learnt), [of[label] for label in train])
    files |= studio.pictures(_in_folder("test_images", asked), [of[label] for label in test])
    header = ("image_id", "label")
    files["train.csv"] = _table(header, zip(learnt, train, strict=True))
    named = {str(number): f"{look.pattern} {look.shape}" for number, look in enumerate(of)}
    files["label_num_to_name.json"] = json.dumps(named).encode()
    files[SAMPLE] = _table(header, [(id, 3) for id in asked])
    return _Layout(files, header, list(zip(asked, test, strict=True)))


def _best_5(studio: _Studio) -> _Layout:
    counts = [9, 7, 6, 6, 5, 5, 4, 4, 3, 3, 3, 2, 2, 2, 2, *[1] * 7]
    of = looks(len(counts))
    train, test = studio.deal(counts), studio.deal([2] * 8 + [1] * (len(counts) - 8))
    who = [f"t_{name}" for name in studio.names(len(counts), 7)]
    ids = [f"{name}.jpg" for name in studio.names(len(train) + len(test), 8)]
    learnt, asked = ids[: len(train)], ids[len(train) :]
    files = studio.pictures(_in_folder("train", learnt), [of[label] for label in train])
    files |= studio.pictures(_in_folder("test", asked), [of[label] for label in test])
    header = ("Image", "Id")
    files["train.csv"] = _table(header, [(id, who[label]) for id, label in zip(learnt, train, strict=True)])
    files[SAMPLE] = _table(header, [(id, " ".join(who[:5])) for id in asked])
    return _Layout(files, header, [(id, who[label]) for id, label in zip(asked, test, strict=True)])


def _coco(studio: _Studio) -> _Layout:
    of, numbers = looks(6), (3, 17, 18, 40, 112, 256)
    train, test = studio.deal((20, 15, 12, 12, 9, 8)), studio.deal((6, 5, 4, 4, 4, 3))
    names = studio.names(len(train) + len(test), 12)
    ids = studio.rng.permutation(10**4)[: len(names)].tolist()
    places = studio.rng.integers(0, 5, len(names))
    files, described = dict[str, bytes](), list[dict[str, object]]()
    for id, name, place, label, is_learnt in zip(
        ids, names, places, (*train, *test), [True] * len(train) + [False] * len(test), strict=True
    ):
        file = f"images/{place:03}/{name}.jpg"
        files |= studio.pictures([f"{'train' if is_learnt else 'test'}/{file}"], [of[label]])
        described.append({"id": id, "file_name": file, "location": int(place)})
    categories = [
        {"id": number, "name": f"{look.pattern} {look.shape}"} for number, look in zip(numbers, of, strict=True)
    ]
    annotations = [
        {"id": row, "image_id": id, "category_id": numbers[label]}
        for row, (id, label) in enumerate(zip(ids, train, strict=False))
    ]
    learnt = {"images": described[: len(train)], "annotations": annotations, "categories": categories}
    files["train_annotations.json"] = json.dumps(learnt).encode()
    files["test_information.json"] = json.dumps({"images": described[len(train) :], "categories": categories}).encode()
    header, asked = ("Id", "Category"), ids[len(train) :]
    files[SAMPLE] = _table(header, [(id, numbers[0]) for id in asked])
    return _Layout(files, header, [(id, numbers[label]) for id, label in zip(asked, test, strict=True)])


def _folders(studio: _Studio) -> _Layout:
    of = looks(7)
    species = [f"{str(look.pattern).capitalize()} {look.shape}" for look in of]
    train, test = studio.deal((14, 12, 12, 10, 10, 9, 8)), studio.deal([4] * 7)
    names = [f"{name}.png" for name in studio.names(len(train) + len(test), 9)]
    learnt, asked = names[: len(train)], names[len(train) :]
    folders = [f"train/{species[label]}/{name}" for label, name in zip(train, learnt, strict=True)]
    files = studio.pictures(folders, [of[label] for label in train])
    files |= studio.pictures(_in_folder("test", asked), [of[label] for label in test])
    header = ("file", "species")
    files[SAMPLE] = _table(header, [(name, species[0]) for name in asked])
    return _Layout(files, header, [(name, species[label]) for name, label in zip(asked, test, strict=True)])


def _positive(studio: _Studio) -> _Layout:
    of = {"Cover": Look(EMPTY), "round": Look("disc"), "square": Look("square")}
    names = [f"{number:04}.jpg" for number in range(1, 23)]
    files = dict[str, bytes]()
    for folder, look in of.items():
        files |= studio.pictures(_in_folder(folder, names), [look] * len(names))
    shown = [list(of)[number] for number in studio.deal((12, 6, 6))]
    asked = [f"{number:04}.jpg" for number in range(1, len(shown) + 1)]
    files |= studio.pictures(_in_folder("Test", asked), [of[folder] for folder in shown])
    header = ("Id", "Label")
    files[SAMPLE] = _table(header, [(id, 0) for id in asked])
    return _Layout(files, header, [(id, int(folder != "Cover")) for id, folder in zip(asked, shown, strict=True)])


def _attributes(studio: _Studio, count: int) -> tuple[list[Look], list[list[str]]]:
    """Things of which each is round or not, spotted or not, red or blue; and which of three labels each has."""
    shown = studio.rng.random((count, 3)) < (0.5, 0.35, 0.3)
    of = [
        Look("disc" if is_round else "star", "spotted" if is_spotted else "plain", 0 if is_red else 230)
        for is_round, is_spotted, is_red in shown
    ]
    return of, [[name for name, is_shown in zip(_LABELS, row, strict=True) if is_shown] for row in shown]


def _labels(studio: _Studio) -> _Layout:
    of, shown = _attributes(studio, 96)
    ids = studio.names(96, 16)
    files = studio.pictures([f"{'train' if row < 72 else 'test'}/{id}.jpg" for row, id in enumerate(ids)], of, TILE)
    header = ("StudyID", *_LABELS)
    cells = [[int(name in labels) for name in _LABELS] for labels in shown]
    rows = [(id, *row, f"p{number // 3}") for number, (id, row) in enumerate(zip(ids, cells, strict=True))]
    files["train.csv"] = _table((*header, "PatientID"), rows[:72])
    files[SAMPLE] = _table(header, [(id, 0, 0, 0) for id in ids[72:]])
    return _Layout(files, header, [row[:-1] for row in rows[72:]])


def _names_of_labels(studio: _Studio) -> _Layout:
    of, shown = _attributes(studio, 96)
    ids = [f"{name}.jpg" for name in studio.names(96, 12)]
    files = studio.pictures([f"{'train' if row < 72 else 'test'}_images/{id}" for row, id in enumerate(ids)], of, TILE)
    rows = [(id, " ".join(labels) or "none") for id, labels in zip(ids, shown, strict=True)]
    files["train.csv"] = _table(("image", "labels"), rows[:72])
    files[SAMPLE] = _table(("image", "labels"), [(id, "none") for id in ids[72:]])
    return _Layout(files, ("image", "labels"), rows[72:])


def _grades(studio: _Studio) -> _Layout:
    train, test = studio.deal((28, 14, 12, 10, 8)), studio.deal((8, 5, 4, 4, 3))
    ids = studio.names(len(train) + len(test), 12)
    of = [Look("disc", "plain", 60 * grade) for grade in (*train, *test)]
    folders = ["train_images"] * len(train) + ["test_images"] * len(test)
    files = studio.pictures([f"{folder}/{id}.png" for folder, id in zip(folders, ids, strict=True)], of, TILE)
    header, asked = ("id_code", "diagnosis"), ids[len(train) :]
    files["train.csv"] = _table(header, zip(ids, train, strict=False))
    files[SAMPLE] = _table(header, [(id, 0) for id in asked])
    return _Layout(files, header, list(zip(asked, test, strict=True)))


def _number(studio: _Studio) -> _Layout:
    train, test = studio.deal([4] * 20), studio.deal([1] * 16 + [2] * 4)
    ids, numbers = studio.names(len(train) + len(test), 20), [5 * number + 2 for number in (*train, *test)]
    of = [Look("disc", "plain", 2.4 * number) for number in numbers]
    folders = ["train"] * len(train) + ["test"] * len(test)
    files = studio.pictures([f"{folder}/{id}.jpg" for folder, id in zip(folders, ids, strict=True)], of, TILE)
    rows = list(zip(ids, numbers, strict=True))
    files["train.csv"] = _table(("Id", "Blur", "Score"), [(id, 0, number) for id, number in rows[: len(train)]])
    files[SAMPLE] = _table(("Id", "Score"), [(id, 50.5) for id, _ in rows[len(train) :]])
    return _Layout(files, ("Id", "Score"), rows[len(train) :])


_LABELS = ("round", "spotted", "red")
_KINDS = {
    "binary": _Kind(
        "tiles in TIFF with 0 or 1 in a table, ids without suffix; one probability is asked for", _binary, "auc"
    ),
    "zips": _Kind("photographs and table in zips, ids with suffix; one probability is asked for", _zips, "auc"),
    "classes": _Kind("a folder for each of ten classes; a probability of each is asked for", _classes, "log-loss"),
    "one-hot": _Kind(
        "one folder for all, a table with a column of 0 and 1 for each class; a probability of each is asked for",
        _one_hot_columns,
        "mean-auc",
    ),
    "name": _Kind("numbers for labels, and a JSON file that names them; a number is asked for", _name, "accuracy"),
    "best-5": _Kind("many classes, several of one photograph; the five likeliest are asked for", _best_5, "map@5"),
    "coco": _Kind(
        "annotations in COCO's JSON, ids are the numbers of images; a category is asked for", _coco, "f1-macro"
    ),
    "folders": _Kind("a folder for each class, with blanks in its name; a name is asked for", _folders, "f1-micro"),
    "positive": _Kind(
        "three folders of which two are positive, which a flag says; one probability is asked for",
        _positive,
        "auc",
        {"positive": "round,square"},
    ),
    "labels": _Kind("a column of 0 and 1 for each of three labels, of which several may be 1, and one of patients; a "
                    "probability of each is asked for", _labels, "mean-auc"),
    "names": _Kind("a column that lists labels; their names are asked for", _names_of_labels, "f1-micro"),
    "grades": _Kind("grades from 0 to 4; a grade is asked for", _grades, "qwk", {"kind": "ordinal"}),
    "number": _Kind("numbers from 2 to 97; a number is asked for", _number, "rmse"),
}  # fmt: skip
KINDS = {name: kind.sentence for name, kind in _KINDS.items()}


def draw_competition(kind: str, folder: Path, seed: int = SEED) -> Drawn:
    """Draw a small competition into `folder`, or leave there what is complete: `data/`, `truth.csv` and `README.txt`.

    The same seed gives the same bytes. A folder appears whole or not at all; where only some files are missing, these
    are moved in one by one.

    Args:
        kind: one of `KINDS`.

    Raises:
        UnknownNameError: there is no such kind.
        DatasetError: the folder holds something else, be it a competition of another kind or seed.
    """
    if kind not in _KINDS:
        raise UnknownNameError("kind of competition", kind, list(KINDS))
    sentence, lay_out, metric, flags = _KINDS[kind]
    drawn = Drawn(folder / DATA_FOLDER, folder / TRUTH_FILE, dict(flags), metric)
    readme = README.format(kind=kind, sentence=f"{sentence[0].upper()}{sentence[1:]}", seed=seed).encode()
    is_new = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    label = folder / README_FILE
    if not is_new and not (label.is_file() and label.read_bytes() == readme):
        raise DatasetError(f"{folder} holds something else than this drawn competition", "Name an empty or new folder")
    layout = lay_out(_Studio(seed))
    files = {f"{DATA_FOLDER}/{name}": content for name, content in layout.files.items()}
    files |= {TRUTH_FILE: _table(layout.header, layout.truth), README_FILE: readme}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        whole = Path(scratch) / "drawn"
        for name, content in files.items():
            (whole / name).parent.mkdir(parents=True, exist_ok=True)
            (whole / name).write_bytes(content)
        if is_new:
            whole.replace(folder)
            return drawn
        for name in files:
            if not (folder / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (whole / name).replace(folder / name)
    return drawn

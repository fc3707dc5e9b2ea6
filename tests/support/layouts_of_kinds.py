"""Competitions of several labels and of numbers, as `layouts` draws those of classes; `READABLE` lists the builders."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from catsdogs.photographs.label_texts import text_of
from catsdogs.photographs.task import LABELS, NAMES, NUMBER, NUMBERS, PROBABILITIES
from tests.support.layouts import Layout, dealt, sample, stem, two_folders, write, write_csv

SIGNS = ("Tube - Normal", "Tube - Abnormal", "Line")
LEAVES = ("complex", "frog_eye", "healthy", "scab")
SHOWN = ((0,), (3,), (1, 3), (2,), (0, 1, 3), (1,), (0, 3))


def _shown(root: Path, names: Sequence[str], shown: Sequence[Sequence[int]]) -> tuple[Layout, dict[str, list[str]]]:
    """Two folders, whose photographs to learn from show these labels in turn; and the labels of each."""
    texts = [text_of([names[number] for number in of], names) for of in shown]
    layout = two_folders(root, texts)._replace(kind=LABELS, answer=NAMES, columns=("id", "labels"))
    dealt_out = dealt(list(layout.labels), [str(number) for number in range(len(shown))])
    return layout, {file: [names[number] for number in shown[int(turn)]] for file, turn in dealt_out.items()}


def labels_in_columns(root: Path) -> Layout:
    """A column of 0 and 1 for each label, rows of none and of several, and a patient, as catheters are published."""
    layout, shown = _shown(root, SIGNS, ((0,), (1, 2), (), (2,), (0, 1, 2)))
    rows = [(stem(file), n // 3, *(int(name in of) for name in SIGNS)) for n, (file, of) in enumerate(shown.items())]
    write_csv(root, "train.csv", ("id", "PatientID", *SIGNS), rows)
    write_csv(
        root, "train_annotations.csv", ("id", "label", "data"), [(row[0], SIGNS[0], "[[1, 2]]") for row in rows[:4]]
    )
    return sample(root, layout._replace(answer=PROBABILITIES, columns=("id", *SIGNS)), 0, 0, 0)


def _in_one_column(root: Path, separator: str, name: str = "labels") -> Layout:
    layout, shown = _shown(root, LEAVES, SHOWN)
    write_csv(root, "train.csv", ("id", name), [(stem(file), separator.join(of)) for file, of in shown.items()])
    return sample(root, layout, "healthy")


def labels_with_blanks_between(root: Path) -> Layout:
    """`scab frog_eye`, as leaves are published."""
    return _in_one_column(root, " ")


def labels_with_bars_between(root: Path) -> Layout:
    """`Effusion|Mass` in a column of another name, as chest X-rays are published; here in the words of leaves."""
    return _in_one_column(root, "|", "Finding Labels")._replace(columns=("id", "labels"))


def labels_with_semicolons_between(root: Path) -> Layout:
    """`scab;frog_eye`."""
    return _in_one_column(root, ";")


def labels_with_commas_between(root: Path) -> Layout:
    """`scab, frog_eye`, in quotation marks."""
    return _in_one_column(root, ", ")


def numbers_of_labels(root: Path) -> Layout:
    """`16 0`, as proteins are published; the sample asks by another name."""
    layout, shown = _shown(root, ("0", "3", "16", "25"), SHOWN)
    write_csv(root, "train.csv", ("id", "Target"), [(stem(file), " ".join(of[::-1])) for file, of in shown.items()])
    return sample(root, layout._replace(columns=("id", "Predicted")), 0)


def annotations_of_several_categories(root: Path) -> Layout:
    """A COCO file whose images have several categories; the sample writes their numbers with blanks between."""
    layout, shown = _shown(root, ("0", "1", "2", "3"), SHOWN)
    images = [{"id": n, "file_name": Path(file).name, "location": n // 4} for n, file in enumerate(shown)]
    told = [{"image_id": n, "category_id": int(one)} for n, of in enumerate(shown.values()) for one in of]
    content = {"images": images, "annotations": told, "categories": [{"id": 0, "name": "empty"}]}
    write(root, "train_annotations.json", json.dumps(content).encode())
    return sample(root, layout._replace(columns=("id", "Predicted")), "0 1")


def _numbers(root: Path, cells: Sequence[str], texts: Sequence[str], asked: object) -> Layout:
    layout = two_folders(root, texts)._replace(kind=NUMBER, answer=NUMBERS, columns=("id", "score"))
    written = dealt(list(layout.labels), cells)
    rows = [(stem(file), n % 2, cell) for n, (file, cell) in enumerate(written.items())]
    write_csv(root, "train.csv", ("id", "has_blur", "score"), rows)
    return sample(root, layout, asked)


def whole_numbers_for_a_fraction(root: Path) -> Layout:
    """1 to 100 among columns of what is known of each; the sample's fraction says that they are no classes."""
    return _numbers(root, ("7", "63", "20", "100"), ("7", "63", "20", "100"), 64.06)


def numbers_with_a_decimal_comma(root: Path) -> Layout:
    """`63,5` in quotation marks."""
    return _numbers(root, ("7", "63,5", "20,25", "100"), ("7", "63.5", "20.25", "100"), 0)


def numbers_in_columns(root: Path) -> Layout:
    """A column for each of two numbers, in another order than the sample's."""
    pairs = [("1.5", "2"), ("-3", "0.25"), ("0", "4")]
    layout = two_folders(root, ["|".join(pair) for pair in pairs])
    rows = [(label.split("|")[1], label.split("|")[0], stem(file)) for file, label in layout.labels.items()]
    write_csv(root, "train.csv", ("y", "x", "id"), rows)
    return sample(root, layout._replace(kind=NUMBER, answer=NUMBERS, columns=("id", "x", "y")), 0, 0)


READABLE: tuple[Callable[[Path], Layout], ...] = (
    *(labels_in_columns, labels_with_blanks_between, labels_with_bars_between, labels_with_semicolons_between),
    *(labels_with_commas_between, numbers_of_labels, annotations_of_several_categories),
    *(whole_numbers_for_a_fraction, numbers_with_a_decimal_comma, numbers_in_columns),
)

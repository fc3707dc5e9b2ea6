"""Data sets of empty files, and what a scan makes of a data set: its ids and its labels."""

from collections.abc import Iterable
from pathlib import Path

from catsdogs.photographs.dataset import Dataset


def ids(dataset: Dataset, split: str) -> list[str]:
    """The ids of a split, in the order of its rows."""
    return [photograph.id for photograph in dataset.of(split)]


def class_names(dataset: Dataset) -> dict[str, str]:
    """The id of each training row -> its class."""
    return {row.id: dataset.classes[row.label] for row in dataset.of("train")}


def write_empty(root: Path, names: Iterable[str]) -> Path:
    """Empty files of these relative paths below a folder, which is returned."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def write_letters(root: Path, counts: dict[str, int]) -> Path:
    """A folder per class with so many photographs, two to predict, and a sample submission."""
    write_empty(root, [f"train/{name}/{number}.jpg" for name, count in counts.items() for number in range(count)])
    write_empty(root, ["test/1.jpg", "test/2.jpg"])
    (root / "sample_submission.csv").write_text("id,label\n1,0.5\n2,0.5\n")
    return root

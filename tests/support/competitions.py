"""Competitions of empty files: photographs without content, tables beside them, and what a scan makes of them."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

from catsdogs.photographs.dataset import Dataset
from tests.support.datasets import write_empty

TRAIN = [f"train/{letter}.jpg" for letter in "abcdef"]
TEST = [f"test/{letter}.jpg" for letter in "uvw"]
LABELS = "id,label\n" + "".join(f"{letter},{number}\n" for letter, number in zip("abcdef", "010101", strict=True))
SAMPLE = "id,label\nu,0.5\nv,0.5\nw,0.5\n"


def competition(root: Path, names: list[str], tables: Mapping[str, str]) -> Path:
    """Photographs without content, and tables; a table whose name ends in .zip is packed."""
    write_empty(root, names)
    for name, text in tables.items():
        if name.endswith(".zip"):
            with zipfile.ZipFile(root / name, "w") as archive:
                archive.writestr(name.removesuffix(".zip"), text)
        else:
            (root / name).write_text(text)
    return root


def asked(dataset: Dataset) -> dict[str, str]:
    """The id of each photograph that is asked for -> its name."""
    return {row.id: row.location.name for row in dataset.of("test")}


def labelled(dataset: Dataset) -> dict[str, str]:
    """The name of each photograph to learn from -> its label."""
    return {row.location.name: dataset.classes[row.label] for row in dataset.of("train")}

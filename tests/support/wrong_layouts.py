"""Folders that cannot be read as they are, or that ask for what is not there: one line, which names what is in `said`.

`WRONG` lists the builders; each takes an empty folder, and writes below it.
"""

import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from catsdogs.photographs.task import CLASSES, PROBABILITIES
from tests.support.hostile import noise
from tests.support.layouts import (  # fmt: skip
    SAMPLE,
    Layout,
    binary,
    dicom,
    hexes,
    picture,
    sample,
    stem,
    two_folders,
    write,
    write_csv,
)

_SEVEN_Z = b"7z\xbc\xaf\x27\x1c\0\x04"


def _without_pictures(root: Path, files: Mapping[str, bytes]) -> Layout:
    """A binary competition whose pictures are all in files of other kinds."""
    for name, data in files.items():
        write(root, name, data)
    write_csv(root, "train.csv", ("id", "label"), [(id, n % 2) for n, id in enumerate(hexes(12, "train"))])
    return sample(root, Layout(dict.fromkeys(hexes(4, "test"), ""), {}), 0.5)._replace(asked={})


def _of_kind(root: Path, suffix: str, data: bytes) -> Layout:
    names = [f"{split}/{id}.{suffix}" for split, count in (("train", 12), ("test", 4)) for id in hexes(count, split)]
    return _without_pictures(root, dict.fromkeys(names, data))._replace(said=("16", f".{suffix}"))


def dicom_only(root: Path) -> Layout:
    """Sixteen DICOM files."""
    return _of_kind(root, "dcm", dicom())


def npy_only(root: Path) -> Layout:
    """Sixteen arrays of NumPy's."""
    data = io.BytesIO()
    np.save(data, np.zeros((8, 8), np.uint8))
    return _of_kind(root, "npy", data.getvalue())


def seven_z_only(root: Path) -> Layout:
    """train.7z and test.7z."""
    data = noise(400, _SEVEN_Z)
    return _without_pictures(root, {"train.7z": data, "test.7z": data})._replace(said=("2", ".7z"))


def tar_only(root: Path) -> Layout:
    """train.tar and test.tar.gz, with pictures in them."""
    files = {}
    modes: dict[str, Literal["w", "w:gz"]] = {"train.tar": "w", "test.tar.gz": "w:gz"}
    for name, mode in modes.items():
        data, split = io.BytesIO(), name.partition(".")[0]
        with tarfile.open(fileobj=data, mode=mode) as archive:
            for id in hexes(12 if split == "train" else 4, split):
                member = tarfile.TarInfo(f"{split}/{id}.jpg")
                content = picture(member.name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        files[name] = data.getvalue()
    return _without_pictures(root, files)._replace(said=(".tar", ".gz"))


def bson_only(root: Path) -> Layout:
    """train.bson and test.bson."""
    document = (5).to_bytes(4, "little") + b"\0"
    return _without_pictures(root, {"train.bson": document * 12, "test.bson": document * 4})._replace(
        said=("2", ".bson")
    )


def json_arrays_only(root: Path) -> Layout:
    """Pixels as lists of numbers, in train.json and test.json."""
    train, test = (
        [{"id": id, "band_1": [0.5, -20.25] * 8, "inc_angle": 43.9} for id in hexes(count, split)]
        for split, count in (("train", 12), ("test", 4))
    )
    labelled = [row | {"is_iceberg": number % 2} for number, row in enumerate(train)]
    write(root, "train.json", json.dumps(labelled).encode())
    write(root, "test.json", json.dumps(test).encode())
    write_csv(root, SAMPLE, ("id", "is_iceberg"), [(row["id"], 0.5) for row in test])
    return Layout({}, {}, columns=("id", "is_iceberg"), said=("2", ".json"))


def two_samples(root: Path) -> Layout:
    """Of two stages, which ask for different photographs."""
    layout = binary(root)
    ids = list(layout.asked)
    names = [f"stage{stage}_{SAMPLE}" for stage in (1, 2)]
    for name, asked in zip(names, (ids[:2], ids[2:]), strict=True):
        write_csv(root, name, layout.columns, [(id, 0.5) for id in asked])
    return layout._replace(asked={}, said=tuple(names))


def empty_sample(root: Path) -> Layout:
    """A sample that is a header and nothing else."""
    layout = binary(root)
    write_csv(root, SAMPLE, layout.columns, [])
    return layout._replace(asked={}, said=(SAMPLE,))


def two_labels(root: Path) -> Layout:
    """A photograph is in the table twice, with different labels."""
    layout = sample(root, binary(root), 0.5)
    rows = [(stem(file), label) for file, label in layout.labels.items()]
    id, label = rows[3]
    write_csv(root, "train.csv", ("id", "label"), [*rows, (id, 1 - int(label))])
    return layout._replace(said=(id, "train.csv"))


def _animals(root: Path, seen: Sequence[str], asked: Sequence[str]) -> Layout:
    """Labels of these classes, and a sample with columns of those."""
    layout = two_folders(root, seen)._replace(kind=CLASSES, answer=PROBABILITIES, columns=("id", *asked))
    write_csv(root, "labels.csv", ("id", "animal"), [(stem(file), label) for file, label in layout.labels.items()])
    return sample(root, layout, *[round(1 / len(asked), 3)] * len(asked))


def label_never_asked_for(root: Path) -> Layout:
    """The table knows hamsters, the sample has no column for them."""
    return _animals(root, ("cat", "dog", "owl", "hamster"), ("cat", "dog", "owl"))._replace(said=("hamster",))


def class_never_seen(root: Path) -> Layout:
    """The sample asks for the probability of hamsters, of which there is no photograph."""
    return _animals(root, ("cat", "dog", "owl"), ("cat", "dog", "hamster", "owl"))._replace(said=("hamster",))


def table_of_other_photographs(root: Path) -> Layout:
    """No photograph of the table is there."""
    layout = sample(root, two_folders(root, ("0", "1")), 0.5)
    write_csv(root, "train.csv", ("id", "label"), [(id, n % 2) for n, id in enumerate(hexes(12, "elsewhere"))])
    return layout._replace(labels={}, said=("train.csv",))


def ids_that_are_not_there(root: Path) -> Layout:
    """The sample asks for numbers, the files have other names."""
    layout = binary(root)
    write_csv(root, SAMPLE, layout.columns, [(n, 0.5) for n in range(1, len(layout.asked) + 1)])
    return layout._replace(asked={}, said=(SAMPLE, "numbers", "1", "test/"))


def ids_with_another_suffix(root: Path) -> Layout:
    """The sample and the table write .jpg, the files are .png: somebody has converted them."""
    layout = two_folders(root, ("0", "1"), ".png")
    rows = [(f"{stem(file)}.jpg", label) for file, label in layout.labels.items()]
    write_csv(root, "train.csv", ("id", "label"), rows)
    asked = {f"{id}.jpg": file for id, file in layout.asked.items()}
    return sample(root, layout._replace(asked=asked, said=(SAMPLE, next(iter(asked)), ".png")), 0)


WRONG: tuple[Callable[[Path], Layout], ...] = (
    *(dicom_only, npy_only, seven_z_only, tar_only, bson_only, json_arrays_only, two_samples, empty_sample),
    *(two_labels, label_never_asked_for, class_never_seen, table_of_other_photographs, ids_that_are_not_there),
    ids_with_another_suffix,
)

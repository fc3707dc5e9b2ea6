"""Competitions' layouts in a dozen tiny pictures each, and what must be read from them.

`READABLE` lists the builders; each takes an empty folder, and writes below it. `wrong_layouts` has the wrong turns.
"""

import csv
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from catsdogs.photographs.task import BINARY, CLASSES, NAME, PROBABILITY
from tests.support.formats import encoded
from tests.support.hostile import noise

SAMPLE = "sample_submission.csv"
_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".tif": "TIFF"}


class Layout(NamedTuple):
    """What a folder holds. Files are named relative to it, a zip's members below the zip's name.

    Attributes:
        asked: id, as the sample writes it -> the file that it stands for, in the sample's order.
        labels: file to learn from -> its label, as it is written there.
        columns: of an answer: the id's and the targets, in the sample's order.
        left_alone: photographs that are neither labelled nor asked for.
        said: what the one line names that is said of this folder, a refusal or a note.
    """

    asked: dict[str, str]
    labels: dict[str, str]
    kind: str = BINARY
    answer: str = PROBABILITY
    columns: tuple[str, ...] = ("id", "label")
    left_alone: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


# The parts.


def hexes(count: int, salt: str) -> list[str]:
    """Ids of eight hexadecimal digits, some of which a careless reader takes for numbers, such as 12345e67."""
    return [f"{zlib.crc32(f'{salt} {number}'.encode()):08x}" for number in range(count)]


def picture(name: str) -> bytes:
    """A picture of 8 x 8 random colours in the format of a name's suffix, different for each name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
    return encoded(Image.fromarray(pixels), _FORMATS[Path(name).suffix])


def dicom() -> bytes:
    """The start of a DICOM file, and noise."""
    return noise(400, bytes(128) + b"DICM")


def write(root: Path, name: str, data: bytes) -> None:
    """A file at a relative path."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_pictures(root: Path, names: Iterable[str]) -> None:
    """A picture at each of these relative paths."""
    for name in names:
        write(root, name, picture(name))


def as_csv(header: Sequence[str], rows: Iterable[Sequence[object]], quoting: int = csv.QUOTE_MINIMAL) -> str:
    """The text of a table."""
    text = io.StringIO()
    table: list[Sequence[object]] = [header, *rows]
    csv.writer(text, lineterminator="\n", quoting=quoting).writerows(table)
    return text.getvalue()


def write_csv(root: Path, name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table at a relative path."""
    write(root, name, as_csv(header, rows).encode())


def write_zip(root: Path, name: str, members: Mapping[str, bytes]) -> None:
    """A zip at a relative path."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    write(root, name, data.getvalue())


def dealt(files: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """A label for each file, in turn."""
    return {file: labels[number % len(labels)] for number, file in enumerate(files)}


def stem(file: str) -> str:
    return Path(file).stem


def two_folders(root: Path, labels: Sequence[str], suffix: str = ".jpg", train: int = 12) -> Layout:
    """train/ and test/ with pictures, ids without suffix; tables are the caller's."""
    learnt = [f"train/{id}{suffix}" for id in hexes(train, "train")]
    asked = [f"test/{id}{suffix}" for id in hexes(4, "test")]
    write_pictures(root, [*learnt, *asked])
    return Layout({stem(file): file for file in asked}, dealt(learnt, labels))


def binary(root: Path, suffix: str = ".jpg") -> Layout:
    """Two folders and a table of 0 and 1; the sample is the caller's."""
    layout = two_folders(root, ("0", "1"), suffix)
    write_csv(root, "train.csv", ("id", "label"), [(stem(file), label) for file, label in layout.labels.items()])
    return layout


def sample(root: Path, layout: Layout, *values: object, name: str = SAMPLE) -> Layout:
    """A sample that gives every id these values."""
    write_csv(root, name, layout.columns, [(id, *values) for id in layout.asked])
    return layout


# Ids.


def id_column_second(root: Path) -> Layout:
    """Category,Id in the sample as in the table: the column of ids is the second."""
    layout = two_folders(root, ("12", "7", "150"))
    asked = {f"{id}.jpg": file for id, file in layout.asked.items()}
    write_csv(root, "train.csv", ("Category", "Id"), [(label, Path(f).name) for f, label in layout.labels.items()])
    write_csv(root, SAMPLE, ("Category", "Id"), [("7", id) for id in asked])
    return layout._replace(asked=asked, kind=CLASSES, answer=NAME, columns=("Category", "Id"))


def ids_are_paths(root: Path) -> Layout:
    """Paths from the data's folder, with suffix, in the sample and in the table."""
    layout = two_folders(root, ("0", "1"))
    write_csv(root, "labels.csv", ("path", "label"), layout.labels.items())
    layout = layout._replace(asked={file: file for file in layout.asked.values()}, columns=("path", "label"))
    return sample(root, layout, 0.5)


def ids_are_paths_without_suffix(root: Path) -> Layout:
    """Paths from the data's folder, without suffix, below folders of a place and a day."""
    learnt = [f"train/site{n % 3}/day{n % 2}/{id}.jpg" for n, id in enumerate(hexes(12, "train"))]
    asked = [f"test/site{n % 3}/{id}.jpg" for n, id in enumerate(hexes(4, "test"))]
    write_pictures(root, [*learnt, *asked])
    labels = dealt(learnt, ("0", "1"))
    write_csv(root, "train.csv", ("id", "label"), [(f.removesuffix(".jpg"), label) for f, label in labels.items()])
    return sample(root, Layout({file.removesuffix(".jpg"): file for file in asked}, labels), 0)


def same_names_in_both(root: Path) -> Layout:
    """train/1.jpg is another photograph than test/1.jpg; the table's 1 is the first, the sample's 1 the second."""
    learnt, asked = ([f"{split}/{n}.jpg" for n in range(1, count + 1)] for split, count in (("train", 12), ("test", 5)))
    write_pictures(root, [*learnt, *asked])
    labels = dealt(learnt, ("0", "1"))
    write_csv(root, "train_labels.csv", ("id", "invasive"), [(stem(file), label) for file, label in labels.items()])
    layout = Layout({stem(file): file for file in asked}, labels, columns=("id", "invasive"))
    return sample(root, layout, 0.5)


def ids_with_leading_zeros(root: Path) -> Layout:
    """0001 is a text, not the number 1."""
    learnt, asked = (
        [f"{split}/{n:04}.png" for n in range(*of)] for split, of in (("train", (12,)), ("test", (12, 16)))
    )
    write_pictures(root, [*learnt, *asked])
    labels = dealt(learnt, ("0", "1"))
    write_csv(root, "train.csv", ("id", "label"), [(stem(file), label) for file, label in labels.items()])
    return sample(root, Layout({stem(file): file for file in asked}, labels), 0)


def ids_in_quotation_marks(root: Path) -> Layout:
    """The same, every cell in quotation marks."""
    layout = ids_with_leading_zeros(root)
    for name, rows in {
        SAMPLE: [(id, "0") for id in layout.asked],
        "train.csv": [(stem(file), label) for file, label in layout.labels.items()],
    }.items():
        write(root, name, as_csv(("id", "label"), rows, csv.QUOTE_ALL).encode())
    return layout


# Samples.


def sample_in_camel_case(root: Path) -> Layout:
    """sampleSubmission.csv."""
    return sample(root, binary(root), 0.5, name="sampleSubmission.csv")


def sample_in_a_zip(root: Path) -> Layout:
    """sample_submission.csv.zip, in which the CSV has that name without .zip."""
    layout = binary(root)
    text = as_csv(layout.columns, [(id, 0.5) for id in layout.asked])
    write_zip(root, f"{SAMPLE}.zip", {SAMPLE: text.encode()})
    return layout


def sample_with_an_index(root: Path) -> Layout:
    """A column without a name before the ids, as pandas writes an index; no column of an answer."""
    layout = binary(root)
    write_csv(root, SAMPLE, ("", *layout.columns), [(n, id, 0.5) for n, id in enumerate(layout.asked)])
    return layout


# Tables.


def table_with_further_columns(root: Path) -> Layout:
    """Patient, sex, age, site, and the label a second time in words; test.csv has what is known of the others."""
    layout = two_folders(root, ("0", "1", "0"))
    further = ("patient_id", "sex", "age_approx", "site")

    def known(number: int) -> tuple[object, ...]:
        return f"IP_{number // 2}", ("male", "female")[number % 2], 40.0 + 5 * (number % 4), ("torso", "")[number % 2]

    rows = [
        (stem(file), *known(n), "nevus" if n % 4 else "unknown", ("benign", "malignant")[int(label)], label)
        for n, (file, label) in enumerate(layout.labels.items())
    ]
    columns = ("image_name", *further, "diagnosis", "benign_malignant", "target")
    write_csv(root, "train.csv", columns, rows)
    write_csv(root, "test.csv", ("image_name", *further), [(id, *known(n)) for n, id in enumerate(layout.asked)])
    return sample(root, layout._replace(columns=("image_name", "target")), 0)


def table_of_all_photographs(root: Path) -> Layout:
    """One folder and one table, in which those that are asked for have no label."""
    files = [f"images/{id}.jpg" for id in hexes(16, "all")]
    write_pictures(root, files)
    labels = dealt(files[4:], ("cat", "dog", "owl"))
    write_csv(root, "photographs.csv", ("id", "animal"), [(stem(file), labels.get(file, "")) for file in files])
    asked = {stem(file): file for file in files[:4]}
    return sample(root, Layout(asked, labels, CLASSES, NAME, ("id", "animal")), "cat")


def photographs_in_no_table(root: Path) -> Layout:
    """Five in train/ that the table does not list, three in test/ that nobody asks for."""
    layout = sample(root, binary(root), 0.5)
    others = [f"train/{id}.jpg" for id in hexes(5, "unlisted")] + [f"test/{id}.jpg" for id in hexes(3, "not asked")]
    write_pictures(root, others)
    return layout._replace(left_alone=tuple(others), said=("8",))


def annotations_beside_the_table(root: Path) -> Layout:
    """train_annotations.csv names a few photographs several times, with words in a column `label`; no label table."""
    layout = sample(root, binary(root), 0.5)
    rows = [(stem(file), word, "[[1, 2]]") for file in list(layout.labels)[:4] for word in ("tip", "end", "bend")]
    write_csv(root, "train_annotations.csv", ("id", "label", "data"), rows)
    return layout


def table_of_many_more(root: Path) -> Layout:
    """The whole competition's table beside a tenth of its photographs: those that are there are read."""
    layout = sample(root, binary(root), 0.5)
    rows = [(stem(file), label) for file, label in layout.labels.items()]
    absent = [(id, str(number % 2)) for number, id in enumerate(hexes(108, "elsewhere"))]
    write_csv(root, "train.csv", ("id", "label"), [*absent[:50], *rows, *absent[50:]])
    return layout._replace(said=("108",))


# Folders and files.


def hash_folders(root: Path) -> Layout:
    """train/0/1/2/012abc.png: folders of an id's first letters, not of classes."""
    learnt, asked = (
        [f"{split}/{id[0]}/{id[1]}/{id[2]}/{id}.png" for id in hexes(count, split)]
        for split, count in (("train", 15), ("test", 4))
    )
    write_pictures(root, [*learnt, *asked])
    labels = dealt(learnt, ("137", "9", "20409"))
    write_csv(root, "train.csv", ("id", "landmark_id"), [(stem(file), label) for file, label in labels.items()])
    asked_files = {stem(file): file for file in asked}
    return sample(root, Layout(asked_files, labels, CLASSES, NAME, ("id", "landmark_id")), "9")


def jpeg_beside_dicom(root: Path) -> Layout:
    """jpeg/train/ and jpeg/test/ hold what train/ and test/ hold as DICOM."""
    layout = two_folders(root / "jpeg", ("0", "1"))
    layout = layout._replace(
        asked={id: f"jpeg/{file}" for id, file in layout.asked.items()},
        labels={f"jpeg/{file}": label for file, label in layout.labels.items()},
    )
    for file in (*layout.asked.values(), *layout.labels):
        write(root, f"{file.removeprefix('jpeg/').removesuffix('.jpg')}.dcm", dicom())
    write_csv(root, "train.csv", ("id", "label"), [(stem(file), label) for file, label in layout.labels.items()])
    return sample(root, layout, 0)


def tiffs(root: Path) -> Layout:
    """Pictures are .tif."""
    return sample(root, binary(root, ".tif"), 0)


def class_folders_with_blanks(root: Path) -> Layout:
    """A folder for each class; the sample asks for the name of one, which holds blanks."""
    species = ("Common Chickweed", "Loose Silky-bent", "Small-flowered Cranesbill")
    labels = {f"train/{name}/{id}.png": name for name in species for id in hexes(4, name)}
    asked = {f"{id}.png": f"test/{id}.png" for id in hexes(4, "test")}
    write_pictures(root, [*labels, *asked.values()])
    return sample(root, Layout(asked, labels, CLASSES, NAME, ("file", "species")), "Loose Silky-bent")


def coco_of_numbers(root: Path) -> Layout:
    """A COCO file whose image ids are numbers that occur in no file name, and whose files lie in nested folders."""
    learnt, asked = (
        {n: f"{split}/images/{n % 3:03}/{n % 2:02}/{id}.jpg" for n, id in enumerate(hexes(count, split), start)}
        for split, count, start in (("train", 12, 1000), ("test", 4, 5000))
    )
    write_pictures(root, [*learnt.values(), *asked.values()])
    labels = dealt(list(learnt.values()), ("3", "0", "64500"))

    def listed(files: dict[int, str], split: str) -> list[dict[str, Any]]:
        found = [{"id": id, "file_name": file.removeprefix(f"{split}/")} for id, file in files.items()]
        return [image | {"width": 8, "height": 8, "license": 1} for image in found]

    train: dict[str, Any] = {"images": listed(learnt, "train")}
    train["annotations"] = [
        {"id": 7 * id, "image_id": id, "category_id": int(labels[file])} for id, file in learnt.items()
    ]
    train["categories"] = [{"id": id, "name": f"Quercus {id}", "family": "Fagaceae"} for id in (0, 3, 64500)]
    write(root, "train/metadata.json", json.dumps(train).encode())
    write(root, "test/metadata.json", json.dumps({"images": listed(asked, "test")}).encode())
    asked_ids = {str(id): file for id, file in asked.items()}
    return sample(root, Layout(asked_ids, labels, CLASSES, NAME, ("Id", "Predicted")), 0)


def coco_with_a_list(root: Path) -> Layout:
    """A COCO file of what is to be learnt, and a list without a name of the images that are asked for."""
    layout = coco_of_numbers(root)
    images = json.loads((root / "test/metadata.json").read_text())["images"]
    listed = [{"file_name": image["file_name"], "image_id": str(image["id"]), "license": 0} for image in images]
    write(root, "test/metadata.json", json.dumps(listed).encode())
    return layout


READABLE: tuple[Callable[[Path], Layout], ...] = (
    *(id_column_second, ids_are_paths, ids_are_paths_without_suffix, same_names_in_both, ids_with_leading_zeros),
    *(ids_in_quotation_marks, sample_in_camel_case, sample_in_a_zip, sample_with_an_index),
    *(table_with_further_columns, table_of_all_photographs, photographs_in_no_table, annotations_beside_the_table),
    *(
        table_of_many_more,
        hash_folders,
        jpeg_beside_dicom,
        tiffs,
        class_folders_with_blanks,
        coco_of_numbers,
        coco_with_a_list,
    ),
)

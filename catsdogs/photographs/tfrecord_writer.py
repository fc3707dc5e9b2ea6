"""A data set -> TFRecord files: original or resized pictures with ids and labels, and a manifest of the whole set."""

import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from PIL import Image

from catsdogs.errors import DatasetError, StoreError, UnreadablePhotographError, UsageError
from catsdogs.files import locks
from catsdogs.files.atomic import replacing, write_errors
from catsdogs.files.cores import usable
from catsdogs.photographs import images, tfexample
from catsdogs.photographs.dataset import Dataset, Photograph
from catsdogs.photographs.tfrecord import (
    MANIFEST,
    RECORD_FILE_NAME,
    SET_FORMAT,
    SET_VERSION,
    UNFINISHED,
    RecordFile,
    frame,
    is_record_file,
    read_manifest,
    record_files_in,
)
from catsdogs.progress import Progress

SMALLEST, LARGEST = 10**7, 10**8  # bytes: quick to read over a network, and still several files for several readers
MAX_SIDE = 4096  # pixels
_LEFTOVER = re.compile(rf"\.({RECORD_FILE_NAME.pattern}|{re.escape(MANIFEST)})\.\d+\.tmp")  # of a killed run
_USUAL_BYTES = 5 * 10**7  # of a file
_RESIZED_QUALITY = 95  # of a resized picture's JPEG
_SAMPLE_PHOTOGRAPHS = 64  # by which the size of all is estimated


@dataclass(frozen=True)
class WrittenRecordFiles:
    """A set of TFRecord files that has been written.

    Attributes:
        files: those of training photographs first.
        unreadable: (split, id, reason) of each photograph that was left out.
    """

    folder: Path
    files: tuple[RecordFile, ...]
    unreadable: tuple[tuple[str, str, str], ...]

    @property
    def odd_sizes(self) -> tuple[RecordFile, ...]:
        """The files smaller than `SMALLEST` or larger than `LARGEST`."""
        return tuple(file for file in self.files if not SMALLEST <= file.bytes <= LARGEST)


def write_record_files(
    dataset: Dataset, out: Path, count: int | None = None, size: int | None = None
) -> WrittenRecordFiles:
    """Write a data set to `out` as files like `train-00000-of-00016.tfrecord`, and a manifest last.

    A hash of its id decides in which file and where in it a photograph stands. So every stretch of every file has its
    share of each class, which training needs, without a seed, and the same data set gives the same files. Readers that
    want an order, such as `features`, sort by id.

    Args:
        count: files of the training photographs; test photographs get as many in proportion. None: about 50 MB each.
        size: side in pixels of the upright picture, resized as for a network, kept as JPEG; None: the original bytes.

    Raises:
        UsageError: an impossible count or size, or a folder that the data set itself lies in.
        StoreError: the folder holds other TFRecord files, the disk is full, or the folder cannot be written.
        LockedError: another process is writing to the folder.
        DatasetError: not one photograph can be read.
    """
    if size is not None and not 1 <= size <= MAX_SIDE:
        raise UsageError(f"--size {size} is not between 1 and {MAX_SIDE} pixels", "Give the side of a network's input")
    root, folder = dataset.root.resolve(), out.resolve()  # new files would replace the data set, or become part of it
    if root in (folder, *folder.parents) or (is_record_file(root.name) and root.parent == folder):
        raise UsageError(f"The data set itself lies in {out}", "Give a folder of its own for the shards")
    plan = _deal(dataset, count, size)
    with locks.hold_folder(out):
        written = _write_set(dataset, out, plan, size)
        (out / locks.LOCK_FILE).unlink(missing_ok=True)  # the folder is a data set now, and nothing else
    return written


def _write_set(
    dataset: Dataset, out: Path, plan: Sequence[tuple[str, Sequence[Photograph]]], size: int | None
) -> WrittenRecordFiles:
    rows = [photograph for _, dealt in plan for photograph in dealt]
    unreadable: list[tuple[str, str, str]] = []
    _clear(out)
    with Progress(sum(row.location not in dataset.absent for row in rows), "writing shards", "photo") as bar:
        prepare = partial(_example, dataset, size=size)
        prepared = zip(rows, images.in_parallel(prepare, rows, ahead=4 * usable()), strict=True)

        def readable(count: int) -> Iterator[bytes]:
            for photograph, example in islice(prepared, count):
                bar.update(photograph.location not in dataset.absent)
                if isinstance(example, bytes):
                    yield example
                else:
                    unreadable.append((photograph.split, photograph.id, example.reason))

        files = tuple(_write_record_file(out / name, dealt[0].split, readable(len(dealt))) for name, dealt in plan)
    if len(unreadable) == len(rows):
        raise DatasetError(f"Not one photograph of {dataset.root} can be read", "Fetch them again")
    written = WrittenRecordFiles(out, files, tuple(unreadable))
    _finish(dataset, written, size)
    return written


def _deal(dataset: Dataset, count: int | None, size: int | None) -> list[tuple[str, list[Photograph]]]:
    """File name and photographs of each TFRecord file."""
    splits = {
        split: sorted(rows, key=lambda row: hashlib.blake2b(row.id.encode(), digest_size=16).digest())
        for split in ("train", "test")
        if (rows := dataset.of(split))
    }
    if not splits:
        raise DatasetError(f"{dataset.root} holds no photographs", "Give --data a folder or zip of photographs")
    first = next(iter(splits.values()))
    if count is None:
        count = max(1, min(len(first), round(len(first) * _mean_bytes(dataset, first, size) / _USUAL_BYTES)))
    if not 1 <= count <= len(first):
        raise UsageError(f"No {count} shards can be made of {len(first):,} photographs", "Give --count another number")
    plan = []
    for split, rows in splits.items():
        files = max(1, round(len(rows) * count / len(first)))
        for number in range(files):
            dealt = rows[number * len(rows) // files : (number + 1) * len(rows) // files]
            plan.append((f"{split}-{number:05d}-of-{files:05d}.tfrecord", dealt))
    return plan


def _mean_bytes(dataset: Dataset, rows: Sequence[Photograph], size: int | None) -> float:
    """The mean bytes of a record, from some photographs: in the order of a hash, the first are a random sample."""
    examples = (_example(dataset, photograph, size) for photograph in rows[:_SAMPLE_PHOTOGRAPHS])
    sizes = [len(example) for example in examples if isinstance(example, bytes)]
    return sum(sizes) / max(1, len(sizes))


def _example(dataset: Dataset, photograph: Photograph, size: int | None) -> bytes | UnreadablePhotographError:
    """The message of one photograph, which is decoded even if its own bytes are kept, so that every reader can."""
    try:
        data = dataset.read(photograph)
        pixels = images.square(data, size or 1)
    except UnreadablePhotographError as error:
        return error
    if size:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=_RESIZED_QUALITY)
        data = buffer.getvalue()
    features: dict[str, bytes | int] = {"id": photograph.id.encode()}
    if photograph.split == "train":
        features |= {"class": dataset.classes[photograph.label].encode(), "label": photograph.label}
    return tfexample.encode_example(features | {"image": data})


def _write_record_file(path: Path, split: str, examples: Iterator[bytes]) -> RecordFile:
    rows = 0
    digest = hashlib.sha256()
    with replacing(path) as temporary, temporary.open("wb") as file:
        for data in examples:
            record = frame(data)
            file.write(record)
            digest.update(record)
            rows += 1
        written = file.tell()
    return RecordFile(path.name, split, rows, written, digest.hexdigest())


def _clear(out: Path) -> None:
    """Make the folder ready: remove an earlier set of ours, finished or not, and nothing else."""
    with write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        try:
            is_ours = (out / UNFINISHED).exists() or read_manifest(out) is not None
        except DatasetError:  # a damaged manifest does not tell whose the files are
            is_ours = False
        if not is_ours and record_files_in(out):
            raise StoreError(f"{out} holds shards that are not of this program", "Choose another folder for --out")
        # From here on, whatever happens, nobody takes the files in the folder for a whole set.
        (out / UNFINISHED).write_text("These shards are being written, or were when the run was killed.\n")
        (out / MANIFEST).unlink(missing_ok=True)
        for path in out.iterdir():
            if RECORD_FILE_NAME.fullmatch(path.name) or _LEFTOVER.fullmatch(path.name):
                path.unlink()


def _finish(dataset: Dataset, written: WrittenRecordFiles, size: int | None) -> None:
    """Write the manifest, by which the files become a set."""
    manifest = {
        "format": SET_FORMAT,
        "version": SET_VERSION,
        "classes": dataset.classes,
        "picture": f"JPEG of {size} x {size} pixels" if size else "original bytes",
        "size": size,
        "source": str(dataset.root),
        "shards": [file._asdict() for file in written.files],
        "unreadable": written.unreadable,
    }
    left_out = {id for split, id, _ in written.unreadable if split == "test"}
    truth = {id: label for id, label in dataset.truth.items() if id not in left_out}
    if truth:
        manifest["truth"] = truth
    with replacing(written.folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (written.folder / UNFINISHED).unlink()

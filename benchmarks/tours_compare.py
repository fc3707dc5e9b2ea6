"""What a command said and wrote in two checkouts, held against each other; only what must differ may.

Times, durations, the checkout's own path and the package's version are taken out. What is kept in a format that holds
more than its content, such as the times of a zip's members or the numbers of objects, is compared by its content.
"""

import csv
import hashlib
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image, ImageSequence

# Where the two may differ, because somebody said so: what to take out of both texts, and why.
EXCEPTIONS: Mapping[str, str] = {
    r"(?m)^  (audit|bench|faults|lint|lock|test) {3,}.*\n(?:   +\S.*\n)*": "chores need a checkout: see tasks.py",
    r"labels,\s+(TFRecord\s+files|shards)": "a shard is a piece of unfinished extraction, and no TFRecord file",
    r"(TFRecord\s+files|shards)\s+of\s+the\s+training\s+photographs;[\w\s]+50\s+MB[\w\s]+": "the same",
    r"into\s+TFRecord\s+(files|shards);\s+features\s+and[\w\s]+--data\.": "the same",
    r"`catsdogs\.(demo\.)?drawings` made them with Pillow, seed \d+,\s+so\s+that": "the module moved into its room",
}
_ALWAYS = (
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?", "WHEN"),
    (r"\d{1,2} [A-Z][a-z]+ \d{4}, \d\d:\d\d UTC", "WHEN"),
    (r"(?m)^[IWEF]\d{4} [\d:.]+ +\d+ ", "LOG "),  # TensorFlow's, with the time and the process
    (r"(?<=/)tmp\w{8}\b", "TEMPORARY"),
    (r"(?m)^(\d+  \S+ .*%) +\d+\.\d$", r"\1"),  # the last column of what `compare` prints: seconds
    (r'<td class="n">\d+\.\d</td></tr>', "</tr>"),  # the same in a report
    (r"the\s+fastest\s+will\s+do: [\w,\s-]+", "the fastest will do"),
)
# A chart that shows seconds, and what remembers the photographs that had not changed for two seconds.
_OF_TIME = ("compare.png", ".photographs.h5")
_BAR = re.compile(r"^(.*?): +\d+%\|[^|]*\| *(\S+) \[[^\]]*\]?$")
_CHANGING = frozenset({"created", "package_version", "seconds"})  # attributes, keys and columns


def differences(before: Path, after: Path) -> Iterator[str]:
    """What differs between two folders, a sentence for each file."""
    names = [{_steady(path.relative_to(root)): path for path in _files(root)} for root in (before, after)]
    for name in sorted(names[0].keys() | names[1].keys()):
        one, other = (there.get(name) for there in names)
        if one is None or other is None:
            yield f"{name} is written {'after' if one is None else 'before'} only"
        elif found := _difference(one, other):
            yield f"{name}: {found}"


def plain(text: str) -> str:
    """A text without what changes from one call to the next, and of a progress bar the last line alone."""
    for pattern, replacement in _ALWAYS:
        text = re.sub(pattern, replacement, text)
    for pattern in EXCEPTIONS:
        text = re.sub(pattern, "", text)
    lines: list[str] = []
    bar = ""
    for line in text.splitlines():
        found = _BAR.match(line)
        if found and found[1] == bar:
            lines.pop()
        bar = found[1] if found else ""
        lines.append(f"{found[1]}: {found[2]}" if found else line)
    return "\n".join(lines)


def _files(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_file() and path.name not in _OF_TIME)


def _steady(path: Path) -> str:
    """A file's name without the time and the process that TensorBoard's have."""
    return re.sub(r"(events\.out\.tfevents)\..*", r"\1", path.as_posix())


def _difference(before: Path, after: Path) -> str:
    """How the contents of two files differ; empty if they do not."""
    if before.read_bytes() == after.read_bytes() or "tfevents" in before.name:
        return ""
    read = _READERS.get(before.suffix)
    if not read:
        return "other bytes"
    try:
        return _first_difference(read(before), read(after))
    except Exception as error:  # of a file that is damaged, as some of a tour are
        return f"other bytes, which cannot be read ({type(error).__name__}: {error})"


def _first_difference(before: Any, after: Any, place: str = "") -> str:
    """Where two values of dicts, lists, arrays and plain values first differ, and how."""
    if type(before) is not type(after):
        return f"{place} is {before!r:.200}, then {after!r:.200}"
    if isinstance(before, dict):
        if before.keys() != after.keys():
            return f"{place} has other names: {sorted(map(str, before.keys() ^ after.keys()))}"
        parts = ((before[key], after[key], f"{place}/{key}") for key in before)
        return next(filter(None, (_first_difference(*part) for part in parts)), "")
    if isinstance(before, list):
        if len(before) != len(after):
            return f"{place} has {len(before)} parts, then {len(after)}"
        numbered = enumerate(zip(before, after, strict=True))
        return next(filter(None, (_first_difference(*pair, f"{place}/{number}") for number, pair in numbered)), "")
    if isinstance(before, np.ndarray):
        same = before.shape == after.shape and before.dtype == after.dtype and before.tobytes() == after.tobytes()
        return "" if same else f"{place} holds other numbers"
    same = before == after or (before != before and after != after)  # as NaN is
    if same:
        return ""
    texts = str(before), str(after)
    alike = next((number for number, pair in enumerate(zip(*texts, strict=False)) if len(set(pair)) > 1), 0)
    start = max(0, alike - 40)  # a little of what they share, to find the place by
    return f"{place} is {texts[0][start:]!r:.200}, then {texts[1][start:]!r:.200}"


def _text(path: Path) -> Any:
    return plain(path.read_text(encoding="utf-8")).split("\n")


def _json(path: Path) -> Any:
    return _unchanging(json.loads(path.read_text(encoding="utf-8")))


def _unchanging(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unchanging(item) for key, item in value.items() if key not in _CHANGING}
    if isinstance(value, list):
        return [_unchanging(item) for item in value]
    return plain(value) if isinstance(value, str) else value


def _csv(path: Path) -> Any:
    with path.open(encoding="utf-8", newline="") as text:
        return [_unchanging(row) for row in csv.DictReader(text, restkey="more", restval="")]


def _hdf5(path: Path) -> Any:
    """Every data set and attribute; of variable-length text the letters."""
    content: dict[str, Any] = {}

    def note(name: str, part: h5py.Group | h5py.Dataset) -> None:
        content[name] = {key: _cell(value) for key, value in part.attrs.items() if key not in _CHANGING}
        if isinstance(part, h5py.Dataset):
            content[f"{name}[]"] = _cell(part[()])

    with h5py.File(path, "r") as file:
        note("/", file)
        file.visititems(note)
    return content


def _cell(value: Any) -> Any:
    array = np.asarray(value)
    return array if array.dtype.kind in "biufcS" else repr(array.tolist())


def _pixels(path: Path) -> Any:
    with Image.open(path) as picture:
        return [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(picture)]


def _heads(path: Path) -> Any:
    """The trained heads of a run as skops keeps them, without the numbers that objects had in that process."""
    with zipfile.ZipFile(path) as archive:

        def steady(value: Any) -> Any:
            if isinstance(value, dict):
                parts = {key: steady(item) for key, item in value.items() if key not in ("__id__", "file")}
                if "file" in value:
                    parts["file"] = hashlib.sha256(archive.read(value["file"])).hexdigest()
                return parts
            return [steady(item) for item in value] if isinstance(value, list) else value

        return steady(json.loads(archive.read("schema.json")))


def _archive(path: Path) -> Any:
    """The members of a zip, or of an npz, by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}


_READERS: Mapping[str, Callable[[Path], Any]] = {
    ".csv": _csv,
    ".damaged": lambda path: path.stat().st_size,
    ".gif": _pixels,
    ".h5": _hdf5,
    ".html": _text,
    ".json": _json,
    ".npz": _archive,
    ".png": _pixels,
    ".skops": _heads,
    ".txt": _text,
    ".zip": _archive,
}

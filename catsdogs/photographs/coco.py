"""COCO's JSON: images with their numbers and file names, annotations with the category of each, categories with names.

https://cocodataset.org/#format-data; competitions of FGVC call an image's number `image_id` or `id`, both as text or
not.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from catsdogs.errors import DatasetError, in_short
from catsdogs.photographs.label_cells import PLAIN, Form, refuse_bars
from catsdogs.photographs.label_columns import Wanted
from catsdogs.photographs.label_texts import text_of
from catsdogs.photographs.names import natural_key
from catsdogs.photographs.task import LABELS

_IDS = {"images": ("id", "image_id"), "categories": ("id", "category_id")}


@dataclass(frozen=True)
class Coco:
    """What one file says.

    Attributes:
        name: of the file.
        files: number of an image, as text -> the name of its file.
        categories: number of an image -> the numbers of its categories, each once.
        names: number of a category -> its name.
        images: what the file says of each image.
    """

    name: str
    files: dict[str, str]
    categories: dict[str, list[str]]
    names: dict[str, str]
    images: Sequence[dict[str, Any]] = ()

    def details(self, key: str) -> dict[str, str]:
        """The name of each image's file -> what the file says of it under this key, such as a `location`."""
        found = ((str(image["file_name"]), image.get(key)) for image in self.images if "file_name" in image)
        return {file: str(value) for file, value in found if isinstance(value, str | int) and str(value).strip()}

    @property
    def keys(self) -> list[str]:
        """What it says of images besides their ids and files, in the order of first mention."""
        keys = dict.fromkeys(key for image in self.images for key in image)
        return [key for key in keys if key not in (*_IDS["images"], "file_name")]


def parse(name: str, text: str) -> Coco | None:
    """What a JSON file says; None if it is none of COCO's."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(content, list):  # of images, without a name
        content = {"images": content}
    if not isinstance(content, dict):
        return None
    files = {
        id: str(image["file_name"])
        for image in _entries(content, "images")
        if "file_name" in image and (id := _id_of(image, "images"))
    }
    categories: dict[str, list[str]] = defaultdict(list)
    for entry in _entries(content, "annotations"):
        id, category = str(entry.get("image_id", "")), entry.get("category_id")
        if category is not None and str(category) not in categories[id]:
            categories[id].append(str(category))
    names = {
        id: str(category["name"])
        for category in _entries(content, "categories")
        if "name" in category and (id := _id_of(category, "categories"))
    }
    shown = {id: found for id, found in categories.items() if found}
    return Coco(name, files, shown, names, _entries(content, "images")) if files else None


def labels(
    coco: Coco, matching: Callable[[str], Sequence[str]], wanted: Wanted, root: str, kind: str
) -> tuple[list[tuple[str, str]], Form]:
    """(photograph, label) for each annotated image; one that is not there keeps the name that the file gives it.

    The label is the category's number, or its name where the sample submission's `wanted` words are names. Images with
    several categories have several labels.

    Raises:
        DatasetError: a person gave a `kind` of one class, and an image has several.
    """
    several = [id for id, found in coco.categories.items() if len(found) > 1]
    if several and kind not in ("", LABELS):
        id = several[0]
        raise DatasetError(
            f"{root}: {coco.name} gives {len(several):,} images several categories, such as {coco.files.get(id, id)}: "
            f"{in_short(coco.categories[id])}",
            f"Leave --kind {kind} out, or give --kind labels",
            several,
        )
    words = {*wanted.values, *wanted.targets}
    by_name = bool(words & set(coco.names.values())) and not words & coco.names.keys()
    found = []
    for id, categories in coco.categories.items():
        written = coco.files.get(id, id)
        fits = matching(written)
        shown = [coco.names.get(category, category) if by_name else category for category in categories]
        found.append((fits[0] if len(fits) == 1 else written, shown))
    if several or kind == LABELS:
        asked = wanted.targets if len(wanted.targets) > 1 else ()
        others = {label for _, shown in found for label in shown} - {*asked}
        names = (*asked, *sorted(others, key=natural_key))
        refuse_bars(names, f"{root}: {coco.name}")
        return [(photograph, text_of(shown, names)) for photograph, shown in found], Form(LABELS, names)
    return [(photograph, label) for photograph, (label,) in found], PLAIN


def _entries(content: dict[str, Any], what: str) -> list[dict[str, Any]]:
    entries = content.get(what)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _id_of(entry: dict[str, Any], what: str) -> str:
    return next((str(entry[key]) for key in _IDS[what] if key in entry), "")

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

_IDS = {"images": ("id", "image_id"), "categories": ("id", "category_id")}


@dataclass(frozen=True)
class Coco:
    """What one file says.

    Attributes:
        name: of the file.
        files: number of an image, as text -> the name of its file.
        categories: number of an image -> the numbers of its categories, each once.
        names: number of a category -> its name.
    """

    name: str
    files: dict[str, str]
    categories: dict[str, list[str]]
    names: dict[str, str]


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
    return Coco(name, files, {id: found for id, found in categories.items() if found}, names) if files else None


def labels(coco: Coco, matching: Callable[[str], Sequence[str]], wanted: set[str], root: str) -> list[tuple[str, str]]:
    """(photograph, label) for each annotated image; one that is not there keeps the name that the file gives it.

    The label is the category's number, or its name where the sample submission's `wanted` words are names.

    Raises:
        DatasetError: an image with annotations of several categories.
    """
    several = [id for id, found in coco.categories.items() if len(found) > 1]
    if several:
        id = several[0]
        raise DatasetError(
            f"{root}: {coco.name} gives {len(several):,} images several categories, such as {coco.files.get(id, id)}: "
            f"{in_short(coco.categories[id])}",
            "Several labels for a photograph are not there yet: only one class for each can be learnt",
            several,
        )
    by_name = bool(wanted & set(coco.names.values())) and not wanted & coco.names.keys()
    found = []
    for id, (category,) in coco.categories.items():
        written = coco.files.get(id, id)
        fits = matching(written)
        label = coco.names.get(category, category) if by_name else category
        found.append((fits[0] if len(fits) == 1 else written, label))
    return found


def _entries(content: dict[str, Any], what: str) -> list[dict[str, Any]]:
    entries = content.get(what)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _id_of(entry: dict[str, Any], what: str) -> str:
    return next((str(entry[key]) for key in _IDS[what] if key in entry), "")

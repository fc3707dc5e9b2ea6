"""Small pictures of photographs, as data URIs inside the page; or the reason why one cannot be shown."""

import base64
from collections.abc import Collection, Mapping
from typing import NamedTuple

from catsdogs.errors import UnreadablePhotographError
from catsdogs.files.cores import usable
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset
from catsdogs.progress import Progress
from catsdogs.report.evidence import Evidence

GALLERY_SIDE, MAP_SIDE = 180, 72  # pixels
_JPEG_QUALITY = {GALLERY_SIDE: 75, MAP_SIDE: 60}


class PictureKey(NamedTuple):
    """A photograph at one of the sizes."""

    split: str
    id: str
    side: int


class Picture(NamedTuple):
    """A data URI; or, where that is empty, the reason why there is none."""

    uri: str
    reason: str


Pictures = Mapping[PictureKey, Picture]


def make_pictures(keys: Collection[PictureKey], dataset: Dataset | None, evidence: Evidence) -> Pictures:
    """The pictures of these keys; none at all without a data set."""
    if dataset is None:
        return {}
    present = dataset
    # A protocol's test rows are training photographs of the data set.
    home = {split: "train" if evidence.run.protocol else split for split in ("train", "test")}
    digests = {
        (split, id): int(digest)
        for split, values in evidence.first.digests.items()
        for id, digest in zip(evidence.first.ids[split], values, strict=True)
    }

    def picture(key: PictureKey) -> Picture:
        try:
            photograph = present.find(home[key.split], key.id)
            if photograph is None:
                raise UnreadablePhotographError("no longer in the data set")
            data = present.read(photograph)
            extracted = digests.get((key.split, key.id))
            if extracted is not None and images.digest(data) != extracted:
                raise UnreadablePhotographError("the file has changed since the networks saw it")
            small = images.thumbnail(data, key.side, _JPEG_QUALITY[key.side])
        except UnreadablePhotographError as error:
            return Picture("", error.reason)
        return Picture("data:image/jpeg;base64," + base64.b64encode(small).decode(), "")

    ordered = sorted(set(keys))
    made = Progress(len(ordered), "thumbnails", "picture", iterable=images.in_parallel(picture, ordered, 4 * usable()))
    return dict(zip(ordered, made, strict=True))

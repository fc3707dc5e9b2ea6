"""Chosen networks: from names such as `lite`, `Xception@320` or `timm:vit_small_patch16_224.augreg_in1k@cls` to rows.

What stands behind the `@` is how photographs go through the network, see `Variant`.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from catsdogs.errors import UnknownNameError, UsageError, WeightsError
from catsdogs.networks.table import (
    BACKBONES,
    HUB,
    KERAS,
    MAKERS,
    MEAN,
    RANDOM_WEIGHTS,
    SHORTHANDS,
    SMALL,
    TIMM,
    VECTORS,
    Backbone,
)
from catsdogs.photographs.fitting import CROP, RESIZES, SQUASH, VIEWS

_USUAL_SHARE = 0.875  # of the shorter side, which `crop` keeps where a network's makers name none
_SMALLEST_INPUT = 75  # pixels: InceptionV3 and InceptionResNetV2 have nothing left to pool below it
_OTHER_MAKERS = (TIMM, HUB)
_FILE = "file:"
FILE_PREFIX = "file-"  # of the names of feature files whose vectors were made elsewhere


class Variant(NamedTuple):
    """How photographs go through a network; what is empty or 0 is as usual for it.

    `vector` is one of `VECTORS`, `size` the side of the input in pixels, `resize` one of `RESIZES`, `views` of `VIEWS`.
    """

    vector: str = ""
    size: int = 0
    resize: str = ""
    views: str = ""

    @classmethod
    def read(cls, text: str) -> "Variant":
        """The variant that a text such as `last4-384-crop` means, in any order.

        Raises:
            UsageError: a part of it is no vector, size, way to resize or kind of views, or there are two of a kind.
        """
        found: dict[str, str] = {}
        kinds = {"vector": VECTORS, "resize": RESIZES, "views": tuple(VIEWS)}
        for part in filter(None, text.split("-")):
            if part == "none":  # no further views, beside which others may stand in a list
                continue
            kind = "size" if part.isdecimal() else next((name for name, known in kinds.items() if part in known), "")
            if not kind or kind in found:
                known = ", ".join((*VECTORS, "a size in pixels", *RESIZES, *filter(None, VIEWS)))
                problem = f"a second {kind}" if kind else "no vector, size, way to resize or kind of views"
                raise UsageError(f"@{text}: {part} is {problem}", f"Choose from: {known}")
            found[kind] = part
        return cls(**found | {"size": int(found.get("size", 0))})  # type: ignore[arg-type]

    def __str__(self) -> str:
        return "-".join(filter(None, (self.vector, str(self.size or ""), self.resize, self.views)))


def split_names(text: str | None) -> list[str]:
    """The names in a text such as `lite, Xception`, without what is empty between commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def expand(text: str) -> list[str]:
    """The names that a text such as `lite,Xception@320` stands for, in order, each once."""
    split = [name.partition("@") for name in split_names(text)]
    return list(dict.fromkeys(f"{full}{at}{how}" for name, at, how in split for full in SHORTHANDS.get(name, (name,))))


def vary(names: Sequence[str], **variants: Sequence[str]) -> list[str]:
    """Each name in each combination of variants, one of each field of `Variant`; an empty list changes nothing.

    Raises:
        UsageError: a text that is none of its field.
    """
    for field, texts in variants.items():
        for text in texts:
            known = {"vector": VECTORS, "resize": RESIZES, "views": ("none", *filter(None, VIEWS))}.get(field, ())
            if text not in known and not (field == "size" and text.isdecimal()):
                choice = f"Choose from: {', '.join(known)}" if known else "Give it a number of pixels, such as 384"
                raise UsageError(f"--{field} {text}: there is no such {field}", choice)
    chosen = [texts or [""] for texts in variants.values()]
    combined = ["-".join(filter(None, texts)) for texts in itertools.product(*chosen)]
    return [f"{name}{'-' if '@' in name else '@'}{how}" if how else name for name in names for how in combined]


def file_name(name: str) -> str:
    """A network's name as it stands in its feature file's: `timm-...` for `timm:...`, which Windows does not allow.

    That of vectors made elsewhere is `file-vectors` for `file:folder/vectors.parquet`.
    """
    if path := vectors_path(name):
        return FILE_PREFIX + PurePosixPath(path.replace("\\", "/")).stem
    maker, colon, model = name.partition(":")
    if not colon or maker not in _OTHER_MAKERS:
        return name
    model, at, how = model.partition("@")
    if maker == HUB:  # by its folder, of which the last part may be the version that Kaggle puts there
        parts = PurePosixPath(model.replace("\\", "/")).parts
        model = next((part for part in reversed(parts) if not part.isdecimal()), model)
    return f"{maker}-{model}{at}{how}"


def vectors_path(name: str) -> str:
    """The path or URL in a name such as `file:vectors.parquet`, of vectors made elsewhere; empty for a network's."""
    return name.removeprefix(_FILE) if name.startswith(_FILE) else ""


def is_pretrained(name: str) -> bool:
    """Whether a network of this name, or a variant of it, is the table's or another maker's, and not trained here."""
    base = file_name(name).partition("@")[0]
    return base in BACKBONES or base.startswith(MAKERS)


def choose(names: Iterable[str], weights_dir: str | None = None) -> list[Backbone]:
    """The rows for these names, each once; networks trained in this working folder have rows too.

    `weights_dir` is a folder where presets and weights are looked for first.

    Raises:
        UnknownNameError: a name that is not in the table, or none at all.
        UsageError: a network that does not go so, or the extra that brings it is not installed.
        WeightsError: a trained network whose card is damaged, or a preset that is not there.
    """
    from catsdogs.networks import trained

    trained_here = trained.names()
    rows: dict[str, Backbone] = {}
    for name in names:
        row = _row(name, trained_here, weights_dir)
        rows[row.name] = row
    if not rows:
        raise UnknownNameError("backbone", "", _choices(trained_here))
    return list(rows.values())


def weights_folder(weights_dir: str | None) -> Path | None:
    """The folder in which presets and weights are looked for first; None for none, and for the word `random`.

    Raises:
        WeightsError: it is not there.
    """
    if not weights_dir or weights_dir == RANDOM_WEIGHTS:
        return None
    folder = Path(weights_dir).expanduser()
    if not folder.is_dir():
        raise WeightsError(f"No such folder of weights: {folder}", "Check --weights-dir and CATSDOGS_WEIGHTS")
    return folder


def to_train(name: str, weights_dir: str | None = None, size: int = 0) -> Backbone:
    """The row of the network that a training starts from; KerasHub's at this size, in pixels, if one is given.

    Raises:
        UnknownNameError, UsageError: there is none that can be trained, or it does not take this size.
        WeightsError: as `choose`.
    """
    plain, at, text = name.partition("@")
    maker = _maker(plain)
    if maker == TIMM:
        raise UsageError(
            f"{plain} is a network of PyTorch's, and only Keras's are trained here",
            "Give --backbone a network of keras.applications, or hub:PRESET",
        )
    if at:
        raise UsageError(f"@{text} says how photographs go through a finished network", "Give --size for another size")
    if maker == HUB:
        from catsdogs.networks import hub_rows

        return hub_rows.row(plain[len("hub:") :], weights_dir, size)
    if plain not in BACKBONES | SMALL:
        raise UnknownNameError("network to train", plain, [*SMALL, *BACKBONES])
    return (BACKBONES | SMALL)[plain]


def _choices(trained_here: Sequence[str]) -> list[str]:
    return [*trained_here, *SHORTHANDS, *BACKBONES, "timm:NAME", "hub:PRESET"]


def _maker(name: str) -> str:
    return next((maker for maker in _OTHER_MAKERS if name.startswith((f"{maker}:", f"{maker}-"))), KERAS)


def _row(name: str, trained_here: Sequence[str], weights_dir: str | None) -> Backbone:
    from catsdogs.networks import trained

    if name.startswith((_FILE, FILE_PREFIX)) and name not in trained_here:
        raise UsageError(
            f"{name} holds vectors made elsewhere, and no network here makes them",
            "Leave it out here, and give it to train, compare or outliers; in Python to load",
        )
    plain, _, text = name.partition("@")
    variant = Variant.read(text)
    maker = _maker(plain)
    if maker == TIMM:
        from catsdogs.networks import timm_rows

        usual = timm_rows.row(plain[len("timm:") :])
        sized = timm_rows.row(usual.model, variant.size) if variant.size else usual
    elif maker == HUB:
        from catsdogs.networks import hub_rows

        usual = hub_rows.row(plain[len("hub:") :], weights_dir)
        sized = hub_rows.row(plain[len("hub:") :], weights_dir, variant.size) if variant.size else usual
    elif plain in BACKBONES:
        usual = BACKBONES[plain]
        sized = _at_size(usual, variant.size)
    elif plain in trained_here:
        usual = sized = trained.row(trained.FOLDER / plain)
        if variant.size not in (0, usual.input_size):
            raise UsageError(f"{plain} was trained at {usual.input_size} pixels", "Leave --size out")
    else:
        raise UnknownNameError("backbone", plain, _choices(trained_here))
    return _varied(usual, sized, variant)


def _at_size(backbone: Backbone, size: int) -> Backbone:
    """A network of the table at another size. Its weights fit, since it pools whatever map there is."""
    if size in (0, backbone.input_size):
        return backbone
    if backbone.name.startswith("VGG"):  # its classifier reads the map, not its average
        raise UsageError(f"{backbone.name} takes {backbone.input_size} pixels only", "Leave --size out")
    if size < _SMALLEST_INPUT:
        raise UsageError(f"{backbone.name} at {size} pixels", f"Give --size at least {_SMALLEST_INPUT}")
    return replace(backbone, input_size=size, gflops=backbone.gflops * (size / backbone.input_size) ** 2)


def _varied(usual: Backbone, sized: Backbone, variant: Variant) -> Backbone:
    """A row changed by a variant, and named by what is not as usual."""
    kinds = [offered.kind for offered in usual.offers] or [MEAN]
    vector = variant.vector or kinds[0]
    if vector not in kinds:
        raise UsageError(f"{usual.name} has no vector {vector}", f"Give --vector {' or '.join(kinds)}")
    resize = variant.resize or usual.resize
    named = Variant(
        vector if vector != kinds[0] else "",
        sized.input_size if sized.input_size != usual.input_size else 0,
        resize if resize != usual.resize else "",
        variant.views,
    )
    if named == Variant():
        return usual
    if usual.offers:
        chosen = next(offered for offered in sized.offers if offered.kind == vector)
        sized = replace(sized, vector=vector, width=chosen.stop - chosen.start)
    if resize != usual.resize:
        share = {SQUASH: 1.0, CROP: usual.share if usual.share < 1 else _USUAL_SHARE}.get(resize, 1.0)
        sized = replace(sized, resize=resize, share=share)
    return replace(sized, name=f"{usual.name}@{named}", views=variant.views)

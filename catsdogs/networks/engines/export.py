"""Networks exported for OpenVINO: by Keras or PyTorch in a process of its own, once, and kept in the user's cache.

With TensorFlow that process takes 820 MiB and 4.0 s of processor time to start, and 2.4 s for each network. With
Keras's OpenVINO backend it takes 2.0 s and 0.5 s (a Xeon, EfficientNet-Lites). A process that computes has none of it.
"""

import contextlib
import errno
import functools
import glob
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import distributions, version
from pathlib import Path

from catsdogs.errors import CatsdogsError, WeightsError
from catsdogs.files import atomic, locks
from catsdogs.networks import trained
from catsdogs.networks.quiet import importing_timm, settle_keras
from catsdogs.networks.table import HUB, KERAS, TIMM, Backbone, as_card, from_card
from catsdogs.networks.weights import Weights

NETWORK_FILE = "network.xml"
SUMS_FILE = "SHA256SUMS"
# The networks whose files from Keras's OpenVINO backend give the same numbers, bit for bit, as those from TensorFlow.
# Of the others it rounds activations and normalisations in another order, or they were not compared.
TRACED = frozenset(
    f"{family}{kind}"
    for family, kinds in {
        "DenseNet": ("121", "169"),
        "EfficientNetLite": ("0", "1", "2"),
        "Inception": ("V3", "ResNetV2"),
        "MobileNet": ("", "V2", "V3Small"),
        "NASNet": ("Mobile",),
        "ResNet": ("50", "50V2"),
        "VGG": ("16", "19"),
        "Xception": ("",),
        "four-conv": ("",),
        "squeezenet": ("",),
    }.items()
    for kind in kinds
)
_NETWORKS = Path(__file__).parents[1]
_ANSWER = "\x1e"  # the process that exports begins its answer with it; all else that it writes are messages
_OPENVINO, _TENSORFLOW, _TORCH = "openvino", "tensorflow", "torch"  # what exports a network
_REMEDIES = {
    _OPENVINO: "Upgrade keras, or use --engine keras",
    _TENSORFLOW: "Install tensorflow, or use --engine keras",
    _TORCH: "Install torch, or use --engine torch",
}
_LIBRARIES = {KERAS: ("keras",), TIMM: ("timm",), HUB: ("keras-hub", "keras")}
# The modules that a file's numbers depend on; the row of the table and the digest of the weights are in its name, too.
_OF_KERAS = ("build.py", "imagenet.py", "pth.py", "architectures/*.py", "engines/keras_export.py")
CODE = {
    KERAS: _OF_KERAS,
    HUB: (*_OF_KERAS, "hub.py", "hub_features.py", "hub_rows.py"),
    TIMM: ("imagenet.py", "timm_rows.py", "engines/timm_*.py", "engines/torch_files.py"),
}


def exported(backbone: Backbone, weights: Weights) -> Path:
    """The network as an OpenVINO file. It is exported now, in some seconds, unless the cache has it whole.

    The process that exports stays until `release` is called: half of the time goes into its start.

    Raises:
        WeightsError: the weights do not fit, TensorFlow is not installed, or the cache cannot be written.
    """
    by = _exported_by(backbone)
    code = [path.read_bytes() for pattern in CODE[backbone.source] for path in sorted(_NETWORKS.glob(pattern))]
    libraries = (*_LIBRARIES[backbone.source], *dict.fromkeys((by, _OPENVINO)))
    versions = [found.version for name in libraries for found in distributions(name=name)]
    made_of = (replace(backbone, trained=None, folder=None), weights.sha256, versions, code)
    folder = _cache() / f"{backbone.name}-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]}"
    try:
        if _is_whole(folder):
            return folder / NETWORK_FILE
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locks.hold(folder.with_name(f"{folder.name}.lock"), patience=-1):
            if not _is_whole(folder):  # another process may have been quicker
                atomic.clear_leftovers(folder)  # of killed runs
                shutil.rmtree(folder, ignore_errors=True)  # of a damaged disk
                temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
                temporary.mkdir(exist_ok=True)
                try:
                    _exporters[by].export(backbone, weights, temporary / NETWORK_FILE)
                    (temporary / SUMS_FILE).write_bytes(_sums(temporary))
                    temporary.rename(folder)
                finally:
                    shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise WeightsError(
            f"{backbone.name} cannot be kept in {folder.parent}: {error}", "Free some space, or set XDG_CACHE_HOME"
        ) from None
    return folder / NETWORK_FILE


def expect(backbones: Sequence[Backbone]) -> None:
    """Start what will export these networks, while other work is done, if the cache has never had one of them."""
    for backbone in backbones:
        with contextlib.suppress(OSError, CatsdogsError):  # whoever needs the network hears of it
            if not any(_cache().glob(f"{glob.escape(backbone.name)}-*/{SUMS_FILE}")):
                _exporters[_exported_by(backbone)].start()


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """In this block networks are exported while others compute, so that `release` waits for its end."""
    _keepers.append(None)
    try:
        yield
    finally:
        _keepers.pop()
        release()


def release() -> None:
    """End the processes that export, and with them the memory that they take."""
    if not _keepers:
        for exporter in _exporters.values():
            exporter.end()


def remembered(what: str, find_out: Callable[[], bool]) -> bool:
    """A fact about this machine, found out once and kept."""
    path = _cache() / f"{hashlib.sha256(what.encode()).hexdigest()[:16]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # none yet, or damaged
        return bool(json.loads(path.read_text(encoding="utf-8"))[what])
    verdict = find_out()
    with contextlib.suppress(OSError):  # then the next run finds out again
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({what: verdict}), encoding="utf-8")
    return verdict


def _exported_by(backbone: Backbone) -> str:
    """What exports a network: Keras's OpenVINO backend, TensorFlow or PyTorch."""
    if backbone.source == TIMM:
        return _TORCH
    base = trained.read_card(backbone.trained).base if backbone.trained else backbone.base
    return _OPENVINO if base in TRACED and _keras_is_known() else _TENSORFLOW


@functools.cache
def _keras_is_known() -> bool:
    """Whether Keras is as new as the one whose OpenVINO backend was compared; 3.11 lacks much of it."""
    return tuple(map(int, version("keras").split(".")[:2])) >= (3, 15)


def _cache() -> Path:
    return atomic.cache_folder() / "openvino"


def _is_whole(folder: Path) -> bool:
    sums = folder / SUMS_FILE
    return sums.exists() and sums.read_bytes() == _sums(folder)


def _sums(folder: Path) -> bytes:
    """JSON of the network's files: name -> SHA-256."""
    return json.dumps({path.name: trained.file_digest(path) for path in sorted(folder.glob("network.*"))}).encode()


class _Exporter:
    """A process that exports networks by a library, whichever backend Keras has in this process.

    It reads a line of JSON for each network, and ends with this process.
    """

    def __init__(self, library: str) -> None:
        self._library = library
        self._process: subprocess.Popen[str] | None = None
        self._alone = threading.Lock()

    def export(self, backbone: Backbone, weights: Weights, path: Path) -> None:
        file = weights.path and str(weights.path.absolute())
        job = [as_card(backbone), file, weights.sha256, str(path.absolute())]
        with self._alone:
            process = self._started()
            assert process.stdin and process.stdout  # noqa: S101 - they are pipes
            with contextlib.suppress(OSError):  # it has ended; its last message says why
                process.stdin.write(f"{json.dumps(job)}\n")
                process.stdin.flush()
            reason = ""
            for line in process.stdout:
                message, has_answered, answer = line.partition(_ANSWER)
                if has_answered:
                    if mistake := json.loads(answer):
                        raise WeightsError(*mistake)
                    return
                reason = message.strip() or reason
            reason = reason or f"exit code {process.wait()}"
        if weights.path and shutil.disk_usage(path.parent).free < weights.path.stat().st_size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # OpenVINO does not report it
        raise WeightsError(f"{backbone.name} cannot be exported for OpenVINO: {reason}", _REMEDIES[self._library])

    def start(self) -> None:
        """Start the process, if there is none."""
        with self._alone:
            self._started()

    def end(self) -> None:
        """Close its input, which ends the process, if there is one: TensorFlow's memory goes with it."""
        with self._alone:
            if self._process:
                with contextlib.suppress(OSError):
                    self._process.communicate()
            self._process = None

    def _started(self) -> "subprocess.Popen[str]":
        if not self._process or self._process.poll() is not None:
            search = os.pathsep.join([str(_NETWORKS.parents[1]), *filter(None, sys.path)])
            settings = {"KERAS_BACKEND": self._library, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", __name__],  # -P: a keras.py in the current folder is not Keras
                env=os.environ | settings | {"PYTHONPATH": search},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
            )
        return self._process


_exporters = {library: _Exporter(library) for library in (_OPENVINO, _TENSORFLOW, _TORCH)}
_keepers: list[None] = []


def _main() -> None:
    """Export the network of each line of the input, and answer with a line: null, or the problem and its remedy."""
    settle_keras()
    library = os.environ["KERAS_BACKEND"]
    with contextlib.suppress(CatsdogsError):  # it is said when a network is asked for
        _export_function(library)
    for line in sys.stdin:
        card, file, sha256, path = json.loads(line)
        backbone, mistake = from_card(card), None
        try:
            _export_function(library)(backbone, Weights(file and Path(file), sha256), path)
        except CatsdogsError as error:
            mistake = (error.problem, error.remedy)
        sys.stdout.write(f"{_ANSWER}{json.dumps(mistake)}\n")
        sys.stdout.flush()


@functools.cache
def _export_function(library: str) -> Callable[[Backbone, Weights, str], None]:
    """What exports networks by a library."""
    if library == _TORCH:
        with importing_timm():
            from catsdogs.networks.engines import timm_models

        return timm_models.export
    for unused in ("jax", "matplotlib"):  # Keras would import them if they are there: a third of its start
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]
    from catsdogs.networks.engines import keras_export

    if library == _TENSORFLOW:
        _mend_converter()
    return keras_export.Exporter().export


def _mend_converter() -> None:
    """Give OpenVINO 2026.4's converter TensorFlow's version, which it cannot find out from Python 3.13 on.

    It imports TensorFlow by one `exec` and deletes the name by another, which since PEP 667 does not see it.
    """
    if sys.version_info >= (3, 13):
        from openvino.frontend.tensorflow import utils

        utils.get_environment_setup = lambda framework: {"tensorflow": sys.modules["tensorflow"].__version__}


if __name__ == "__main__":
    _main()

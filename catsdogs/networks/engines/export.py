"""Networks exported for OpenVINO: by Keras or PyTorch in a process of its own, once, and kept in the user's cache.

That process takes 820 MiB and 4.0 s of processor time to start, and 2.4 s for each network (a Xeon, four networks).
A process that computes has none of it. OpenVINO's own cache is of compiled networks, which come after this.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import distributions
from pathlib import Path

from catsdogs.errors import CatsdogsError, WeightsError
from catsdogs.files import atomic, locks
from catsdogs.networks import trained
from catsdogs.networks.quiet import importing_timm, settle_keras
from catsdogs.networks.table import HUB, KERAS, TIMM, Backbone, as_card, from_card
from catsdogs.networks.weights import Weights

NETWORK_FILE = "network.xml"
SUMS_FILE = "SHA256SUMS"
_NETWORKS = Path(__file__).parents[1]
_ANSWER = "\x1e"  # the process that exports begins its answer with it; all else that it writes are messages
_WITHOUT_TENSORFLOW = "Install tensorflow, or use --engine keras"
_MADE_BY = {
    KERAS: ("catsdogs", "keras", "tensorflow", "openvino"),
    TIMM: ("catsdogs", "timm", "torch", "openvino"),
    HUB: ("catsdogs", "keras-hub", "keras", "tensorflow", "openvino"),
}


def exported(backbone: Backbone, weights: Weights) -> Path:
    """The network as an OpenVINO file. It is exported now, in some seconds, unless the cache has it whole.

    The process that exports stays until `release` is called: half of the time goes into its start.

    Raises:
        WeightsError: the weights do not fit, TensorFlow is not installed, or the cache cannot be written.
    """
    code = [path.read_bytes() for path in sorted(_NETWORKS.rglob("*.py"))]
    versions = [found.version for name in _MADE_BY[backbone.source] for found in distributions(name=name)]
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
                    _exporter.export(backbone, weights, temporary / NETWORK_FILE)
                    (temporary / SUMS_FILE).write_bytes(_sums(temporary))
                    temporary.rename(folder)
                finally:
                    shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise WeightsError(
            f"{backbone.name} cannot be kept in {folder.parent}: {error}", "Free some space, or set XDG_CACHE_HOME"
        ) from None
    return folder / NETWORK_FILE


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


def _cache() -> Path:
    return atomic.cache_folder() / "openvino"


def _is_whole(folder: Path) -> bool:
    sums = folder / SUMS_FILE
    return sums.exists() and sums.read_bytes() == _sums(folder)


def _sums(folder: Path) -> bytes:
    """JSON of the network's files: name -> SHA-256."""
    return json.dumps({path.name: trained.file_digest(path) for path in sorted(folder.glob("network.*"))}).encode()


class _Exporter:
    """A process that exports networks, whichever backend Keras has in this one.

    It reads a line of JSON for each network, and ends with this process.
    """

    def __init__(self) -> None:
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
        remedy = "Install torch, or use --engine torch" if backbone.source == TIMM else _WITHOUT_TENSORFLOW
        raise WeightsError(f"{backbone.name} cannot be exported for OpenVINO: {reason}", remedy)

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
            settings = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
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


_exporter = _Exporter()
release = _exporter.end


def _main() -> None:
    """Export the network of each line of the input, and answer with a line: null, or the problem and its remedy."""
    settle_keras()
    for line in sys.stdin:
        card, file, sha256, path = json.loads(line)
        backbone, mistake = from_card(card), None
        try:
            _export_function(backbone.source)(backbone, Weights(file and Path(file), sha256), path)
        except CatsdogsError as error:
            mistake = (error.problem, error.remedy)
        sys.stdout.write(f"{_ANSWER}{json.dumps(mistake)}\n")
        sys.stdout.flush()


def _export_function(source: str) -> Callable[[Backbone, Weights, str], None]:
    """What exports the networks of a maker: with PyTorch, or with Keras on TensorFlow; each imported when needed."""
    if source == TIMM:
        with importing_timm():
            from catsdogs.networks.engines import timm_models

        return timm_models.export
    from catsdogs.networks import build

    _mend_converter()
    return build.export


def _mend_converter() -> None:
    """Give OpenVINO 2026.4's converter TensorFlow's version, which it cannot find out from Python 3.13 on.

    It imports TensorFlow by one `exec` and deletes the name by another, which since PEP 667 does not see it.
    """
    if sys.version_info >= (3, 13):
        from openvino.frontend.tensorflow import utils

        utils.get_environment_setup = lambda framework: {"tensorflow": sys.modules["tensorflow"].__version__}


if __name__ == "__main__":
    _main()

"""Networks exported for OpenVINO: by Keras in a process of its own, once, and kept in the user's cache."""

import contextlib
import errno
import glob
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO

from catsdogs.errors import CatsdogsError, WeightsError
from catsdogs.files import atomic, locks
from catsdogs.networks import trained
from catsdogs.networks.quiet import settle_keras
from catsdogs.networks.table import BACKBONES, Backbone
from catsdogs.networks.weights import Weights

NETWORK_FILE = "network.xml"
SUMS_FILE = "SHA256SUMS"
_NETWORKS = Path(__file__).parents[1]
_DONE = "done"
_MADE_BY = ("catsdogs", "keras", "tensorflow", "openvino")


def exported(backbone: Backbone, weights: Weights) -> Path:
    """The network as an OpenVINO file. It is exported now, in some seconds, unless the cache has it whole.

    The process that exports stays until `release` is called: half of the time goes into its start.

    Raises:
        WeightsError: the weights do not fit, TensorFlow is not installed, or the cache cannot be written.
    """
    rooms = (_NETWORKS, _NETWORKS / "architectures")
    code = [path.read_bytes() for room in rooms for path in sorted(room.glob("*.py"))]
    made_of = (replace(backbone, trained=None), weights.sha256, [_package_version(name) for name in _MADE_BY], code)
    folder = _cache() / f"{backbone.name}-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]}"
    try:
        if _is_whole(folder):
            return folder / NETWORK_FILE
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locks.hold(folder.with_name(f"{folder.name}.lock"), patience=-1):
            if not _is_whole(folder):  # another process may have been quicker
                killed = folder.parent.glob(f"{glob.escape(folder.name)}.*tmp")
                for leftover in (*killed, folder):  # of a killed run, a damaged disk
                    shutil.rmtree(leftover, ignore_errors=True)
                # The name is unique, because a process that a killed run has left may still be writing.
                temporary = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
                temporary.mkdir()
                try:
                    _exporter.export(backbone, weights, temporary / NETWORK_FILE)
                    (temporary / SUMS_FILE).write_text(json.dumps(_sums(temporary)), encoding="utf-8")
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


def _package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # from a source tree, or under another name, such as tensorflow-cpu
        return ""


def _is_whole(folder: Path) -> bool:
    try:
        return json.loads((folder / SUMS_FILE).read_text(encoding="utf-8")) == _sums(folder)
    except (FileNotFoundError, ValueError):
        return False


def _sums(folder: Path) -> dict[str, str]:
    """File -> SHA-256, of the network's files."""
    return {path.name: trained.file_digest(path) for path in sorted(folder.glob("network.*"))}


class _Exporter:
    """A process that exports networks, whichever backend Keras has in this one.

    It reads a line of JSON for each network, and ends with this process.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._environment: dict[str, str] = {}
        self._messages: IO[str] | None = None
        self._alone = threading.Lock()

    def export(self, backbone: Backbone, weights: Weights, path: Path) -> None:
        folder, file = str(backbone.trained or ""), str(weights.path.absolute() if weights.path else "")
        with self._alone:
            process = self._started()
            assert process.stdin and process.stdout and self._messages  # noqa: S101 - they are pipes, and a file
            with contextlib.suppress(OSError):  # it has ended; its messages say why
                process.stdin.write(
                    json.dumps([backbone.name, folder, file, weights.sha256, str(path.absolute())]) + "\n"
                )
                process.stdin.flush()
            answer = process.stdout.readline()
            if answer.strip() == _DONE:
                return
            if answer:
                raise WeightsError(*json.loads(answer))
            code = process.wait()
            self._messages.seek(0)
            reason = (self._messages.read().strip() or f"exit code {code}").splitlines()[-1]
            self._close()
        if weights.path and shutil.disk_usage(path.parent).free < weights.path.stat().st_size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # OpenVINO does not report it
        raise WeightsError(
            f"{backbone.name} cannot be exported for OpenVINO: {reason}", "Install tensorflow, or use --engine keras"
        )

    def end(self) -> None:
        """End the process, if there is one: TensorFlow's memory goes with it."""
        with self._alone:
            self._close()

    def _started(self) -> "subprocess.Popen[str]":
        search = os.pathsep.join([str(_NETWORKS.parents[1]), *filter(None, sys.path)])
        settings = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        environment = os.environ | settings | {"PYTHONPATH": search}
        if self._process and (self._process.poll() is not None or environment != self._environment):
            self._close()
        if not self._process:
            self._environment = environment
            self._messages = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - until it ends
            # -P: a keras.py in the current folder is not Keras.
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", __name__],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._messages,
                text=True,
                encoding="utf-8",
            )
        return self._process

    def _close(self) -> None:
        """Close its input, which ends it."""
        if self._process and self._messages:
            with contextlib.suppress(OSError):
                self._process.communicate()
            self._messages.close()
        self._process = self._messages = None


_exporter = _Exporter()
release = _exporter.end


def _main() -> None:
    """Export the network of each line of the input, and answer with a line: done, or the problem and its remedy."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries may print, too
    for line in sys.stdin:
        try:
            _export(*json.loads(line))
        except CatsdogsError as error:
            answer = json.dumps([error.problem, error.remedy])
        else:
            answer = _DONE
        answers.write(answer + "\n")
        answers.flush()


def _export(name: str, folder: str, weights_path: str, sha256: str, path: str) -> None:
    settle_keras()
    from catsdogs.networks import build

    _mend_converter()
    backbone = trained.row(Path(folder)) if folder else BACKBONES[name]
    build.export(backbone, Weights(Path(weights_path) if weights_path else None, sha256), path)


def _mend_converter() -> None:
    """Give OpenVINO 2026.4's converter TensorFlow's version, which it cannot find out from Python 3.13 on.

    It imports TensorFlow by one `exec` and deletes the name by another, which since PEP 667 does not see it.
    """
    if sys.version_info >= (3, 13):
        from openvino.frontend.tensorflow import utils

        utils.get_environment_setup = lambda framework: {"tensorflow": sys.modules["tensorflow"].__version__}


if __name__ == "__main__":
    _main()

"""What OpenVINO needs once, kept in the user's cache: networks, each exported by Keras in a process of its own."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import platformdirs

from catsdogs import backbones, networks
from catsdogs.backbones import TABLE, Backbone, trained
from catsdogs.backbones.weights import Weights
from catsdogs.errors import CatsdogsError, WeightsError

FILE = "network.xml"
SUMS = "SHA256SUMS"
_REFUSED = 3  # the other process's exit code for an error of ours; Python's own for any other is 1
_MADE_BY = ("catsdogs", "keras", "tensorflow", "openvino")


def exported(backbone: Backbone, weights: Weights) -> Path:
    """The network as an OpenVINO file, from the cache if it is whole there, or else exported now, in some ten seconds.

    Raises:
        WeightsError: the weights do not fit, TensorFlow is not installed, or the cache cannot be written.
    """
    code = [path.read_bytes() for room in (backbones, networks) for path in sorted(_folder(room).glob("*.py"))]
    made_of = (replace(backbone, trained=None), weights.sha256, [_version(name) for name in _MADE_BY], code)
    folder = _cache() / f"{backbone.name}-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]}"
    if _is_whole(folder):
        return folder / FILE
    try:
        with _locked(folder):
            if not _is_whole(folder):  # another process may have been quicker
                temporary = folder.with_suffix(".tmp")
                for leftover in (temporary, folder):  # of a run that was killed, of a damaged disk
                    shutil.rmtree(leftover, ignore_errors=True)
                temporary.mkdir()
                try:
                    _export_elsewhere(backbone, weights, temporary / FILE)
                    (temporary / SUMS).write_text(json.dumps(_sums(temporary)), encoding="utf-8")
                    temporary.rename(folder)
                finally:
                    shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise WeightsError(
            f"{backbone.name} cannot be kept in {folder.parent}: {error}", "Free some space, or set XDG_CACHE_HOME"
        ) from None
    return folder / FILE


def remembered(what: str, find_out: Callable[[], bool]) -> bool:
    """A verdict on this machine, found out once."""
    path = _cache() / f"{hashlib.sha256(what.encode()).hexdigest()[:16]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # none yet, or damaged
        return bool(json.loads(path.read_text(encoding="utf-8"))[what])
    verdict = find_out()
    with contextlib.suppress(OSError):  # then the next run finds out again
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({what: verdict}), encoding="utf-8")
    return verdict


def _cache() -> Path:
    return platformdirs.user_cache_path("catsdogs") / "openvino"


def _folder(package: ModuleType) -> Path:
    return Path(str(package.__file__)).parent


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # from a source tree, or under another name, such as tensorflow-cpu
        return ""


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        yield


def _is_whole(folder: Path) -> bool:
    try:
        return json.loads((folder / SUMS).read_text(encoding="utf-8")) == _sums(folder)
    except (OSError, ValueError):
        return False


def _sums(folder: Path) -> dict[str, str]:
    """File -> SHA-256, of the network's files."""
    sums = {}
    for path in sorted(folder.glob("network.*")):
        with path.open("rb") as file:
            sums[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


def _export_elsewhere(backbone: Backbone, weights: Weights, path: Path) -> None:
    """Export in another process: TensorFlow's memory goes with it, whichever backend Keras has in this one."""
    # -P: a keras.py in the folder of the call is not meant.
    asked = [backbone.name, str(backbone.trained or ""), str(weights.path or ""), weights.sha256, str(path)]
    command = [sys.executable, "-P", "-m", __name__, *asked]
    search = os.pathsep.join([str(_folder(backbones).parents[1]), *filter(None, sys.path)])
    settings = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environment = os.environ | settings | {"PYTHONPATH": search}
    ended = subprocess.run(  # noqa: S603 - our own program
        command, env=environment, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if ended.returncode == _REFUSED:
        raise WeightsError(*json.loads(ended.stdout.splitlines()[-1]))
    if ended.returncode:
        reason = (ended.stderr.strip() or f"exit code {ended.returncode}").splitlines()[-1]
        raise WeightsError(
            f"{backbone.name} cannot be exported for OpenVINO: {reason}", "Install tensorflow, or use --engine keras"
        )


def _main(name: str, folder: str, weights_path: str, sha256: str, path: str) -> None:
    from catsdogs.backbones.build import build

    try:
        backbone = trained.row(Path(folder)) if folder else TABLE[name]
        model = build(backbone, Weights(Path(weights_path) if weights_path else None, sha256))
    except CatsdogsError as error:
        sys.stdout.write("\n" + json.dumps([error.problem, error.remedy]))
        sys.exit(_REFUSED)
    model.export(path, format="openvino", verbose=False)


if __name__ == "__main__":
    _main(*sys.argv[1:])

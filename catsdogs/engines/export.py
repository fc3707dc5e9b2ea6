"""The networks as OpenVINO files in the user's cache, each written there once by Keras in a process of its own."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import platformdirs
from filelock import FileLock

from catsdogs import __version__
from catsdogs.backbones import TABLE, Backbone
from catsdogs.backbones.weights import Weights
from catsdogs.errors import CatsdogsError, WeightsError

FILE = "network.xml"


def exported(backbone: Backbone, weights: Weights) -> Path:
    """The network as an OpenVINO file, from the cache or else exported now, in some ten seconds.

    Raises:
        WeightsError: the weights do not fit, or the cache cannot be written.
    """
    made_of = (backbone, weights.sha256, __version__, version("keras"), version("tensorflow"), version("openvino"))
    key = hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]
    folder = platformdirs.user_cache_path("catsdogs") / "openvino" / f"{backbone.name}-{key}"
    path = folder / FILE
    if path.exists():
        return path
    temporary = folder.with_suffix(".tmp")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not path.exists():  # another process was quicker
                shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
                temporary.mkdir()
                _export_elsewhere(backbone, weights, temporary / FILE)
                temporary.rename(folder)
    except OSError as error:
        raise WeightsError(
            f"{backbone.name} cannot be kept in {folder.parent}: {error}", "Free some space, or set XDG_CACHE_HOME"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def _export_elsewhere(backbone: Backbone, weights: Weights, path: Path) -> None:
    """Export in another process: TensorFlow's memory goes with it, whichever backend Keras has in this one."""
    command = [sys.executable, "-m", __name__, backbone.name, str(weights.path or ""), weights.sha256, str(path)]
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if ended.returncode == CatsdogsError.exit_code and ended.stdout:
        raise WeightsError(*json.loads(ended.stdout.splitlines()[-1]))
    if ended.returncode:
        reason = (ended.stderr.strip() or f"exit code {ended.returncode}").splitlines()[-1]
        raise WeightsError(f"{backbone.name} cannot be exported for OpenVINO: {reason}", "Use --engine keras")


def _main(name: str, weights_path: str, sha256: str, path: str) -> None:
    from catsdogs.backbones.build import build

    try:
        model = build(TABLE[name], Weights(Path(weights_path) if weights_path else None, sha256))
    except WeightsError as error:
        sys.stdout.write(json.dumps([error.problem, error.remedy]))
        sys.exit(error.exit_code)
    model.export(path, format="openvino", verbose=False)


if __name__ == "__main__":
    _main(*sys.argv[1:])

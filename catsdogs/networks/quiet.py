"""Imports Keras and timm: quietly, with settings that do not vary, and beside each other."""

import contextlib
import glob
import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from catsdogs.errors import UsageError
from catsdogs.files import interrupts

INSTALL_TIMM = 'Install it: pip install "catsdogs[timm]"'
_BACKENDS = ("tensorflow", "jax", "torch")
_CARDS = "/proc/driver/nvidia/gpus/*/information"  # where NVIDIA's driver describes them
_GPUS = "GPU"  # the kind of device that TensorFlow keeps compiled code for; on processors it compiles nothing
_KNOWS_AUTOTUNE = (2, 21)  # the release of TensorFlow in which the flag was found
_MOST_COMPILED = 2**31  # bytes that JAX keeps; what was not used for longest goes first
_DEFAULTS = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last", "nnx_enabled": False}


def keras_home() -> Path:
    """Where Keras keeps its settings and downloads: keras/src/backend/config.py and utils/file_utils.py, get_file."""
    home = Path(os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras")))  # noqa: PTH111 - raises nothing without a home
    if home.exists() and not os.access(home, os.W_OK):
        home = Path("/tmp" if Path("/tmp").is_dir() else tempfile.gettempdir(), ".keras")  # noqa: S108 - Keras's choice
    return home


def settle_keras() -> None:
    """Ignore the user's `keras.json`, but for a backend that is installed.

    The file may be of Keras 1, ask for `channels_first`, or be damaged. Then Keras would not start, or would build
    networks that no weights fit. Before Keras is imported, it is given another home, with the same downloads. If it is
    imported already, its settings are set to their defaults.
    """
    keras: Any = sys.modules.get("keras")
    if keras is None:
        _send_elsewhere(keras_home())
        return
    config = getattr(keras, "config", None)
    if config is None:  # it is being imported at this moment
        return
    config.set_epsilon(_DEFAULTS["epsilon"])
    config.set_image_data_format(_DEFAULTS["image_data_format"])
    if config.floatx() != _DEFAULTS["floatx"]:
        config.set_floatx(_DEFAULTS["floatx"])
        config.set_dtype_policy(_DEFAULTS["floatx"])


def _send_elsewhere(home: Path) -> None:
    try:
        settings = json.loads((home / "keras.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):  # Keras writes one
        return
    except (OSError, ValueError, RecursionError):
        settings = None
    content = settings if isinstance(settings, dict) else {}
    backend = content.get("backend", _BACKENDS[0])
    is_given = bool(os.environ.get("KERAS_BACKEND"))
    usual = all(repr(content.get(name, value)) == repr(value) for name, value in _DEFAULTS.items())
    if settings == content and usual and (is_given or _is_installed(backend)):
        return
    if not is_given and (installed := [name for name in (backend, *_BACKENDS) if _is_installed(name)]):
        os.environ["KERAS_BACKEND"] = installed[0]
    from catsdogs.files.atomic import cache_folder

    elsewhere = cache_folder() / f"keras-{hashlib.sha256(bytes(home)).hexdigest()[:8]}"
    with contextlib.suppress(OSError):  # without such a folder, or without the link, Keras downloads once more
        elsewhere.mkdir(parents=True, exist_ok=True)
        (home / "models").mkdir(exist_ok=True)
        (elsewhere / "models").symlink_to((home / "models").resolve(), target_is_directory=True)
    os.environ["KERAS_HOME"] = str(elsewhere)


def _is_installed(backend: object) -> bool:
    with contextlib.suppress(ValueError):  # of a module that is barred
        return backend in _BACKENDS and importlib.util.find_spec(str(backend)) is not None
    return False


def keep_compiled() -> None:
    """Let JAX and TensorFlow keep compiled code between runs, in the user's cache; before they are imported.

    What the user has set is heeded. JAX's files know of what card and versions they are, and one that does not fit
    costs a warning. TensorFlow's know neither, and one that does not fit ends the run: so they have a folder for each
    release and each set of cards, and there is none where the driver does not tell the cards. Both keep apart what they
    find out about a card's fastest kernels, which is the larger part of compiling for a GPU.
    """
    from catsdogs.files.atomic import cache_folder

    with contextlib.suppress(OSError):  # where nothing can be kept, each run compiles
        folder = cache_folder() / "compiled"
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "jax"))
        # Small functions, too: the making of weights is many of them.
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(_MOST_COMPILED))
        cards = sorted(line for path in glob.glob(_CARDS) for line in _lines(path) if line.startswith("Model"))  # noqa: PTH207
        if not cards or not (release := _release("tensorflow")):
            return
        kept = folder / f"tensorflow-{hashlib.sha256(repr((release, cards)).encode()).hexdigest()[:16]}"
        kept.mkdir(exist_ok=True)
        _add_flags("TF_XLA_FLAGS", tf_xla_persistent_cache_directory=kept, tf_xla_persistent_cache_device_types=_GPUS)
        if tuple(map(int, re.findall(r"\d+", release)[:2])) < _KNOWS_AUTOTUNE:
            return  # XLA ends the process at a flag that it does not know
        kernels = folder / "kernels"
        kernels.mkdir(exist_ok=True)
        _add_flags("XLA_FLAGS", xla_gpu_per_fusion_autotune_cache_dir=kernels)


def _add_flags(variable: str, **flags: object) -> None:
    """Add flags to an environment variable, but for those that it has."""
    given = os.environ.get(variable, "")
    new = [f"--{name}={value}" for name, value in flags.items() if f"--{name}=" not in given]
    os.environ[variable] = " ".join(filter(None, [given, *new]))


def _lines(path: str) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    return []


def _release(library: str) -> str:
    """The installed version; empty if it is not installed, or under another name."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(library)
    return ""


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Show what is written to the descriptor of standard error only if the import fails; an interrupt waits for it."""
    with interrupts.later(), _quiet():
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        kept = os.dup(2)
    except OSError:  # no standard error at all
        yield
        return
    with tempfile.TemporaryFile() as messages:
        sys.stderr.flush()
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except BaseException:
            messages.seek(0)
            os.write(kept, messages.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _is_no_advice(record: logging.LogRecord) -> bool:
    """Whether it is not TensorFlow's advice against retracing: here each network is another graph."""
    return "retracing" not in record.getMessage()


@contextlib.contextmanager
def importing_keras() -> Iterator[None]:
    """A context for a first import of Keras: quiet, with settled settings, and one line if its backend is missing.

    Raises:
        UsageError: Keras cannot start on the backend it is told to use.
    """
    settle_keras()
    keep_compiled()
    logging.getLogger("tensorflow").addFilter(_is_no_advice)
    try:
        with quiet_import():
            yield
    except (ImportError, ValueError) as error:
        backend = os.environ.get("KERAS_BACKEND")
        asked = f"KERAS_BACKEND={backend}" if backend else "the backend in Keras's keras.json"
        raise UsageError(
            f"Keras cannot start on {asked}: {error}",
            "Set KERAS_BACKEND to tensorflow, jax or torch, whichever is installed",
        ) from None
    settle_keras()


@contextlib.contextmanager
def importing_timm() -> Iterator[None]:
    """A context for a first import of timm, or of a module that imports it.

    timm's imports end in Triton, which brings an LLVM of its own. Where TensorFlow is loaded, the process crashes
    (Triton 3.8 after TensorFlow 2.21; the other order is fine). PyTorch does without it, unless it compiles.

    Raises:
        UsageError: it is not installed, or lacks something.
    """
    if "tensorflow" in sys.modules:
        sys.modules.setdefault("triton", None)  # type: ignore[arg-type]
        logging.getLogger("torch.utils.flop_counter").setLevel(logging.ERROR)  # it warns that there is none
    try:
        with interrupts.later():
            yield
    except ImportError as error:
        raise UsageError(f"timm cannot be imported: {error}", INSTALL_TIMM) from None

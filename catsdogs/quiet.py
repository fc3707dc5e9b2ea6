"""Imports Keras without the lines that TensorFlow's C++ writes to standard error meanwhile, past every log setting."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator

from catsdogs.errors import UsageError


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Hold back what is written to the standard error's descriptor; show it only if the import fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        kept = os.dup(2)
    except OSError:  # no standard error at all
        yield
        return
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


class _NoRetracing(logging.Filter):
    """Drops TensorFlow's advice on its own retracing: each network is another graph here, and nobody can act on it."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "retracing" not in record.getMessage()


@contextlib.contextmanager
def importing_keras() -> Iterator[None]:
    """Around a first import of Keras: quiet, and one line if its backend is unknown or not installed.

    Raises:
        UsageError: Keras cannot start on the backend it is told to use.
    """
    warned = logging.getLogger("tensorflow")
    if not any(isinstance(kept, _NoRetracing) for kept in warned.filters):
        warned.addFilter(_NoRetracing())
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

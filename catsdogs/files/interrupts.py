"""Interrupts that wait: an import of compiled modules is not broken off, for it could not be begun again.

Where Ctrl-C breaks off the import of NumPy, OpenVINO, TensorFlow or matplotlib, half of it stays, and every later
import fails: `cannot load module more than once per process`. A command ends then anyhow, but the kernel of a notebook
lives on.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def later() -> Iterator[None]:
    """Hold back an interrupt until the block has ended. Threads but the first get none, so nothing changes there."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)

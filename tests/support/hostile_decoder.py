"""A decoding process that some photographs crash or hold up, and that ends when the test says so."""

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from catsdogs.photographs import decoders, images
from catsdogs.photographs.fitting import Fit
from catsdogs.photographs.images import Pixels
from catsdogs.photographs.locations import Location, Reader

CRASHES, HANGS = b"crashes the decoder", b"holds the decoder up"
ENDS = "CATSDOGS_TEST_DECODER_ENDS"  # in the environment: the process ends at once
UNREAD = "vanishes.jpg"  # a file whose reading ends the process

_load, _read = images.load, Reader.read


def _hostile(data: bytes, fits: Iterable[Fit], side: int = 0) -> Pixels:
    if CRASHES in data:
        os.kill(os.getpid(), signal.SIGSEGV)
    if HANGS in data:
        time.sleep(3600)
    return _load(data, fits, side)


def _reading(self: Reader, location: Location) -> bytes:
    if Path(location.name).name == UNREAD:
        os.kill(os.getpid(), signal.SIGKILL)
    return _read(self, location)


if __name__ == "__main__":
    if os.environ.get(ENDS):
        sys.exit(3)
    images.load, Reader.read = _hostile, _reading
    decoders.main()

"""Progress of long work on standard error: a bar with rate and time left, or in a log a line now and then."""

import sys
from typing import Any

from tqdm import tqdm

LOG_INTERVAL_SECONDS = 20.0


class Progress(tqdm):
    """A tqdm bar that writes whole lines, seldom, where standard error is not a terminal."""

    def __init__(self, total: int, description: str, unit: str, **options: Any) -> None:
        self._terminal = sys.stderr.isatty()
        if not self._terminal:
            options |= {"mininterval": LOG_INTERVAL_SECONDS, "maxinterval": LOG_INTERVAL_SECONDS, "ncols": 100}
        options |= {"disable": not total, "dynamic_ncols": self._terminal}
        super().__init__(total=total, desc=description, unit=unit, file=sys.stderr, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        if self._terminal:
            super().display(msg, pos)
        elif self.n:
            self.fp.write(f"{msg or self}\n")
            self.fp.flush()

    def close(self) -> None:
        if self._terminal or self.disable:
            super().close()
            return
        self.disable = True  # tqdm's own closing would end the log with an empty line
        self._decr_instances(self)  # type: ignore[attr-defined]
        self.display()

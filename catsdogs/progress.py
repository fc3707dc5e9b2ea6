"""Progress of long work: a bar in a terminal or a notebook, or in a log a line now and then."""

import sys
import warnings
from typing import Any

from tqdm import TqdmWarning, tqdm

LOG_INTERVAL_SECONDS = 20.0


class Progress(tqdm):
    """A tqdm bar on standard error, which writes whole lines, seldom, where that is no terminal.

    In the kernel of a notebook it is the bar that `tqdm.auto` chooses: a widget, or text where there is no ipywidgets.
    """

    def __new__(cls, *what: Any, **options: Any) -> Any:
        chosen = _notebooks_bar()
        if chosen is None:
            return super().__new__(cls, *what, **options)
        return _in_notebook(chosen, *what, **options)

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


def _notebooks_bar() -> type[tqdm] | None:
    """What `tqdm.auto` chooses in the kernel of a notebook; None elsewhere, by the sign that it goes by itself."""
    if "ipykernel.zmqshell" not in sys.modules:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)  # it asks for ipywidgets, and does without
        from tqdm.auto import tqdm as chosen
    return chosen


def _in_notebook(bar: type[tqdm], total: int, description: str, unit: str, **options: Any) -> tqdm:
    return bar(total=total, desc=description, unit=unit, disable=not total, **options)

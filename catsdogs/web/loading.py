"""Loads the predictor in the background, so that the page is there before the networks are."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from catsdogs.errors import CatsdogsError

if TYPE_CHECKING:
    from catsdogs.runs.answers import Predictor

State = Literal["none", "loading", "ready", "failed"]


class Loading:
    """A predictor that is being loaded.

    Attributes:
        state: `none` where there is nothing to load, else `loading`, then `ready` or `failed`.
        problem: one line that says why it failed.
        predictor: once it is ready.
    """

    def __init__(self, make: "Callable[[], Predictor] | None") -> None:
        self.state: State = "loading" if make else "none"
        self.problem = ""
        self.predictor: Predictor | None = None
        if make:
            threading.Thread(target=self._load, args=(make,), name="loading", daemon=True).start()

    def _load(self, make: "Callable[[], Predictor]") -> None:
        try:
            self.predictor = make()
        except CatsdogsError as error:
            self.problem, self.state = str(error), "failed"
        except BaseException:  # a defect of ours: the terminal gets its traceback, and the page stops waiting
            self.problem, self.state = "Loading stopped unexpectedly; the terminal of the server says why.", "failed"
            raise
        else:
            self.state = "ready"

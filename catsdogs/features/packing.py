"""Which photographs make up a stretch: windows of the table, and what is scattered over others packed together.

A window, `SHARD_ROWS` successive photographs, all of which are missing is a stretch of its own. The missing ones of
other windows are packed, in order, into stretches of up to as many, for a stretch with two photographs costs a whole
batch on a GPU. What was packed together is written down first, by keys, so that a run which was killed and goes on
makes the same batches of what is left.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catsdogs.features.recipes import Recipe
from catsdogs.files import atomic, storage

_FORMAT, _VERSION = "catsdogs packing", 1
_DIGITS = 12

Stretches = list[NDArray[np.intp]]  # the rows of each stretch, ascending


class Packing:
    """The packing of one run, see above, and the file in which it is written down.

    Attributes:
        path: the file, one for each set of recipes.
    """

    def __init__(self, folder: Path, recipes: Sequence[Recipe], window: int) -> None:
        named = json.dumps([recipe.as_dict() for recipe in recipes] + [window])
        self.path = folder / f"packing-{hashlib.sha256(named.encode()).hexdigest()[:_DIGITS]}.json"
        self._window = window
        self._is_written = False

    def stretches(
        self, keys: NDArray[np.uint64], missing: NDArray[np.bool_], present: NDArray[np.bool_], differ: bool
    ) -> Stretches:
        """The stretches that the missing rows are computed in, ordered by their first rows.

        Args:
            keys: (n,) hashed keys of the photographs.
            missing: (n,) which are to be read.
            present: (n,) which are there to be read at all.
            differ: whether one network lacks rows that another has. Then a window may come back half finished.

        Raises:
            StoreError: what was packed together cannot be read, or not be written down.
        """
        windows, scattered = self._whole_windows(missing, present)
        if not (scattered.any() or differ):  # one by one each window is finished, and the others stay what they are
            return windows
        packed = self._read()
        starts = {keys[rows[0]]: rows for rows in windows}
        row_of = {key: row for row, key in enumerate(keys.tolist()) if missing[row]}
        left, found = missing.copy(), []
        for stretch in packed:
            rows = np.array(sorted(row_of[key] for key in stretch if key in row_of), np.intp)
            rows = rows[left[rows]]
            if len(rows):
                found.append(rows)
                left[rows] = False
        for rows in starts.values():
            if left[rows].all():
                found.append(rows)
                packed.append(keys[rows].tolist())
                left[rows] = False
        rest = np.flatnonzero(left)
        for rows in np.split(rest, range(self._window, len(rest), self._window)):
            if len(rows):
                found.append(rows)
                packed.append(keys[rows].tolist())
        self._write(packed)
        return sorted(found, key=lambda rows: int(rows[0]))

    def forget(self) -> None:
        """Remove what was written down: all rows are in the feature files. On this machine, that of other runs, too."""
        if storage.is_remote(self.path):
            if self._is_written:
                storage.remove_all([self.path])
            return
        names = storage.names_in(self.path.parent, ".json")
        storage.remove_all([self.path.parent / name for name in names if name.startswith("packing-")])

    def _whole_windows(
        self, missing: NDArray[np.bool_], present: NDArray[np.bool_]
    ) -> tuple[Stretches, NDArray[np.bool_]]:
        """The windows all of whose photographs that are there are missing, and (n,) the other missing rows."""
        windows, scattered = [], missing.copy()
        for start in range(0, len(missing), self._window):
            rows = slice(start, start + self._window)
            if missing[rows].any() and (missing[rows] == present[rows]).all():
                windows.append(start + np.flatnonzero(missing[rows]))
                scattered[rows] = False
        return windows, scattered

    def _read(self) -> list[list[int]]:
        """The keys of each stretch that an earlier run wrote down; none if it did not, or the file is damaged."""
        try:
            content: Any = json.loads(storage.read_bytes(self.path))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return []
        except OSError as error:
            raise storage.read_error(self.path, error) from None
        is_ours = isinstance(content, dict) and (content.get("format"), content.get("version")) == (_FORMAT, _VERSION)
        stretches = content.get("stretches") if is_ours else None
        if not isinstance(stretches, list) or not all(isinstance(stretch, list) for stretch in stretches):
            return []
        self._is_written = True
        return [[key for key in stretch if isinstance(key, int)] for stretch in stretches]

    def _write(self, packed: Sequence[Sequence[int]]) -> None:
        content = {"format": _FORMAT, "version": _VERSION, "stretches": packed}
        with atomic.replacing(self.path) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")
        self._is_written = True

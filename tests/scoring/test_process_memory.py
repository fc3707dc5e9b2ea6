"""The rise of the process's memory is that of what was done meanwhile, and unknown where the system does not say."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from catsdogs.scoring import process_memory

MEGABYTE = 1e6


@pytest.mark.skipif(sys.platform != "linux", reason="known on Linux only")
def test_it_is_the_most_that_was_held_meanwhile() -> None:
    np.ones(40_000_000).sum()  # 320 MB, given back before
    with process_memory.rise() as seen:
        assert math.isnan(seen.value)
        np.ones(10_000_000).sum()  # 80 MB, given back before the end
    assert 75 * MEGABYTE < seen.value < 120 * MEGABYTE
    with process_memory.rise() as seen:
        pass
    assert seen.value < 10 * MEGABYTE


@pytest.mark.skipif(sys.platform != "linux", reason="known on Linux only")
def test_what_was_freed_before_does_not_hide_it() -> None:
    """The allocator keeps what it was given back in small pieces, and takes it again without asking the system."""
    for _ in range(2):
        small = [np.ones(5_000) for _ in range(2_000)]  # 80 MB
        del small
        with process_memory.rise() as seen:
            small = [np.ones(5_000) for _ in range(2_000)]
            del small
        assert 70 * MEGABYTE < seen.value < 120 * MEGABYTE


@pytest.mark.parametrize("name", ["_CLEAR", "_STATUS"])
def test_it_is_unknown_where_the_system_does_not_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setattr(process_memory, name, tmp_path / "none" / "such")
    with process_memory.rise() as seen:
        pass
    assert math.isnan(seen.value)

"""Interrupts wait while the block runs, and then come; where there are none, nothing changes."""

import signal
import threading
from pathlib import Path

import pytest

from catsdogs.files import interrupts
from tests.support.processes import child

# An interrupt where NumPy's import cannot be broken off, and one in matplotlib's.
_IMPORTS = """
    import signal, sys
    signal.signal(signal.SIGINT, signal.default_int_handler)
    places = ["numpy._core.printoptions", "matplotlib.ticker"]
    class Finder:
        def find_spec(self, name, *_):
            if name in places:
                places.remove(name)
                signal.raise_signal(signal.SIGINT)
    sys.meta_path.insert(0, Finder())
    import catsdogs as cd
    try:
        cd.Features
    except KeyboardInterrupt:
        print("interrupted")
    cd.Features
    from catsdogs.scoring.curves import draw_curves
    try:
        draw_curves(sys.argv[1], [{"loss": [1.0]}], "curves")
    except KeyboardInterrupt:
        print("interrupted")
    draw_curves(sys.argv[1], [{"loss": [1.0]}], "curves")
    assert not places
"""

# In processes of their own, too: where a test runs, an earlier one may have left a file that a signal is written to.
_ENDED = """
    import signal
    from catsdogs.files import interrupts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interrupts.later(), interrupts.later():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            print("ended")
    except KeyboardInterrupt:
        print("interrupted")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with interrupts.later():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""
_FAILED = """
    import signal
    from catsdogs.files import interrupts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interrupts.later():
            signal.raise_signal(signal.SIGINT)
            raise ZeroDivisionError
    except KeyboardInterrupt as error:
        print(type(error.__context__).__name__)
"""


def test_an_import_that_was_to_be_interrupted_ends_and_another_is_possible(tmp_path: Path) -> None:
    process = child(_IMPORTS, tmp_path / "curves.png")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and out.split() == ["interrupted", "interrupted"], err
    assert (tmp_path / "curves.png").exists()


def test_an_interrupt_comes_when_the_block_has_ended() -> None:
    process = child(_ENDED)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and out.split() == ["ended", "interrupted"], err


def test_what_fails_fails_as_it_would() -> None:
    with pytest.raises(ZeroDivisionError), interrupts.later():
        raise ZeroDivisionError
    process = child(_FAILED)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and out.split() == ["ZeroDivisionError"], err


def test_who_ignores_interrupts_goes_on_to_ignore_them() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts.later():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_import_as_ever() -> None:
    handler, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with interrupts.later():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [handler]

import os

import pytest

from catsdogs.quiet import quiet_import


def test_what_native_code_writes_is_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_import():
        os.write(2, b"cuInit failed, though nobody asked\n")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"


@pytest.mark.parametrize("error", [ImportError, KeyboardInterrupt])
def test_it_is_shown_when_the_import_fails(capfd: pytest.CaptureFixture[str], error: type[BaseException]) -> None:
    with pytest.raises(error), quiet_import():
        os.write(2, b"libfoo.so is missing\n")
        raise error
    assert capfd.readouterr().err == "libfoo.so is missing\n"

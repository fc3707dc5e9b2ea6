"""Networks run from Python: what is there is not computed again, and what cannot be is refused before anything is."""

from pathlib import Path

import pytest

import catsdogs as cd
from catsdogs.errors import CatsdogsError, UnknownNameError, UsageError, WeightsError
from tests.conftest import refused
from tests.support.front import LITE0


def test_only_what_is_new_is_computed(inside: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "catsdogs")
    before = cd.load().X
    Path("pets/train/cat.0.jpg").unlink()
    features = cd.extract("pets", LITE0)
    assert features.rows == {"train": 15, "test": 4} and (before[1:] == features.X).all()
    assert any("0 of them computed now" in line for line in caplog.messages)
    cd.extract("pets", [LITE0])
    assert "is up to date" in caplog.messages[-1]


@pytest.mark.parametrize(
    ("asked", "how", "kind", "match"),
    [
        ([], {}, UsageError, "No network is named"),
        ("Nought", {}, UnknownNameError, "called 'Nought'"),
        (LITE0, {"engine": "steam"}, CatsdogsError, "steam"),
        (LITE0, {"dtype": "int8"}, CatsdogsError, "int8"),
        (LITE0, {"weights_dir": "gone"}, WeightsError, "No such folder of weights: gone"),
    ],
)
def test_what_cannot_be_asked_for(
    inside: Path, asked: str | list[str], how: dict[str, str], kind: type, match: str
) -> None:
    with refused(kind, match):
        cd.extract("pets", asked, features="new", **how)  # type: ignore[arg-type]
    assert not Path("new").exists()

"""One working folder of drawn pets, made once; each test works in a copy of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import front


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return front.made(tmp_path_factory.mktemp("pets"))


@pytest.fixture
def inside(workplace: Path, tmp_path: Path) -> Iterator[Path]:
    with front.inside_copy(workplace, tmp_path):
        yield tmp_path

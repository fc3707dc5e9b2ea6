"""A run, and its report, that no test changes."""

import pytest

from catsdogs.features.feature_file import Unreadable
from tests.support.reports import ReportedRun, make_run


@pytest.fixture(scope="package")
def plain(tmp_path_factory: pytest.TempPathFactory) -> ReportedRun:
    """A run that no test changes."""
    return make_run(tmp_path_factory.mktemp("plain"), unreadable=[Unreadable("train", "cat.99", "the file is empty")])


@pytest.fixture(scope="package")
def page(plain: ReportedRun) -> str:
    return plain.write(plain.dataset)

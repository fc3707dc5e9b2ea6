"""What a step has to tell: a line of a command, and in Python nothing unless somebody listens."""

import logging
from pathlib import Path

import pytest

import catsdogs as cd
from tests.conftest import Command


def test_notes_reach_whoever_listens(
    inside: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    cd.look("pets")
    assert not caplog.messages and capfd.readouterr() == ("", "")
    caplog.set_level(logging.INFO, "catsdogs")
    cd.look("pets")
    assert caplog.messages == ["pets: 16 train, 4 test photographs, classes cat, dog"]


def test_a_command_shows_them_once_and_leaves_the_logger_as_it_was(
    inside: Path, command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("catsdogs")
    before = logger.level, logger.propagate, list(logger.handlers)
    code, out, err = command("look", "--data", "pets")
    assert code == 0 and out.count("pets: 16 train, 4 test photographs") == 1 and not err
    assert (logger.level, logger.propagate, list(logger.handlers)) == before and not caplog.messages

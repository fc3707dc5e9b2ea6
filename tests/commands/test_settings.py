"""Flags as they were given, and as settings and defaults complete them; and how a task declares them."""

from pathlib import Path

import invoke
import pytest

from catsdogs.commands import console
from catsdogs.commands.settings import DEFAULTS, Flags, parse_number
from catsdogs.errors import UnknownNameError, UsageError
from tests.conftest import refused


def context(**settings: object) -> invoke.Context:
    return invoke.Context(invoke.Config(overrides={"catsdogs": settings}, lazy=True))


def test_a_flag_counts_more_than_a_setting_and_that_more_than_the_default() -> None:
    given = Flags(context(folds=7, head="ridge"), folds="3", seed=None)
    assert (given.text("folds"), given.number("folds"), given.setting("folds")) == ("3", 3, "7")
    assert (given.text("head"), given.head) == ("ridge", None)
    assert (given.text("seed"), given.seed) == (DEFAULTS["seed"], None)
    assert given.place("features") == Path("features") and given.but(features="").place("features") == Path()
    others = given.but(folds=None, head="stack")
    assert (others.number("folds"), others.text("head"), given.folds) == (7, "stack", "3")


def test_a_flag_that_a_command_does_not_have_is_none_and_another_name_a_mistake_of_ours() -> None:
    given = Flags(context())
    assert (given.holdout, given.classes, given.devices) == (None, None, None)
    with pytest.raises(AttributeError):
        given.hold_out  # noqa: B018 - the name is the test


def test_mistakes_are_told_when_a_setting_is_looked_up() -> None:
    with refused(UsageError, "--folds 'many' is not a number"):
        Flags(context(), folds="many").number("folds")
    with refused(UnknownNameError, "No setting under `catsdogs:` in invoke.yaml is called 'folder'"):
        Flags(context(folder="x"), folds="3").text("folds")
    with refused(UsageError, "--rate 'x' is not a number. Say 1"):
        parse_number(float, "rate", "x", "Say 1")


def test_a_task_has_its_flags_in_the_order_it_names_and_its_body_only_those_it_declares() -> None:
    seen = []

    @console.task("data name k force", k="how many")
    def body(flags: Flags, name: str, force: bool = False) -> None:
        seen.append((name, force, flags.data, flags.k, flags.name))

    arguments = {argument.name: argument for argument in body.get_arguments()}
    assert list(arguments) == ["name", "data", "k", "force"]  # invoke lists first what must be given
    assert arguments["k"].help == "how many" and arguments["data"].help.startswith("the photographs")
    assert [argument.kind for argument in arguments.values()] == [str, str, str, bool]
    body(context(), name="first", data="here", k=None, force=True)
    assert seen == [("first", True, "here", None, "first")]

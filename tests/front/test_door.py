"""The front door as a whole: quick, documented, and the same CSV as the commands'.

The examples of its names are run from an installed wheel, in tests/examples.
"""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import catsdogs as cd
from catsdogs.cli import collection
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.front.defaults import DEFAULTS
from tests.conftest import Command
from tests.support.front import LITE0, draw_pets

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/python.md"
NAMES = [name for name in cd.__all__ if name not in ("__version__", "errors")]
ASKED_FOR = {"look", "extract", "Features", "load", "compare", "train", "Run", "predict", "outliers"}


def test_importing_it_brings_nothing_heavy() -> None:
    code = "import sys, catsdogs; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    heavy = {"numpy", "h5py", "PIL", "keras", "tensorflow", "openvino", "sklearn", "pandas", "invoke", "tqdm"}
    assert not heavy & set(found.split())
    ours = {name for name in found.split() if name.startswith("catsdogs")}
    assert ours == {"catsdogs", "catsdogs.errors"}


def test_what_is_offered_is_what_was_asked_for_and_what_that_returns() -> None:
    assert set(NAMES) >= ASKED_FOR and set(cd.__all__) <= set(dir(cd))
    with pytest.raises(AttributeError, match="has no attribute 'lok'"):
        cd.lok  # noqa: B018 - the name is the test


@pytest.mark.parametrize("name", [*NAMES, "errors"])
def test_each_name_stands_on_the_page(name: str) -> None:
    assert f"`cd.{name}" in PAGE.read_text(encoding="utf-8")


def test_commands_without_a_name_stand_on_the_page() -> None:
    """Of the others the names do the same: `extract` what `features` does, and `Run.report` what `report` does."""
    named = {"look", "features", "outliers", "compare", "train", "predict", "report"}
    alone = re.search(r"Commands alone, (.*?);\s+in", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert alone and set(re.findall(r"`([a-z]+)`", alone[1])) == set(collection.tasks) - named


def test_the_types_are_told_to_checkers() -> None:
    text = Path(cd.__file__).read_text(encoding="utf-8")
    told = re.findall(r"^    from (\S+) import (\w+) as (\w+)$", text, re.MULTILINE)
    assert {name for _, _, name in told} == set(NAMES) and all(one == other for _, one, other in told)
    for module, name, _ in told:
        assert getattr(importlib.import_module(module), name) is getattr(cd, name)


def lines_of(page: Path) -> str:
    """The lines of Python that a page of the documentation begins with; none if it has none."""
    block = re.search(r"```python\n(import catsdogs.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return block[1] if block else ""


@pytest.mark.parametrize(
    "page", [page for page in (PAGE, ROOT / "README.md") if lines_of(page)], ids=lambda page: page.name
)
def test_ten_lines_of_python_write_the_csv_of_the_commands(
    workplace: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, page: Path
) -> None:
    """On drawn pets, and with one of the three networks."""
    lines = lines_of(page)
    assert len([line for line in lines.splitlines() if line.strip()]) <= 10
    for name in ("python", "commands"):
        draw_pets(tmp_path / name / DEFAULTS["data"])
    monkeypatch.chdir(tmp_path / "python")
    exec(compile(lines.replace('"lite"', repr(LITE0)), str(page), "exec"), {})
    monkeypatch.chdir(tmp_path / "commands")
    assert command("features", "--backbones", LITE0)[0] == 0
    assert command("train", "--backbones", LITE0, "--name", "first")[0] == 0
    both = [tmp_path / name / "submissions/first" for name in ("python", "commands")]
    for file in ("submission.csv", "oof.csv"):
        one, other = (folder / file for folder in both)
        assert one.read_bytes() == other.read_bytes()
    one, other = (json.loads((folder / "run.json").read_text()) for folder in both)
    assert one["scores"] == other["scores"] and one["settings"] == other["settings"]
    assert (tmp_path / "commands" / "features").is_dir()


def test_each_finds_the_files_of_the_other(inside: Path, command: Command) -> None:
    code, out, _ = command("features", "--data", "pets", "--backbones", LITE0)
    assert code == 0 and "0 of them computed now" in out
    assert command("train", "--backbones", LITE0, "--head", "ridge", "--folds", "2", "--name", "again")[0] == 0
    assert cd.Run("again").score == cd.Run("first").score
    assert (cd.Run("again").oof == cd.Run("first").oof).all()
    code, out, _ = command("predict", "--name", "first", "--data", "pets/test")
    assert code == 0 and "predictions.csv" in out


KINDS = [error for error in vars(cd.errors).values() if isinstance(error, type) and issubclass(error, CatsdogsError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_exit_code_follows_from_the_type(kind: type[CatsdogsError]) -> None:
    assert kind.exit_code == (2 if issubclass(kind, UsageError) else 1)


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (("look", "--data", "gone"), lambda: cd.look("gone")),
        (("look", "--data", "pets", "--metric", "dice"), lambda: cd.look("pets", metric="dice")),
        (("look", "--data", "pets", "--holdout", "2"), lambda: cd.look("pets", holdout=2.0)),
        (("features", "--data", "pets", "--backbones", "Nought"), lambda: cd.extract("pets", "Nought")),
        (("train", "--backbones", LITE0, "--head", "crystal"), lambda: cd.train(cd.load(), "crystal")),
        (
            ("train", "--backbones", LITE0, "--head", "logistic", "--set", "D=1"),
            lambda: cd.train(cd.load(), "logistic", settings={"D": 1}),
        ),
        (("train", "--backbones", LITE0, "--name", "first"), lambda: cd.train(cd.load(), name="first")),
        (
            ("train", "--backbones", LITE0, "--outliers", "mine"),
            lambda: cd.train(cd.load(), outliers="mine"),
        ),
        (("outliers", "--backbones", LITE0, "-k", "11"), lambda: cd.outliers(cd.load(), k=11)),
        (("outliers", "--backbones", LITE0, "-k", "0"), lambda: cd.outliers(cd.load(), k=0)),
        (("compare", "--backbones", LITE0, "--heads", "a,b"), lambda: cd.compare(cd.load(), heads=["a", "b"])),
        (("report", "--name", "nobody"), lambda: cd.Run("nobody").report()),
        (("predict", "--name", "nobody", "--data", "pets"), lambda: cd.predict("nobody", "pets")),
    ],
)
def test_python_says_what_the_command_says(
    inside: Path, command: Command, arguments: tuple[str, ...], call: object
) -> None:
    with pytest.raises(CatsdogsError) as caught:
        call()  # type: ignore[operator]
    code, _, err = command(*arguments)
    in_python = re.sub(r"(?<= )--?([a-z]+)", r"`\1`", err)  # where the command has flags
    assert (code, f"catsdogs {arguments[0]}: {caught.value}" in in_python) == (caught.value.exit_code, True), err

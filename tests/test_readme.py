"""The documentation held against the program: tasks, flags, settings, heads, links and lines.

`python -m tests.test_readme` writes anew what is written from the tasks: README.md's table and docs/commands.md.
"""

import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tasks
from catsdogs.cli import collection
from catsdogs.commands import settings
from catsdogs.heads import names as heads

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
COMMANDS = ROOT / "docs" / "commands.md"
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("[!.]*/*.md")})
LINES, WIDTH = 150, 120
MEASURED = {"benchmarks.md", "faults.md"}  # written by what measures for an hour: their tables are as wide as they are

BEGIN, END = "<!-- tasks: written by `python -m tests.test_readme` -->\n", "<!-- end of tasks -->\n"
STALE = "it is stale: run `python -m tests.test_readme`"


def program() -> Iterator[tuple[str, str]]:
    """Each task of the installed program, and the first sentence of what it says of itself."""
    for name, task in collection.tasks.items():
        yield name, task.__doc__.splitlines()[0].replace("<", "\\<")


def row(name: str, sentence: str) -> str:
    """A line of the README's table. Clauses at the end of the sentence for which it has no room are left out."""
    line = f"| `{name}` | {sentence.removesuffix('.')} |"
    return line if len(line) <= WIDTH else row(name, re.match(r"(.*)[,;:] ", sentence)[1])


def readme() -> str:
    """README.md as it must be."""
    before, table, after = re.split(f"{re.escape(BEGIN)}|{re.escape(END)}", README.read_text(encoding="utf-8"))
    table = "\n".join(["", "| task | what it does |", "| --- | --- |", *(row(*task) for task in program()), "", ""])
    return f"{before}{BEGIN}{table}{END}{after}"


def commands() -> str:
    """docs/commands.md as it must be."""
    contexts = {context.name: context for context in collection.to_contexts()}
    lines = ["# Commands", "", "Written from the tasks themselves by `python -m tests.test_readme`.", ""]
    for name, sentence in program():
        lines += [f"## {name}", "", sentence, ""]
        for argument in contexts[name].args.values():
            flag = f"{'--' if len(argument.names[0]) > 1 else '-'}{argument.names[0]}"
            default = f" (`{argument.default}` if not given)" if argument.default else ""
            text = f"* `{flag}`{' (required)' if argument.positional else default}: {argument.help}"
            lines += textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        lines.append("")
    return "\n".join(lines)


@pytest.mark.parametrize(("page", "expected"), [(README, readme), (COMMANDS, commands)], ids=["README", "commands"])
def test_what_is_written_from_the_tasks_is_fresh(page: Path, expected: Callable[[], str]) -> None:
    # In a process of its own: a task gives its flags' help to the first who asks, which may have been another test.
    code = f"from tests.test_readme import {expected.__name__}; print({expected.__name__}(), end='')"
    written = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == written.stdout, f"{page.name}: {STALE}"


def test_the_readme_is_short() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LINES
    assert not [line for line in lines if len(line) > WIDTH]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_line_is_too_long(page: Path) -> None:
    numbered = enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
    too_long = [number for number, line in numbered if len(line) > WIDTH]
    assert not too_long or page.name in MEASURED


def prose(page: Path) -> Iterator[str]:
    """A page's lines, but for tables and blocks of code."""
    fenced = False
    for line in page.read_text(encoding="utf-8").splitlines():
        fenced ^= line.startswith("```")
        if not fenced and not line.startswith(("|", "    ", "```")):
            yield line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text(encoding="utf-8")):
        target = (page.parent / path) if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings of a page."""
    headings = [line.lstrip("# ").lower() for line in prose(page) if line.startswith("#")]
    return {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_its_flags_exist(page: Path) -> None:
    contexts = {context.name: set(context.flags) for context in tasks.namespace.to_contexts()}
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    in_prose = re.findall(r"`([^`]+)`", re.sub("```.*?```", "", text, flags=re.DOTALL))
    for code in (*(" ".join(code.split()) for code in in_prose), *text.splitlines()):
        last = code.rpartition("&& ")[2]
        if command := re.match(r" *!?(?:[A-Z_]+=\S+ )*(?:[./\w]+/)?(invoke|catsdogs) ([a-z]+)\b([^#&|]*)", last):
            tool, name, flags = command.groups()
            assert name in contexts or tool == "catsdogs", code  # "catsdogs sealed" is no command
            assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", flags)) <= contexts.get(name, set()), code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_module_that_is_named_exists(page: Path) -> None:
    for name in re.findall(r"`([\w/]+/[\w/]*(?:\.py)?)`", page.read_text(encoding="utf-8")):
        if name.endswith(".py") or name.startswith(("catsdogs/", "tests/")):
            assert (ROOT / name).exists() or (ROOT / "catsdogs" / name).exists(), name


def test_every_chore_of_a_checkout_is_in_contributing() -> None:
    for name in set(tasks.namespace.task_names) - set(collection.task_names):
        assert re.search(rf"invoke {name}\b", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")), name


def test_every_head_and_setting_is_documented() -> None:
    training = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\* \*\*`([\w-]+)`\*\*", training, re.MULTILINE)) == set(heads())
    assert f"**`{settings.DEFAULTS['head']}`** (the default)" in training
    cleaning = (ROOT / "docs" / "cleaning.md").read_text(encoding="utf-8")
    assert f"**`{settings.DEFAULTS['outliers']}`** (the default)" in cleaning
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? ?\|", page, re.MULTILINE))
    assert documented == settings.DEFAULTS


if __name__ == "__main__":
    README.write_text(readme(), encoding="utf-8")
    COMMANDS.write_text(commands(), encoding="utf-8")

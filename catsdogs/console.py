"""What the commands share: tasks that end a user's mistake in one line, and how results are shown."""

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import invoke

from catsdogs import __version__
from catsdogs.errors import CatsdogsError, UsageError

INTERRUPTED = 130  # what a shell calls a command that Ctrl-C ended


def stage(**flags: str) -> Callable[[Callable[..., None]], Any]:
    """An invoke task with the help texts of its flags; a user's mistake ends it with one line and an exit code."""

    def decorate(body: Callable[..., None]) -> Any:
        @functools.wraps(body)
        def guarded(c: invoke.Context, **arguments: Any) -> None:
            try:
                body(c, **arguments)
            except CatsdogsError as error:
                raise invoke.Exit(f"{program()} {body.__name__}: {error}", code=error.exit_code) from None
            except BrokenPipeError:  # whoever read our output went away, as `head` does: there is nobody to tell
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise invoke.Exit(code=1) from None
            except KeyboardInterrupt:
                kept = "Stopped. What is finished is kept: run the same command to go on."
                raise invoke.Exit(f"\n{kept}", code=INTERRUPTED) from None

        texts = {name.replace("_", "-"): text for name, text in flags.items()}
        return invoke.task(auto_shortflags=False, help=texts)(guarded)

    return decorate


class Program(invoke.Program):
    """The console command: it reads `invoke.yaml` in the folder it is called in, and ends wrong usage with 2."""

    def __init__(self, namespace: invoke.Collection) -> None:
        super().__init__(name="catsdogs", binary="catsdogs", namespace=namespace, version=__version__)

    def parse_collection(self) -> None:
        super().parse_collection()
        self.config.set_project_location(Path.cwd())
        self.config.load_project()

    def parse_tasks(self) -> None:
        try:
            super().parse_tasks()
        except invoke.ParseError as error:
            problem = f"catsdogs: {error} `catsdogs --list` and `catsdogs --help TASK` show what there is."
            raise invoke.Exit(problem, code=UsageError.exit_code) from None


def program() -> str:
    """What the user typed: `invoke`, or the installed `catsdogs`."""
    return "invoke" if Path(sys.argv[0]).stem in ("invoke", "inv") else "catsdogs"


def say(line: object = "") -> None:
    """A line of the result."""
    print(line, flush=True)


def wrote(path: Path, what: str = "") -> None:
    """A file that is new, and what it holds."""
    say(f"wrote {path}" + (f"  ({what})" if what else ""))


def next_steps(*commands: str) -> None:
    """What to type next."""
    say("next:  " + "\n       ".join(f"{program()} {command}" for command in commands))

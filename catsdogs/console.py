"""What the commands share: tasks that end a user's mistake in one line, and how results are shown."""

import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import invoke

from catsdogs import __version__
from catsdogs.errors import CatsdogsError, UsageError

INTERRUPTED = 130  # what a shell calls a command that Ctrl-C ended


def stage(iterable: Sequence[str] = (), **flags: str) -> Callable[[Callable[..., None]], Any]:
    """An invoke task with the help texts of its flags; a user's mistake ends it with one line and an exit code.

    Flags named in `iterable` may be given several times.
    """

    def decorate(body: Callable[..., None]) -> Any:
        @functools.wraps(body)
        def guarded(c: invoke.Context, **arguments: Any) -> None:
            try:
                body(c, **arguments)
            except CatsdogsError as error:
                raise invoke.Exit(f"{program()} {body.__name__}: {error}", code=error.exit_code) from None
            except KeyboardInterrupt:
                resuming = "fetch, features, predict and the training of networks go on where they were"
                raise invoke.Exit(f"\nStopped. Run the same command again; {resuming}.", code=INTERRUPTED) from None

        texts = {name.replace("_", "-"): text for name, text in flags.items()}
        return invoke.task(auto_shortflags=False, help=texts, iterable=list(iterable))(guarded)

    return decorate


class Program(invoke.Program):
    """The console command: it reads `invoke.yaml` in the folder it is called in, and ends wrong usage with 2."""

    def __init__(self, namespace: invoke.Collection) -> None:
        super().__init__(name="catsdogs", binary="catsdogs", namespace=namespace, version=__version__)

    def run(self, argv: list[str] | None = None, exit: bool = True) -> None:
        try:
            super().run(argv, exit)
            sys.stdout.flush()
        except BrokenPipeError:  # whoever read our output went away, as `head` does: there is nobody to tell
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)

    def normalize_argv(self, argv: list[str] | None) -> None:
        super().normalize_argv(argv)
        # To invoke a flag of one letter has one dash; people write two.
        self.argv: list[str] = [re.sub(r"^--(\w)(?==|$)", r"-\1", argument) for argument in self.argv]

    def parse_collection(self) -> None:
        super().parse_collection()
        self.config.set_project_location(Path.cwd())
        try:
            self.config.load_project()
        except (
            Exception
        ) as error:  # a file of the user's that is no YAML, or not of invoke's form, raises nearly anything
            problem = f"catsdogs: invoke.yaml in {Path.cwd()} cannot be used: {error}"
            raise invoke.Exit(" ".join(f"{problem}. See the README on settings.".split()), code=1) from None

    def parse_tasks(self) -> None:
        try:
            super().parse_tasks()
        except invoke.ParseError as error:
            what = _plainly(str(error), self.argv)
            problem = f"catsdogs: {what} `catsdogs --list` and `catsdogs --help TASK` show what there is."
            raise invoke.Exit(problem, code=UsageError.exit_code) from None


def _plainly(error: str, arguments: Sequence[str]) -> str:
    """What invoke's parser says, in the words of who typed flags."""
    if missing := re.match(r"'(\S+)' did not receive required positional arguments: (.*)", error):
        flags = [f"--{name.replace('_', '-')}" for name in re.findall(r"'(\w+)'", missing[2])]
        return f"{missing[1]} needs {' and '.join(flags)}."
    if empty := re.match(r"Flag <Argument: ([\w-]+)", error):
        return f"--{empty[1].replace('_', '-')} needs a value."
    flags = [argument.split("=")[0] for argument in arguments if argument.startswith("--")]
    twice = [flag for flag in flags if flags.count(flag) > 1]
    if twice and error.startswith("No idea what"):  # of a flag that is given again, invoke takes the value for a task
        return f"{twice[0]} is given twice: give it once."
    return error


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

"""What the commands share: tasks that end a user's mistake in one line, and how results are shown."""

import codecs
import contextlib
import functools
import inspect
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import invoke

from catsdogs import __version__
from catsdogs.commands.settings import HELP, Flags
from catsdogs.errors import SHOWN, CatsdogsError, FitWarning, StoreError, UsageError
from catsdogs.front import notes
from catsdogs.front.arguments import is_text
from catsdogs.front.notes import note_left_alone as say_left_alone
from catsdogs.front.notes import note_rows as say_rows
from catsdogs.front.notes import note_unreadable as say_unreadable
from catsdogs.front.notes import write, wrote

__all__ = [
    "INTERRUPTED",
    "Program",
    "command_line",
    "next_steps",
    "program",
    "say",
    "say_left_alone",
    "say_rows",
    "say_unreadable",
    "show_every_letter",
    "task",
    "write",
    "wrote",
]
INTERRUPTED = 130  # what a shell calls a command that Ctrl-C ended
# How our own signs are written where an encoding lacks them; other letters, as those of a class, become escapes.
_PLAIN = {"±": "+-", "…": "...", "“": '"', "”": '"', "·": "-", "³": "^3"}
_HANDLER = "catsdogs"
_BARE = {"networks": "--pattern"}  # tasks with the flag that may be left out before its value


def task(order: str = "", iterable: Sequence[str] = (), **helps: str) -> Callable[[Callable[..., None]], Any]:
    """An invoke task; a user's mistake ends it with one line and an exit code.

    Args:
        order: all flags, in the order in which they are listed; those of the body if empty. A flag that is no parameter
            of the body is a text that may be left out, and the body finds it in its `Flags`.
        iterable: the flags that may be given several times.
        helps: the help text of each flag; a flag that is not among them has that of `settings.HELP`.
    """

    def decorate(body: Callable[..., None]) -> Any:
        context, *parameters = inspect.signature(body).parameters.values()
        own = {flag.name: flag.replace(kind=flag.KEYWORD_ONLY) for flag in parameters}
        names = order.split() or list(own)

        @functools.wraps(body)
        def guarded(c: invoke.Context, **given: Any) -> None:
            try:
                _refuse_what_is_no_text(given)
                with _saying_notes(), _saying_warnings():
                    body(Flags(c, **given), **{name: given[name] for name in own if name in given})
            except CatsdogsError as error:
                rest = _where_all_are_listed(error, Path(f"catsdogs-{body.__name__}.csv"))
                raise invoke.Exit(f"{program()} {body.__name__}: {error}{rest}", code=error.exit_code) from None
            except KeyboardInterrupt:
                resuming = "fetch, features, predict and the training of networks go on where they were"
                raise invoke.Exit(f"\nStopped. Run the same command again; {resuming}.", code=INTERRUPTED) from None

        optional = {name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in names}
        flags = [(optional | own)[name] for name in names]
        guarded.__signature__ = inspect.Signature([context, *flags])  # type: ignore[attr-defined]
        texts = {name.replace("_", "-"): (HELP | helps)[name] for name in names}
        return invoke.task(auto_shortflags=False, help=texts, iterable=list(iterable))(guarded)

    return decorate


class _Lines(logging.Handler):
    """Shows each note of the front door as a line."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


@contextlib.contextmanager
def _saying_notes() -> Iterator[None]:
    """Show what the steps of a command have to tell, and nobody else's loggers."""
    logger, lines = notes.LOGGER, _Lines()
    level, propagates = logger.level, logger.propagate
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)
        logger.propagate = propagates


@contextlib.contextmanager
def _saying_warnings() -> Iterator[None]:
    """Show a `FitWarning` as a line, each text once, where Python would show a file and a line of code."""
    said = set[str]()
    with warnings.catch_warnings():
        show = warnings.showwarning

        def shown(message: Warning | str, category: type[Warning], *where: Any) -> None:
            if not issubclass(category, FitWarning):
                show(message, category, *where)
            elif str(message) not in said:
                said.add(str(message))
                say(message)

        warnings.simplefilter("always", FitWarning)
        warnings.showwarning = shown  # type: ignore[assignment]
        yield


class Program(invoke.Program):
    """The console command: it reads `invoke.yaml` in the folder it is called in, and ends wrong usage with 2."""

    def __init__(self, namespace: invoke.Collection) -> None:
        super().__init__(
            name="catsdogs", binary="catsdogs", namespace=namespace, version=__version__, config_class=_Config
        )

    def run(self, argv: list[str] | None = None, exit: bool = True) -> None:
        show_every_letter()
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
        # What stands behind these tasks is no other task. To invoke no argument without a flag can be left out.
        for task, flag in _BARE.items():
            if task in self.argv[1:-1] and not self.argv[self.argv.index(task) + 1].startswith("-"):
                self.argv.insert(self.argv.index(task) + 1, flag)

    def parse_collection(self) -> None:
        super().parse_collection()
        self.config.set_project_location(Path.cwd())
        try:
            self.config.load_project()
        except Exception as error:  # a file that is no YAML, or not of invoke's form, raises nearly anything
            problem = f"catsdogs: invoke.yaml in {Path.cwd()} cannot be used: {error}"
            raise invoke.Exit(" ".join(f"{problem}. See the README on settings.".split()), code=1) from None

    def parse_tasks(self) -> None:
        try:
            super().parse_tasks()
        except invoke.ParseError as error:
            what = _of_flags(str(error), self.argv)
            problem = f"catsdogs: {what} `catsdogs --list` and `catsdogs --help TASK` show what there is."
            raise invoke.Exit(problem, code=UsageError.exit_code) from None


def show_every_letter() -> None:
    """Let output go on where its encoding lacks a letter: a class may be called 猫, and a terminal know Latin-1 alone.

    Where names of files are not taken for UTF-8 either, as under the locale C, this process starts again in Python's
    UTF-8 mode, or it could neither keep nor open them.
    """
    if os.name == "posix" and sys.getfilesystemencoding() != "utf-8":
        shown = os.environ.get("PYTHONIOENCODING") or (sys.stdout.encoding if sys.stdout else "utf-8")
        settings = {"PYTHONUTF8": "1", "PYTHONIOENCODING": shown}
        command = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, command, os.environ | settings)  # noqa: S606 - what is running already
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def _refuse_what_is_no_text(arguments: dict[str, Any]) -> None:
    """A name that is not UTF-8 can be opened, but in no file of ours be written down."""
    for flag, value in arguments.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not is_text(text):
                raise UsageError(f"--{flag.replace('_', '-')} {text!a} is not UTF-8", "Rename that file or folder")


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(_PLAIN.get(letter) or ascii(letter)[1:-1] for letter in letters), error.end


codecs.register_error(_HANDLER, _plainly)


class _Config(invoke.Config):
    """Invoke's settings, also for a user whose home is none, such as /dev/null."""

    def load_user(self, merge: bool = True) -> None:
        with contextlib.suppress(OSError):
            super().load_user(merge)


def _of_flags(error: str, arguments: Sequence[str]) -> str:
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
    """The program that the user called: `invoke`, or the installed `catsdogs`."""
    return "invoke" if Path(sys.argv[0]).stem in ("invoke", "inv") else "catsdogs"


def say(line: object = "") -> None:
    """A line of the result."""
    print(line, flush=True)


def _where_all_are_listed(error: CatsdogsError, path: Path) -> str:
    """The file in which everything is listed of which an error names the first few; empty if it names everything."""
    if len(error.listed) <= SHOWN:
        return ""
    try:
        notes.write_list(path, ("what",), [(item,) for item in error.listed])
    except StoreError:  # the error itself is what counts
        return ""
    return f" All {len(error.listed):,} are listed in {path}."


def command_line() -> str:
    """What the user typed, as a file of ours keeps it."""
    return " ".join(["catsdogs", *sys.argv[1:]])


def next_steps(*commands: str) -> None:
    """What to type next."""
    say("next:  " + "\n       ".join(f"{program()} {command}" for command in commands))

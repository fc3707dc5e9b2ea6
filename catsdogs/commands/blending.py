"""Blending on the command line: `blend` makes one run of several."""

import math
import shlex
from typing import TYPE_CHECKING

from catsdogs.commands.console import command_line, next_steps, say, task, wrote
from catsdogs.commands.flags import read_run_and_files
from catsdogs.commands.settings import SUBMISSIONS, Flags, parse_number
from catsdogs.errors import UsageError
from catsdogs.files import storage

if TYPE_CHECKING:
    from catsdogs.runs.run_card import Run


@task(
    "runs name features force",
    runs="the runs to blend, separated by commas, and CSVs of ids and answers, each with its weight: a,b,other.csv:0.2",
    name="the new run: a folder of submissions/",
    features="the folder of feature files, if they are not where the runs remember them",
)
def blend(flags: Flags, runs: str, name: str, force: bool = False) -> None:
    """Blend runs with weights fitted out of fold and judged by other folds, and write submissions/<name>/."""
    from catsdogs.front.training import check_run_name
    from catsdogs.runs import blending

    check_run_name(name, force)
    names, fixed = parted(runs)
    given = [blending.Given(*read_run_and_files(flags, run)) for run in names]
    made = blending.blend(given, fixed, name=name, submissions=SUBMISSIONS, command=command_line(), force=force)
    say_blend(made)
    for path in sorted((SUBMISSIONS / name).iterdir()):
        wrote(path)
    named = f"--name {shlex.quote(name)}"
    to = "" if made.competition else " --competition NAME"
    to_upload = [f"submit {named}{to}"] if made.test_rows and not made.protocol else []
    next_steps(f"report {named}", *to_upload, "status")


def parted(runs: str) -> tuple[list[str], dict[str, float]]:
    """The names of runs, and the path of each CSV with its weight.

    Raises:
        UsageError: a CSV without a weight, or a run with one.
    """
    names, fixed = [], dict[str, float]()
    for text in filter(None, (part.strip() for part in runs.split(","))):
        path, colon, weight = text.rpartition(":")
        if not path.lower().endswith(".csv"):
            if text.lower().endswith(".csv") and not storage.exists(SUBMISSIONS / text):
                raise UsageError(f"--runs {text} has no weight", f"Give it one from 0 to 1, such as {text}:0.2")
            if colon and not storage.exists(SUBMISSIONS / text) and storage.exists(SUBMISSIONS / path):
                raise UsageError(f"--runs {text}: the weight of a run is fitted", f"Write {path} alone")
            names.append(text)
        elif path in fixed:
            raise UsageError(f"--runs names {path} twice", "Name each CSV once")
        else:
            fixed[path] = parse_number(float, "runs", weight, f"Give {path} a weight from 0 to 1, such as {path}:0.2")
    return names, fixed


def say_blend(run: "Run") -> None:
    """The weights, what each part adds, what the blend gains, and its scores."""
    if not run.blend:
        return
    parts, metric = run.blend.parts, run.task.metric
    weights = ", ".join(f"{part.name} {part.weight:.3f}{' as given' * part.is_fixed}" for part in parts)
    say(f"weights, of {run.blend.space}: {weights}")
    for part in parts:
        if math.isfinite(part.added):
            gained = _gained(part.added, part.added_error)
            say(f"{part.name} adds to the others: {metric} {gained}")
    if math.isfinite(run.blend.gain):
        say(f"against {run.blend.best}, the best of them: {metric} {_gained(run.blend.gain, run.blend.gain_error)}")
    for score in run.scores:
        say(score)


def _gained(gain: float, error: float) -> str:
    doubt = f" ± {error:.5f}" if math.isfinite(error) else ""
    return f"{'better' if gain >= 0 else 'worse'} by {abs(gain):.5f}{doubt}"

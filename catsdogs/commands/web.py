"""The page on the command line: `serve` opens it."""

import functools
import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING

from catsdogs.commands.console import program, say, task
from catsdogs.commands.flags import features_folder, refuse_idle_weights, weights_folder
from catsdogs.commands.settings import SUBMISSIONS, Flags, whole_number
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import storage

if TYPE_CHECKING:
    from catsdogs.photographs.task import Task
    from catsdogs.runs.answers import Predictor
    from catsdogs.runs.run_card import Run

_HIGHEST_PORT = 65535


@task(
    "name features data weights_dir host port",
    name="the run that predicts; if not given the newest one on these features",
    host="the address to listen on; 0.0.0.0 lets other machines in, and they may decide too",
    port="the port to listen on; 0 for any that is free",
)
def serve(flags: Flags, host: str = "127.0.0.1", port: str = "5000") -> None:
    """Open a page on 127.0.0.1:5000 to predict photographs, review suspects, and look at runs and reports."""
    from catsdogs import web
    from catsdogs.front.reading import find_again

    number = whole_number("port", port)
    if not 0 <= number <= _HIGHEST_PORT:
        raise UsageError(f"--port {port}", f"Give a number from 0 to {_HIGHEST_PORT:,}")
    run, folder = what_to_show(flags)
    source, classes, task = _remembered(run, folder) or (flags.setting("data"), (), None)
    dataset = find_again(flags.data, source, task)
    classes = classes or (dataset.classes if dataset else ())
    refuse_idle_weights(flags.weights_dir, run.backbones if run else ())
    weights = weights_folder(flags)
    loading = web.Loading(functools.partial(_load_predictor, SUBMISSIONS / run.name, folder, weights) if run else None)
    task = task or (dataset.task if dataset else None)
    app = web.create_app(web.Site(SUBMISSIONS, folder, dataset, classes, run.name if run else "", loading, task))
    if not _is_loopback(host):
        say(f"Open to other machines: whoever reaches {host} can see the photographs and decide about them")
    predicts = f"{run.name} predicts" if run else f"no run on {folder} yet, so nothing predicts: {program()} train"
    web.serve(app, host, number, lambda url: say(f"{url}  ({predicts}; Ctrl-C ends it)"))


def what_to_show(flags: Flags) -> "tuple[Run | None, Path]":
    """The run that predicts, if there is one, and the folder of features, suspects and decisions.

    A run that is not named is the newest on that folder, those that only replay a split coming last; on the usual
    folder, where that holds no features, the newest on any.
    """
    from catsdogs.features import feature_file
    from catsdogs.runs import run_card

    if flags.name:
        run = run_card.read_run(SUBMISSIONS / flags.name)
        return run, storage.place(flags.features or run.features)
    folder = features_folder(flags)
    listing = run_card.list_runs(SUBMISSIONS)
    for damage in listing.damaged:
        say(damage)
    newest = sorted(listing.runs, key=lambda run: (not run.protocol, run.created), reverse=True)
    if newest and not flags.features and not feature_file.names(folder):
        return newest[0], storage.place(newest[0].features)
    return next((run for run in newest if storage.place(run.features).resolve() == folder.resolve()), None), folder


def _load_predictor(run_folder: Path, features: Path, weights_dir: str | None) -> "Predictor":
    """The predictor; what goes wrong on the way is said here, too, for a user who has no page open."""
    from catsdogs.runs.answers import Predictor

    try:
        return Predictor(run_folder, features, weights_dir)
    except CatsdogsError as error:
        say(f"Nothing predicts: {error}")
        raise


def _remembered(run: "Run | None", folder: Path) -> "tuple[str, tuple[str, ...], Task] | None":
    """Where the photographs were, what their classes are called and what was asked, by the run or a feature file."""
    from catsdogs.features import feature_file

    if run:
        return run.source, run.classes, run.task
    paths = (feature_file.path_of(folder, name) for name in feature_file.names(folder))
    first = next((feature_file.read_features(path) for path in paths if not feature_file.is_gap_file(path)), None)
    return (first.source, first.classes, first.task) if first else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"

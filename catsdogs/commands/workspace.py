"""The folder one works in: `status` says what it holds, `clean` removes what can be had again."""

import contextlib
import shutil
from typing import TYPE_CHECKING

from catsdogs.commands.console import next_steps, say, task
from catsdogs.commands.demo import DEMO, DEMO_DATA, of_kind
from catsdogs.commands.flags import features_folder
from catsdogs.commands.settings import SUBMISSIONS, Flags
from catsdogs.errors import StoreError, WeightsError

if TYPE_CHECKING:
    from catsdogs.features.feature_file import Features
    from catsdogs.runs.run_card import Run


@task("features")
def status(flags: Flags) -> None:
    """What is cached, for which networks and how many rows, and your networks and runs with their scores."""
    from catsdogs.features import feature_file
    from catsdogs.networks import trained
    from catsdogs.runs import run_card

    folder = features_folder(flags)
    names = feature_file.names(folder)
    if not names:
        say(f"{folder} holds no feature files")
    for name in names:
        path = feature_file.path_of(folder, name)
        try:
            is_old = feature_file.is_gap_file(path)
            say(f"{path}: an old notebook's vectors" if is_old else _in_a_line(feature_file.read_features(path)))
        except StoreError as error:
            say(error)
    for name in trained.names():
        try:
            card = trained.read_card(trained.FOLDER / name)
            say(f"{trained.FOLDER / name}: {card.base}, {card.scores[0]}")
        except WeightsError as error:
            say(error)
    listing = run_card.list_runs(SUBMISSIONS)
    for run in sorted(listing.runs, key=lambda run: (run.scores[0].metric, _worth(run), run.name)):
        say(f"{SUBMISSIONS / run.name}: {run.head} on {' + '.join(run.backbones)}, {run.scores[0]}")
    for damage in listing.damaged:
        say(damage)
    next_steps("features", "train")


def _worth(run: "Run") -> float:
    """The first score of a run, the least for the best; runs of one metric are listed by it."""
    from catsdogs.scoring import metrics

    score = run.scores[0]
    return -score.value if metrics.find(score.metric).higher_is_better else score.value


@task("features")
def clean(flags: Flags) -> None:
    """Remove the demos and cached predictions; your feature files, unfinished shards and runs stay."""
    from catsdogs.demo.competitions import KINDS
    from catsdogs.files import locks
    from catsdogs.front.predicting import PREDICTION_CACHE

    folder = features_folder(flags)
    removable = [folder / PREDICTION_CACHE, folder / DEMO, DEMO_DATA, SUBMISSIONS / DEMO]
    for kind in KINDS:
        name, data = of_kind(kind), DEMO_DATA.with_name(of_kind(kind))
        if data.exists():  # else what is called so is of the user's own photographs, in a folder called as the kind
            removable += [folder / name, SUBMISSIONS / name, data]
    leftovers = [path for path in removable if path.exists()]
    for leftover in leftovers:
        with contextlib.ExitStack() as in_use:
            for locked in {lock.parent for lock in leftover.rglob(".lock*")}:
                in_use.enter_context(locks.hold_folder(locked))
            shutil.rmtree(leftover)
        say(f"removed {leftover}")
    if not leftovers:
        say("nothing to remove")


def _in_a_line(file: "Features") -> str:
    """What a feature file holds."""
    recipe = file.recipe
    rows = " + ".join(f"{len(ids):,} {split}" for split, ids in file.ids.items())
    unreadable = f", {len(file.unreadable):,} unreadable" if file.unreadable else ""
    return (
        f"{file.path}: {rows} rows x {file.width}{unreadable}, {recipe.engine} {recipe.precision}, "
        f"weights {recipe.weights[:12]}, from {file.source}"
    )

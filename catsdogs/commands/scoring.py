"""Scoring on the command line: `compare` heads and networks; `replay` a benchmark that hides a tenth of the labels."""

from catsdogs.commands.competition import HELD_OUT_IS_EASIER, is_dogs_vs_cats
from catsdogs.commands.console import next_steps, say, task
from catsdogs.commands.flags import as_flags, network_names, read_feature_files
from catsdogs.commands.runs import plan_run, train_as_told
from catsdogs.commands.settings import SUBMISSIONS, Flags, whole_number


@task(
    "heads backbones folds repeats seed outliers metric groups features data",
    iterable=("backbones",),
    heads="heads, separated by commas, with settings in brackets, as in logistic[C=0.1]; all of this program's if not "
    "given",
    backbones="networks, separated by commas; give the flag again for another set of them",
    repeats="how many times to cross-validate, on other folds each time",
)
def compare(flags: Flags, repeats: str = "1") -> None:
    """Every head on every set of networks, on the same folds: their scores, and which differences are noise."""
    from catsdogs.front.comparing import compare_files

    given_sets = flags.backbones or [flags.setting("backbones")]
    all_networks = flags.but(backbones=",".join(given_sets))
    files = read_feature_files(all_networks)  # each once, however many of the sets it is in
    file_of = dict(zip(network_names(all_networks), files, strict=True))
    sets = [[file_of[name] for name in network_names(flags.but(backbones=one))] for one in given_sets]
    counts = flags.number("folds"), whole_number("repeats", repeats), flags.number("seed")
    told = map(flags.text, ("competition", "metric", "groups"))
    compared = compare_files(sets, flags.heads or "", *counts, flags.text("outliers"), flags.data, *told)
    best = compared.entries[0]
    given = {name: getattr(flags, name) for name in ("folds", "seed", "outliers", "metric", "groups")}
    given |= {"features": str(flags.place("features")), "data": flags.data}
    next_steps(f"train --name best{as_flags(flags, backbones=','.join(best.backbones), head=best.head, **given)}")


@task(
    "protocol name backbones head set folds seed outliers groups features data force",
    iterable=("set",),
    protocol="how to hold labelled photographs out: mlebench",
)
def replay(flags: Flags, protocol: str = "mlebench", force: bool = False) -> None:
    """Hide a tenth of the labels as MLE-bench does, train on the rest from cached vectors, and grade."""
    from catsdogs.competition.grading import TRUTH_FILE
    from catsdogs.front.training import check_run_name

    name = flags.name or protocol
    check_run_name(name, force)
    files = read_feature_files(flags)
    run = train_as_told(flags, files, plan_run(flags, files, protocol=protocol), name, force)
    if is_dogs_vs_cats(run):
        say(HELD_OUT_IS_EASIER)
    next_steps(f"grade --name {name} --truth {SUBMISSIONS / name / TRUTH_FILE}", "status")

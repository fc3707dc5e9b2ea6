"""Scoring on the command line: `compare` heads and networks; `replay` a benchmark that hides a tenth of the labels."""

from invoke import Context

from catsdogs.commands.competition import HELD_OUT_IS_EASIER, is_dogs_vs_cats
from catsdogs.commands.console import next_steps, say, task, wrote
from catsdogs.commands.flags import as_flags, check_writable, read_feature_files, refuse_idle_data
from catsdogs.commands.runs import check_run_name, corrections, plan_run, train_run
from catsdogs.commands.settings import SUBMISSIONS, location, number, setting, whole_number


@task(
    iterable=("backbones",),
    heads="heads, separated by commas; all of this program's if not given",
    backbones="networks, separated by commas; give the flag again for another set of them",
    repeats="how many times to cross-validate, on other folds each time",
)
def compare(
    c: Context,
    heads: str | None = None,
    backbones: list[str] | None = None,
    folds: str | None = None,
    repeats: str = "1",
    seed: str | None = None,
    outliers: str | None = None,
    features: str | None = None,
    data: str | None = None,
) -> None:
    """Every head on every set of networks, on the same folds: their log losses, and which differences are noise."""
    from catsdogs.heads import names
    from catsdogs.scoring import comparison, comparison_chart, comparison_table

    folder = location(c, "features", features)
    sets = [read_feature_files(c, folder, one, data) for one in backbones or [setting(c, "backbones")]]
    chosen = [head.strip() for head in heads.split(",")] if heads else names()
    count, start = number(c, "folds", folds), number(c, "seed", seed)
    files = [file for networks in sets for file in networks]
    refuse_idle_data(data, files)
    check_writable(SUBMISSIONS)
    decided = corrections(c, folder, files, outliers)
    compared = comparison.compare(sets, chosen, count, whole_number("repeats", repeats), start, decided)
    say(comparison_table.format_table(compared))
    comparison.write_comparison(SUBMISSIONS / comparison.COMPARISON_FILE, compared)
    wrote(SUBMISSIONS / comparison.COMPARISON_FILE)
    comparison_chart.draw_comparison(SUBMISSIONS / comparison.COMPARISON_CHART_FILE, compared)
    wrote(SUBMISSIONS / comparison.COMPARISON_CHART_FILE)
    best = compared.entries[0]
    given = {"folds": folds, "seed": seed, "outliers": outliers, "features": str(folder), "data": data}
    next_steps(f"train --name best{as_flags(c, backbones=','.join(best.backbones), head=best.head, **given)}")


@task(protocol="how to hold labelled photographs out: mlebench")
def replay(
    c: Context,
    protocol: str = "mlebench",
    name: str | None = None,
    backbones: str | None = None,
    head: str | None = None,
    folds: str | None = None,
    seed: str | None = None,
    outliers: str | None = None,
    features: str | None = None,
    data: str | None = None,
    force: bool = False,
) -> None:
    """Hide a tenth of the labels as MLE-bench does, train on the rest from cached vectors, and grade."""
    from catsdogs.competition.grading import TRUTH_FILE

    name = name or protocol
    check_run_name(name, force)
    folder = location(c, "features", features)
    files = read_feature_files(c, folder, backbones, data)
    plan = plan_run(c, folder, files, setting(c, "head", head), outliers, folds, seed, protocol)
    run = train_run(files, plan, name, data, force)
    if is_dogs_vs_cats(run):
        say(HELD_OUT_IS_EASIER)
    next_steps(f"grade --name {name} --truth {SUBMISSIONS / name / TRUTH_FILE}", "status")

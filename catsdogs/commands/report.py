"""The report on the command line: `report` writes a run's page."""

from catsdogs.commands.console import next_steps, task
from catsdogs.commands.flags import read_run_and_files
from catsdogs.commands.settings import SUBMISSIONS, Flags


@task("name features data weights_dir")
def report(flags: Flags, name: str) -> None:
    """Write submissions/<name>/report.html: scores, curves, mistakes, suspects and a map, in one file to look at."""
    from catsdogs.front.runs import write_report

    _, files = read_run_and_files(flags, name)
    write_report(SUBMISSIONS / name, files, flags.data, flags.text("weights_dir"))
    next_steps("serve")

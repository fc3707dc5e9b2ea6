"""The report on the command line: `report` writes a run's page."""

from catsdogs.commands.console import next_steps, task, wrote
from catsdogs.commands.flags import check_writable, find_dataset, read_run_and_files
from catsdogs.commands.settings import SUBMISSIONS, Flags


@task("name features data")
def report(flags: Flags, name: str) -> None:
    """Write submissions/<name>/report.html: scores, curves, mistakes, suspects and a map, in one file to look at."""
    from catsdogs import report as page
    from catsdogs.scoring.comparison_file import COMPARISON_FILE

    _, files = read_run_and_files(flags, name)
    dataset = find_dataset(flags.data, files[0].source, files[0].task)
    check_writable(SUBMISSIONS / name)
    path = page.write_report(SUBMISSIONS / name, files, dataset, SUBMISSIONS / COMPARISON_FILE)
    wrote(path, f"{path.stat().st_size / 1e6:.1f} MB, one file that needs no network: open it in a browser")
    next_steps("serve")

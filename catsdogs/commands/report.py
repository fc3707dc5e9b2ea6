"""The report on the command line: `report` writes a run's page."""

from catsdogs.commands.console import next_steps, task, wrote
from catsdogs.commands.flags import check_writable, find_dataset, read_run_and_files, weights_folder
from catsdogs.commands.settings import SUBMISSIONS, Flags


@task("name features data weights_dir")
def report(flags: Flags, name: str) -> None:
    """Write submissions/<name>/report.html: scores, curves, mistakes, suspects and a map, in one file to look at."""
    from catsdogs import report as page
    from catsdogs.networks import choice
    from catsdogs.scoring.comparison_file import COMPARISON_FILE

    _, files = read_run_and_files(flags, name)
    dataset = find_dataset(flags.data, files[0].source, files[0].task)
    check_writable(SUBMISSIONS / name)
    weights = weights_folder(flags)
    choice.weights_folder(weights)  # without other weights a report goes on, but not with a folder that is not there
    comparison = SUBMISSIONS / COMPARISON_FILE
    path = page.write_report(SUBMISSIONS / name, files, dataset, comparison, weights)
    wrote(path, f"{path.stat().st_size / 1e6:.1f} MB, one file that needs no network: open it in a browser")
    next_steps("serve")

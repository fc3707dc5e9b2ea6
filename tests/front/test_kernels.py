"""In the kernels of notebooks: what a cell shows, cells that are interrupted and run again, and two kernels at once."""

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from catsdogs.photographs import stamps
from tests.support.front import LITE0
from tests.support.kernels import Kernel, Shown, kernels, wait_for

PREPARED = """
from catsdogs.cleaning import contact_sheet
from catsdogs.features import by_digest, extract, worker
from catsdogs.runs import training
from catsdogs.scoring import comparison_chart, crossval
extract.SHARD_ROWS = by_digest.SHARD_ROWS = 4

def print_rows(*matrices):
    print(hashlib.sha256(b"".join(matrix.tobytes() for matrix in matrices)).hexdigest())
"""


@pytest.fixture(scope="module")
def both(workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Kernel]]:
    with kernels(2, tmp_path_factory.mktemp("kernels")) as started:
        for kernel in started:
            assert not kernel.run(PREPARED).error
        yield started


@pytest.fixture
def kernel(both: list[Kernel], inside: Path) -> Kernel:
    """A kernel that works in a copy of the drawn pets."""
    both[0].work_in(inside)
    return both[0]


def contents(folder: Path) -> dict[str, bytes]:
    """What is in a folder, but for what is only kept of files that have not just been written."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != stamps.STAMPS_FILE]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_cell_shows_a_bar_and_what_was_written_and_no_warnings(kernel: Kernel) -> None:
    shown = kernel.run(f"cd.extract('pets', {LITE0!r}, features='new')")
    assert f"wrote new/{LITE0}.h5  (16 train + 4 test rows, 20 of them computed now" in shown.out
    assert "Features: 16 train + 4 test rows x 1,280" in shown.html
    if importlib.util.find_spec("ipywidgets"):
        bars = [data["text/plain"] for data in shown.data if "application/vnd.jupyter.widget-view+json" in data]
        assert {bar.partition(":")[0] for bar in bars} <= {"photographs", "preparing"} and bars and not shown.err
    else:
        assert "photographs: 100%" in shown.err and "Warning" not in shown.err
    again = kernel.run("print(cd.look('pets').kind); from tqdm import tqdm; print(len(tqdm._instances))")
    assert again == Shown("pets: 16 train, 4 test photographs, classes cat, dog\nbinary\n0\n", "", [], "")


def test_keras_comes_without_a_banner_and_leaves_the_users_settings(kernel: Kernel) -> None:
    cell = """
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "1"
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
        from catsdogs.heads import notebook
        from catsdogs.networks.quiet import importing_keras
        with importing_keras():
            import keras
        print(os.environ["TF_CPP_MIN_LOG_LEVEL"], os.environ["TF_ENABLE_ONEDNN_OPTS"])
    """
    assert kernel.run(cell) == Shown("1 1\n", "", [], "")


def test_whoever_sets_up_logging_has_the_notes_there_alone(kernel: Kernel) -> None:
    note = "pets: 16 train, 4 test photographs, classes cat, dog\n"
    cell = "import logging; logger = logging.getLogger({!r}); {}; cd.look('pets').kind"
    quiet = kernel.run(cell.format("catsdogs", "logger.setLevel('WARNING')"))
    assert not quiet.out and not quiet.err
    assert kernel.run(cell.format("catsdogs", "logger.setLevel('NOTSET')")).out == note
    logged = kernel.run(cell.format("", "logging.basicConfig(level='INFO', format='%(message)s', force=True)"))
    assert (logged.out, logged.err) == ("", note)
    kernel.run("logging.basicConfig(level='WARNING', force=True)")


EXTRACT = f"f = cd.extract('pets', {LITE0!r}, features='new'); print_rows(f.X, f.X_test)"
PATHS = "sorted(map(str, Path('pets/train').iterdir()))"
TRANSFORM = f"print_rows(cd.PretrainedFeatures({LITE0!r}, cache='kept').transform({PATHS}))"
TRAIN = "cd.train(cd.load(), 'ridge', name='new', folds=2)"
COMPARE = """
for one in cd.compare(cd.load(), heads=["ridge", "knn"], folds=2).entries:
    print(one.head, one.log_loss, one.difference)
"""
OUTLIERS = "cd.outliers(cd.load(), folds=2)"
ANSWERS = ("submissions/new/submission.csv", "submissions/new/oof.csv")
CELLS = {  # what is paused, the cell, and which files of it never vary
    "extract": ("worker, '_compute', 2", EXTRACT, ()),
    "assemble": ("extract, '_assemble'", EXTRACT, ()),
    "transform": ("worker, '_compute', 2", TRANSFORM, ()),
    "train": ("crossval, 'fit', 1", TRAIN, ANSWERS),
    "write": ("training, 'write_answers'", TRAIN, ANSWERS),
    "compare": ("crossval, 'fit', 3", COMPARE, ()),
    "chart": ("comparison_chart, '_draw_entries'", COMPARE, ()),
    "outliers": ("contact_sheet, '_draw'", OUTLIERS, ("features/outliers.csv", "features/outliers.png")),
}


@pytest.mark.parametrize("step", CELLS)
def test_an_interrupted_cell_runs_again_and_ends_as_if_it_had_not_been(
    both: list[Kernel], workplace: Path, tmp_path: Path, step: str
) -> None:
    paused, cell, names = CELLS[step]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for kernel, folder in zip(both, (whole, broken), strict=True):
        shutil.copytree(workplace, folder)
        kernel.work_in(folder)
    first, second = both
    asked = first.started(cell)
    second.run(f"pause({paused})")
    running = second.started(cell)
    wait_for(broken / "paused")
    second.interrupt()
    assert running().error.startswith("KeyboardInterrupt")
    left = contents(broken)
    assert not [name for name in left if ".tmp" in name or ".old" in name or ("lock" in name and left[name])]
    assert second.run("print(working())").out == "[]\n"
    again, uninterrupted = second.run(cell), asked()
    assert not again.error and not uninterrupted.error
    for name in names:
        assert (whole / name).read_bytes() == (broken / name).read_bytes()
    printed = [[line for line in one.out.splitlines() if "wrote" not in line] for one in (again, uninterrupted)]
    assert printed[0] == printed[1]
    if step == "extract":
        assert "20 of them computed now" in uninterrupted.out and "12 of them computed now" in again.out
    assert contents(whole).keys() == contents(broken).keys()


def test_a_second_kernel_hears_who_writes_and_works_when_that_has_ended(both: list[Kernel], inside: Path) -> None:
    for kernel in both:
        kernel.work_in(inside)
    first, second = both
    cell = f"f = cd.extract('pets', {LITE0!r}, features='new'); print_rows(f.X)"
    first.run("pause(worker, '_compute', 2)")
    number, running = first.process, first.started(cell)
    wait_for(inside / "paused")
    refused = second.run(cell).error
    told = f"LockedError: Another process is writing to new: process {number}, the kernel of a notebook, since 20"
    assert refused.startswith(told) and "interrupt its cell" in refused and "\n" not in refused
    (inside / "go").touch()
    shown = running()
    assert not shown.error
    again = second.run(cell)
    assert not again.error and again.out.splitlines()[-1] == shown.out.splitlines()[-1]
    assert f"new/{LITE0}.h5 is up to date" in again.out and not (inside / "new/.lock").read_bytes()


def test_of_two_kernels_that_train_a_run_of_one_name_one_wins(both: list[Kernel], inside: Path) -> None:
    for kernel in both:
        kernel.work_in(inside)
    first, second = both
    cell = "cd.train(cd.load(), {!r}, name='new', folds=2)"
    first.run("pause(crossval, 'fit')")
    running = first.started(cell.format("ridge"))
    wait_for(inside / "paused")
    assert not second.run(cell.format("knn")).error
    won = contents(inside / "submissions")
    (inside / "go").touch()
    assert running().error == (
        "TrainingError: There is a run at submissions/new already. Choose another --name, or replace it with --force."
    )
    assert contents(inside / "submissions") == won

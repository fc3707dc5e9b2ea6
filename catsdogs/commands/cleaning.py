"""Cleaning on the command line: `outliers` lists the photographs that a person should look at."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from catsdogs.commands.console import next_steps, say, task, write
from catsdogs.commands.flags import as_flags, check_writable, find_dataset, read_feature_files
from catsdogs.commands.settings import Flags, whole_number
from catsdogs.errors import TrainingError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from catsdogs.cleaning.duplicates import Pairs
    from catsdogs.features.feature_file import Features

# The quick head is less sure of what lies far from its class: with 80 of 1,600 labels exchanged it finds 74 of them
# from this score on and lists 79 rows in all, where `stack` finds 76 from 0.8 on and lists 88.
QUICK_DOUBT = 0.6


@task(
    "backbones k votes quartiles all features data",
    k="how many of a network's best labels to look through for a pet, 1 to 10; 10 if not given",
    votes="how many networks must see no pet; 1 if not given",
    quartiles="also list photographs far outside the quartiles of size, shape, contrast and colours",
    all="also write every photograph's labels to topk.csv",
)
def outliers(flags: Flags, quartiles: bool = False, all: bool = False) -> None:
    """List photographs that show no pet, and other oddities, in outliers.csv and as a contact sheet."""
    from catsdogs.cleaning.decisions import DECISIONS_FILE

    files = read_feature_files(flags)
    would_drop = list_outliers(flags, files)
    folder = flags.place("features")
    say(f"On the page of `serve` one key keeps, drops or relabels each; train obeys {folder / DECISIONS_FILE}")
    drop, where = " --outliers drop" if would_drop else "", as_flags(flags, features=str(folder))
    next_steps(f"serve{where}", f"train{drop}{as_flags(flags, backbones=flags.backbones)}{where}")


def list_outliers(flags: Flags, files: "Sequence[Features]") -> bool:
    """Write the table and the contact sheet; whether there are train rows that `--outliers drop` would leave out."""
    from catsdogs.cleaning import contact_sheet, decisions, duplicates, outliers, suspect_table
    from catsdogs.cleaning.votes import TOPK_FILE, check_votes, collect_votes, voters, write_topk
    from catsdogs.scoring import training_plan

    _refuse_idle_flags(flags, files)
    k, votes = whole_number("k", flags.k or "10"), whole_number("votes", flags.votes or "1")
    folder = flags.place("features")
    decided = decisions.corrected_ids(folder / decisions.DECISIONS_FILE, files[0])
    files = training_plan.occupied(files)
    # Refused before the heads are trained.
    check_votes(files, k, votes)
    if flags.all:
        voters(files)
    check_writable(folder)
    dataset = find_dataset(flags.data, files[0].source, files[0].task)
    crowd = duplicates.crowd_of(files, files[0])
    pairs = duplicates.find_pairs(files, files[0], crowd=crowd)
    predictions = _out_of_fold(flags, files, pairs)
    how = flags.quartiles, predictions, pairs, crowd, QUICK_DOUBT, decided
    suspects = outliers.find_outliers(files, k, votes, *how)
    say(outliers.summary(suspects, files))
    write(folder / suspect_table.OUTLIERS_FILE, suspect_table.write_suspects, suspects)
    if flags.all:
        write(folder / TOPK_FILE, write_topk, files, k)
    if dataset:
        write(folder / contact_sheet.CONTACT_SHEET_FILE, contact_sheet.write_contact_sheet, suspects, dataset)
    return outliers.about_pets(suspects, files) and bool(collect_votes(files).unanimous("train").any())


def _out_of_fold(flags: Flags, files: "Sequence[Features]", pairs: "Pairs") -> "NDArray[np.float64] | None":
    """(n_train, columns) predictions out of fold; None, said aloud, where no head can be trained."""
    from catsdogs.cleaning import duplicates
    from catsdogs.scoring import quick_head

    try:
        copies = duplicates.find_copies(files, pairs)
        head, rows = quick_head.of_files(files, copies, flags.number("folds"), flags.number("seed"))
        return head.out_of_fold(quick_head.targets_of(rows))
    except TrainingError as error:
        say(f"Not looked for wrong labels: {error.problem}")
        return None


def _refuse_idle_flags(flags: Flags, files: "Sequence[Features]") -> None:
    """Refuse a flag about votes where no network can or may vote, and one about pixels where none are known.

    Raises:
        UsageError: a flag that would do nothing.
    """
    has_labels = any(file.topk_class for file in files)
    if (flags.k or flags.votes) and not files[0].task.has_classes:
        raise UsageError(
            f"{'-k' if flags.k else '--votes'} would do nothing: networks vote on classes of pets, and {files[0].path} "
            "has other labels",
            "Leave it out",
        )
    for flag, value, can, lacking in (
        ("-k", flags.k, has_labels, "ImageNet labels to vote with"),
        ("--votes", flags.votes, has_labels, "ImageNet labels to vote with"),
        ("--quartiles", flags.quartiles, any(file.statistics for file in files), "statistics of its pictures"),
    ):
        if value and not can:
            raise UsageError(f"{flag} would do nothing: {files[0].path} has no {lacking}", "Leave it out")

"""Cleaning on the command line: `outliers` lists the photographs that a person should look at."""

from catsdogs.commands.console import next_steps, say, task
from catsdogs.commands.flags import as_flags, read_feature_files
from catsdogs.commands.settings import Flags, optional_number


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
    from catsdogs.front.suspects import list_suspects

    files, folder = read_feature_files(flags), flags.place("features")
    k, votes = optional_number("k", flags.k), optional_number("votes", flags.votes)
    folds, seed = flags.number("folds"), flags.number("seed")
    found = list_suspects(files, folder, k, votes, quartiles, all, flags.data, folds, seed)
    say(f"On the page of `serve` one key keeps, drops or relabels each; train obeys {folder / DECISIONS_FILE}")
    drop, where = " --outliers drop" if found.would_drop else "", as_flags(flags, features=str(folder))
    next_steps(f"serve{where}", f"train{drop}{as_flags(flags, backbones=flags.backbones)}{where}")

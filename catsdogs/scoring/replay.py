"""Labelled photographs held out: of Kaggle's files those of MLE-bench, to compare scores; of others a tenth, drawn."""

from collections.abc import Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from catsdogs.cleaning import duplicates
from catsdogs.errors import TrainingError, UnknownNameError
from catsdogs.features import feature_file, joining
from catsdogs.features.feature_file import Features
from catsdogs.networks import choice, trained, weights

# MLE-bench (Chan et al. 2024, https://github.com/openai/mle-bench) says in its
# competitions/dogs-vs-cats-redux-kernels-edition/prepare.py which tenth of Kaggle's labelled files it grades on.
PROTOCOLS = ("mlebench",)
TEST_SHARE = 0.1
SPLIT_SEED = 0
MIN_ROWS = 11  # of which two are held out, the fewest that have a standard error
KAGGLES_FILES = {f"{name}.{number}" for name in ("cat", "dog") for number in range(12_500)}
BY_MLE_BENCH, DRAWN = " by MLE-bench's split", ", a seeded tenth"


@dataclass(frozen=True)
class _View(Features):
    """A feature file whose labelled rows are split anew.

    Attributes:
        rows: split -> which of the original's train rows are in it.
        is_mle_bench: whether the rows are those of MLE-bench's own split.
    """

    original: Features
    rows: dict[str, NDArray[np.intp]]
    is_mle_bench: bool

    def blocks(self, split: str, rows: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
        return self.original.blocks("train", self.rows[split][rows])


def hold_out(
    files: Sequence[Features], protocol: str, held_out: Collection[str] = ()
) -> tuple[list[Features], dict[str, str]]:
    """Views of feature files in which held-out labelled rows are the test rows, and by their ids the hidden classes.

    The test rows of the files themselves are in neither split. Photographs that cannot be read take part in the split,
    so that all others come to lie where they do for whoever can read them. On the labelled files of Dogs vs. Cats Redux
    the split is MLE-bench's; on any others it is drawn in its way, but that copies of a photograph stay on one side.

    Args:
        held_out: ids that were held out before, to hold them out again.

    Raises:
        UnknownNameError: no such protocol.
        TrainingError: too few labelled rows; a network that was trained here on what is to be hidden.
        StoreError: the files hold different rows.
    """
    if protocol not in PROTOCOLS:
        raise UnknownNameError("protocol", protocol, list(PROTOCOLS))
    joining.check_joinable(files)
    first = files[0]
    if len(first.labels) < MIN_ROWS:
        raise TrainingError(
            f"{first.path} has {len(first.labels)} labelled rows, too few to hold a tenth of them out",
            f"Extract the features of {MIN_ROWS} labelled photographs or more",
        )
    views = split(files, held_out or _drawn(first, () if _are_kaggles(first) else duplicates.find_copies(files)))
    for view in views:
        refuse_taught(view)
    hidden = np.isin(first.ids["train"], views[0].ids["test"])
    return views, dict(zip(first.ids["train"][hidden], np.array(first.classes)[first.labels[hidden]], strict=True))


def split(files: Sequence[Features], held_out: Collection[str]) -> list[Features]:
    """Views of feature files in which these labelled rows are the test rows; without any, those drawn row by row."""
    chosen = set(held_out) or _drawn(files[0], ())
    return [_split_anew(file, chosen, _are_kaggles(files[0])) for file in files]


def refuse_taught(file: Features) -> None:
    """A TrainingError for a network trained here that has learnt the label of a test row, which was held out."""
    name = file.name.partition("@")[0]
    if choice.is_pretrained(name) or file.recipe.weights in (feature_file.UNKNOWN, weights.RANDOM_WEIGHTS):
        return
    if file.recipe.is_made_elsewhere:  # what such vectors have seen is for who made them to know, see docs/vectors.md
        return
    if name not in trained.names():
        raise TrainingError(
            f"The network {name} is not in {trained.FOLDER}/, and may have learnt the labels to be hidden",
            f"Bring {trained.FOLDER / name} back, or leave {file.name} out of --backbones",
        )
    shown = set(file.digests["train"].tolist())  # of the same bytes, no hidden label need have been learnt
    learnt = trained.fold_of_digest(trained.FOLDER / name).keys() - shown
    taught = sum(digest in learnt for digest in file.digests["test"].tolist())
    if taught:
        raise TrainingError(
            f"The network {file.name} has learnt the labels of {taught:,} of the {len(file.ids['test']):,} photographs "
            "that are to be hidden, so no score on them would be honest",
            f"Leave {file.name} out of --backbones, or train it without these photographs",
        )


def to_remember(file: Features) -> tuple[str, ...]:
    """The ids of a view's test rows where copies moved some of them, so that `split` would not find them alone."""
    if not isinstance(file, _View):
        return ()
    held_out = file.ids["test"].tolist()
    plain = _drawn(file.original, ()) & set(file.original.ids["train"])
    return () if plain == set(held_out) else tuple(held_out)


def copies_learnt(view: Features) -> int:
    """How many test rows have the bytes of a train row, which MLE-bench's own split allows."""
    return int(np.isin(view.digests["test"], view.digests["train"]).sum()) if view.digests else 0


def protocol_in_words(file: Features) -> str:
    """How the test rows of a view were held out, to follow these words; empty for what is no view."""
    return (BY_MLE_BENCH if file.is_mle_bench else DRAWN) if isinstance(file, _View) else ""


def _labelled(first: Features) -> list[str]:
    """The ids of all labelled photographs, of those that cannot be read, too."""
    return [*first.ids["train"].tolist(), *(row.id for row in first.unreadable if row.split == "train")]


def _are_kaggles(first: Features) -> bool:
    """Whether the labelled photographs are all of Dogs vs. Cats Redux and no others."""
    return set(_labelled(first)) == KAGGLES_FILES


def _drawn(first: Features, copies: duplicates.Copies) -> set[str]:
    """The tenth that is held out; of copies the first one's name is drawn, and the others go with it."""
    from sklearn.model_selection import train_test_split

    # The names of Kaggle's files, of which `cat.1.jpg` precedes `cat.10.jpg`.
    leader = {id: min(f"{copy}.jpg" for copy in group) for group in copies for id in group}
    name_of = {id: leader.get(id, f"{id}.jpg") for id in _labelled(first)}
    drawn = set(train_test_split(sorted(set(name_of.values())), test_size=TEST_SHARE, random_state=SPLIT_SEED)[1])
    return {id for id, name in name_of.items() if name in drawn}


def _split_anew(file: Features, held_out: AbstractSet[str], is_mle_bench: bool) -> _View:
    is_test = np.array([id in held_out for id in file.ids["train"]])
    rows = {"train": np.flatnonzero(~is_test), "test": np.flatnonzero(is_test)}
    parts = {field.name: getattr(file, field.name) for field in fields(Features)}
    for name in ("ids", "digests", "topk_class", "topk_prob", "statistics"):
        if parts[name]:  # a file of an old notebook lacks most of them
            parts[name] = {split: parts[name]["train"][chosen] for split, chosen in rows.items()}
    parts["labels"] = file.labels[rows["train"]]
    parts["groups"] = file.groups[rows["train"]] if file.groups.size else file.groups
    parts["unreadable"] = tuple(row for row in file.unreadable if row.split == "train" and row.id not in held_out)
    return _View(**parts, original=file, rows=rows, is_mle_bench=is_mle_bench)

"""The vote on pets: a network votes against a photograph in which it sees no pet that should be there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catsdogs.cleaning.suspect_table import Doubt, Reason, label_of
from catsdogs.errors import StoreError, UsageError
from catsdogs.features import feature_file, joining
from catsdogs.features.feature_file import Features
from catsdogs.files import tables
from catsdogs.networks import imagenet

TOPK_FILE = "topk.csv"
NO_PET = "no pet"
PLAIN_PETS = ("cat", "dog")
_NAMED = 5


@dataclass(frozen=True)
class Ballots:
    """The ImageNet labels of all networks that have them, rows in the order of `first`.

    A vote means something only where a photograph should show a pet: in classes of which most photographs do. Other
    classes, such as the dingos among 120 breeds, or all classes of a data set of flowers, are not voted on. Nor are
    texts of several labels or of numbers, whatever they are called.

    Attributes:
        names: the networks.
        topk_class, topk_prob: split -> (networks, n, k) ImageNet index and probability, best first.
        expected: (1,000,) the labels that speak for a photograph, see `expected_labels`.
        of_pets: (classes,) whether a class is voted on: in half of its photographs or more the best label of a network
            is a pet. Classes that are all called cat or dog are taken at their word.
    """

    first: Features
    names: tuple[str, ...]
    topk_class: dict[str, NDArray[np.int16]]
    topk_prob: dict[str, NDArray[np.float32]]
    expected: NDArray[np.bool_]
    of_pets: NDArray[np.bool_]

    def voted_on(self, split: str) -> NDArray[np.bool_]:
        """(n,) whether a row is voted on: by its class, and in test as `votes_on_unlabelled` says."""
        if split == "train":
            return self.of_pets[self.first.labels]
        return np.full(len(self.first.ids[split]), self.votes_on_unlabelled)

    @property
    def votes_on_unlabelled(self) -> bool:
        """Whether photographs of unknown class are voted on: each class is, or is itself named after labels."""
        named = [bool(imagenet.named(name)) for name in self.first.classes]
        return self.is_about_pets and bool(np.all(self.of_pets | named))

    @property
    def is_about_pets(self) -> bool:
        """Whether any class is voted on; a data set without classes is."""
        return bool(self.of_pets.any()) or (not self.first.classes and self.first.task.has_classes)

    @property
    def without_vote(self) -> tuple[str, ...]:
        """The names of the classes that are not voted on."""
        return tuple(name for name, of_pets in zip(self.first.classes, self.of_pets, strict=True) if not of_pets)

    def votes(self, split: str) -> NDArray[np.int64]:
        """(n,) how many networks have no expected label among their top k; 0 of a row that is not voted on."""
        return np.count_nonzero(~self._is_expected(split).any(axis=2), axis=0) * self.voted_on(split)

    def unanimous(self, split: str) -> NDArray[np.bool_]:
        """(n,) whether every network votes against a row."""
        return self.voted_on(split) & (self.votes(split) == len(self.names))

    def strangeness(self, split: str) -> NDArray[np.float64]:
        """(n,) probability, in [0, 1], of the top-k labels that are not expected: the mean over the networks."""
        strange = self.topk_prob[split] * ~self._is_expected(split)
        return np.clip(strange.sum(axis=2, dtype=np.float64).mean(axis=0), 0, 1)

    def labels(self, split: str, row: int) -> dict[str, list[tuple[str, float]]]:
        """Network -> its top-k labels of one row with their probabilities."""
        tops = zip(self.topk_class[split][:, row].tolist(), self.topk_prob[split][:, row].tolist(), strict=True)
        named = [[(imagenet.labels()[label], prob) for label, prob in zip(*top, strict=True)] for top in tops]
        return dict(zip(self.names, named, strict=True))

    def labels_in_words(self, split: str, row: int, shown: int) -> dict[str, str]:
        """Network -> its first labels of one row: `tabby 0.81, Egyptian cat 0.10`."""
        labels = self.labels(split, row).items()
        return {name: ", ".join(f"{label} {share:.2f}" for label, share in best[:shown]) for name, best in labels}

    def _is_expected(self, split: str) -> NDArray[np.bool_]:
        return self.expected[self.topk_class[split]]


def expected_labels(classes: Sequence[str]) -> NDArray[np.bool_]:
    """(1,000,) the ImageNet labels that speak for a photograph: pets, and what one of its classes is named after."""
    expected = np.zeros(len(imagenet.labels()), bool)
    expected[list(imagenet.PETS.union(*(imagenet.named(name) for name in classes)))] = True
    return expected


def are_plain_pets(classes: Sequence[str]) -> bool:
    """Whether all classes are called cat or dog, in whatever spelling."""
    plain = {imagenet.named(name) for name in PLAIN_PETS}
    return bool(classes) and all(imagenet.named(name) in plain for name in classes)


def voters(files: Sequence[Features]) -> list[Features]:
    """The files that hold ImageNet labels; the others were written from weights without a classifier.

    Raises:
        StoreError: none does.
    """
    able = [file for file in files if file.topk_class]
    if not able:
        raise StoreError(
            f"No ImageNet labels in {', '.join(str(file.path) for file in files)}: the weights had no classifier",
            "Add networks that have one, such as `catsdogs features --backbones lite`, "
            "or write the features again from weights with their classifier",
        )
    return able


def check_votes(files: Sequence[Features], k: int, votes: int) -> None:
    """Refuse flags that ask for more labels or votes than there are; without a network that can vote, `votes` is idle.

    Raises:
        UsageError: `k` is not in 1..10, or `votes` not in 1..the number of networks that can vote.
    """
    able = sum(bool(file.topk_class) for file in files)
    if not 1 <= k <= imagenet.TOP_K:
        raise UsageError(f"-k {k}, and {imagenet.TOP_K} labels are kept", f"Give a number from 1 to {imagenet.TOP_K}")
    if able and not 1 <= votes <= able:
        raise UsageError(f"--votes {votes}, and {able} networks can vote", f"Give a number from 1 to {able}")


def collect_votes(files: Sequence[Features], k: int = imagenet.TOP_K, first: Features | None = None) -> Ballots:
    """The top `k` labels, as `check_votes` allows them, of all files that can vote, matched by id.

    Args:
        first: the file that gives the order of rows, else the first that can vote. With it, none need be able to vote.

    Raises:
        StoreError: no file has labels, or their rows differ.
    """
    able = voters(files) if first is None else [file for file in files if file.topk_class]
    first = first or able[0]
    joining.check_joinable([first, *able])
    topk_class, topk_prob = {}, {}
    for split in feature_file.SPLITS:
        shape = len(able), len(first.ids[split]), k
        topk_class[split], topk_prob[split] = np.empty(shape, np.int16), np.empty(shape, np.float32)
        for number, file in enumerate(able):
            rows = joining.rows_by_id(first, file, split)
            topk_class[split][number] = file.topk_class[split][rows, :k]
            topk_prob[split][number] = file.topk_prob[split][rows, :k]
    of_pets = _of_pets(first, topk_class["train"][:, :, 0])
    names = tuple(file.name for file in able)
    return Ballots(first, names, topk_class, topk_prob, expected_labels(first.classes), of_pets)


def _of_pets(first: Features, best: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(classes,) which classes are voted on, by (networks, n_train) best labels."""
    if not first.task.has_classes:
        return np.zeros(len(first.classes), bool)
    if are_plain_pets(first.classes):
        return np.ones(len(first.classes), bool)
    is_pet = np.isin(best, list(imagenet.PETS)).any(axis=0)
    count = len(first.classes)
    pets, rows = np.bincount(first.labels[is_pet], minlength=count), np.bincount(first.labels, minlength=count)
    return 2 * pets >= np.maximum(rows, 1)


def shortened(names: Sequence[str]) -> str:
    """The first names of classes, of which there may be many, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def find_no_pets(ballots: Ballots, least: int) -> Iterator[Doubt]:
    """A reason for each row against which at least `least` networks vote.

    Scored (votes - 1 + strangeness) / networks: more votes come first, and among equals the photographs whose networks
    are surest of something else.
    """
    networks = len(ballots.names)
    for split in feature_file.SPLITS if networks else ():
        votes, strangeness = ballots.votes(split), ballots.strangeness(split)
        for row in np.flatnonzero(votes >= least).tolist():
            score = (int(votes[row]) - 1 + float(strangeness[row])) / networks
            yield (split, row), Reason(score, f"{NO_PET}: {votes[row]} of {networks} networks")


def write_topk(path: Path, files: Sequence[Features], k: int = imagenet.TOP_K) -> None:
    """Every photograph's top `k` labels, a row for each network: split, id, label, network, label_1, probability_1, …

    Raises:
        StoreError: as `collect_votes`; or the table cannot be written.
    """
    ballots = collect_votes(files, k)
    ranks = [column for rank in range(1, k + 1) for column in (f"label_{rank}", f"probability_{rank}")]
    tables.write_table(path, ("split", "id", "label", "network", *ranks), _topk_rows(ballots))


def _topk_rows(ballots: Ballots) -> Iterator[tuple[str, ...]]:
    for split in feature_file.SPLITS:
        for row, id in enumerate(ballots.first.ids[split]):
            label = label_of(ballots.first, (split, row))
            for name, best in ballots.labels(split, row).items():
                yield (split, id, label, name, *(cell for word, share in best for cell in (word, f"{share:.4f}")))

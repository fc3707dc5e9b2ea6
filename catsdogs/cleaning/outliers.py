"""Who does not belong: no pet among ImageNet labels, doubted labels, odd pixels, copies -> a table of suspects."""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catsdogs.cleaning import duplicates, label_errors
from catsdogs.cleaning.duplicates import Place
from catsdogs.cleaning.suspect_table import Reason, _table
from catsdogs.errors import StoreError, UsageError
from catsdogs.features import feature_file, joining
from catsdogs.features.feature_file import Features
from catsdogs.networks import imagenet

TOPK_FILE = "topk.csv"

# Where a picture stops being a usable photograph. Of 2,000 photographs of Dogs vs. Cats, whose extremes stand behind
# each line, only a logo of 195 x 33 pixels falls below any of them.
MIN_SIDE = 40  # pixels of the shorter side; 59 for the smallest photograph
MIN_CONTRAST = 10.0  # grey levels of standard deviation; 18.3 for the flattest photograph
MIN_COLOURS = 16  # of 32³; 32 grey levels for a black-and-white photograph
MIN_SQUARENESS = 0.25  # shorter side by longer; 0.38 for the widest photograph
# J. W. Tukey, Exploratory Data Analysis (1977), calls what lies 3 interquartile ranges outside the quartiles "far out".
FENCE = 3.0

MAX_PIXEL_SCORE = 0.5  # a photograph may be odd and fine
NO_PET = "no pet"
PLAIN_PETS = ("cat", "dog")
LABEL_ERROR = "label error"
_BLOCK_ROWS = 4096
_NAMED = 5

# For each statistic that is odd when low: the reason's first words, the line, how a value reads.
_STATISTICS = (
    ("small", MIN_SIDE, "{:.0f} pixels at its shorter side"),
    ("near-uniform", MIN_CONTRAST, "a contrast of {:.1f} grey levels"),
    ("few colours", MIN_COLOURS, "{:.0f} of 32,768"),
    ("odd shape", MIN_SQUARENESS, "its shorter side is {:.2f} of the longer"),
)


@dataclass(frozen=True)
class Suspect:
    """A photograph with at least one reason against it.

    Attributes:
        label: name of its class, empty for a test row.
        votes: how many networks see no pet, of the `networks` that were asked; none are where it would tell nothing.
        labels: network -> its top-k labels with their probabilities, best first.
        reasons: strongest first.
    """

    split: str
    id: str
    label: str
    votes: int
    networks: int
    labels: Mapping[str, Sequence[tuple[str, float]]]
    reasons: tuple[Reason, ...]

    @property
    def score(self) -> float:
        """1 - Π(1 - score of a reason), in [0, 1]: reasons add up as independent doubts, none takes away."""
        return 1.0 - math.prod(1.0 - reason.score for reason in self.reasons)


@dataclass(frozen=True)
class Ballots:
    """The ImageNet labels of all networks that have them, rows in the order of `first`.

    A vote on what is no pet means something only of what should show one: a class of which most photographs do. The
    others, such as the dingos among 120 breeds, or all classes of a data set of flowers, are not voted on.

    Attributes:
        names: the networks.
        topk_class, topk_prob: split -> (networks, n, k) ImageNet index and probability, best first.
        at_home: (1,000,) the labels that speak for a photograph: pets, and whatever a class of the data set is named
            after.
        of_pets: (classes,) whether a class is voted on: in half of its photographs or more the best label of a network
            is a pet. Classes that are all called cat or dog are taken at their word.
    """

    first: Features
    names: tuple[str, ...]
    topk_class: dict[str, NDArray[np.int16]]
    topk_prob: dict[str, NDArray[np.float32]]
    at_home: NDArray[np.bool_]
    of_pets: NDArray[np.bool_]

    def asked(self, split: str) -> NDArray[np.bool_]:
        """(n,) whether a row is voted on; a test row is, where each class it may be of is, or is named after labels."""
        if split == "train":
            return self.of_pets[self.first.labels]
        return np.full(len(self.first.ids[split]), self.asks_of_all)

    @property
    def asks_of_all(self) -> bool:
        """Whether a photograph whose class is not known is voted on."""
        known = [bool(imagenet.named(name)) for name in self.first.classes]
        return self.is_about_pets and bool(np.all(self.of_pets | known))

    @property
    def is_about_pets(self) -> bool:
        """Whether any class is voted on; a data set without classes is."""
        return bool(self.of_pets.any()) or not self.first.classes

    @property
    def without_vote(self) -> tuple[str, ...]:
        """The names of the classes that are not voted on."""
        return tuple(name for name, is_asked in zip(self.first.classes, self.of_pets, strict=True) if not is_asked)

    def votes(self, split: str) -> NDArray[np.int64]:
        """(n,) how many networks have no label that is at home among their top k; 0 of a row that is not voted on."""
        return np.count_nonzero(~self._at_home(split).any(axis=2), axis=0) * self.asked(split)

    def unanimous(self, split: str) -> NDArray[np.bool_]:
        """(n,) whether every network votes against a row."""
        return self.asked(split) & (self.votes(split) == len(self.names))

    def strangeness(self, split: str) -> NDArray[np.float64]:
        """(n,) probability, in [0, 1], of the top-k labels that are not at home: the mean over the networks."""
        strange = self.topk_prob[split] * ~self._at_home(split)
        return np.clip(strange.sum(axis=2, dtype=np.float64).mean(axis=0), 0, 1)

    def labels(self, split: str, row: int) -> dict[str, list[tuple[str, float]]]:
        """Network -> its top-k labels of one row with their probabilities."""
        tops = zip(self.topk_class[split][:, row].tolist(), self.topk_prob[split][:, row].tolist(), strict=True)
        named = [[(imagenet.labels()[label], prob) for label, prob in zip(*top, strict=True)] for top in tops]
        return dict(zip(self.names, named, strict=True))

    def _at_home(self, split: str) -> NDArray[np.bool_]:
        return self.at_home[self.topk_class[split]]


def at_home(classes: Sequence[str]) -> NDArray[np.bool_]:
    """(1,000,) the ImageNet labels that speak for a photograph of these classes; see `Ballots`."""
    found = np.zeros(len(imagenet.labels()), bool)
    found[list(imagenet.PETS.union(*(imagenet.named(name) for name in classes)))] = True
    return found


def are_plain_pets(classes: Sequence[str]) -> bool:
    """Whether all classes are called cat or dog, in whatever spelling."""
    plain = {imagenet.named(name) for name in PLAIN_PETS}
    return bool(classes) and all(imagenet.named(name) in plain for name in classes)


def _of_pets(first: Features, best: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(classes,) which classes are voted on, by (networks, n_train) best labels."""
    if are_plain_pets(first.classes):
        return np.ones(len(first.classes), bool)
    is_pet = np.isin(best, list(imagenet.PETS)).any(axis=0)
    count = len(first.classes)
    seen, rows = np.bincount(first.labels[is_pet], minlength=count), np.bincount(first.labels, minlength=count)
    return 2 * seen >= np.maximum(rows, 1)


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


def collect_votes(files: Sequence[Features], k: int = imagenet.TOP_K) -> Ballots:
    """The top `k` labels of all files that can vote, matched by id.

    Raises:
        UsageError: `k` is not in 1..10.
        StoreError: no file has labels, or their rows differ.
    """
    able = voters(files)
    return _ballots(able[0], able, k)


def find_outliers(
    files: Sequence[Features],
    k: int = imagenet.TOP_K,
    votes: int = 1,
    quartiles: bool = False,
    out_of_fold: NDArray[np.floating] | None = None,
) -> list[Suspect]:
    """Every photograph with a reason against it, the most doubtful first; equals are ordered by split and id.

    Reasons, and their scores:
        no pet: of a photograph that should show a pet (see `Ballots`) at least `votes` networks have neither a dog
            breed or house cat nor a class of this data set among their top `k` labels. Scored (votes - 1 +
            strangeness) / networks, so that more votes come first and, among equals, the photographs whose networks
            are surest of something else.
        label error: a head believes in another class than the one given, scored as in `label_errors`.
        small, near-uniform, few colours, odd shape: a statistic below its line, scored (1 - value / line) / 2. With
            `quartiles` the line is Tukey's far-out fence of this data set, on a log scale, where that is higher.
        duplicate, two labels: the same bytes again, within train or between train and test; see `duplicates.same`.
        near-duplicate, two labels: what looks like the same picture again, with other bytes; see `duplicates.near`.

    Args:
        out_of_fold: (n_train, classes) probabilities by heads that did not learn from the row, rows and classes in the
            order of the first file. With them, no network need be able to vote.

    Raises:
        UsageError: `k` is not in 1..10, or `votes` not in 1..the number of networks that can vote; or more than
            200,000 photographs, and no faiss to compare them with.
        StoreError: their rows differ; or no file has labels, and there are no `out_of_fold` probabilities.
    """
    able = voters(files) if out_of_fold is None else [file for file in files if file.topk_class]
    # The richest file gives the order: one of an old notebook has no statistics and no digests.
    first = max(files, key=lambda file: bool(file.topk_class) + bool(file.statistics))
    ballots = _ballots(first, able, k)
    check_votes(files, k, votes)
    reasons = itertools.chain(
        _no_pets(ballots, votes) if able else (),
        _label_errors(first, files[0], out_of_fold) if out_of_fold is not None else (),
        _odd_pixels(first, quartiles) if first.statistics else (),
        _copies(duplicates.same(first)) if first.digests else (),
        _copies(duplicates.near(files, first)),
    )
    return _suspects(ballots, reasons)


def check_votes(files: Sequence[Features], k: int, votes: int) -> None:
    """Refuse what `find_outliers` would refuse of these flags; where no network can vote they say nothing.

    Raises:
        UsageError: `k` is not in 1..10, or `votes` not in 1..the number of networks that can vote.
    """
    able = sum(bool(file.topk_class) for file in files)
    if not 1 <= k <= imagenet.TOP_K:
        raise UsageError(f"-k {k}, and {imagenet.TOP_K} labels are kept", f"Give a number from 1 to {imagenet.TOP_K}")
    if able and not 1 <= votes <= able:
        raise UsageError(f"--votes {votes}, and {able} networks can vote", f"Give a number from 1 to {able}")


def summary(suspects: Sequence[Suspect], files: Sequence[Features]) -> str:
    """How many suspects for which reasons, and who could not vote, in a sentence or two."""
    able = [file.name for file in files if file.topk_class]
    mute = [file.name for file in files if not file.topk_class]
    kinds = Counter(reason.kind for suspect in suspects for reason in suspect.reasons)
    unanimous = _unanimous(suspects)
    counts = [
        f"{kind} {number:,}" + (f" ({unanimous:,} unanimous)" if kind == NO_PET else "")
        for kind, number in kinds.most_common()
    ]
    found = (
        f"{len(suspects):,} of {_photographs(files):,} photographs are suspect{': ' if counts else ''}"
        f"{', '.join(counts)}"
    )
    if not able:
        return f"{found}. No network could vote, for none has a classifier: {', '.join(mute)}."
    left_out = f"; no classifier, so no vote: {', '.join(mute)}" if mute else ""
    return f"{found}{_not_asked(suspects, files)}. Voted: {', '.join(able)}{left_out}."


def about_pets(suspects: Sequence[Suspect], files: Sequence[Features]) -> bool:
    """Whether there are photographs that should show a pet, and one or more networks see one in half of them or more.

    Else votes tell nothing.
    """
    if not any(file.topk_class for file in files):
        return False
    ballots = collect_votes(files)
    asked = sum(np.count_nonzero(ballots.asked(split)) for split in feature_file.SPLITS)
    return bool(0 < asked >= 2 * _unanimous(suspects))


def shortened(names: Sequence[str]) -> str:
    """The first names of a list that may be long, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _not_asked(suspects: Sequence[Suspect], files: Sequence[Features]) -> str:
    """What is said where votes count for some classes only, or for none."""
    ballots = collect_votes(files)
    if not ballots.is_about_pets:
        return "; no vote on pets, for these are not photographs of cats and dogs"
    if not about_pets(suspects, files):
        return "; in most no network sees a pet: these are not photographs of cats and dogs"
    if ballots.without_vote:
        return f"; no vote on pets among {shortened(ballots.without_vote)}, most of which show none"
    return ""


def _photographs(files: Sequence[Features]) -> int:
    return sum(len(files[0].ids[split]) for split in feature_file.SPLITS)


def _unanimous(suspects: Sequence[Suspect]) -> int:
    return sum(suspect.votes == suspect.networks > 0 for suspect in suspects)


def write_topk(path: Path, files: Sequence[Features], k: int = imagenet.TOP_K) -> None:
    """Every photograph's top `k` labels, a row for each network: split, id, label, network, label_1, probability_1, …

    Raises:
        UsageError, StoreError: as `collect_votes`.
    """
    ballots = collect_votes(files, k)
    names = np.array(imagenet.labels(), object)
    ranks = [column for rank in range(1, k + 1) for column in (f"label_{rank}", f"probability_{rank}")]
    with _table(path, ("split", "id", "label", "network", *ranks)) as table:
        for split in feature_file.SPLITS:
            for start in range(0, len(ballots.first.ids[split]), _BLOCK_ROWS):
                block = slice(start, start + _BLOCK_ROWS)
                classes = ballots.topk_class[split][:, block].swapaxes(0, 1)
                cells = np.empty((*classes.shape[:2], 2 * k), object)
                cells[:, :, 0::2] = names[classes]
                cells[:, :, 1::2] = np.char.mod("%.4f", ballots.topk_prob[split][:, block].swapaxes(0, 1))
                for row, tops in enumerate(cells.tolist(), start):
                    head = (split, ballots.first.ids[split][row], _label(ballots.first, split, row))
                    table.writerows((*head, name, *top) for name, top in zip(ballots.names, tops, strict=True))


def _ballots(first: Features, able: Sequence[Features], k: int) -> Ballots:
    """The top `k` labels of the files `able` to vote, which may be none, rows in the order of `first`."""
    check_votes(able, k, votes=1)
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
    return Ballots(first, tuple(file.name for file in able), topk_class, topk_prob, at_home(first.classes), of_pets)


def _suspects(ballots: Ballots, reasons: Iterable[tuple[Place, Reason]]) -> list[Suspect]:
    """The reasons joined per photograph, in the order of doubt."""
    found: dict[Place, list[Reason]] = defaultdict(list)
    for place, reason in reasons:
        found[place].append(reason)
    counts = {split: ballots.votes(split) for split in feature_file.SPLITS}
    asked = {split: ballots.asked(split) * len(ballots.names) for split in feature_file.SPLITS}
    suspects = [
        Suspect(
            split=split,
            id=str(ballots.first.ids[split][row]),
            label=_label(ballots.first, split, row),
            votes=int(counts[split][row]),
            networks=int(asked[split][row]),
            labels=ballots.labels(split, row),
            reasons=tuple(sorted(reasons, key=lambda reason: (-reason.score, reason.text))),
        )
        for (split, row), reasons in found.items()
    ]
    return sorted(suspects, key=lambda suspect: (-suspect.score, suspect.split, suspect.id))


def _no_pets(ballots: Ballots, votes: int) -> Iterator[tuple[Place, Reason]]:
    """A reason for each (split, row) in which at least `votes` networks see no pet."""
    networks = len(ballots.names)
    for split in feature_file.SPLITS:
        counts, strangeness = ballots.votes(split), ballots.strangeness(split)
        for row in np.flatnonzero(counts >= votes).tolist():
            score = (int(counts[row]) - 1 + float(strangeness[row])) / networks
            yield (split, row), Reason(score, f"{NO_PET}: {counts[row]} of {networks} networks")


def _label_errors(
    first: Features, judged: Features, out_of_fold: NDArray[np.floating]
) -> Iterator[tuple[Place, Reason]]:
    """A reason for each train row of `first` whose label is doubted; the probabilities are in the order of `judged`."""
    rows = joining.rows_by_id(first, judged, "train")
    probabilities = out_of_fold[rows]
    for row, score in label_errors.find_label_errors(probabilities, judged.labels[rows]).items():
        best = int(probabilities[row].argmax())
        believed = f"{judged.classes[best]} {probabilities[row, best]:.3f}"
        yield ("train", row), Reason(score, f"{LABEL_ERROR}: out of fold, {believed}")


def _odd_pixels(file: Features, quartiles: bool) -> Iterator[tuple[Place, Reason]]:
    """A reason for each statistic of a (split, row) that lies below its line."""
    places = [(split, row) for split in feature_file.SPLITS for row in range(len(file.ids[split]))]
    width, height, contrast, colours = np.concatenate([file.statistics[split] for split in feature_file.SPLITS]).T
    short, long = np.minimum(width, height), np.maximum(width, height)
    for (kind, line, form), values in zip(
        _STATISTICS, (short, contrast, colours, short / np.maximum(long, 1)), strict=True
    ):
        lowest = max(line, _far_out_below(values)) if quartiles else line
        for index in np.flatnonzero(values < lowest).tolist():
            value = float(values[index])
            score = MAX_PIXEL_SCORE * (1 - value / lowest)
            yield places[index], Reason(score, f"{kind}: {form.format(value)}, below {lowest:.4g}")


def _far_out_below(values: NDArray[np.float32]) -> float:
    """Tukey's lower outer fence on a log scale, since sizes and counts spread by ratios; 0 if nothing spreads."""
    if not values.size:
        return 0.0
    first, third = np.quantile(np.log(np.maximum(values, 1e-3)), (0.25, 0.75))
    return float(np.exp(first - FENCE * (third - first))) if third > first else 0.0


def _copies(copied: Iterable[duplicates.Copied]) -> Iterator[tuple[Place, Reason]]:
    for place, score, text in copied:
        yield place, Reason(score, text)


def _label(file: Features, split: str, row: int) -> str:
    return file.classes[file.labels[row]] if split == "train" else ""

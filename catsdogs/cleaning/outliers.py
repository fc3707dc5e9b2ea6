"""Who does not belong: what all kinds of doubt find in the photographs, gathered into suspects."""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from catsdogs.cleaning import belief, duplicates, knn_outliers, label_errors, oddities
from catsdogs.cleaning.suspect_table import Doubt, Place, Reason, Suspect, label_of
from catsdogs.cleaning.votes import (
    NO_PET,
    Ballots,
    check_votes,
    collect_votes,
    find_no_pets,
    shortened,
    voters,
)
from catsdogs.features import feature_file
from catsdogs.features.feature_file import Features
from catsdogs.features.neighbours import Crowd
from catsdogs.networks import imagenet

SHOWN_LABELS = 3  # of each network; `votes.write_topk` writes all


def find_outliers(
    files: Sequence[Features],
    k: int = imagenet.TOP_K,
    votes: int = 1,
    quartiles: bool = False,
    out_of_fold: NDArray[np.floating] | None = None,
    pairs: duplicates.Pairs | None = None,
    crowd: Crowd | None = None,
    doubt: float = label_errors.DOUBT,
    decided: Mapping[str, bool] = MappingProxyType({}),
) -> list[Suspect]:
    """Every photograph with a reason against it, ordered and scored as `belief.rank` does.

    Each kind of reason is explained where it is found:
        no pet: `votes.find_no_pets`, of at least `votes` networks by their top `k` labels.
        far from all others: `knn_outliers.find_knn_outliers`, where no network votes on pets.
        label error, number far off: `label_errors.find_doubted_labels`.
        small, near-uniform, few colours, odd shape: `oddities.find_odd_pixels`, with or without `quartiles`.
        duplicate, two labels: `duplicates.find_same_bytes`.
        near-duplicate, two labels: `duplicates.find_near_copies`.

    Args:
        out_of_fold: (n_train, columns) predictions by heads that did not learn from the row, rows and columns in the
            order of the first file. With them, no network need be able to vote.
        pairs, crowd: as `duplicates.find_copies` and `find_pairs` take them, rows as in the first file.
        doubt: from which score on a class is doubted, see `label_errors.find_doubted_labels`.
        decided: as `belief.rank` takes them.

    Raises:
        UsageError: as `votes.check_votes`; or more than 200,000 photographs, and no faiss to compare them with.
        StoreError: their rows differ; or no file has labels, and there are no `out_of_fold` predictions.
    """
    if out_of_fold is None:
        voters(files)  # raises where there are none
    # The richest file gives the order: one of an old notebook has no statistics and no digests.
    first = max(files, key=lambda file: bool(file.topk_class) + bool(file.statistics))
    check_votes(files, k, votes)
    ballots = collect_votes(files, k, first)
    crowd, pairs = _compared(files, first, crowd, pairs)
    found = itertools.chain(
        find_no_pets(ballots, votes),
        () if ballots.names and ballots.is_about_pets else knn_outliers.find_knn_outliers(crowd, first),
        label_errors.find_doubted_labels(first, files[0], out_of_fold, doubt) if out_of_fold is not None else (),
        oddities.find_odd_pixels(first, quartiles),
        duplicates.find_same_bytes(first),
        duplicates.find_near_copies(files, first, pairs),
    )
    suspects = _gather(ballots, found)
    doubted, far = doubts(suspects, first, files[0], out_of_fold), distances(suspects, first, crowd)
    return belief.rank(suspects, belief.weigh(suspects, doubted, far), decided)


def doubts(
    suspects: Sequence[Suspect], first: Features, judged: Features, out_of_fold: NDArray[np.floating] | None
) -> NDArray[np.float64]:
    """(n,) the doubt of each suspect's label, see `label_errors.doubt_of`; NaN of rows that no head judged."""
    if out_of_fold is None:
        return np.full(len(suspects), np.nan)
    doubt_of = dict(zip(first.ids["train"], label_errors.doubt_of(first, judged, out_of_fold).tolist(), strict=True))
    return np.array([doubt_of.get(one.id, np.nan) if one.split == "train" else np.nan for one in suspects], float)


def distances(suspects: Sequence[Suspect], first: Features, crowd: Crowd | None) -> NDArray[np.float64]:
    """(n,) how far off each suspect lies, see `knn_outliers.deviations`; 0 of rows that `first` does not have."""
    row_of = {split: {id: row for row, id in enumerate(first.ids[split])} for split in feature_file.SPLITS}
    rows = np.array([row_of[one.split].get(one.id, -1) for one in suspects], np.int64)
    far, known = np.zeros(len(rows)), np.flatnonzero(rows >= 0)
    asked = [(suspects[number].split, int(rows[number])) for number in known.tolist()]
    far[known] = knn_outliers.deviations(crowd, first, asked)
    return far


def _compared(
    files: Sequence[Features], first: Features, crowd: Crowd | None, pairs: duplicates.Pairs | None
) -> tuple[Crowd | None, duplicates.Pairs]:
    """The rows of `first` compared, and their near-copies: what was given if its order is that, else found anew."""
    if first is not files[0]:
        crowd = pairs = None
    crowd = crowd or duplicates.crowd_of(files, first)
    return crowd, duplicates.find_pairs(files, first, crowd=crowd) if pairs is None else pairs


def _gather(ballots: Ballots, doubts: Iterable[Doubt]) -> list[Suspect]:
    """The suspects with all their reasons, not yet scored."""
    reasons_of: dict[Place, list[Reason]] = defaultdict(list)
    for place, reason in doubts:
        reasons_of[place].append(reason)
    for reasons in reasons_of.values():
        reasons.sort(key=lambda reason: (-reason.score, reason.text))
    votes = {split: ballots.votes(split) for split in feature_file.SPLITS}
    networks = {split: ballots.voted_on(split) * len(ballots.names) for split in feature_file.SPLITS}
    return [
        Suspect(
            split=split,
            id=str(ballots.first.ids[split][row]),
            label=label_of(ballots.first, (split, row)),
            score=math.nan,
            votes=int(votes[split][row]),
            networks=int(networks[split][row]),
            labels=ballots.labels_in_words(split, row, SHOWN_LABELS),
            reasons=tuple(reasons),
        )
        for (split, row), reasons in reasons_of.items()
    ]


def summary(suspects: Sequence[Suspect], files: Sequence[Features]) -> str:
    """How many suspects for which reasons, and which networks could not vote, in a sentence or two."""
    able = [file.name for file in files if file.topk_class]
    mute = [file.name for file in files if not file.topk_class]
    kinds = Counter(kind for suspect in suspects for kind in suspect.kinds)
    unanimous = _unanimous(suspects)
    counts = [
        f"{kind} {number:,}" + (f" ({unanimous:,} unanimous)" if kind == NO_PET else "")
        for kind, number in kinds.most_common()
    ]
    photographs = sum(len(files[0].ids[split]) for split in feature_file.SPLITS)
    counted = f"{len(suspects):,} of {photographs:,} photographs are suspect{': ' if counts else ''}{', '.join(counts)}"
    if not files[0].task.has_classes:
        return f"{counted}."
    if not able:
        return f"{counted}. No network could vote, for none has a classifier: {', '.join(mute)}."
    left_out = f"; no classifier, so no vote: {', '.join(mute)}" if mute else ""
    return f"{counted}{_not_voted_on(suspects, files)}. Voted: {', '.join(able)}{left_out}."


def about_pets(suspects: Sequence[Suspect], files: Sequence[Features]) -> bool:
    """Whether votes tell something: photographs should show pets, and in half of them or more a network sees one."""
    if not any(file.topk_class for file in files):
        return False
    ballots = collect_votes(files)
    voted_on = sum(np.count_nonzero(ballots.voted_on(split)) for split in feature_file.SPLITS)
    return bool(0 < voted_on >= 2 * _unanimous(suspects))


def _not_voted_on(suspects: Sequence[Suspect], files: Sequence[Features]) -> str:
    """The part of the summary on classes that are not voted on; empty if all are."""
    ballots = collect_votes(files)
    if not ballots.is_about_pets:
        return "; no vote on pets, for these are not photographs of cats and dogs"
    if not about_pets(suspects, files):
        return "; in most no network sees a pet: these are not photographs of cats and dogs"
    if ballots.without_vote:
        return f"; no vote on pets among {shortened(ballots.without_vote)}, most of which show none"
    return ""


def _unanimous(suspects: Sequence[Suspect]) -> int:
    return sum(suspect.votes == suspect.networks > 0 for suspect in suspects)

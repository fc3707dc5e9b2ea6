"""Which folders are splits of a data set, such as training_set/ and test_set/, and which are classes of similar names.

A folder whose name contains the word for a split is a split, whatever stands around that word. Folders beside it can
show that it is a class instead: `train` beside `bus` and `car`, `training_shoes` beside `boots`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from catsdogs.errors import DatasetError
from catsdogs.photographs.names import common_folder

TRAIN, TEST, THIRD = "train", "test", "third"
_ROLES = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("test", "testing"), TEST),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "eval", "evaluation", "holdout"), THIRD),
}
# Words beside such a word that name no class.
_PLAIN_WORDS = {
    "set", "sets", "data", "dataset", "split", "folder", "file", "files", "image", "images", "img", "imgs",
    "photo", "photos", "picture", "pictures", "pic", "pics", "jpg", "jpeg", "png",
}  # fmt: skip
_SEAMS = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ROLE_WORD, _PLAIN_WORD = ("|".join(sorted(words, key=len, reverse=True)) for words in (_ROLES, _PLAIN_WORDS))
_JOINED = re.compile(rf"({_ROLE_WORD})({_ROLE_WORD}|{_PLAIN_WORD})|({_PLAIN_WORD})({_ROLE_WORD})")


class SplitName(NamedTuple):
    """The split that a folder's name contains, and the other words in it, such as `seg` in seg_train."""

    role: str
    rest: tuple[str, ...]


class Placement(NamedTuple):
    """Where a photograph lies: in a split or, with no role, in none.

    Attributes:
        folder: the split's folder, with its slash; without a split, the folder that all photographs share.
        below: the rest of the path, without folders that only repeat the split.
    """

    role: str | None
    folder: str
    below: str


_Placements = dict[str, Placement]  # by name
_Folders = Mapping[str, list[str]]  # folder -> the names in it


def split_of(folder: str) -> SplitName | None:
    """The split in a folder's name, if there is one; `train_val` is for training, `train_test` is neither."""
    words = _words_in(folder)
    roles = {_ROLES[word] for word in words if word in _ROLES}
    if not roles or {TRAIN, TEST} <= roles:
        return None
    role = next(role for role in (TRAIN, TEST, THIRD) if role in roles)
    return SplitName(
        role, tuple(word for word in words if word not in _ROLES and word not in _PLAIN_WORDS and not word.isdigit())
    )


def placements(names: Sequence[str], root: str = ".", has_table: bool = False) -> dict[str, Placement]:
    """The placement of each photograph.

    Raises:
        DatasetError: folders that may be splits or classes. With a label table they count as no splits instead.
    """
    # All photographs of a folder have one placement. A few of them show which: one for each label in their names.
    folders = [name[: name.rfind("/") + 1] for name in names]
    some = {(folder, label_before_dot(name)): name for folder, name in zip(folders, names, strict=True)}
    placed: _Placements = {}
    try:
        _descend(list(some.values()), "", None, root, placed)
    except DatasetError:
        if not has_table:
            raise
        prefix = common_folder(names)
        return {name: Placement(None, prefix, name.removeprefix(prefix)) for name in names}
    of_folder = {
        folder: placed[name]._replace(below=placed[name].below.removesuffix(name[len(folder) :]))
        for (folder, _), name in some.items()
    }
    return {
        name: Placement(place.role, place.folder, place.below + name[len(folder) :])
        for folder, name in zip(folders, names, strict=True)
        for place in (of_folder[folder],)
    }


def is_plain(folder: str) -> bool:
    """Whether a folder's name says nothing but that there are photographs, as `images` does."""
    words = _words_in(folder)
    return bool(words) and _PLAIN_WORDS.issuperset(words)


def named_splits(folders: Iterable[str]) -> dict[str, SplitName]:
    """The folders whose names contain a split."""
    return {folder: split for folder in folders if (split := split_of(folder))}


def paired_splits(folders: Iterable[str]) -> dict[str, SplitName]:
    """The folders whose names differ by the split alone: seg_train and seg_test, training set and Test."""
    splits = named_splits(folders)
    roles: dict[tuple[str, ...], set[str]] = {}
    for split in splits.values():
        roles.setdefault(split.rest, set()).add(split.role)
    return {folder: split for folder, split in splits.items() if len(roles[split.rest]) > 1}


def label_before_dot(name: str) -> str | None:
    """`cat` for `train/cat.0.jpg`, and for `train/cat.0`."""
    label, _, rest = name[name.rfind("/") + 1 :].partition(".")
    number, _, suffix = rest.rpartition(".")
    return label if label and ((number and suffix) or rest.isdecimal()) else None


def _words_in(folder: str) -> list[str]:
    words = map(str.lower, re.split(r"[\W_]+", _SEAMS.sub(" ", folder)))
    parts = (match.groups() if (match := _JOINED.fullmatch(word)) else (word,) for word in words)
    return [part for several in parts for part in several if part]


def _by_folder(names: Iterable[str], start: str) -> dict[str, list[str]]:
    """The names under each folder in the folder `start`, and under "" those of files that lie there themselves."""
    inside: dict[str, list[str]] = {}
    for name in names:
        inside.setdefault(name[len(start) :].rpartition("/")[0].partition("/")[0], []).append(name)
    return inside


def _only_folder(names: Iterable[str], start: str) -> str:
    """The folder in the folder `start`, if there is nothing else in it."""
    tops = _by_folder(names, start)
    return next(iter(tops)) if len(tops) == 1 else ""


def _descend(names: Sequence[str], prefix: str, within: Placement | None, root: str, placed: _Placements) -> None:
    """Go down from the folder `prefix` to where it branches, and place all photographs; `within` is its split."""
    while folder := _only_folder(names, prefix):
        split = split_of(folder)
        prefix += f"{folder}/"
        if split and not split.rest and within is None:
            within = Placement(split.role, prefix, prefix)
        elif within and split and split.role == within.role:
            within = within._replace(below=prefix)
    tops = _by_folder(names, prefix)
    tops.pop("", None)
    chosen = _choose_splits(tops, prefix, within, root)
    _place(names, within if within and not chosen else Placement(None, prefix, prefix), placed)
    for folder, split in chosen.items():
        start = f"{prefix}{folder}/"
        _descend_into_split(tops[folder], Placement(split.role, start, start), root, placed)
    if not chosen and within is None:
        _descend_deeper(tops, prefix, root, placed)


def _place(names: Iterable[str], within: Placement, placed: _Placements) -> None:
    """Place photographs in a split, or in none, where `below` is the part of their paths that all have."""
    placed.update((name, within._replace(below=name[len(within.below) :])) for name in names)


def _descend_deeper(tops: _Folders, prefix: str, root: str, placed: _Placements) -> None:
    """Place photographs whose splits lie in each class, as in cats/train/ and dogs/train/, or in one folder alone."""
    have = [folder for folder, names in tops.items() if _branches_into_splits(names, f"{prefix}{folder}/")]
    for folder in have:
        _descend(tops[folder], f"{prefix}{folder}/", None, root, placed)
    inside = [place.below for folder in have for name in tops[folder] if (place := placed[name]).role]
    is_in_each = len(have) == len(tops) > 1 and not any("/" in below or label_before_dot(below) for below in inside)
    if is_in_each:
        for folder, names in tops.items():
            placed.update((name, placed[name]._replace(below=f"{folder}/{placed[name].below}")) for name in names)
    elif have and len(tops) > 1:
        other = next(folder for folder in tops if folder != have[0])
        raise DatasetError(
            f"{root}: {prefix}{have[0]}/ holds splits, and there is {prefix}{other}/ beside it",
            f"Give --data the folder with the splits, such as {root}/{prefix}{have[0]}",
        )


def _branches_into_splits(names: Sequence[str], start: str) -> bool:
    """Whether a folder, where it first branches, branches into splits."""
    while True:
        tops = _by_folder(names, start)
        tops.pop("", None)
        if len(tops) != 1:
            return bool(paired_splits(tops))
        ((folder, names),) = tops.items()
        start += f"{folder}/"


def _descend_into_split(names: Sequence[str], split: Placement, root: str, placed: _Placements) -> None:
    """Place photographs within a split: past folders that repeat it or name nothing, and into splits of its own."""
    start = split.below
    while (folder := _only_folder(names, start)) and _is_wrapper(folder, names, start, split):
        start += f"{folder}/"
    if paired_splits(_by_folder(names, start)):
        _descend(names, start, split, root, placed)
    else:
        _place(names, split._replace(below=start), placed)


def _is_wrapper(folder: str, names: Sequence[str], start: str, split: Placement) -> bool:
    """Whether the only folder in a split is no class: its name repeats the split, or file names in it carry labels."""
    inner = split_of(folder)
    if (inner and inner.role == split.role) or _PLAIN_WORDS.issuperset(_words_in(folder)):
        return True
    folders, differ = _classes_inside(names, f"{start}{folder}/")
    return differ and not folders


def _choose_splits(tops: _Folders, prefix: str, within: Placement | None, root: str) -> dict[str, SplitName]:
    """Which of the folders side by side are splits."""
    named = named_splits(tops)
    chosen = paired_splits(tops)
    paired = bool(chosen)
    inside = {folder: _classes_inside(names, f"{prefix}{folder}/") for folder, names in tops.items()}
    others = [folder for folder in tops if folder not in named]
    doubted = []
    for folder, split in named.items():
        if folder in chosen:
            continue
        classes, labels = inside[folder]
        if split.rest:
            is_split = bool(classes or labels) and not any(inside[other][0] for other in others)
            if not is_split and not others and not paired:
                doubted.append(folder)
        elif split.role == TEST or not others or paired:
            is_split = True
        elif split.role == THIRD:
            is_split = bool(labels or classes & (set(others) | {name for other in others for name in inside[other][0]}))
        else:
            is_split = bool(classes or labels)
            if classes and any(inside[other][0] for other in others):
                doubted.append(folder)
        if is_split:
            chosen[folder] = split
    if doubted and len(tops) > 1 and not within:
        both = sorted(tops, key=lambda folder: (folder not in doubted, folder))
        raise DatasetError(
            f"{root}: the folders {', '.join(f'{folder}/' for folder in both[:3])}{' …' if len(both) > 3 else ''} "
            "may be splits or classes",
            "Call splits train/ and test/; put classes into a folder train/",
        )
    return chosen


def _classes_inside(names: Sequence[str], start: str) -> tuple[set[str], bool]:
    """The folders in a folder, and whether the names of its photographs carry different labels."""
    folders = _by_folder(names, start).keys() - {""}
    labels = {label_before_dot(name) for name in names}
    return folders, None not in labels and len(labels) > 1

"""ImageNet's 1,000 labels: which of them are dogs and house cats, and which a class of a data set may mean."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

# ILSVRC-2012's order, sorted by WordNet id: n02085620 Chihuahua to n02113978 Mexican hairless are the dog breeds,
# n02123045 tabby to n02124075 Egyptian cat the house cats. Wild dogs (269-275) and wild cats (286-293) are no pets.
DOGS = range(151, 269)
CATS = range(281, 286)
PETS = frozenset((*DOGS, *CATS))
IMAGENET_CLASSES = 1000
TOP_K = 10  # of each photograph so many most probable labels are kept
# Numbers of labels of the classifiers that vote: ImageNet-1k's own, and those of its larger sets whose synsets timm has
# (timm/data/imagenet_info.py): 21k of MIIL's, 12k, 22k, 22k in Microsoft's order, 21k of Google's.
VOTING_HEADS = frozenset((IMAGENET_CLASSES, 11221, 11821, 21841, 21842, 21843))
# WordNet 3.0: domestic dog to Mexican hairless, and domestic cat to Manx. Of these synsets ImageNet-1k has 123.
_DOG_SYNSETS, _CAT_SYNSETS = ("n02084071", "n02113978"), ("n02121808", "n02124484")


class OtherHead(NamedTuple):
    """How the labels of a larger classifier become the 1,000.

    Attributes:
        own: for each of the 1,000 its place among the classifier's labels, or -1.
        dogs, cats: the places of labels that are dogs, or house cats, and none of the 1,000, such as `poodle`.
    """

    own: tuple[int, ...]
    dogs: tuple[int, ...]
    cats: tuple[int, ...]


@cache
def labels() -> tuple[str, ...]:
    """The 1,000 label names, each the first lemma of its synset; `labels()[281]` is `tabby`."""
    return tuple(line.split(" ", 1)[1] for line in _synset_lines())


@cache
def wordnet_ids() -> tuple[str, ...]:
    """The 1,000 WordNet ids, such as `n02123045`."""
    return tuple(line.split(" ", 1)[0] for line in _synset_lines())


def other_head(synsets: Sequence[str]) -> OtherHead:
    """How a classifier of these WordNet ids, in its order, votes on the 1,000 labels."""
    places = {synset: place for place, synset in enumerate(synsets)}
    further = [(synset, place) for synset, place in places.items() if synset not in set(wordnet_ids())]
    dogs, cats = (
        tuple(place for synset, place in further if first <= synset <= last)
        for first, last in (_DOG_SYNSETS, _CAT_SYNSETS)
    )
    return OtherHead(tuple(places.get(synset, -1) for synset in wordnet_ids()), dogs, cats)


@cache
def named(name: str) -> frozenset[int]:
    """The labels that the name of a class means, in whatever spelling; empty for a name that ImageNet does not know.

    `African_hunting_dog`, `africanHuntingDog`, `n02116738-African_hunting_dog` and `n02116738` are one label. A name
    that is no label means all labels that end in its last word: `grey_wolf` and `wolves` are the three wolves. If some
    of these labels are pets, only they are meant: a `dog` is no African hunting dog.
    """
    ids = [label for label, id in enumerate(wordnet_ids()) if id in name.lower()]
    if ids:
        return frozenset(ids)
    words = _words_of(name)
    if not words:
        return frozenset()
    whole, last = _singulars("".join(words)), _singulars(words[-1])
    exact = frozenset(label for label, text in enumerate(labels()) if "".join(_words_of(text)) in whole)
    if exact:
        return exact
    ending = frozenset(label for label, text in enumerate(labels()) if _words_of(text)[-1] in last)
    return ending & PETS or ending


@cache
def _words_of(text: str) -> tuple[str, ...]:
    """The words of a name, without case, accents and signs. A capital letter after a small one begins a word."""
    plain = unicodedata.normalize("NFKD", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text))
    return tuple(re.findall(r"[^\W_]+", "".join(sign for sign in plain if not unicodedata.combining(sign)).casefold()))


def _singulars(word: str) -> set[str]:
    """A word, and the words that it may be the plural of."""
    endings = (("s", ""), ("es", ""), ("ves", "f"), ("ies", "y"))
    return {word, *(word.removesuffix(many) + one for many, one in endings if word.endswith(many))}


def _synset_lines() -> list[str]:
    return files("catsdogs.networks").joinpath("imagenet.txt").read_text(encoding="utf-8").splitlines()

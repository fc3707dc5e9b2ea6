"""ImageNet's 1,000 labels, and which of them are dogs and house cats."""

from functools import cache
from importlib.resources import files

# ILSVRC-2012's order, sorted by WordNet id: n02085620 Chihuahua to n02113978 Mexican hairless are the dog breeds,
# n02123045 tabby to n02124075 Egyptian cat the house cats. Wild dogs (269-275) and wild cats (286-293) are no pets.
DOGS = range(151, 269)
CATS = range(281, 286)
PETS = frozenset((*DOGS, *CATS))


@cache
def labels() -> tuple[str, ...]:
    """The 1,000 label names, each the first lemma of its synset; `labels()[281]` is `tabby`."""
    return tuple(line.split(" ", 1)[1] for line in _lines())


@cache
def wordnet_ids() -> tuple[str, ...]:
    """The 1,000 WordNet ids, such as `n02123045`."""
    return tuple(line.split(" ", 1)[0] for line in _lines())


def _lines() -> list[str]:
    return files("catsdogs").joinpath("synsets.txt").read_text(encoding="utf-8").splitlines()

"""The tricks for training a network, by their standard names; docs/tricks.md says what each does, and when it helps."""

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.networks.choice import split_names

TRICKS = (
    "warmup",
    "lr-scaling",
    "cosine",
    "label-smoothing",
    "mixup",
    "cutmix",
    "ricap",
    "cutout",
    "random-erasing",
    "randaugment",
    "random-crop",
    "flip",
    "rotation",
    "colour",
    "pca-noise",
    "dropout",
    "l1",
    "l2",
    "batch-norm",
    "early-stopping",
    "glorot",
    "he",
    "adabound",
)
"""In the order in which they are listed and numbered: the number is part of what a trick draws from."""

MIXING = ("mixup", "cutmix", "ricap")
"""Tricks that mix photographs; where several are chosen, each batch takes one of them at random."""


def parse_tricks(text: str) -> tuple[str, ...]:
    """The names in a list such as "mixup,cosine": in table order, each once; an empty text names none.

    Raises:
        UnknownNameError: a name that is not in the table.
        UsageError: two ways to draw the first weights, or distillation, which is a command.
    """
    names = set(split_names(text))
    if any("distil" in name.lower() for name in names):
        raise UsageError(
            "Distillation is a command of its own, no trick",
            "Train a run with `catsdogs train --name RUN`, then give `catsdogs distill --teacher RUN`",
        )
    for name in sorted(names.difference(TRICKS)):
        raise UnknownNameError("trick", name, list(TRICKS))
    if {"glorot", "he"} <= names:
        raise UsageError("The tricks glorot and he both draw the first weights", "Choose one of the two")
    return tuple(name for name in TRICKS if name in names)

"""The hyperparameters of training a network, their defaults, and which of them fit which network."""

import math
from dataclasses import dataclass

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.features.folds import MAX_SEED
from catsdogs.finetuning.tricks import MIXING, TRICKS, parse_tricks
from catsdogs.networks import choice
from catsdogs.networks.table import SMALL, SMALLEST_INPUT

SCRATCH_EPOCHS, SCRATCH_RATE = 50, 3e-4  # at 1e-3 four-conv with dropout stays at chance on 1,280 photographs
PRETRAINED_EPOCHS, PRETRAINED_RATE = 5, 5e-5
DEFAULT_BATCH_SIZE = 32
"""The batch size for which learning rates are given, Keras's default. Goyal et al. 2017 take 256, for which their rate
of 0.1 was tuned; any reference will do, so long as it is the batch size with which the rate was found."""
SIAMESE = "siamese-cnn"
SCRATCH_ONLY = ("batch-norm", "glorot", "he")
LAST_BLOCK, EVERYTHING, NOTHING = "last-block", "all", "none"
UNFREEZE = (LAST_BLOCK, EVERYTHING, NOTHING)


@dataclass(frozen=True)
class Hyperparameters:
    """What a training depends on besides its photographs; see `trained.Card` for what the fields are."""

    base: str
    input_size: int
    unfreeze: str
    tricks: tuple[str, ...]
    epochs: int
    batch_size: int
    rate: float
    seed: int

    @property
    def from_scratch(self) -> bool:
        """Whether the base is one of `architectures.small`, without pretrained weights."""
        return self.base in SMALL

    @property
    def learns_from_pairs(self) -> bool:
        """Whether it learns which photographs show the same class; all others learn the classes."""
        return self.base == SIAMESE


def complete_hyperparameters(
    base: str,
    tricks: str = "",
    unfreeze: str | None = None,
    input_size: int | None = None,
    epochs: int | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    rate: float | None = None,
    seed: int = 0,
    weights_dir: str | None = None,
) -> Hyperparameters:
    """The hyperparameters given, the others as usual for the kind of network, checked.

    `weights_dir` is a folder in which KerasHub's presets are looked for first.

    Raises:
        UnknownNameError, UsageError: no such network, trick or choice, or a number that cannot be used.
        WeightsError: KerasHub's preset is not there, or damaged.
    """
    row = choice.to_train(base, weights_dir, input_size or 0)
    if unfreeze not in (None, *UNFREEZE):
        raise UnknownNameError("choice for --unfreeze", unfreeze, list(UNFREEZE))
    from_scratch = base in SMALL
    if from_scratch and unfreeze not in (None, EVERYTHING):
        raise UsageError(f"{base} starts from random weights, so all of it learns", "Leave --unfreeze out")
    chosen = applicable_tricks(base, tricks)
    if "lr-scaling" in chosen and batch_size == DEFAULT_BATCH_SIZE:
        raise UsageError(
            f"A batch of {batch_size} is what learning rates are given for, so lr-scaling would do nothing",
            "Give another --batch-size, or leave it out of --tricks",
        )
    usual = (SCRATCH_EPOCHS, SCRATCH_RATE) if from_scratch else (PRETRAINED_EPOCHS, PRETRAINED_RATE)
    completed = Hyperparameters(
        base,
        row.input_size if input_size is None else input_size,
        unfreeze or (EVERYTHING if from_scratch else LAST_BLOCK),
        chosen,
        usual[0] if epochs is None else epochs,
        batch_size,
        usual[1] if rate is None else rate,
        seed,
    )
    _check_numbers(completed)
    return completed


def _check_numbers(given: Hyperparameters) -> None:
    if not 0 <= given.seed <= MAX_SEED:
        raise UsageError(f"The seed {given.seed}", f"Give --seed a number from 0 to {MAX_SEED}")
    if not math.isfinite(given.rate):
        raise UsageError(f"--rate {given.rate} is no learning rate", "Give it a number such as 0.0003")
    large_enough = (given.input_size >= SMALLEST_INPUT, given.epochs > 0, given.rate > 0, given.batch_size > 0)
    for flag, is_large_enough in zip(("size", "epochs", "rate", "batch-size"), large_enough, strict=True):
        if not is_large_enough:
            raise UsageError(f"--{flag} is too small", "Give it a larger number")


def applicable_tricks(base: str, tricks: str | None) -> tuple[str, ...]:
    """The tricks that a flag names, or, if it is None, all that do something for a network.

    Raises:
        UnknownNameError, UsageError: an unknown trick, or one that would do nothing.
    """
    without_effect = MIXING if base == SIAMESE else () if base in SMALL else SCRATCH_ONLY
    if tricks is None:
        return tuple(name for name in TRICKS if name not in without_effect)
    names = parse_tricks(tricks)
    refused = [name for name in names if name in without_effect]
    if refused:
        reason = "learns from pairs" if base == SIAMESE else "comes pretrained"
        raise UsageError(f"{base} {reason}, so {refused[0]} would do nothing", "Leave it out of --tricks")
    return names

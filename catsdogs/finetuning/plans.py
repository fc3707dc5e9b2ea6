"""What a training is told: the network, how it learns, and what is taken where nothing is said."""

import math
from dataclasses import dataclass

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.features.folds import MAX_SEED
from catsdogs.finetuning.tricks import MIXING, parse
from catsdogs.finetuning.tricks import TRICKS as TRICKS
from catsdogs.networks.architectures.small import ARCHITECTURES as SMALL
from catsdogs.networks.architectures.small import SMALLEST_INPUT
from catsdogs.networks.table import BACKBONES

SCRATCH_EPOCHS, SCRATCH_RATE = 50, 3e-4  # at 1e-3 four-conv with dropout stays at chance on 1,280 photographs
PRETRAINED_EPOCHS, PRETRAINED_RATE = 5, 5e-5
BATCH_SIZE = 32  # for which learning rates are given, see `optimisation.REFERENCE_BATCH`
TWIN = "siamese-cnn"
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
        """Whether the base is one of `networks`, without pretrained weights."""
        return self.base in SMALL

    @property
    def learns_from_pairs(self) -> bool:
        """Whether it learns which photographs show the same class; all others learn the classes."""
        return self.base == TWIN


def hyperparameters(
    base: str,
    tricks: str = "",
    unfreeze: str | None = None,
    input_size: int | None = None,
    epochs: int | None = None,
    batch_size: int = BATCH_SIZE,
    rate: float | None = None,
    seed: int = 0,
) -> Hyperparameters:
    """A plan with the defaults of its kind of network, checked.

    Raises:
        UnknownNameError, UsageError: no such network, trick or choice, or a number that cannot be used.
    """
    if base not in (*SMALL, *BACKBONES):
        raise UnknownNameError("network to train", base, [*SMALL, *BACKBONES])
    if unfreeze not in (None, *UNFREEZE):
        raise UnknownNameError("choice for --unfreeze", unfreeze, list(UNFREEZE))
    scratch = base in SMALL
    if scratch and unfreeze not in (None, EVERYTHING):
        raise UsageError(f"{base} starts from random weights, so all of it learns", "Leave --unfreeze out")
    names = applicable(base, tricks)
    if "lr-scaling" in names and batch_size == BATCH_SIZE:
        raise UsageError(
            f"A batch of {batch_size} is what learning rates are given for, so lr-scaling would do nothing",
            "Give another --batch-size, or leave it out of --tricks",
        )
    usual_size = (SMALL if scratch else BACKBONES)[base].input_size
    usual = (SCRATCH_EPOCHS, SCRATCH_RATE) if scratch else (PRETRAINED_EPOCHS, PRETRAINED_RATE)
    made = Hyperparameters(
        base,
        usual_size if input_size is None else input_size,
        unfreeze or (EVERYTHING if scratch else LAST_BLOCK),
        names,
        usual[0] if epochs is None else epochs,
        batch_size,
        usual[1] if rate is None else rate,
        seed,
    )
    least = {"size": made.input_size >= SMALLEST_INPUT, "epochs": made.epochs > 0, "rate": made.rate > 0}
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"The seed {seed}", f"Give --seed a number from 0 to {MAX_SEED}")
    if not math.isfinite(made.rate):
        raise UsageError(f"--rate {made.rate} is no learning rate", "Give it a number such as 0.0003")
    for flag, enough in (least | {"batch-size": batch_size > 0}).items():
        if not enough:
            raise UsageError(f"--{flag} is too small", "Give it a larger number")
    return made


def applicable(base: str, tricks: str | None) -> tuple[str, ...]:
    """The tricks that a flag names, or without one all that do something for a network.

    Raises:
        UnknownNameError, UsageError: an unknown trick, or one that would do nothing.
    """
    idle = MIXING if base == TWIN else () if base in SMALL else SCRATCH_ONLY
    if tricks is None:
        return tuple(name for name in TRICKS if name not in idle)
    names = parse(tricks)
    useless = [name for name in names if name in idle]
    if useless:
        why = "learns from pairs" if base == TWIN else "comes pretrained"
        raise UsageError(f"{base} {why}, so {useless[0]} would do nothing", "Leave it out of --tricks")
    return names

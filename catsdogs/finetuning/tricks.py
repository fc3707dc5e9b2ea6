"""The table of tricks for training a network: the effect of each, when it helps, and who published it."""

from dataclasses import dataclass

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.networks.choice import split_names


@dataclass(frozen=True)
class Trick:
    """A line each on the effect of a trick, when it helps, and where it was published."""

    effect: str
    helps: str
    source: str


TRICKS = {
    "warmup": Trick(
        "the learning rate climbs step by step to its full value over the first tenth of the steps",
        "large learning rates or batches; a fresh top on pretrained layers",
        "Goyal et al. 2017, arXiv:1706.02677",
    ),
    "lr-scaling": Trick(
        "the learning rate grows in proportion to the batch size",
        "batches larger than 32, so that a larger batch needs no new tuning; with `warmup`",
        "Goyal et al. 2017, arXiv:1706.02677",
    ),
    "cosine": Trick(
        "the learning rate falls to zero along half a cosine wave",
        "nearly always, once the number of epochs is settled",
        "Loshchilov and Hutter, ICLR 2017, arXiv:1608.03983",
    ),
    "label-smoothing": Trick(
        "a tenth of every label is spread evenly over all classes",
        "wrong labels and overconfident networks; where log loss counts, clean labels can make it worse",
        "Szegedy et al., CVPR 2016, arXiv:1512.00567",
    ),
    "mixup": Trick(
        "two photographs and their labels are blended with the same weight",
        "few photographs, noisy labels, long training",
        "Zhang et al., ICLR 2018, arXiv:1710.09412",
    ),
    "cutmix": Trick(
        "a rectangle of one photograph covers part of another; labels are mixed by area",
        "few photographs, long training; keeps local detail natural where mixup does not",
        "Yun et al., ICCV 2019, arXiv:1905.04899",
    ),
    "ricap": Trick(
        "random crops of four photographs make one; labels are mixed by area",
        "like `cutmix`, stronger: four photographs at a time",
        "Takahashi, Matsubara and Uehara, ACML 2018",
    ),
    "cutout": Trick(
        "one grey square, half as wide as the photograph, hides part of it",
        "animals half hidden or cut off; small networks trained for long",
        "DeVries and Taylor 2017, arXiv:1708.04552",
    ),
    "random-erasing": Trick(
        "in half of the photographs a rectangle of random shape becomes noise",
        "like `cutout`, milder: half of the photographs stay whole",
        "Zhong et al., AAAI 2020, arXiv:1708.04896",
    ),
    "randaugment": Trick(
        "two operations drawn from fourteen (shear, shift, rotation, colour, contrast, ...) change each photograph",
        "large networks and long training, when the single shifts below no longer suffice",
        "Cubuk et al., NeurIPS 2020, arXiv:1909.13719",
    ),
    "random-crop": Trick(
        "photographs are read 8/7 as large and a random square of the network's size is cut out",
        "nearly always when training from scratch",
        "Krizhevsky, Sutskever and Hinton, NIPS 2012",
    ),
    "flip": Trick(
        "every other photograph, at random, is mirrored left to right",
        "nearly always, unless left and right differ in meaning, as in letters",
        "Krizhevsky, Sutskever and Hinton, NIPS 2012",
    ),
    "rotation": Trick(
        "each photograph is turned by up to 15 degrees either way",
        "tilted cameras; few photographs",
        "Simard, Steinkraus and Platt, ICDAR 2003",
    ),
    "colour": Trick(
        "brightness, contrast, saturation and hue of each photograph are shifted a little",
        "changing light and cameras",
        "Howard 2013, arXiv:1312.5402",
    ),
    "pca-noise": Trick(
        "one shift of colour for each photograph, along the principal components of ImageNet's colours",
        "changing light; the mildest change of colour",
        "Krizhevsky, Sutskever and Hinton, NIPS 2012",
    ),
    "dropout": Trick(
        "random units are silent in each training step",
        "wide dense layers that learn the training photographs by heart",
        "Srivastava et al., JMLR 15, 2014",
    ),
    "l1": Trick(
        "the loss grows with the absolute size of the weights, so many fall to zero",
        "when few inputs matter, or a sparse network is wanted",
        "Tibshirani, J. Royal Statistical Society B 58, 1996",
    ),
    "l2": Trick(
        "the loss grows with the square of the weights, so they stay small",
        "long training on few photographs",
        "Krogh and Hertz, NIPS 1991",
    ),
    "batch-norm": Trick(
        "each layer's outputs are brought to mean 0 and variance 1 over the batch",
        "networks trained from scratch, at larger learning rates; not tiny batches",
        "Ioffe and Szegedy, ICML 2015, arXiv:1502.03167",
    ),
    "early-stopping": Trick(
        "training ends when the validation loss has not fallen for a fifth of the epochs",
        "saves time when the number of epochs was a guess; the best epoch is kept in any case",
        "Prechelt, Neural Networks: Tricks of the Trade, LNCS 1524, 1998",
    ),
    "glorot": Trick(
        "first weights drawn with variance 2 / (inputs + outputs), from a normal instead of a uniform distribution",
        "sigmoid and tanh units; Keras's default has the same variance",
        "Glorot and Bengio, AISTATS 2010",
    ),
    "he": Trick(
        "first weights drawn with variance 2 / inputs",
        "deep networks of ReLU units, trained from scratch",
        "He et al., ICCV 2015, arXiv:1502.01852",
    ),
    "adabound": Trick(
        "an optimiser that starts as Adam and turns gradually into SGD",
        "long training from scratch, where SGD ends better than Adam",
        "Luo et al., ICLR 2019, arXiv:1902.09843",
    ),
}
"""All tricks by their standard names, in the order in which they are listed and numbered."""

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
    for name in sorted(names - TRICKS.keys()):
        raise UnknownNameError("trick", name, list(TRICKS))
    if {"glorot", "he"} <= names:
        raise UsageError("The tricks glorot and he both draw the first weights", "Choose one of the two")
    return tuple(name for name in TRICKS if name in names)

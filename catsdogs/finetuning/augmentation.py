"""Tricks that change photographs: the same seed, epoch and batch always give the same pixels.

Keras's layers draw from a counter that remembers every call before. Here each call gives the layer its counter anew,
from (seed, epoch, batch, trick). So a training that was killed and resumed, or that reads ahead on another thread, sees
what an undisturbed one would see, and no trick's draws depend on the other tricks.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from catsdogs.finetuning.tricks import MIXING, TRICKS

FloatImages = NDArray[np.float32]
SoftLabels = NDArray[np.float32]
Step = Callable[[FloatImages, np.random.Generator], FloatImages]
Mix = Callable[[FloatImages, SoftLabels, np.random.Generator], tuple[FloatImages, SoftLabels]]

_KIND = {"dtype": "float32", "data_format": "channels_last"}

CROP = 256 / 224
"""How much larger a photograph is read for a random crop: Krizhevsky et al. 2012 cut 224 pixels out of 256."""

GREY = 127.5
"""The middle of the pixel values: what `cutout` fills with, and the mean of the noise of `random-erasing`."""

RICAP_BETA = 0.3
"""Takahashi, Matsubara and Uehara 2018, section 4: the authors' choice."""

PCA_SIGMA = 0.1
"""Standard deviation of the draws: Krizhevsky et al. 2012, section 4.1."""

PCA_EIGENVALUES = np.array([0.2175, 0.0188, 0.0045])
PCA_EIGENVECTORS = np.array(
    [
        [-0.5675, 0.7192, 0.4009],
        [-0.5808, -0.0045, -0.8140],
        [-0.5836, -0.6948, 0.4203],
    ]
)
"""Principal components (columns) of ImageNet's RGB values in [0, 1], as published with the code of fb.resnet.torch
(github.com/facebookarchive/fb.resnet.torch, datasets/imagenet.lua); the paper itself prints none."""


class Augmentation:
    """Those of `tricks` that change photographs, for squares of `size` pixels; `seed` must be 0 or more.

    `side` is the side in pixels of the squares to hand in, larger than `size` for a random crop. Where several of
    mixup, CutMix and RICAP are chosen, each batch takes one of them at random. Safe to call from several threads.
    """

    def __init__(self, tricks: Sequence[str], size: int, seed: int) -> None:
        self.side = round(size * CROP) if "random-crop" in tricks else size
        self._seed = seed
        self._steps = {name: make(size) for name, make in _STEPS.items() if name in tricks}
        self._mixing = {name: _MIXING[name]() for name in MIXING if name in tricks}

    def __call__(
        self, images: NDArray[np.uint8], labels: NDArray[np.float32], epoch: int, batch: int
    ) -> tuple[FloatImages, SoftLabels]:
        """Augment a batch: images (n, side, side, 3) in 0..255, labels (n, classes), one-hot or soft.

        Returns float32 images (n, size, size, 3), still in 0..255, and float32 labels (n, classes), mixed alike; or
        labels of any shape as they are, if no trick mixes.
        """
        changed, labels = images.astype(np.float32), labels.astype(np.float32)
        for name, step in self._steps.items():
            changed = step(changed, self._draws(epoch, batch, name))
        changed = np.clip(changed, 0, 255)
        if self._mixing:
            name = list(self._mixing)[self._draws(epoch, batch).integers(len(self._mixing))]
            mixed, labels = self._mixing[name](changed, labels, self._draws(epoch, batch, name))
            changed = np.clip(mixed, 0, 255)
        return changed, labels

    def _draws(self, epoch: int, batch: int, trick: str = "") -> np.random.Generator:
        """What a trick draws from, or without one the choice among those that mix."""
        stream = TRICKS.index(trick) if trick else len(TRICKS)
        return np.random.default_rng([self._seed, epoch, batch, stream])


def pca_noise(images: FloatImages, draws: np.random.Generator) -> FloatImages:
    """Adds p1 a1 l1 + p2 a2 l2 + p3 a3 l3 to every pixel of an image: Krizhevsky et al. 2012, section 4.1.

    p and l are the eigenvectors and eigenvalues of ImageNet's RGB values in [0, 1], a ~ N(0, 0.1) once per image.
    """
    alpha = draws.normal(0, PCA_SIGMA, (len(images), 3))
    shift = 255 * (alpha * PCA_EIGENVALUES) @ PCA_EIGENVECTORS.T
    return images + shift[:, None, None, :].astype(np.float32)


def ricap(images: FloatImages, labels: SoftLabels, draws: np.random.Generator) -> tuple[FloatImages, SoftLabels]:
    """Patches each image (n, side, side, 3) from crops of four: Takahashi, Matsubara and Uehara 2018, section 3.

    The four meet at (w, h) = round(side * Beta(0.3, 0.3)); a label (n, classes) counts by its patch's share of the
    area. (w, h) is drawn for each image, where the authors' code draws it once a batch.
    """
    n, side = images.shape[:2]
    width, height = np.rint(side * draws.beta(RICAP_BETA, RICAP_BETA, (2, n))).astype(int)
    zero, whole = np.zeros(n, int), np.full(n, side)
    patched, mixed = np.empty_like(images), np.zeros_like(labels)
    for top, bottom in ((zero, height), (height, whole)):
        for left, right in ((zero, width), (width, whole)):
            partner = draws.permutation(n)
            h, w = bottom - top, right - left
            y, x = draws.integers(side - h + 1), draws.integers(side - w + 1)
            for i in range(n):
                crop = images[partner[i], y[i] : y[i] + h[i], x[i] : x[i] + w[i]]
                patched[i, top[i] : bottom[i], left[i] : right[i]] = crop
            mixed += (h * w / side**2)[:, None].astype(np.float32) * labels[partner]
    return patched, mixed


def _apply(layer: keras.Layer, data: Any, draws: np.random.Generator) -> Any:
    """What a layer makes of arrays when it draws from a counter of this call alone, in this thread alone.

    On the CPU, as Keras's own data pipelines do it: the photographs come from there, and the GPU is busy training.
    """
    state = draws.integers(2**31, size=2)
    with keras.device("cpu:0"), keras.StatelessScope(state_mapping=[(counter, state) for counter in layer.variables]):
        return keras.tree.map_structure(keras.ops.convert_to_numpy, layer(data))


def _change(
    layer: keras.Layer, images: FloatImages, draws: np.random.Generator, offset: float = 0.0, scale: float = 1.0
) -> FloatImages:
    """A layer that takes values of (pixel - offset) / scale."""
    return np.asarray(_apply(layer, (images - offset) / scale, draws) * scale + offset, np.float32)


def _mix(
    layer: keras.Layer, images: FloatImages, labels: SoftLabels, draws: np.random.Generator
) -> tuple[FloatImages, SoftLabels]:
    mixed = _apply(layer, {"images": images, "labels": labels}, draws)
    return mixed["images"], mixed["labels"]


def _crop(size: int, images: FloatImages, draws: np.random.Generator) -> FloatImages:
    # keras.layers.RandomCrop cuts a whole batch at one place.
    y, x = draws.integers(images.shape[1] - size + 1, size=(2, len(images)))
    return np.stack([image[y[i] : y[i] + size, x[i] : x[i] + size] for i, image in enumerate(images)])


def _randaugment() -> Step:
    """RandAugment's fourteen operations, two for each photograph (N = 2, the paper's choice for ImageNet).

    keras.layers.RandAugment draws its two once for a whole batch, computes all eleven that it knows for it, turns by up
    to half a circle, and keeps fewer bits at weaker settings. Here Keras's layers for the single
    operations get the ranges of AutoAugment (Cubuk et al., CVPR 2019, arXiv:1805.09501), on which RandAugment
    builds, except two that Keras defines otherwise: brightness, set by eye, and colour, which only fades.
    """
    layers = keras.layers
    operations: list[Step] = [
        partial(_change, layer)
        for layer in (
            layers.RandomShear(0.3, 0.0, **_KIND),
            layers.RandomShear(0.0, 0.3, **_KIND),
            layers.RandomTranslation(0.0, 0.45, **_KIND),
            layers.RandomTranslation(0.45, 0.0, **_KIND),
            layers.RandomRotation(30 / 360, **_KIND),
            layers.RandomBrightness(0.3, **_KIND),
            layers.RandomColorDegeneration(0.9, **_KIND),
            layers.RandomContrast((0.9, 0.9), **_KIND),
            layers.RandomSharpness((0.05, 0.95), **_KIND),
            layers.RandomPosterization((4, 8), **_KIND),
            layers.Solarization(0.0, 1.0, **_KIND),
            layers.AutoContrast(**_KIND),
            layers.Equalization(**_KIND),
        )
    ]
    operations.append(lambda images, _: images)

    def step(images: FloatImages, draws: np.random.Generator) -> FloatImages:
        changed = images.copy()
        for _ in range(2):
            chosen = draws.integers(len(operations), size=len(images))
            for number in np.unique(chosen):
                rows = chosen == number
                changed[rows] = operations[number](changed[rows], draws)
        return changed

    return step


_STEPS: dict[str, Callable[[int], Step]] = {
    "random-crop": lambda size: partial(_crop, size),
    "flip": lambda _: partial(_change, keras.layers.RandomFlip("horizontal", **_KIND)),
    # Up to 15 degrees either way: ours.
    "rotation": lambda _: partial(_change, keras.layers.RandomRotation(15 / 360, **_KIND)),
    "randaugment": lambda _: _randaugment(),
    # Brightness +-20 %, contrast 0.8 to 1.2, saturation 2/3 to 3/2, hue +-9 degrees: milder than Howard 2013 (0.5 to
    # 1.5), set by eye. In 0..1, where Keras clips the saturation as it should.
    "colour": lambda _: partial(
        _change, keras.layers.RandomColorJitter((0, 1), 0.2, (0.2, 0.2), (0.4, 0.6), 0.05, **_KIND), scale=255.0
    ),
    "pca-noise": lambda _: pca_noise,
    # Always, a quarter of the area: DeVries and Taylor 2017 hide 16 of 32 pixels on CIFAR-10.
    "cutout": lambda _: partial(
        _change, keras.layers.RandomErasing((1, 1), (1 / 4, 1 / 4), 0.0, (-GREY, GREY), **_KIND), offset=GREY
    ),
    # Half of the photographs, 0.02 to 0.4 of the area: Zhong et al. 2020, section 4.
    "random-erasing": lambda _: partial(
        _change, keras.layers.RandomErasing((0.5, 0.5), (0.02, 0.4), None, (-GREY, GREY), **_KIND), offset=GREY
    ),
}
"""How each trick is made for a size, in the order in which they are applied."""

_MIXING: dict[str, Callable[[], Mix]] = {
    # Zhang et al. 2018, section 3.1: alpha between 0.1 and 0.4 on ImageNet.
    "mixup": lambda: partial(_mix, keras.layers.MixUp(0.2, **_KIND)),
    # Beta(1, 1): Yun et al. 2019, section 3.2.
    "cutmix": lambda: partial(_mix, keras.layers.CutMix((1, 1), **_KIND)),
    "ricap": lambda: ricap,
}

"""What the tricks do to photographs, that they repeat themselves exactly, and the formulas of their papers."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catsdogs.finetuning.augmentation import PCA_EIGENVALUES, PCA_EIGENVECTORS, Augmentation, pca_noise, ricap
from catsdogs.finetuning.tricks import MIXING, TRICKS

SIZE = 28
CHANGING = (
    "cutout",
    "random-erasing",
    "randaugment",
    "random-crop",
    "flip",
    "rotation",
    "colour",
    "pca-noise",
)
LABELS = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2, 0, 1]]


def photographs(side: int, n: int = 8) -> np.ndarray:
    """Smooth coloured squares, all different, with full black and full white in them: (n, side, side, 3) uint8."""
    coarse = np.random.default_rng(3).uniform(-40, 295, (n, 5, 5, 3)).astype(np.float32)
    smooth = keras.ops.convert_to_numpy(keras.ops.image.resize(coarse, (side, side), data_format="channels_last"))
    return np.clip(smooth, 0, 255).astype(np.uint8)


def augmented(*tricks: str, epoch: int = 1, batch: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    augmentation = Augmentation(tricks, SIZE, seed)
    return augmentation(photographs(augmentation.side), LABELS, epoch, batch)


def test_without_such_tricks_it_is_a_plain_cast() -> None:
    images, labels = augmented("cosine", "dropout", "adabound")
    assert images.dtype == labels.dtype == np.float32
    np.testing.assert_array_equal(images, photographs(SIZE))
    np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize("trick", [*CHANGING, *MIXING])
def test_each_trick_changes_pixels_and_stays_in_range(trick: str) -> None:
    images, labels = augmented(trick)
    assert images.shape == (8, SIZE, SIZE, 3) and images.dtype == labels.dtype == np.float32
    assert np.isfinite(images).all() and images.min() >= 0 and images.max() <= 255
    assert images.max() > 100, "the values were taken for 0..1"
    if trick != "random-crop":
        assert np.abs(images - photographs(SIZE)).max() > 1
    np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-5)
    if trick in CHANGING:
        np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize("trick", [*CHANGING, *MIXING])
def test_the_same_seed_epoch_and_batch_give_the_same(trick: str) -> None:
    augmentation = Augmentation((trick,), SIZE, 0)
    pixels = photographs(augmentation.side)

    def batch(place: tuple[int, int]) -> np.ndarray:
        return augmentation(pixels, LABELS, *place)[0]

    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    keras.utils.set_random_seed(1)
    straight = [batch(place) for place in places]
    keras.utils.set_random_seed(2)
    resumed = [augmented(trick, epoch=epoch, batch=number)[0] for epoch, number in places[2:]]
    with ThreadPoolExecutor(4) as pool:
        ahead = list(pool.map(batch, places[::-1]))[::-1]
    np.testing.assert_array_equal(resumed, straight[2:])
    np.testing.assert_array_equal(ahead, straight)
    reseeded = augmented(trick, epoch=0, batch=0, seed=1)[0]
    assert len({images.tobytes() for images in [*straight, reseeded]}) == 5


@pytest.mark.parametrize(
    "trick", ["random-crop", "flip", "rotation", "colour", "pca-noise", "randaugment", "random-erasing"]
)
def test_each_photograph_has_draws_of_its_own(trick: str) -> None:
    augmentation = Augmentation((trick,), SIZE, 0)
    same = np.repeat(photographs(augmentation.side, 1), 16, axis=0)
    images, _ = augmentation(same, np.tile(LABELS, (2, 1)), 0, 0)
    assert len({image.tobytes() for image in images}) > 1


def test_all_tricks_combine() -> None:
    images, labels = augmented(*TRICKS)
    assert images.shape == (8, SIZE, SIZE, 3) and images.min() >= 0 and images.max() <= 255
    np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-5)


def test_several_mixing_tricks_take_turns() -> None:
    together = Augmentation(MIXING, SIZE, 0)
    apart = {name: Augmentation((name,), SIZE, 0) for name in MIXING}
    pixels = photographs(SIZE)
    taken = []
    for number in range(12):
        images = together(pixels, LABELS, 0, number)[0]
        taken += [name for name, one in apart.items() if (one(pixels, LABELS, 0, number)[0] == images).all()]
    assert len(taken) == 12 and set(taken) == set(MIXING)


def test_labels_of_pairs_pass() -> None:
    same = np.array([[1], [0], [0], [1]], np.float32)
    flipping, pixels = Augmentation(("flip",), SIZE, 0), photographs(SIZE)
    images, labels = flipping(pixels, same, 0, 0)
    np.testing.assert_array_equal(images, flipping(pixels, LABELS, 0, 0)[0])
    np.testing.assert_array_equal(labels, same)


def test_flipped_photographs_are_mirrors() -> None:
    images, plain = augmented("flip")[0], photographs(SIZE)
    mirrored = [(image == other[:, ::-1]).all() for image, other in zip(images, plain, strict=True)]
    whole = [(image == other).all() for image, other in zip(images, plain, strict=True)]
    assert all(a != b for a, b in zip(mirrored, whole, strict=True)) and any(mirrored) and any(whole)


def test_crops_are_parts_of_the_photograph() -> None:
    augmentation = Augmentation(("random-crop",), SIZE, 0)
    assert augmentation.side == 32
    plain = photographs(32)
    for image, other in zip(augmentation(plain, LABELS, 0, 0)[0], plain, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(other, (SIZE, SIZE), (0, 1)).transpose(0, 1, 3, 4, 2)
        assert (windows == image).all((2, 3, 4)).any()


def test_cutout_hides_one_square_of_a_quarter() -> None:
    images, plain = augmented("cutout")[0], photographs(SIZE)
    for image, other in zip(images, plain, strict=True):
        rows, columns = np.nonzero((image == 127.5).all(2))
        assert len(rows) == (SIZE // 2) ** 2 == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        kept = np.ones((SIZE, SIZE), bool)
        kept[rows, columns] = False
        np.testing.assert_allclose(image[kept], other[kept], atol=1e-3)


def test_erasing_spares_half_of_the_photographs() -> None:
    augmentation = Augmentation(("random-erasing",), SIZE, 0)
    plain = photographs(SIZE, 64)
    changed = np.abs(augmentation(plain, np.tile(LABELS, (8, 1)), 0, 0)[0] - plain).max(3) > 1e-3
    assert 16 < changed.any((1, 2)).sum() < 48
    # Its area is between 0.02 and 0.4 of the photograph; some noise may by chance equal the pixel below.
    assert changed.mean((1, 2)).max() < 0.43


def test_mixup_blends_images_as_labels() -> None:
    # Each photograph is one flat colour, and its label is the same number.
    shade = np.linspace(0, 1, 16, dtype=np.float32)
    pixels = np.broadcast_to((255 * shade).astype(np.uint8)[:, None, None, None], (16, SIZE, SIZE, 3))
    value = pixels[:, 0, 0, :1].astype(np.float32) / 255
    images, labels = Augmentation(("mixup",), SIZE, 0)(pixels, np.hstack([value, 1 - value]), 0, 1)
    np.testing.assert_allclose(images.mean((1, 2, 3)) / 255, labels[:, 0], atol=1e-3)
    assert np.abs(labels[:, 0] - value[:, 0]).max() > 0.05


def test_cutmix_labels_count_the_area() -> None:
    pixels = np.zeros((16, SIZE, SIZE, 3), np.uint8)
    pixels[::2] = 255
    images, labels = Augmentation(("cutmix",), SIZE, 0)(pixels, np.eye(2, dtype=np.float32)[np.arange(16) % 2], 0, 0)
    # Keras places its rectangle between pixels, so the two shares may differ by two rows and two columns at most.
    np.testing.assert_allclose(images.mean((1, 2, 3)) / 255, labels[:, 0], atol=2 / SIZE)
    assert ((labels[:, 0] > 0.05) & (labels[:, 0] < 0.95)).any()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 6), side=st.integers(2, 17))
def test_ricap_labels_are_shares_of_the_area(seed: int, n: int, side: int) -> None:
    """Takahashi et al. 2018: c = sum of W_k c_k with W_k = w_k h_k / (I_x I_y): here counted pixel by pixel."""
    numbered = np.broadcast_to(np.arange(n, dtype=np.float32)[:, None, None, None], (n, side, side, 3))
    images, labels = ricap(numbered, np.eye(n, dtype=np.float32), np.random.default_rng(seed))
    counted = (images[..., :1] == np.arange(n)).mean((1, 2))
    np.testing.assert_allclose(labels, counted, atol=1e-6)


def test_ricap_patches_are_four_crops_that_meet() -> None:
    side = 16
    # Every pixel says its photograph, row and column.
    place = np.stack(np.meshgrid(np.arange(9), np.arange(side), np.arange(side), indexing="ij"), -1).astype(np.float32)
    images, _ = ricap(place, np.eye(9, dtype=np.float32), np.random.default_rng(5))
    for image in images:
        seams_down = (np.diff(image, axis=0) != (0, 1, 0)).any(2)
        seams_right = (np.diff(image, axis=1) != (0, 0, 1)).any(2)
        assert seams_down.any(1).sum() <= 1, "more than one horizontal seam"
        # One vertical seam above the meeting point and one below, both in the same column.
        assert seams_right.any(0).sum() <= 1, "more than one vertical seam"


def test_ricap_meets_where_beta_says() -> None:
    """Beta(0.3, 0.3) has mean 1/2 and variance 1 / (4 (2 * 0.3 + 1)) = 0.15625."""
    n, side = 2000, 64
    place = np.zeros((n, side, side, 1), np.float32)
    place[...] = np.arange(n, dtype=np.float32)[:, None, None, None]
    images, _ = ricap(place, np.zeros((n, 1), np.float32), np.random.default_rng(0))
    width = (images[:, 0, :, 0] == images[:, 0, :1, 0]).sum(1) / side
    assert width.var() == pytest.approx(0.15625, abs=0.02)


def test_pca_noise_is_the_formula_of_the_paper() -> None:
    """Krizhevsky et al. 2012: one [p1, p2, p3][a1 l1, a2 l2, a3 l3] for all pixels of an image, a ~ N(0, 0.1)."""
    images = np.random.default_rng(1).uniform(0, 255, (4000, 2, 2, 3)).astype(np.float32)
    shift = pca_noise(images, np.random.default_rng(2)) - images
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:, :1, :1], shift.shape), atol=1e-4)
    # Eigenvectors are orthonormal, so each component gives back its own draw.
    np.testing.assert_allclose(PCA_EIGENVECTORS.T @ PCA_EIGENVECTORS, np.eye(3), atol=1e-3)
    alpha = shift[:, 0, 0] / 255 @ PCA_EIGENVECTORS / PCA_EIGENVALUES
    np.testing.assert_allclose(np.cov(alpha.T), 0.01 * np.eye(3), atol=2e-3)
    np.testing.assert_allclose(alpha.mean(0), 0, atol=1e-2)

"""Squares for networks: the geometry is timm's to the pixel, and views are cut where they should be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from catsdogs.photographs import images, resizing
from catsdogs.photographs.fitting import CROP, CROPS5, FLIP, INTERPOLATIONS, PAD, RESIZES, SQUASH, Fit
from catsdogs.photographs.resizing import squares
from tests.support.datasets import jpeg

TIMM_MODES = {SQUASH: "squash", CROP: "center", PAD: "border"}
MEAN = (0.481, 0.458, 0.408)
FILL = (123, 117, 104)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return images.decode(jpeg(3, (400, 300)))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(20, 400),
    st.integers(20, 400),
    st.integers(16, 120),
    st.sampled_from(RESIZES),
    st.sampled_from((1.0, 0.95, 0.875, 0.8)),
    st.sampled_from(INTERPOLATIONS),
)
def test_a_square_is_that_of_timm(
    width: int, height: int, size: int, resize: str, share: float, interpolation: str
) -> None:
    """Bit for bit where Pillow resizes; else but for its rounding between the two passes of a filter."""
    data = pytest.importorskip("timm.data", reason="timm is not installed")
    noise = np.random.default_rng(width * height).integers(0, 256, (height // 5 + 1, width // 5 + 1, 3), np.uint8)
    picture = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    fit = Fit(size, resize, share, interpolation, FILL)
    ours = squares(np.asarray(picture), fit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resizing, "HAS_COMPILED_RESIZER", False)
        by_pillow = squares(np.asarray(picture), fit)
    transform = data.create_transform(
        (3, size, size),
        crop_pct=share,
        crop_mode=TIMM_MODES[resize],
        interpolation=interpolation,
        mean=MEAN,
        normalize=False,
    )
    theirs = np.asarray(transform(picture)).transpose(1, 2, 0)
    assert ours.shape == (1, size, size, 3)
    assert np.array_equal(by_pillow[0], theirs)
    assert np.abs(ours[0].astype(int) - theirs).mean() < 1  # Pillow clips between its two passes, too


def test_a_picture_is_squashed_cropped_and_padded(picture: Image.Image) -> None:
    """On a picture whose left and right quarters are red, and the rest of which is green."""
    flag = Image.new("RGB", (400, 200), (200, 0, 0))
    flag.paste((0, 200, 0), (100, 0, 300, 200))
    (squashed,), (cropped,), (padded,) = (
        squares(np.asarray(flag), Fit(40, resize, fill=(1, 2, 3))) for resize in RESIZES
    )
    assert squashed[20, 5].tolist() == [200, 0, 0] and squashed[20, 20].tolist() == [0, 200, 0]
    assert (cropped[:, 2:38] == [0, 200, 0]).all()
    assert (padded[:10] == [1, 2, 3]).all() and (padded[30:] == [1, 2, 3]).all()
    assert padded[20, 5].tolist() == [200, 0, 0] and padded[20, 20].tolist() == [0, 200, 0]


@pytest.mark.parametrize("resize", RESIZES)
def test_flip_adds_the_mirror_image(picture: Image.Image, resize: str) -> None:
    (plain,) = squares(np.asarray(picture), Fit(64, resize, 0.9))
    both = squares(np.asarray(picture), Fit(64, resize, 0.9, views=FLIP))
    assert np.array_equal(both[0], plain) and np.array_equal(both[1], plain[:, ::-1])


@pytest.mark.parametrize("resize", RESIZES)
def test_five_crops_are_those_of_torchvision(picture: Image.Image, resize: str) -> None:
    transforms = pytest.importorskip("torchvision.transforms", reason="torchvision is not installed")
    (whole,) = squares(np.asarray(picture), Fit(80, resize))
    five = squares(np.asarray(picture), Fit(70, resize, views=CROPS5))
    corners = [np.asarray(crop) for crop in transforms.FiveCrop(70)(Image.fromarray(whole))]
    assert five.shape == (5, 70, 70, 3)
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(five, [corners[4], *corners[:4]], strict=True))


def test_a_line_of_pixels_becomes_a_square() -> None:
    for size in ((900, 1), (1, 900)):
        for resize in RESIZES:
            assert squares(np.full((*size, 3), 255, np.uint8), Fit(16, resize)).shape == (1, 16, 16, 3)


def test_a_large_jpeg_is_decoded_small_and_cropped_alike() -> None:
    large = images.decode(jpeg(5)).resize((1600, 1200), Image.Resampling.BICUBIC)
    fits = [Fit(100, resize, share) for resize in RESIZES for share in (1.0, 0.875)]
    data = jpeg(5, (1600, 1200))
    small, whole = images.load(data, fits).by_fit, images.decode(data)
    assert large.size == whole.size
    for fit in fits:
        difference = np.abs(small[fit].astype(int) - squares(np.asarray(whole), fit))
        assert difference.mean() < 1

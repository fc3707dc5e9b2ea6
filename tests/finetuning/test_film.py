"""The GIF of filters over training."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catsdogs.finetuning import film
from tests.finetuning.test_kernels import drawn_kernels


@pytest.mark.parametrize(("epochs", "count", "side"), [(61, 32, 3), (1, 4, 3), (2, 70, 7), (5, 3, 16)])
def test_animation(tmp_path: Path, epochs: int, count: int, side: int) -> None:
    path = tmp_path / "filters.gif"
    film.animate_filters(path, drawn_kernels(epochs, count, side), np.arange(epochs), "conv1")
    assert path.stat().st_size < 1_000_000
    with Image.open(path) as gif:
        assert gif.n_frames == min(epochs, 48)
        lengths = []
        for number in range(gif.n_frames):
            gif.seek(number)
            lengths.append(gif.info.get("duration", 0))
            assert gif.convert("RGB").getpixel((1, 1)) == (255, 255, 255)
        if epochs > 1:
            assert gif.info["loop"] == 0 and lengths[-1] > max(lengths[:-1])


def test_colours_mean_the_same_in_every_frame(tmp_path: Path) -> None:
    kernels = np.zeros((3, 3, 3, 3, 2), np.float32)
    kernels[:, 1, 1, 0, 0] = -1, 0, 1  # the middle of filter 0 goes from cyan over grey to red
    kernels[:, 1, 1, 2, 1] = 0.5  # filter 1 stays blue
    film.animate_filters(tmp_path / "filters.gif", kernels, np.array([0, 10, 20]), "conv1")
    expected = [(0, 128, 128), (128, 128, 128), (255, 128, 128)]
    middle = (24 + 30, 24 + 44 + 13 + 30)
    with Image.open(tmp_path / "filters.gif") as gif:
        for number, colour in enumerate(expected):
            gif.seek(number)
            frame = gif.convert("RGB")
            np.testing.assert_allclose(frame.getpixel(middle), colour, atol=3)
            np.testing.assert_allclose(frame.getpixel((middle[0] + 68, middle[1])), (128, 128, 255), atol=3)
            np.testing.assert_allclose(frame.getpixel((middle[0] - 20, middle[1])), (128, 128, 128), atol=3)

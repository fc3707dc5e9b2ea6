"""The GIF of filters over training, and the file of kernels it is made of, which may be damaged."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catsdogs.errors import StoreError
from catsdogs.finetuning import film
from tests.conftest import refused


def drawn_kernels(epochs: int, count: int = 32, side: int = 3) -> np.ndarray:
    """A walk: each epoch a step from the one before."""
    steps = np.random.default_rng(epochs).normal(0, 0.02, (epochs, side, side, 3, count))
    return (steps.cumsum(axis=0) + steps[0] * 5).astype(np.float32)


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


def test_kernels_are_read_back(tmp_path: Path) -> None:
    kernels = drawn_kernels(4)
    np.savez(tmp_path / "kernels.npz", layer="conv1", epochs=np.arange(4), kernels=kernels)
    found, epochs, layer = film.read_kernels(tmp_path / "kernels.npz")
    np.testing.assert_array_equal(found, kernels)
    assert layer == "conv1" and epochs.tolist() == [0, 1, 2, 3]


def test_missing_kernels(tmp_path: Path) -> None:
    with refused(StoreError, r"There is no .*kernels\.npz, the filters of each epoch\. Train the network again"):
        film.read_kernels(tmp_path / "kernels.npz")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated_kernels(tmp_path: Path, share: float) -> None:
    path = tmp_path / "kernels.npz"
    np.savez_compressed(path, layer="conv1", epochs=np.arange(4), kernels=drawn_kernels(4))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with refused(StoreError, r"kernels\.npz is damaged: .*Delete it and train"):
        film.read_kernels(path)


def test_flipped_bits_of_kernels(tmp_path: Path) -> None:
    path = tmp_path / "kernels.npz"
    np.savez_compressed(path, layer="conv1", epochs=np.arange(4), kernels=drawn_kernels(4))
    whole = bytearray(path.read_bytes())
    for place in range(0, len(whole), max(1, len(whole) // 100)):
        path.write_bytes(bytes([*whole[:place], whole[place] ^ 0xFF, *whole[place + 1 :]]))
        try:
            film.read_kernels(path)  # some bits of a zip, such as its dates, are of no account
        except StoreError as error:
            assert "\n" not in str(error)


def test_foreign_kernels(tmp_path: Path) -> None:
    path = tmp_path / "kernels.npz"
    whole = {"layer": "conv1", "epochs": np.arange(4), "kernels": drawn_kernels(4)}
    for wrong in (
        {"kernels": drawn_kernels(4)[..., 0]},
        {"kernels": drawn_kernels(3)},
        {"kernels": drawn_kernels(4) * np.nan},
        {"kernels": np.array([object()])},
        {"epochs": np.array(["a"] * 4)},
    ):
        np.savez(path, **{**whole, **wrong})  # type: ignore[arg-type]
        with refused(StoreError, "is damaged"):
            film.read_kernels(path)
    np.savez(path, epochs=np.arange(4))
    with refused(StoreError, "is damaged"):
        film.read_kernels(path)
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    with refused(StoreError, "is damaged"):
        film.read_kernels(path)

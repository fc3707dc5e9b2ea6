"""The file of kernels: read back, and refused where it is damaged."""

from pathlib import Path

import numpy as np
import pytest

from catsdogs.errors import StoreError
from catsdogs.finetuning.kernels import read_kernels
from tests.conftest import refused


def drawn_kernels(epochs: int, count: int = 32, side: int = 3) -> np.ndarray:
    """A walk: each epoch a step from the one before."""
    steps = np.random.default_rng(epochs).normal(0, 0.02, (epochs, side, side, 3, count))
    return (steps.cumsum(axis=0) + steps[0] * 5).astype(np.float32)


def test_kernels_are_read_back(tmp_path: Path) -> None:
    kernels = drawn_kernels(4)
    np.savez(tmp_path / "kernels.npz", layer="conv1", epochs=np.arange(4), kernels=kernels)
    found = read_kernels(tmp_path / "kernels.npz")
    np.testing.assert_array_equal(found.kernels, kernels)
    assert found.layer == "conv1" and found.epochs.tolist() == [0, 1, 2, 3]


def test_missing_kernels(tmp_path: Path) -> None:
    with refused(StoreError, r"There is no .*kernels\.npz, the filters of each epoch\. Train the network again"):
        read_kernels(tmp_path / "kernels.npz")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated_kernels(tmp_path: Path, share: float) -> None:
    path = tmp_path / "kernels.npz"
    np.savez_compressed(path, layer="conv1", epochs=np.arange(4), kernels=drawn_kernels(4))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with refused(StoreError, r"kernels\.npz is damaged: .*Delete it and train"):
        read_kernels(path)


def test_flipped_bits_of_kernels(tmp_path: Path) -> None:
    path = tmp_path / "kernels.npz"
    np.savez_compressed(path, layer="conv1", epochs=np.arange(4), kernels=drawn_kernels(4))
    whole = bytearray(path.read_bytes())
    for place in range(0, len(whole), max(1, len(whole) // 100)):
        path.write_bytes(bytes([*whole[:place], whole[place] ^ 0xFF, *whole[place + 1 :]]))
        try:
            read_kernels(path)  # some bits of a zip, such as its dates, are of no account
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
            read_kernels(path)
    np.savez(path, epochs=np.arange(4))
    with refused(StoreError, "is damaged"):
        read_kernels(path)
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    with refused(StoreError, "is damaged"):
        read_kernels(path)

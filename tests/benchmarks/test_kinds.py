"""The ten drawn kinds: a folder for each, the same pictures for the same seed, and many ways to draw a thing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import kinds
from catsdogs.photographs.dataset import scan


def test_a_folder_for_each_kind_and_the_same_pictures_for_the_same_seed(tmp_path: Path) -> None:
    kinds.write(tmp_path / "a", per_kind=2, seed=3)
    kinds.write(tmp_path / "b", per_kind=1, seed=3)
    kinds.write(tmp_path / "c", per_kind=1, seed=4)
    names = sorted(str(path.relative_to(tmp_path / "b")) for path in (tmp_path / "b").rglob("*.jpg"))
    assert len(names) == 10
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        assert (tmp_path / "a" / name).read_bytes() != (tmp_path / "c" / name).read_bytes()
    dataset = scan(tmp_path / "a")
    assert list(dataset.classes) == list(kinds.KINDS) and len(dataset.of("train")) == 20


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_every_kind_is_drawn_in_many_ways(kind: str) -> None:
    drawn = [kinds.draw(kind, np.random.default_rng(seed)) for seed in range(3)]
    assert all(picture.mode == "RGB" and picture.size in kinds.SIZES for picture in drawn)
    small = [np.asarray(picture.resize((32, 32), Image.Resampling.BOX), float) for picture in drawn]
    assert all(pixels.std() > 5 for pixels in small)
    assert np.abs(small[0] - small[1]).mean() > 5 and np.abs(small[1] - small[2]).mean() > 5

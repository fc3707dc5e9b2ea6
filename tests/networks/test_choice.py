"""Names of networks: what stands behind the @, and the rows that it gives."""

import itertools
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.networks import choice, table
from catsdogs.networks.choice import Variant
from catsdogs.networks.table import BACKBONES, VECTORS, Backbone, Offered
from catsdogs.photographs.fitting import RESIZES, VIEWS
from tests.conftest import refused

OFFERS = (Offered("cls", 12, 16), Offered("mean", 16, 20), Offered("cls+mean", 12, 20), Offered("last4", 0, 20))


@given(
    st.sampled_from(("", *VECTORS)), st.integers(0, 2000), st.sampled_from(("", *RESIZES)), st.sampled_from([*VIEWS])
)
def test_a_variant_is_read_from_its_text(vector: str, size: int, resize: str, views: str) -> None:
    variant = Variant(vector, size, resize, views)
    parts = str(variant).split("-")
    for order in itertools.islice(itertools.permutations(parts), 6):
        assert Variant.read("-".join(order)) == variant


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crop-pad", "pad is a second resize"),
        ("224-320", "320 is a second size"),
        ("big", r"big is no vector, size, way to resize or kind of views\. Choose from: mean, cls"),
    ],
)
def test_a_text_that_is_no_variant_is_refused(text: str, message: str) -> None:
    with refused(UsageError, message):
        choice.choose([f"Xception@{text}"])


def test_what_is_as_usual_is_not_named() -> None:
    names = ["Xception@299", "Xception@squash-mean", "Xception@none", "Xception@crop-320", "Xception@flip"]
    rows = choice.choose(names)
    assert [row.name for row in rows] == ["Xception", "Xception@320-crop", "Xception@flip"]
    usual, cropped, flipped = rows
    assert usual == BACKBONES["Xception"]
    assert (cropped.input_size, cropped.resize, cropped.share) == (320, "crop", 0.875)
    assert cropped.gflops == pytest.approx(usual.gflops * (320 / 299) ** 2)
    assert flipped.network == usual.network == usual and flipped.fit.view_count == 2


def test_flags_make_every_combination() -> None:
    assert choice.vary(["a", "b@crop"], vector=["cls", "mean"], size=[], resize=[], views=["none", "flip"]) == [
        "a@cls-none", "a@cls-flip", "a@mean-none", "a@mean-flip",
        "b@crop-cls-none", "b@crop-cls-flip", "b@crop-mean-none", "b@crop-mean-flip",
    ]  # fmt: skip
    assert choice.vary(["a"], vector=[], size=[], resize=[], views=[]) == ["a"]
    assert choice.expand("lite@320,Xception") == [*(f"EfficientNetLite{n}@320" for n in range(3)), "Xception"]


@pytest.mark.parametrize(
    ("field", "text"),
    [("size", "crop"), ("size", "none"), ("resize", "320"), ("vector", "flip"), ("views", "cls"), ("views", "flop")],
)
def test_a_flag_takes_its_own_kind_only(field: str, text: str) -> None:
    with refused(UsageError, f"--{field} {text}: there is no such {field}"):
        choice.vary(["a"], **{field: [text]})


def test_a_variant_keeps_some_columns_of_its_network() -> None:
    row = Backbone("ViT", 32, 4, "none", offers=OFFERS, vector="cls", share=0.9, resize="crop")
    expected = {"cls": [12, 16], "mean": [16, 20], "cls+mean": [12, 20], "last4": [0, 20]}
    for kind, (start, stop) in expected.items():
        varied = choice._varied(row, row, Variant(kind))
        assert (varied.columns, varied.width) == (slice(start, stop), stop - start)
        assert varied.network == row.network and row.network.width == 20
    squashed = choice._varied(row, row, Variant(resize="squash"))
    assert (squashed.name, squashed.share) == ("ViT@squash", 1.0)
    assert choice._varied(row, row, Variant(resize="crop")) == row


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Xception@cls", "Xception has no vector cls. Give --vector mean"),
        ("VGG16@320", "VGG16 takes 224 pixels only"),
        ("Xception@40", "Xception at 40 pixels. Give --size at least 75"),
    ],
)
def test_a_network_that_does_not_go_so_is_refused(name: str, message: str) -> None:
    with refused(UsageError, message):
        choice.choose([name])


def test_names_of_no_network_are_refused() -> None:
    for names in (["Xceptoin@320"], []):
        with refused(UnknownNameError, "backbone"):
            choice.choose(names)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("timm:vit_small.a_in1k@last4-384", "timm-vit_small.a_in1k@last4-384"),
        ("timm-vit_small.a_in1k", "timm-vit_small.a_in1k"),
        ("hub:vit_base_patch16", "hub-vit_base_patch16"),
        ("hub:/kaggle/input/vit/keras/vit_base/2@crop", "hub-vit_base@crop"),
        ("hub:kaggle://keras/vit/keras/vit_base", "hub-vit_base"),
        ("Xception@320", "Xception@320"),
        ("C:nothing", "C:nothing"),
    ],
)
def test_a_name_becomes_that_of_a_file(name: str, stem: str) -> None:
    assert choice.file_name(name) == stem and choice.file_name(stem) == stem


def test_a_row_survives_json() -> None:
    full = Backbone("a", 8, 4, "none", folder=Path("/x/y"), offers=OFFERS, hashes={"f": "0"}, licence="mit", labels=9)
    for row in (full, *BACKBONES.values()):
        assert table.from_card(json.loads(json.dumps(table.as_card(row)))) == row


def test_standardising_is_read_back() -> None:
    text = table.standardising((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert text == "mean 0.485 0.456 0.406, deviation 0.229 0.224 0.225"
    assert table.mean_and_deviation(text) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert table.mean_and_deviation("tf") is None
    fills = {name: BACKBONES[name].fit.fill for name in ("Xception", "ResNet50", "EfficientNetLite0")}
    assert fills == {"Xception": (128, 128, 128), "ResNet50": (124, 116, 104), "EfficientNetLite0": (127, 127, 127)}


@pytest.mark.parametrize(
    ("name", "path", "file"),
    [
        ("file:vectors.parquet", "vectors.parquet", "file-vectors"),
        ("file:/data/dino.v2.npz", "/data/dino.v2.npz", "file-dino.v2"),
        (r"file:C:\data\dino.h5", r"C:\data\dino.h5", "file-dino"),
        ("file:s3://bucket/dino@4.parquet", "s3://bucket/dino@4.parquet", "file-dino@4"),
        ("file-vectors", "", "file-vectors"),
        ("Xception", "", "Xception"),
    ],
)
def test_vectors_made_elsewhere_are_no_network(name: str, path: str, file: str) -> None:
    assert choice.expand(name) == [name]
    assert (choice.vectors_path(name), choice.file_name(name)) == (path, file)
    assert choice.is_pretrained(name) is (name == "Xception")
    if name != "Xception":
        with refused(UsageError, f"{re.escape(name)} holds vectors made elsewhere"):
            choice.choose([name])

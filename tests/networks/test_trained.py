"""The folder of a trained network: what is refused, what is remembered, and who made which vector."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from catsdogs.errors import UnknownNameError, UsageError, WeightsError
from catsdogs.networks import choice, trained
from catsdogs.networks.trained import ALL, Learnt
from catsdogs.networks.weights import obtain, of_folds
from tests.conftest import refused
from tests.support.networks import CARD


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole network, but that its weights files hold anything."""
    monkeypatch.chdir(tmp_path)
    folder = trained.FOLDER / "mine"
    sums = {}
    for member in ("fold-1", "fold-2", ALL):
        path = trained.weights_path(folder, member)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(member)
        sums[member] = trained.file_digest(path)
    learnt = Learnt(
        np.array(["a", "b"], object), np.array([7, 2**64 - 1], np.uint64), np.array([0, 1]), np.array([2, 1])
    )
    trained.write_learnt(folder, learnt, CARD.classes, {"p_cat": np.array([0.25, 0.5])})
    trained.write_card(folder, replace(CARD, weights=sums, learnt=trained.file_digest(folder / trained.LEARNT_FILE)))
    return folder


def test_it_is_a_backbone_like_any_other(folder: Path) -> None:
    lite, mine = choice.choose(["EfficientNetLite0", "mine"])
    assert (mine.name, mine.input_size, mine.width, mine.preprocessing) == ("mine", 32, 512, "tf")
    assert mine.trained == folder.resolve() and lite.trained is None
    with refused(UnknownNameError, "mine, lite"):
        choice.choose(["yours"])


def test_a_pretrained_base_lends_its_preprocessing(folder: Path) -> None:
    trained.write_card(folder, replace(trained.read_card(folder), base="ResNet50", input_size=224))
    row = trained.row(folder)
    assert (row.width, row.preprocessing) == (2048, "caffe")


def test_photographs_it_learnt_from_go_through_the_fold_that_did_not(folder: Path) -> None:
    assert trained.fold_of_digest(folder) == {7: 2, 2**64 - 1: 1}
    parts = of_folds(trained.row(folder))
    assert {number: weights.path for number, weights in parts.items()} == {
        number: trained.weights_path(folder.resolve(), f"fold-{number}") for number in (1, 2)
    }


def test_the_hash_covers_every_file(folder: Path) -> None:
    row = trained.row(folder)
    before = obtain(row, "random").sha256
    for name in ("fold-2.weights.h5", trained.LEARNT_FILE):
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(kept + b" ")
        with refused(WeightsError, f"{name} has the wrong hash"):
            obtain(row, None)
        (folder / name).write_bytes(kept)
    assert obtain(row, None).sha256 == before
    (folder / "all.weights.h5").unlink()
    with refused(WeightsError, "all.weights.h5 cannot be read"):
        obtain(row, None)


@pytest.mark.parametrize(
    "change",
    [{"format": "x"}, {"folds": "2"}, {"base": "nothing"}, {"input_size": 0}, {"weights": {}}, {"extra": None}],
)
def test_a_damaged_card_is_one_line(folder: Path, change: dict[str, object]) -> None:
    path = folder / trained.CARD_FILE
    content = {**json.loads(path.read_text()), **change}
    if "extra" in change:
        del content["classes"]
    path.write_text(json.dumps(content))
    with refused(WeightsError, "network.json is damaged"):
        trained.read_card(folder)


def test_a_newer_card_asks_for_an_upgrade(folder: Path) -> None:
    path = folder / trained.CARD_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": trained.VERSION + 1}))
    with refused(WeightsError, "Upgrade"):
        trained.read_card(folder)


@pytest.mark.parametrize("text", ["", "id,digest,label,fold\n", "id,digest,label,fold\na,07,cat,9\n", "id\na\n", "\0"])
def test_a_damaged_table_of_photographs_is_one_line(folder: Path, text: str) -> None:
    (folder / trained.LEARNT_FILE).write_text(text)
    with refused(WeightsError, "learnt.csv"):
        trained.fold_of_digest(folder)


def test_a_folder_without_a_card_is_no_network(folder: Path) -> None:
    (folder / trained.CARD_FILE).unlink()
    assert trained.names() == []
    with refused(UnknownNameError, "trained network"):
        trained.read_card(folder)


@pytest.mark.parametrize(
    "name", ["", ".mine", "a/b", "..", "a,b", " a", "a ", "a\nb", "\udcff", "lite", "Xception", "four-conv"]
)
def test_names_that_cannot_be(name: str) -> None:
    with refused(UsageError, "name"):
        trained.check_free(name, force=True)


def test_a_card_without_a_standard_error_is_read_as_it_was_once_written(folder: Path) -> None:
    path = folder / trained.CARD_FILE
    card = json.loads(path.read_text()) | {"scores": ["log loss 0.69315 ± nan, accuracy 50.00% (validation)"]}
    path.write_text(json.dumps(card))
    assert trained.read_card(folder).scores == ("log loss 0.69315, accuracy 50.00% (validation)",)

"""Fine-tuning KerasHub's networks: what of them learns, and what their folder keeps."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.features import feature_file
from catsdogs.networks import choice, hub_rows, trained, weights
from catsdogs.networks.quiet import importing_keras
from catsdogs.networks.table import HUB
from tests.conftest import Command, refused
from tests.support import hub
from tests.support.datasets import write_kaggle_folder
from tests.support.hub import Saved
from tests.support.networks import CARD

with importing_keras():
    from catsdogs.finetuning import fit
    from catsdogs.finetuning.hyperparameters import complete_hyperparameters


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    return hub.keeper(tmp_path_factory)


@pytest.mark.parametrize(
    ("family", "first"),
    [
        ("vit", "transformer_block_5"),
        ("dinov2-with-registers", "layers_4"),
        ("siglip", "head"),
        ("resnet", "stack1_block0"),
        ("mobilenet", "block_1_1"),
    ],
)
def test_the_last_block_learns(family: str, first: str, saved: Saved) -> None:
    row, _ = saved(family)
    plan = complete_hyperparameters(f"hub:{row.folder}")
    extractor, model = fit.build_model(plan, weights.obtain(row, None), 2, 0)
    learning = [layer for layer in extractor.get_layer("network").layers if layer.trainable_weights]
    assert first in learning[0].name and len(model.trainable_variables) < len(model.variables) / 2
    frozen = {"BatchNormalization"}
    parts = [part for layer in learning for part in layer._flatten_layers()]
    assert not [part for part in parts if type(part).__name__ in frozen and part.trainable_weights]
    pixels = hub.pixels(row.input_size)
    found = hub.numbers(extractor(pixels * 1.0, training=False))
    np.testing.assert_allclose(found, hub.vectors(row, pixels)[row.vector], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["dinov2", "mobilenet"])
def test_a_trained_network_does_without_its_preset(
    family: str, saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    row, _ = saved(family)
    size = 64 if family == "mobilenet" else row.input_size
    folder = trained.FOLDER / "mine"
    plan = complete_hyperparameters(f"hub:{row.folder}", unfreeze="all", input_size=size)
    path, model = fit.build_model(plan, weights.obtain(row, None), 2, 0)
    for learnt in model.trainable_variables:
        learnt.assign(learnt + 0.01)
    hub_rows.copy_description(row.folder or Path(), folder)
    path.save_weights(trained.weights_path(folder, trained.ALL))
    (folder / trained.LEARNT_FILE).touch()
    digests = {trained.ALL: trained.file_digest(trained.weights_path(folder, trained.ALL))}
    learnt_from = trained.file_digest(folder / trained.LEARNT_FILE)
    card = replace(CARD, base=row.name, input_size=size, weights=digests, learnt=learnt_from)
    trained.write_card(folder, card)
    mine = choice.choose(["mine"])[0]
    assert (mine.input_size, mine.width, mine.vector, mine.source) == (size, row.width, row.vector, HUB)
    pixels = hub.pixels(size)
    expected = hub.numbers(path(pixels * 1.0, training=False))
    np.testing.assert_allclose(hub.ours(mine, pixels)["vector"], expected, rtol=1e-4, atol=1e-5)
    before = trained.check_weights(folder)
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content, indent=1))
    assert trained.check_weights(folder) != before


def test_from_photographs_to_vectors(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    row, _ = saved("vit")
    shutil.copytree(row.folder or "", tmp_path / "presets" / "vit")
    write_kaggle_folder(tmp_path / "data", cats=6, dogs=6, test=2)
    start = ("--backbone", "hub:vit", "--weights-dir", "presets", "--data", "data")
    how = ("--folds", "1", "--epochs", "2", "--batch-size", "4", "--tricks", "flip")
    code, out, err = command("finetune", *start, *how)
    assert (code, trained.names()) == (0, ["my-vit"]), out + err
    card = trained.read_card(trained.FOLDER / "my-vit")
    assert (card.base, card.input_size, sorted(card.weights)) == ("hub-vit", 32, ["all"])
    shutil.rmtree(tmp_path / "presets")
    code, out, err = command("features", "--backbones", "my-vit", "--data", "data", "--engine", "keras")
    assert code == 0, out + err
    file = feature_file.read_features(feature_file.path_of(Path("features"), "my-vit"))
    assert file.width == 16 and len(file.ids["train"]) == 12
    code, out, err = command("filters", "--name", "my-vit", "--data", "data/test")
    assert code and "hub-vit has no convolution that stands alone" in err


def test_what_is_not_trained(saved: Saved) -> None:
    for name in ("timm:vit_small_patch16_224", "timm-vit_small_patch16_224"):
        with refused(UsageError, f"{name} is a network of PyTorch's, and only Keras's are trained here"):
            choice.to_train(name)
    with refused(UsageError, "@last4 says how photographs go through a finished network"):
        choice.to_train(f"hub:{saved('vit')[0].folder}@last4")
    with pytest.raises(UnknownNameError, match="No network to train is called 'none'"):
        choice.to_train("none")
    with refused(UsageError, "hub-vit is the name of a network already"):
        trained.check_free("hub-vit", force=False)

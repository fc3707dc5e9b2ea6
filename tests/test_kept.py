"""What earlier versions wrote is read as they read it: the files of tests/kept, against the values beside them."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catsdogs.cleaning import decisions, suspect_table
from catsdogs.features import feature_file, joining
from catsdogs.features.feature_file import Features
from catsdogs.networks import trained
from catsdogs.networks.quiet import importing_keras
from catsdogs.photographs import images, tfrecord
from catsdogs.photographs.dataset import scan
from catsdogs.runs import out_of_fold, run_card, training
from catsdogs.scoring.comparison_file import read_comparison
from catsdogs.scoring.training_plan import NEWEST, OLDEST

KEPT = Path(__file__).with_name("kept")
VALUES = json.loads((KEPT / "values.json").read_text(encoding="utf-8"))
FEATURES, RUNS, NETWORK, PHOTOGRAPHS = (VALUES[name] for name in ("features", "runs", "network", "photographs"))


def features(name: str) -> Features:
    return feature_file.read_features(KEPT / "features" / f"{name}.h5", lambda: scan(KEPT / "packed"))


def plain(value: Any) -> Any:
    """As JSON has it: lists in place of tuples."""
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("name", FEATURES)
def test_feature_files(name: str) -> None:
    file, known = features(name), FEATURES[name]
    assert file.recipe.as_dict() == known["recipe"]
    assert (list(file.classes), file.width, file.labels.tolist()) == (known["classes"], known["width"], known["labels"])
    assert {split: ids.tolist() for split, ids in file.ids.items()} == known["ids"]
    assert {split: digests.tolist() for split, digests in file.digests.items()} == known["digests"]
    assert {split: best[:, 0].tolist() for split, best in file.topk_class.items()} == known["best"]
    assert plain(file.unreadable) == known["unreadable"]
    assert file.statistics.keys() == known["statistics"].keys() and file.topk_prob.keys() == known["probability"].keys()
    for split in feature_file.SPLITS:
        np.testing.assert_allclose(file.vectors(split), known["vectors"][split], rtol=1e-6)
        if split in file.statistics:
            np.testing.assert_allclose(file.statistics[split], known["statistics"][split], rtol=1e-6)
        if split in file.topk_prob:
            np.testing.assert_allclose(file.topk_prob[split][:, 0], known["probability"][split], rtol=1e-6)


def test_one_of_them_is_in_parts() -> None:
    assert len(list((KEPT / "features/Xception.shards").rglob("*.h5"))) == 3
    assert features("Xception").vectors("train", np.array([7, 0])).shape == (2, FEATURES["Xception"]["width"])


@pytest.mark.parametrize("name", RUNS)
def test_runs(name: str) -> None:
    loaded, known = run_card.load_run(KEPT / "submissions" / name), RUNS[name]
    assert (loaded.run.version, loaded.run.head, list(loaded.run.backbones)) == (
        known["version"],
        known["head"],
        known["backbones"],
    )
    assert type(loaded.heads[0]).__name__ == known["kind"] and loaded.run.scores[0].log_loss == known["score"]
    files = [features(backbone) for backbone in known["backbones"]]
    assert loaded.run.rows_digest == joining.rows_digest(files[0])
    for split in feature_file.SPLITS:
        probabilities = loaded.predict(joining.Joined(files, split).read())
        np.testing.assert_allclose(probabilities, known["probabilities"][split], rtol=0, atol=1e-6)
    probabilities, fold = out_of_fold.read_out_of_fold(KEPT / "submissions" / name, loaded.run, files[0])
    np.testing.assert_allclose(probabilities, known["out_of_fold"], rtol=0, atol=1e-8)
    assert fold.tolist() == known["fold"]


@pytest.mark.parametrize("name", ["ridge", "version-2"])
def test_a_run_is_trained_again_by_the_rules_of_its_time(tmp_path: Path, name: str) -> None:
    run, known = run_card.read_run(KEPT / "submissions" / name), RUNS[name]
    files = [features(backbone) for backbone in known["backbones"]]
    run_card.rows_of(run, files)
    again = training.train(files, run_card.plan_of(run), name="again", submissions=tmp_path, command="again")
    # Fits came within 1e-5 of the least squares then; now there is a closed form.
    assert (again.version, again.scores[0].log_loss) == (known["version"], pytest.approx(known["score"], abs=1e-5))
    assert again.settings.items() >= ({"penalty": 1.0} if name == "ridge" else {"search": "five"}).items()
    probabilities, fold = out_of_fold.read_out_of_fold(tmp_path / "again", again, files[0])
    np.testing.assert_allclose(probabilities, known["out_of_fold"], rtol=0, atol=1e-4)
    assert fold.tolist() == known["fold"]


def test_every_kept_run_is_listed() -> None:
    listing = run_card.list_runs(KEPT / "submissions")
    assert [run.name for run in listing.runs] == sorted(RUNS) and listing.damaged == []
    assert {run.version for run in listing.runs} == {OLDEST, NEWEST}


def test_tables() -> None:
    suspects = suspect_table.read_suspects(KEPT / "features/outliers.csv")
    assert (
        plain([row._replace(reasons=[reason.text for reason in row.reasons]) for row in suspects]) == VALUES["suspects"]
    )
    found = decisions.read_decisions(KEPT / "features/decisions.csv", FEATURES["ResNet50"]["classes"])
    assert {id: [decision.decision, decision.label] for id, decision in found.items()} == VALUES["decisions"]
    compared = read_comparison(KEPT / "submissions/compare.csv")
    assert compared and compared.is_by_log_loss and len(compared.entries) == len(VALUES["comparison"])
    for entry, known in zip(compared.entries, VALUES["comparison"], strict=True):
        assert {name: value for name, value in plain(asdict(entry)).items() if name in known} == known
    assert (compared.rows, compared.folds, compared.repeats) == (12, 2, 2)


def test_what_a_person_decided_is_obeyed() -> None:
    found = decisions.corrections(KEPT / "features", [features("ResNet50")], "decided")
    assert (set(found.drop), dict(found.relabel)) == ({"cat.0"}, {"dog.0": "cat"})


def test_photographs_in_tfrecord_files() -> None:
    dataset = scan(KEPT / "packed")
    assert list(dataset.classes) == PHOTOGRAPHS["classes"]
    assert {split: [row.id for row in dataset.of(split)] for split in feature_file.SPLITS} == PHOTOGRAPHS["ids"]
    assert [row.label for row in dataset.of("train")] == PHOTOGRAPHS["labels"]
    assert [str(images.digest(dataset.read(row))) for row in dataset.photographs] == PHOTOGRAPHS["digests"]
    manifest = tfrecord.read_manifest(KEPT / "packed")
    assert manifest and [file.rows for file in manifest.files] == [12, 3]


def test_a_trained_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.unpack_archive(KEPT / "networks.zip", tmp_path)
    monkeypatch.chdir(tmp_path)
    (name,) = trained.names()
    folder = trained.FOLDER / name
    assert plain(asdict(trained.read_card(folder))) == NETWORK["card"]
    assert {str(digest): fold for digest, fold in trained.fold_of_digest(folder).items()} == NETWORK["folds"]
    assert trained.check_weights(folder) == NETWORK["hash"]
    dataset = scan(KEPT / "packed")
    pixels = images.square(dataset.read(dataset.photographs[0]), 32)
    with importing_keras():
        from catsdogs.finetuning import film
        from catsdogs.networks import build
    vector = np.asarray(build.read_path(folder, trained.ALL)(pixels[np.newaxis].astype(np.float32)))
    np.testing.assert_allclose(vector[0, :16], NETWORK["vector"], rtol=1e-3, atol=1e-6)
    kernels, *_ = film.read_kernels(folder / trained.KERNELS_FILE)
    assert kernels.shape[-1] == 32

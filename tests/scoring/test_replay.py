"""MLE-bench's split of the labelled photographs, and a run on it that never sees what it is graded on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from catsdogs.competition import grading
from catsdogs.errors import StoreError, TrainingError, UnknownNameError
from catsdogs.features import feature_file, joining
from catsdogs.features.cache import Cache
from catsdogs.features.feature_file import Features, Unreadable
from catsdogs.networks import trained
from catsdogs.runs import run_card
from catsdogs.scoring import replay
from tests.conftest import refused
from tests.faults.specimens import network_card
from tests.support.features import opened, recipe, rows_of
from tests.support.runs import CLASSES, digested, features, train, with_copies


def oracle(ids: list[str]) -> tuple[set[str], set[str]]:
    """The ids of what MLE-bench leaves in train/ and of what it grades on, by its own steps on a folder's paths."""
    paths = sorted(Path("raw/train") / f"{id}.jpg" for id in ids)
    learnt, graded = train_test_split(paths, test_size=0.1, random_state=0)
    return {path.stem for path in learnt}, {path.stem for path in graded}


def in_another_order(folder: Path, file: Features) -> Features:
    """Features of the same photographs by another network, its rows in the reverse order."""
    table = digested(list(zip(file.ids["train"], file.labels, strict=True)), len(file.ids["test"]))[::-1]
    cache = Cache(folder, recipe("Xception"))
    cache.write_shard(rows_of(table, 3, "Xception"), "none")
    cache.assemble(table, CLASSES, [], "photographs")
    return feature_file.read_features(cache.path)


@pytest.mark.parametrize("rows", [6, 37, 150])
def test_the_split_is_mle_benchs(tmp_path: Path, rows: int) -> None:
    file = features(tmp_path, rows=rows)
    (view,), truth = replay.hold_out([file], "mlebench")
    learnt, graded = oracle(file.ids["train"].tolist())
    assert set(view.ids["train"]) == learnt and set(view.ids["test"]) == graded
    assert len(view.ids["train"]) == len(learnt) and len(view.ids["test"]) == len(graded) == len(truth)
    assert [CLASSES[label] for label in truth] == [id.split(".")[0] for id in view.ids["test"]]
    assert [CLASSES[label] for label in view.labels] == [id.split(".")[0] for id in view.ids["train"]]


def test_it_is_the_files_names_that_are_sorted(tmp_path: Path) -> None:
    """`cat.1-b.jpg` comes before `cat.1.jpg`, though `cat.1-b` comes after `cat.1`."""
    file = features(tmp_path)
    ids = np.array([f"cat.{row // 2}{'-b' * (row % 2)}" for row in range(40)], object)
    (view,), _ = replay.hold_out([replace(file, ids={**file.ids, "train": ids})], "mlebench")
    assert set(view.ids["test"]) == oracle(ids.tolist())[1]


def test_a_view_has_of_each_row_what_the_file_has(tmp_path: Path) -> None:
    file = features(tmp_path)
    (view,), _ = replay.hold_out([file], "mlebench")
    assert (view.name, view.width, view.recipe, view.classes) == (file.name, file.width, file.recipe, file.classes)
    row_of = {id: row for row, id in enumerate(file.ids["train"])}
    for split in feature_file.SPLITS:
        rows = [row_of[id] for id in view.ids[split]]
        assert rows == sorted(rows)
        assert np.array_equal(view.vectors(split), file.vectors("train")[rows])
        for name in ("digests", "topk_class", "topk_prob", "statistics"):
            assert np.array_equal(getattr(view, name)[split], getattr(file, name)["train"][rows])
    bare = replace(file, digests={}, topk_class={}, topk_prob={}, statistics={})  # as of an old notebook's file
    (view,), _ = replay.hold_out([bare], "mlebench")
    assert view.digests == view.topk_class == view.topk_prob == view.statistics == {}
    assert len(joining.rows_digest(view)) == 64


def test_networks_are_joined_whatever_the_order_of_their_rows(tmp_path: Path) -> None:
    file = features(tmp_path)
    files = [file, in_another_order(tmp_path, file)]
    assert files[1].ids["train"].tolist() == file.ids["train"].tolist()[::-1]
    views, _ = replay.hold_out(files, "mlebench")
    for split in feature_file.SPLITS:
        ids, joined = views[0].ids[split], joining.Joined(views, split).read()
        all_ids, everything = files[0].ids["train"], joining.Joined(files, "train").read()
        assert np.array_equal(joined, everything[[all_ids.tolist().index(id) for id in ids]])


def test_what_cannot_be_read_takes_part_in_the_split(tmp_path: Path) -> None:
    """Otherwise one damaged file would move all others to another side."""
    lost = [Unreadable("train", f"cat.{n}", "empty") for n in range(100, 130)] + [Unreadable("test", "7", "empty")]
    file = features(tmp_path, unreadable=lost)
    (view,), truth = replay.hold_out([file], "mlebench")
    learnt, graded = oracle([*file.ids["train"], *(row.id for row in lost[:-1])])
    assert set(view.ids["test"]) == graded & set(file.ids["train"]) and 0 < len(truth) < len(graded)
    assert set(view.ids["train"]) == learnt & set(file.ids["train"])
    assert {row.id for row in view.unreadable} == learnt & {row.id for row in lost}
    run = train([view], tmp_path, protocol="mlebench", truth=truth)
    assert run.unreadable == {} and run.test_rows == len(truth)


def test_a_run_is_graded_on_what_was_hidden_and_its_truth_repeats_the_figure(tmp_path: Path) -> None:
    files = [features(tmp_path, name, rows=60, apart=1) for name in ("ResNet50", "Xception")]
    views, truth = replay.hold_out(files, "mlebench")
    run = train(views, tmp_path, head="stack", protocol="mlebench", truth=truth, drop=set(views[0].ids["test"][:3]))
    assert run.scores[0].measured_on == "held out, a seeded tenth, 12 labelled photographs"
    assert run.scores[1].measured_on.startswith("out of fold, 108 training photographs")
    assert (run.train_rows, run.test_rows, run.dropped, run.protocol) == (108, 12, (), "mlebench")
    assert run_card.read_run(tmp_path / "run") == run

    folder = tmp_path / "run"
    grading.write_truth(folder / "truth.csv", replay.truth_by_id(views[0], truth))
    grade = grading.grade_submission(folder / "submission.csv", folder / "truth.csv", run.classes)
    assert grade.log_loss == pytest.approx(run.scores[0].log_loss, abs=1e-5)
    assert (grade.accuracy, grade.rows) == (run.scores[0].accuracy, 12)


def test_hidden_labels_leave_no_trace_in_the_run(tmp_path: Path) -> None:
    file = features(tmp_path, rows=30, apart=1)
    (view,), truth = replay.hold_out([file], "mlebench")
    hidden = np.isin(file.ids["train"], view.ids["test"])
    lied_to = replace(file, labels=np.where(hidden, 1 - file.labels, file.labels))
    for name, one in (("honest", file), ("lied", lied_to)):
        views, answers = replay.hold_out([one], "mlebench")
        train(views, tmp_path, name=name, head="stack", protocol="mlebench", truth=answers)
    assert np.array_equal(answers, 1 - truth)
    for part in ("submission.csv", "oof.csv"):
        assert (tmp_path / "honest" / part).read_bytes() == (tmp_path / "lied" / part).read_bytes()


def test_what_cannot_be_replayed_is_told_in_one_line(tmp_path: Path) -> None:
    file = features(tmp_path)
    with refused(UnknownNameError, "No protocol is called 'kaggle'. Choose from: mlebench"):
        replay.hold_out([file], "kaggle")
    with refused(TrainingError, "ResNet50.h5 has 10 labelled rows, too few"):
        replay.hold_out([features(tmp_path / "few", rows=5)], "mlebench")
    with refused(StoreError, "lacks 2 train rows"):
        replay.hold_out([file, features(tmp_path, "Xception", rows=21)], "mlebench")
    (view,), truth = replay.hold_out([file], "mlebench")
    with refused(StoreError, "cannot be written"):
        grading.write_truth(file.path / "truth.csv", replay.truth_by_id(view, truth))
    row, id = view.rows["test"][0], view.ids["test"][0]
    with opened(file.path) as damaged:
        damaged["train"][row] = np.nan
    with refused(StoreError, rf"train row {row} \({id}\) is not finite"):
        view.vectors("test")


def kaggles(folder: Path, monkeypatch: pytest.MonkeyPatch, rows: int = 60) -> Features:
    """A file that holds all of Kaggle's labelled photographs, were there so few."""
    monkeypatch.setattr(replay, "KAGGLES_FILES", {f"{name}.{n}" for name in CLASSES for n in range(rows)})
    return features(folder, rows=rows, apart=1)


def test_the_split_is_called_theirs_for_kaggles_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(replay.KAGGLES_FILES) == 25_000
    file = kaggles(tmp_path, monkeypatch)
    lost = tuple(Unreadable("train", f"dog.{n}", "empty") for n in (60, 61))
    for one, theirs in (
        (file, True),
        (features(tmp_path / "fewer", rows=59, apart=1), False),
        (features(tmp_path / "more", rows=60, classes=("cat", "dog", "fox"), apart=1), False),
        (features(tmp_path / "others", rows=60, classes=("ant", "bee"), apart=1), False),
        (replace(file, unreadable=lost), False),
    ):
        (view,), truth = replay.hold_out([one], "mlebench")
        run = train([view], tmp_path / "runs", protocol="mlebench", truth=truth, force=True)
        measured_on = run.scores[0].measured_on
        expected = "held out by MLE-bench's split" if theirs else "held out, a seeded tenth"
        assert measured_on == f"{expected}, {len(truth)} labelled photographs"


def test_copies_stay_on_one_side_unless_the_rule_is_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = [(f"cat.{n}", f"cat.{n + 20}", f"dog.{n}") for n in range(20)]
    for ours in (True, False):
        file = features(tmp_path, rows=60, apart=1) if ours else kaggles(tmp_path, monkeypatch)
        file = with_copies(file, *groups)
        views, truth = replay.hold_out([file], "mlebench")
        held = set(views[0].ids["test"])
        parted = [group for group in groups if 0 < len(held & set(group)) < 3]
        assert bool(parted) != ours and (replay.copies_learnt(views[0]) == 0) == ours
        assert held == oracle(file.ids["train"].tolist())[1] or ours
        assert [CLASSES[label] for label in truth] == [id.split(".")[0] for id in views[0].ids["test"]]
        run = train(views, tmp_path / "runs", protocol="mlebench", truth=truth, force=True)
        assert (run.held_out == ()) != ours
        bare = replace(file, digests={})  # what is known of copies is in run.json alone
        assert set(run_card.rows_of(run_card.read_run(tmp_path / "runs/run"), [bare])[0].ids["test"]) == held
        run_card.check_repeatable(run, [file])
        again, _ = replay.hold_out([file], "mlebench", run_card.plan_of(run).held_out)
        assert again[0].ids["test"].tolist() == views[0].ids["test"].tolist()


@pytest.mark.parametrize("knows", ["hidden", "visible", "gone"])
def test_a_network_that_learnt_what_is_hidden_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows: str
) -> None:
    """Its vectors are fair to each row alone: members that learnt hidden labels made those that heads learn from."""
    monkeypatch.chdir(tmp_path)
    files = [features(tmp_path), features(tmp_path, "tuned")]
    file = files[1]
    (view,), _ = replay.hold_out(files[:1], "mlebench")
    rows = np.flatnonzero(~np.isin(file.ids["train"], view.ids["test"]) | (knows == "hidden"))
    if knows != "gone":
        (trained.FOLDER / "tuned").mkdir(parents=True)
        learnt = trained.Learnt(
            file.ids["train"][rows], file.digests["train"][rows], file.labels[rows], 1 + np.arange(len(rows)) % 2
        )
        trained.write_learnt(trained.FOLDER / "tuned", learnt, CLASSES, {})
        content = json.loads(network_card()) | {"name": "tuned"}
        (trained.FOLDER / "tuned" / trained.CARD_FILE).write_text(json.dumps(content))
    if knows == "visible":
        assert len(replay.hold_out(files, "mlebench")[1]) == 4
        return
    message = (
        "tuned has learnt the labels of 4 of the 4 photographs" if knows == "hidden" else "tuned is not in networks/"
    )
    with refused(TrainingError, message):
        replay.hold_out(files, "mlebench")


def test_hidden_classes_that_nobody_learnt_are_scored_all_the_same(tmp_path: Path) -> None:
    file = features(tmp_path, classes=("ant", "bee", "cat"), rows=20, apart=1)
    (view,), _ = replay.hold_out([file], "mlebench")
    rows = np.isin(file.ids["train"], view.ids["test"])
    labels = np.where(rows, file.labels, np.minimum(file.labels, 1))  # cats are among the hidden ones alone
    views, truth = replay.hold_out([replace(file, labels=labels)], "mlebench")
    run = train(views, tmp_path, protocol="mlebench", truth=truth)
    assert (run.classes, run.left_out) == (("ant", "bee"), ("cat",)) and 2 in truth
    grade = grading.grade_submission(
        tmp_path / "run/submission.csv", tmp_path / "run/truth.csv", run.classes, run.left_out
    )
    assert grade.log_loss == pytest.approx(run.scores[0].log_loss, abs=1e-6)

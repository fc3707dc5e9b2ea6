"""Several deals of folds, a refitted head and pseudo-labels: scored, kept, repeated and taken up again."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from catsdogs.errors import TrainingError
from catsdogs.features.feature_file import Features
from catsdogs.runs import out_of_fold, run_card
from catsdogs.scoring import kept_heads, streaming
from catsdogs.scoring.training_plan import TrainingRows, seeds_of
from tests.conftest import refused
from tests.support.runs import change_run, features, read_probabilities, train, with_copies

ALL = {"repeats": 2, "refit": True, "pseudo": 0.8}


def drawn(folder: Path) -> Features:
    """Two classes that overlap, and test rows."""
    return features(folder, apart=1, test=30)


def test_several_deals_are_the_mean_of_runs_with_seeds_of_their_own(tmp_path: Path) -> None:
    file = drawn(tmp_path)
    run = train([file], tmp_path, seed=7, repeats=3)
    alone = [train([file], tmp_path, seed=seed, name=str(seed)) for seed in (7, 8, 9)]
    tables = [out_of_fold.read_out_of_fold(tmp_path / one.name, one, file) for one in (run, *alone)]
    np.testing.assert_allclose(tables[0][0], np.mean([table for table, _ in tables[1:]], axis=0), rtol=0, atol=1e-15)
    assert np.array_equal(tables[0][1], tables[1][1])  # the folds of the first deal
    assert not np.array_equal(tables[1][1], tables[2][1])
    assert all("out of fold, 40 training photographs, 3 x 4 folds, " in score.measured_on for score in run.scores)

    test = streaming.predicted(lambda X: X.astype(np.float64), [file], "test").astype(np.float32)
    deals = [run_card.load_run(tmp_path / one.name).heads for one in alone]
    of_folds = [
        run.calibration.apply(np.mean([head.predict_proba(test) for head in of_fold], axis=0))
        for of_fold in zip(*deals, strict=True)
    ]
    loaded = run_card.load_run(tmp_path / "run")
    assert len(loaded.heads) == 12 and loaded.run == run
    np.testing.assert_allclose(loaded.predict(test), np.mean(of_folds, axis=0), rtol=0, atol=1e-12)
    written = read_probabilities(tmp_path / "run" / "submission.csv")
    np.testing.assert_allclose([*written.values()], loaded.predict(test)[:, 1], rtol=0, atol=1e-9)


def test_copies_share_a_fold_in_every_deal(tmp_path: Path) -> None:
    file = with_copies(drawn(tmp_path), ("cat.0", "cat.9", "cat.17"))
    run = train([file], tmp_path, repeats=3)
    rows = TrainingRows.of([file], copies=run.copies)
    for seed in seeds_of(run_card.plan_of(run)):
        fold = rows.deal(run.folds, seed)
        assert len({int(fold[number]) for number in (0, 9, 17)}) == 1
    assert "3 x 4 folds with copies in one" in run.scores[0].measured_on


def test_a_refitted_head_answers_and_the_scores_stay_those_of_the_folds(tmp_path: Path) -> None:
    file = drawn(tmp_path)
    plain, run = train([file], tmp_path, name="plain"), train([file], tmp_path, refit=True)
    assert (tmp_path / "plain" / "oof.csv").read_bytes() == (tmp_path / "run" / "oof.csv").read_bytes()
    assert [score.log_loss for score in run.scores] == [score.log_loss for score in plain.scores]
    assert all("another head, of all rows, is submitted" in score.measured_on for score in run.scores)
    assert run.calibration == plain.calibration
    [head] = run_card.load_run(tmp_path / "run").heads
    test = streaming.predicted(lambda X: X.astype(np.float64), [file], "test").astype(np.float32)
    expected = run.calibration.apply(head.predict_proba(test))[:, 1]
    written = read_probabilities(tmp_path / "run" / "submission.csv")
    np.testing.assert_allclose([*written.values()], expected, rtol=0, atol=1e-9)
    assert written != read_probabilities(tmp_path / "plain" / "submission.csv")


@pytest.mark.parametrize("head", ["ridge", "GaussianNB"])
def test_run_json_is_enough_to_repeat_them(tmp_path: Path, head: str) -> None:
    file = drawn(tmp_path)
    first = train([file], tmp_path, head=head, folds=3, **ALL)
    plan = run_card.plan_of(run_card.read_run(tmp_path / "run"))
    assert (plan.repeats, plan.refit, plan.pseudo) == (2, True, 0.8)
    again = train([file], tmp_path, name="again", **{name: getattr(plan, name) for name in vars(plan)})
    assert replace(again, name="run", created=first.created) == first
    for part in ("submission.csv", "oof.csv"):
        assert (tmp_path / "again" / part).read_bytes() == (tmp_path / "run" / part).read_bytes()
    assert len(run_card.load_run(tmp_path / "run").heads) == first.kept_heads == (2 if head == "ridge" else 1)
    assert "test photographs under pseudo-labels" in first.scores[0].measured_on


def test_a_run_of_before_they_were_there_is_read(tmp_path: Path) -> None:
    run = train([drawn(tmp_path)], tmp_path)
    path = tmp_path / "run" / "run.json"
    content = json.loads(path.read_text())
    for name in ("repeats", "refit", "pseudo"):
        del content[name]
    path.write_text(json.dumps(content))
    assert run_card.load_run(tmp_path / "run").run == run


def test_heads_that_are_not_as_many_as_the_run_says_are_told(tmp_path: Path) -> None:
    train([drawn(tmp_path)], tmp_path, repeats=2)
    for parts in ({"repeats": 3}, {"refit": True}):
        change_run(tmp_path / "run", **{"repeats": 2, "refit": False} | parts)
        with refused(TrainingError, rf"{kept_heads.HEAD_FILE} is damaged"):
            run_card.load_run(tmp_path / "run")
    for parts in ({"repeats": 0}, {"repeats": 2, "pseudo": 1.5}):
        change_run(tmp_path / "run", **parts)
        with refused(TrainingError, r"run\.json is damaged"):
            run_card.read_run(tmp_path / "run")


def test_rows_in_blocks_are_dealt_several_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MEMORY_SHARE", 0.0)
    file = drawn(tmp_path)
    run = train([file], tmp_path, repeats=2, head="GaussianNB")
    assert run.streamed and len(run_card.load_run(tmp_path / "run").heads) == 8

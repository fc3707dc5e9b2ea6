"""Blends of real small runs: what they are judged by, what they refuse, and that they are runs like any other."""

import csv
from pathlib import Path

import numpy as np
import pytest

from catsdogs.competition import submission
from catsdogs.errors import CatsdogsError, TrainingError, UsageError
from catsdogs.features.feature_file import Features
from catsdogs.photographs.task import Task
from catsdogs.runs import blending, out_of_fold, run_card
from catsdogs.scoring import judging, streaming
from tests.support.kinds import OF_KINDS, features_of
from tests.support.runs import features, read_again, read_probabilities, train

NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of three heads on photographs that are hard to tell, and the blend of them."""
    folder = tmp_path_factory.mktemp("made")
    file = features(folder / "features", apart=1.5)
    for name, head in zip(NAMES, ("ridge", "logistic", "gaussian_nb"), strict=True):
        train([file], folder, name=name, head=head if head != "gaussian_nb" else "blend")
    blend(folder, NAMES)
    return folder


def blend(folder: Path, names: tuple[str, ...], fixed: dict[str, float] | None = None, **other: object) -> run_card.Run:
    runs = [run_card.read_run(folder / name) for name in names]
    given = [blending.Given(run, read_again(run)) for run in runs]
    how = {"name": "joined", "submissions": folder, "command": "catsdogs blend"} | other
    return blending.blend(given, fixed or {}, **how)  # type: ignore[arg-type]


def test_a_blend_is_judged_by_weights_of_other_folds_and_says_what_each_run_adds(made: Path) -> None:
    run = run_card.read_run(made / "joined")
    assert run.blend
    assert [part.name for part in run.blend.parts] == list(NAMES)
    assert sum(part.weight for part in run.blend.parts) == pytest.approx(1)
    assert all(np.isfinite([part.added, part.added_error]).all() for part in run.blend.parts)
    first = read_again(run)[0]
    raw, fold = out_of_fold.read_out_of_fold(made / "joined", run, first)
    judged = judging.cross_fitted(raw, judging.truth_of(first), fold, run.task)
    assert judging.measure(judged, first.labels, run.task).value == pytest.approx(run.scores[0].log_loss, abs=1e-12)
    best = min(run_card.read_run(made / name).scores[0].log_loss for name in NAMES)
    assert run.blend.gain == pytest.approx(best - run.scores[0].log_loss, abs=1e-9)


def test_taken_up_again_it_answers_what_was_submitted(made: Path) -> None:
    trained = run_card.load_run(made / "joined")
    files = read_again(trained.run)
    predictions = streaming.predicted(trained.predict, files, "test")
    written = read_probabilities(made / "joined/submission.csv")
    assert [written[id] for id in files[0].ids["test"]] == pytest.approx(predictions[:, 1].tolist(), rel=1e-9)
    assert submission.check_submission(made / "joined/submission.csv", classes=trained.run.classes) == len(written)


def test_a_blend_is_blended_again_but_not_trained_again(made: Path) -> None:
    run = blend(made, ("joined", "one"), name="again")
    assert len(run_card.load_run(made / "again").heads) == run.folds
    with pytest.raises(TrainingError, match="was blended, not trained"):
        run_card.plan_of(run)


def test_a_csv_joins_with_the_weight_that_was_given(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    ids = list(read_probabilities(made / "one/submission.csv"))
    path.write_text("\n".join(["id,label", *(f"{id},0.9" for id in reversed(ids))]))
    run = blend(made, ("one",), {str(path): 0.25}, name="with-csv")
    assert run.blend
    assert [part.weight for part in run.blend.parts] == [0.75, 0.25]
    assert "of the runs alone" in run.scores[0].measured_on
    ours, theirs = read_probabilities(made / "one/submission.csv"), read_probabilities(made / "with-csv/submission.csv")
    for id in ids:
        expected = 0.75 * np.log(ours[id] / (1 - ours[id])) + 0.25 * np.log(9)
        assert np.log(theirs[id] / (1 - theirs[id])) == pytest.approx(expected, abs=0.2)  # calibrated once more
    with pytest.raises(TrainingError, match="answers for its own photographs only"):
        run_card.load_run(made / "with-csv")


def test_runs_that_do_not_belong_together_are_refused_by_name_and_row(made: Path, tmp_path: Path) -> None:
    first = read_again(run_card.read_run(made / "one"))
    train(first, made, name="other-seed", seed=3)
    with pytest.raises(TrainingError, match=r"Folds disagree: .*other-seed.oof.csv, row \d+ has the fold"):
        blend(made, ("one", "other-seed"), name="x")
    train([features(tmp_path / "features", classes=("cat", "dog"), rows=21)], made, name="more")
    with pytest.raises(TrainingError, match=r"Runs of other rows: .*more.oof.csv, row 22 has the id cat.20"):
        blend(made, ("one", "more"), name="x")
    for names, fixed, match in (
        (("one", "one"), {}, "twice"),
        (("one",), {}, "too few"),
        (("one",), {"a.csv": 1.0}, "add up to 1"),
        (("one", "two"), {}, "replace its part one"),
    ):
        with pytest.raises(UsageError, match=match):
            blend(made, names, fixed, name="one" if "part" in match else "x", force=True)
    assert not (made / "x").exists()


def test_a_part_that_was_trained_anew_is_noticed(made: Path, tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(made, tmp_path / "copied"))
    table = folder / "two/oof.csv"
    table.write_text(table.read_text() + "\n")
    with pytest.raises(TrainingError, match="The run two, of which joined is blended, is not what it was"):
        run_card.load_run(folder / "joined")
    shutil.rmtree(folder / "two")
    with pytest.raises(CatsdogsError, match="is gone"):
        run_card.load_run(folder / "joined")


@pytest.mark.parametrize("task", OF_KINDS.values(), ids=OF_KINDS)
def test_every_kind_is_blended(tmp_path: Path, task: Task) -> None:
    files: list[Features] = [
        features_of(tmp_path / "features", task, 120, 12, noise=noise, name=name, seed=0)
        for noise, name in ((0.5, "ResNet50"), (0.7, "Xception"))
    ]
    for file, name in zip(files, ("one", "two"), strict=True):
        train([file], tmp_path, name=name)
    run = blend(tmp_path, ("one", "two"))
    header = [next(csv.reader((tmp_path / name / "submission.csv").open())) for name in ("one", "joined")]
    assert header[0] == header[1]
    assert list(run.backbones) == ["ResNet50", "Xception"]
    assert np.isfinite(run.scores[0].value)
    predictions = streaming.predicted(run_card.load_run(tmp_path / "joined").predict, files, "test")
    assert predictions.shape == (12, len(run.classes))

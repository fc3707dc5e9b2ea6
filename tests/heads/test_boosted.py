"""Boosted trees learn every kind of task, repeat themselves, and are kept in their libraries' own formats."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io

from catsdogs import heads
from catsdogs.errors import TrainingError
from catsdogs.heads import _boosted, _lookup
from catsdogs.photographs.task import CLASSES, LABELS, NUMBER, ORDINAL
from catsdogs.runs import run_card, training
from catsdogs.scoring import crossval, kept_heads
from tests.conftest import refused
from tests.heads.test_heads import blobs
from tests.support.runs import features, train

NAMES = [pytest.param(name, marks=pytest.mark.optional(name)) for name in _lookup.BOOSTED]


def told(kind: str, rows: int = 240, seed: int = 0) -> tuple[Any, Any]:
    """Vectors and what is right of them, as a kind of task has it."""
    X, y = blobs(3, rows, seed=seed)
    target = {
        CLASSES: y,
        ORDINAL: y,
        LABELS: np.stack([y == 0, y > 0, y >= 0], axis=1).astype(int),
        NUMBER: np.stack([100.0 + 10 * y, 0.0 * y + 7], axis=1),
    }
    return X, target[kind]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [CLASSES, LABELS, ORDINAL, NUMBER])
def test_every_kind_of_task_is_learnt_kept_and_repeated(name: str, kind: str) -> None:
    (X, target), (unseen, truth) = told(kind), told(kind, seed=1)
    head = heads.create(name, 3, (5, 7), kind)
    crossval.fit(head, X, target)
    answers = crossval.checked_predictions(head, unseen, 2 if kind == NUMBER else 3, kind)
    if kind == NUMBER:
        assert np.abs(answers - truth).mean() < 2 and (answers[:, 1] == 7).all()
    else:
        likeliest = answers > 0.5 if kind == LABELS else answers.argmax(axis=1)
        assert (likeliest == truth).mean() > 0.9
    file = io.BytesIO()
    kept_heads.write_heads(file, name, [head])
    (again,) = skops.io.load(file, trusted=kept_heads._trusted(heads.find(name)))
    assert np.array_equal(crossval.predict(again, unseen, kind), answers)
    second = heads.create(name, 3, (5, 7), kind)
    crossval.fit(second, X, target)
    assert np.array_equal(crossval.predict(second, unseen, kind), answers)
    assert heads.settings_of(heads.create(name, **heads.settings_of(head))) == heads.settings_of(head)


@pytest.mark.parametrize("name", NAMES)
def test_weights_count(name: str) -> None:
    """Rows of no weight say nothing: here they lie."""
    X, y = blobs(2, 240)
    lies = np.arange(240) % 3 == 0
    told_wrong = np.where(lies, 1 - y, y)
    weights = np.where(lies, 1e-6, 1.0)
    head = heads.create(name)
    crossval.fit(head, X, told_wrong, weights=weights)
    assert (head.predict_proba(X).argmax(axis=1) == y).mean() > 0.95
    labels = heads.create(name, kind=LABELS)
    crossval.fit(labels, X, np.stack([told_wrong, y], axis=1), weights=np.stack([weights, np.ones(240)], axis=1))
    assert ((labels.predict_proba(X) > 0.5) == np.stack([y, y], axis=1)).mean() > 0.95


@pytest.mark.parametrize("name", NAMES)
def test_copies_are_not_parted_inside(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = blobs(2)
    parted = []
    real = _boosted.Rows.only

    def only(self: Any, rows: Any) -> Any:
        parted.append(set((rows // 4).tolist()))
        return real(self, rows)

    monkeypatch.setattr(_boosted.Rows, "only", only)
    head = heads.create(name, rounds=3)
    crossval.fit(head, X, np.repeat(y[:30], 4), groups=np.arange(120) // 4)
    learnt, held_out = parted
    assert held_out and not learnt & held_out


@pytest.mark.parametrize("name", NAMES)
def test_threads_change_nothing_that_matters(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = blobs(3, 240)
    alone = heads.create(name, rounds=20).fit(X, y).predict_proba(X)
    monkeypatch.setattr(_boosted, "FEW_NUMBERS", 0)
    monkeypatch.setattr(_boosted, "usable", lambda: 2)
    np.testing.assert_allclose(heads.create(name, rounds=20).fit(X, y).predict_proba(X), alone, atol=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_read_back_and_repeated(name: str, tmp_path: Path) -> None:
    file = features(tmp_path, apart=3)
    run = train([file], tmp_path, head=name, folds=2, settings={"rounds": 20})
    assert run.settings["rounds"] == 20
    assert len(run_card.load_run(tmp_path / "run").heads) == 2
    again = training.train([file], run_card.plan_of(run), name="again", submissions=tmp_path, command="again")
    assert again.scores == run.scores and again.settings == run.settings


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["cut", "foreign"])
def test_a_damaged_model_is_one_line(name: str, damage: str, tmp_path: Path) -> None:
    file = features(tmp_path, apart=3)
    train([file], tmp_path, head=name, folds=2, settings={"rounds": 5})
    path = tmp_path / "run" / kept_heads.HEAD_FILE
    found = skops.io.load(path, trusted=kept_heads._trusted(heads.find(name)))
    model = found[0].models_[0]
    if damage == "cut":
        found[0].models_[0] = model[: len(model) // 3]
    else:
        found[0].models_[0] = "tree\nversion=v4\nnum_class=many\n" if isinstance(model, str) else model[::-1].copy()
    skops.io.dump(found, path)
    with refused(TrainingError, "heads.skops (is damaged|is not)|Train again"):
        run_card.load_run(tmp_path / "run")

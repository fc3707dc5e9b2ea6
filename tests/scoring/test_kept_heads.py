"""Fitted heads come back from their file to the last digit; what cannot be kept is refused before any fold."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io

from catsdogs.cleaning.decisions import Corrections
from catsdogs.errors import TrainingError
from catsdogs.runs import run_card, training
from catsdogs.scoring import comparison
from tests.conftest import refused
from tests.support.runs import NEAREST_MEAN, features, read_csv, train


@pytest.mark.parametrize("head", ["blend", "RandomForestClassifier", "KNeighborsClassifier", "CalibratedClassifierCV"])
def test_heads_are_kept_to_the_last_digit(tmp_path: Path, head: str) -> None:
    file = features(tmp_path, apart=1)
    train([file], tmp_path, head=head, folds=2)
    written = [float(row["label"]) for row in read_csv(tmp_path / "run" / "submission.csv")]
    again = run_card.load_run(tmp_path / "run").predict(file.vectors("test"))
    assert [float(f"{p:.12g}") for p in again[:, 1]] == written


# What people train on cached vectors besides scikit-learn: each is derived from, held, or somewhere in a pipeline.
DERIVED = """
from {module} import {kind}

class MyHead({kind}):
    def __init__(self, {settings}, random_state=0):
        super().__init__({passed}, random_state=random_state)
"""
HELD = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

class MyHead(ClassifierMixin, BaseEstimator):
    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y):
        from {module} import {kind}
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self.classes_ = np.unique(y)
        self.model_ = make_pipeline(StandardScaler(), {kind}({settings})).fit(X, y)
        return self

    def predict_proba(self, X):
        return self.model_.predict_proba(X)
"""
BOOSTED = {
    "LGBMClassifier": ("lightgbm", "n_estimators=5, verbose=-1"),
    "XGBClassifier": ("xgboost", "n_estimators=5"),
    "CatBoostClassifier": ("catboost", "iterations=5, verbose=0, allow_writing_files=False"),
}


@pytest.mark.parametrize("classes", [("ape", "bee"), ("ape", "bee", "cow")], ids=len)
@pytest.mark.parametrize("code", [DERIVED, HELD], ids=["derived", "held"])
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.optional(package)) for kind, (package, _) in BOOSTED.items()]
)
def test_boosted_trees_are_kept_by_their_own_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, code: str, classes: tuple[str, ...]
) -> None:
    module, chosen = BOOSTED[kind]
    monkeypatch.chdir(tmp_path)
    passed = ", ".join(f"{name}={name}" for name in re.findall(r"(\w+)=", chosen))
    Path("my_head.py").write_text(code.format(module=module, kind=kind, settings=chosen, passed=passed))
    file = features(tmp_path, classes=classes, apart=1)
    run = train([file], tmp_path, head="my_head.py", folds=2)
    written = [
        [float(text) for text in list(row.values())[1:]] for row in read_csv(tmp_path / "run" / "submission.csv")
    ]
    probabilities = run_card.load_run(tmp_path / "run").predict(file.vectors("test"))
    assert np.allclose(probabilities[:, -1:] if len(classes) == 2 else probabilities, written, rtol=1e-11)
    again = training.train([file], run_card.plan_of(run), name="again", submissions=tmp_path, command="again")
    assert again.settings == run.settings and again.scores == run.scores


ENSEMBLE = """
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

class MyHead({kind}):
    def __init__(self, random_state=None):
        self.random_state = random_state
        super().__init__([("logistic", LogisticRegression()), ("bayes", GaussianNB())]{more})

    def get_params(self, deep=True):
        return {{"random_state": self.random_state}}
"""


@pytest.mark.parametrize(
    ("kind", "more"), [("VotingClassifier", ", voting='soft'"), ("StackingClassifier", ", LogisticRegression()")]
)
def test_ensembles_of_scikit_learns_are_kept(tmp_path: Path, kind: str, more: str) -> None:
    path = tmp_path / "my_head.py"
    path.write_text(ENSEMBLE.format(kind=kind, more=more))
    train([features(tmp_path, apart=1)], tmp_path, head=str(path), folds=2)
    assert len(run_card.load_run(tmp_path / "run").heads) == 2


STAND_IN = """
class Booster:
    def fit(self, y):
        self.handle = dict(enumerate(y.tolist()))

    def __getstate__(self):
        return {"text": " ".join(map(str, self.handle.values()))}

    def __setstate__(self, state):
        self.handle = {"read": state["text"]}
"""
HOLDS_STAND_IN = """
from lightgbm.basic import Booster
from tests.support.runs import Coin

class MyHead(Coin):
    def fit(self, X, y):
        self.model_ = Booster()
        self.model_.fit(y)
        return super().fit(X, y)
"""


@pytest.fixture
def lightgbm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the package, and a head file that holds a model of its."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "lightgbm"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "packages/lightgbm").mkdir(parents=True)
    (tmp_path / "packages/lightgbm/__init__.py").touch()
    (tmp_path / "packages/lightgbm/basic.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    (tmp_path / "my_head.py").write_text(HOLDS_STAND_IN)
    return tmp_path / "my_head.py"


def test_such_a_model_is_made_again_from_its_text_by_its_own_reader(tmp_path: Path, lightgbm: Path) -> None:
    train([features(tmp_path)], tmp_path, head=str(lightgbm))
    kept = run_card.load_run(tmp_path / "run").heads[0]
    assert set(kept.model_.handle["read"].split()) == {"0", "1"}  # type: ignore[attr-defined]


def test_without_its_package_a_run_says_what_to_install(
    tmp_path: Path, lightgbm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lightgbm.write_text(
        HOLDS_STAND_IN.replace("from lightgbm.basic import Booster\n", "").replace(
            "self.model_ = Booster()", "from lightgbm.basic import Booster; self.model_ = Booster()"
        )
    )
    train([features(tmp_path)], tmp_path, head=str(lightgbm))
    monkeypatch.delitem(sys.modules, "lightgbm.basic")
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with refused(TrainingError, "needs the package lightgbm, which is not installed. Run: pip install lightgbm"):
        run_card.load_run(tmp_path / "run")


def test_such_a_model_is_taken_for_no_other_head(tmp_path: Path, lightgbm: Path) -> None:
    from lightgbm.basic import Booster  # type: ignore[import-not-found]

    booster = Booster()
    booster.fit(np.arange(3))
    train([features(tmp_path)], tmp_path)
    fitted: list[Any] = [*run_card.load_run(tmp_path / "run").heads]
    fitted[2].more = booster
    skops.io.dump(fitted, tmp_path / "run/heads.skops")
    with refused(TrainingError, r"heads\.skops is damaged .*lightgbm\.basic\.Booster"):
        run_card.load_run(tmp_path / "run")


@pytest.mark.parametrize("held", ["open(__file__)", "lambda: 1", "object()"])
def test_a_head_that_cannot_be_kept_without_pickle_is_refused(tmp_path: Path, held: str) -> None:
    path = tmp_path / "nearest_mean.py"
    path.write_text(NEAREST_MEAN.replace("return self", f"self.held = {held}; return self"))
    with refused(TrainingError, r"nearest_mean\.py cannot be kept without pickle"):
        train([features(tmp_path)], tmp_path / "runs", head=str(path))
    assert not (tmp_path / "runs").exists()


# A head of torch's, and others that cannot be taken apart: what they hold, and the reason that is given.
NOT_KEPT = {
    "another package's": ("Fraction(1, 3)", "it holds fractions.Fraction"),
    "a lock": ("threading.Lock()", "lock"),
    "a file": ("open(__file__)", "TextIO"),
    "a function": ("lambda: 1", "."),
    "what comes back otherwise": ("Fickle()", "read back, it raises KeyError: 'gone'"),
    "what refuses": ("Stubborn()", "not me"),
}
CANNOT_BE_KEPT = """
import threading
from fractions import Fraction
from pathlib import Path
from tests.support.runs import Coin

class Fickle:
    def __getstate__(self): return {"kept": 1}
    def __setstate__(self, state): state["gone"]

class Stubborn:
    def __getstate__(self): raise RuntimeError("not me")

class MyHead(Coin):
    def fit(self, X, y):
        with (Path(__file__).parent / "fits").open("a") as file:
            print(len(X), file=file)
        self.held_ = {held}
        return super().fit(X, y)
"""


@pytest.mark.parametrize("compared", [False, True], ids=["train", "compare"])
@pytest.mark.parametrize("case", NOT_KEPT)
def test_what_cannot_be_kept_is_refused_before_any_fold(tmp_path: Path, case: str, compared: bool) -> None:
    held, reason = NOT_KEPT[case]
    path = tmp_path / "my_head.py"
    path.write_text(CANNOT_BE_KEPT.replace("{held}", held))
    files = [features(tmp_path)]
    with refused(TrainingError, rf"my_head\.py cannot be kept without pickle: .*{re.escape(reason)}"):
        if compared:
            comparison.compare([files], ["ridge", str(path)], 4, 1, 0, Corrections(frozenset(), {}, ""))
        else:
            train(files, tmp_path / "runs", head=str(path))
    assert (tmp_path / "fits").read_text().splitlines() == ["24"]  # of 40; a fold has 30
    assert compared or not (tmp_path / "runs").exists()


@pytest.mark.parametrize("compared", [False, True], ids=["train", "compare"])
def test_nor_is_a_classifier_of_scikit_learns_that_skops_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compared: bool
) -> None:
    monkeypatch.setattr("catsdogs.scoring.crossval.cross_validate", lambda *_: pytest.fail("a fold is fitted"))
    files, head = [features(tmp_path)], "GaussianProcessClassifier"
    with refused(TrainingError, f"The head {head} cannot be kept without pickle: it holds .* another --head"):
        if compared:
            comparison.compare([files], ["ridge", head], 4, 1, 0, Corrections(frozenset(), {}, ""))
        else:
            train(files, tmp_path / "runs", head=head)


def test_a_head_that_cannot_learn_from_a_handful_is_not_judged_by_it(tmp_path: Path) -> None:
    path = tmp_path / "my_head.py"
    short = "if len(X) < 30: raise ValueError('too few')"
    path.write_text(CANNOT_BE_KEPT.replace("self.held_ = {held}", short))
    train([features(tmp_path)], tmp_path, head=str(path))
    assert len(run_card.load_run(tmp_path / "run").heads) == 4


def test_a_head_may_say_itself_how_it_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "my_head.py"
    own = "    def __getstate__(self): return {'classes_': self.classes_}\n"
    path.write_text(CANNOT_BE_KEPT.replace("{held}", "threading.Lock()") + own)
    train([features(tmp_path)], tmp_path, head=str(path))
    assert len(run_card.load_run(tmp_path / "run").heads) == 4

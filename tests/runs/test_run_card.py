"""A run is taken up as it was left, a damaged one is told in one line, and no file makes this program run its code."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import FunctionTransformer

from catsdogs import heads
from catsdogs.cleaning.decisions import Corrections
from catsdogs.errors import CatsdogsError, TrainingError, UnknownNameError
from catsdogs.features import joining
from catsdogs.runs import run_card, training
from catsdogs.scoring import comparison
from tests.conftest import recipe, refused
from tests.runs.test_training import NEAREST_MEAN, features, table, train

EXECUTED: list[str] = []


class Trap:
    """Notes that it was made from a file."""

    def __setstate__(self, state: object) -> None:
        EXECUTED.append("Trap")

    def __getstate__(self) -> dict[str, int]:
        return {"set": 1}


@pytest.fixture(autouse=True)
def nothing_is_executed() -> Iterator[None]:
    EXECUTED.clear()
    yield
    assert EXECUTED == []


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    train([features(folder / "features")], folder)
    return folder / "run"


@pytest.fixture
def folder(tmp_path: Path, original: Path) -> Path:
    """A copy of a run."""
    return Path(shutil.copytree(original, tmp_path / "run"))


def change(folder: Path, **parts: object) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))


def test_a_run_is_taken_up_again_as_it_was(tmp_path: Path) -> None:
    file = features(tmp_path, classes=("ape", "bee", "cow"))
    train([file], tmp_path)
    trained = run_card.load_run(tmp_path / "run")
    _, X = joining.join([file], "test")
    probabilities = trained.predict_proba(X)
    assert np.allclose(probabilities.sum(axis=1), 1)
    written = [[float(row[name]) for name in file.classes] for row in table(tmp_path / "run" / "submission.csv")]
    assert np.allclose(written, probabilities, rtol=1e-11)
    with refused(TrainingError, "takes vectors of width 5, not 4"):
        trained.predict_proba(X[:, :4])


@pytest.mark.parametrize("head", ["blend", "RandomForestClassifier", "KNeighborsClassifier", "CalibratedClassifierCV"])
def test_heads_are_kept_to_the_last_digit(tmp_path: Path, head: str) -> None:
    file = features(tmp_path, apart=1)
    train([file], tmp_path, head=head, folds=2)
    written = [float(row["label"]) for row in table(tmp_path / "run" / "submission.csv")]
    again = run_card.load_run(tmp_path / "run").predict_proba(file.vectors("test"))
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
    written = [[float(text) for text in list(row.values())[1:]] for row in table(tmp_path / "run" / "submission.csv")]
    said = run_card.load_run(tmp_path / "run").predict_proba(file.vectors("test"))
    assert np.allclose(said[:, -1:] if len(classes) == 2 else said, written, rtol=1e-11)
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
from tests.runs.test_run_card import Coin

class MyHead(Coin):
    def fit(self, X, y):
        self.model_ = Booster()
        self.model_.fit(y)
        return super().fit(X, y)
"""


class Coin(ClassifierMixin, BaseEstimator):
    """As likely one class as the other."""

    def fit(self, X: Any, y: Any) -> "Coin":
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: Any) -> Any:
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


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


def test_such_a_model_is_taken_for_no_other_head(folder: Path, lightgbm: Path) -> None:
    from lightgbm.basic import Booster  # type: ignore[import-not-found]

    booster = Booster()
    booster.fit(np.arange(3))
    skops.io.dump(trained_heads(booster), folder / "heads.skops")
    with refused(TrainingError, r"heads\.skops is damaged .*lightgbm\.basic\.Booster"):
        run_card.load_run(folder)


# A head of torch's, and others that cannot be taken apart: what they hold, and what is said of it.
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
from tests.runs.test_run_card import Coin

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
    held, said = NOT_KEPT[case]
    path = tmp_path / "my_head.py"
    path.write_text(CANNOT_BE_KEPT.replace("{held}", held))
    files = [features(tmp_path)]
    with refused(TrainingError, rf"my_head\.py cannot be kept without pickle: .*{re.escape(said)}"):
        if compared:
            comparison.compare([files], ["ridge", str(path)], 4, 1, 0, Corrections(frozenset(), {}, ""))
        else:
            train(files, tmp_path / "runs", head=str(path))
    assert (tmp_path / "fits").read_text().splitlines() == ["24"]  # of 40; a fold has 30
    assert compared or list((tmp_path / "runs").iterdir()) == []


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


def test_runs_are_listed_and_a_damaged_one_is_named(folder: Path) -> None:
    submissions = folder.parent
    run = run_card.read_run(folder)
    for name, part in {"other": {}, "newer": {"version": 99}, "older": {"scores": None}}.items():
        shutil.copytree(folder, submissions / name)
        change(submissions / name, name=name, **part)
    for name, text in {"cut": '{"format": ', "deep": "[" * 100_000, "list": "[]"}.items():
        (submissions / name).mkdir()
        (submissions / name / "run.json").write_text(text)
    found, damaged = run_card.list_runs(submissions)
    assert found == [replace(run, name="other"), run]
    names = ["cut", "deep", "list", "newer", "older"]
    assert [name for error in damaged for name in names if f"/{name}/" in str(error)] == names
    assert run_card.list_runs(submissions / "absent") == ([], [])
    with refused(UnknownNameError, "other, run"):
        run_card.load_run(submissions / "absent")


def test_a_run_of_the_first_version_is_to_be_trained_again(folder: Path) -> None:
    change(folder, version=1, package_version="0.1")
    with refused(TrainingError, r"was written by catsdogs 0\.1 .*Train again with --name run --force"):
        run_card.load_run(folder)


GRADE = {"log_loss": 0.1, "standard_error": 0.01, "accuracy": 0.9, "rows": 40, "measured_on": "all"}
DAMAGES: list[dict[str, Any]] = [
    {"format": "other"},
    {"version": "2"},
    {"scores": []},
    {"scores": [GRADE | {"log_loss": "0.1"}]},
    {"scores": [{"log_loss": 0.1}]},
    {"scores": [GRADE | {"rank": 1}]},
    {"backbones": None},
    {"backbones": {}},
    {"backbones": {"ResNet50": {"backbone": "ResNet50"}}},
    {"backbones": {"ResNet50": vars(recipe()) | {"more": 1}}},
    {"calibration": 1.0},
    {"calibration": {"temperature": 1.0}},
    {"calibration": {"temperature": 1.0, "clip": "a"}},
    {"calibration": {"temperature": 1.0, "clip": 0.7}},
    {"calibration": {"temperature": 0.0, "clip": 0.01}},
    {"calibration": {"temperature": float("nan"), "clip": 0.01}},
    {"classes": ["cat", "dog", "fox"]},
    {"classes": "ab"},
    {"prior": [0.5, "0.5"]},
    {"prior": [0.5, float("nan")]},
    {"folds": 0},
    {"widths": [5.0]},
    {"widths": [0]},
    {"widths": [5, 5]},
    {"settings": []},
    {"relabelled": {"cat.1": 0}},
]


@pytest.mark.parametrize("part", DAMAGES, ids=str)
def test_a_damaged_description_is_told_in_one_line(folder: Path, part: dict[str, Any]) -> None:
    change(folder, **part)
    with refused(TrainingError, r"run\.json is damaged"):
        run_card.read_run(folder)
    assert [len(part) for part in run_card.list_runs(folder.parent)] == [0, 1]


@pytest.mark.parametrize(
    "part",
    [
        {"widths": [6]},
        {"folds": 5},
        {"classes": ["cat", "dog", "fox"], "prior": [0.4, 0.4, 0.2]},
        {"head": "logistic"},
        {"head": "GaussianNB"},
    ],
    ids=str,
)
def test_heads_that_do_not_fit_the_description_are_damaged(folder: Path, part: dict[str, Any]) -> None:
    change(folder, **part)
    with refused(TrainingError, r"heads\.skops is damaged"):
        run_card.load_run(folder)


def test_a_changed_head_file_is_not_even_run(tmp_path: Path) -> None:
    path, mark = tmp_path / "nearest_mean.py", tmp_path / "mark"
    path.write_text(NEAREST_MEAN)
    file = features(tmp_path)
    train([file], tmp_path, head=str(path))
    assert run_card.load_run(tmp_path / "run").predict_proba(file.vectors("test")).shape == (6, 2)
    path.write_text(f"open({str(mark)!r}, 'w')\n{NEAREST_MEAN}")
    with refused(TrainingError, r"nearest_mean\.py is gone, or not what it was"):
        run_card.load_run(tmp_path / "run")
    assert not mark.exists()


def trained_heads(attribute: object = None) -> list[Any]:
    """What the run keeps, with something more in it."""
    X, y = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32), np.arange(20) % 2
    fitted = [heads.create("ridge").fit(X, y) for _ in range(4)]
    vars(fitted[2])["more"] = attribute
    return fitted


CRAFTED: dict[str, Callable[[Path], object]] = {
    "a call": lambda mark: partial(os.system, f"touch {mark}"),
    "calls for heads": lambda mark: [partial(os.mkdir, str(mark))] * 4,
    "a function": lambda mark: [os.system] * 4,
    "a transformer of a function": lambda mark: [FunctionTransformer(os.mkdir, inverse_func=os.system)] * 4,
    "a head and a call": lambda mark: trained_heads(partial(os.mkdir, str(mark))),
    "a head and a class": lambda mark: trained_heads(subprocess.Popen),
    "a head and a bound method": lambda mark: trained_heads(mark.mkdir),
    "a head and a trap": lambda mark: trained_heads(Trap()),
    "a trap in a list": lambda mark: trained_heads([{"deep": [Trap()]}]),
    "a trap": lambda mark: Trap(),
    "another head of scikit-learn's": lambda mark: [GaussianNB().fit(np.eye(4, 5), [0, 0, 1, 1])] * 4,
    "no list": lambda mark: trained_heads()[0],
    "a dictionary of heads": lambda mark: dict(enumerate(trained_heads())),
    "heads that learnt nothing": lambda mark: [heads.create("ridge") for _ in range(4)],
}


@pytest.mark.parametrize("case", CRAFTED)
def test_a_crafted_file_is_refused_and_nothing_of_it_executed(tmp_path: Path, folder: Path, case: str) -> None:
    mark = tmp_path / "mark"
    skops.io.dump(CRAFTED[case](mark), folder / "heads.skops")
    with refused(TrainingError, r"heads\.skops is damaged \("):
        run_card.load_run(folder)
    assert not mark.exists()


def test_the_trap_works() -> None:
    skops.io.loads(skops.io.dumps(Trap()), trusted=[Trap])
    assert EXECUTED == ["Trap"]
    EXECUTED.clear()


def test_no_module_that_a_file_names_is_imported(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "someones_module.py").write_text("class Trap: pass\nraise SystemExit('imported')")
    members = members_of(skops.io.dumps(trained_heads(Trap())))
    members["schema.json"] = members["schema.json"].replace(Trap.__module__.encode(), b"someones_module")
    (folder / "heads.skops").write_bytes(zipped(members))
    with refused(TrainingError, r"heads\.skops is damaged .*someones_module\.Trap"):
        run_card.load_run(folder)
    assert "someones_module" not in sys.modules


def members_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk",
        zipped({}),
        zipped({"junk": b"junk"}),
        zipped({"schema.json": b"junk"}),
        zipped({"schema.json": b"[]"}),
        zipped({"schema.json": b"{}"}),
        zipped({"schema.json": b"[" * 100_000}),
    ],
    ids=range(8),
)
def test_junk_is_told_in_one_line(folder: Path, content: bytes) -> None:
    (folder / "heads.skops").write_bytes(content)
    with refused(TrainingError, r"heads\.skops is damaged"):
        run_card.load_run(folder)


def test_without_its_heads_a_run_is_damaged(folder: Path) -> None:
    (folder / "heads.skops").unlink()
    with refused(TrainingError, r"heads\.skops is damaged"):
        run_card.load_run(folder)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_anywhere_is_told_in_one_line_or_does_no_harm(original: Path, folder: Path, data: st.DataObject) -> None:
    whole = (original / "heads.skops").read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.sampled_from([start + 1, start + 50, len(whole)]))
    junk = data.draw(st.sampled_from([b"", b"\0", b"\xff" * 50]))
    (folder / "heads.skops").write_bytes(whole[:start] + junk + whole[stop:])
    try:
        trained = run_card.load_run(folder)
    except CatsdogsError as error:
        assert "heads.skops is damaged" in str(error) and "\n" not in str(error)
    else:
        assert trained.predict_proba(np.zeros((1, 5), np.float32)).shape == (1, 2)


def test_listing_runs_imports_nothing_heavy() -> None:
    code = (
        "import sys; from pathlib import Path; from catsdogs.runs import run_card; run_card.list_runs(Path('absent'));"
        "print({'keras', 'tensorflow', 'sklearn', 'scipy', 'skops', 'matplotlib', 'pandas'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"

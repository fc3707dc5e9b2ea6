"""Heads compared on the same folds, by figures that anyone can compute again, and noise called noise."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import sem, ttest_rel

from catsdogs import heads
from catsdogs.cleaning.decisions import Corrections
from catsdogs.errors import CatsdogsError, StoreError, TrainingError, UnknownNameError, UsageError
from catsdogs.features import feature_file
from catsdogs.features.cache import Cache
from catsdogs.features.cache import DigestedPhotograph as Row
from catsdogs.features.feature_file import Features
from catsdogs.features.folds import MAX_SEED, fold_numbers
from catsdogs.networks.weights import RANDOM_WEIGHTS
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Location, Photograph
from catsdogs.runs import training
from catsdogs.scoring import (
    calibration,
    comparison,
    comparison_chart,
    comparison_table,
    crossval,
    simultaneous,
    streaming,
    training_plan,
)
from catsdogs.scoring.comparison import NOISE, WORSE, Comparison, Entry
from tests.conftest import refused
from tests.support.features import opened, recipe, rows_of

IS_LINUX = sys.platform == "linux"
NOTHING = Corrections(frozenset(), {}, "")
ANOTHER_LOGISTIC = "from catsdogs.heads.logistic import Logistic\nclass Another(Logistic): pass\n"


def features(
    folder: Path,
    name: str = "ResNet50",
    rows: int = 20,
    classes: Sequence[str] = ("cat", "dog"),
    apart: float = 2.0,
    backwards: bool = False,
    **other: object,
) -> Features:
    """A feature file of `rows` train photographs of each class, which overlap; a row's vector follows from its id."""
    train = [
        Photograph(f"{class_name}.{n}", "train", label, Location(folder, f"{class_name}.{n}"))
        for n in range(rows)
        for label, class_name in enumerate(classes)
    ]
    table = [Row(row, images.digest(row.id.encode())) for row in (train[::-1] if backwards else train)]
    known = rows_of(table, width=6, name=name)
    vectors = known.vector + apart * np.eye(len(classes), 6, dtype=np.float32)[[row.photograph.label for row in table]]
    cache = Cache(folder, recipe(name, **other))
    cache.write_shard(replace(known, vector=vectors), "none")
    cache.assemble(table, classes, [], "photographs")
    return feature_file.read_features(cache.path)


def compare(sets: Sequence[Sequence[Features]], head_names: Sequence[str], **other: Any) -> Comparison:
    usual: dict[str, Any] = {"folds": 4, "repeats": 1, "seed": 0, "corrections": NOTHING}
    return comparison.compare(sets, head_names, **usual | other)


def figures(found: Comparison) -> list[Entry]:
    """All that must not change from one time to the next."""
    return [replace(entry, seconds=0, memory=0) for entry in found.entries]


@pytest.fixture
def crossed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The arguments of every cross-validation."""
    calls: list[tuple[Any, ...]] = []
    original = crossval.cross_validate

    def spy(*arguments: Any, **more: Any) -> crossval.CrossValidation:
        calls.append(arguments)
        return original(*arguments, **more)

    monkeypatch.setattr(crossval, "cross_validate", spy)
    return calls


def test_all_heads_on_all_networks_share_rows_and_folds(
    tmp_path: Path, crossed: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = features(tmp_path), features(tmp_path, "Xception", backwards=True)
    found = compare([[one], [two], [two, one]], ["logistic", "ridge"], repeats=2)
    assert (found.rows, found.folds, found.repeats) == (40, 4, 2)
    assert {(entry.head, entry.backbones) for entry in found.entries} == {
        (head, names)
        for head in ("logistic", "ridge")
        for names in (("ResNet50",), ("Xception",), ("Xception", "ResNet50"))
    }
    assert "48/48" in capsys.readouterr().err  # one bar over 2 heads, 3 sets, 2 repeats, 4 folds
    assert len({tuple(fold) for *_, fold, _, _ in crossed}) == 2  # one for each repeat
    assert all(np.array_equal(labels, one.labels) and kept.all() for _, labels, kept, *_ in crossed)
    by_id = dict(zip(two.ids["train"], two.vectors("train"), strict=True))
    first, second = one.vectors("train"), np.array([by_id[id] for id in one.ids["train"]])
    for X, *_ in crossed:
        assert any(np.array_equal(X, vectors) for vectors in (first, second, np.hstack((second, first))))


def test_the_order_of_sets_and_rows_changes_no_figure(tmp_path: Path) -> None:
    one, two, same = (
        features(tmp_path / "one"),
        features(tmp_path / "one", "Xception"),
        features(tmp_path / "two", "Xception", backwards=True),
    )
    heads_compared = ["stack", "dropout-sigmoid"]
    expected = figures(compare([[one], [two], [one, two]], heads_compared))
    assert figures(compare([[one, two], [two], [one]], heads_compared[::-1])) == expected
    assert figures(compare([[one], [same], [one, same]], heads_compared)) == expected


def losses(file: Features, head: str, repeats: int) -> NDArray[np.float64]:
    """(repeats, n) what each photograph costs, step by step."""
    X, kept, found = file.vectors("train"), np.ones(len(file.labels), bool), np.zeros((repeats, len(file.labels)))
    for seed in range(repeats):
        fold = fold_numbers(file.labels, kept, 4, seed)
        make = partial(heads.create, head, seed)
        crossed = crossval.cross_validate(X, file.labels, kept, fold, make, lambda: None)
        for number in range(4):
            held_out = fold == number
            fitted = calibration.fit_calibration(crossed.predictions[~held_out], file.labels[~held_out])
            calibrated = fitted.apply(crossed.predictions[held_out])
            found[seed, held_out] = -np.log(calibrated[np.arange(held_out.sum()), file.labels[held_out]])
    return found


@pytest.mark.parametrize("repeats", [1, 3])
def test_figures_are_those_of_a_direct_computation(tmp_path: Path, repeats: int) -> None:
    one, two = features(tmp_path), features(tmp_path, "Xception")
    found = compare([[one], [two]], ["logistic"], repeats=repeats)
    first, second = found.entries
    direct = {file.name: losses(file, "logistic", repeats) for file in (one, two)}
    best, other = direct[first.backbones[0]], direct[second.backbones[0]]
    assert [first.log_loss, second.log_loss] == pytest.approx([best.mean(), other.mean()])
    assert [first.standard_error, second.standard_error] == pytest.approx([sem(best.mean(0)), sem(other.mean(0))])
    assert second.difference == pytest.approx(other.mean() - best.mean())
    over_photographs = second.difference / ttest_rel(other.mean(0), best.mean(0)).statistic
    deals = (other - best).mean(axis=1)
    between = deals.var(ddof=1) * (1 / 3 + 1 / 3) if repeats > 1 else 0
    assert second.difference_error == pytest.approx(np.sqrt(over_photographs**2 + between))
    assert (first.difference, first.difference_error, first.verdict) == (0, 0, "")
    said = comparison_table.noise_in_words(found)
    assert ("spread between the 3 deals" in said) == (repeats == 3)
    assert f"within {found.limit:.1f} of its standard errors" in said and "calls the other worse than the first" in said


@pytest.mark.parametrize("classes", [("cat", "dog"), ("ape", "bee", "cow")])
def test_a_line_is_what_train_scores(tmp_path: Path, classes: tuple[str, ...]) -> None:
    file = features(tmp_path / "features", classes=classes)
    corrections = Corrections(frozenset({"cat.1", "ape.1"}), {"dog.2": "cat"} if "cat" in classes else {}, "")
    plan = training_plan.Plan("logistic", 4, 7, corrections.drop, corrections.relabel)
    run = training.train([file], plan, name="run", submissions=tmp_path, command="")
    (entry,) = compare([[file]], ["logistic"], seed=7, corrections=corrections).entries
    assert (entry.log_loss, entry.accuracy) == pytest.approx((run.scores[0].log_loss, run.scores[0].accuracy))


def test_what_is_corrected_is_learnt_so_but_scored_as_given(tmp_path: Path, crossed: list[tuple[Any, ...]]) -> None:
    file = features(tmp_path, apart=9)
    swapped = {id: "dog" if id.startswith("cat") else "cat" for id in file.ids["train"]}
    corrections = Corrections(frozenset({"cat.1", "cat.2", "bird.0"}), swapped, "")
    found = compare([[file]], ["logistic"], corrections=corrections)
    ((_, labels, kept, *_),) = crossed
    assert set(file.ids["train"][~kept]) == {"cat.1", "cat.2"} and np.array_equal(labels, 1 - file.labels)
    assert (found.rows, found.entries[0].accuracy) == (40, 0)  # it learns the opposite of what is asked
    assert "2 photographs dropped and 40 relabelled" in found.measured_on
    assert "labels as given" in found.measured_on and "calibrated on the other folds" in found.measured_on
    assert "dropped" not in compare([[file]], ["logistic"]).measured_on


def test_a_head_is_no_better_than_itself_and_one_that_is_blind_is_worse(tmp_path: Path) -> None:
    path = tmp_path / "another.py"
    path.write_text(ANOTHER_LOGISTIC)
    found = compare([[features(tmp_path)]], ["DummyClassifier", str(path), "logistic"])
    assert [(entry.head, entry.verdict) for entry in found.entries] == [
        (str(path), ""), ("logistic", NOISE), ("DummyClassifier", WORSE)
    ]  # fmt: skip
    assert found.entries[1].difference == 0
    assert comparison_table.conclusion(found).startswith(
        "Within noise of the first, so nothing to choose by: logistic."
    )
    assert (
        comparison_table.conclusion(replace(found, entries=found.entries[::2]))
        == "Every difference to the first is beyond noise."
    )
    assert comparison_table.conclusion(replace(found, entries=found.entries[:1])) == ""


def with_value(folder: Path, rows: Any, value: float) -> list[list[Features]]:
    """A set that can be compared, and one whose last network holds `value` in some rows."""
    files = [features(folder), features(folder, "Xception")]
    with opened(files[1].path) as content:
        content["train"][rows] = value
    return [files[:1], files]


Refused = tuple[Callable[[Path], list[list[Features]]], dict[str, Any], type[CatsdogsError], str]
REFUSED: dict[str, Refused] = {
    "random weights": (
        lambda folder: [[features(folder)], [features(folder, "Xception", weights=RANDOM_WEIGHTS)]],
        {}, TrainingError, r"Xception\.h5 comes from random weights",
    ),
    "one class": (lambda folder: [[features(folder, classes=("cat",))]], {}, TrainingError, "All 20 training"),
    "few rows": (lambda folder: [[features(folder, rows=1)]], {}, TrainingError, "Of 4 folds, one would hold out"),
    "no rows once dropped": (
        lambda folder: [[features(folder)]],
        {"corrections": Corrections(frozenset(f"dog.{n}" for n in range(20)), {}, "")},
        TrainingError, "class dog has no photographs to learn from",
    ),
    "no rows once relabelled": (
        lambda folder: [[features(folder)]],
        {"corrections": Corrections(frozenset(), {f"dog.{n}": "cat" for n in range(20)}, "")},
        TrainingError, "class dog has no photographs to learn from",
    ),
    "other rows": (
        lambda folder: [[features(folder)], [features(folder, "Xception", rows=21)]],
        {}, StoreError, r"ResNet50\.h5 lacks 2 train rows: cat\.20, dog\.20.*catsdogs features --backbones",
    ),
    "constant columns": (
        lambda folder: with_value(folder, slice(None), 1),
        {}, TrainingError, r"Xception\.h5 says the same .*--backbones Xception",
    ),
    "not finite": (
        lambda folder: with_value(folder, 3, np.nan), {}, StoreError, r"train row 3 \(dog\.1\) is not finite"
    ),
    "unknown head": (lambda folder: [[features(folder)]], {"head_names": ["ridge", "svn"]}, UnknownNameError, "'svn'"),
    "a head twice": (
        lambda folder: [[features(folder)]], {"head_names": ["ridge", "ridge"]}, UsageError, "head ridge is given twice"
    ),
    "a set twice": (
        lambda folder: [files := [features(folder), features(folder, "Xception")], files[::-1]],
        {}, UsageError, "set of networks ResNet50,Xception is given twice",
    ),
    "no repeats": (lambda folder: [[features(folder)]], {"repeats": 0}, UsageError, "0 repeats"),
    "one fold": (lambda folder: [[features(folder)]], {"folds": 1}, UsageError, "1 folds"),
    "a seed that grows too large": (
        lambda folder: [[features(folder)]], {"seed": MAX_SEED, "repeats": 2}, UsageError, "seed"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_compared_is_refused_before_anything_is_computed(
    tmp_path: Path, crossed: list[tuple[Any, ...]], case: str
) -> None:
    make, other, error, message = REFUSED[case]
    sets = make(tmp_path)
    with refused(error, message):
        compare(sets, **{"head_names": ["logistic", "ridge"], **other})
    assert not crossed


def test_a_head_that_fails_is_left_out_and_named(tmp_path: Path) -> None:
    found = compare([[features(tmp_path)]], ["logistic", "MultinomialNB"])
    assert [entry.head for entry in found.entries] == ["logistic"]
    assert "Left out: The head MultinomialNB refuses the vectors" in comparison_table.format_table(found)
    with refused(TrainingError, "MultinomialNB.* refuses"):
        compare([[features(tmp_path)]], ["MultinomialNB"])


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Comparison]:
    yield compare([[features(tmp_path)], [features(tmp_path, "Xception")]], ["logistic", "DummyClassifier"])


def test_what_a_head_takes_stands_in_its_line(tmp_path: Path) -> None:
    """A head of 20 MB, and one that takes hardly anything."""
    path = tmp_path / "large.py"
    large = "import numpy\nclass Large(Logistic):\n    def fit(self, X, y):\n        numpy.ones(20_000_000).sum()\n"
    path.write_text(ANOTHER_LOGISTIC + large + "        return super().fit(X, y)\nAnother = None\n")
    found = compare([[features(tmp_path)]], ["logistic", str(path)], repeats=2)
    taken = {entry.head: entry.memory for entry in found.entries}
    if IS_LINUX:
        assert 150e6 < taken[str(path)] < 300e6 and taken["logistic"] < 50e6
        lines = comparison_table.format_table(found).splitlines()
        assert lines[0].endswith("seconds    GB") and any(line.endswith(" 0.16") for line in lines[1:4])
    else:
        assert np.isnan([*taken.values()]).all()


@pytest.mark.parametrize("worst", [1, 100], ids=["linear", "logarithmic"])
def test_the_picture_opens_and_grows_with_its_lines(tmp_path: Path, found: Comparison, worst: float) -> None:
    last = replace(found.entries[-1], log_loss=worst * found.entries[-1].log_loss)
    long = replace(found.entries[1], head="a/" + "long" * 30 + ".py", backbones=("Xception", "a b c" * 30))
    sizes = []
    for number, entries in enumerate(
        [found.entries[:1], (*found.entries[:3], last), (found.entries[0], *[long] * 9, last)]
    ):
        path = tmp_path / f"{number}.png"
        comparison_chart.draw_comparison(path, replace(found, entries=entries))
        with Image.open(path) as picture:
            picture.load()
            sizes.append(picture.size)
    assert len({width for width, _ in sizes}) == 1
    assert sizes[0][1] < sizes[1][1] < sizes[2][1]


def test_it_streams_where_train_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And gives the figures that `train` gives, whatever the order of a file's rows; other heads are left out."""
    one, two = features(tmp_path, rows=40), features(tmp_path, "Xception", rows=40, backwards=True)
    monkeypatch.setattr(streaming, "MEMORY_SHARE", 0.0)
    monkeypatch.setattr(streaming, "_RUN_ROWS", 4)
    found = compare([[one, two], [two]], ["GaussianNB", "logistic"], seed=5)
    assert {(entry.head, entry.backbones) for entry in found.entries} == {
        ("GaussianNB", ("ResNet50", "Xception")),
        ("GaussianNB", ("Xception",)),
    }
    assert len(found.refused) == 2 and all("needs all of them in memory" in problem for problem in found.refused)
    entry = next(entry for entry in found.entries if len(entry.backbones) == 2)
    run = training.train(
        [one, two], training_plan.Plan("GaussianNB", 4, 5), name="run", submissions=tmp_path / "runs", command=""
    )
    assert run.streamed and entry.log_loss == pytest.approx(run.scores[0].log_loss, rel=1e-6)


def test_copies_share_a_fold_here_too_and_count_as_one_photograph(
    tmp_path: Path, crossed: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    family, measured = simultaneous.family, []
    monkeypatch.setattr(simultaneous, "family", lambda *what: (measured.append(what), family(*what))[1])
    file = features(tmp_path, rows=12)
    digests = file.digests["train"].copy()
    digests[[5, 9, 14]] = digests[2]
    file = replace(file, digests={**file.digests, "train": digests})
    found = compare([[file]], ["ridge"])
    (fold,) = [arguments[3] for arguments in crossed]
    assert len({fold[row] for row in (2, 5, 9, 14)}) == 1
    assert np.array_equal(fold, training_plan.out_of_fold([file], training_plan.Plan("ridge", 4, 0)).fold)
    assert "copies in one fold" in found.measured_on
    (((one,), deals, folds),) = measured
    assert (one.rows, deals.shape, folds) == (len(file.labels) - 3, (1, 1), 4)


def test_a_class_that_no_photograph_shows_is_left_out_and_one_that_is_alone_is_in_no_score(tmp_path: Path) -> None:
    file = features(tmp_path, rows=12)
    more = replace(file, classes=("ant", *file.classes), labels=file.labels + 1)
    assert figures(compare([[more]], ["ridge"])) == figures(compare([[file]], ["ridge"]))
    alone = compare([[file]], ["ridge"], corrections=Corrections(frozenset(f"cat.{n}" for n in range(11)), {}, ""))
    assert alone.rows == 23 and "23 training photographs" in alone.measured_on
    assert "1 learnt in every fold and not scored" in alone.measured_on

"""The report: all that was asked for is on it, it loads nothing, says what it lacks, and opens in a real browser."""

import csv
import html.parser
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from catsdogs import report
from catsdogs.cleaning import decisions, outliers, suspect_table
from catsdogs.errors import CatsdogsError, StoreError, SubmissionError, TrainingError, UnknownNameError
from catsdogs.features import feature_file
from catsdogs.features.cache import Cache, DigestedPhotograph
from catsdogs.features.feature_file import Features, Unreadable
from catsdogs.photographs import images
from catsdogs.photographs.dataset import Dataset, Location, Photograph
from catsdogs.report import captions, choices, evidence, measures
from catsdogs.runs import run_card, training
from catsdogs.scoring import comparison, replay, training_plan
from catsdogs.scoring import comparison as comparison_module
from tests.conftest import jpeg, recipe, refused, rows_of
from tests.support import browser

HOSTILE = ('<b>"cat"', "</script><script>alert(1)</script>", "dog's & <img src=x onerror=alert(2)>")
SECTIONS = ["run", "photographs", "quality", "test", "mistakes", "suspects", "map"]
FIGURES = ["sizes", "calibration", "probabilities", "map"]


class World(NamedTuple):
    """A run and all that a report of it takes."""

    folder: Path
    files: list[Features]
    dataset: Dataset
    comparison: Path

    def write(self, dataset: Dataset | None = None) -> str:
        path = report.write_report(self.folder, self.files, dataset, self.comparison)
        assert path == self.folder / "report.html"
        return path.read_text(encoding="utf-8")


def photographs(root: Path, classes: Sequence[str], each: int, test: int) -> Dataset:
    """Small JPEGs, named by class and number; the classes may be called anything."""
    root.mkdir(parents=True)
    named = [(f"{name}.{n}", "train", label) for label, name in enumerate(classes) for n in range(each)]
    named += [(f"<i>{n}</i>", "test", -1) for n in range(test)]
    rows = []
    for seed, (id, split, label) in enumerate(named):
        (root / f"{seed}.jpg").write_bytes(jpeg(seed))
        rows.append(Photograph(id, split, label, Location(root, f"{seed}.jpg")))
    return Dataset(root, tuple(classes), tuple(rows))


def features(
    folder: Path, dataset: Dataset, name: str, apart: float, labelled: bool, unreadable: Sequence[Unreadable] = ()
) -> Features:
    """A feature file in which the classes lie `apart`, but for the first photograph, which lies amid the last class."""
    table = [DigestedPhotograph(row, images.digest(dataset.read(row))) for row in dataset.photographs]
    known = rows_of(table, 8, name, labelled)
    draw = np.random.default_rng(3)
    places = draw.normal(size=(len(dataset.classes), 8)).astype(np.float32)
    labels = [-1 if row.id == f"{dataset.classes[0]}.0" else row.label for row in dataset.photographs]
    sizes = draw.integers(50, 500, (len(table), 2))
    figures = np.concatenate((sizes, np.full((len(table), 2), 100)), axis=1).astype(np.float32)
    cache = Cache(folder, recipe(name))
    cache.write_shard(replace(known, vector=known.vector + apart * places[labels], statistics=figures), "none")
    cache.assemble(table, dataset.classes, unreadable, str(dataset.root))
    return feature_file.read_features(cache.path)


def world(
    folder: Path,
    classes: Sequence[str] = ("cat", "dog"),
    each: int = 20,
    test: int = 30,
    apart: float = 4,
    labelled: bool = True,
    unreadable: Sequence[Unreadable] = (),
    **plan: Any,
) -> World:
    dataset = photographs(folder / "photographs", classes, each, test)
    files = [
        features(folder / "features", dataset, name, apart, labelled, unreadable) for name in ("ResNet50", "Xception")
    ]
    seen, truth = (replay.hold_out(files, plan["protocol"])) if "protocol" in plan else (files, None)
    training.train(
        seen,
        training_plan.Plan("ridge", folds=3, seed=0, **plan),
        name="first",
        submissions=folder / "submissions",
        command="catsdogs train --name first",
        truth=truth,
    )
    submissions = folder / "submissions"
    return World(submissions / "first", files, dataset, submissions / comparison.COMPARISON_FILE)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A run that no test changes."""
    return world(tmp_path_factory.mktemp("plain"), unreadable=[Unreadable("train", "cat.99", "the file is empty")])


@pytest.fixture(scope="module")
def page(plain: World) -> str:
    return plain.write(plain.dataset)


class Elements(html.parser.HTMLParser):
    """The elements of a page and their attributes, its headings, and the text outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[tuple[int, str]] = []
        self._words: list[str] = []
        self._inside = ""
        self.feed(text)
        self.text = re.sub(r"\s+", " ", " ".join(self._words))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))
        self._inside = tag
        if re.fullmatch(r"h\d", tag):
            self.headings.append((int(tag[1]), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self._words.append(data)
        if re.fullmatch(r"h\d", self._inside):
            self.headings[-1] = (self.headings[-1][0], self.headings[-1][1] + data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.found if name in (attributes.get("class") or "").split()]


def test_the_page_holds_what_was_asked_for(plain: World, page: str) -> None:
    elements = Elements(page)
    run = run_card.read_run(plain.folder)
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert [id for id in ids if id in SECTIONS] == SECTIONS and len(set(ids)) == len(ids)
    assert [link["href"] for link in elements.all("a")][1:] == [f"#{section}" for section in SECTIONS]
    assert {f"{name}-caption" for name in FIGURES} <= set(ids)
    score = run.scores[0]
    for words in (
        f"{score.log_loss:.5f} log loss, ± {score.standard_error:.5f}",
        f"Measured {score.measured_on}.",
        "catsdogs train --name first",
        "3 folds, seed 0",
        "ResNet50 224 8 keras float32 caffe abababababababab…",
        "train/cat.99 : the file is empty",
        "and ridge left none",
        "invoke compare makes it",
        "calibration by",
        "costs 0.693",
        *(other.measured_on for other in run.scores),
        *run.versions.values(),
    ):
        assert words in elements.text, words
    levels = [level for level, _ in elements.headings]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_it_loads_nothing_and_every_picture_has_words(page: str) -> None:
    elements = Elements(page)
    (policy,) = [meta["content"] for meta in elements.all("meta") if "http-equiv" in meta]
    assert policy and policy.startswith("default-src 'none';") and "http" not in policy
    for tag, attributes in elements.found:
        for name in ("src", "srcset", "action", "poster", "background", "data"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, name)
        assert (attributes.get("href") or "#").startswith(("#", "data:"))
        assert not any(name.startswith("on") for name in attributes)
    pictures = elements.all("img")
    # A sample of each class, of the test photographs, the worst and the most doubtful; and the suspects.
    assert len(pictures) >= 20 + 25 + 25 + 25 + 1
    assert all(picture["alt"] for picture in pictures)
    assert not re.search(r"@import|url\((?!['\"]?data:)", page.split("</style>")[0])


def test_it_is_the_same_again_but_for_its_date(plain: World, page: str) -> None:
    def without_date(text: str) -> str:
        """Nor with Bokeh's numbers of models, which go on where the last page of the same process ended."""
        return re.sub(r"Made \d.*? by|p\d{4,}", "", text)

    assert without_date(plain.write(plain.dataset)) == without_date(page)


@pytest.mark.parametrize(
    ("classes", "each", "test"),
    [(("cat", "dog"), 8, 0), (("a", "b", "c"), 8, 5), ([f"breed {n}" for n in range(120)], 4, 20)],
    ids=["no test rows", "three classes", "120 classes"],
)
def test_any_number_of_classes_and_no_test_rows(tmp_path: Path, classes: Sequence[str], each: int, test: int) -> None:
    here = world(tmp_path, classes, each, test)
    text = here.write(here.dataset)
    elements = Elements(text)
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert [id for id in ids if id in SECTIONS] == SECTIONS
    assert ("probabilities-caption" in ids) == bool(test) == ("This run has none" not in elements.text)
    assert ("confusion-caption" in ids) == ("balance-caption" in ids) == (len(classes) > 10)
    samples = [picture for picture in elements.all("img") if "called" not in (picture["alt"] or "")]
    assert len(samples) == min(60, len(classes) * each)
    said = "probability of dog" if len(classes) == 2 else "probability of the likeliest class"
    assert said in text.split("</main>")[1]  # the axis of a figure


def test_names_are_never_taken_for_html(tmp_path: Path) -> None:
    hostile, tame = (
        world(tmp_path / name, classes) for name, classes in (("hostile", HOSTILE), ("tame", ("a", "b", "c")))
    )
    elements, usual = (Elements(here.write(here.dataset)) for here in (hostile, tame))
    assert len(elements.all("script")) == len(usual.all("script"))
    assert not any("onerror" in attributes or attributes.get("src") == "x" for _, attributes in elements.found)
    assert not elements.all("i")
    for name in HOSTILE:
        assert f"called {name}" in elements.text


def test_names_are_never_taken_for_formulas(tmp_path: Path) -> None:
    """Bokeh takes text between dollars for TeX, unless it is said to be plain."""
    here = world(tmp_path, ("cat", "$$dog$$"), each=6, test=4)
    models = here.write(here.dataset).split("</main>")[1]
    said = re.findall(r'"name":"(\w+)"[^{}]*"attributes":\{"text":"(?:probability|share) of \$\$dog\$\$"', models)
    assert len(said) >= 3 and set(said) == {"PlainText"}


def test_without_photographs_it_says_so(plain: World) -> None:
    elements = Elements(plain.write(None))
    assert elements.all("img") == [] and "were not where they had been" in elements.text
    assert len(elements.of_class("card")) >= 25 and "for the photographs are gone" in elements.text


def test_a_photograph_that_cannot_be_shown_leaves_its_reason(tmp_path: Path) -> None:
    here = world(tmp_path, each=6, test=4)
    gone, changed, damaged, *others = here.dataset.of("train")
    (here.dataset.root / gone.location.name).unlink()
    (here.dataset.root / changed.location.name).write_bytes(jpeg(999))
    absent = replace(here.dataset, photographs=tuple(row for row in here.dataset.photographs if row != others[0]))
    elements = Elements(here.write(absent))
    for reason in ("no such file", "the file has changed since", "no longer in the data set"):
        assert f"not shown: {reason}" in elements.text
    assert not any(gone.id in (picture["alt"] or "") for picture in elements.all("img"))
    assert any(damaged.id in (picture["alt"] or "") for picture in elements.all("img"))


def test_decisions_and_what_the_run_did_are_marked(tmp_path: Path) -> None:
    here = world(tmp_path, drop=frozenset({"cat.1"}), relabel={"dog.2": "cat"})
    table = here.files[0].path.parent / decisions.DECISIONS_FILE
    table.write_text("id,decision,label,when\ncat.1,drop,,\ndog.2,relabel,cat,\ncat.3,keep,,\n")
    found = evidence.collect_evidence(here.folder, here.files)
    cards = {
        id: report.page.Maker(found, lambda split, id: None).marks(id) for id in ("cat.1", "dog.2", "cat.3", "dog.5")
    }
    assert cards == {
        "cat.1": ["decided: drop", "not learnt from in this run"],
        "dog.2": ["decided: relabel as cat", "learnt as cat in this run"],
        "cat.3": ["decided: keep"],
        "dog.5": [],
    }
    text = Elements(here.write(here.dataset)).text
    assert "dog.2 as cat" in text and "Left out cat.1" in text  # by whom the run does not say


def test_a_protocols_test_rows_are_training_photographs(tmp_path: Path) -> None:
    here = world(tmp_path, protocol="mlebench")
    elements = Elements(here.write(here.dataset))
    assert "mlebench: the test photographs are labelled ones" in elements.text
    assert "Measured held out, a seeded tenth, 4 labelled photographs" in elements.text
    assert "not shown" not in elements.text


def test_where_networks_see_no_pets_their_votes_do_not_count(tmp_path: Path) -> None:
    here = world(tmp_path, test=4)
    strange = [
        replace(file, topk_class={split: np.full_like(labels, 500) for split, labels in file.topk_class.items()})
        for file in here.files
    ]
    found = evidence.collect_evidence(here.folder, strange)
    assert not found.about_pets
    assert not any(reason.kind == outliers.NO_PET for suspect in found.suspects for reason in suspect.reasons)
    report.write_report(here.folder, strange, None, here.comparison)
    assert "In most photographs no network sees a pet" in Elements((here.folder / "report.html").read_text()).text


def test_an_old_notebooks_file_is_enough(tmp_path: Path) -> None:
    """It has no sizes, digests or ImageNet labels."""
    dataset = photographs(tmp_path / "photographs", ("cat", "dog"), 10, 5)
    path = tmp_path / "gap_ResNet50.h5"
    draw = np.random.default_rng(0)
    labels = np.repeat([0, 1], 10)
    with h5py.File(path, "w") as file:
        file["train"] = (draw.normal(size=(20, 4)) + 2 * labels[:, None]).astype(np.float32)
        file["test"] = draw.normal(size=(5, 4)).astype(np.float32)
        file["label"] = np.array([row.label for row in sorted(dataset.of("train"), key=lambda row: row.label)])
    files = [feature_file.read_features(path, dataset)]
    plan = training_plan.Plan("ridge", folds=3, seed=0)
    training.train(files, plan, name="old", submissions=tmp_path / "submissions", command="catsdogs train")
    here = World(tmp_path / "submissions" / "old", files, dataset, tmp_path / "compare.csv")
    elements = Elements(here.write(dataset))
    assert "an old notebook wrote them" in elements.text and "none can vote" in elements.text
    assert "not shown" not in elements.text


def test_the_table_of_heads(tmp_path: Path) -> None:
    here = world(tmp_path, each=6, test=0)
    row = (
        "1,stack,ResNet50+Xception,0.5,0.1,0,0,,0.75,1.5,5,3,99\n2,ridge,ResNet50,0.6,0.1,0.1,0.01,worse,0.5,1,5,3,99\n"
    )
    here.comparison.write_text(",".join(comparison.COLUMNS) + "\n" + row)
    elements = Elements(here.write())
    assert "ridge ResNet50 0.60000 ± 0.10000 +0.10000 worse 50.00% 1.0" in elements.text
    assert "99 photographs, 5 folds, 3 repeats, so not on the photographs of this run" in elements.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not have the columns"),
        (",".join(comparison.COLUMNS) + "\n", "does not have the columns and rows"),
        (",".join(comparison.COLUMNS) + "\n1,stack,A,0.5\n", "row 2 is damaged: 4 columns, not 13"),
        (",".join(comparison.COLUMNS) + "\n1,stack,A,much,0.1,0,0,,0.75,1.5,5,3,99\n", "row 2 is damaged: .*much"),
    ],
)
def test_a_damaged_table_of_heads_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / comparison.COMPARISON_FILE
    path.write_text(text)
    with refused(TrainingError, rf"compare\.csv.*{message}"):
        comparison_module.read_comparison(path)


def other_cell(column: str, value: str) -> Callable[[list[list[str]]], list[list[str]]]:
    """A change of the third row of a table, which is the file's fourth."""

    def change(rows: list[list[str]]) -> list[list[str]]:
        rows[3][rows[0].index(column)] = value
        return rows

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [], "row 1"),
        (lambda rows: [row[:-1] for row in rows], "row 1"),
        (lambda rows: rows[:-3], "row 38 is the last"),
        (lambda rows: [*rows, rows[-1]], "row 42 is the last"),
        (lambda rows: [*rows[:-1], rows[-1][:3]], "row 41: 3 columns, not 6"),
        (lambda rows: [rows[0], rows[2], rows[1], *rows[3:]], "row 2: the id 'cat.1'"),
        (other_cell("id", "cat.77"), "row 4: the id 'cat.77'"),
        (other_cell("label", "dog"), "row 4: the label 'dog'"),
        (other_cell("p_dog", "likely"), "row 4: .*likely"),
        (other_cell("p_dog", "nan"), "row 4: .*no probabilities"),
        (other_cell("p_dog", "1.5"), "row 4: .*no probabilities"),
        (other_cell("fold", "9"), "row 4: the fold 9"),
        (other_cell("fold", "one"), "row 4: .*one"),
        (lambda rows: [rows[0], *([*row[:3], "1", *row[4:]] for row in rows[1:])], "no row of fold 2"),
    ],
)
def test_a_damaged_out_of_fold_file_is_refused(
    tmp_path: Path, plain: World, change: Callable[[list[list[str]]], list[list[str]]], message: str
) -> None:
    folder = copied(plain, tmp_path)
    path = folder / run_card.OUT_OF_FOLD_FILE
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(change(rows))
    with refused(TrainingError, rf"oof\.csv.*{message}"):
        report.write_report(folder, plain.files, None, plain.comparison)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-2], "lacks 2 test photographs: <i>28</i>, <i>29</i>"),
        (lambda lines: [*lines, "77,0.5"], "has, unlike the run, 1 test photographs: 77"),
        (lambda lines: [*lines[:-1], lines[-1].split(",")[0] + ",often"], "row 31: 'often'"),
        (lambda lines: [*lines[:-1], lines[-1].split(",")[0]], "row 31 has 1 columns"),
        (lambda lines: [], "has the columns"),
    ],
)
def test_a_damaged_submission_is_refused(
    tmp_path: Path, plain: World, change: Callable[[list[str]], list[str]], message: str
) -> None:
    folder = copied(plain, tmp_path)
    path = folder / run_card.SUBMISSION_FILE
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    with refused(SubmissionError, rf"submission\.csv.*{message}"):
        report.write_report(folder, plain.files, None, plain.comparison)


@pytest.mark.parametrize("name", [run_card.OUT_OF_FOLD_FILE, run_card.SUBMISSION_FILE])
def test_a_missing_file_is_named(tmp_path: Path, plain: World, name: str) -> None:
    folder = copied(plain, tmp_path)
    (folder / name).unlink()
    with refused(TrainingError, f"{name} is gone"):
        report.write_report(folder, plain.files, None, plain.comparison)


def test_other_files_and_no_run_are_refused(tmp_path: Path, plain: World) -> None:
    with refused(StoreError, "was trained on"):
        report.write_report(plain.folder, plain.files[:1], None, plain.comparison)
    with refused(UnknownNameError, "No run is called 'absent'"):
        report.write_report(tmp_path / "absent", plain.files, None, plain.comparison)
    with refused(CatsdogsError, "other rows"):
        changed = [replace(file, labels=1 - file.labels) for file in plain.files]
        report.write_report(plain.folder, changed, None, plain.comparison)


def test_of_many_photographs_the_map_shows_suspects_the_worst_and_a_sample(
    plain: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = evidence.collect_evidence(plain.folder, plain.files)
    monkeypatch.setattr(choices, "MAP_POINTS", 12)
    monkeypatch.setattr(choices, "MAP_SUSPECTS", 4)
    monkeypatch.setattr(choices, "MAP_WORST", 3)
    mapped = choices.choose_photographs(found).mapped
    assert len(set(mapped.tolist())) == 12 and sorted(mapped) == mapped.tolist()
    ids = set(found.first.ids["train"][mapped])
    suspects = [suspect.id for suspect in found.suspects if suspect.split == "train"]
    assert len(suspects) > 4 and set(suspects[:4]) <= ids
    assert set(np.argsort(-found.losses)[:3]) <= set(mapped.tolist())
    assert np.array_equal(choices.choose_photographs(found).mapped, mapped)
    page = report.page.render(
        found, choices.choose_photographs(found), measures.project_vectors(found.files, mapped), {}, None, ""
    )
    assert "12 of 40 training photographs are drawn" in Elements(page).text


def test_of_many_suspects_a_few_of_every_kind_are_shown(plain: World, monkeypatch: pytest.MonkeyPatch) -> None:
    found = evidence.collect_evidence(plain.folder, plain.files)
    weak = replace(
        found.suspects[0],
        split="test",
        id="<i>0</i>",
        label="",
        reasons=(suspect_table.Reason(0.01, "small: 39 pixels"),),
    )
    monkeypatch.setattr(choices, "SUSPECTS", 8)
    monkeypatch.setattr(choices, "SUSPECTS_OF_A_KIND", 2)
    shown = choices.choose_photographs(replace(found, suspects=[*found.suspects, weak])).suspects
    assert len(shown) == 8 and shown[-1] is weak
    scores = [suspect.score for suspect in shown]
    assert scores == sorted(scores, reverse=True)


def copied(here: World, to: Path) -> Path:
    """The run in a folder of its own, without a report."""
    folder = to / here.folder.name
    folder.mkdir()
    for path in here.folder.iterdir():
        if path.name != run_card.REPORT_FILE:
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_the_bins_of_a_calibration_diagram(answers: list[tuple[float, bool]]) -> None:
    said, came_true = np.array([p for p, _ in answers]), np.array([right for _, right in answers])
    bins = measures.reliability(said, came_true)
    assert sum(bin.rows for bin in bins) == len(answers)
    assert sum(bin.rows * bin.happened for bin in bins) == pytest.approx(came_true.sum())
    for bin in bins:
        assert bin.low - 1e-9 <= bin.said <= bin.high + 1e-9
        assert 0 <= bin.least <= bin.happened + 1e-9 and bin.happened - 1e-9 <= bin.most <= 1
    assert 0 <= measures.calibration_error(bins) <= 1


def test_what_happens_as_said_has_no_calibration_error() -> None:
    said = np.repeat([0.25, 0.75], 100)
    came_true = np.tile([True, False, False, False], 25), np.tile([True, True, True, False], 25)
    assert measures.calibration_error(measures.reliability(said, np.concatenate(came_true))) == pytest.approx(0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_the_confusion_matrix_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    labels, answers = (np.array(column) for column in zip(*pairs, strict=True))
    matrix = measures.confusion_matrix(labels, answers, 4)
    assert np.array_equal(matrix, confusion_matrix(labels, answers, labels=range(4)))
    wrong = measures.confusions(matrix)
    assert sum(pair.rows for pair in wrong) == (labels != answers).sum()
    assert [pair.rows for pair in wrong] == sorted((pair.rows for pair in wrong), reverse=True)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (0.0075, "0.75 %"),
        (0.994, "99.4 %"),
        (0.99951, "99.95 %"),
        (1 - 3 / 12_000, "99.98 %"),
        (1, "100 %"),
    ],
)
def test_only_all_of_them_are_a_hundred_percent(share: float, text: str) -> None:
    assert captions.percent(share) == text


@given(st.integers(1, 10**6))
def test_all_but_one_are_never_a_hundred_percent(count: int) -> None:
    assert float(captions.percent(1 - 1 / count).removesuffix(" %")) < 100


def test_the_margin_of_an_even_choice_is_nothing() -> None:
    margins = measures.margins(np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]]))
    assert margins == pytest.approx([0, 0.5])


def test_the_map_tells_classes_apart_and_puts_the_first_one_left(tmp_path: Path) -> None:
    dataset = photographs(tmp_path / "photographs", ("cat", "dog"), 15, 0)
    files = [features(tmp_path / "features", dataset, name, 8, False) for name in ("ResNet50", "Xception")]
    rows = np.arange(3, 27)
    found = measures.project_vectors(files, rows)
    cats = files[0].labels[rows] == 0
    assert found.places[cats, 0].max() < 0 < found.places[~cats, 0].min()
    assert 1 >= found.shown[0] >= found.shown[1] >= 0
    # A file whose rows come in another order says the same.
    order = np.random.default_rng(0).permutation(30)
    shuffled = replace(dataset, photographs=tuple(dataset.photographs[row] for row in order))
    again = [files[0], features(tmp_path / "other", shuffled, "Xception", 8, False)]
    assert np.array_equal(again[1].vectors("train"), files[1].vectors("train")[order])
    assert measures.project_vectors(again, rows).places == pytest.approx(found.places)


class TestInABrowser:
    def test_it_opens_without_complaints_and_without_the_network(self, plain: World) -> None:
        plain.write(plain.dataset)
        with browser.launch() as chromium:
            tab = chromium.new_page()
            complaints, asked = browser.complaints(tab), []
            tab.on("request", lambda request: asked.append(request.url))
            tab.goto((plain.folder / "report.html").as_uri())
            tab.wait_for_function(READY)
            assert complaints == []
            assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
            assert len([url for url in asked if url.startswith("file:")]) == 1

    def test_hovering_over_the_map_shows_a_photograph(self, plain: World) -> None:
        plain.write(plain.dataset)
        with browser.launch() as chromium:
            tab = chromium.new_page(viewport={"width": 1280, "height": 900})
            complaints = browser.complaints(tab)
            tab.goto((plain.folder / "report.html").as_uri())
            tab.wait_for_function(READY)
            point = tab.evaluate(POINT)
            tab.mouse.move(point["x"], point["y"])
            picture = tab.locator(".bk-Tooltip img").first
            picture.wait_for(state="visible")
            assert tab.evaluate("element => element.naturalWidth > 0", picture.element_handle())
            assert complaints == []

    def test_a_tap_and_the_keyboard_fill_the_panel_on_a_phone(self, plain: World) -> None:
        plain.write(plain.dataset)
        with browser.launch() as chromium:
            tab = chromium.new_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
            complaints = browser.complaints(tab)
            tab.goto((plain.folder / "report.html").as_uri())
            tab.wait_for_function(READY)
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
            point = tab.evaluate(POINT)
            tab.touchscreen.tap(point["x"], point["y"])
            panel = tab.locator("#map-panel")
            panel.locator("img").wait_for()
            assert "labelled" in panel.inner_text()
            tab.select_option("#map-group", "1")
            assert panel.inner_text() == "20 of 40 points"
            tab.locator("#map-next").press("Enter")
            assert "labelled dog" in panel.inner_text()
            assert complaints == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_the_texts_of_figures_stand_out_from_the_ground(
        self, plain: World, scheme: Literal["light", "dark"]
    ) -> None:
        """WCAG 2.2, 1.4.3: a contrast of 4.5."""
        plain.write(plain.dataset)
        with browser.launch() as chromium:
            tab = chromium.new_page(color_scheme=scheme)
            tab.goto((plain.folder / "report.html").as_uri())
            tab.wait_for_function(READY)
            tab.wait_for_function("() => document.querySelector('#map-panel').innerText.includes('No photograph')")
            inks = tab.evaluate(INKS)
            ground = tab.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ground').trim()")
            assert inks and all(contrast(ink, ground) >= 4.5 for ink in inks), (inks, ground)

    def test_suspects_are_filtered_by_reason(self, plain: World) -> None:
        plain.write(plain.dataset)
        with browser.launch() as chromium:
            tab = chromium.new_page()
            tab.goto((plain.folder / "report.html").as_uri())
            cards = tab.locator("#suspects .card:visible")
            everything = cards.count()
            button = tab.locator(".filter button", has_text="label error")
            button.click()
            assert 0 < cards.count() < everything and button.get_attribute("aria-pressed") == "true"
            assert cards.count() == tab.locator("#suspects .card:visible .reason", has_text="label error").count()
            tab.locator(".filter button").first.click()
            assert cards.count() == everything

    def test_hostile_names_stay_text_on_the_map(self, tmp_path: Path) -> None:
        here = world(tmp_path, HOSTILE, each=8)
        here.write(here.dataset)
        with browser.launch() as chromium:
            tab = chromium.new_page(viewport={"width": 1280, "height": 900})
            complaints, alerts = browser.complaints(tab), []
            tab.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
            tab.goto((here.folder / "report.html").as_uri())
            tab.wait_for_function(READY)
            for name in HOSTILE:
                tab.select_option("#map-group", label=f"labelled {name}")
                tab.locator("#map-next").click()
                assert f"labelled {name}" in tab.locator("#map-panel").inner_text()
                point = tab.evaluate(CHOSEN)
                tab.mouse.move(point["x"], point["y"])
                tab.locator(".bk-Tooltip").get_by_text(f"labelled {name}", exact=True).first.wait_for(state="visible")
                tab.mouse.move(0, 0)
            assert complaints == [] and alerts == []


INKS = """() => Bokeh.documents.flatMap((drawn) => drawn.roots()).flatMap((root) => [...root.references()])
    .flatMap((model) => ["axis_label_text_color", "major_label_text_color", "label_text_color"]
        .filter((name) => name in model.properties).map((name) => model[name]))"""


def contrast(one: str, other: str) -> float:
    """Of two colours `#rrggbb`, from 1 to 21, as WCAG has it."""

    def luminance(colour: str) -> float:
        parts = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


# Bokeh has drawn the map, and knows where on the screen its points are.
_VIEW = """
    const source = Bokeh.documents.map((drawn) => drawn.get_model_by_name("map")).find(Boolean);
    const view = Bokeh.index.roots.find((root) => root.model.renderers?.some((drawn) => drawn.data_source === source));
"""
READY = (
    "() => { if (!window.Bokeh || !Bokeh.documents.length) return false;"
    + _VIEW
    + "return Boolean(view?.frame.x_scale && view.frame.bbox.height > 100); }"
)
_PLACE = """
    view.el.scrollIntoView({block: "center", behavior: "instant"});
    const canvas = view.canvas_view.el.getBoundingClientRect();
    return {x: canvas.left + view.frame.x_scale.compute(source.get_column("x")[row]),
            y: canvas.top + view.frame.y_scale.compute(source.get_column("y")[row])};
}"""
POINT = "() => {" + _VIEW + "const row = 0;" + _PLACE
CHOSEN = "() => {" + _VIEW + "const row = source.selected.indices[0];" + _PLACE

"""The report: all that was asked for is on it, it loads nothing, says what it lacks, and opens in a real browser."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from catsdogs import report
from catsdogs.cleaning import decisions
from catsdogs.errors import TrainingError
from catsdogs.features import feature_file
from catsdogs.report import evidence, kinds
from catsdogs.runs import run_card, training
from catsdogs.scoring import comparison, comparison_file, training_plan
from tests.conftest import refused
from tests.support.datasets import jpeg
from tests.support.reports import HOSTILE, Elements, ReportedRun, make_photographs, make_run

SECTIONS = ["run", "photographs", "quality", "test", "mistakes", "suspects", "map"]
FIGURES = ["sizes", "calibration", "probabilities", "map"]


def test_the_page_holds_what_was_asked_for(plain: ReportedRun, page: str) -> None:
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


@pytest.mark.parametrize(("metric", "classes"), [("auc", ("cat", "dog")), ("mean-auc", ("a", "b", "c"))])
def test_the_metric_comes_first_and_log_loss_beside_it(tmp_path: Path, metric: str, classes: tuple[str, ...]) -> None:
    here = make_run(tmp_path, classes, metric=metric)
    score = run_card.read_run(here.folder).scores[0]
    first = comparison.Entry("ridge", ("A",), 0.3, 0.1, 0.9, 0.0, 0.0, 1.0, "", 0.95, 0.01)
    comparison_file.write_comparison(here.comparison, comparison.Comparison((first,), 40, 3, 1, metric=metric))
    text = Elements(here.write(here.dataset)).text
    value = f"{score.value:.5f} {metric} , ± {score.value_error:.5f}".replace(" ,", ",")
    assert text.index(value) < text.index(f"{score.log_loss:.5f} log loss, ± {score.standard_error:.5f}")
    assert f"{metric} log loss accuracy measured on {score.value:.5f} ± {score.value_error:.5f}" in text
    assert f"{metric} to the first verdict log loss accuracy seconds ridge A 0.95000 ± 0.01000 0.30000" in text


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


def test_it_is_the_same_again_but_for_its_date(plain: ReportedRun, page: str) -> None:
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
    here = make_run(tmp_path, classes, each, test)
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
        make_run(tmp_path / name, classes) for name, classes in (("hostile", HOSTILE), ("tame", ("a", "b", "c")))
    )
    elements, usual = (Elements(here.write(here.dataset)) for here in (hostile, tame))
    assert len(elements.all("script")) == len(usual.all("script"))
    assert not any("onerror" in attributes or attributes.get("src") == "x" for _, attributes in elements.found)
    assert not elements.all("i")
    for name in HOSTILE:
        assert f"called {name}" in elements.text


def test_names_are_never_taken_for_formulas(tmp_path: Path) -> None:
    """Bokeh takes text between dollars for TeX, unless it is said to be plain."""
    here = make_run(tmp_path, ("cat", "$$dog$$"), each=6, test=4)
    models = here.write(here.dataset).split("</main>")[1]
    said = re.findall(r'"name":"(\w+)"[^{}]*"attributes":\{"text":"(?:probability|share) of \$\$dog\$\$"', models)
    assert len(said) >= 3 and set(said) == {"PlainText"}


def test_without_photographs_it_says_so(plain: ReportedRun) -> None:
    elements = Elements(plain.write(None))
    assert elements.all("img") == [] and "were not where they had been" in elements.text
    assert len(elements.of_class("card")) >= 25 and "for the photographs are gone" in elements.text


def test_a_photograph_that_cannot_be_shown_leaves_its_reason(tmp_path: Path) -> None:
    here = make_run(tmp_path, each=6, test=4)
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
    here = make_run(tmp_path, drop=frozenset({"cat.1"}), relabel={"dog.2": "cat"})
    table = here.files[0].path.parent / decisions.DECISIONS_FILE
    table.write_text("id,decision,label,when\ncat.1,drop,,\ndog.2,relabel,cat,\ncat.3,keep,,\n")
    collected = evidence.collect_evidence(here.folder, here.files)
    tiles = report.page.TileMaker(collected, kinds.view_of(collected), {})
    marks = {id: tiles.marks(id) for id in ("cat.1", "dog.2", "cat.3", "dog.5")}
    assert marks == {
        "cat.1": ["decided: drop", "not learnt from in this run"],
        "dog.2": ["decided: relabel as cat", "learnt as cat in this run"],
        "cat.3": ["decided: keep"],
        "dog.5": [],
    }
    text = Elements(here.write(here.dataset)).text
    assert "dog.2 as cat" in text and "Left out cat.1" in text  # by whom the run does not say


def test_a_protocols_test_rows_are_training_photographs(tmp_path: Path) -> None:
    here = make_run(tmp_path, protocol="mlebench")
    elements = Elements(here.write(here.dataset))
    assert "mlebench: the test photographs are labelled ones" in elements.text
    assert "Measured held out, a seeded tenth, 4 labelled photographs" in elements.text
    assert "not shown" not in elements.text


def test_an_old_notebooks_file_is_enough(tmp_path: Path) -> None:
    """It has no sizes, digests or ImageNet labels."""
    dataset = make_photographs(tmp_path / "photographs", ("cat", "dog"), 10, 5)
    path = tmp_path / "gap_ResNet50.h5"
    draw = np.random.default_rng(0)
    labels = np.repeat([0, 1], 10)
    with h5py.File(path, "w") as file:
        file["train"] = (draw.normal(size=(20, 4)) + 2 * labels[:, None]).astype(np.float32)
        file["test"] = draw.normal(size=(5, 4)).astype(np.float32)
        file["label"] = np.array([row.label for row in sorted(dataset.of("train"), key=lambda row: row.label)])
    files = [feature_file.read_features(path, lambda: dataset)]
    plan = training_plan.Plan("ridge", folds=3, seed=0)
    training.train(files, plan, name="old", submissions=tmp_path / "submissions", command="catsdogs train")
    here = ReportedRun(tmp_path / "submissions" / "old", files, dataset, tmp_path / "compare.csv")
    elements = Elements(here.write(dataset))
    assert "an old notebook wrote them" in elements.text and "none can vote" in elements.text
    assert "not shown" not in elements.text


def test_the_table_of_heads(tmp_path: Path) -> None:
    here = make_run(tmp_path, each=6, test=0)
    row = (
        "1,stack,ResNet50+Xception,0.5,0.1,0,0,,0.75,1.5,5,3,99\n2,ridge,ResNet50,0.6,0.1,0.1,0.01,worse,0.5,1,5,3,99\n"
    )
    here.comparison.write_text(",".join(comparison_file.COLUMNS) + "\n" + row)
    elements = Elements(here.write())
    assert "ridge ResNet50 0.60000 ± 0.10000 +0.10000 worse 50.00% 1.0" in elements.text
    assert "99 photographs, 5 folds, 3 repeats, so not on the photographs of this run" in elements.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not have the columns"),
        (",".join(comparison_file.COLUMNS) + "\n", "does not have the columns and rows"),
        (",".join(comparison_file.COLUMNS) + "\n1,stack,A,0.5\n", "row 2 is damaged: 4 columns, not 13"),
        (",".join(comparison_file.COLUMNS) + "\n1,stack,A,much,0.1,0,0,,0.75,1.5,5,3,99\n", "row 2 is damaged: .*much"),
    ],
)
def test_a_damaged_table_of_heads_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / comparison_file.COMPARISON_FILE
    path.write_text(text)
    with refused(TrainingError, rf"compare\.csv.*{message}"):
        comparison_file.read_comparison(path)


def test_it_says_what_the_heads_learnt_besides_and_who_answers(tmp_path: Path) -> None:
    here = make_run(tmp_path, repeats=2, refit=True, pseudo=0.9)
    text = Elements(here.write(here.dataset)).text
    assert "2 x 3 folds, seed 0; test photographs learnt from a probability of 0.9; answers are by a head" in text

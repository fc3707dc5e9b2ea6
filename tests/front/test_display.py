"""What notebooks show of the values of the front door: captioned tables, and pictures inside the page."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import catsdogs as cd
from tests.support.front import LITE0


def pictures_in(page: str) -> list[Image.Image]:
    found = re.findall(r'<img src="data:image/(?:png|jpeg);base64,([^"]+)" alt="[^"]+"', page)
    return [Image.open(io.BytesIO(base64.b64decode(text))) for text in found]


def test_each_value_shows_a_captioned_table_in_the_colours_of_the_notebook(inside: Path) -> None:
    features = cd.load()
    values = {
        "Task, without a sample submission": cd.look("pets"),
        "Features: 16 train + 4 test rows x 1,280": features,
        "suspects, the most doubtful first": cd.outliers(features, folds=2),
        "Heads compared by log loss, best first": cd.compare(features, heads=["ridge", "knn"], folds=2),
        f"submissions/first: ridge on {LITE0}": cd.Run("first"),
        "Scores, and how each was measured": cd.Run("first").scores,
        "Answers for 4 photographs": cd.predict("first", "pets/test"),
    }
    for caption, value in values.items():
        page = value._repr_html_()
        assert re.search(rf"<caption[^>]*>[\d ]*{re.escape(caption)}</caption>", page), caption
        assert page.startswith("<table>") and page.count("<tr>") >= 2
        assert not re.search(r"(color|background)\s*:", page)
        assert repr(value) and "<td" not in repr(value)
    assert "probability of dog" in values["Task, without a sample submission"]._repr_html_()
    assert "submission.csv" in values[f"submissions/first: ridge on {LITE0}"]._repr_html_()


def test_suspects_and_comparisons_show_their_pictures_until_others_are_drawn(inside: Path) -> None:
    features = cd.load()
    for value, path in (
        (cd.outliers(features, folds=2), "features/outliers.png"),
        (cd.compare(features, heads=["ridge"], folds=2), "submissions/compare.png"),
    ):
        (picture,) = pictures_in(value._repr_html_())
        with Image.open(path) as drawn:
            across, down = drawn.size
        assert picture.size == (min(across, 1200), pytest.approx(down * min(1, 1200 / across), abs=1))
        Path(path).write_bytes(Path(path).read_bytes() + b"of another call")
        assert not pictures_in(value._repr_html_())
        Path(path).unlink()
        assert value._repr_html_().startswith("<table>")


def test_a_run_shows_its_learning_curves_if_there_are_some(inside: Path) -> None:
    assert not pictures_in(cd.Run("first")._repr_html_())
    Image.new("RGB", (1200, 504), "white").save("submissions/first/learning_curves.png")
    (picture,) = pictures_in(cd.Run("first")._repr_html_())
    assert picture.size == (1200, 504) and picture.format == "PNG"


def test_names_are_text_and_many_rows_and_classes_are_cut() -> None:
    count, classes = 31, tuple(f"<b>{number}</b>" for number in range(1000))
    found = cd.Predictions([f"<script>{row}" for row in range(count)], classes, np.zeros((count, 1000)), {"1": "torn"})
    page = found._repr_html_()
    assert "&lt;script&gt;0" in page and "<script" not in page and "<b>" not in page
    assert "1 more rows" in page and "981 more columns" in page and "1 of them cannot be read" in page
    assert page.count("<tr>") == 31 and len(page) < 100_000
    task = cd.Task("labels", "names", names=tuple("<i>" for _ in range(300)), given={"kind": "labels", "images": ""})
    page = task._repr_html_()
    assert "<i>" not in page and "(280 more)" in page and "kind=labels" in page

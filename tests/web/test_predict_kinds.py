"""What is predicted by kind of task: as JSON, and on the page in a real browser."""

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from werkzeug.serving import make_server

from catsdogs.photographs.task import BINARY, LABELS, NAME, NAMES, NUMBER, NUMBERS, ORDINAL, Task
from catsdogs.runs import run_card
from catsdogs.web import Loading, Site, create_app
from tests.support import browser
from tests.support.datasets import jpeg
from tests.support.web import StandInPredictor, make_client, send, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

SHARES = {"rust": 0.91, "scab": 0.62, "a label of <b>many</b> words": 0.2, **{f"other {n}": 0.01 for n in range(20)}}
GRADES = {"0": 0.1, "1": 0.4, "2": 0.3, "3": 0.2}


def of_kind(
    site: Site, kind: str, said: Mapping[str, float], decided: Sequence[str] = (), no_pet: bool = False
) -> Loading:
    """A loaded stand-in for a run of this kind."""
    answers = {LABELS: NAMES, ORDINAL: NAME, NUMBER: NUMBERS}
    names = tuple(said) if kind in (LABELS, NUMBER) else ()
    run = run_card.read_run(site.submissions / "run")
    if kind != BINARY:
        run = replace(run, classes=tuple(said), task=Task(kind, answers[kind], names=names))
    loading = Loading(lambda: StandInPredictor(run, said, decided, no_pet))  # type: ignore[arg-type,return-value]
    wait_until(lambda: loading.state == "ready")
    return loading


def test_two_classes_are_answered_as_ever(site: Site) -> None:
    loading = of_kind(site, BINARY, {"cat": 0.25, "dog": 0.75}, ["dog"])
    content = send(make_client(site, loading), (jpeg(1), "a.jpg")).get_json()
    (result,) = content["results"]
    assert content["run"]["kind"] == "binary" and content["run"]["ranges"] == {}
    assert result["class"] == "dog" and result["probabilities"] == {"cat": 0.25, "dog": 0.75}
    assert not {"labels_named", "numbers"} & set(result)


def test_labels_are_named_beside_their_probabilities(site: Site) -> None:
    client = make_client(site, of_kind(site, LABELS, SHARES, ["rust", "scab"]))
    (result,) = send(client, (jpeg(1), "a.jpg")).get_json()["results"]
    assert result["labels_named"] == ["rust", "scab"] and result["probabilities"] == SHARES
    assert not {"class", "numbers"} & set(result)


def test_a_grade_is_the_one_decided_on_and_not_the_likeliest(site: Site) -> None:
    client = make_client(site, of_kind(site, ORDINAL, GRADES, ["2"]))
    (result,) = send(client, (jpeg(1), "a.jpg")).get_json()["results"]
    assert result["class"] == "2" and result["probabilities"] == GRADES


def test_numbers_come_with_the_range_seen(site: Site) -> None:
    client = make_client(site, of_kind(site, NUMBER, {"Pawpularity": 38.25}))
    content = send(client, (jpeg(1), "a.jpg")).get_json()
    (result,) = content["results"]
    assert content["run"]["ranges"] == {"Pawpularity": [1.0, 100.0]}
    assert result["numbers"] == {"Pawpularity": 38.25} and not {"class", "probabilities"} & set(result)


@contextlib.contextmanager
def card_of(site: Site, loading: Loading, folder: Path, **context: object) -> "Iterator[Page]":
    """A tab in which one photograph was answered, and nothing went wrong."""
    server = make_server("127.0.0.1", 0, create_app(replace(site, loading=loading)), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    photograph = folder / "rex.jpg"
    photograph.write_bytes(jpeg(1, (400, 300)))
    try:
        with browser.launch() as chromium:
            tab = chromium.new_page(**context)  # type: ignore[arg-type]
            complaints = browser.complaints(tab)
            tab.goto(f"http://127.0.0.1:{server.server_port}/")
            tab.set_input_files("#files", photograph)
            tab.wait_for_selector(".answer:not([aria-busy])")
            yield tab
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert complaints == []
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("width", [1200, 390])
def test_the_page_marks_the_labels_that_are_named(site: Site, tmp_path: Path, width: int) -> None:
    loading = of_kind(site, LABELS, SHARES, ["rust", "a label of <b>many</b> words"])
    with card_of(site, loading, tmp_path, viewport={"width": width, "height": 900}) as tab:
        assert tab.locator(".verdict .chip").all_inner_texts() == ["rust", "a label of <b>many</b> words"]
        marked = [" ".join(text.split()) for text in tab.locator(".bars .named dt").all_text_contents()]
        assert marked == ["rust (named)", "a label of <b>many</b> words (named)"]
        assert tab.locator(".bars dt").count() == 2 + 12
        assert "and 9 less likely labels" in tab.locator(".answer").inner_text()


@pytest.mark.parametrize(
    ("kind", "said", "decided", "why"),
    [
        (LABELS, SHARES, ["rust", "scab"], ""),
        (LABELS, SHARES, ["rust"], "Each label is named from a threshold of its own on."),
        (LABELS, SHARES, [], "Each label is named from a threshold of its own on."),
        (ORDINAL, GRADES, ["1"], ""),
        (ORDINAL, GRADES, ["2"], "The grade is cut from the expected one, not the likeliest."),
    ],
)
def test_the_page_says_why_what_is_named_is_not_the_likeliest(
    site: Site, tmp_path: Path, kind: str, said: dict[str, float], decided: list[str], why: str
) -> None:
    with card_of(site, of_kind(site, kind, said, decided), tmp_path) as tab:
        shown = tab.locator(".answer").inner_text()
        assert why in shown
        assert why or not any(word in shown for word in ("threshold", "expected one"))


def test_the_page_says_that_no_label_is_named(site: Site, tmp_path: Path) -> None:
    with card_of(site, of_kind(site, LABELS, SHARES), tmp_path) as tab:
        assert tab.locator(".verdict").inner_text() == "None of the labels"


def test_the_page_shows_a_grade_and_all_grades_in_order(site: Site, tmp_path: Path) -> None:
    with card_of(site, of_kind(site, ORDINAL, GRADES, ["2"]), tmp_path) as tab:
        assert tab.locator(".verdict").inner_text().split() == ["grade", "2"]
        assert tab.locator(".bars dt").all_inner_texts() == ["0", "1", "2", "3"]
        assert "rex.jpg: Grade 2" in tab.locator("#log").inner_text()


def test_the_page_shows_a_number_with_its_name_and_the_range_seen(site: Site, tmp_path: Path) -> None:
    loading = of_kind(site, NUMBER, {"Pawpularity": 38.2537, "weight": 123456.7})
    with card_of(site, loading, tmp_path) as tab:
        assert tab.locator(".verdict .figure").all_inner_texts() == ["38.25", "123,457"]
        assert tab.locator(".verdict .what").all_inner_texts() == ["Pawpularity", "weight"]
        assert "training photographs: 1 to 100" in tab.locator(".verdict").inner_text()


def test_where_no_pet_is_seen_the_page_says_so_first(site: Site, tmp_path: Path) -> None:
    with card_of(site, of_kind(site, NUMBER, {"Pawpularity": 38.2}, no_pet=True), tmp_path) as tab:
        assert tab.locator(".verdict").inner_text().startswith("No cat or dog here")
        assert "Forced to choose, the head says Pawpularity 38.2." in tab.locator(".answer").inner_text()

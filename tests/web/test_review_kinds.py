"""Review of photographs with several labels, grades and numbers: what is sent, and the page in a real browser."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from werkzeug.serving import make_server

from catsdogs.cleaning import decisions, suspect_table
from catsdogs.cleaning.suspect_table import Reason, Suspect
from catsdogs.photographs.task import Task
from catsdogs.web import Loading, Site, create_app
from tests.support.browser import complaints, launch
from tests.support.kinds import GRADE_TASK, LABELS_TASK, NUMBER_TASK
from tests.support.web import decide, make_client, refusal_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

DOUBT = "label error: out of fold, pear 0.02 given, plum 0.97 not given"
OF_TASK = {"labels": LABELS_TASK, "ordinal": GRADE_TASK, "number": NUMBER_TASK}
LABEL_OF = {"labels": "apple|pear", "ordinal": "1", "number": "63.5"}
CLASSES_OF = {"labels": ("apple|pear", "plum"), "ordinal": ("0", "1", "2"), "number": ("63.5",)}


def site_of(folder: Path, kind: str, task: Task | None = None) -> Site:
    reason = Reason(0.9, DOUBT if kind == "labels" else "number far off: out of fold 31.2, given 95")
    suspects = [Suspect("train", f"row.{n}", LABEL_OF[kind], 0.9 - n / 10, 0, 0, {}, (reason,)) for n in range(3)]
    suspect_table.write_suspects(folder / suspect_table.OUTLIERS_FILE, suspects)
    return Site(folder, folder, None, CLASSES_OF[kind], "", Loading(None), task or OF_TASK[kind])


def decided(site: Site) -> dict[str, tuple[str, str]]:
    if not site.decisions.exists():
        return {}
    found = decisions.read_decisions(site.decisions, site.classes, task=site.task)
    return {id: decision[1:3] for id, decision in found.items()}


@pytest.mark.parametrize(
    ("kind", "label", "written", "refusal"),
    [
        ("labels", "plum|apple", "apple|plum", ""),
        ("labels", "(none)", "(none)", ""),
        ("labels", "apple|cow", "", "Relabel as labels with | between, or (none): apple, pear, plum."),
        ("number", "12.25", "12.25", ""),
        ("number", "inf", "", "Relabel as a number."),
        ("ordinal", "2", "2", ""),
        ("ordinal", "7", "", "Relabel as one of the classes: 0, 1, 2."),
    ],
)
def test_what_is_sent_is_checked_by_the_task(tmp_path: Path, kind: str, label: str, written: str, refusal: str) -> None:
    site = site_of(tmp_path, kind)
    client = make_client(site, Loading(None))
    listing = client.get("/api/suspects").get_json()
    assert (listing["kind"], tuple(listing["names"])) == (kind, OF_TASK[kind].names)
    assert listing["suspects"][0]["doubted"] == (["pear", "plum"] if kind == "labels" else [])
    answer = decide(client, {"id": "row.1", "decision": "relabel", "label": label})
    if refusal:
        assert refusal_of(answer, 422) == refusal
    assert decided(site) == ({"row.1": ("relabel", written)} if written else {})


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with launch() as chromium:
        yield chromium


@contextlib.contextmanager
def opened(site: Site, browser: "Browser") -> "Iterator[Page]":
    """The page of a site in a tab in which nothing may go wrong."""
    server = make_server("127.0.0.1", 0, create_app(site))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with contextlib.closing(browser.new_page()) as page:
            noted = complaints(page)
            page.goto(f"http://127.0.0.1:{server.server_port}/review")
            page.wait_for_selector("#cards .card")
            yield page
            assert noted == []
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def press(page: "Page", *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def saved(page: "Page", *keys: str) -> None:
    """Press keys, the last of which makes the page tell the server."""
    press(page, *keys[:-1])
    with page.expect_response("**/api/decisions**"):
        press(page, keys[-1])


def expect_checked(card: "Locator", *checked: bool) -> None:
    """Wait until the boxes of a card are checked like this: a page draws its cards after it is loaded."""
    from playwright.sync_api import expect

    boxes = card.get_by_role("checkbox")
    expect(boxes).to_have_count(len(checked))
    for column, one in enumerate(checked):
        expect(boxes.nth(column)).to_be_checked(checked=one)


def test_labels_are_decided_one_by_one_with_the_keyboard(tmp_path: Path, browser: "Browser") -> None:
    site = site_of(tmp_path, "labels")
    with opened(site, browser) as page:
        expect_checked(page.locator(".card").first, True, True, False)
        assert page.locator(".card").first.locator(".doubted").all_inner_texts() == ["pear", "plum"]
        saved(page, "r", "Space", "Tab", "Space", "Enter")  # the first that is doubted, and the next
        assert decided(site) == {"row.0": ("relabel", "apple|plum")}
        saved(page, "r", "Space", "Space", "Space", "Shift+Tab", "Space", "r")  # of the next card
        assert decided(site)["row.1"] == ("relabel", "(none)")
        press(page, "r", "Space", "Escape", "r", "Enter")  # taken back, and nothing changed
        saved(page, "k")
        assert decided(site)["row.2"] == ("keep", "")
        saved(page, "u")
        saved(page, "u")
        assert decided(site) == {"row.0": ("relabel", "apple|plum")}
        expect_checked(page.locator(".card").nth(1), True, True, False)
        page.reload()
        expect_checked(page.locator(".card").first, True, False, True)
        page.locator(".card").first.get_by_text("pear", exact=True).click()
        page.locator(".card").first.get_by_text("plum", exact=True).click()
        with page.expect_response("**/api/decisions"):
            page.locator(".card").first.get_by_role("button", name="Relabel").click()
    assert decided(site) == {"row.0": ("keep", "")}  # as it was given


def test_another_number_is_typed(tmp_path: Path, browser: "Browser") -> None:
    names = ("height", "weight")
    site = site_of(tmp_path, "number", replace(NUMBER_TASK, names=names))
    suspects = suspect_table.read_suspects(site.suspects)
    changed = [one._replace(label="63.5|7", score=0.5, reasons=(Reason(0.5, "odd: x"),)) for one in suspects]
    suspect_table.write_suspects(site.suspects, changed)
    with opened(site, browser) as page:
        press(page, "r")
        fields = page.locator(".card").first.get_by_role("spinbutton")
        assert [field.input_value() for field in fields.all()] == ["63.5", "7"]
        fields.first.fill("")
        press(page, "Enter")
        assert decided(site) == {}
        fields.first.fill("-2.5")
        saved(page, "Enter")
    assert decided(site) == {"row.0": ("relabel", "-2.5|7")}


def test_a_grade_is_chosen_as_a_class_is(tmp_path: Path, browser: "Browser") -> None:
    site = site_of(tmp_path, "ordinal")
    with opened(site, browser) as page:
        press(page, "r")
        page.locator(".card").first.get_by_role("combobox").select_option("2")
        saved(page, "Enter")
    assert decided(site) == {"row.0": ("relabel", "2")}

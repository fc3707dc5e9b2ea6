"""Review that learns: decisions renew the order in the background, and nothing waits or is lost."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from werkzeug.serving import make_server

from catsdogs.cleaning import decisions, suspect_table
from catsdogs.cleaning.suspect_table import Reason, Suspect
from catsdogs.web import Loading, Site, create_app, reordering
from tests.support.browser import complaints, launch
from tests.support.vectors import clusters, write_vectors
from tests.support.web import decide, make_client, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROWS = 120  # suspects, so many that most lie below the screen
CLASSES = ("a", "b")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Suspects, every second of which is one by votes; the others are by a head."""
    vectors = clusters(300, 600)
    write_vectors(tmp_path / "features", "ResNet50", vectors, vectors[:3] + 1)
    suspects = []
    for row in range(ROWS):
        votes = 3 if row // 2 % 2 else 0
        text = "no pet: 3 of 3 networks" if votes else "label error: out of fold, a 0.900"
        score = 0.9 - row / 1000
        suspects.append(Suspect("train", f"cat.{row}", CLASSES[row % 2], score, votes, 3, {}, (Reason(score, text),)))
    suspect_table.write_suspects(tmp_path / "features" / suspect_table.OUTLIERS_FILE, suspects)
    return Site(tmp_path, tmp_path / "features", None, CLASSES, "", Loading(None))


def learnt(site: Site) -> dict[tuple[str, str], float]:
    wait_until(lambda: not site.reordering.order.waiting)
    order = site.reordering.order
    assert not order.problem and order.scores
    return order.scores


def test_what_is_kept_lets_its_like_fall(site: Site) -> None:
    client = make_client(site, Loading(None))
    site = client.application.extensions["catsdogs"]
    assert client.get("/api/order?after=0").get_json() == {"version": 0, "waiting": False, "decided": 0, "problem": ""}
    site.reordering.ask()
    before = learnt(site)
    votes = [n for n in range(ROWS) if n // 2 % 2]
    for row in votes[:12]:
        assert decide(client, {"id": f"cat.{row}", "decision": "keep"}).status_code == 200
    after = learnt(site)
    others = [("train", f"cat.{row}") for row in votes[12:]]
    assert np.mean([after[key] for key in others]) < np.mean([before[key] for key in others]) / 2
    answer = client.get("/api/order?after=0").get_json()
    assert answer["decided"] == 12 and [tuple(row[:2]) for row in answer["order"]] == list(after)
    assert "order" not in client.get(f"/api/order?after={answer['version']}").get_json()
    assert [row["id"] for row in client.get("/api/suspects").get_json()["suspects"]] == [id for _, id in after]


def test_a_server_that_starts_again_learns_the_same(site: Site) -> None:
    for row in range(4):
        word = ("keep", "drop", "relabel", "keep")[row]
        decisions.decide(
            site.decisions, decisions.Decision(f"cat.{row}", word, "a" if word == "relabel" else ""), CLASSES
        )
    site.reordering.ask()
    first = learnt(site)
    again = Site(site.submissions, site.features, None, CLASSES, "", Loading(None))
    client = create_app(again).test_client()
    client.get("/api/suspects")  # the page is opened
    assert learnt(again) == first
    assert site.reordering.order.decided == 4


def test_no_decision_waits_for_a_fit_and_the_newest_are_learnt(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    began, may_end, renewals = threading.Event(), threading.Event(), []
    renew = reordering.Reordering._renew

    def slow(self: reordering.Reordering) -> tuple[list[Suspect], int]:
        began.set()
        assert may_end.wait(60)
        renewals.append(threading.get_ident())
        return renew(self)

    monkeypatch.setattr(reordering.Reordering, "_renew", slow)
    client = make_client(site, Loading(None))
    site = client.application.extensions["catsdogs"]
    for row in range(10):
        decide(client, {"id": f"cat.{row}", "decision": "drop"})
        assert began.wait(60) and client.get("/api/order").get_json()["waiting"]
    assert len(decisions.read_decisions(site.decisions, CLASSES)) == 10  # on the disk, and no fit has ended
    may_end.set()
    learnt(site)
    assert site.reordering.order.decided == 10
    assert len(renewals) == 2 and len(set(renewals)) == 1  # what came during the first is learnt by the second


def test_what_cannot_be_learnt_leaves_the_order_and_says_why(site: Site) -> None:
    (site.features / "ResNet50.h5").unlink()
    client = make_client(site, Loading(None))
    assert decide(client, {"id": "cat.1", "decision": "drop"}).status_code == 200
    site = client.application.extensions["catsdogs"]
    wait_until(lambda: not site.reordering.order.waiting)
    assert "No features in" in client.get("/api/order").get_json()["problem"]
    assert [row["id"] for row in client.get("/api/suspects").get_json()["suspects"][:2]] == ["cat.0", "cat.1"]


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with launch() as chromium:
        yield chromium


def cards(page: "Page") -> list[str]:
    return [str(text).split()[0] for text in page.locator("#cards .card h2").all_text_contents()]


def test_what_is_below_the_screen_is_ordered_anew_and_what_is_seen_stays(site: Site, browser: "Browser") -> None:
    server = make_server("127.0.0.1", 0, create_app(site), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        page = browser.new_page(viewport={"width": 1000, "height": 700})
        noted = complaints(page)
        page.goto(f"http://127.0.0.1:{server.server_port}/review")
        page.wait_for_selector("#cards .card")
        before = cards(page)
        for _ in range(4):
            page.keyboard.press("k")
        page.get_by_text("by 4 decisions").wait_for()
        after = cards(page)
        assert after[:6] == before[:6] and after != before and sorted(after) == sorted(before)
        assert str(page.locator("#cards .card:focus h2").text_content()).split()[0] == before[4]
        scores = [float(text) for text in page.locator("#cards .card .score").all_text_contents()]
        assert scores[-40:] == sorted(scores[-40:], reverse=True)
        assert noted == []
        page.close()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""The report in a real browser: its map, its filter and its contrasts."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from tests.support import browser
from tests.support.reports import HOSTILE, ReportedRun, make_run


class TestInABrowser:
    def test_it_opens_without_complaints_and_without_the_network(self, plain: ReportedRun) -> None:
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

    def test_hovering_over_the_map_shows_a_photograph(self, plain: ReportedRun) -> None:
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

    def test_a_tap_and_the_keyboard_fill_the_panel_on_a_phone(self, plain: ReportedRun) -> None:
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
        self, plain: ReportedRun, scheme: Literal["light", "dark"]
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

    def test_suspects_are_filtered_by_reason(self, plain: ReportedRun) -> None:
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
        here = make_run(tmp_path, HOSTILE, each=8)
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

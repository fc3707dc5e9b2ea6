"""The pages of runs and reports."""

import json
import shutil

import pytest
from flask.testing import FlaskClient

from catsdogs.runs import run_card
from catsdogs.web import Site
from tests.support.runs import change_run


class TestRuns:
    def test_each_is_shown_with_its_score_and_its_report_or_how_to_make_it(
        self, site: Site, client: FlaskClient
    ) -> None:
        shutil.copytree(site.submissions / "run", site.submissions / "it's new")
        path = site.submissions / "it's new" / run_card.RUN_FILE
        content = json.loads(path.read_text())
        changes = {"name": "it's new", "created": "2999-01-01T00:00:00+00:00", "dropped": ["a", "b"]}
        path.write_text(json.dumps(content | changes))
        (site.submissions / "run" / run_card.REPORT_FILE).write_text("<p>report")
        html = client.get("/runs").text
        score = content["scores"][0]
        assert f"{score['log_loss']:.5f}" in html and f"± {score['standard_error']:.5f}" in html
        assert score["measured_on"] in html and "2 left out" in html and "predicts here" in html
        assert html.index("2999") < html.index(content["created"][:10])
        assert 'href="/runs/run/report"' in html
        assert "catsdogs report --name &#39;it&#39;&#34;&#39;&#34;&#39;s new&#39;" in html

    def test_what_numbers_do_not_have_is_left_empty(self, site: Site, client: FlaskClient) -> None:
        score = {"metric": "rmse", "value": 17.5, "value_error": 0.3, "log_loss": None, "accuracy": None}
        scores = [json.loads((site.submissions / "run" / run_card.RUN_FILE).read_text())["scores"][0] | score]
        change_run(site.submissions / "run", scores=scores)
        html = client.get("/runs").text
        assert "<b>17.50000</b> ± 0.30000" in html and "<small>rmse</small>" in html
        assert '<td data-name="Accuracy"></td>' in html and "nan" not in html

    def test_damaged_ones_are_told(self, site: Site, client: FlaskClient) -> None:
        (site.submissions / "bad").mkdir()
        (site.submissions / "bad" / run_card.RUN_FILE).write_text("<b>")
        html = client.get("/runs").text
        assert "run.json is damaged" in html and "<b>" not in html.replace("<b>0.", "")

    def test_without_any_it_says_what_to_type(self, site: Site, client: FlaskClient) -> None:
        shutil.rmtree(site.submissions)
        assert "catsdogs train" in client.get("/runs").text

    def test_a_report_is_shown_in_a_sandbox(self, site: Site, client: FlaskClient) -> None:
        assert client.get("/runs/run/report").status_code == 404
        (site.submissions / "run" / run_card.REPORT_FILE).write_text("<script>look()</script>")
        answer = client.get("/runs/run/report")
        assert answer.text == "<script>look()</script>" and answer.mimetype == "text/html"
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("sandbox allow-scripts; default-src 'none'") and "same-origin" not in policy
        assert "frame-ancestors 'none'" in policy  # of which default-src says nothing
        assert answer.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("name", ["..", "%2e%2e", "..%2fsubmissions%2frun", "other", "run%00", ".hidden", "RUN"])
    def test_no_other_file_is_served(self, site: Site, client: FlaskClient, name: str) -> None:
        for folder in (site.submissions.parent, site.submissions / "other", site.submissions / ".hidden"):
            folder.mkdir(exist_ok=True)
            (folder / run_card.REPORT_FILE).write_text("secret")
        assert client.get(f"/runs/{name}/report").status_code == 404

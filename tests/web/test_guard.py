"""What every response has, and which requests are refused."""

import re
import socket

import pytest
from flask.testing import FlaskClient

from catsdogs.runs import run_card
from catsdogs.web import Site
from tests.support.datasets import jpeg
from tests.support.web import PAGES, decide, refusal_of, send


class TestEveryAnswer:
    @pytest.mark.parametrize(
        "path", [*PAGES, "/healthz", "/nowhere", "/api/nowhere", "/static/style.css", "/thumbnail"]
    )
    def test_is_guarded_by_its_headers(self, client: FlaskClient, path: str) -> None:
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "no-store" in headers["Cache-Control"] or path.startswith("/static")

    @pytest.mark.parametrize("path", [*PAGES, "/nowhere"])
    def test_has_nothing_inline_or_from_elsewhere(self, client: FlaskClient, path: str) -> None:
        html = client.get(path).text
        assert not re.search(r"""<style|\sstyle=|\son\w+=|javascript:|https?://""", html)
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", html))
        for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', html):
            assert client.get(address).status_code == 200

    def test_the_page_one_is_on_is_marked(self, client: FlaskClient) -> None:
        for path in PAGES:
            assert re.findall(r'href="([^"]+)" aria-current="page"', client.get(path).text) == [path]

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/nowhere", 404),
            ("GET", "/static/../app.py", 404),
            ("GET", "/static/%2e%2e/app.py", 404),
            ("GET", "/runs/run/", 404),
            ("POST", "/runs", 405),
            ("DELETE", "/", 405),
            ("GET", "/api/predict", 405),
            ("PUT", "/api/decisions", 405),
            ("GET", "/api/%00", 404),
            ("GET", "/%ff%fe", 404),
        ],
    )
    def test_is_plain_about_what_is_not_there(self, client: FlaskClient, method: str, path: str, status: int) -> None:
        answer = client.open(path, method=method)
        assert answer.status_code == status
        assert answer.is_json if path.startswith("/api/") else "<h1>" in answer.text

    def test_goes_only_to_the_names_of_this_machine(self, client: FlaskClient) -> None:
        own = socket.gethostname()
        addresses = ("127.0.0.1", "127.0.0.1:5000", "192.168.0.7:5000", "[::1]:5000", "[::1]")
        for host in (*addresses, "LocalHost:5000", own, f"{own}:5000"):
            assert client.get("/healthz", headers={"Host": host}).status_code == 200, host
        others = ("attacker.example", "localhost.attacker.example:5000", "127.0.0.1.nip.io", "", ":", "[::1", "a b")
        for host in (*others, "x" * 64):
            for path in ("/", "/review", "/nowhere", "/static/style.css"):
                assert client.get(path, headers={"Host": host}).status_code == 400, host
            refusal_of(client.get("/api/suspects", headers={"Host": host}), 400)

    def test_goes_to_no_other_sites_pages(self, site: Site, client: FlaskClient) -> None:
        for headers in (
            {"Origin": "http://attacker.example"},
            {"Origin": "null"},
            {"Origin": "http://["},
            {"Origin": "http://localhost:3000"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            assert "another site" in refusal_of(decide(client, {"id": "cat.1", "decision": "drop"}, **headers), 403)
            refusal_of(decide(client, {"id": "cat.1"}, "/undo", **headers), 403)
            refusal_of(send(client, (jpeg(1), "a.jpg"), **headers), 403)
        assert not site.decisions.exists()
        own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
        assert decide(client, {"id": "cat.1", "decision": "drop"}, **own).status_code == 200

    def test_a_defect_of_ours_is_a_sentence_too(
        self, site: Site, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(run_card, "list_runs", lambda folder: 1 / 0)
        answer = client.get("/runs")
        assert answer.status_code == 500 and "terminal" in answer.text and "ZeroDivision" not in answer.text

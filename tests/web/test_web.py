"""The page and its JSON: what they answer, what they refuse, and that neither harms what lies on the disk."""

import errno
import http.client
import io
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from catsdogs.cleaning import decisions, outliers, suspect_table
from catsdogs.errors import UsageError, WeightsError
from catsdogs.photographs.dataset import Dataset, scan
from catsdogs.runs import run_card
from catsdogs.runs.answers import Answer, Neighbour
from catsdogs.web import Loading, Site, create_app, guard, serve, uploads
from catsdogs.web.context import EXTENSION, shared
from tests.conftest import jpeg, write_kaggle_folder
from tests.runs.test_training import features, train

CLASSES = ("cat", "dog")
SUSPECTS = [("train", "cat.1"), ("test", "1"), ("train", "dog.0"), ("train", "dog.2")]
PAGES = ("/", "/review", "/runs")


class Stand:
    """Answers as a predictor does, at once and always the same."""

    no_neighbours = ""

    def __init__(self, run: run_card.Run) -> None:
        self.run = run
        self.seen: list[bytes] = []

    def answer(self, data: bytes) -> Answer:
        self.seen.append(data)
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
        neighbours = [Neighbour("dog.1", "dog", 0.9), Neighbour("gone.7", "dog", 0.8)]
        return Answer(width, height, {"cat": 0.25, "dog": 0.75}, {"One": [("pug", 0.5)]}, 0, 1, False, neighbours)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, suspects and a trained run; nobody writes here."""
    root = tmp_path_factory.mktemp("place")
    write_kaggle_folder(root / "data")
    train([features(root / "features")], root / "submissions")
    reason = suspect_table.Reason(0.5, "no pet: 1 of 2 networks")
    suspects = [
        outliers.Suspect(split, id, id[:3] if split == "train" else "", 1, 2, {"One": [("tabby", 0.8)]}, (reason,))
        for split, id in SUSPECTS
    ]
    suspect_table.write_suspects(root / "features" / suspect_table.OUTLIERS_FILE, suspects)
    return root


@pytest.fixture
def site(tmp_path: Path, place: Path) -> Site:
    root = Path(shutil.copytree(place, tmp_path / "place"))
    return Site(root / "submissions", root / "features", scan(root / "data"), CLASSES, "run")


def ready(site: Site) -> Loading:
    loading = Loading(lambda: Stand(run_card.read_run(site.submissions / "run")))  # type: ignore[arg-type,return-value]
    wait(lambda: loading.state != "loading")
    return loading


def wait(until: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not until():
        pause.wait(0.01)


def client_of(site: Site, loading: Loading | None = None) -> FlaskClient:
    return create_app(site, loading or ready(site)).test_client()


@pytest.fixture
def client(site: Site) -> FlaskClient:
    return client_of(site)


def send(client: FlaskClient, *files: tuple[bytes, str], **headers: str) -> TestResponse:
    form = MultiDict([("file", (io.BytesIO(data), name)) for data, name in files])
    return client.post("/api/predict", data=form, content_type="multipart/form-data", headers=headers)


def decide(
    client: FlaskClient, body: object, to: str = "", kind: str = "application/json", **headers: str
) -> TestResponse:
    with client.application.app_context():
        proof = {guard.PROOF_HEADER: shared().token}
    data = body if isinstance(body, bytes) else json.dumps(body)
    return client.post(f"/api/decisions{to}", data=data, content_type=kind, headers=proof | headers)


def sentence(answer: TestResponse, status: int) -> str:
    """The refusal of a program's request: its status, and a sentence as JSON."""
    assert answer.status_code == status, answer.text
    (text,) = [answer.get_json()["error"]]
    assert text.endswith(".") and "\n" not in text
    return str(text)


def written(site: Site) -> list[tuple[str, str, str]]:
    return [decision[:3] for decision in decisions.read_decisions(site.decisions, CLASSES).values()]


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
            sentence(client.get("/api/suspects", headers={"Host": host}), 400)

    def test_goes_to_no_other_sites_pages(self, site: Site, client: FlaskClient) -> None:
        for headers in (
            {"Origin": "http://attacker.example"},
            {"Origin": "null"},
            {"Origin": "http://["},
            {"Origin": "http://localhost:3000"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            assert "another site" in sentence(decide(client, {"id": "cat.1", "decision": "drop"}, **headers), 403)
            sentence(decide(client, {"id": "cat.1"}, "/undo", **headers), 403)
            sentence(send(client, (jpeg(1), "a.jpg"), **headers), 403)
        assert not site.decisions.exists()
        own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
        assert decide(client, {"id": "cat.1", "decision": "drop"}, **own).status_code == 200

    def test_a_defect_of_ours_is_a_sentence_too(
        self, site: Site, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(run_card, "list_runs", lambda folder: 1 / 0)
        answer = client.get("/runs")
        assert answer.status_code == 500 and "terminal" in answer.text and "ZeroDivision" not in answer.text


class TestPredict:
    def test_each_photograph_is_answered(self, client: FlaskClient) -> None:
        answer = send(client, (jpeg(1, (80, 60)), "rex.jpg"), (jpeg(2, (30, 40)), "tom.png"))
        assert answer.status_code == 200
        content = answer.get_json()
        assert content["run"]["name"] == "run" and content["run"]["score"].startswith("log loss")
        rex, tom = content["results"]
        assert (rex["name"], rex["width"], rex["height"]) == ("rex.jpg", 80, 60)
        assert (tom["name"], tom["width"], tom["height"]) == ("tom.png", 30, 40)
        assert rex["class"] == "dog" and rex["probabilities"] == {"cat": 0.25, "dog": 0.75}
        assert (rex["no_pet"], rex["votes"], rex["networks"]) == (False, 0, 1)
        assert rex["labels"] == {"One": [{"label": "pug", "probability": 0.5}]}
        near, gone = rex["neighbours"]
        assert (near["id"], near["label"], near["similarity"]) == ("dog.1", "dog", 0.9)
        assert client.get(near["thumbnail"]).mimetype == "image/jpeg"
        assert gone["thumbnail"] is None

    def test_a_refusal_does_not_keep_the_others_back(self, client: FlaskClient) -> None:
        answer = send(client, (b"no picture", "a.txt"), (jpeg(1), "b.jpg"))
        assert answer.status_code == 200
        bad, good = answer.get_json()["results"]
        assert bad["status"] == 415 and bad["error"].endswith(".") and "probabilities" not in bad
        assert good["class"] == "dog"

    def test_refusals_alone_give_the_status_of_the_first(self, client: FlaskClient) -> None:
        answer = send(client, (b"no picture", "a.txt"), (b"", "b.jpg"))
        assert sentence(answer, 415) == answer.get_json()["results"][0]["error"]
        assert sentence(send(client, (b"\xff" * (uploads.MAX_BYTES + 1), "a.jpg")), 413)

    @pytest.mark.parametrize(
        ("sent", "shown"),
        [
            ("../../etc/passwd", "passwd"),
            (r"C:\\photos\\rex.jpg", "rex.jpg"),
            ("/", "photograph"),
            ("x" * 300, "x" * 100),
            ("<img src=x>", "<img src=x>"),
            ("..", ".."),
        ],
    )
    def test_names_are_only_shown(self, client: FlaskClient, sent: str, shown: str) -> None:
        assert send(client, (jpeg(1), sent)).get_json()["results"][0]["name"] == shown

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"", "multipart/form-data; boundary=x"),
            (b"--x\r\nbroken", "multipart/form-data; boundary=x"),
            (b"anything", "multipart/form-data"),
            (b"{}", "application/json"),
            (b"file=1", "application/x-www-form-urlencoded"),
            (
                b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nno file\r\n--x--\r\n',
                "multipart/form-data; boundary=x",
            ),
            (
                b'--x\r\nContent-Disposition: form-data; name="other"; filename="a"\r\n\r\na\r\n--x--\r\n',
                "multipart/form-data; boundary=x",
            ),
            (b"\xff\xfe", "\xff"),
        ],
    )
    def test_without_a_file_it_says_how_to_send_one(self, client: FlaskClient, body: bytes, kind: str) -> None:
        answer = client.post("/api/predict", data=body, content_type=kind)
        assert "multipart/form-data" in sentence(answer, 400)

    def test_too_many_and_too_much_are_refused(self, client: FlaskClient) -> None:
        assert str(uploads.MAX_FILES) in sentence(send(client, *[(jpeg(1), "a.jpg")] * (uploads.MAX_FILES + 1)), 413)
        kind = "multipart/form-data; boundary=x"
        length = {"CONTENT_LENGTH": str(client.application.config["MAX_CONTENT_LENGTH"] + 1)}
        sentence(client.post("/api/predict", data=b"--x", content_type=kind, environ_overrides=length), 413)

    def test_before_the_networks_are_there_it_says_when_to_come_again(self, site: Site) -> None:
        released = threading.Event()

        def make() -> Any:
            released.wait()
            return Stand(run_card.read_run(site.submissions / "run"))

        loading = Loading(make)
        client = client_of(site, loading)
        answer = send(client, (jpeg(1), "a.jpg"))
        assert "loading" in sentence(answer, 503) and int(answer.headers["Retry-After"]) > 0
        assert client.get("/healthz").get_json() == {"status": "loading", "run": None, "problem": ""}
        assert 'data-state="loading"' in client.get("/").text
        released.set()
        wait(lambda: loading.state == "ready")
        assert send(client, (jpeg(1), "a.jpg")).status_code == 200
        health = client.get("/healthz")
        assert health.status_code == 200
        assert health.get_json()["status"] == "ready" and health.get_json()["run"]["name"] == "run"

    def test_networks_that_cannot_be_loaded_are_told_with_the_reason(self, site: Site) -> None:
        def make() -> Any:
            raise WeightsError("No weights <here>", "Give --weights-dir")

        loading = Loading(make)
        wait(lambda: loading.state == "failed")
        client = client_of(site, loading)
        reason = "No weights <here>. Give --weights-dir."
        assert sentence(send(client, (jpeg(1), "a.jpg")), 503) == reason
        health = client.get("/healthz")
        assert health.status_code == 503
        assert health.get_json() == {"status": "failed", "run": None, "problem": reason}
        assert "No weights &lt;here&gt;" in client.get("/").text

    def test_a_defect_while_loading_ends_the_wait_and_keeps_its_traceback(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        printed: list[threading.ExceptHookArgs] = []
        monkeypatch.setattr(threading, "excepthook", printed.append)

        def make() -> Any:
            raise ZeroDivisionError

        loading = Loading(make)
        wait(lambda: bool(printed))
        assert printed[0].exc_type is ZeroDivisionError
        assert loading.state == "failed" and "terminal" in loading.problem

    def test_without_a_run_it_says_what_to_type(self, site: Site) -> None:
        client = client_of(site, Loading(None))
        assert "catsdogs train" in sentence(send(client, (jpeg(1), "a.jpg")), 503)
        assert client.get("/healthz").get_json()["status"] == "none"
        assert "catsdogs train" in client.get("/").text


class TestReview:
    def test_suspects_are_listed_in_their_order_with_what_counts(self, site: Site, client: FlaskClient) -> None:
        decisions.decide(site.decisions, decisions.Decision("dog.0", "relabel", "cat"), CLASSES)
        decisions.decide(site.decisions, decisions.Decision("1", "drop"), CLASSES)  # typed by hand, about no train row
        content = client.get("/api/suspects").get_json()
        assert content["classes"] == list(CLASSES)
        assert [(row["split"], row["id"]) for row in content["suspects"]] == SUSPECTS
        first, test, decided, _ = content["suspects"]
        assert (first["label"], first["score"], first["kinds"]) == ("cat", 0.5, ["no pet"])
        assert first["labels"] == {"One": "tabby 0.80"} and first["decision"] is None
        assert test["decision"] is None
        assert (decided["decision"]["decision"], decided["decision"]["label"]) == ("relabel", "cat")
        assert all(client.get(row["thumbnail"]).status_code == 200 for row in content["suspects"])

    def test_decisions_are_on_the_disk_at_once_and_undone_one_by_one(self, site: Site, client: FlaskClient) -> None:
        answer = decide(client, {"id": "cat.1", "decision": "drop", "label": None})
        assert answer.status_code == 200 and answer.get_json()["decision"] == "drop"
        assert written(site) == [("cat.1", "drop", "")]
        decide(client, {"id": "dog.0", "decision": "relabel", "label": "cat"})
        decide(client, {"id": "cat.1", "decision": "keep", "label": "dog"})
        assert written(site) == [("cat.1", "keep", ""), ("dog.0", "relabel", "cat")]
        assert decide(client, {"id": "cat.1"}, "/undo").get_json()["decision"] == "drop"
        assert written(site) == [("cat.1", "drop", ""), ("dog.0", "relabel", "cat")]
        for _ in range(2):
            assert decide(client, {"id": "cat.1"}, "/undo").get_json()["decision"] is None
        assert written(site) == [("dog.0", "relabel", "cat")]

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({"id": "cat.77", "decision": "drop"}, 404),
            ({"id": "../data/train/cat.1", "decision": "drop"}, 404),
            ({"id": "1", "decision": "drop"}, 422),
            ({"id": "cat.1", "decision": "eat"}, 422),
            ({"id": "cat.1", "decision": "relabel"}, 422),
            ({"id": "cat.1", "decision": "relabel", "label": "cow"}, 422),
            ({"id": "cat.1", "decision": "relabel", "label": "\ud800"}, 422),
            ({"id": "cat.1"}, 400),
            ({"id": "cat.1", "decision": ["drop"]}, 400),
            ({"id": 1, "decision": "drop"}, 400),
            (["cat.1", "drop"], 400),
            (None, 400),
            (b"{", 400),
            (b"\xff\xfe", 400),
            (b"[" * 9000, 400),
            (b'{"id": ' + b"1" * 9000 + b"}", 400),
            (b" " * 20_000, 413),
        ],
    )
    def test_what_cannot_be_decided_is_refused(
        self, site: Site, client: FlaskClient, body: object, status: int
    ) -> None:
        sentence(decide(client, body), status)
        assert not site.decisions.exists()

    def test_only_pages_of_this_process_may_decide(self, site: Site, client: FlaskClient) -> None:
        body = {"id": "cat.1", "decision": "drop"}
        for proof in ("", "guess", "\xe9"):
            assert "load it again" in sentence(decide(client, body, **{guard.PROOF_HEADER: proof}), 403)
        token = re.findall(r'<meta name="token" content="([^"]+)">', client.get("/review").text)
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
            sentence(decide(client, body, kind=kind), 415)
        assert not site.decisions.exists()
        assert decide(client, body, **{guard.PROOF_HEADER: token[0]}).status_code == 200
        assert token[0] not in client_of(site).get("/review").text

    json_values = st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(["cat.1", "drop", "relabel"]),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["id", "decision", "label"]) | st.text(), inner)
        ),
        max_leaves=8,
    )

    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(body=json_values | st.binary(), to=st.sampled_from(["", "/undo"]))
    def test_no_body_is_a_defect(self, client: FlaskClient, body: object, to: str) -> None:
        answer = decide(client, body, to)
        assert answer.status_code < 500 and (answer.status_code == 200 or answer.get_json()["error"])

    def test_a_damaged_table_is_told_and_left_alone(self, site: Site, client: FlaskClient) -> None:
        site.decisions.write_text("nonsense\n")
        assert "decisions.csv, row 1" in sentence(decide(client, {"id": "cat.1", "decision": "drop"}), 409)
        assert "decisions.csv, row 1" in sentence(decide(client, {"id": "cat.1"}, "/undo"), 409)
        assert "decisions.csv, row 1" in sentence(client.get("/api/suspects"), 409)
        page = client.get("/review")
        assert page.status_code == 409 and "decisions.csv, row 1" in page.text and "review.js" not in page.text
        assert site.decisions.read_text() == "nonsense\n"

    def test_a_full_disk_is_told(self, site: Site, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("catsdogs.files.atomic.os.fsync", full)
        assert "full" in sentence(decide(client, {"id": "cat.1", "decision": "drop"}), 507)

    def test_without_suspects_it_says_what_to_type(self, site: Site, client: FlaskClient) -> None:
        site.suspects.unlink()
        assert "catsdogs outliers" in client.get("/review").text
        assert "catsdogs outliers" in sentence(client.get("/api/suspects"), 404)

    def test_damaged_suspects_are_told(self, site: Site, client: FlaskClient) -> None:
        site.suspects.write_text("id\n")
        assert "outliers.csv, row 1" in client.get("/review").text
        assert "outliers.csv, row 1" in sentence(client.get("/api/suspects"), 409)

    def test_without_the_photographs_suspects_are_still_decided(self, site: Site) -> None:
        client = client_of(Site(site.submissions, site.features, None, CLASSES, "run"))
        assert {row["thumbnail"] for row in client.get("/api/suspects").get_json()["suspects"]} == {None}
        assert decide(client, {"id": "cat.1", "decision": "drop"}).status_code == 200
        sentence(decide(client, {"id": "cat.0", "decision": "drop"}), 404)
        sentence(decide(client, {"id": "1", "decision": "drop"}), 422)
        site.suspects.unlink()
        sentence(decide(client, {"id": "cat.1", "decision": "drop"}), 409)


class TestThumbnails:
    def test_a_row_has_a_small_one_that_browsers_keep(self, site: Site, client: FlaskClient) -> None:
        Image.new("RGB", (900, 300)).save(site.submissions.parent / "data" / "train" / "cat.0.jpg")
        answer = client.get("/thumbnail?split=train&id=cat.0")
        with Image.open(io.BytesIO(answer.data)) as image:
            assert image.format == "JPEG" and image.size == (240, 80)
        assert "private" in answer.headers["Cache-Control"]
        again = client.get("/thumbnail?split=train&id=cat.0", headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304 and again.data == b""

    def test_it_is_made_once(self, site: Site, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
        read: list[str] = []
        original = Dataset.read
        monkeypatch.setattr(Dataset, "read", lambda self, photo: read.append(photo.id) or original(self, photo))
        for _ in range(3):
            client.get("/thumbnail?split=train&id=cat.0")
        assert read == ["cat.0"]

    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        split=st.sampled_from(["train", "test", "", "..", "data/train"]) | st.text(),
        id=st.sampled_from(["../train/cat.0", "train/cat.0.jpg", "/etc/passwd", "cat.0\0", "cat.00", ""]) | st.text(),
    )
    def test_what_is_no_row_has_none(self, client: FlaskClient, split: str, id: str) -> None:
        data = client.application.extensions[EXTENSION].site.dataset
        known = (split, id) in data.by_key
        answer = client.get("/thumbnail", query_string={"split": split, "id": id})
        assert answer.status_code == (200 if known else 404)

    def test_a_photograph_that_is_gone_or_damaged_has_none(self, site: Site, client: FlaskClient) -> None:
        folder = site.submissions.parent / "data" / "train"
        (folder / "cat.0.jpg").write_bytes(b"damaged")
        (folder / "cat.1.jpg").unlink()
        for id in ("cat.0", "cat.1"):
            assert client.get(f"/thumbnail?split=train&id={id}").status_code == 404


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


SERVER = """
import signal, sys
from pathlib import Path
from catsdogs.runs import run_card as runs
from catsdogs.photographs.dataset import scan
from catsdogs.web import Loading, Site, create_app, serve
from tests.web.test_web import CLASSES, Stand
root = Path(sys.argv[1])
site = Site(root / "submissions", root / "features", scan(root / "data"), CLASSES, "run")
app = create_app(site, Loading(lambda: Stand(runs.read_run(root / "submissions" / "run"))))
signal.signal(signal.SIGINT, signal.default_int_handler)  # which whoever runs the tests may have switched off
serve(app, "127.0.0.1", 0, lambda url: print(url, flush=True))
"""


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[tuple[str, int]]:
    """The address of a live server, which Ctrl-C ends without a word."""
    command = [sys.executable, "-c", SERVER, str(place)]
    root = Path(__file__).parents[2]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=root, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout and process.stderr
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), process.stderr.read()
        address = urlsplit(url)
        yield str(address.hostname), int(address.port or 0)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        assert (process.returncode, out, err) == (0, "", "")


class TestServer:
    def ask(self, server: tuple[str, int], method: str, path: str, **other: Any) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*server)
        connection.request(method, path, **other)
        answer = connection.getresponse()
        content = answer.status, answer.read()
        assert "waitress" not in str(answer.headers).lower()
        connection.close()
        return content

    def form(self, *photographs: bytes) -> dict[str, Any]:
        parts = [
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n' + data + b"\r\n"
            for data in photographs
        ]
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        return {"body": b"".join(parts) + b"--x--\r\n", "headers": kind}

    def test_many_clients_at_once_are_answered(self, server: tuple[str, int]) -> None:
        wait(lambda: b'"ready"' in self.ask(server, "GET", "/healthz")[1])
        with ThreadPoolExecutor(16) as pool:
            forms = [self.form(jpeg(number, (40 + number, 30))) for number in range(32)]
            answers = list(pool.map(lambda form: self.ask(server, "POST", "/api/predict", **form), forms))
        assert [status for status, _ in answers] == [200] * 32
        assert [json.loads(body)["results"][0]["width"] for _, body in answers] == [40 + number for number in range(32)]

    def test_a_form_in_chunks_is_read(self, server: tuple[str, int]) -> None:
        form = self.form(jpeg(1))
        body = form.pop("body")
        chunks = iter([body[:100], body[100:]])
        status, content = self.ask(
            server,
            "POST",
            "/api/predict",
            body=chunks,
            encode_chunked=True,
            headers={**form["headers"], "Transfer-Encoding": "chunked"},
        )
        assert status == 200 and json.loads(content)["results"][0]["class"] == "dog"

    def test_a_large_photograph_is_refused_in_words(self, server: tuple[str, int]) -> None:
        status, content = self.ask(server, "POST", "/api/predict", **self.form(b"\xff" * (uploads.MAX_BYTES + 1)))
        assert status == 413 and json.loads(content)["error"]

    @pytest.mark.parametrize(
        "request_bytes",
        [
            b"nonsense\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: attacker.example\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: x\r\n\r\n",
            b"GET /" + b"x" * (2**15 - 5),  # just too long; with more unread, the answer might be lost
            b"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n",
        ],
    )
    def test_broken_requests_get_a_4xx_and_harm_nobody(self, server: tuple[str, int], request_bytes: bytes) -> None:
        with socket.create_connection(server) as connection:
            connection.sendall(request_bytes)
            assert re.match(rb"HTTP/1\.[01] 4\d\d ", connection.recv(100))
        assert self.ask(server, "GET", "/healthz")[0] == 200

    def test_a_taken_port_is_a_usage_error(self, site: Site, server: tuple[str, int]) -> None:
        app = create_app(site, Loading(None))
        with pytest.raises(UsageError, match=rf"port {server[1]}: address already in use.*--port"):
            serve(app, *server, pytest.fail)
        with pytest.raises(UsageError, match=r"no\.such\.host\.invalid"):
            serve(app, "no.such.host.invalid", 0, pytest.fail)

"""Photographs in, predictions or refusals out."""

import base64
import io
import threading
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from catsdogs.errors import WeightsError
from catsdogs.photographs.fitting import Fit
from catsdogs.runs import run_card
from catsdogs.runs.explaining import Part, Why
from catsdogs.web import Loading, Site, uploads
from tests.support.datasets import jpeg
from tests.support.web import StandInPredictor, make_client, refusal_of, send, wait_until


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

    def test_a_map_comes_if_asked_for(self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
        def asked(**form: str) -> dict[str, Any]:
            data = {"file": (io.BytesIO(jpeg(1, (80, 60))), "rex.jpg"), **form}
            answer = client.post("/api/predict", data=data, content_type="multipart/form-data")
            (result,) = answer.get_json()["results"]
            return dict(result)

        assert "why" not in asked(why="1")  # of a run without maps
        why = Why("dog", [Part("One", np.array([[2.0, -1.0]]), Fit(8))], 0.25, (80, 60))
        monkeypatch.setattr(StandInPredictor, "map", why)
        assert "why" not in asked()
        shown = asked(why="1")["why"]
        assert (shown["speaks_for"], shown["logit"]) == ("dog", 0.75)
        with Image.open(io.BytesIO(base64.b64decode(shown["jpeg"]))) as picture:
            assert picture.size == (80, 60)

    def test_a_refusal_does_not_keep_the_others_back(self, client: FlaskClient) -> None:
        answer = send(client, (b"no picture", "a.txt"), (jpeg(1), "b.jpg"))
        assert answer.status_code == 200
        bad, good = answer.get_json()["results"]
        assert bad["status"] == 415 and bad["error"].endswith(".") and "probabilities" not in bad
        assert good["class"] == "dog"

    def test_refusals_alone_give_the_status_of_the_first(self, client: FlaskClient) -> None:
        answer = send(client, (b"no picture", "a.txt"), (b"", "b.jpg"))
        assert refusal_of(answer, 415) == answer.get_json()["results"][0]["error"]
        assert refusal_of(send(client, (b"\xff" * (uploads.MAX_UPLOAD_BYTES + 1), "a.jpg")), 413)

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
        assert "multipart/form-data" in refusal_of(answer, 400)

    def test_too_many_and_too_much_are_refused(self, client: FlaskClient) -> None:
        assert str(uploads.MAX_FILES) in refusal_of(send(client, *[(jpeg(1), "a.jpg")] * (uploads.MAX_FILES + 1)), 413)
        kind = "multipart/form-data; boundary=x"
        length = {"CONTENT_LENGTH": str(client.application.config["MAX_CONTENT_LENGTH"] + 1)}
        refusal_of(client.post("/api/predict", data=b"--x", content_type=kind, environ_overrides=length), 413)

    def test_before_the_networks_are_there_it_says_when_to_come_again(self, site: Site) -> None:
        released = threading.Event()

        def make() -> Any:
            released.wait()
            return StandInPredictor(run_card.read_run(site.submissions / "run"))

        loading = Loading(make)
        client = make_client(site, loading)
        answer = send(client, (jpeg(1), "a.jpg"))
        assert "loading" in refusal_of(answer, 503) and int(answer.headers["Retry-After"]) > 0
        assert client.get("/healthz").get_json() == {"status": "loading", "run": None, "problem": ""}
        assert 'data-state="loading"' in client.get("/").text
        released.set()
        wait_until(lambda: loading.state == "ready")
        assert send(client, (jpeg(1), "a.jpg")).status_code == 200
        health = client.get("/healthz")
        assert health.status_code == 200
        assert health.get_json()["status"] == "ready" and health.get_json()["run"]["name"] == "run"

    def test_networks_that_cannot_be_loaded_are_told_with_the_reason(self, site: Site) -> None:
        def make() -> Any:
            raise WeightsError("No weights <here>", "Give --weights-dir")

        loading = Loading(make)
        wait_until(lambda: loading.state == "failed")
        client = make_client(site, loading)
        reason = "No weights <here>. Give --weights-dir."
        assert refusal_of(send(client, (jpeg(1), "a.jpg")), 503) == reason
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
        wait_until(lambda: bool(printed))
        assert printed[0].exc_type is ZeroDivisionError
        assert loading.state == "failed" and "terminal" in loading.problem

    def test_without_a_run_it_says_what_to_type(self, site: Site) -> None:
        client = make_client(site, Loading(None))
        assert "catsdogs train" in refusal_of(send(client, (jpeg(1), "a.jpg")), 503)
        assert client.get("/healthz").get_json()["status"] == "none"
        assert "catsdogs train" in client.get("/").text

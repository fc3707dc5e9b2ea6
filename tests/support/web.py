"""Web sites to test: photographs, suspects and a run on the disk, and requests to their app."""

import io
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from flask.testing import FlaskClient
from PIL import Image
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from catsdogs.cleaning import decisions
from catsdogs.photographs.task import NUMBER
from catsdogs.runs import run_card
from catsdogs.runs.answers import Answer, Neighbour
from catsdogs.runs.explaining import Why
from catsdogs.web import Loading, Site, create_app, guard
from catsdogs.web.site import this_site

CLASSES = ("cat", "dog")
SUSPECTS = [("train", "cat.1"), ("test", "1"), ("train", "dog.0"), ("train", "dog.2")]
PAGES = ("/", "/review", "/runs")


class StandInPredictor:
    """Answers as a predictor does, at once and always the same."""

    no_neighbours = ""
    map: Why | None = None

    def __init__(
        self,
        run: run_card.Run,
        predictions: Mapping[str, float] = MappingProxyType({"cat": 0.25, "dog": 0.75}),
        decided: Sequence[str] = ("dog",),
        no_pet: bool = False,
    ) -> None:
        self.run = run
        self.seen: list[bytes] = []
        self.ranges = dict.fromkeys(predictions, (1.0, 100.0)) if run.task.kind == NUMBER else {}
        self._said = {"kind": run.task.kind, "predictions": dict(predictions), "decided": list(decided)}
        self._no_pet = no_pet

    def why(self, data: bytes, answer: Answer) -> Why | None:
        return self.map

    def answer(self, data: bytes) -> Answer:
        self.seen.append(data)
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
        neighbours = [Neighbour("dog.1", "dog", 0.9), Neighbour("gone.7", "dog", 0.8)]
        seen = {"labels": {"One": [("pug", 0.5)]}, "votes": int(self._no_pet), "networks": 1, "no_pet": self._no_pet}
        return Answer(width=width, height=height, neighbours=neighbours, **self._said, **seen)


def load_stand_in(site: Site) -> Loading:
    loading = Loading(lambda: StandInPredictor(run_card.read_run(site.submissions / "run")))  # type: ignore[arg-type,return-value]
    wait_until(lambda: loading.state != "loading")
    return loading


def wait_until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not condition():
        pause.wait(0.01)


def make_client(site: Site, loading: Loading | None = None) -> FlaskClient:
    return create_app(replace(site, loading=loading or load_stand_in(site))).test_client()


def send(client: FlaskClient, *files: tuple[bytes, str], **headers: str) -> TestResponse:
    form = MultiDict([("file", (io.BytesIO(data), name)) for data, name in files])
    return client.post("/api/predict", data=form, content_type="multipart/form-data", headers=headers)


def decide(
    client: FlaskClient, body: object, to: str = "", kind: str = "application/json", **headers: str
) -> TestResponse:
    with client.application.app_context():
        proof = {guard.PROOF_HEADER: this_site().token}
    data = body if isinstance(body, bytes) else json.dumps(body)
    return client.post(f"/api/decisions{to}", data=data, content_type=kind, headers=proof | headers)


def refusal_of(answer: TestResponse, status: int) -> str:
    """The refusal of a program's request: its status, and a sentence as JSON."""
    assert answer.status_code == status, answer.text
    (text,) = [answer.get_json()["error"]]
    assert text.endswith(".") and "\n" not in text
    return str(text)


def decisions_on_disk(site: Site) -> list[tuple[str, str, str]]:
    return [decision[:3] for decision in decisions.read_decisions(site.decisions, CLASSES).values()]

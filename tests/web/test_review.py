"""Suspects and decisions about them, which are on the disk at once."""

import errno
import re

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catsdogs.cleaning import decisions
from catsdogs.web import Loading, Site, guard
from tests.support.web import CLASSES, SUSPECTS, decide, decisions_on_disk, make_client, refusal_of


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
        assert decisions_on_disk(site) == [("cat.1", "drop", "")]
        decide(client, {"id": "dog.0", "decision": "relabel", "label": "cat"})
        decide(client, {"id": "cat.1", "decision": "keep", "label": "dog"})
        assert decisions_on_disk(site) == [("cat.1", "keep", ""), ("dog.0", "relabel", "cat")]
        assert decide(client, {"id": "cat.1"}, "/undo").get_json()["decision"] == "drop"
        assert decisions_on_disk(site) == [("cat.1", "drop", ""), ("dog.0", "relabel", "cat")]
        for _ in range(2):
            assert decide(client, {"id": "cat.1"}, "/undo").get_json()["decision"] is None
        assert decisions_on_disk(site) == [("dog.0", "relabel", "cat")]

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
        refusal_of(decide(client, body), status)
        assert not site.decisions.exists()

    def test_only_pages_of_this_process_may_decide(self, site: Site, client: FlaskClient) -> None:
        body = {"id": "cat.1", "decision": "drop"}
        for proof in ("", "guess", "\xe9"):
            assert "load it again" in refusal_of(decide(client, body, **{guard.PROOF_HEADER: proof}), 403)
        token = re.findall(r'<meta name="token" content="([^"]+)">', client.get("/review").text)
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
            refusal_of(decide(client, body, kind=kind), 415)
        assert not site.decisions.exists()
        assert decide(client, body, **{guard.PROOF_HEADER: token[0]}).status_code == 200
        assert token[0] not in make_client(site).get("/review").text

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
        assert "decisions.csv, row 1" in refusal_of(decide(client, {"id": "cat.1", "decision": "drop"}), 409)
        assert "decisions.csv, row 1" in refusal_of(decide(client, {"id": "cat.1"}, "/undo"), 409)
        assert "decisions.csv, row 1" in refusal_of(client.get("/api/suspects"), 409)
        page = client.get("/review")
        assert page.status_code == 409 and "decisions.csv, row 1" in page.text and "review.js" not in page.text
        assert site.decisions.read_text() == "nonsense\n"

    def test_a_full_disk_is_told(self, site: Site, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("catsdogs.files.atomic.os.fsync", full)
        assert "full" in refusal_of(decide(client, {"id": "cat.1", "decision": "drop"}), 507)

    def test_without_suspects_it_says_what_to_type(self, site: Site, client: FlaskClient) -> None:
        site.suspects.unlink()
        assert "catsdogs outliers" in client.get("/review").text
        assert "catsdogs outliers" in refusal_of(client.get("/api/suspects"), 404)

    def test_damaged_suspects_are_told(self, site: Site, client: FlaskClient) -> None:
        site.suspects.write_text("id\n")
        assert "outliers.csv, row 1" in client.get("/review").text
        assert "outliers.csv, row 1" in refusal_of(client.get("/api/suspects"), 409)

    def test_without_the_photographs_suspects_are_still_decided(self, site: Site) -> None:
        client = make_client(Site(site.submissions, site.features, None, CLASSES, "run", Loading(None)))
        assert {row["thumbnail"] for row in client.get("/api/suspects").get_json()["suspects"]} == {None}
        assert decide(client, {"id": "cat.1", "decision": "drop"}).status_code == 200
        refusal_of(decide(client, {"id": "cat.0", "decision": "drop"}), 404)
        refusal_of(decide(client, {"id": "1", "decision": "drop"}), 422)
        site.suspects.unlink()
        refusal_of(decide(client, {"id": "cat.1", "decision": "drop"}), 409)

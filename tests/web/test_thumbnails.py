"""Thumbnails are those of the data set's rows, and of nothing else."""

import io

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from catsdogs.photographs.dataset import Dataset
from catsdogs.web import Site
from catsdogs.web.site import EXTENSION


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
        data = client.application.extensions[EXTENSION].dataset
        known = (split, id) in data.by_key
        answer = client.get("/thumbnail", query_string={"split": split, "id": id})
        assert answer.status_code == (200 if known else 404)

    def test_a_photograph_that_is_gone_or_damaged_has_none(self, site: Site, client: FlaskClient) -> None:
        folder = site.submissions.parent / "data" / "train"
        (folder / "cat.0.jpg").write_bytes(b"damaged")
        (folder / "cat.1.jpg").unlink()
        for id in ("cat.0", "cat.1"):
            assert client.get(f"/thumbnail?split=train&id={id}").status_code == 404

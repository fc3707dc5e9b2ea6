"""Weights of timm's networks: found wherever they lie, checked, downloaded from a stand-in for the hub."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import huggingface_hub.constants
import pytest

from catsdogs.errors import WeightsError
from catsdogs.networks import weights
from catsdogs.networks.table import TIMM, Backbone
from tests.conftest import refused

MODEL = "vit_small_patch14_dinov2.lvd142m"
ROW = Backbone(
    f"timm-{MODEL}", 518, 384, "", source=TIMM, model=MODEL, hashes={"dinov2_vits14_pretrain.pth": ""},
    repository=f"timm/{MODEL}",
)  # fmt: skip
SNAPSHOTS = f"models--timm--{MODEL}/snapshots"


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


class TestFinding:
    OTHERS = (
        "vit_small_patch14_dinov2.other_tag.safetensors",
        "vit_small_patch14_reg4_dinov2.lvd142m.safetensors",
        "vit_small_patch14_reg4_dinov2.lvd142m/model.safetensors",
        "models--timm--vit_base_patch14_dinov2.lvd142m/snapshots/1/model.safetensors",
        "vit-base-patch14-dinov2/pytorch/default/1/pytorch_model.bin",
        "model.safetensors",
        "dinov2_vitb14_pretrain.pth",
        f"{MODEL}.txt",
        f"{MODEL}.npz",
    )

    @pytest.mark.parametrize(
        "file",
        [
            f"{MODEL}.safetensors",
            f"{MODEL}.bin",
            f"{MODEL}.pth",
            "vit_small_patch14_dinov2.safetensors",
            f"{MODEL}/model.safetensors",
            "vit_small_patch14_dinov2/pytorch_model.bin",
            "dinov2_vits14_pretrain.pth",
            "deep/er/dinov2_vits14_pretrain.pth",
            f"{SNAPSHOTS}/0123/model.safetensors",
            f"hub/{SNAPSHOTS}/0123/pytorch_model.bin",
            "some-model/pytorch/vit-small-patch14-dinov2-lvd142m/2/model.safetensors",
            "vit_small_patch14_dinov2/pytorch/default/1/weights.pth",
        ],
    )
    def test_wherever_it_lies(self, tmp_path: Path, file: str) -> None:
        put(tmp_path, *self.OTHERS)
        assert weights.find_file(ROW, str(tmp_path)) is None
        put(tmp_path, file)
        assert weights.find_file(ROW, str(tmp_path)) == tmp_path / file
        assert weights.obtain(ROW, str(tmp_path)).sha256 == hashlib.sha256(file.encode()).hexdigest()

    @pytest.mark.parametrize(
        ("better", "worse"),
        [
            (f"{MODEL}.safetensors", f"{MODEL}.bin"),
            (f"{MODEL}.bin", f"{MODEL}.pth"),
            (f"{MODEL}.pth", "vit_small_patch14_dinov2.safetensors"),
            (f"{MODEL}.safetensors", "dinov2_vits14_pretrain.pth"),
            (f"{MODEL}/model.safetensors", f"{MODEL}/optimizer.bin"),
            (f"{MODEL}.safetensors", f"old/{MODEL}.safetensors"),
        ],
    )
    def test_of_two_the_better(self, tmp_path: Path, better: str, worse: str) -> None:
        put(tmp_path, worse, better)
        assert weights.find_file(ROW, str(tmp_path)) == tmp_path / better

    def test_the_folder_itself_may_have_the_name(self, tmp_path: Path) -> None:
        put(tmp_path, "vit-small-patch14-dinov2-lvd142m/1/model.safetensors")
        folder = tmp_path / "vit-small-patch14-dinov2-lvd142m" / "1"
        assert weights.find_file(ROW, str(folder)) == folder / "model.safetensors"

    def test_of_several_snapshots_the_current_one(self, tmp_path: Path) -> None:
        put(tmp_path, *(f"{SNAPSHOTS}/{commit}/model.safetensors" for commit in "abc"))
        (tmp_path / SNAPSHOTS).with_name("refs").mkdir()
        (tmp_path / SNAPSHOTS).with_name("refs").joinpath("main").write_text("b\n")
        assert weights.find_file(ROW, str(tmp_path)) == tmp_path / SNAPSHOTS / "b" / "model.safetensors"

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with refused(WeightsError, "No such folder of weights"):
            weights.obtain(ROW, str(tmp_path / "nowhere"))


class TestHashes:
    def test_a_blob_is_called_by_its_hash(self, tmp_path: Path) -> None:
        for content, name in ((b"right", hashlib.sha256(b"right").hexdigest()), (b"wrong", "0" * 64)):
            hub = tmp_path / content.decode() / f"models--timm--{MODEL}"
            put(hub, "snapshots/1/README.md")
            (hub / "blobs").mkdir()
            (hub / "blobs" / name).write_bytes(content)
            (hub / "snapshots/1/model.safetensors").symlink_to(f"../../blobs/{name}")
        assert weights.obtain(ROW, str(tmp_path / "right")).sha256 == hashlib.sha256(b"right").hexdigest()
        with refused(WeightsError, rf"wrong hash\. Received: [0-9a-f]{{64}}\. Expected: {'0' * 64}"):
            weights.obtain(ROW, str(tmp_path / "wrong"))

    @pytest.mark.parametrize(("digits", "is_right"), [(8, True), (9, True), (8, False)])
    def test_a_makers_name_has_the_first_digits(self, tmp_path: Path, digits: int, is_right: bool) -> None:
        promised = hashlib.sha256(b"bytes").hexdigest()[:digits] if is_right else "0123abcd"
        row = replace(ROW, hashes={f"dino-{promised}.pth": promised})
        (tmp_path / f"dino-{promised}.pth").write_bytes(b"bytes")
        if is_right:
            assert weights.obtain(row, str(tmp_path)).sha256.startswith(promised)
        else:
            with refused(WeightsError, "wrong hash"):
                weights.obtain(row, str(tmp_path))


class _Hub(BaseHTTPRequestHandler):
    """Files as the hub sends them: `files` is path -> content."""

    files: dict[str, bytes] = {}  # noqa: RUF012 - each test sets its own

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self._answer(True)

    def _answer(self, with_content: bool) -> None:
        content = self.files.get(self.path)
        if content is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "1" * 40)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_content:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class TestDownload:
    @pytest.fixture
    def hub(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
        monkeypatch.setattr(_Hub, "files", {})
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            there = partial(huggingface_hub.hf_hub_download, endpoint=f"http://127.0.0.1:{server.server_port}")
            monkeypatch.setattr(huggingface_hub, "hf_hub_download", there)
            yield _Hub.files
            server.shutdown()

    @pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
    def test_a_download_is_found_again(self, hub: dict[str, bytes], file: str) -> None:
        hub[f"/timm/{MODEL}/resolve/main/{file}"] = b"tensors"
        assert weights.find_file(ROW, None) is None
        found = weights.obtain(ROW, None)
        assert found.path and found.path.name == file and found.path.read_bytes() == b"tensors"
        hub.clear()
        assert weights.obtain(ROW, None) == found

    def test_nothing_there(self, hub: dict[str, bytes]) -> None:
        with refused(WeightsError, f"could not be downloaded from timm/{MODEL}.*Put {MODEL}.safetensors into a folder"):
            weights.obtain(ROW, None)

    def test_no_network(self, hub: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        with refused(WeightsError, f"could not be downloaded from timm/{MODEL}: there is no connection to it"):
            weights.obtain(ROW, None)

    def test_a_network_that_is_not_on_the_hub(self) -> None:
        row = replace(ROW, repository="https://example.org/weights.pth")
        with refused(WeightsError, r"The hub has no weights of .*: they are at https://example\.org/weights\.pth"):
            weights.obtain(row, None)

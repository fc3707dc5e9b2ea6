"""A live server, with many clients at once and broken requests."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from catsdogs.errors import UsageError
from catsdogs.web import Site, create_app, serve, uploads
from tests.support.datasets import jpeg
from tests.support.web import wait_until

SERVER = """
import signal, sys
from pathlib import Path
from catsdogs.runs import run_card as runs
from catsdogs.photographs.dataset import scan
from catsdogs.web import Loading, Site, create_app, serve
from tests.support.web import CLASSES, StandInPredictor
root = Path(sys.argv[1])
loading = Loading(lambda: StandInPredictor(runs.read_run(root / "submissions" / "run")))
app = create_app(Site(root / "submissions", root / "features", scan(root / "data"), CLASSES, "run", loading))
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
        wait_until(lambda: b'"ready"' in self.ask(server, "GET", "/healthz")[1])
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
        status, content = self.ask(
            server, "POST", "/api/predict", **self.form(b"\xff" * (uploads.MAX_UPLOAD_BYTES + 1))
        )
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
        app = create_app(site)
        with pytest.raises(UsageError, match=rf"port {server[1]}: address already in use.*--port"):
            serve(app, *server, pytest.fail)
        with pytest.raises(UsageError, match=r"no\.such\.host\.invalid"):
            serve(app, "no.such.host.invalid", 0, pytest.fail)

"""moto's S3 server on this machine, which can be made to fail: fixtures for tests that read and write `s3://`.

A test module takes them with `pytest_plugins = ("tests.support.s3",)`. The usual environment variables name the server,
so that other processes find it, too.

PYTEST_DONT_REWRITE: test modules import from here before they name it as a plugin.
"""

import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest
import s3fs

from catsdogs.files import object_store, storage

KINDS = ("500", "503", "hang", "cut", "refuse")  # faults that a retry can pass; `Faults.add` knows more
_CODES = {"403": "AccessDenied", "500": "InternalError", "503": "SlowDown"}
_ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
_FORGOTTEN = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "FSSPEC_S3")
_HANGING = 30  # seconds; longer than any client in the tests waits
_numbers = count()


@dataclass
class _Fault:
    kind: str
    match: str
    times: float


@dataclass
class Faults:
    """What goes wrong at the server, and what it has been asked.

    Attributes:
        requests: `METHOD /bucket/key?query` of each, in the order in which they came.
    """

    requests: list[str] = field(default_factory=list)
    _faults: list[_Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def add(self, kind: str, match: str = ".", times: int | None = None) -> None:
        """Make requests whose line this expression matches fail so many times, or for ever.

        Args:
            kind: `403`, `500` or `503`; `hang`: no answer; `refuse`: the connection breaks; `cut`: it breaks in the
                middle of the body; `short`: half the body, with a matching length in the header.
        """
        assert kind in (*KINDS, *_CODES, "short")
        self._faults.append(_Fault(kind, match, float("inf") if times is None else times))

    def clear(self) -> None:
        """Nothing goes wrong any more, and what hangs ends."""
        self._faults.clear()
        self._over.set()
        self._over = threading.Event()

    def next(self, request: str) -> str:
        """The fault that this request meets, if any."""
        with self._lock:
            self.requests.append(request)
            for fault in self._faults:
                has_body = request.startswith("GET") or fault.kind not in ("cut", "short")
                if fault.times and has_body and re.search(fault.match, request):
                    fault.times -= 1
                    return fault.kind
        return ""

    def hang(self) -> None:
        self._over.wait(_HANGING)


class _Failing:
    """An application that meets faults before it answers."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self.faults = Faults()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        query = environ["QUERY_STRING"]
        kind = self.faults.next(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}{query and '?'}{query}")
        if code := _CODES.get(kind):
            body = f"<Error><Code>{code}</Code><Message>told to fail</Message></Error>".encode()
            body = b"" if environ["REQUEST_METHOD"] == "HEAD" else body
            start_response(f"{kind} {code}", [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))])
            return [body]
        if kind == "hang":
            self.faults.hang()
        if kind in ("hang", "refuse"):
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionError(kind)
        answer: list[Any] = []
        whole = b"".join(self._app(environ, lambda *args: answer.extend(args)))  # type: ignore[arg-type, return-value]
        status, headers = answer[:2]
        if kind not in ("cut", "short"):
            start_response(status, headers)
            return [whole]
        half = whole[: len(whole) // 2]
        length = whole if kind == "cut" else half  # the server closes every connection
        others = [(name, value) for name, value in headers if name.lower() != "content-length"]
        start_response(status, [*others, ("Content-Length", str(len(length)))])
        return [half]


def upload(folder: Path, url: str) -> None:
    """Copy every file below a folder to below a URL."""
    store = s3fs.S3FileSystem()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.put_file(str(path), f"{url.removeprefix('s3://')}/{path.relative_to(folder).as_posix()}")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[tuple[str, Any]]:
    """The URL of a server that runs as long as the tests, and its application."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class Quiet(MotoRequestHandler):
        def log(self, type: str, message: str, *args: object) -> None:
            pass

    app = _Failing(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", app
    app.faults.clear()
    server.shutdown()
    thread.join()


@pytest.fixture
def s3_faults(s3_server: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """What goes wrong at the server that `s3://` leads to; nothing at first."""
    url, app = s3_server
    for name in _FORGOTTEN:
        monkeypatch.delenv(name, raising=False)
    for name, value in {**_ENVIRONMENT, "AWS_ENDPOINT_URL": url, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    app.faults = Faults()
    yield app.faults
    app.faults.clear()


@pytest.fixture
def fresh_clients(s3_faults: Faults) -> Iterator[None]:
    """Clients are made anew, as in another process, so that what a test changes in the environment counts."""
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def s3_bucket(s3_faults: Faults) -> str:
    """`s3://` and the name of a fresh bucket."""
    name = f"bucket-{next(_numbers)}-{time.monotonic_ns()}"
    s3fs.S3FileSystem().mkdir(name)
    s3_faults.requests.clear()
    return f"s3://{name}"


@pytest.fixture
def s3_folder(s3_bucket: str) -> Path:
    """An empty place in a fresh bucket."""
    return storage.place(f"{s3_bucket}/some/folder")


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three attempts follow each other at once, and each gives up a store that hangs after a second."""
    monkeypatch.setattr(object_store, "REQUEST_ATTEMPTS", 3)
    monkeypatch.setattr(object_store, "_WAIT", {"multiplier": 0, "max": 0, "jitter": 0})
    monkeypatch.setitem(object_store.S3_CLIENT, "read_timeout", 1)

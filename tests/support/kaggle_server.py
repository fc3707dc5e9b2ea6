"""A local stand-in for Kaggle that speaks the routes its client calls, and the secrets that nobody may be told."""

import http.server
import json
import threading
from typing import Any

KEY = "0123456789abcdef-key"
TOKEN = "KGAT_0123456789abcdef-token"
SIGNATURE = "X-Goog-Signature=0123456789abcdef"
SERVICE = "/v1/competitions.CompetitionApiService"


class StandIn(http.server.ThreadingHTTPServer):
    """Kaggle as far as the client asks: `refuse` answers a route with a status, `statuses` are what polling sees."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), StandInHandler)
        self.refuse: dict[str, tuple[int, str]] = {}
        self.silent: set[str] = set()
        self.statuses = ["PENDING", "COMPLETE"]
        self.error_description = ""
        self.uploads_to_drop = 0
        self.archive = b""
        self.asked_for: list[str] = []
        self.cuts: list[int] = []
        self.uploaded = b""
        self.submitted: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class StandInHandler(http.server.BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, content: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        route = self.path.rpartition("/")[2]
        self.server.calls.append(route)
        if route in self.server.silent:
            self.server.released.wait(30)
        if route in self.server.refuse:
            status, message = self.server.refuse[route]
            return self.answer({"code": status, "message": message}, status)
        if route == "IntrospectToken":
            return self.answer({"active": request["token"] == TOKEN, "username": "someone"})
        assert self.path.startswith(SERVICE), self.path
        assert self.headers["Authorization"].startswith(("Basic ", "Bearer "))
        if route == "DownloadDataFiles":
            self.server.asked_for.append(request["competitionName"])
            self.send_response(302)
            self.send_header("Location", f"{self.server.url}/storage/archive.zip?{SIGNATURE}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if route == "StartSubmissionUpload":
            return self.answer({"token": "blob-7", "createUrl": f"{self.server.url}/blobs/7?{SIGNATURE}"})
        if route == "CreateSubmission":
            self.server.submitted.append(request)
            return self.answer({"message": "Successfully submitted to Dogs vs. Cats Redux", "ref": 41})
        assert route == "ListSubmissions"
        status = self.server.statuses.pop(0) if len(self.server.statuses) > 1 else self.server.statuses[0]
        older = {"ref": 40, "status": "COMPLETE", "publicScore": "9.9", "privateScore": "9.9"}
        ours: dict[str, Any] = {"ref": 41, "status": status, "errorDescription": self.server.error_description}
        if status == "COMPLETE":
            ours |= {"publicScore": "0.04141", "privateScore": ""}
        return self.answer({"submissions": [older, ours]})

    def do_PUT(self) -> None:
        self.server.calls.append("PUT")
        if self.server.uploads_to_drop:
            self.server.uploads_to_drop -= 1
            self.rfile.read(10)
            self.close_connection = True
            return None
        if "PUT" in self.server.refuse:
            return self.answer({}, self.server.refuse["PUT"][0])
        self.server.uploaded = self.rfile.read(int(self.headers["Content-Length"]))
        return self.answer({})

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.calls.append(f"GET {wanted}" if wanted else "GET")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        total = len(self.server.archive)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("ETag", '"archive"')
        self.send_header("Content-Length", str(total - start))
        self.end_headers()
        # The client only looks where the archive is; from the second GET on it is downloaded.
        end = start + self.server.cuts.pop(0) if self.server.cuts else total
        self.wfile.write(self.server.archive[start:end])

"""Guards every request and response: names of this host only, no other sites, safe headers, errors in sentences."""

import contextlib
import ipaddress
import secrets
import socket

from flask import Flask, Response, jsonify, render_template, request
from flask.globals import request_ctx
from werkzeug.exceptions import HTTPException

from catsdogs.web.site import this_site

PROOF_HEADER = "X-Catsdogs-Token"
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'none'"
)
# https://cheatsheetseries.owasp.org/cheatsheets/HTTP_Headers_Cheat_Sheet.html; pages of ours need nothing they forbid.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SENTENCES = {
    400: "This request cannot be understood",
    404: "There is no such page",
    405: "This address takes no such request",
    413: "That is more than one request may carry",
    415: "Send JSON, as application/json",
    500: "Something went wrong here; the terminal of the server says what",
}


class Problem(HTTPException):
    """A response that is an error: its status and a sentence, without full stop.

    Attributes:
        retry_after: seconds after which asking again may help.
    """

    def __init__(self, status: int, sentence: str, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.code = status
        self.retry_after = retry_after


def protect(app: Flask) -> None:
    """Make the app answer only to its own names and pages, with safe headers, and give every error as a sentence."""

    # Flask's TRUSTED_HOSTS wants every address known beforehand, and never trusts one in brackets.
    @app.before_request
    def refuse_other_names() -> None:
        if not _is_own_name(request.headers.get("Host", "").lower()):
            raise Problem(400, "This machine is not known by that name: call it by its address, such as 127.0.0.1")

    @app.before_request
    def refuse_other_sites() -> None:
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return
        origin = request.headers.get("Origin")
        # Split by hand, for urlsplit raises errors about some origins that no browser sends.
        foreign = origin is not None and origin.lower().partition("://")[2] != request.headers.get("Host", "").lower()
        if foreign or request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            raise Problem(403, "Pages of another site may not ask for this")

    app.after_request(_with_headers)
    app.register_error_handler(HTTPException, _error_response)


def check_token() -> None:
    """Refuse a request that does not come from a page of this process."""
    sent = request.headers.get(PROOF_HEADER, "")
    if not secrets.compare_digest(sent.encode(), this_site().token.encode()):
        raise Problem(403, "This page is older than the server: load it again")


def _is_own_name(host: str) -> bool:
    """Whether no other site can have this name, its port aside: an address, localhost, or what this machine is called.

    A page whose name has come to mean this machine (DNS rebinding) would else be taken for one of ours.
    """
    name, colon, port = host.rpartition(":")
    name = name if colon and port.isdecimal() else host
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    own = socket.gethostname().lower()
    return name in ("localhost", own, f"{own}.local")


def _with_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _error_response(error: HTTPException) -> Response:
    """An error as JSON for programs, as a small page for people."""
    response = Response(status=error.code)
    response.headers.update({name: value for name, value in error.get_headers() if name == "Allow"})
    if isinstance(error, Problem):
        sentence = error.description or ""
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(error.retry_after)
    else:
        sentence = _SENTENCES.get(error.code or 500, error.name)
    if request.path.startswith("/api/"):
        response.data, response.mimetype = jsonify(error=f"{sentence}.").data, "application/json"
    elif request_ctx.url_adapter is None:  # a Host that can be no name: none of our pages has an address by it
        response.data, response.mimetype = f"{sentence}.\n".encode(), "text/plain"
    else:
        response.data = render_template("error.html", sentence=sentence, status=error.code)
    return response

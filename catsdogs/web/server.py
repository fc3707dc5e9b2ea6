"""Serves the app on a port by waitress, which queues what its threads cannot take on at once."""

import ipaddress
import logging
from collections.abc import Callable
from typing import Any

import waitress
from flask import Flask

from catsdogs.errors import UsageError

THREADS = 8
_IDLE_SECONDS = 60
_MAX_HEADER = 2**15


def serve(app: Flask, host: str, port: int, started: Callable[[str], None]) -> None:
    """Answer requests until Ctrl-C; nothing is printed, and no request is logged.

    Args:
        port: 0 for any that is free.
        started: called with the address, such as `http://127.0.0.1:5000`, as soon as it answers.

    Raises:
        UsageError: the port is taken or not ours to use, or there is no such host.
    """
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it warns whenever a request waits
    try:
        server = waitress.create_server(
            app,
            host=host,
            port=port,
            threads=THREADS,
            ident=None,
            # Flask refuses what is larger in words; here the line is drawn for what comes without a length.
            max_request_body_size=app.config["MAX_CONTENT_LENGTH"] + 2**20,
            max_request_header_size=_MAX_HEADER,
            channel_timeout=_IDLE_SECONDS,
        )
    except (OSError, ValueError) as error:  # waitress raises ValueError for a host that has no address
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no such address"
        raise UsageError(
            f"Cannot listen on {host}, port {port}: {reason.lower()}", "Choose another --port or --host"
        ) from None
    try:
        started(_address(server))
        server.run()
    finally:
        server.close()


def _address(server: Any) -> str:
    """Where a browser finds it: the first of its addresses, and loopback for all of them."""
    listens = getattr(server, "effective_listen", None) or [(server.effective_host, server.effective_port)]
    host, port = listens[0]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"

"""The way back in for whoever lost the operator token and can reach an address that nobody else should reach.

    POST /api/v3/configure/token/admin/regenerate    no token needed; everything else is 404

R1  It is there only when --admin-token-recovery-http-bind asks for it, closes after the first success, and does not come back
    before the server is started anew.
R2  It takes one short request at a time and reads no body.
R3  Where the server has a certificate, it speaks TLS with it and nothing else: the answer is a secret.

Held by tests/integration/test_recovery.py (R1-R3).
Elsewhere: the same for who still has a token (httpapi.routes.tokens).
"""

import json
import logging
import socket
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from catalog.errors import NotFound, ServiceError
from flightserver.audit import Audit
from flightserver.tokens import TokenKeeper

log = logging.getLogger("flightserver.auth")

PATH = "/api/v3/configure/token/admin/regenerate"
_REQUEST_S = 5.0


class Recovery:
    """Serves from construction on, on a thread of its own."""

    def __init__(
        self, bind: tuple[str, int], keeper: TokenKeeper, audit: Audit, done_file: Path, tls: ssl.SSLContext | None = None
    ) -> None:
        self._keeper = keeper
        self._audit = audit
        self._done_file = done_file
        recovery = self

        class Handler(BaseHTTPRequestHandler):
            timeout = _REQUEST_S
            server_version = "influxdb3"
            sys_version = ""

            def do_POST(self) -> None:
                recovery.answer(self)

            def do_GET(self) -> None:
                reply(self, 404, {"error": "not found"})

            do_PUT = do_DELETE = do_PATCH = do_HEAD = do_GET  # noqa: N815 (names that http.server looks for)

            def log_message(self, format: str, *args: object) -> None:
                """Requests are told of by their outcome."""

        class Server(HTTPServer):
            address_family = socket.AF_INET6 if ":" in bind[0] else socket.AF_INET

            def get_request(self) -> tuple[socket.socket, object]:
                connection, peer = self.socket.accept()
                if tls is not None:  # the handshake comes with the first byte that is read, in the time of the request
                    connection = tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                return connection, peer

            def handle_error(self, request: object, client_address: object) -> None:
                """Whoever hangs up, or speaks another protocol, is no trouble of ours."""
                log.info("token recovery: a connection from %s ended: %s", client_address, sys.exc_info()[1])

        try:
            self._server = Server(bind, Handler)
        except OSError as error:
            raise RecoveryUnavailable(
                f"cannot listen on {bind[0]}:{bind[1]} for token recovery: {error.strerror or error}"
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="token-recovery", daemon=True)
        self._thread.start()
        self.url = f"{'http' if tls is None else 'https'}://{self.address}"
        log.warning("the operator token can be replaced without a token at %s", self.url)

    @property
    def address(self) -> str:
        host, port = self._server.server_address[:2]
        return f"[{host!s}]:{port}" if ":" in str(host) else f"{host!s}:{port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.path != PATH or self._done_file.exists():
            reply(request, 404, {"error": "not found"})
            return
        try:
            made = self._keeper.regenerate_operator()
        except ServiceError as error:
            reply(request, 404 if isinstance(error, NotFound) else 503, {"error": error.message})
            return
        self._done_file.touch()
        self._audit.note(None, "regenerate_operator_token", {"name": made["name"]}, "done, through the recovery address")
        log.warning("the operator token was replaced through the recovery address, which is closed now")
        reply(request, 201, dict(made))
        threading.Thread(target=self.close, name="close-token-recovery", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class RecoveryUnavailable(ServiceError):
    """The listener for lost tokens does nothing else than to replace the operator's token."""

    code = "recovery_unavailable"


def reply(request: BaseHTTPRequestHandler, status: int, document: dict[str, object]) -> None:
    body = json.dumps(document).encode()
    request.send_response(status)
    request.send_header("Content-Type", "json" if status == 201 else "application/json")
    request.send_header("Content-Length", str(len(body)))
    request.send_header("Cache-Control", "no-store")
    request.send_header("Connection", "close")
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
    request.close_connection = True

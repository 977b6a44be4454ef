"""moto, whose conditional puts are decided one after another: `python -m tests.helpers.moto_front PORT`.

moto looks whether an object is there and then stores it; with several threads two of those that ask for `If-None-Match: *` may
both be told that they were first. S3 tells one.
"""

import io
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

StartResponse = Callable[..., Any]


class OneAfterAnother:
    def __init__(self) -> None:
        self._app: Callable[[dict[str, Any], StartResponse], Iterable[bytes]] = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if "HTTP_IF_NONE_MATCH" not in environ or environ["REQUEST_METHOD"] != "PUT":
            return self._app(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))  # nobody waits for a slow client's
        with self._lock:
            return list(self._app({**environ, "wsgi.input": io.BytesIO(body)}, start_response))


if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), OneAfterAnother(), threaded=True, request_handler=MotoRequestHandler)

"""A WSGI application for tests of the server around it: no engine, no framework."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import parse_qs

StartResponse = Callable[[str, list[tuple[str, str]]], object]


def app(environ: dict[str, object], start_response: StartResponse) -> Iterable[bytes]:
    """`/echo` returns the body, `/pid` the worker's process id, `/sleep?s=` waits when its answer has begun, `/held?by=` before
    it begins until there is a file of that name (and makes one that ends with `.asked`), `/large?n=` sends n MiB."""
    path = str(environ["PATH_INFO"])
    query = parse_qs(str(environ["QUERY_STRING"]))
    reader = environ["wsgi.input"]
    body = reader.read()  # type: ignore[attr-defined]
    if path == "/pid":
        body = str(os.getpid()).encode()
    elif path == "/scheme":
        body = str(environ["wsgi.url_scheme"]).encode()
    elif path == "/sleep":
        start_response("200 OK", [("Content-Length", "5")])
        return slept(float(query["s"][0]))
    elif path == "/held":
        by = Path(query["by"][0])
        by.with_suffix(".asked").touch()
        while not by.exists():
            time.sleep(0.01)
        body = b"held"
    elif path == "/large":
        chunks = int(query["n"][0])
        start_response("200 OK", [("Content-Length", str(chunks << 20))])
        return (b"x" * (1 << 20) for _ in range(chunks))
    elif path == "/fail":
        raise RuntimeError("asked to fail")
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def slept(seconds: float) -> Iterator[bytes]:
    yield b"s"
    time.sleep(seconds)
    yield b"lept"

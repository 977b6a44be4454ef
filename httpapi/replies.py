"""What the HTTP face answers with, before a server turns it into bytes on a socket."""

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"

STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `body` is whole bytes, or an iterable that is streamed as it is produced."""

    status: int
    body: bytes | Iterable[bytes] = b""
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


NO_CONTENT = Reply(204)
OK = Reply(200)


def json_reply(status: int, document: Any, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    return Reply(status, orjson.dumps(document), JSON, headers)


def text_reply(status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    return Reply(status, text.encode(), TEXT, headers)

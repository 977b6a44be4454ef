"""What a server answers, over whichever door: bodies, refusals, silence. Cheap to import.

A1  An answer that is no success becomes one line: `server responded with error [409 Conflict]: <its sentence>`.
A2  A server that cannot be reached is named with method, address and cause.

Held by tests/integration/cli/test_manage.py (A1, A2).
Elsewhere: HTTP (cli.remote), gRPC (cli.flight, cli.actions).
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple, Protocol

from flightserver.cli.console import CommandError

Query = Mapping[str, object]

TOKEN_NEEDED = (
    "A valid token is needed: --token TOKEN, or the variable INFLUXDB3_AUTH_TOKEN. "
    "`influxdb3 create token --admin` makes a server's first one."
)


class Answer(NamedTuple):
    status: int
    reason: str
    body: bytes
    retry_after_s: float | None = None

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace").strip()


class Refused(CommandError):
    """The server answered, with an error."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.sentence = _sentence(answer)
        more = TOKEN_NEEDED if answer.status == HTTPStatus.UNAUTHORIZED else ""
        super().__init__(f"server responded with error [{answer.status} {answer.reason}]: {self.sentence}", more=more)


class Unreachable(CommandError):
    def __init__(self, method: str, url: str, cause: object) -> None:
        super().__init__(f"failed to send {method} {url} request: {cause}")


class Server(Protocol):
    """What administrative commands need of a server, whichever door it is reached by."""

    def call(self, method: str, path: str, query: Query | None = None, document: object = None) -> bytes:
        """The body of a successful answer."""

    def rows(self, database: str, statement: str, name: str) -> bytes:
        """The answer to an SQL statement in a format."""


def reason_of(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _sentence(answer: Answer) -> str:
    """The sentence in an error's body: `error` or `message`, with the hint if there is one."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return answer.text
    if not isinstance(document, dict):
        return answer.text
    sentence = document.get("error") or document.get("message")
    if not isinstance(sentence, str):
        return answer.text
    hint = document.get("hint")
    return f"{sentence} ({hint})" if isinstance(hint, str) else sentence

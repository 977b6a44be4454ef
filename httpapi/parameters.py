"""What a request asks for: query strings and JSON bodies, with the error texts that clients of InfluxDB 3 know.

P1  A parameter that an endpoint knows appears at most once; one that it does not know is ignored.
P2  Any bytes in a query string end as text or as a 400, never as anything else.

Held by tests/unit/httpapi/test_parameters.py (P1, P2).
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import orjson

from catalog.errors import InvalidRequest
from httpapi.bodies import BodyReader, Environ
from httpapi.errors import UnsupportedMediaType

T = TypeVar("T")

_MAX_PARAMETERS = 1000
_NOT_A_BOOLEAN = "provided string was not `true` or `false`"


def query_parameters(
    query_string: str, known: Collection[str], aliases: Mapping[str, str] | None = None
) -> Iterator[tuple[str, str]]:
    """The parameters an endpoint knows, in the order they came, under their own names."""
    try:
        pairs = parse_qsl(query_string, keep_blank_values=True, errors="replace", max_num_fields=_MAX_PARAMETERS)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
    seen = set()
    for key, value in pairs:
        name = (aliases or {}).get(key, key)
        if name not in known:
            continue
        if name in seen:
            raise InvalidRequest(f"duplicate field `{name}`")
        seen.add(name)
        yield name, value


def boolean(value: str) -> bool:
    if value not in ("true", "false"):
        raise InvalidRequest(_NOT_A_BOOLEAN)
    return value == "true"


def one_of(word: str, known: Collection[str]) -> str:
    if word not in known:
        raise InvalidRequest(f"unknown variant `{word}`, expected one of {', '.join(f'`{name}`' for name in known)}")
    return word


def require(found: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if name not in found:
            raise InvalidRequest(f"missing field `{name}`")


@contextmanager
def told_as(frame: str) -> Iterator[None]:
    """A refusal inside is told with the words that this endpoint puts around it."""
    try:
        yield
    except InvalidRequest as error:
        raise InvalidRequest(frame.format(error)) from None


def json_body(environ: Environ, bodies: BodyReader, *, any_content_type: bool = False) -> dict[str, Any]:
    """The JSON object of a body. Queries by `curl --data` come as a form by their type, so theirs is not looked at."""
    if not any_content_type and not _is_json(environ.get("CONTENT_TYPE", "")):
        raise UnsupportedMediaType("unacceptable content-type, expected: application/json")
    with bodies.read(environ) as body:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InvalidRequest(f"serde json error: {error}") from None
    if not isinstance(document, dict):
        raise InvalidRequest("serde json error: invalid type, expected a JSON object")
    return document


def _is_json(content_type: str) -> bool:
    essence = content_type.partition(";")[0].strip().lower()
    return essence == "application/json" or (essence.startswith("application/") and essence.endswith("+json"))


class Document:
    """A JSON object whose entries are asked for by name and type."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = entries

    def has(self, name: str) -> bool:
        return name in self._entries

    def text(self, name: str) -> str:
        value = self._required(name)
        return self._checked(name, value, str, "a string")

    def optional_text(self, name: str) -> str | None:
        value = self._entries.get(name)
        return None if value is None else self._checked(name, value, str, "a string")

    def texts(self, name: str) -> list[str]:
        return [self._checked(name, value, str, "a string") for value in self._sequence(name)]

    def documents(self, name: str) -> list["Document"]:
        return [Document(self._checked(name, value, dict, "an object")) for value in self._sequence(name)]

    def _sequence(self, name: str) -> list[Any]:
        return self._checked(name, self._required(name), list, "a sequence")

    def _required(self, name: str) -> Any:
        if name not in self._entries:
            raise InvalidRequest(f"serde json error: missing field `{name}`")
        return self._entries[name]

    @staticmethod
    def _checked(name: str, value: Any, expected: type[T], words: str) -> T:
        if not isinstance(value, expected):
            raise InvalidRequest(f"serde json error: invalid type for `{name}`, expected {words}")
        return value

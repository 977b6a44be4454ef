"""SQL goes in, rows come out, in the format that was asked for.

    GET, POST /api/v3/query_sql        db, q, format, params; GET in the query string, POST as a JSON object
    GET, POST /api/v3/query_influxql   answered with a sentence that says what this version lacks
    GET, POST /query

Q1  What can be refused is refused before the first byte of an answer: the first rows are waited for. An error after that cuts
    the answer short: without its closing chunk, or with a reset where there are no chunks (HTTP/1.0), so that no client takes
    it for whole.
Q2  `format` decides; without it `Accept` does. An Accept header that no format satisfies is refused even then.
Q3  The work behind a result ends with the connection that asked for it.
Q4  Rows leave as they come, packed if the client likes (httpapi.compression). A worker holds a few pieces of an answer, however
    long that is and however slowly it is read.

Held by tests/integration/http/test_query.py (Q1-Q3) and tests/integration/http/test_streaming.py (Q1, Q4).
Elsewhere: how values are spelled (httpapi.formats), clients that hang up (httpapi.hangups).
"""

import errno
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any

import orjson
import pyarrow as pa

from catalog.access import TOKEN
from catalog.errors import DatabaseNotFound, InvalidRequest, NotFound, ServiceError, no_influxql
from flightserver.client import CallCancelled, ResultStream
from httpapi.calls import Call, Routes
from httpapi.compression import encoding_for, packed
from httpapi.connections import reset
from httpapi.formats import FORMAT_NAMES, Format, named_format
from httpapi.hangups import Hangups
from httpapi.parameters import one_of, query_parameters, require, told_as
from httpapi.replies import Reply

log = logging.getLogger("httpapi")

_hangups = Hangups()
_CANCEL_AGAIN_S = 0.05

_FORMAT_BY_ACCEPT = {
    "": "json",
    "*/*": "json",
    "application/json": "json",
    "text/csv": "csv",
    "text/plain": "pretty",
    "application/vnd.apache.parquet": "parquet",
}


def query_sql(call: Call) -> Reply:
    """Answers an SQL query. Parameters or JSON: `db`, `q`, `format` (`json`, `jsonl`, `csv`, `pretty`, `parquet`), `params`."""
    accepted = _accepted_format(call.accept)
    asked = _from_query_string(call) if call.method == "GET" else _from_body(call)
    params = _params(asked.get("params"))
    wanted = named_format(asked.get("format") or accepted)
    waiting = _Waiting(call)
    try:
        return _streamed(call, waiting.result_of(asked["db"], asked["q"], params), waiting.end, wanted)
    except BaseException as error:
        waiting.end()
        if isinstance(error, DatabaseNotFound):
            raise NotFound(f"query error: {error}") from None
        raise


def query_influxql(call: Call) -> Reply:
    """Says that InfluxQL is not part of this version yet."""
    raise no_influxql()


def accepted_or_named(name: str | None, accept: str) -> Format:
    """For other endpoints whose answers are rows (Q2)."""
    return named_format(name or _accepted_format(accept))


def rows_reply(table: pa.Table, wanted: Format) -> Reply:
    return Reply(200, b"".join(wanted.encode(table.schema, table.to_batches())), wanted.content_type)


def _from_query_string(call: Call) -> dict[str, Any]:
    if not call.query_string:
        raise InvalidRequest("missing query parameters 'db' and 'q'")
    with told_as("serde error: {}"):
        asked: dict[str, Any] = dict(query_parameters(call.query_string, ("db", "q", "format", "params")))
        require(asked, "db", "q")
        if "format" in asked:
            one_of(asked["format"], FORMAT_NAMES)
        if "params" in asked:
            asked["params"] = _json(asked["params"])
    return asked


def _from_body(call: Call) -> dict[str, Any]:
    asked = call.json_body(any_content_type=True)
    with told_as("serde json error: {}"):
        require(asked, "db", "q")
        if asked.get("format") is None:
            asked.pop("format", None)
        for name in asked.keys() & {"db", "q", "format"}:
            if not isinstance(asked[name], str):
                raise InvalidRequest(f"invalid type for `{name}`, expected a string")
        if "format" in asked:
            one_of(asked["format"], FORMAT_NAMES)
    return asked


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"params: {error}") from None


def _params(params: Any) -> Mapping[str, Any]:
    if params is None:
        return {}
    if not isinstance(params, dict):
        raise InvalidRequest("params must be a JSON object of names and values")
    expected = "are not supported as query parameters. Expected null, boolean, number, or string"
    for value in params.values():
        if isinstance(value, list):
            raise InvalidRequest(f"JSON arrays {expected}.")
        if isinstance(value, dict):
            raise InvalidRequest(f"JSON objects {expected}")
    return params


def _accepted_format(accept: str) -> str:
    found = _FORMAT_BY_ACCEPT.get(accept.strip())
    if found is not None:
        return found
    if "text/html" in accept or "*/*" in accept:
        return "json"
    raise InvalidRequest(f"invalid mime type ({accept})")


class _Waiting:
    """A client that waits for its answer and may leave at any time, also while its statement is planned (Q3)."""

    def __init__(self, call: Call) -> None:
        self._gateway, self._authorization = call.gateway, call.authorization
        self._query_id = secrets.token_hex(8)
        self._result: ResultStream | None = None
        self._has_left = self._is_over = False
        self._unwatch = _nothing if call.socket is None else _hangups.watch(call.socket, self._leave)

    def result_of(self, db: str, q: str, params: Mapping[str, Any]) -> ResultStream:
        result = self._gateway.query_sql(db=db, q=q, params=params, authorization=self._authorization, query_id=self._query_id)
        self._result = result
        if self._has_left:
            result.close()
        return result

    def end(self) -> None:
        self._is_over = True
        self._unwatch()

    def _leave(self) -> None:
        self._has_left = True
        if self._result is not None:
            self._result.close()
        else:
            threading.Thread(target=self._cancel, name="cancel-query", daemon=True).start()

    def _cancel(self) -> None:
        """Again and again: the engine may not have heard of the query yet."""
        while self._result is None and not self._is_over:
            with suppress(ServiceError):
                self._gateway.cancel_query(self._query_id, self._authorization)
            time.sleep(_CANCEL_AGAIN_S)


def _streamed(call: Call, result: ResultStream, unwatch: Callable[[], None], wanted: Format) -> Reply:
    try:
        pieces = wanted.encode(result.schema, _with_rows(result))
        first = next(pieces, b"")
    except BaseException:
        result.close()
        raise
    pieces = chain([first] if first else [], pieces)
    headers: tuple[tuple[str, str], ...] = ()
    if wanted.is_text:
        headers = (("Vary", "Accept-Encoding"),)
        encoding = encoding_for(call.request.headers.get("Accept-Encoding", ""))
        if encoding is not None:
            pieces, headers = packed(pieces, encoding), (*headers, ("Content-Encoding", encoding))
    cut_off = _nothing if call.is_chunked or call.socket is None else partial(reset, call.socket)
    return Reply(200, _Body(result, pieces, unwatch, cut_off), wanted.content_type, headers)


def _with_rows(result: ResultStream) -> Iterator[pa.RecordBatch]:
    """The batches that have rows (others say that the engine is still at work); if none has any, one of the others."""
    empty = None
    any_rows = False
    for batch in result:
        if batch.num_rows:
            any_rows = True
            yield batch
        else:
            empty = batch
    if empty is not None and not any_rows:
        yield empty


def _nothing() -> None:
    pass


class _Body:
    """The answer on its way, and the end of the work behind it however it ends."""

    def __init__(
        self, result: ResultStream, pieces: Iterator[bytes], unwatch: Callable[[], None], cut_off: Callable[[], None]
    ) -> None:
        self._result = result
        self._pieces = pieces
        self._unwatch = unwatch
        self._cut_off = cut_off

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._pieces
        except ServiceError as error:
            level = logging.DEBUG if isinstance(error, CallCancelled) else logging.WARNING  # who has hung up is no news
            log.log(level, "a query failed after its answer had begun: %s", error)
            raise self._cut_short() from None
        except Exception:  # whatever it was, nothing may follow what has been sent
            log.exception("an answer broke off")
            raise self._cut_short() from None

    def _cut_short(self) -> OSError:
        """The server closes a connection on which this happens (Q1)."""
        self._cut_off()
        return BrokenPipeError(errno.EPIPE, "the answer is cut short")

    def close(self) -> None:
        self._unwatch()
        self._result.close()


ROUTES: Routes = (
    ("/api/v3/query_sql", ["GET", "POST"], query_sql, TOKEN),
    ("/api/v3/query_influxql", ["GET", "POST"], query_influxql, TOKEN),
    ("/query", ["GET", "POST"], query_influxql, TOKEN),
)

"""Sessions: what a client wants to be true of its calls, kept here and named by a cookie.

    catalog    `public`, or a database: then calls without a database header are about that one
    database   the same, under a plainer name
    schema     `iox`

B1  A session begins with the first option that is set; its cookie is set then, and nothing is kept for clients that set none.
B2  An option that does not exist, or can not have this value, is named in the result; the others are set.
B3  Of a call's own database header and the session's, the header counts; an option that says otherwise than the header of
    its own call is refused, since it would have no effect.
B4  The SESSIONS_MAX sessions used last are kept.
B5  A session is one caller's and opens nothing: each call brings its own token, and for another caller the cookie names
    no session. A database that the caller may not see is one that does not exist.

Held by tests/integration/flight/test_sessions.py (B1-B4) and tests/integration/flight/test_tokens.py (B5).
"""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from http.cookies import CookieError, SimpleCookie

import pyarrow as pa

from catalog.access import TOKEN
from catalog.tokens import Identity
from flightserver.flightsql import commands
from flightserver.flightsql.info import CATALOG, DEFAULT_SCHEMA
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.handlers.actions import Action
from flightserver.handlers.call import Call

COOKIE = "arrow_flight_session_id"
SESSIONS_MAX = 10_000

_INVALID_NAME, _INVALID_VALUE = 1, 2
_CLOSED = 1

Options = Mapping[str, str]
_Key = tuple[str | None, int | None]
"""The cookie's value, and whose session it is."""


class Sessions:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: OrderedDict[_Key, Options] = OrderedDict()

    def database_of(self, headers: Mapping[str, Sequence[str]], caller: Identity) -> str | None:
        """The database that the session of a call has chosen."""
        if "cookie" not in headers:
            return None
        options = self._options(_key(_session_id(headers), caller))
        return options.get("database") or _database_in(options.get("catalog"))

    def actions(self) -> list[Action]:
        return [
            Action("SetSessionOptions", "options of the calls to come: catalog, database, schema", self._set, TOKEN),
            Action("GetSessionOptions", "the options of the session", self._get, TOKEN),
            Action("CloseSession", "the session is forgotten", self._close, TOKEN),
        ]

    def _set(self, call: Call, body: pa.Buffer) -> Iterable[bytes]:
        request = commands.parse(sql.SetSessionOptionsRequest, body.to_pybytes())
        key = _key(_session_id(call.headers), call.identity)
        options = dict(self._options(key))
        result = sql.SetSessionOptionsResult()
        for name, value in request.session_options.items():
            fault = self._fault(call, name, value)
            if fault:
                result.errors[name].value = fault
            elif value.WhichOneof("option_value") is None:
                options.pop(name, None)
            else:
                _put(options, name, value.string_value)
        if len(result.errors) < len(request.session_options):
            self._keep(call, key, options)
        return [result.SerializeToString()]

    def _get(self, call: Call, body: pa.Buffer) -> Iterable[bytes]:
        options = {
            "catalog": CATALOG,
            "schema": DEFAULT_SCHEMA,
            **self._options(_key(_session_id(call.headers), call.identity)),
        }
        database = call.find_database()
        if database is not None:
            options.setdefault("database", database)
        result = sql.GetSessionOptionsResult()
        for name, value in options.items():
            result.session_options[name].string_value = value
        return [result.SerializeToString()]

    def _close(self, call: Call, body: pa.Buffer) -> Iterable[bytes]:
        key = _key(_session_id(call.headers), call.identity)
        with self._lock:
            known = self._sessions.pop(key, None) is not None
        if known:
            call.reply_header("set-cookie", f"{COOKIE}=; Max-Age=0")
        return [sql.CloseSessionResult(status=_CLOSED).SerializeToString()]

    def _fault(self, call: Call, name: str, value: sql.SessionOptionValue) -> int:
        """0 for none."""
        kind = value.WhichOneof("option_value")
        if name not in ("catalog", "database", "schema"):
            return _INVALID_NAME
        if kind is None:
            return 0
        if kind != "string_value":
            return _INVALID_VALUE
        if name == "schema":
            return 0 if value.string_value == DEFAULT_SCHEMA else _INVALID_VALUE
        database = value.string_value if name == "database" else _database_in(value.string_value)
        if database is None:
            return 0
        is_other = call.header_database() not in (None, database)
        return _INVALID_VALUE if is_other or not _has_database(call, database) else 0

    def _options(self, key: "_Key") -> Options:
        with self._lock:
            if key not in self._sessions:
                return {}
            self._sessions.move_to_end(key)
            return self._sessions[key]

    def _keep(self, call: Call, key: "_Key", options: Options) -> None:
        with self._lock:
            if key not in self._sessions:
                session_id = secrets.token_hex(16)
                key = session_id, key[1]
                call.reply_header("set-cookie", f"{COOKIE}={session_id}; HttpOnly")
            self._sessions[key] = options
            self._sessions.move_to_end(key)
            if len(self._sessions) > SESSIONS_MAX:
                self._sessions.popitem(last=False)


def _key(session_id: str | None, caller: Identity) -> "_Key":
    return session_id, None if caller.token is None else caller.token.id


def _has_database(call: Call, name: str) -> bool:
    return any(found.name == name for found in call.node.list_databases())


def _put(options: dict[str, str], name: str, value: str) -> None:
    """Catalog and database are two names of one choice: the later one counts."""
    options[name] = value
    if name == "database":
        options.pop("catalog", None)
    elif name == "catalog" and value != CATALOG:
        options.pop("database", None)


def _database_in(catalog: str | None) -> str | None:
    return None if catalog in (None, "", CATALOG) else catalog


def _session_id(headers: Mapping[str, Sequence[str]]) -> str | None:
    for header in headers.get("cookie", ()):
        try:
            cookie = SimpleCookie(header).get(COOKIE)
        except CookieError:
            continue
        if cookie is not None and cookie.value:
            return cookie.value
    return None

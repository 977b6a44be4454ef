"""Tokens at the HTTP door: every form of sending one, the order of checks, and the words that clients know."""

import base64
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder, TestResponse

from catalog.credentials import MALFORMED, NOT_AUTHENTICATED, NOT_PERMITTED
from httpapi.app import HttpSettings, create_app
from httpapi.gateway import Gateway
from httpapi.routes import write as write_route
from tests.helpers.http_api import HttpApi, http_api
from tests.helpers.secured import SQL, Secured, secured

NOBODY = f'{{"error": "{NOT_AUTHENTICATED}"}}'.encode()
FORBIDDEN = f'{{"error": "{NOT_PERMITTED}"}}'.encode()
LINE = b"cpu,host=a v=1 1"
WRITES = ("/api/v3/write_lp?db=a", "/api/v2/write?bucket=a", "/write?db=a")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with secured(tmp_path_factory.mktemp("secured")) as found:
        yield found


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def shown(answer: TestResponse) -> tuple[int, bytes]:
    return answer.status_code, answer.data


def post_json(server: Secured, path: str, token: str | None, document: Any) -> TestResponse:
    return server.open("POST", path, token, json=document)


# ---- every form of sending one


@pytest.mark.parametrize("path", WRITES)
def test_a_write_takes_each_form_of_a_token(server: Secured, path: str) -> None:
    token = server.token("db:a:write")

    for header in (f"Bearer {token}", f"Token {token}", basic(f"ann:{token}"), basic(f":{token}")):
        assert server.open("POST", path, headers={"Authorization": header}, data=LINE).status_code == 204
    assert shown(server.open("POST", path, data=LINE)) == (401, NOBODY)
    assert shown(server.open("POST", path, "apiv3_unknown", data=LINE)) == (401, NOBODY)


def test_a_query_takes_each_form_of_a_token(server: Secured) -> None:
    token = server.token("db:a:read")
    path = f"/api/v3/query_sql?db=a&q={SQL}"

    for header in (f"Bearer {token}", f"Token {token}", basic(f"ann:{token}")):
        assert server.open("GET", path, headers={"Authorization": header}).status_code == 200
    assert shown(server.open("GET", path)) == (401, NOBODY)


def test_a_token_in_p_counts_on_the_v1_endpoints_only_and_before_any_header(server: Secured) -> None:
    token = server.token("db:a:write")

    assert server.open("POST", f"/write?db=a&u=any&p={token}", data=LINE).status_code == 204
    assert server.open("POST", f"/write?db=a&p={token}", "apiv3_unknown", data=LINE).status_code == 204
    assert shown(server.open("POST", "/write?db=a&p=apiv3_unknown", token, data=LINE)) == (401, NOBODY)
    for path in (f"/api/v2/write?bucket=a&p={token}", f"/api/v3/write_lp?db=a&p={token}"):
        assert shown(server.open("POST", path, data=LINE)) == (401, NOBODY)
    assert shown(server.open("POST", "/query?db=a", data={"q": "x", "p": token})) == (401, NOBODY)
    assert server.open("GET", f"/query?db=a&q=x&p={token}").status_code not in (401, 403)


@pytest.mark.parametrize("header", ["bearer {}", "Bearer", "Bearer {} more", "{}", "Basic %%%", "Digest {}"])
@pytest.mark.parametrize(("method", "path"), [("POST", WRITES[0]), ("GET", "/api/v3/query_sql?db=a&q=x"), ("GET", "/nowhere")])
def test_a_malformed_header_is_a_mistake(server: Secured, header: str, method: str, path: str) -> None:
    answer = server.open(method, path, headers={"Authorization": header.format(server.operator)})

    assert shown(answer) == (400, f'{{"error": "{MALFORMED}"}}'.encode())


@pytest.mark.parametrize("token", ["apiv3_ü", "apiv3_%0a", "x" * 3000])
def test_what_no_token_can_be_is_unknown(server: Secured, token: str) -> None:
    assert server.open("POST", f"/write?db=a&p={token}", data=LINE).status_code == 401


# ---- the order of checks


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health"),
        ("GET", "/api/v1/health"),
        ("GET", "/ping"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
        ("PUT", "/api/v3/query_sql"),
        ("POST", "/api/v3/write_lp"),
        ("POST", "/api/v3/write_lp?db=a&precision=fortnight"),
        ("POST", "/api/v3/write_lp?db=no%20name"),
        ("GET", "/api/v3/query_sql"),
        ("GET", "/api/v3/query_sql?db=nowhere&q=SELECT+1"),
        ("GET", "/api/v3/configure/database"),
        ("POST", "/api/v3/configure/database"),
        ("DELETE", "/api/v3/configure/token"),
    ],
)
def test_strangers_learn_that_they_are_strangers_and_nothing_else(server: Secured, method: str, path: str) -> None:
    """A5, N2."""
    for token in (None, "apiv3_unknown"):
        assert shown(server.open(method, path, token)) == (401, NOBODY)


def test_options_ask_nobody(server: Secured) -> None:
    """A5."""
    answer = server.open("OPTIONS", "/api/v3/write_lp")

    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_a_known_caller_learns_what_is_wrong(server: Secured) -> None:
    """A5."""
    assert server.open("GET", "/nowhere", server.operator).status_code == 404
    assert server.open("POST", "/api/v3/write_lp", server.operator, data=LINE).status_code == 400
    assert server.open("GET", "/health", server.operator).data == b"OK"


def test_refusals_carry_the_headers_of_every_answer(server: Secured) -> None:
    answer = server.open("GET", "/health")

    assert answer.headers["cluster-uuid"] == server.node.cluster_uuid
    assert answer.headers["Request-Id"]


def test_the_engine_is_asked_for_every_request(server: Secured) -> None:
    """N1."""
    token = server.token("db:a:write", name="short-lived")
    assert server.open("POST", WRITES[0], token, data=LINE).status_code == 204

    server.keeper.delete("short-lived")

    for path in (*WRITES, f"/write?db=a&p={token}"):
        assert shown(server.open("POST", path, token, data=LINE)) == (401, NOBODY)
    assert shown(server.open("GET", "/ping", token)) == (401, NOBODY)


def test_an_expired_token_is_unknown_here(server: Secured) -> None:
    token = server.token("db:a:read", expiry_secs=60)

    server.clock.ahead_s = 61
    try:
        assert shown(server.open("GET", f"/api/v3/query_sql?db=a&q={SQL}", token)) == (401, NOBODY)
    finally:
        server.clock.ahead_s = 0


def test_released_endpoints_ask_nobody(tmp_path: Path) -> None:
    with secured(tmp_path, frozenset({"health", "ping"})) as server:
        for path in ("/health", "/api/v1/health", "/ping"):
            for header in ({}, {"Authorization": "rubbish"}, {"Authorization": "Bearer apiv3_unknown"}):
                assert server.open("GET", path, headers=header).status_code in (200, 204)
        assert shown(server.open("GET", "/metrics")) == (401, NOBODY)
        assert shown(server.open("GET", "/health/x")) == (401, NOBODY)


def test_without_tokens_no_credential_is_looked_at(tmp_path: Path) -> None:
    """N3."""
    with http_api(tmp_path) as api:
        for header in ("rubbish", "Bearer none", "Token none", basic("any:none")):
            assert api.write(LINE, Authorization=header).status_code == 204
        assert api.http.post("/write?db=db&p=none", data=LINE).status_code == 204


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v3/configure/token/admin"),
        ("POST", "/api/v3/configure/token/admin/regenerate"),
        ("POST", "/api/v3/configure/token/named_admin"),
        ("POST", "/api/v3/enterprise/configure/token"),
        ("DELETE", "/api/v3/configure/token"),
        ("GET", "/api/v3/configure/tokens"),
    ],
)
def test_without_tokens_their_endpoints_are_off(tmp_path: Path, method: str, path: str) -> None:
    """A5."""
    with http_api(tmp_path) as api:
        answer = api.http.open(path, method=method)

    assert (answer.status_code, json.loads(answer.data)) == (405, {"error": "endpoint disabled, started without auth"})


# ---- what a token may do


def test_a_reader_does_not_write_and_a_writer_does_not_read(server: Secured) -> None:
    reader, writer = server.token("db:a:read"), server.token("db:a:write")

    assert server.open("GET", f"/api/v3/query_sql?db=a&q={SQL}", reader).status_code == 200
    assert shown(server.open("GET", f"/api/v3/query_sql?db=a&q={SQL}", writer)) == (403, FORBIDDEN)
    for path in (WRITES[0], WRITES[2]):
        assert server.open("POST", path, writer, data=LINE).status_code == 204
        assert shown(server.open("POST", path, reader, data=LINE)) == (403, FORBIDDEN)
    refused = server.open("POST", WRITES[1], reader, data=LINE)
    assert (refused.status_code, json.loads(refused.data)["code"]) == (403, "forbidden")


def test_whether_a_closed_database_exists_is_not_told(server: Secured) -> None:
    token = server.token("db:a:read,write")

    for database in ("b", "nowhere", "_internal"):
        assert shown(server.open("GET", f"/api/v3/query_sql?db={database}&q=SELECT+1", token)) == (403, FORBIDDEN)
        assert shown(server.open("DELETE", f"/api/v3/configure/database?db={database}", token)) == (403, FORBIDDEN)
    answer = server.open("POST", "/api/v3/write_lp?db=nowhere", token, data=LINE)
    assert shown(answer) == (403, FORBIDDEN)
    assert server.node.catalog.state().find_database("nowhere") is None


def test_lists_hold_what_the_caller_sees(server: Secured) -> None:
    path = "/api/v3/configure/database?format=json&show_deleted=true"

    def names(token: str) -> list[str]:
        return [found["iox::database"] for found in json.loads(server.open("GET", path, token).data)]

    assert names(server.token("db:a:read")) == ["a"]
    assert names(server.token("db:a:write")) == []
    assert "_internal" not in names(server.token("db:*:*"))
    assert {"_internal", "a", "b"} <= set(names(server.operator))


def test_each_change_of_a_database_needs_its_own_right(server: Secured) -> None:
    maker, user = server.token("db:*:create"), server.token("db:a:read,write")
    made = {"db": "made"}

    assert shown(post_json(server, "/api/v3/configure/database", user, made)) == (403, FORBIDDEN)
    assert post_json(server, "/api/v3/configure/database", maker, made).status_code == 200
    retention = {"db": "made", "retention_period": "1d"}
    assert server.open("PUT", "/api/v3/configure/database", maker, json=retention).status_code == 403
    assert server.open("PUT", "/api/v3/configure/database", server.token("db:made:update"), json=retention).status_code == 200
    table = {"db": "made", "table": "t", "tags": [], "fields": []}
    assert post_json(server, "/api/v3/configure/table", user, table).status_code == 403
    assert post_json(server, "/api/v3/configure/table", server.token("db:made:write"), table).status_code == 200
    for dropped in ("/api/v3/configure/table?db=made&table=t", "/api/v3/configure/database?db=made"):
        assert server.open("DELETE", dropped, server.token("db:made:read,write,update")).status_code == 403
        assert server.open("DELETE", dropped, server.token("db:made:drop")).status_code == 200


def test_a_database_made_anew_is_another_one(server: Secured) -> None:
    server.write("again", LINE)
    token = server.token("db:again:read")
    assert server.open("GET", "/api/v3/query_sql?db=again&q=SELECT+1", token).status_code == 200

    server.node.drop_database("again")
    server.write("again", LINE)

    assert shown(server.open("GET", "/api/v3/query_sql?db=again&q=SELECT+1", token)) == (403, FORBIDDEN)


def test_system_tokens_ask_for_what_they_name(server: Secured) -> None:
    watcher, reader = server.token("system:health,metrics:read"), server.token("db:*:*")

    assert [server.open("GET", path, watcher).status_code for path in ("/health", "/metrics", "/ping")] == [200, 200, 403]
    for path in ("/health", "/metrics", "/ping"):
        assert shown(server.open("GET", path, reader)) == (403, FORBIDDEN)


# ---- tokens made, replaced, deleted


def test_the_first_token_is_made_without_one_and_once(tmp_path: Path) -> None:
    """M1, M2."""
    with secured(tmp_path) as server:
        again = server.open("POST", "/api/v3/configure/token/admin", headers={"Authorization": "rubbish"})

        assert (again.status_code, json.loads(again.data)) == (409, {"error": "token name already exists, _admin"})


def test_a_named_admin_token_is_made_with_an_expiry(server: Secured) -> None:
    """M1, M2."""
    path = "/api/v3/configure/token/named_admin"

    answer = post_json(server, path, server.operator, {"token_name": "ann", "expiry_secs": 3600})
    made = json.loads(answer.data)

    assert (answer.status_code, answer.headers["Content-Type"]) == (201, "json")
    assert list(made) == ["id", "name", "token", "hash", "created_at", "expiry"]
    assert made["name"] == "ann"
    assert made["created_at"].endswith("Z")
    assert len(made["hash"]) == 128
    assert server.open("GET", "/ping", made["token"]).status_code in (200, 204)
    assert post_json(server, path, made["token"], {"token_name": "ann"}).status_code == 409
    assert server.open("DELETE", "/api/v3/configure/token?token_name=ann", made["token"]).status_code == 200
    assert shown(server.open("GET", "/ping", made["token"])) == (401, NOBODY)


@pytest.mark.parametrize("key", ["resource_names", "resource_identifier"])
def test_a_resource_token_is_made_of_permissions(server: Secured, key: str) -> None:
    """M2."""
    wish = {"resource_type": "db", key: ["a", "b"], "actions": ["read"]}
    document = {"token_name": f"by {key}", "permissions": [wish], "expiry_secs": None}

    answer = post_json(server, "/api/v3/enterprise/configure/token", server.operator, document)

    assert answer.status_code == 201
    token = json.loads(answer.data)["token"]
    assert server.open("GET", f"/api/v3/query_sql?db=b&q={SQL}", token).status_code == 200
    assert shown(post_json(server, "/api/v3/enterprise/configure/token", token, document)) == (403, FORBIDDEN)


@pytest.mark.parametrize(
    ("permissions", "reason"),
    [
        ([{"resource_type": "db", "resource_names": ["nope"], "actions": ["read"]}], "invalid resource name nope"),
        ([{"resource_type": "db", "resource_names": ["a"], "actions": ["fly"]}], "action not supported, database action fly"),
        ([{"resource_type": "db", "resource_names": ["a", "*"], "actions": ["read"]}], "mixed wildcard"),
        ([{"resource_type": "x", "resource_names": ["a"], "actions": ["read"]}], "resource type not supported x"),
        ([], "a token needs at least one"),
    ],
)
def test_permissions_that_make_no_sense_are_named(server: Secured, permissions: list[Any], reason: str) -> None:
    document = {"token_name": "never", "permissions": permissions}

    answer = post_json(server, "/api/v3/enterprise/configure/token", server.operator, document)

    assert answer.status_code == 400
    assert json.loads(answer.data)["error"].startswith(f"cannot parse token permission, {reason}")
    assert "never" not in server.node.catalog.state().tokens.by_name


def test_the_operator_token_is_replaced_and_never_deleted(tmp_path: Path) -> None:
    """M2."""
    with secured(tmp_path) as server:
        assert server.open("DELETE", "/api/v3/configure/token?token_name=_admin", server.operator).status_code == 405
        answer = server.open("POST", "/api/v3/configure/token/admin/regenerate", server.operator)

        made = json.loads(answer.data)
        assert (answer.status_code, made["name"], made["id"]) == (201, "_admin", 0)
        assert shown(server.open("GET", "/health", server.operator)) == (401, NOBODY)
        assert server.open("GET", "/health", made["token"]).status_code == 200


def test_deleting_asks_for_a_name_that_is_there(server: Secured) -> None:
    missing = server.open("DELETE", "/api/v3/configure/token", server.operator)
    unknown = server.open("DELETE", "/api/v3/configure/token?token_name=nobody", server.operator)

    assert (missing.status_code, json.loads(missing.data)["error"]) == (400, "serde error: missing field `token_name`")
    assert unknown.status_code == 404
    assert json.loads(unknown.data)["error"] == "the requested resource was not found: nobody"


@pytest.mark.parametrize("expiry", [-1, "soon", 1.5, True, 1 << 70])
def test_an_expiry_is_a_number_of_seconds(server: Secured, expiry: object) -> None:
    document = {"token_name": "never", "expiry_secs": expiry}

    assert post_json(server, "/api/v3/configure/token/named_admin", server.operator, document).status_code == 400


# ---- secrets


def test_no_token_is_logged_or_remembered(server: Secured, caplog: pytest.LogCaptureFixture) -> None:
    """N4."""
    caplog.set_level(logging.DEBUG)
    token = server.token("db:a:write")
    remembered = write_route._remembered_target.cache_info().currsize

    server.open("POST", f"/write?db=a&p={token}", data=LINE)
    server.open("POST", f"/write?db=a&p={token}x", data=LINE)
    server.open("POST", f"/write?db=no%20name&p={token}", data=LINE)
    server.open("POST", WRITES[0], token, data=b"rubbish")
    server.open("GET", "/nowhere", token + "x")

    assert "apiv3_" not in caplog.text
    assert write_route._remembered_target.cache_info().currsize <= remembered + 1


def test_an_answer_never_repeats_a_token(server: Secured) -> None:
    """N4."""
    token = server.token("db:a:read")

    for answer in (
        server.open("GET", f"/write?db=a&p={token}"),
        server.open("POST", f"/write?db=no%20name&p={token}", data=LINE),
        server.open("POST", f"/write?db=a&p={token}&p={token}", data=LINE),
        server.open("GET", f"/{token}", token),
    ):
        assert token.encode() not in answer.data
        assert token not in str(answer.headers)


def test_an_engine_that_is_away_lets_nobody_in(tmp_path: Path) -> None:
    """N1, N2."""
    with http_api(tmp_path) as api:
        gateway = Gateway(api.client, api.watching)
        (tmp_path / "more").mkdir()
        app = create_app(gateway, HttpSettings(tmp_path / "more", with_tokens=True))
        stopped = HttpApi(api.node, type(api.http)(app), api.engine, api.client, api.watching)
        api.engine.shutdown()

        header = {"Authorization": "Bearer apiv3_unknown"}
        nobody = [stopped.http.open(path, method="POST", data=LINE) for path in WRITES]
        unknown = [stopped.http.open(path, method="POST", data=LINE, headers=header) for path in (*WRITES, "/ping")]
        without_body = [stopped.http.get(path) for path in ("/ping", "/health", "/nowhere")]
        app.close()

    assert [answer.status_code for answer in nobody] == [401] * 3
    assert [answer.status_code for answer in unknown] == [503] * 4
    assert [answer.status_code for answer in without_body] == [503] * 3


class Noted(io.BytesIO):
    """A body that tells whether anybody has begun to read it."""

    was_read = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.was_read = True
        return super().read(size)

    def readinto(self, buffer: Any, /) -> int:
        self.was_read = True
        return super().readinto(buffer)


@pytest.mark.parametrize(
    ("token", "length"), [(None, "5"), (None, str(1 << 22)), ("apiv3_unknown", str(1 << 22)), ("apiv3_unknown", "")]
)
def test_a_strangers_body_is_not_read(server: Secured, token: str | None, length: str) -> None:
    """N5: not before the answer is on its way; what comes then is dropped."""
    headers = [] if token is None else [("Authorization", f"Bearer {token}")]
    body, statuses = Noted(LINE), list[str]()
    application: Any = server.http.application
    environ = EnvironBuilder(WRITES[0], method="POST", headers=headers).get_environ()

    application(environ | {"CONTENT_LENGTH": length, "wsgi.input": body}, lambda status, sent, *_: statuses.append(status))

    assert statuses == ["401 Unauthorized"]
    assert not body.was_read

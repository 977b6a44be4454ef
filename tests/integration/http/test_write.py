"""Writes through all three doors, to an engine behind a real Flight server (W1, W2)."""

import gzip
import io
import json

import pytest

from catalog.errors import InvalidRequest, LimitReached, TooLarge, Unavailable
from tests.helpers.http_api import HttpApi

DOORS = ["/api/v3/write_lp?db=db", "/api/v2/write?bucket=db", "/write?db=db"]
GOOD = b"cpu,host=a usage=0.5 1\ncpu,host=b usage=0.6 2\n"


def rows(api: HttpApi) -> list[object]:
    found = api.http.get("/api/v3/query_sql?db=db&q=select+host,usage+from+cpu+order+by+host")
    assert found.status_code == 200, found.text
    return list(json.loads(found.data))


@pytest.mark.parametrize("door", DOORS)
def test_a_good_body_is_stored_and_answered_with_nothing(api: HttpApi, door: str) -> None:
    answer = api.write(GOOD, door)

    assert (answer.status_code, answer.data) == (204, b"")
    assert rows(api) == [{"host": "a", "usage": 0.5}, {"host": "b", "usage": 0.6}]


@pytest.mark.parametrize("door", DOORS)
def test_the_engine_is_told_what_the_door_means(api: HttpApi, door: str) -> None:
    """W1."""
    api.write(GOOD, door)

    request = api.node.requests[0]
    is_v3 = "v3" in door
    assert (request.database, request.door) == ("db", {3: "v3", 2: "v2"}.get(3 if is_v3 else 2 if "v2" in door else 1, "v1"))
    assert (request.precision, request.accept_partial, request.no_sync) == (0 if is_v3 else 4, is_v3, False)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("precision", ["second", "s", "ms", "us", "u", "ns"])
def test_a_precision_reaches_the_engine(api: HttpApi, door: str, precision: str) -> None:
    assert api.write(b"cpu,host=a usage=1 1", f"{door}&precision={precision}").status_code == 204

    assert api.node.requests[0].precision == {"second": 1, "s": 1, "ms": 2, "us": 3, "u": 3, "ns": 4}[precision]


def test_v3_keeps_good_lines_and_lists_the_bad_ones(api: HttpApi) -> None:
    answer = api.write(b"cpu,host=a usage=0.5 1\nbad\nworse\ncpu,host=b usage=1 2")

    assert answer.status_code == 400
    document = json.loads(answer.data)
    assert document["error"] == "partial write of line protocol occurred"
    assert [(line["line_number"], line["original_line"]) for line in document["data"]] == [(2, "bad"), (3, "worse")]
    assert [list(line) for line in document["data"]] == [["error_message", "line_number", "original_line"]] * 2
    assert len(rows(api)) == 2


@pytest.mark.parametrize("door", ["/api/v3/write_lp?db=db&accept_partial=false", "/write?db=db"])
def test_all_or_nothing_stores_nothing_and_shows_the_first_bad_line(api: HttpApi, door: str) -> None:
    answer = api.write(b"cpu,host=a usage=0.5 1\nbad\nworse", door)

    assert answer.status_code == 400
    document = json.loads(answer.data)
    assert document["error"] == "parsing failed for write_lp endpoint"
    assert (document["data"]["line_number"], document["data"]["original_line"]) == (2, "bad")
    assert api.node.databases == {}


def test_v2_is_all_or_nothing_and_says_so_in_its_own_shape(api: HttpApi) -> None:
    answer = api.write(b"cpu,host=a usage=0.5 1\nbad", "/api/v2/write?bucket=db&org=")

    document = json.loads(answer.data)
    assert (answer.status_code, document["code"], document["line"]) == (400, "invalid", 2)
    assert document["message"].startswith("write buffer error: line protocol parse failed: ")
    assert api.node.databases == {}


def test_a_body_that_outgrows_a_message_arrives_whole(api: HttpApi) -> None:
    lines = b"".join(b"cpu,host=h%d usage=%d 1\n" % (number, number) for number in range(20_000))

    assert len(lines) > 400_000
    assert api.write(lines).status_code == 204
    assert bytes(api.node.requests[0].body) == lines


@pytest.mark.parametrize("door", DOORS)
def test_gzip_of_several_members_arrives_as_one_body(api: HttpApi, door: str) -> None:
    body = b"".join(gzip.compress(line) for line in GOOD.splitlines(keepends=True))

    assert api.write(body, door, Content_Encoding="gzip").status_code == 204
    assert len(rows(api)) == 2


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "application/x-www-form-urlencoded", "x"])
def test_a_content_type_is_not_looked_at(api: HttpApi, content_type: str) -> None:
    assert api.write(GOOD, Content_Type=content_type).status_code == 204


@pytest.mark.parametrize(
    "authorization",
    ["Token none", "Bearer none", "Bearer", "Basic YW55Om5vbmU=", "Basic !!!", "bearer x", "Digest x y z", "", "\xff"],
)
def test_any_authorization_will_do_while_there_is_none(api: HttpApi, authorization: str) -> None:
    assert api.write(GOOD, Authorization=authorization).status_code == 204


def test_user_and_password_in_the_address_will_do_too(api: HttpApi) -> None:
    assert api.write(GOOD, "/write?db=db&u=user&p=secret").status_code == 204


@pytest.mark.parametrize(
    ("door", "document"),
    [
        (DOORS[0], {"error": "incoming write was empty"}),
        (DOORS[1], {"code": "invalid", "message": "write buffer error: incoming write was empty"}),
        (DOORS[2], {"error": "incoming write was empty"}),
    ],
)
@pytest.mark.parametrize("body", [b"", b"  \n\n"])
def test_a_body_without_a_line_is_refused(api: HttpApi, door: str, document: dict[str, str], body: bytes) -> None:
    answer = api.write(body, door)

    assert (answer.status_code, json.loads(answer.data)) == (400, document)


@pytest.mark.parametrize("door", DOORS)
def test_a_body_beyond_the_limit_never_reaches_the_engine(api: HttpApi, door: str) -> None:
    """W2."""
    answer = api.write(b"#" * ((1 << 20) + 1), door)

    message = "max request size (1048576 bytes) exceeded"
    expected = {"code": "request too large", "message": message} if "v2" in door else {"error": message}
    assert (answer.status_code, json.loads(answer.data)) == (413, expected)
    assert api.node.requests == []


@pytest.mark.parametrize("door", DOORS)
def test_half_a_gzip_body_never_reaches_the_engine(api: HttpApi, door: str) -> None:
    """W2."""
    answer = api.write(gzip.compress(GOOD)[:-9], door, Content_Encoding="gzip")

    assert answer.status_code == 400
    assert "error decoding gzip stream" in answer.text
    assert api.node.requests == []


@pytest.mark.parametrize("door", DOORS)
def test_a_body_that_breaks_off_never_reaches_the_engine(api: HttpApi, door: str) -> None:
    """W2."""
    path, _, query = door.partition("?")

    answer = api.http.open(
        path=path, query_string=query, method="POST", input_stream=io.BytesIO(GOOD), environ_overrides={"CONTENT_LENGTH": "100"}
    )

    assert answer.status_code == 400
    assert "Failed to read request body" in answer.text
    assert api.node.requests == []


@pytest.mark.parametrize("door", DOORS)
def test_an_unknown_encoding_is_named(api: HttpApi, door: str) -> None:
    answer = api.write(GOOD, door, Content_Encoding="br")

    assert answer.status_code == 400
    assert "unacceptable content-encoding: br" in answer.text


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unavailable("the log is full", retry_after_s=3), 503),
        (TooLarge("too many lines"), 413),
        (InvalidRequest("no"), 400),
        (RuntimeError("a secret of the engine"), 500),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_engine_raises_decides_the_status(api: HttpApi, door: str, error: Exception, status: int) -> None:
    """W1."""
    api.node.fail_with = error

    answer = api.write(GOOD, door)

    assert answer.status_code == status
    assert isinstance(json.loads(answer.data), dict)
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers.get("Retry-After") == ("3" if status == 503 else None)


def test_a_limit_is_422_but_400_for_v2(api: HttpApi) -> None:
    for door, status in zip(DOORS, (422, 400, 422), strict=True):
        api.node.fail_with = LimitReached("Adding a new database would exceed limit of 5 databases")

        assert api.write(GOOD, door).status_code == status


@pytest.mark.parametrize("door", DOORS)
def test_an_engine_that_is_away_is_503_and_worth_another_try(api: HttpApi, door: str) -> None:
    api.engine.shutdown()

    answer = api.write(GOOD, door)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert isinstance(json.loads(answer.data), dict)

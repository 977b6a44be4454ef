"""`influxdb3 serve` with tokens, as processes: what a person sees first, what lasts, and where a token must never show up."""

import json
import os
import pty
import socket
from collections.abc import Iterator
from http.client import HTTPResponse, IncompleteRead
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pyarrow.flight as flight
import pytest

from tests.helpers.secured import ask
from tests.helpers.servers import PATIENCE_S, Server, await_ready, launch, read_response, running, wait_until

REAL = ("-m", "flightserver.cli.main", "serve")
FIRST = "/api/v3/configure/token/admin"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ("--verbose", "--flight-bind", "127.0.0.1:0")
    with running(tmp_path_factory.mktemp("secure"), *options, command=REAL, with_tokens=True) as server:
        yield server


def call(server: Server, method: str, path: str, token: str | None = None, body: bytes | None = None) -> tuple[int, bytes]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = Request(server.url + path, method=method, headers=headers, data=body)
    try:
        with urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


def first_token(server: Server) -> str:
    status, body = call(server, "POST", FIRST)
    assert status == 201
    return str(json.loads(body)["token"])


def write(server: Server, token: str | None) -> int:
    return call(server, "POST", "/api/v3/write_lp?db=a", token, b"cpu,host=a v=1 1")[0]


def test_a_server_asks_for_tokens_says_how_to_make_the_first_and_keeps_them(tmp_path: Path) -> None:
    with running(tmp_path, command=REAL, with_tokens=True) as server:
        wait_until(lambda: "influxdb3 create token --admin" in server.text)
        assert write(server, None) == 401
        token = first_token(server)
        assert write(server, token) == 204
        with server.flight() as client:
            assert ask(client, token).num_rows == 1
            with pytest.raises(flight.FlightUnauthenticatedError):
                ask(client, None)
        seen = [json.dumps(psutil.Process(pid).cmdline()) for pid in [server.process.pid, *(c.pid for c in server.children())]]
        environments = [json.dumps(child.environ()) for child in server.children()]
        assert server.stop() == 0

    with running(tmp_path, "--verbose", command=REAL, with_tokens=True) as server:
        assert "create token" not in server.text
        assert write(server, token) == 204
        assert write(server, "apiv3_unknown") == 401
        assert server.stop() == 0
        for text in (server.text, *seen, *environments):
            assert "apiv3_" not in text
    stored = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert token.removeprefix("apiv3_").encode() not in stored


@pytest.mark.parametrize(
    "head",
    [
        "GET /write?p=%s HTTP/9.9",
        "GET /write?db=a&p=%s x y HTTP/1.1",
        "GET http://[%s/ HTTP/1.1",
        "%s",
        "POST /write?db=a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\x00",
        "POST /write?db=a HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer %s",
        "POST /write?db=a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n folded",
    ],
)
def test_a_request_that_is_none_is_not_repeated_with_its_token(secure: Server, head: str) -> None:
    with socket.create_connection((secure.host, secure.port), timeout=PATIENCE_S) as connection:
        connection.sendall((head % "apiv3_secret" + "\r\n\r\n").encode())
        status, body = read_response(connection)

    assert status in (400, 401)
    assert b"apiv3_secret" not in body
    assert "apiv3_secret" not in secure.text


def test_a_flight_port_of_its_own_asks_for_tokens_too(secure: Server) -> None:
    line = next(line for line in secure.text.splitlines() if "flight=" in line)
    address = line.partition("flight=")[2].split()[0]

    with flight.connect(f"grpc://{address}") as client, pytest.raises(flight.FlightUnauthenticatedError):
        ask(client, None)


def test_a_person_at_a_terminal_is_told_how_to_make_the_first_token(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with running(tmp_path, command=REAL, with_tokens=True, terminal=theirs) as server:
        os.close(theirs)
        shown = b""
        while b"query   curl" not in shown:
            shown += os.read(ours, 65536)

        text = shown.decode()
        assert "Nobody can use this server yet" in text
        assert f"influxdb3 create token --admin --host http://127.0.0.1:{server.port}" in text
        assert "Authorization: Bearer TOKEN" in text
    os.close(ours)


def test_tokens_come_from_files(tmp_path: Path) -> None:
    admin, tokens = tmp_path / "admin.json", tmp_path / "tokens.json"
    admin.write_text(json.dumps({"token": "apiv3_admin", "name": "_admin"}))
    wish = {"token": "apiv3_writer", "name": "writer", "permissions": ["db:a:write"]}
    tokens.write_text(json.dumps({"create_databases": ["a"], "tokens": [wish]}))
    for file in (admin, tokens):
        file.chmod(0o600)
    options = ("--admin-token-file", str(admin), "--permission-tokens-file", str(tokens))

    with running(tmp_path / "data", *options, command=REAL, with_tokens=True) as server:
        assert write(server, "apiv3_writer") == 204
        assert call(server, "GET", "/health", "apiv3_writer")[0] == 403
        assert call(server, "GET", "/health", "apiv3_admin")[0] == 200
        assert call(server, "POST", FIRST)[0] == 409
        assert "apiv3_" not in server.text
        assert "create token" not in server.text


def test_a_bad_token_file_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "admin.json"
    file.write_text('{"token": "wrong_secret"}')

    server = launch(tmp_path / "data", "--admin-token-file", str(file), command=REAL, with_tokens=True)

    assert server.wait() == 1
    assert f"Invalid token format: must start with 'apiv3_' (in {file})" in server.text
    assert "wrong_secret" not in server.text


def test_the_recovery_address_replaces_a_lost_token_and_stays_closed_when_the_engine_dies(tmp_path: Path) -> None:
    listener = tmp_path / "recovery"
    options = (
        "--admin-token-recovery-http-bind",
        "127.0.0.1:0",
        "--admin-token-recovery-tcp-listener-file-path",
        str(listener),
    )
    with running(tmp_path / "data", *options, command=REAL, with_tokens=True) as server:
        lost = first_token(server)
        other = Server(server.process, server.directory, server.output, port=int(listener.read_text().rpartition(":")[2]))

        status, body = call(other, "POST", FIRST + "/regenerate")
        found = json.loads(body)["token"]

        assert status == 201
        assert (write(server, lost), write(server, found)) == (401, 204)
        listener.unlink()
        psutil.Process(server.engine_pid()).kill()
        wait_until(lambda: write(server, found) == 204)
        assert not listener.exists()


def test_released_endpoints_answer_without_a_token_also_while_the_engine_is_away(tmp_path: Path) -> None:
    with running(tmp_path, "--disable-authz", "health,ping,metrics", command=REAL, with_tokens=True) as server:
        assert [call(server, "GET", path)[0] for path in ("/health", "/ping", "/metrics")] == [200, 204, 200]
        assert call(server, "GET", "/nowhere")[0] == 401
        psutil.Process(server.engine_pid()).suspend()
        try:
            assert call(server, "GET", "/ping")[0] == 204
        finally:
            psutil.Process(server.engine_pid()).resume()


def long_answer(server: Server, token: str) -> HTTPResponse:
    """Rows over HTTP that nobody would wait for to the end."""
    query = "SELECT a.value, b.value FROM generate_series(1, 4000) a, generate_series(1, 4000) b"
    document = json.dumps({"db": "a", "q": query, "format": "csv"}).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    opened: HTTPResponse = urlopen(Request(server.url + "/api/v3/query_sql", document, headers), timeout=PATIENCE_S)
    return opened


def test_a_token_dies_at_once_for_every_worker_and_open_connection(tmp_path: Path) -> None:
    server = await_ready(launch(tmp_path, "--http-workers", "3", command=REAL, with_tokens=True))
    try:
        operator = first_token(server)
        made = json.loads(
            urlopen(
                Request(
                    server.url + FIRST.replace("admin", "named_admin"),
                    method="POST",
                    headers={"Authorization": f"Bearer {operator}", "Content-Type": "application/json"},
                    data=b'{"token_name": "x"}',
                ),
                timeout=PATIENCE_S,
            ).read()
        )["token"]
        assert {write(server, made) for _ in range(12)} == {204}
        with server.flight() as client, long_answer(server, made) as answer:
            assert ask(client, made).num_rows == 1
            assert answer.read(1000)
            assert call(server, "DELETE", "/api/v3/configure/token?token_name=x", operator)[0] == 200
            with pytest.raises((IncompleteRead, ConnectionResetError)):
                answer.read()
            assert {write(server, made) for _ in range(12)} == {401}
            with pytest.raises(flight.FlightUnauthenticatedError):
                ask(client, made)
    finally:
        assert server.stop() == 0

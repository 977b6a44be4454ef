"""`influxdb3 create token` and `delete token`."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PRODUCT
from tests.helpers.cli import influxdb3
from tests.helpers.servers import Server, running

TOKEN = re.compile(r"apiv3_[A-Za-z0-9_-]{86}")


def test_a_token_file_is_made_without_a_server(tmp_path: Path) -> None:
    """O1."""
    file = tmp_path / "admin.json"

    done = influxdb3("create", "token", "--admin", "--offline", "--output-file", str(file), "--expiry", "1d")

    document = json.loads(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600
    assert TOKEN.fullmatch(document["token"])
    assert document["name"] == "_admin"
    assert abs(document["expiry_millis"] - (time.time() + 86_400) * 1000) < 600_000
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"Token saved to: {file}\n\nNew token created successfully!\n\nToken: {document['token']}\n"
        f"HTTP Requests Header: Authorization: Bearer {document['token']}\n\n"
        "IMPORTANT: Store this token securely, as it will not be shown again.\n\n"
    )


def test_a_file_of_resource_tokens_grows(tmp_path: Path) -> None:
    """O1."""
    file = tmp_path / "tokens.json"
    offline = ("create", "token", "--offline", "--output-file", str(file), "--format", "json")

    first = influxdb3(*offline, "--name", "a", "--permission", "db:x:read", "--create-databases", "x,y")
    second = influxdb3(*offline, "--name", "b", "--permission", "db:x:read,write", "--permission", "system:*:read")

    document = json.loads(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600
    assert document["create_databases"] == ["x", "y"]
    assert [(token["name"], token["permissions"]) for token in document["tokens"]] == [
        ("a", ["db:x:read"]),
        ("b", ["db:x:read,write", "system:*:read"]),
    ]
    assert json.loads(first.out.partition("\n")[2])["token"] == document["tokens"][0]["token"]
    assert second.code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing required subcommand. Use: influxdb3 create token --admin [OPTIONS]"),
        (
            ("--admin", "--regenerate", "--name", "x"),
            "--regenerate cannot be used with --name, --regenerate only applies for operator token",
        ),
        (("--admin", "--offline"), "the following required arguments were not provided:\n  --output-file <FILE>"),
        (("--permission", "db:x:read"), "the following required arguments were not provided:\n  --name <NAME>"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(arguments: tuple[str, ...], message: str) -> None:
    done = influxdb3("create", "token", *arguments)

    assert done.code == 2
    assert done.err.startswith(f"error: {message}\n")


def test_a_refusal_is_told_on_the_standard_output_with_exit_0(server: Server) -> None:
    """O2: this server runs without tokens, so it makes none."""
    done = influxdb3("create", "token", "--admin", url=server.url)

    assert done.code == 0
    assert re.fullmatch(r'Failed to create token, error: ApiError \{ code: \d+, message: ".+" \}\n', done.out)


def test_regenerating_asks_and_takes_only_a_yes(server: Server) -> None:
    done = influxdb3("create", "token", "--admin", "--regenerate", url=server.url, stdin="y\n")

    assert done.out == "Are you sure you want to regenerate admin token? Enter 'yes' to confirm\n"
    assert done.err == "Create command failed: Cannot regenerate token without confirmation\n"


def test_the_operator_token_cannot_be_deleted() -> None:
    done = influxdb3("delete", "token", "--token-name", "_admin")

    assert done.code == 0
    assert done.out == (
        'The operator token "_admin" is required and cannot be deleted. To regenerate an operator token, '
        "use: influxdb3 create token --admin --regenerate --token [TOKEN]\n"
    )


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for tokens and has none yet."""
    with running(tmp_path_factory.mktemp("guarded"), "--object-store", "file", command=PRODUCT, with_tokens=True) as server:
        yield server


def test_tokens_are_made_used_listed_and_deleted(guarded: Server) -> None:
    """O1, O2: the life of tokens, over both doors."""
    without = influxdb3("show", "databases", url=guarded.url)
    first = influxdb3("create", "token", "--admin", url=guarded.url)
    found = TOKEN.search(first.out)
    assert found is not None
    operator = {"INFLUXDB3_AUTH_TOKEN": found[0]}
    again = influxdb3("create", "token", "--admin", url=guarded.url)
    written = influxdb3("write", "-d", "cli_guarded", "-q", "cpu n=1i 1", url=guarded.url, variables=operator)
    reading = ("create", "token", "--name", "reader", "--permission", "db:cli_guarded:read", "--format", "json")
    reader = json.loads(influxdb3(*reading, url=guarded.url, variables=operator).out)["token"]
    named = influxdb3("create", "token", "--admin", "--name", "helper", "--expiry", "1d", url=guarded.url, variables=operator)
    listed = influxdb3("show", "tokens", "--format", "json", url=guarded.url, variables=operator)
    grpc = guarded.url.replace("http", "grpc")
    query = ("query", "-d", "cli_guarded", "--format", "csv", "SELECT n FROM cpu")

    assert without.err.splitlines()[0] == (
        "Show command failed: server responded with error [401 Unauthorized]: the request was not authenticated"
    )
    assert "influxdb3 create token --admin" in without.err
    assert again.out == 'Failed to create token, error: ApiError { code: 409, message: "token name already exists, _admin" }\n'
    assert (again.code, written.code, named.code) == (0, 0, 0)
    assert [token["name"] for token in json.loads(listed.out)] == ["_admin", "reader", "helper"]
    for url in (guarded.url, grpc):
        assert influxdb3(*query, "--token", reader, url=url).lines == ["n", "1"]
        refused = influxdb3("write", "-d", "cli_guarded", "-q", "cpu n=2i 2", "--token", reader, url=url)
        assert (refused.code, "403 Forbidden" in refused.err) == (1, True)
    unknown = influxdb3(*query, "--token", "apiv3_unknown", url=guarded.url)
    assert unknown.code == 1
    assert unknown.err.splitlines()[1].startswith("A valid token is needed: --token TOKEN")
    deleted = influxdb3("delete", "token", "--token-name", "reader", url=grpc, stdin="y\n", variables=operator)
    assert deleted.out == 'Token "reader" deleted successfully\n'
    assert influxdb3(*query, "--token", reader, url=guarded.url).code == 1
    fresh = influxdb3("create", "token", "--admin", "--regenerate", url=guarded.url, stdin="yes\n", variables=operator)
    assert TOKEN.search(fresh.out)
    assert influxdb3("show", "databases", url=guarded.url, variables=operator).code == 1
    assert found[0] not in guarded.text

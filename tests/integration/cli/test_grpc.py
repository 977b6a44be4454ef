"""Administration over the gRPC port says what it says over HTTP."""

import pytest

from tests.helpers.cli import Done, influxdb3
from tests.helpers.servers import Server

SCRIPT = [
    ("create", "database", "{name}", "--retention-period", "2h"),
    ("create", "database", "{name}"),
    ("create", "table", "-d", "{name}", "--tags", "a", "--fields", "f:int64", "t"),
    ("create", "table", "-d", "{name}", "--tags", "a", "--fields", "f:int64", "t"),
    ("write", "-d", "{name}", "-q", "cpu,host=a n=1i 1"),
    ("write", "-d", "{name}", "-q", "--accept-partial=false", "cpu,host=a n=1.5 1"),
    ("query", "-d", "{name}", "SELECT * FROM cpu"),
    ("show", "databases", "--format", "csv"),
    ("show", "retention", "-d", "{name}"),
    ("show", "system", "-d", "{name}", "table", "influxdb_schema", "--format", "json"),
    ("show", "system", "-d", "{name}", "table", "meow"),
    ("update", "database", "-d", "{name}", "-r", "none"),
    ("update", "database", "-d", "{name}_none", "-r", "none"),
    ("delete", "table", "-d", "{name}", "t", "-y"),
    ("delete", "table", "-d", "{name}", "t", "-y"),
    ("delete", "database", "{name}", "-y"),
    ("delete", "database", "{name}", "-y"),
    ("delete", "token", "--token-name", "_admin"),
]


def play(url: str, name: str, step: tuple[str, ...]) -> Done:
    return influxdb3(*(word.replace("{name}", name) for word in step), url=url)


def test_each_command_says_the_same_over_both_doors(server: Server) -> None:
    """B1."""
    grpc = server.url.replace("http", "grpc")
    different = []
    for step in SCRIPT:
        over_http, over_grpc = play(server.url, "cli_door_h", step), play(grpc, "cli_door_g", step)
        http_words = (over_http.code, over_http.out, over_http.err)
        grpc_words = (over_grpc.code, over_grpc.out.replace("door_g", "door_h"), over_grpc.err.replace("door_g", "door_h"))
        if step[:2] == ("show", "databases"):  # both know both
            http_words = (over_http.code, over_http.out.replace("door_g", "door_h"), over_http.err)
        if http_words != grpc_words:
            different.append((step, http_words, grpc_words))

    assert not different, "\n".join(map(repr, different))


def test_the_grpc_port_that_is_not_there_is_named() -> None:
    done = influxdb3("show", "databases", "--host", "grpc://127.0.0.1:1")

    assert done.code == 1
    assert done.err == (
        "Show command failed: failed to send flightline.admin.list_databases grpc://127.0.0.1:1 request: "
        "connection refused; is the server running?\n"
    )


@pytest.mark.parametrize("scheme", ["grpc+tls", "https"])
def test_a_plain_port_is_no_tls(server: Server, scheme: str) -> None:
    done = influxdb3("query", "-d", "x", "SELECT 1", "--host", f"{scheme}://127.0.0.1:{server.port}", "--tls-no-verify")

    assert done.code == 1
    assert done.err.startswith("Query command failed: ")
    assert len(done.err.splitlines()) == 1

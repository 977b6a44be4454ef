"""What is to be deleted for good now, through HTTP."""

import json
import urllib.request
from urllib.parse import quote

from tests.helpers.servers import PATIENCE_S, Server, wait_until


def call(server: Server, method: str, path: str, body: bytes | None = None) -> bytes:
    request = urllib.request.Request(server.url + path, body, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        found: bytes = answer.read()
        return found


def count(server: Server, database: str) -> int:
    sql = quote("SELECT count(*) AS n FROM t")
    return int(json.loads(server.get(f"/api/v3/query_sql?db={quote(database)}&format=json&q={sql}"))[0]["n"])


def test_a_database_that_is_hard_deleted_now_is_empty_soon(server: Server) -> None:
    """R1: it can be read under its new name until then, and the old name is free at once."""
    call(server, "POST", "/api/v3/write_lp?db=doomed", b"t v=1 1\nt v=2 2")
    call(server, "DELETE", "/api/v3/configure/database?db=doomed")
    databases = json.loads(server.get("/api/v3/configure/database?format=json&show_deleted=true"))
    (name,) = [found["iox::database"] for found in databases if found["iox::database"].startswith("doomed-")]
    assert count(server, name) == 2

    call(server, "DELETE", f"/api/v3/configure/database?db={name}&hard_delete_at=now")
    wait_until(lambda: count(server, name) == 0)

    call(server, "POST", "/api/v3/write_lp?db=doomed", b"t v=3 3")
    assert count(server, "doomed") == 1

"""Asking a running server, without any client library."""

import json
import uuid
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tests.helpers.servers import Server


def rows(server: Server, database: str, sql: str) -> list[dict[str, Any]]:
    query = urlencode({"db": database, "q": sql, "format": "json"})
    with urlopen(Request(f"{server.url}/api/v3/query_sql?{query}"), timeout=20) as answer:
        return list(json.loads(answer.read()))


def new_name(prefix: str) -> str:
    """A database that no other test knows."""
    return f"{prefix}_{uuid.uuid4().hex[:12]}"

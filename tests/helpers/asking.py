"""A running server as clients reach it, plainly or over TLS, and asking it without any client library."""

import json
import ssl
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.helpers.servers import Server


@dataclass(frozen=True)
class Reached:
    server: Server
    ca_file: Path | None = None

    @property
    def scheme(self) -> str:
        return "http" if self.ca_file is None else "https"

    @property
    def host(self) -> str:
        return self.server.host

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def tls(self) -> ssl.SSLContext | None:
        return None if self.ca_file is None else ssl.create_default_context(cafile=str(self.ca_file))

    def rows(self, database: str, sql: str) -> list[dict[str, Any]]:
        query = urlencode({"db": database, "q": sql, "format": "json"})
        with urlopen(f"{self.url}/api/v3/query_sql?{query}", timeout=60, context=self.tls) as answer:
            return list(json.loads(answer.read()))


def new_name(prefix: str) -> str:
    """A database that no other test knows."""
    return f"{prefix}_{uuid.uuid4().hex[:12]}"

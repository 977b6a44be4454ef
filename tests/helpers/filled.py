"""A database of its own with a few rows, on a server that others use too."""

import urllib.request
from dataclasses import dataclass
from urllib.parse import urlencode

from tests.helpers.asking import Reached, new_name

LINES = "cpu,host=a usage=1 1\ncpu,host=b usage=2 2\ncpu,host=a usage=3 3\ncpu_total usage=6 3\n"


@dataclass(frozen=True)
class Filled:
    reached: Reached
    name: str

    @classmethod
    def on(cls, reached: Reached) -> "Filled":
        found = cls(reached, new_name("filled"))
        found.write(LINES)
        return found

    @property
    def host(self) -> str:
        return self.reached.host

    @property
    def port(self) -> int:
        return self.reached.port

    @property
    def flight_url(self) -> str:
        return f"grpc://{self.host}:{self.port}"

    def write(self, lines: str) -> None:
        query = urlencode({"db": self.name, "precision": "nanosecond"})
        request = urllib.request.Request(f"{self.reached.url}/api/v3/write_lp?{query}", lines.encode(), method="POST")
        with urllib.request.urlopen(request, timeout=60, context=self.reached.tls) as answer:
            assert answer.status == 204

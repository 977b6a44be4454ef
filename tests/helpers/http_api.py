"""The HTTP application over a real Flight server and a node in memory, called without a socket for HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from werkzeug.test import Client, TestResponse

from flightserver.client import EngineClient
from flightserver.server import EngineServer
from httpapi.app import HttpSettings, create_app
from httpapi.gateway import Gateway
from tests.helpers.memory_node import MemoryNode
from tests.helpers.servers import PATIENCE_S


@dataclass
class HttpApi:
    node: MemoryNode
    http: Client
    engine: EngineServer
    client: EngineClient
    watching: EngineClient

    def write(self, body: bytes, path: str = "/api/v3/write_lp?db=db", **headers: str) -> TestResponse:
        return self.http.post(path, data=body, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def stop_engine(self) -> None:
        self.client.close()
        self.watching.close()
        self.engine.shutdown()


@contextmanager
def http_api(directory: Path, max_request_bytes: int = 1 << 20) -> Iterator[HttpApi]:
    location = f"grpc+unix://{directory}/engine"
    node = MemoryNode()
    engine = EngineServer(node, location)
    client, watching = EngineClient(location), EngineClient(location, timeout_s=PATIENCE_S)
    (directory / "counters").mkdir()
    app = create_app(Gateway(client, watching), HttpSettings(directory / "counters", max_request_bytes))
    try:
        yield HttpApi(node, Client(app), engine, client, watching)
    finally:
        app.close()
        client.close()
        watching.close()
        engine.shutdown()

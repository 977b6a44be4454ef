"""The application over a real engine server on a unix socket."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.http_api import HttpApi, http_api


@pytest.fixture
def api() -> Iterator[HttpApi]:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory, http_api(Path(directory)) as api:
        yield api

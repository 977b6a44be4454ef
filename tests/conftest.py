"""What all tests share: the product, running."""

import os
import signal
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.helpers.asking import Reached
from tests.helpers.servers import Server, running

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever is started in the background ignores it, and passes that on
os.environ["RUST_LIB_BACKTRACE"] = "0"  # as in the product's own processes (flightserver.children)

PRODUCT = ("-m", "flightserver.cli.main", "serve")
SHOWN_CHARACTERS = 20_000

#: files that take long, longest first: each stays in one process, and none must be what all others wait for in the end
FIRST = (
    "tests/native/test_native_drivers.py",
    "tests/docs/test_documents.py",
    "tests/bench/test_query_scenarios.py",
    "tests/integration/test_hostile_queries.py",
    "tests/integration/test_stores.py",
    "tests/contract/test_object_store.py",
    "tests/integration/engine/test_elsewhere.py",
    "tests/bench/test_scenarios.py",
    "tests/integration/test_permission_matrix.py",
    "tests/integration/test_engine_process.py",
    "tests/integration/test_node_on_stores.py",
    "tests/integration/test_packaging.py",
    "tests/integration/test_wheel.py",
    "tests/integration/test_faults.py",
    "tests/crash/test_kill.py",
    "tests/integration/test_serve.py",
    "tests/integration/test_single_port.py",
    "tests/integration/cli/test_query.py",
    "tests/integration/cli/test_write.py",
    "tests/integration/test_remote_outage.py",
    "tests/integration/test_serve_tokens.py",
    "tests/bench/test_command_times.py",
)

# how long an example takes says more about the machine than about us
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`influxdb3 serve` on a free port and an empty local store, for the whole run; it has to end with exit code 0."""
    with running(tmp_path_factory.mktemp("server"), "--object-store", "file", command=PRODUCT) as server:
        yield server
        assert server.stop() == 0, server.text[-SHOWN_CHARACTERS:]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.location[0], len(FIRST)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what the server had to say."""
    report = yield
    if report.failed:
        for used in getattr(item, "funcargs", {}).values():
            server = used.server if isinstance(used, Reached) else used
            if isinstance(server, Server):
                report.sections.append(("server log", server.text[-SHOWN_CHARACTERS:]))
    return report

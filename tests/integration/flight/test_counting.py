"""Calls are counted (Q5)."""

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from flightserver import wire
from tests.helpers.memory_node import MemoryNode
from tests.helpers.servers import wait_until


def test_each_call_counts_once_when_it_ends(flight: fl.FlightClient, node: MemoryNode) -> None:
    """Q5."""
    node.databases["db"] = {}
    query = fl.Ticket(b'{"database": "db", "sql_query": "SELECT 1 AS n", "query_type": "sql"}')

    for _ in range(3):
        list(flight.do_action(fl.Action(wire.HEALTH, b"")))
    flight.do_get(query).read_all()
    with pytest.raises(pa.ArrowInvalid):
        flight.do_get(fl.Ticket(b'{"database": "db", "sql_query": "SELEC"}')).read_all()

    wait_until(lambda: sum(node.calls.values()) == 5)
    assert node.calls == {("do_action", "done"): 3, ("do_get", "done"): 1, ("do_get", "failed"): 1}

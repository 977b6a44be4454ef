"""Random writes, late rows, duplicates, snapshots and restarts against a dict that must agree with us."""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from engine.storage.memory import MemoryStore
from tests.helpers.engine import open_node, read, write

HOSTS = st.sampled_from(["a", "b", "c", None])
TIMES = st.integers(min_value=-3, max_value=40)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "f": st.sampled_from([0.5, -1.25, 3.0]),
        "i": st.integers(min_value=-5, max_value=5),
        "s": st.sampled_from(["x", "", "ü\n"]),
        "b": st.booleans(),
    },
).filter(bool)
POINTS = st.lists(st.tuples(HOSTS, TIMES, VALUES), min_size=1, max_size=8)


def line(host: str | None, time: int, values: dict[str, Any]) -> str:
    fields = []
    for name, value in values.items():
        if isinstance(value, bool):
            fields.append(f"{name}={'t' if value else 'f'}")
        elif isinstance(value, int):
            fields.append(f"{name}={value}i")
        elif isinstance(value, str):
            fields.append(f'{name}="{value}"')
        else:
            fields.append(f"{name}={value}")
    key = "t" if host is None else f"t,host={host}"
    return f"{key} {','.join(fields)} {time}"


class RowsMachine(RuleBasedStateMachine):
    """B3-B5, V1, V4, P3: one row a key, last value of each field, nulls never overwrite, whatever happened in between."""

    points = Bundle("points")

    @initialize()
    def start(self) -> None:
        self.store = MemoryStore()
        self.node = open_node(self.store, wal_flush_interval_ms=1)
        self.model: dict[tuple[str | None, int], dict[str, Any]] = {}
        write(self.node, 't,host=first f=0,i=0i,s="",b=f 1000')
        self.model["first", 1000] = {"f": 0.0, "i": 0, "s": "", "b": False}

    @rule(points=POINTS)
    def write(self, points: list[tuple[str | None, int, dict[str, Any]]]) -> None:
        write(self.node, "\n".join(line(*point) for point in points))
        for host, time, values in points:
            self.model.setdefault((host, time), {}).update(values)

    @rule()
    def snapshot(self) -> None:
        self.node.snapshot_now()

    @rule()
    def evict(self) -> None:
        self.node._views.evict(0)

    @rule()
    def seal(self) -> None:
        self.node._views.seal(1, 0)

    @rule()
    def restart(self) -> None:
        self.node.close()
        self.node = open_node(self.store, wal_flush_interval_ms=1)

    @invariant()
    def agrees(self) -> None:
        rows = read(self.node, "SELECT host, arrow_cast(time, 'Int64') AS ns, f, i, s, b FROM t")
        seen = {(row["host"], row["ns"]): {name: row[name] for name in "fisb" if row[name] is not None} for row in rows}
        assert len(rows) == len(seen)
        assert seen == self.model

    def teardown(self) -> None:
        if hasattr(self, "node"):
            self.node.close()


TestRows = RowsMachine.TestCase
TestRows.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestRows = pytest.mark.timeout(240)(TestRows)

"""Rows that have outlived their table's retention, asked for in every way and wherever they lie."""

from collections.abc import Callable, Iterator

import pytest

from engine.node import Node
from engine.storage.memory import MemoryStore
from tests.helpers.engine import ManualClock, open_node, read, times, write

SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1000 * HOUR_NS)


@pytest.fixture
def node(clock: ManualClock) -> Iterator[Node]:
    node = open_node(MemoryStore(), clock, wal_flush_interval_ms=1)
    yield node
    node.close()


def in_memory(node: Node) -> None:
    """Rows stay where they are."""


def in_runs(node: Node) -> None:
    for database_id, table_id, _ in node._views.unsettled():
        node._views.seal(database_id, table_id)


def in_files_and_cache(node: Node) -> None:
    node.snapshot_now()


def in_files(node: Node) -> None:
    node.snapshot_now()
    node._views.evict(0)


PLACES = [in_memory, in_runs, in_files_and_cache, in_files]
STATEMENTS = {
    "all": "SELECT host, v FROM t ORDER BY v",
    "count": "SELECT count(*) AS n FROM t",
    "ends": "SELECT min(time) AS first, max(time) AS last FROM t",
    "first": "SELECT host, v FROM t ORDER BY time LIMIT 1",
    "last of each": "SELECT host, last_value(v ORDER BY time) AS v FROM t GROUP BY host ORDER BY host",
    "distinct": "SELECT DISTINCT host FROM t ORDER BY host",
    "one host": "SELECT v FROM t WHERE host = 'h1' ORDER BY time",
    "by field": "SELECT v FROM t WHERE v < 3 ORDER BY v",
    "in time": "SELECT v FROM t WHERE time >= '1970-01-01T00:00:00Z' ORDER BY v",
    "either": "SELECT v FROM t WHERE host = 'h0' OR v > 7 ORDER BY v",
    "newest": "SELECT host, v FROM t ORDER BY time DESC LIMIT 3",
    "oldest of one": "SELECT v FROM t WHERE host = 'h2' ORDER BY time LIMIT 1",
    "last rows": "SELECT host, selector_last(v, time)['value'] AS v FROM t GROUP BY host ORDER BY host",
    "first rows": "SELECT host, selector_first(v, time)['time'] AS at FROM t GROUP BY host ORDER BY host",
    "aggregates": "SELECT host, min(v) AS low, max(v) AS high, sum(v) AS s, count(*) AS n FROM t GROUP BY host ORDER BY host",
    "one sum": "SELECT sum(v) AS s, avg(v) AS m, min(v) AS low FROM t",
    "count in time": "SELECT count(*) AS n FROM t WHERE time < '2200-01-01T00:00:00Z'",
    "never": "SELECT v FROM t WHERE host = 'h9'",
    "joined": "SELECT count(*) AS n FROM t JOIN t AS u ON t.host = u.host AND t.time = u.time",
    "whole groups": "SELECT date_bin(INTERVAL '10 minutes', time) AS bin, count(v) AS n FROM t GROUP BY bin ORDER BY bin",
}


def rows_at_every_minute(now_ns: int) -> list[tuple[str, float, int]]:
    """(host, v, time), the oldest two hours old."""
    return [(f"h{minute % 3}", float(minute), now_ns - (120 - minute * 12) * 60 * SECOND_NS) for minute in range(11)]


def lines(rows: list[tuple[str, float, int]]) -> str:
    return "\n".join(f"t,host={host} v={v} {time}" for host, v, time in rows)


@pytest.mark.parametrize("place", PLACES)
def test_no_statement_sees_or_counts_what_has_expired(node: Node, clock: ManualClock, place: Callable[[Node], None]) -> None:
    """T6: as if the row had never been written, from the very nanosecond on."""
    node.create_database("db", HOUR_NS)
    rows = rows_at_every_minute(clock.time_ns)
    write(node, lines(rows))
    place(node)
    node.create_database("never_old")
    for passed_ns in (0, 24 * 60 * SECOND_NS, 24 * 60 * SECOND_NS + 1):
        clock.time_ns += passed_ns
        kept = [row for row in rows if row[2] >= clock.time_ns - HOUR_NS]
        name = f"kept{passed_ns}"
        write(node, lines(kept), name)

        for what, statement in STATEMENTS.items():
            assert read(node, statement) == read(node, statement, name), what


@pytest.mark.parametrize("place", PLACES)
def test_a_late_row_beside_expired_ones_is_seen_and_they_are_not(
    node: Node, clock: ManualClock, place: Callable[[Node], None]
) -> None:
    """T6: rows that are merged for a reader begin where the others do."""
    node.create_database("db", HOUR_NS)
    now_ns = clock.time_ns
    write(node, f"t v=1 {now_ns - 2 * HOUR_NS}\nt v=2 {now_ns - HOUR_NS}\nt v=3 {now_ns}")
    place(node)

    write(node, f"t v=4 {now_ns - 2 * HOUR_NS}\nt w=5 {now_ns - HOUR_NS}\nt v=6 {now_ns - 1}")

    assert times(node) == [now_ns - HOUR_NS, now_ns - 1, now_ns]
    assert read(node, "SELECT v, w FROM t ORDER BY time LIMIT 1") == [{"v": 2.0, "w": 5.0}]


def test_rows_older_than_the_retention_are_accepted_and_not_shown(node: Node, clock: ManualClock) -> None:
    """T6."""
    node.create_database("db", HOUR_NS)

    report = write(node, f"t v=1 {clock.time_ns - 2 * HOUR_NS}\nt v=2 {clock.time_ns + HOUR_NS}")

    assert (report.rows, report.rejected) == (2, ())
    assert times(node) == [clock.time_ns + HOUR_NS]


def test_a_longer_retention_shows_again_what_is_still_there(node: Node, clock: ManualClock) -> None:
    """T6: retention says what is shown; it takes time until rows are gone for good."""
    node.create_database("db", HOUR_NS)
    write(node, f"t v=1 {clock.time_ns - 2 * HOUR_NS}")
    before = times(node)

    node.set_retention("db", None)

    assert (before, times(node)) == ([], [clock.time_ns - 2 * HOUR_NS])

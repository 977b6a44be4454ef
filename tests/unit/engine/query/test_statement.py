"""A statement from its text to its rows."""

import threading
import time
from typing import Any

import pyarrow as pa
import pytest
from datafusion import DataFrame, SessionContext

from engine.query.messages import QueryRefused
from engine.query.statement import prepare
from tests.helpers.sql import ask, column, context_of, read, rows, run, tuples

CPU = rows(
    {"host": "a", "time": "2024-01-01T00:00", "busy": 1, "count": 1, "usage": 0.5, "note": "x", "on": True},
    {"host": "b", "time": "2024-01-01T00:01", "busy": 2, "count": 2, "usage": 1.5, "note": "y"},
)


@pytest.fixture
def cpu() -> SessionContext:
    return context_of(cpu=CPU)


class Spy:
    """A context that remembers what it was asked to plan."""

    def __init__(self, context: SessionContext) -> None:
        self._context = context
        self.texts: list[str] = []

    def sql(self, text: str, *arguments: Any, **options: Any) -> DataFrame:
        self.texts.append(text)
        return self._context.sql(text, *arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM cpu",
        "  SELECT/* x */host -- y\nFROM cpu WHERE note = 'locf' ;",
        "SELECT avg(usage), approx_percentile_cont(usage, 0.5) FROM cpu GROUP BY host",
        "SHOW COLUMNS FROM cpu",
    ],
)
def test_a_statement_without_our_functions_reaches_the_planner_as_it_came(cpu: SessionContext, text: str) -> None:
    """S1."""
    spy = Spy(cpu)

    prepare(spy, text, {})

    assert spy.texts == [text]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("SELECT CASE WHEN busy > 1 THEN 1 ELSE 2.5 END AS x FROM cpu", ["double"]),
        ("SELECT busy AS x FROM cpu UNION ALL SELECT usage FROM cpu", ["double"]),
        ("SELECT count * 2 AS x FROM cpu", ["decimal128(38, 0)"]),
        ("SELECT count - busy AS x, coalesce(busy, usage) AS y FROM cpu", None),
        ("SELECT $1 AS x", ["null"]),
        ("SELECT $1 + busy AS x FROM cpu", ["int64"]),
        ("SELECT 'a' || note AS x, note::VARCHAR AS y, concat(note, 1) AS z FROM cpu", ["string", "string", "string"]),
        ("SELECT arrow_typeof(usage) AS x FROM cpu", ["string"]),
        ("SELECT max(time) - min(time) AS x FROM cpu", ["duration[ns]"]),
        ("SELECT now() AS x", ["timestamp[ns]"]),
        ("SELECT * FROM cpu WHERE false", None),
        ("SELECT host, count(*) AS n FROM cpu GROUP BY host", None),
        ("EXPLAIN SELECT 1", ["string", "string"]),
        ("SHOW COLUMNS FROM cpu", None),
        ("DESCRIBE cpu", ["string", "string", "string"]),
    ],
)
def test_the_schema_is_that_of_the_batches(cpu: SessionContext, text: str, kinds: list[str] | None) -> None:
    """S2, S4: also where types are known only after all of the statement is."""
    prepared = prepare(cpu, text, [None] if "$1" in text else {})

    batches = list(prepared.batches(run))

    assert all(batch.schema.equals(prepared.schema, check_metadata=True) for batch in batches)
    assert kinds is None or [str(field.type) for field in prepared.schema] == kinds


def test_a_mark_stays_with_a_column_and_not_with_what_is_made_of_it(cpu: SessionContext) -> None:
    """S4: the planner lets it survive a cast and a sign."""
    text = "SELECT host, usage AS u, usage::FLOAT AS c, -usage AS n, first_value(host) OVER () AS f FROM cpu"

    schema = prepare(cpu, text, {}).schema

    assert [field.name for field in schema if field.metadata] == ["host", "u"]


@pytest.mark.parametrize("text", ["SELECT nothing FROM cpu", "SELECT 1 +", "SELECT sum(note) FROM cpu", "DROP TABLE cpu"])
def test_what_is_wrong_is_said_before_anything_runs(cpu: SessionContext, text: str) -> None:
    """S2."""
    with pytest.raises(QueryRefused):
        prepare(cpu, text, {})


def test_all_parts_see_one_moment(cpu: SessionContext) -> None:
    """S3."""
    moment = 1_704_067_260_000_000_000

    text = (
        "SELECT DISTINCT n FROM (SELECT date_bin_gapfill('10 seconds', time) AS t, host, now() AS n FROM cpu "
        "WHERE time > now() - INTERVAL '1 minute' AND time <= now() GROUP BY t, host) "
        "UNION ALL SELECT CURRENT_TIMESTAMP UNION ALL SELECT current_timestamp()"
    )
    found = read(prepare(cpu, text, {}, now_ns=moment)).column(0).cast(pa.int64()).to_pylist()
    bins = ask(
        cpu,
        "SELECT count(*) AS n, count(DISTINCT now()) m FROM (SELECT now(), date_bin_gapfill('10 seconds', time) AS t FROM cpu"
        " WHERE time > now() - INTERVAL '1 minute' AND time <= now() GROUP BY t)",
    )

    assert found == [moment] * 3
    assert bins == [{"n": 0, "m": 0}]


def test_now_compares_with_time_and_is_one_instant(cpu: SessionContext) -> None:
    """S3."""
    assert column(cpu, "SELECT count(*) FROM cpu WHERE time < now() AND now() = now()") == [2]


def test_names_of_tables_and_columns_may_be_those_of_functions() -> None:
    table = CPU.rename_columns(["sleep", "locf", "tz", "difference", "on", "interpolate", "time", "to_timestamp"])
    context = context_of(selector_last=table)

    found = tuples(
        context, "SELECT sleep, locf, l.tz, difference FROM selector_last AS l WHERE interpolate IS NULL ORDER BY sleep"
    )

    assert found == [(1, 1, "a", "x"), (2, 2, "b", "y")]


def test_several_functions_in_one_statement(cpu: SessionContext) -> None:
    found = tuples(
        cpu,
        """
        SELECT tz(date_bin_gapfill('1 minute', time), 'Asia/Tokyo') AS t, host,
               locf(selector_last(usage, time))['value'] AS v,
               difference(interpolate(max(busy))) OVER (PARTITION BY host ORDER BY date_bin_gapfill('1 minute', time)) AS d
        FROM cpu WHERE time >= to_timestamp(1704067200000000000) AND time < $to AND influx_regex_match(host, '[ab]')
        GROUP BY date_bin_gapfill('1 minute', time), host ORDER BY host, t
        """.replace("$to", "'2024-01-01T00:02:00'"),
    )

    assert found == [
        ("2024-01-01T09:00:00+09:00", "a", 0.5, None),
        ("2024-01-01T09:01:00+09:00", "a", 0.5, None),
        ("2024-01-01T09:00:00+09:00", "b", None, None),
        ("2024-01-01T09:01:00+09:00", "b", 1.5, None),
    ]


def test_sleep_is_the_reader_s_wait_and_counts_every_row(cpu: SessionContext) -> None:
    """Z1."""
    waits: list[float] = []
    threads: set[int] = set()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        threads.add(threading.get_ident())

    prepared = prepare(cpu, "SELECT sleep(0.5), sleep(INTERVAL '2 seconds'), sleep(1) FROM cpu", {})
    began = time.monotonic()
    table = pa.Table.from_batches(prepared.batches(run, wait), prepared.schema)

    assert sum(waits) == pytest.approx(7)
    assert threads == {threading.get_ident()}
    assert time.monotonic() - began < 5
    assert table.num_rows == 2


def test_sleep_is_slept(cpu: SessionContext) -> None:
    """Z1."""
    began = time.monotonic()

    read(prepare(cpu, "SELECT sleep(0.1) FROM cpu", {}))

    assert time.monotonic() - began >= 0.2


def test_statements_are_prepared_side_by_side(cpu: SessionContext) -> None:
    text = (
        "SELECT date_bin_gapfill('10 seconds', time) AS t, count(*) AS n FROM cpu "
        "WHERE time >= '2024-01-01' AND time < '2024-01-01T00:02:00' GROUP BY t"
    )
    counts: list[int] = []

    def work() -> None:
        counts.extend(read(prepare(context_of(cpu=CPU), text, {})).num_rows for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counts == [12] * 20

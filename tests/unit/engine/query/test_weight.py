"""Which statements may not run where nothing can stop them."""

import pyarrow as pa
import pytest
from datafusion import SessionContext

from engine.query.weight import Scans, explodes, is_suspect, searches, swells
from tests.helpers.sql import CPU, context_of, rows

#: a text that ten sub-queries make ten times as long, each
DOUBLING = "WITH a0 AS (SELECT 'x' AS s)" + "".join(
    f", a{n + 1} AS (SELECT concat({', '.join('s' * 10)}) AS s FROM a{n})" for n in range(10)
)
DOUBLING += " SELECT length(s) AS n FROM a10"


@pytest.fixture(scope="module")
def context() -> SessionContext:
    table = rows({"time": 1, "host": "a", "busy": 1})
    context = context_of()
    for name in ("cpu", "mem"):
        context.register_dataset(name, pa.dataset.dataset(table))
    return context


def is_too_much(context: SessionContext, text: str, row_count: float = 10_000) -> bool:
    frame = context.sql(text)
    optimized = context.create_dataframe_from_logical_plan(frame.optimized_logical_plan())
    scans = Scans(row_count, frozenset(["time", "host", "region"]), len(text))
    return is_suspect(optimized.logical_plan()) and explodes(optimized.execution_plan(), scans)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT count(*) FROM cpu, mem",
        "SELECT count(*) FROM cpu CROSS JOIN mem",
        "SELECT * FROM cpu a JOIN mem b ON a.busy < b.busy",
        "SELECT * FROM cpu a JOIN mem b ON a.host = b.host",
        "SELECT * FROM cpu a LEFT JOIN mem b USING (host)",
        "SELECT * FROM cpu a JOIN mem b USING (host, time)",
        "SELECT * FROM cpu WHERE EXISTS (SELECT 1 FROM mem WHERE mem.busy < cpu.busy AND mem.host = cpu.host)",
        "EXPLAIN ANALYZE SELECT * FROM cpu, mem",
        "SELECT x FROM (SELECT 1 AS x) UNION ALL SELECT a.busy FROM cpu a, mem b",
        "SELECT (SELECT count(*) FROM cpu a, mem b)",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r",
        "SELECT * FROM generate_series(1, 1000000000000)",
        "SELECT * FROM range(0, 1000000000, 2)",
        "SELECT * FROM generate_series(TIMESTAMP '2020-01-01', TIMESTAMP '2021-01-01', INTERVAL '1 second')",
        "SELECT unnest([busy, busy]) FROM cpu",
        "WITH a AS (SELECT unnest([1, 2]) x), b AS (SELECT unnest([1, 2]) y, x FROM a) SELECT * FROM b",
        "SELECT array_agg(busy) OVER (ORDER BY time) FROM cpu",
        "SELECT count(DISTINCT busy) OVER (ORDER BY time) FROM cpu",
    ],
)
def test_what_multiplies_rows_without_asking_a_scan_is_too_much(context: SessionContext, text: str) -> None:
    """W1, W3."""
    assert is_too_much(context, text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "SELECT host, max(busy) FROM cpu WHERE usage > 3 GROUP BY host ORDER BY host LIMIT 3",
        "SELECT *, row_number() OVER (PARTITION BY host ORDER BY time) FROM cpu",
        "SELECT sum(busy) OVER (ORDER BY time) FROM cpu",
        "SELECT * FROM cpu UNION ALL SELECT * FROM mem",
        "SELECT 'CROSS JOIN', 'generate_series(1, 1000000000)'",
        "EXPLAIN SELECT * FROM cpu, mem",
        "SELECT * FROM cpu WHERE busy > (SELECT avg(busy) FROM mem)",
        "SELECT * FROM (SELECT avg(busy) AS mean FROM mem), cpu",
    ],
)
def test_what_asks_its_scans_runs_here_however_many_rows_there_are(context: SessionContext, text: str) -> None:
    """W1."""
    assert not is_too_much(context, text, 1e12)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM cpu, mem",
        "SELECT * FROM cpu a JOIN mem b ON a.busy < b.busy",
        "SELECT array_agg(busy) OVER (ORDER BY time) FROM cpu",
        "SELECT * FROM (SELECT * FROM cpu LIMIT 5) a, (SELECT * FROM mem ORDER BY time LIMIT 5) b",
        "SELECT * FROM (VALUES (1), (2)) a, (VALUES (3), (4)) b",
        "SELECT * FROM generate_series(1, 10)",
        "SELECT unnest([1, 2, 3])",
        "SELECT * FROM unnest([1, 2, 3]) CROSS JOIN (SELECT 1)",
    ],
)
def test_small_inputs_are_not_too_much(context: SessionContext, text: str) -> None:
    """W1."""
    assert not is_too_much(context, text, 100)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM cpu WHERE host IN (SELECT host FROM mem WHERE busy > 3)",
        "SELECT * FROM cpu WHERE host NOT IN (SELECT host FROM mem)",
        "SELECT host FROM cpu INTERSECT SELECT host FROM mem",
        "SELECT host, (SELECT max(busy) FROM mem WHERE mem.host = cpu.host) FROM cpu",
        "SELECT * FROM cpu JOIN (SELECT host AS h, max(time) AS t FROM mem GROUP BY host) m ON host = h AND time = t",
        "SELECT * FROM (SELECT DISTINCT host, region FROM mem) m RIGHT JOIN cpu USING (host, region)",
        "SELECT * FROM cpu JOIN mem USING (time, region, host)",
        "SELECT * FROM cpu a JOIN cpu b ON a.time = b.time AND a.host = b.host AND a.region = b.region AND b.busy > 0",
        "SELECT * FROM cpu, (SELECT avg(busy) AS mean FROM mem) WHERE busy > mean",
    ],
)
def test_joins_that_multiply_nothing_are_not_too_much(context: SessionContext, text: str) -> None:
    """W2."""
    assert not is_too_much(context, text)


@pytest.mark.parametrize(
    ("text", "much"),
    [
        ("SELECT 1", False),
        ("SELECT range(1, 10), repeat('ab', 3), lpad(host, 10, '0') FROM cpu", False),
        ("SELECT range FROM t WHERE note = 'repeat(x, 1000000)' -- lpad('a', 99999)", False),
        ("SELECT range(0, 1000000000)", True),
        ("SELECT range(-1000000000, 0)", True),
        ("SELECT range(1, 1e9)", True),
        ("SELECT repeat('x', n) FROM t", True),
        ("SELECT Repeat('x', 100000)", True),
        ("SELECT \"repeat\" /* */ ('x', 100000)", True),
        ("SELECT repeat(repeat('x', 1000), 1000)", True),
        ("SELECT * FROM generate_series(TIMESTAMP '2020-01-01', now(), INTERVAL '1 second')", True),
        ("SELECT rpad('x', $n)", True),
        ("SELECT concat(host, '-', region) || 'x', replace(host, 'server', 's') FROM cpu", False),
        ("SELECT x FROM (SELECT host || region AS x FROM cpu UNION ALL SELECT 'a' || host FROM cpu)", False),
        (f"SELECT concat({', '.join(['host'] * 100)}) FROM cpu", False),
        (DOUBLING, True),
        ("SELECT replace(host, 'x', host) FROM cpu", True),
        (
            "WITH a AS (SELECT replace('x', 'x', 'xxxxxxxxxxxxxxxxxxxx') x) SELECT replace(x, 'x', 'xxxxxxxxxxxxxxxxx') FROM a",
            True,
        ),
        ("SELECT lpad(", False),
        ("SELECT levenshtein(host, region) FROM cpu", True),
    ],
)
def test_functions_that_make_much_of_little_are_seen_before_planning(text: str, much: bool) -> None:
    """W3."""
    assert swells(text) is much


def test_the_schema_of_the_examples_is_that_of_a_table() -> None:
    assert {"time", "host", "region"} <= set(CPU.names)


@pytest.mark.parametrize(
    ("text", "much"),
    [
        ("SELECT count(*) FROM (SELECT * FROM cpu ORDER BY busy LIMIT 9000000) WHERE host LIKE 'a%b'", True),
        ("SELECT max(regexp_replace(m, 'a', 'b')) FROM (SELECT busy, max(host) m FROM cpu GROUP BY busy)", True),
        ("SELECT count(*) FROM (SELECT * FROM cpu ORDER BY busy LIMIT 9) WHERE host LIKE 'a%b'", False),
        ("SELECT busy, max(host) FROM cpu WHERE host LIKE 'a%b' GROUP BY busy ORDER BY busy", False),
        ("SELECT busy FROM cpu WHERE regexp_like(host, 'a.*b')", False),
    ],
)
def test_texts_of_rows_that_no_scan_yields_any_more_are_searched_elsewhere(
    context: SessionContext, text: str, much: bool
) -> None:
    """W1."""
    assert is_too_much(context, text, 10_000_000) is much
    assert not is_too_much(context, text)


def test_what_looks_through_texts_is_counted_wherever_it_stands() -> None:
    """W3."""
    assert searches("SELECT a, b + 1 FROM t WHERE time > now() AND likely = 'x'") == 0
    assert searches("SELECT regexp_replace(a, 'x', 'y') FROM t WHERE a LIKE 'x%' OR b !~* 'y' OR c NOT ILIKE 'z'") == 4

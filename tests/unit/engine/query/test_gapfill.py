"""Gap filling in statements: where it may stand, what it covers, what is refused."""

from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from datafusion import SessionContext

from engine.query.functions.late import LateTable
from engine.query.messages import QueryRefused
from engine.query.statement import prepare
from engine.query.stop import StatementStopped, Stop
from tests.helpers.sql import CPU, ask, column, context_of, read, rows, tuples

RANGE = "time >= '2024-01-01T00:00:00' AND time < '2024-01-01T00:06:00'"
#: host a at minutes 1 and 4, host b at minute 2
TABLE = rows(
    {"host": "a", "region": "x", "time": "2024-01-01T00:01", "busy": 1, "usage": 1.0, "note": "p"},
    {"host": "a", "region": "x", "time": "2024-01-01T00:04", "busy": 4, "usage": 4.0, "note": "q"},
    {"host": "b", "region": "y", "time": "2024-01-01T00:02", "busy": 20, "usage": None, "note": "r"},
    {"host": "b", "region": "y", "time": "2024-01-01T01:00", "busy": 99, "usage": 99.0},
)


@pytest.fixture
def cpu() -> SessionContext:
    return context_of(cpu=TABLE, other=TABLE)


def minutes(found: list[Any]) -> list[Any]:
    return [int(value[14:16]) if isinstance(value, str) else value for value in found]


def test_every_series_has_every_bin(cpu: SessionContext) -> None:
    """G1."""
    found = tuples(
        cpu,
        f"""
        SELECT host, date_bin_gapfill(INTERVAL '2 minutes', time) AS t, count(*), sum(busy), locf(sum(busy)),
               interpolate(avg(usage)), max(note)
        FROM cpu WHERE {RANGE} GROUP BY host, t ORDER BY host, t
        """,
    )

    assert [(row[0], *minutes([row[1]]), *row[2:]) for row in found] == [
        ("a", 0, 1, 1, 1, 1.0, "p"),
        ("a", 2, 0, None, 1, 2.5, None),
        ("a", 4, 1, 4, 4, 4.0, "q"),
        ("b", 0, 0, None, None, None, None),
        ("b", 2, 1, 20, 20, None, "r"),
        ("b", 4, 0, None, 20, None, None),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT date_bin_gapfill('2 minutes', time) AS t, {agg} FROM cpu WHERE {range} AND host = 'a' GROUP BY t ORDER BY t",
        "SELECT date_bin_gapfill('2 minutes', time) AS t, {agg} FROM cpu WHERE {range} AND host = 'a' GROUP BY 1 ORDER BY 1",
        "SELECT date_bin_gapfill('2 minutes', time) AS t, {agg} FROM cpu WHERE {range} AND host = 'a' GROUP BY ALL ORDER BY t",
        "SELECT t, v FROM (SELECT date_bin_gapfill('2 minutes', c.time) AS t, {agg} AS v FROM cpu AS c WHERE {range} "
        "AND host = 'a' GROUP BY date_bin_gapfill('2 minutes', time)) q ORDER BY t",
        "WITH g AS (SELECT host, date_bin_gapfill('2 minutes', time) AS t, {agg} AS v FROM cpu WHERE {range} GROUP BY host, t) "
        "SELECT t, v FROM g WHERE host = 'a' ORDER BY t",
        "WITH src AS (SELECT * FROM cpu WHERE {range} AND host = 'a'), g AS (SELECT date_bin_gapfill('2 minutes', time) AS t, "
        "{agg} AS v FROM src GROUP BY t) SELECT * FROM g ORDER BY t",
        "SELECT t, v FROM (SELECT date_bin_gapfill('2 minutes', time) AS t, {agg} AS v "
        "FROM (SELECT * FROM cpu WHERE host = 'a') s WHERE {range} GROUP BY t) ORDER BY t",
        "SELECT date_bin_gapfill('2 minutes', ts) AS t, {agg} AS v FROM (SELECT time AS ts, busy FROM cpu WHERE {range} "
        "AND host = 'a') GROUP BY t ORDER BY t",
        "SELECT date_bin_gapfill('2 minutes', c.time) AS t, max(c.busy) FROM cpu c JOIN other o USING (host, time) "
        "WHERE c.time >= '2024-01-01' AND c.time < '2024-01-01T00:06:00' AND c.host = 'a' GROUP BY t ORDER BY t",
        "SELECT date_bin_gapfill('2 minutes', time) AS t, {agg} FROM (SELECT * FROM cpu WHERE {range} AND host = 'a' UNION ALL "
        "SELECT * FROM other WHERE {range} AND host = 'a') GROUP BY t ORDER BY t",
        'SELECT "date_bin_gapfill"(\'2 minutes\', "time") AS "T", /* locf( */ {agg} "V" FROM cpu WHERE {range} '
        "AND host = 'a' AND note <> 'locf(x)' GROUP BY \"T\" ORDER BY \"T\"",
        "SELECT date_bin_gapfill('2 minutes', time) AS t, {agg} FROM cpu WHERE {range} AND host = 'a' GROUP BY t "
        "ORDER BY date_bin_gapfill('2 minutes', time)",
        "SELECT DISTINCT date_bin_gapfill('2 minutes', time) AS t, {agg} FROM cpu WHERE {range} AND host = 'a' GROUP BY t, host"
        " ORDER BY t",
        "SELECT date_bin_gapfill('2 minutes', time) AS t, {agg} FROM cpu WHERE {range} AND host = 'a' GROUP BY (t), 'x'",
        "SELECT date_bin_gapfill('2 minutes', time, '2000-01-01') AS t, {agg} FROM cpu WHERE {range} AND host = 'a' GROUP BY t "
        "ORDER BY t",
        "(SELECT date_bin_gapfill('2 minutes', time) AS t, {agg} FROM cpu WHERE {range} AND host = 'a' GROUP BY t ORDER BY t)",
    ],
)
def test_it_stands_wherever_a_select_may(cpu: SessionContext, text: str) -> None:
    """G1, B1."""
    found = tuples(cpu, text.format(range=RANGE, agg="max(busy)"))

    assert [(*minutes([row[0]]), row[1]) for row in found] == [(0, 1), (2, None), (4, 4)]


def test_a_union_of_two_and_a_join_of_two_and_one_over_another(cpu: SessionContext) -> None:
    """G1."""
    one = f"SELECT date_bin_gapfill('2 minutes', time) AS t, count(*) AS n FROM cpu WHERE {RANGE} AND host = 'HOST' GROUP BY t"
    a, b = one.replace("HOST", "a"), one.replace("HOST", "b")

    united = tuples(cpu, f"{a} UNION ALL {b} ORDER BY t, n")
    joined = tuples(cpu, f"SELECT a.n, b.n AS m FROM ({a}) a JOIN ({b}) b ON a.t = b.t ORDER BY a.t")
    nested = tuples(
        cpu,
        f"WITH fine AS ({a}) SELECT date_bin_gapfill('3 minutes', t) AS u, sum(n), count(*) FROM fine "
        "WHERE t >= '2024-01-01' AND t < '2024-01-01T00:09:00' GROUP BY u ORDER BY u",
    )

    assert [row[1] for row in united] == [0, 1, 0, 1, 0, 1]
    assert joined == [(1, 0), (0, 1), (1, 0)]
    assert [(*minutes([row[0]]), *row[1:]) for row in nested] == [(0, 1, 2), (3, 1, 1), (6, None, 0)]


@pytest.mark.parametrize(
    ("items", "rest", "expected"),
    [
        ("round(locf(avg(usage))) + 1 AS v", "GROUP BY t ORDER BY t", [2.0, 2.0, 5.0]),
        ("coalesce(max(busy), -1) AS v", "GROUP BY t ORDER BY t", [1, -1, 4]),
        ("CASE WHEN locf(max(busy)) > 1 THEN 'hi' ELSE 'lo' END AS v", "GROUP BY t ORDER BY t", ["lo", "lo", "hi"]),
        ("max(busy) AS v", "GROUP BY t HAVING count(*) > 0 ORDER BY t", [1, 4]),
        ("count(*) AS v", "GROUP BY t HAVING v = 0", [0]),
        ("locf(max(busy)) AS v", "GROUP BY t HAVING locf(max(busy)) = 1 ORDER BY t", [1, 1]),
        ("locf(max(busy)) AS v", "GROUP BY t ORDER BY max(busy) DESC NULLS LAST, t LIMIT 2", [4, 1]),
        ("locf(max(busy) * 10) AS v", "GROUP BY t ORDER BY t", [10, 10, 40]),
        ("max(busy) AS v", "GROUP BY t ORDER BY t DESC LIMIT 1 OFFSET 1", [None]),
        ("sum(count(*)) OVER (ORDER BY date_bin_gapfill('2 minutes', time)) AS v", "GROUP BY t ORDER BY t", [1, 1, 2]),
        (
            "difference(locf(max(busy))) OVER (ORDER BY date_bin_gapfill('2 minutes', time)) AS v",
            "GROUP BY t ORDER BY t",
            [None, 0, 3],
        ),
        (
            "lag(max(busy)) IGNORE NULLS OVER w AS v",
            "GROUP BY t WINDOW w AS (ORDER BY date_bin_gapfill('2 minutes', time)) ORDER BY t",
            [None, 1, 1],
        ),
        ("max(busy) AS v", "GROUP BY t QUALIFY row_number() OVER (ORDER BY max(busy) DESC NULLS LAST) = 1", [4]),
        ("count(DISTINCT busy) AS v", "GROUP BY t ORDER BY t", [1, 0, 1]),
        ("count(busy) FILTER (WHERE busy > 1) AS v", "GROUP BY t ORDER BY t", [0, 0, 1]),
        ("approx_distinct(busy) AS v", "GROUP BY t ORDER BY t", [1, 0, 1]),
        ("array_agg(busy) AS v", "GROUP BY t ORDER BY t", [[1], None, [4]]),
        ("percentile_cont(0.5) WITHIN GROUP (ORDER BY usage) AS v", "GROUP BY t ORDER BY t", [1.0, None, 4.0]),
        ("interpolate(selector_last(usage, time))['value'] AS v", "GROUP BY t ORDER BY t", [1.0, 2.5, 4.0]),
        ("locf(selector_first(note, time))['value'] AS v", "GROUP BY t ORDER BY t", ["p", "p", "q"]),
        ("interpolate(max(busy)) AS v", "GROUP BY t ORDER BY t", [1, 2, 4]),
        ("(SELECT max(busy) FROM other) AS v", "GROUP BY t ORDER BY t", [99, 99, 99]),
        ("upper(region) AS v", "GROUP BY t, upper(region) ORDER BY t", ["X", "X", "X"]),
        ("upper(cpu.region) AS v", "GROUP BY t, upper(region) ORDER BY t", ["X", "X", "X"]),
        ("region || '!' AS v", "GROUP BY t, cpu.region ORDER BY t", ["x!", "x!", "x!"]),
        ("busy % 2 AS v", "GROUP BY t, busy % 2 ORDER BY t, v", [0, 1, 0, 1, 0, 1]),
        ("'const' AS v", "GROUP BY t", ["const", "const", "const"]),
        ("now() = now() AS v", "GROUP BY t", [True, True, True]),
    ],
)
def test_what_is_built_of_aggregates_and_groups(cpu: SessionContext, items: str, rest: str, expected: list[Any]) -> None:
    """G1."""
    text = f"SELECT date_bin_gapfill('2 minutes', time) AS t, {items} FROM cpu WHERE {RANGE} AND host = 'a' {rest}"

    assert [row[1] for row in tuples(cpu, text)] == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("time >= '2024-01-01T00:00:00' AND time < '2024-01-01T00:06:00'", [0, 2, 4]),
        ("time > '2024-01-01T00:00:00' AND time <= '2024-01-01T00:06:00'", [0, 2, 4, 6]),
        ("time >= '2024-01-01T00:01:00' AND time < '2024-01-01T00:04:00.000000001'", [0, 2, 4]),
        ("'2024-01-01T00:00:00' <= time AND '2024-01-01T00:06:00' > time", [0, 2, 4]),
        ("time BETWEEN '2024-01-01T00:00:00' AND '2024-01-01T00:05:59'", [0, 2, 4]),
        ("time >= '2024-01-01T02:00:00+02:00' AND time < to_timestamp(1704067560000000000)", [0, 2, 4]),
        ("time >= to_timestamp('2024-01-01') AND time < to_timestamp('2024-01-01') + INTERVAL '6 minutes'", [0, 2, 4]),
        (
            "time >= '2024-01-01' AND time >= '2024-01-01T00:01:00' AND time < '2025-01-01' AND time < '2024-01-01T00:05:00'",
            [0, 2, 4],
        ),
        ("time = '2024-01-01T00:04:00'", [4]),
        ("NOT (time < '2024-01-01T00:00:00' OR time >= '2024-01-01T00:06:00')", [0, 2, 4]),
        ("time >= $from AND time < $to", [0, 2, 4]),
        ("time >= '2024-01-01T00:06:00' AND time < '2024-01-01'", []),
        ("time >= '2024-01-01' AND time < '2024-01-01T00:06:00' AND false", []),
        ("time >= '2024-01-01' AND time < '2024-01-01T00:06:00' AND busy = 12345", []),
    ],
)
def test_the_range_is_read_off_the_conditions(cpu: SessionContext, condition: str, expected: list[int]) -> None:
    """B1."""
    parameters = {"from": "2024-01-01", "to": "2024-01-01T00:06:00Z"} if "$from" in condition else {}
    text = f"SELECT date_bin_gapfill('2 minutes', time) AS t FROM cpu WHERE host = 'a' AND {condition} GROUP BY t ORDER BY t"

    assert minutes(column(cpu, text, parameters)) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT {bin} AS t FROM cpu GROUP BY t", "gap-filling query is missing both upper and lower time bounds"),
        ("SELECT {bin} AS t FROM cpu WHERE time < now() GROUP BY t", "gap-filling query is missing lower time bound"),
        ("SELECT {bin} AS t FROM cpu WHERE time > '2024-01-01' GROUP BY t", "gap-filling query is missing upper time bound"),
        (
            "SELECT {bin} AS t FROM cpu WHERE time > '2024-01-01' AND time < now() OR host = 'a' GROUP BY t",
            "gap-filling query is missing both upper and lower time bounds",
        ),
        (
            "SELECT {bin} AS t FROM cpu WHERE time >= (SELECT min(time) FROM cpu) AND time < now() GROUP BY t",
            "lower time bound for gap fill query must evaluate to a scalar",
        ),
        ("SELECT {bin} AS t FROM cpu", "date_bin_gapfill may only be used as a GROUP BY expression"),
        (
            "SELECT {bin} AS t, max(busy) FROM cpu WHERE {range} GROUP BY time",
            "date_bin_gapfill may only be used as a GROUP BY",
        ),
        (
            "SELECT {bin} AS time, max(busy) FROM cpu WHERE {range} GROUP BY time",
            "date_bin_gapfill may only be used as a GROUP BY",
        ),
        ("SELECT max(busy) FROM cpu WHERE {bin} > '2024-01-01'", "date_bin_gapfill may only be used as a GROUP BY expression"),
        (
            "SELECT {bin}::BIGINT AS t FROM cpu WHERE {range} GROUP BY 1",
            "DATE_BIN_GAPFILL must be a top-level expression in the GROUP BY clause when gap filling. "
            "It cannot be part of another expression or cast",
        ),
        (
            "SELECT max(busy) FROM cpu WHERE {range} GROUP BY date_trunc('hour', {bin})",
            "DATE_BIN_GAPFILL must be a top-level expression in the GROUP BY clause when gap filling",
        ),
        (
            "SELECT {bin}, date_bin_gapfill('1 minute', time) FROM cpu GROUP BY 1, 2",
            "DATE_BIN_GAPFILL specified more than once",
        ),
        (
            "SELECT {bin}, date_bin_gapfill('1 minute', time) AS u FROM cpu WHERE {range} GROUP BY 1",
            "date_bin_gapfill may only be used as a GROUP BY expression",
        ),
        ("SELECT date_bin_gapfill('1 minute') AS t FROM cpu GROUP BY t", "DATE_BIN_GAPFILL expects 2 or 3 arguments, got 1"),
        ("SELECT date_bin_gapfill(1, 2, 3, 4) AS t FROM cpu GROUP BY t", "DATE_BIN_GAPFILL expects 2 or 3 arguments, got 4"),
        (
            "SELECT date_bin_gapfill('1 minute', time + INTERVAL '1 hour') AS t FROM cpu WHERE {range} GROUP BY t",
            "DATE_BIN_GAPFILL requires a column as the source argument",
        ),
        (
            "SELECT date_bin_gapfill('1 minute', to_timestamp('2024-01-01')) AS t FROM cpu WHERE {range} GROUP BY t",
            "DATE_BIN_GAPFILL requires a column as the source argument",
        ),
        (
            "SELECT date_bin_gapfill(busy * INTERVAL '1 minute', time) AS t FROM cpu WHERE {range} GROUP BY t",
            "",
        ),
        (
            "SELECT date_bin_gapfill('1 minute', time, time) AS t FROM cpu WHERE {range} GROUP BY t",
            "origin argument to DATE_BIN_GAPFILL for gap fill query must evaluate to a scalar",
        ),
        (
            "SELECT date_bin_gapfill('1 month', time) AS t FROM cpu WHERE {range} GROUP BY t",
            "gap filling does not support month intervals",
        ),
        ("SELECT date_bin_gapfill('0 s', time) AS t FROM cpu WHERE {range} GROUP BY t", "stride argument to DATE_BIN_GAPFILL"),
        ("SELECT locf(max(busy)) FROM cpu", "locf may only be used in the SELECT list of a gap-filling query"),
        ("SELECT interpolate(busy) FROM cpu", "interpolate may only be used in the SELECT list of a gap-filling query"),
        (
            "SELECT {bin} AS t, max(locf(busy)) FROM cpu WHERE {range} GROUP BY t",
            "locf may only be used in the SELECT list of a gap-filling query",
        ),
        (
            "SELECT date_bin('1 minute', time) AS t, locf(max(busy)) FROM cpu GROUP BY t",
            "locf may only be used in the SELECT list of a gap-filling query",
        ),
        (
            "SELECT {bin} AS t, locf(busy) FROM cpu WHERE {range} GROUP BY t, busy",
            "locf must be called on an aggregate column in a gap-filling query",
        ),
        (
            "SELECT {bin} AS t, interpolate(1) FROM cpu WHERE {range} GROUP BY t",
            "interpolate must be called on an aggregate column in a gap-filling query",
        ),
        (
            "SELECT {bin} AS t, locf(max(busy)), interpolate(max(busy)) FROM cpu WHERE {range} GROUP BY t",
            "multiple fill strategies for the same column",
        ),
        (
            "SELECT {bin} AS t, locf(interpolate(max(busy))) FROM cpu WHERE {range} GROUP BY t",
            "multiple fill strategies for the same column",
        ),
        ("SELECT {bin} AS t, locf(max(busy), 1) FROM cpu WHERE {range} GROUP BY t", "locf expects 1 argument, got 2"),
        (
            "SELECT {bin} AS t, interpolate(max(note)) FROM cpu WHERE {range} GROUP BY t",
            "interpolate works on Float64, Int64, UInt64",
        ),
        ("SELECT {bin} AS t, host FROM cpu WHERE {range} GROUP BY ROLLUP (t, host)", "gap filling over grouping sets"),
        ("SELECT {bin} AS t, host FROM cpu WHERE {range} GROUP BY t", "must appear in the GROUP BY clause"),
        ("SELECT {bin} AS t, nothing FROM cpu WHERE {range} GROUP BY t", "No field named nothing"),
        ("SELECT {bin} AS t, max(nothing) FROM cpu WHERE {range} GROUP BY t", "No field named nothing"),
        ("SELECT {bin} AS t FROM nowhere WHERE {range} GROUP BY t", "table 'public.iox.nowhere' not found"),
        (
            "SELECT date_bin_gapfill('1 nanosecond', time) FROM cpu "
            "WHERE time >= '2024-01-01' AND time < '2024-01-02' GROUP BY 1",
            "gap filling would make 86,400,000,000,000 rows for each series",
        ),
        (
            "SELECT date_bin_wallclock_gapfill('1 day', time) AS t FROM cpu GROUP BY t",
            "gap-filling query is missing both upper and lower time bounds",
        ),
        (
            "SELECT date_bin_wallclock_gapfill('1 month', tz(time, 'Asia/Tokyo')) AS t FROM cpu WHERE {range} GROUP BY t",
            "gap filling does not support month intervals",
        ),
        (
            "SELECT date_bin_wallclock_gapfill('1 day', time) FROM cpu",
            "date_bin_wallclock_gapfill may only be used as a GROUP BY",
        ),
    ],
)
def test_what_can_not_be_meant_is_refused(cpu: SessionContext, text: str, said: str) -> None:
    """G2, B2."""
    with pytest.raises(QueryRefused) as caught:
        prepare(cpu, text.format(bin="date_bin_gapfill('2 minutes', time)", range=RANGE), {})

    assert said in str(caught.value)


def test_zones_and_clocks(cpu: SessionContext) -> None:
    text = (
        "SELECT {call}('1 day', tz(time, 'Europe/Berlin')) AS t, count(*) FROM cpu "
        "WHERE time >= '2024-03-30T23:00:00' AND time < '2024-04-01T22:00:00' OR time IS NULL GROUP BY t ORDER BY t"
    ).replace(" OR time IS NULL", "")
    clock = rows({"host": "a", "time": "2024-03-31T12:00", "busy": 1})

    plain = tuples(context_of(cpu=clock), text.format(call="date_bin_gapfill"))
    local = tuples(context_of(cpu=clock), text.format(call="date_bin_wallclock_gapfill"))

    assert plain == [
        ("2024-03-30T01:00:00+01:00", 0),
        ("2024-03-31T01:00:00+01:00", 1),
        ("2024-04-01T02:00:00+02:00", 0),
    ]
    assert local == [("2024-03-31T00:00:00+01:00", 1), ("2024-04-01T00:00:00+02:00", 0)]


def test_types_and_marks_stay_what_they_are(cpu: SessionContext) -> None:
    text = (
        f"SELECT host, date_bin_gapfill('1 minute', time) AS t, count(*) AS n, locf(max(busy)) AS m, avg(usage) AS a "
        f"FROM cpu WHERE {RANGE} GROUP BY host, t"
    )

    schema = read(prepare(cpu, text, {})).schema

    assert [(field.name, str(field.type), field.nullable) for field in schema] == [
        ("host", str(CPU.field("host").type), True),
        ("t", "timestamp[ns]", True),
        ("n", "int64", False),
        ("m", "int64", True),
        ("a", "double", True),
    ]
    assert [field.name for field in schema if field.metadata] == ["host"]


def test_a_name_in_order_by_is_that_of_the_result(cpu: SessionContext) -> None:
    """G1: also where a grouping column has it."""
    text = (
        f"SELECT date_bin_gapfill('3 minutes', time) AS t, host AS h, -min(busy) AS host FROM cpu WHERE {RANGE} "
        "GROUP BY t, cpu.host ORDER BY host NULLS FIRST, t"
    )

    assert [row[2] for row in tuples(cpu, text)] == [None, -20, -4, -1]


def test_nothing_runs_before_it_is_asked_for(cpu: SessionContext) -> None:
    """G3."""
    asked: list[object] = []
    prepared = prepare(cpu, f"SELECT date_bin_gapfill('1 minute', time) AS t, count(*) FROM cpu WHERE {RANGE} GROUP BY t", {})

    batches = prepared.batches(lambda frame: asked.append(frame) or iter(()))  # type: ignore[func-returns-value]

    assert asked == []
    list(batches)
    assert asked == [prepared.steps[0].frame, prepared.frame]


def test_explain_shows_all_parts(cpu: SessionContext) -> None:
    text = f"SELECT date_bin_gapfill('1 minute', time) AS t, count(*) FROM cpu WHERE {RANGE} GROUP BY t"

    plain = ask(cpu, f"EXPLAIN {text}")
    analyzed = ask(cpu, f"EXPLAIN ANALYZE {text}")

    assert [row["plan_type"] for row in plain] == [
        *("logical_plan", "physical_plan", "logical_plan of gapfill_1", "physical_plan of gapfill_1"),
    ]
    assert "TableScan: cpu" in plain[2]["plan"]
    assert analyzed[0]["plan_type"] == "Plan with Metrics"


def test_bounds_that_are_not_known_yet_do_not_keep_the_schema_from_being_known(cpu: SessionContext) -> None:
    text = (
        "SELECT date_bin_gapfill($stride, time) AS t, locf(max(busy)) AS m FROM cpu "
        "WHERE time >= $from AND time < $to GROUP BY t"
    )

    schema = prepare(cpu, text, None).schema

    assert [(field.name, str(field.type)) for field in schema] == [("t", "timestamp[ns]"), ("m", "int64")]


def test_a_statement_may_be_prepared_again_in_its_context(cpu: SessionContext) -> None:
    text = f"SELECT date_bin_gapfill('1 minute', time) AS t, count(*) AS n FROM cpu WHERE {RANGE} GROUP BY t"

    first, second = prepare(cpu, text, {}), prepare(cpu, text, {})

    assert read(second).num_rows == read(first).num_rows == 6


def test_a_late_table_applies_what_it_is_handed() -> None:
    """T1."""
    table = LateTable(pa.schema([("a", pa.int64()), ("b", pa.utf8())]), Stop())
    table.rows = lambda: iter([pa.record_batch({"a": [1, 2, 3], "b": ["x", "y", "z"]})])
    (fragment,) = table.get_fragments()

    some = list(fragment.scanner(columns=["b"], filter=ds.field("a") > 1).to_batches())
    none = list(fragment.scanner(columns=[]).to_batches())

    assert pa.Table.from_batches(some).to_pylist() == [{"b": "y"}, {"b": "z"}]
    assert none[0].num_rows == 3


def test_a_late_table_without_rows_says_so() -> None:
    (fragment,) = LateTable(pa.schema([("a", pa.int64())]), Stop()).get_fragments()

    with pytest.raises(RuntimeError, match="before its rows were made"):
        list(fragment.scanner().to_batches())


def test_a_late_table_ends_with_its_statement() -> None:
    """T2."""
    stop = Stop()
    table = LateTable(pa.schema([("a", pa.int64())]), stop)
    table.rows = lambda: iter([pa.record_batch({"a": [1]}), pa.record_batch({"a": [2]})])
    (fragment,) = table.get_fragments()
    batches = fragment.scanner().to_batches()
    next(batches)

    stop.set()

    with pytest.raises(StatementStopped):
        next(batches)

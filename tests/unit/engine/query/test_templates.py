"""Statements that differ in values only."""

import time
from collections.abc import Iterator

import pyarrow as pa
import pytest
from datafusion import SessionContext

from catalog.errors import ServiceError
from engine.node import Node
from engine.query import templates
from engine.query.shapes.outline import Outline, Reading
from engine.query.shapes.values import Values, moment_of
from engine.query.stop import Stop
from engine.query.templates import Template, template_of
from engine.requests import FROM_SQL
from engine.storage.memory import MemoryStore
from tests.helpers.engine import read, running, write
from tests.helpers.plannings import plannings as plannings

HOUR_NS = 3600 * 10**9


@pytest.mark.parametrize(
    ("text", "expected", "values"),
    [
        (
            "SELECT v FROM t WHERE host = 'a' AND time >= '2020-01-01' LIMIT 5",
            "SELECT v FROM t WHERE host = $_1 AND time >= $_2 LIMIT 5",
            ["a", "2020-01-01"],
        ),
        (
            "SELECT date_trunc('hour', time) FROM t WHERE host IN ('it''s', 'b') OR host not in('c')",
            "SELECT date_trunc('hour', time) FROM t WHERE host IN ($_1, $_2) OR host not in($_3)",
            ["it's", "b", "c"],
        ),
        ("WHERE time between '1' and '2' -- = 'x'", "WHERE time between $_1 and $_2 -- = 'x'", ["1", "2"]),
        ("WHERE \"a = 'b'\" <> 'c'", "WHERE \"a = 'b'\" <> $_1", ["c"]),
        ("WHERE a = '''' AND b = ' = ''x'''", "WHERE a = $_1 AND b = $_2", ["'", " = 'x'"]),
        ("WHERE time > now() - INTERVAL '2 hours' AND time < NOW()", "WHERE time > $_1 AND time < $_2", [-2 * HOUR_NS, 0]),
    ],
)
def test_values_behind_comparisons_are_taken_out(text: str, expected: str, values: list[object]) -> None:
    """L1."""
    found = template_of(text, now_ns=lambda: 0)

    assert found is not None
    assert found.text == expected
    assert [value.value if isinstance(value, pa.Scalar) else value for value in found.values.values()] == values


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "SELECT 'a' FROM t WHERE v > 1",
        "WHERE time > '2020-01-01'::timestamp",
        "WHERE time > 'a' || 'b'",
        "WHERE time > now() - INTERVAL '1 month'",
        "WHERE time > now() - INTERVAL '1 day' * 2",
        "WHERE time > '2020-01-01' AND v > date_part('hour', now())",
        "WHERE time > '2020-01-01' AND time < current_timestamp",
        "WHERE a = 'x' /* 'y' */",
        "WHERE a = E'x\\'' AND b = 'y'",
        "WHERE a = 'x' AND b = $b",
        "WHERE a = 'x' AND b = ?",
        "WHERE a = '$b'",
        "WHERE a = 'x' AND b = $$y$$",
        "WHERE a = '" + "x" * templates.TEXT_MAX + "'",
    ],
)
def test_other_texts_are_left_as_they_are(text: str) -> None:
    """L1."""
    assert template_of(text) is None


def test_values_that_come_apart_from_the_text_are_taken_as_well() -> None:
    """L1: all of them, or none."""
    given = {"host": "a", "$v": 1}

    assert template_of("WHERE host = $host AND v = $v AND x = 'y'", given) == Template(
        "WHERE host = $host AND v = $v AND x = $_3", {"$host": "a", "$v": 1, "$_3": "y"}, (("$host", "str"), ("$v", "int"))
    )
    assert template_of("WHERE host = $host", given) is None
    assert template_of("WHERE host = $host AND v = '$v'", given) is None
    assert template_of("WHERE a = $_1", {"_1": "x"}) is None


@pytest.mark.parametrize(
    "text",
    [
        "2020-02-29",
        "2020-02-29T13:14:15Z",
        "2020-02-29 13:14:15",
        "2020-02-29T13:14:15.123456789Z",
        "1969-12-31T23:59:59.9+05:30",
        "1677-09-21T00:12:44Z",
        "2020-02-29T13:14:15-00:30",
    ],
)
def test_a_moment_is_the_one_that_the_planner_reads(text: str) -> None:
    """V1."""
    (batch,) = SessionContext().sql(f"SELECT arrow_cast('{text}', 'Timestamp(Nanosecond, None)') AS t").collect()

    assert moment_of(text) == batch.column(0)[0]


@pytest.mark.parametrize("text", ["2020-02-30", "2020", "now", "1500-01-01", "2020-02-29T25:00:00Z", "2020-02-29T1:2:3", ""])
def test_other_spellings_are_the_planners(text: str) -> None:
    """V1."""
    assert moment_of(text) is None


@pytest.fixture
def node() -> Iterator[Node]:
    with running(MemoryStore(), wal_flush_interval_ms=1) as node:
        lines = [f't,host=h{n % 3} v={n},i={n}i,s="s{n % 2}",b={str(n % 2 == 0).lower()} {n * 10**9}' for n in range(12)]
        write(node, "\n".join(lines))
        yield node


#: with places for a value, and values
STATEMENTS = [
    ("SELECT v FROM t WHERE host = '{}' ORDER BY time", ["h1", "h2", "nobody", "it''s", "h1"]),
    (
        "SELECT count(*) AS n FROM t WHERE time >= '{}'",
        ["1970-01-01T00:00:04Z", "1970-01-01 00:00:11", "2020-01-01", "1960-01-01"],
    ),
    (
        "SELECT host, sum(v) AS v FROM t WHERE time > '{}' GROUP BY host ORDER BY host",
        ["1970-01-01T00:00:05", "1970-01-01", "1970-01-02"],
    ),
    ("SELECT i FROM t WHERE host IN ('{}', 'h2', 'x', 'y') AND v > 3 ORDER BY i DESC LIMIT 3", ["h0", "h1", "h2"]),
    (
        "SELECT i FROM t WHERE time BETWEEN '{}' AND '1970-01-01T00:00:09' AND s <> 's1' ORDER BY i",
        ["1970-01-01", "1970-01-02"],
    ),
    ("SELECT DISTINCT host FROM t WHERE NOT (host = '{}') ORDER BY 1", ["h0", "h1"]),
    ("SELECT host AS h, max(v) AS m FROM t GROUP BY h HAVING host <> '{}' ORDER BY m", ["h2", "h0"]),
]


@pytest.mark.parametrize(("text", "values"), STATEMENTS)
def test_a_template_is_planned_twice_and_then_bound(node: Node, plannings: list[str], text: str, values: list[str]) -> None:
    """L1, L3, O3: the answers are those of plans."""
    said = [text.format(value) for value in [*values, *values]]
    expected = [
        read(node, f"SELECT * FROM ({each}) ORDER BY 1" if "ORDER" not in each else f"{each} -- /* */") for each in said
    ]
    plannings.clear()
    node._executor.result()._plans._kept.clear()

    assert [read(node, each) for each in said] == expected
    learned = template_of(said[1])
    assert learned is not None
    assert plannings == [said[0], said[1], learned.text, learned.spelled]
    assert {str(node.plan_sql("db", each)) for each in said} == {str(node.plan_sql("db", f"{said[0]} -- /* */"))}


def test_values_given_apart_are_bound_to_a_template(node: Node, plannings: list[str]) -> None:
    """L1, L3."""
    text = "SELECT i FROM t WHERE host = $host AND v >= $low AND s = 's1' ORDER BY i"

    def asked(host: object, low: object) -> list[object]:
        rows = node.query_sql("db", text, {"host": host, "low": low})
        return [row["i"] for batch in rows for row in batch.to_pylist()]

    assert asked("h0", 3.5) == [9]
    assert asked("h0", 1.5) == [3, 9]
    before = len(plannings)
    assert asked("h1", 1.5) == [7]
    assert asked("h2", -1.5) == [5, 11]
    assert len(plannings) == before
    assert asked("h2", 6) == [11]  # another type is another template
    assert asked("h2", None) == []
    assert plannings[before:] == [text] * 2
    with pytest.raises(ServiceError, match="low"):
        node.query_sql("db", text, {"host": "h2"})


@pytest.mark.parametrize(
    "text",
    [
        "SELECT v FROM t WHERE i = '{}'",  # text, compared with a number
        "SELECT host = '{}' AS x FROM t ORDER BY 1",
        "SELECT a.v FROM t a JOIN t b ON a.time = b.time WHERE a.host = 'h{}' ORDER BY 1",
        "SELECT v FROM t WHERE upper(host) = 'H{}' ORDER BY 1",
        "SELECT count(*) FILTER (WHERE host = 'h{}') FROM t",
    ],
)
def test_what_cannot_be_bound_is_planned_each_time(node: Node, plannings: list[str], text: str) -> None:
    """L1: and it is tried to be learned once at most."""
    for number in range(4):
        read(node, text.format(number))

    assert [each for each in dict.fromkeys(plannings) if "$" not in each] == [text.format(number) for number in range(4)]
    assert len(plannings) <= 6


def test_a_value_that_does_not_fit_its_place_is_planned(node: Node) -> None:
    """L1: and refused in the planner's words."""
    for day in ("02", "03", "04"):
        read(node, f"SELECT v FROM t WHERE time >= '1970-01-{day}'")

    with pytest.raises(ServiceError, match="some day"):
        read(node, "SELECT v FROM t WHERE time >= 'some day'")


def test_a_new_column_is_a_new_reading(node: Node) -> None:
    """L2."""
    for host in ("h0", "h1", "h2"):
        assert list(read(node, f"SELECT * FROM t WHERE host = '{host}'")[0]) == ["b", "host", "i", "s", "time", "v"]
    write(node, "t,host=h9 w=1 1")

    assert list(read(node, "SELECT * FROM t WHERE host = 'h9'")[0]) == ["b", "host", "i", "s", "time", "v", "w"]


def test_now_is_the_moment_of_each_statement(node: Node, plannings: list[str]) -> None:
    """L1."""
    text = "SELECT v FROM t WHERE host = 'now' AND time > now() - INTERVAL '1 second'"
    for _ in range(3):
        assert read(node, text) == []
    write(node, f"t,host=now v=1 {time.time_ns()}")

    assert read(node, text) == [{"v": 1.0}]
    assert len(plannings) == 4
    executor = node._executor.result()
    outline = executor._planned(executor._asked("db", text, {}), Stop(), FROM_SQL).outline
    assert outline is not None
    assert abs(outline.predicate.times.start_ns + 10**9 - time.time_ns()) < 10 * 10**9


def test_only_so_many_templates_are_kept(node: Node, plannings: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """L3."""
    monkeypatch.setattr(templates, "TEMPLATES_MAX", 2)
    for limit in (1, 2, 3):
        for host in ("h0", "h1"):
            read(node, f"SELECT v FROM t WHERE host = '{host}' LIMIT {limit}")
    plannings.clear()
    read(node, "SELECT v FROM t WHERE host = 'h2' LIMIT 3")
    assert plannings == []

    read(node, "SELECT v FROM t WHERE host = 'h2' LIMIT 1")
    assert plannings == ["SELECT v FROM t WHERE host = 'h2' LIMIT 1"]


def test_a_text_that_is_asked_again_is_not_bound_again(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """L4: one that was described before it runs, say; a moment is another one each time."""
    bindings: list[Reading] = []
    bound = Reading.bound

    def noted(reading: Reading, values: Values) -> Outline | None:
        bindings.append(reading)
        return bound(reading, values)

    for host in ("h0", "h1"):
        read(node, f"SELECT v FROM t WHERE host = '{host}'")
        read(node, f"SELECT v FROM t WHERE host = '{host}' AND time > now()")
    monkeypatch.setattr(Reading, "bound", noted)
    text = "SELECT v FROM t WHERE host = 'h2'"
    schema = node.plan_sql("db", text)
    first, second = read(node, text), read(node, text)
    assert sorted(row["v"] for row in first) == sorted(row["v"] for row in second) == [2.0, 5.0, 8.0, 11.0]
    assert schema.names == ["v"]
    assert len(bindings) == 1

    for _ in range(2):
        read(node, "SELECT v FROM t WHERE host = 'h2' AND time > now()")
    assert len(bindings) == 3

"""Marks on the columns of results."""

import pytest

from engine.query.statement import prepare
from tests.helpers.sql import context_of, rows

CPU = rows({"host": "a", "time": "2024-01-01", "busy": 1, "usage": 0.5})


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("SELECT * FROM cpu", "busy count host note on region time usage"),
        ("SELECT host, usage AS u FROM cpu WHERE busy > 0 ORDER BY time LIMIT 1", "host u"),
        ("SELECT -usage AS n, usage::INT AS i, host::TEXT AS h, usage + 1 AS p, upper(note) AS x FROM cpu", ""),
        ("SELECT usage::DOUBLE AS usage FROM cpu", ""),
        ("SELECT usage FROM (SELECT -usage AS usage FROM cpu) s ORDER BY usage", ""),
        ("SELECT host, first_value(usage ORDER BY time) AS f, max(busy) AS m FROM cpu GROUP BY host", "host"),
        ("SELECT host, selector_last(usage, time)['value'] AS v FROM cpu GROUP BY host", "host"),
        ("SELECT host, lag(usage) OVER (ORDER BY time) AS l, sum(busy) OVER () AS s FROM cpu", "host"),
        ("SELECT a.host, b.usage, a.busy + 1 AS c FROM cpu a JOIN cpu b ON a.host = b.host", "host usage"),
        ("SELECT host FROM cpu UNION SELECT host FROM cpu", "host"),
        ("SELECT usage FROM cpu UNION ALL SELECT -usage AS usage FROM cpu", ""),
        ("SELECT h, u FROM (SELECT host AS h, usage AS u, row_number() OVER (ORDER BY time) AS n FROM cpu) WHERE n = 1", "h u"),
        ("WITH c AS (SELECT host AS h, last_value(note) AS n FROM cpu GROUP BY host) SELECT h, n FROM c", "h"),
        ("SELECT date_bin('1 hour', time) AS t, time FROM cpu", "time"),
        ("SELECT DISTINCT host FROM cpu", "host"),
        ("SELECT host FROM cpu WHERE host IN (SELECT host FROM cpu)", "host"),
        ("SELECT (SELECT max(usage) FROM cpu) AS m, tz(time) AS z, coalesce(usage, 0) AS c FROM cpu", ""),
        ("SELECT cpu.host FROM cpu CROSS JOIN cpu AS d", "host"),
        ("SELECT public.iox.cpu.host FROM public.iox.cpu", "host"),
        (
            "SELECT host, date_bin_gapfill('1 hour', time) AS t, locf(max(usage)) AS m FROM cpu "
            "WHERE time >= '2024-01-01' AND time < '2024-01-02' GROUP BY host, t",
            "host",
        ),
        (
            "SELECT host, difference(max(busy)) OVER (ORDER BY date_bin_gapfill('1 hour', time)) AS d FROM cpu "
            "WHERE time >= '2024-01-01' AND time < '2024-01-02' GROUP BY host, date_bin_gapfill('1 hour', time)",
            "host",
        ),
    ],
)
def test_only_what_is_handed_through_keeps_its_mark(text: str, own: str) -> None:
    """Y1."""
    schema = prepare(context_of(cpu=CPU), text, {}).schema

    assert [field.name for field in schema if field.metadata] == own.split()


def test_a_mark_says_what_it_said() -> None:
    """Y1."""
    schema = prepare(context_of(cpu=CPU), "SELECT host AS h FROM cpu", {}).schema

    assert schema.field("h").metadata == {b"iox::column::type": b"iox::column_type::tag"}

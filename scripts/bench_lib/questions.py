"""What is asked: the TSBS cpu-only queries and a few that monitoring asks all day, for whoever can be asked.

Q1  A question has VARIANTS wordings that differ in hosts and times, so that no answer can be kept; the same ones every run.
Q2  SQL, InfluxQL and MetricsQL ask for the same rows under the same column names: a peer's answer can be compared.
Q3  Windows are whole buckets. MetricsQL looks back from the end of each bucket, a millisecond before the next one.

Held by tests/bench/test_questions.py. Elsewhere: goals (query_report.py), asking (query_client.py), comparing (answers.py).
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from .data import CPU_FIELDS, SEED, STEP_NS, DataSet

VARIANTS = 8
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS


@dataclass(frozen=True, slots=True)
class Draw:
    """One wording's hosts, and its times by length."""

    hosts: tuple[str, ...]
    first_ns: int
    end_ns: int
    seed: int

    def window(self, hours: int, bucket_ns: int) -> tuple[int, int]:
        """A stretch of so many hours within the data, or all of it when it is shorter (Q3)."""
        buckets = (self.end_ns - self.first_ns) // bucket_ns
        wanted = min(buckets, hours * HOUR_NS // bucket_ns)
        start = self.first_ns + random.Random(self.seed + hours).randint(0, buckets - wanted) * bucket_ns
        return start, start + wanted * bucket_ns


def draws(data: DataSet, rows: int) -> list[Draw]:
    """Q1."""
    end_ns = data.start_ns + data.steps(rows) * STEP_NS
    made = []
    for number in range(VARIANTS):
        choose = random.Random(SEED + 1000 * number)
        hosts = [f"host_{host}" for host in choose.sample(range(data.width), min(8, data.width))]
        made.append(Draw(tuple(hosts), data.start_ns, end_ns, 1000 * number))
    return made


Ask = Callable[[Draw], str]


@dataclass(frozen=True, slots=True)
class Question:
    """`influxql` and `metricsql` are None where the language can not ask it. MetricsQL is a whole path with its query."""

    name: str
    sql: Ask
    influxql: Ask | None = None
    metricsql: Ask | None = None
    duckdb: Ask | None = None  # where it spells something otherwise than SQL here
    bucket_ns: int = 0  # of the times in a MetricsQL answer


def iso(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // SECOND_NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _sql_hosts(hosts: Sequence[str]) -> str:
    if len(hosts) == 1:
        return f"hostname = '{hosts[0]}'"
    return f"hostname IN ({', '.join(repr(host) for host in hosts)})"


def _influx_hosts(hosts: Sequence[str]) -> str:
    return "(" + " OR ".join(f"hostname = '{host}'" for host in hosts) + ")"


def _span(window: tuple[int, int]) -> str:
    return f"time >= '{iso(window[0])}' AND time < '{iso(window[1])}'"


def _each(function: str, fields: Sequence[str]) -> str:
    return ", ".join(f"{function}({field}) AS {field}" for field in fields)


def _selector(fields: Sequence[str], hosts: Sequence[str] = ()) -> str:
    labels = f', hostname=~"{"|".join(hosts)}"' if hosts else ""
    return f'{{__name__=~"cpu_({"|".join(fields)})"{labels}}}'


def _range(query: str, window: tuple[int, int], step_ns: int) -> str:
    """Evaluated at the end of each bucket (Q3)."""
    start, end = ((time_ns + offset_ns) // 1_000_000 - 1 for time_ns, offset_ns in ((window[0], step_ns), (window[1], 0)))
    asked = {"query": query, "start": start / 1000, "end": end / 1000, "step": step_ns // SECOND_NS, "nocache": 1}
    return f"/api/v1/query_range?{urlencode(asked)}"


def _instant(query: str, time_ns: int) -> str:
    return f"/api/v1/query?{urlencode({'query': query, 'time': time_ns // SECOND_NS, 'nocache': 1})}"


def _by_time(name: str, fields: Sequence[str], hosts: int, hours: int, bucket: str) -> Question:
    """The greatest value in each bucket over some hosts."""
    bucket_ns = {"minute": MINUTE_NS, "hour": HOUR_NS}[bucket]

    def sql(draw: Draw) -> str:
        where = f"{_sql_hosts(draw.hosts[:hosts])} AND {_span(draw.window(hours, bucket_ns))}"
        columns = f"date_trunc('{bucket}', time) AS {bucket}, {_each('max', fields)}"
        return f"SELECT {columns} FROM cpu WHERE {where} GROUP BY 1 ORDER BY 1"

    def influxql(draw: Draw) -> str:
        where = f"{_influx_hosts(draw.hosts[:hosts])} AND {_span(draw.window(hours, bucket_ns))}"
        return f"SELECT {_each('max', fields)} FROM cpu WHERE {where} GROUP BY time(1{bucket[0]}) fill(none)"

    def metricsql(draw: Draw) -> str:
        query = f"max(max_over_time({_selector(fields, draw.hosts[:hosts])}[1{bucket[0]}])) by (__name__)"
        return _range(query, draw.window(hours, bucket_ns), bucket_ns)

    return Question(name, sql, influxql, metricsql, bucket_ns=bucket_ns)


def _by_time_and_host(count: int) -> Question:
    """The mean of each host and hour, over twelve hours."""
    fields = CPU_FIELDS[:count]

    def sql(draw: Draw) -> str:
        where = _span(draw.window(12, HOUR_NS))
        return (
            f"SELECT hostname, date_trunc('hour', time) AS hour, {_each('avg', fields)} FROM cpu WHERE {where} "
            "GROUP BY 1, 2 ORDER BY 2, 1"
        )

    def influxql(draw: Draw) -> str:
        where = _span(draw.window(12, HOUR_NS))
        return f"SELECT {_each('mean', fields)} FROM cpu WHERE {where} GROUP BY time(1h), hostname fill(none)"

    def metricsql(draw: Draw) -> str:
        query = f"avg(avg_over_time({_selector(fields)}[1h])) by (__name__, hostname)"
        return _range(query, draw.window(12, HOUR_NS), HOUR_NS)

    name = {len(CPU_FIELDS): "all"}.get(count, str(count))
    return Question(f"double-groupby-{name}", sql, influxql, metricsql, bucket_ns=HOUR_NS)


def _high_cpu(hosts: int) -> Question:
    """Whole rows over a threshold, within twelve hours; 0 hosts are all."""

    def where(draw: Draw, spelled: Callable[[Sequence[str]], str]) -> str:
        some = f" AND {spelled(draw.hosts[:hosts])}" if hosts else ""
        return f"usage_user > 90.0 AND {_span(draw.window(12, HOUR_NS))}{some}"

    def ask(spelled: Callable[[Sequence[str]], str]) -> Ask:
        return lambda draw: f"SELECT * FROM cpu WHERE {where(draw, spelled)}"

    return Question(f"high-cpu-{hosts or 'all'}", ask(_sql_hosts), ask(_influx_hosts))


def _newest_buckets() -> Question:
    """The newest five minutes before some moment, over all hosts."""

    def ask(bucket: str, group: str, order: str) -> Ask:
        return lambda draw: (
            f"SELECT {bucket}max(usage_user) AS usage_user FROM cpu "
            f"WHERE time < '{iso(draw.window(1, MINUTE_NS)[1])}' GROUP BY {group} ORDER BY {order} DESC LIMIT 5"
        )

    sql = ask("date_trunc('minute', time) AS minute, ", "1", "1")
    return Question("groupby-orderby-limit", sql, ask("", "time(1m)", "time"))


def _newest_rows() -> Question:
    return Question(
        "lastpoint",
        lambda draw: "SELECT DISTINCT ON (hostname) * FROM cpu ORDER BY hostname, time DESC",
        lambda draw: "SELECT * FROM cpu GROUP BY hostname ORDER BY time DESC LIMIT 1",
        lambda draw: _instant(f"last_over_time({_selector(CPU_FIELDS)}[{_reach(draw)}]) keep_metric_names", draw.end_ns),
    )


def _newest_values() -> Question:
    def ask(function: Callable[[str], str]) -> Ask:
        values = ", ".join(f"{function(field)} AS {field}" for field in CPU_FIELDS)
        return lambda draw: f"SELECT hostname, max(time) AS time, {values} FROM cpu GROUP BY hostname"

    return Question(
        "last-value",
        ask(lambda field: f"last_value({field} ORDER BY time)"),
        lambda draw: f"SELECT {_each('last', CPU_FIELDS)} FROM cpu GROUP BY hostname",
        lambda draw: _instant(f"last_over_time({_selector(CPU_FIELDS)}[{_reach(draw)}]) keep_metric_names", draw.end_ns),
        ask(lambda field: f"arg_max({field}, time)"),
    )


def _tag_values() -> Question:
    def metricsql(draw: Draw) -> str:
        asked = {"start": draw.first_ns // SECOND_NS, "end": draw.end_ns // SECOND_NS}
        return f"/api/v1/label/hostname/values?{urlencode(asked)}"

    return Question(
        "tag-values",
        lambda draw: "SELECT DISTINCT hostname FROM cpu",
        lambda draw: "SHOW TAG VALUES FROM cpu WITH KEY = hostname",
        metricsql,
    )


def _count_all() -> Question:
    return Question(
        "count-all",
        lambda draw: "SELECT count(*) AS rows FROM cpu",
        lambda draw: "SELECT count(usage_user) AS rows FROM cpu",
        lambda draw: _instant(
            f"label_set(sum(count_over_time(cpu_usage_user[{_reach(draw)}])), '__name__', 'rows')", draw.end_ns
        ),
    )


def _aggregates_of_all() -> Question:
    """Everything is read."""
    parts = {"mean_user": ("avg", "usage_user"), "max_system": ("max", "usage_system"), "min_idle": ("min", "usage_idle")}
    parts["sum_nice"] = ("sum", "usage_nice")

    def spelled(mean: str) -> Ask:
        columns = ", ".join(f"{mean if how == 'avg' else how}({field}) AS {name}" for name, (how, field) in parts.items())
        return lambda draw: f"SELECT {columns} FROM cpu"

    def metricsql(draw: Draw) -> str:
        def over(how: str, field: str) -> str:
            return f"{how}({how}_over_time(cpu_{field}[{_reach(draw)}]))"

        def one(how: str, field: str) -> str:
            if how != "avg":
                return over(how, field)
            return f"{over('sum', field)} / sum(count_over_time(cpu_{field}[{_reach(draw)}]))"

        named = [f"label_set({one(how, field)}, '__name__', '{name}')" for name, (how, field) in parts.items()]
        return _instant(f"union({', '.join(named)})", draw.end_ns)

    return Question("scan-agg", spelled("avg"), spelled("mean"), metricsql)


def _reach(draw: Draw) -> str:
    """Back to before the first row."""
    return f"{(draw.end_ns - draw.first_ns) // SECOND_NS + 1}s"


QUESTIONS: dict[str, Question] = {
    question.name: question
    for question in (
        _by_time("single-groupby-1-1-1", CPU_FIELDS[:1], 1, 1, "minute"),
        _by_time("single-groupby-1-1-12", CPU_FIELDS[:1], 1, 12, "minute"),
        _by_time("single-groupby-1-8-1", CPU_FIELDS[:1], 8, 1, "minute"),
        _by_time("single-groupby-5-1-1", CPU_FIELDS[:5], 1, 1, "minute"),
        _by_time("single-groupby-5-8-1", CPU_FIELDS[:5], 8, 1, "minute"),
        _by_time("cpu-max-all-1", CPU_FIELDS, 1, 8, "hour"),
        _by_time("cpu-max-all-8", CPU_FIELDS, 8, 8, "hour"),
        _by_time_and_host(1),
        _by_time_and_host(5),
        _by_time_and_host(len(CPU_FIELDS)),
        _high_cpu(1),
        _high_cpu(0),
        _newest_rows(),
        _newest_buckets(),
        _newest_values(),
        _tag_values(),
        _count_all(),
        _aggregates_of_all(),
        Question("tiny", lambda draw: "SELECT 1 AS one"),
    )
}

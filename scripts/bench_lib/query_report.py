"""The tables of `scripts/bench query`: times, ratios to DuckDB, goals.

V1  A goal over Flight SQL is judged twice, in memory and from Parquet, each beside its figure; what was not measured says so.
V2  An answer that differs from DuckDB's stands under the table, whoever gave it.

Held by tests/bench/test_query_report.py.
"""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psutil

from .answers import OK
from .query_scenarios import Measured, Timing, Timings
from .targets import version

WAYS = (
    "duckdb",
    "memory flight",
    "parquet flight",
    "memory http",
    "parquet http",
    "cold flight",
    "influxdb1",
    "victoriametrics",
)
TITLES = {
    "memory flight": "Flight mem",
    "parquet flight": "Flight pq",
    "memory http": "HTTP mem",
    "parquet http": "HTTP pq",
    "cold flight": "cold pq",
    "influxdb1": "influxdb1",
    "victoriametrics": "vm",
}


@dataclass(frozen=True, slots=True)
class Goal:
    """`ratio`: times DuckDB over Flight SQL; `ms` over Flight SQL and `http_ms` over HTTP, by hosts (0: any number)."""

    ratio: float | None = None
    ms: Mapping[int, float] | None = None
    http_ms: float | None = None

    def ms_for(self, hosts: int) -> float | None:
        known = self.ms or {}
        return known.get(hosts, known.get(0))


ONE_HOST, EIGHT_HOSTS, DOUBLE, ROWS = Goal(0.35), Goal(0.25), Goal(0.7), Goal(1.0)
NEWEST = Goal(0.1, {100: 5.0, 4_000: 12.0})
GOALS: dict[str, Goal] = {
    "single-groupby-1-1-1": ONE_HOST,
    "single-groupby-1-1-12": ONE_HOST,
    "single-groupby-5-1-1": ONE_HOST,
    "high-cpu-1": ONE_HOST,
    "cpu-max-all-1": ONE_HOST,
    "single-groupby-1-8-1": EIGHT_HOSTS,
    "single-groupby-5-8-1": EIGHT_HOSTS,
    "cpu-max-all-8": EIGHT_HOSTS,
    "double-groupby-1": DOUBLE,
    "double-groupby-5": DOUBLE,
    "double-groupby-all": DOUBLE,
    "high-cpu-all": ROWS,
    "groupby-orderby-limit": ROWS,
    "scan-agg": Goal(0.5),
    "lastpoint": NEWEST,
    "last-value": NEWEST,
    "tag-values": Goal(0.3, {0: 3.0}),
    "count-all": Goal(ms={0: 2.0}),
    "tiny": Goal(ms={0: 1.5}, http_ms=3.0),
}


def head(targets: Sequence[str]) -> str:
    memory = psutil.virtual_memory().total / 2**30
    peers = [f"{name} {version(name)}" for name in targets if version(name)]
    lines = [
        "# query",
        f"{psutil.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, {load()}",
        *([", ".join(peers)] if peers else []),
        "milliseconds, p50 / p99 of one warm client (cold: a new process's first answer); x: times DuckDB's p50, asked in turn",
    ]
    return "\n".join(lines)


def load() -> str:
    one, five, _ = psutil.getloadavg()
    return f"load {one:.1f} now, {five:.1f} in 5 min"


def table(data: str, hosts: int, rows: int, names: Sequence[str], timings: Timings) -> str:
    ways = [way for way in WAYS if way in timings]
    peers = [way for way in ("influxdb1", "victoriametrics") if way in timings]
    judged = [way for way in ("memory flight", "parquet flight") if way in timings]
    lines = [["", *(TITLES.get(way, way) for way in ways), *(f"x {TITLES[way]}" for way in peers), *verdict_titles(judged)]]
    for name in names:
        cells = [cell(timings[way].get(name)) for way in ways]
        ratios = [times(ratio(timings, way, name)) for way in peers]
        lines.append(
            [name, *cells, *ratios, *(judgement(name, way, hosts, timings) for way in judged), http_verdict(name, timings)]
        )
    heading = f"\n## data set {data}: {hosts:,} hosts, {rows:,} rows ({load()})"
    return "\n".join([heading, *aligned(lines), *faults(timings)])


def verdict_titles(judged: Sequence[str]) -> list[str]:
    return [*(f"goal, {TITLES[way]}" for way in judged), ""]


def cell(timing: Timing | None) -> str:
    if timing is None or timing.p50_ms is None:
        return "FAILED" if timing is not None and timing.error else "-"
    mark = "" if timing.verdict in ("", OK, "not compared") else " WRONG"
    return spelled(timing.p50_ms) + (f" / {spelled(timing.p99_ms)}" if timing.p99_ms is not None else "") + mark


def spelled(ms: float) -> str:
    return f"{ms:.2f}" if ms < 10 else f"{ms:.1f}" if ms < 100 else f"{ms:,.0f}"


def times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def ratio(timings: Timings, way: str, name: str) -> float | None:
    timing = timings.get(way, {}).get(name, Timing())
    return timing.p50_ms / timing.base_ms if timing.p50_ms is not None and timing.base_ms else None


def judgement(name: str, way: str, hosts: int, timings: Timings) -> str:
    """V1."""
    goal, said, met = GOALS.get(name, Goal()), [], True
    found, ms = ratio(timings, way, name), timings[way].get(name, Timing()).p50_ms
    if goal.ratio is not None:
        said.append(f"{times(found)} of {goal.ratio:g} x" if found is not None else "ratio not measured")
        met &= found is not None and found <= goal.ratio
    elif found is not None:
        said.append(f"{times(found)} x")
    limit_ms = goal.ms_for(hosts)
    if limit_ms is not None:
        said.append(f"{spelled(ms)} of {limit_ms:g} ms" if ms is not None else "time not measured")
        met &= ms is not None and ms <= limit_ms
    if goal.ratio is None and limit_ms is None:
        return ", ".join(said)
    return f"{', '.join(said)}: {'met' if met else 'MISSED'}"


def http_verdict(name: str, timings: Timings) -> str:
    limit_ms, ms = GOALS.get(name, Goal()).http_ms, timings.get("memory http", {}).get(name, Timing()).p50_ms
    if limit_ms is None or ms is None:
        return ""
    return f"HTTP {spelled(ms)} of {limit_ms:g} ms: {'met' if ms <= limit_ms else 'MISSED'}"


def faults(timings: Timings) -> list[str]:
    """V2."""
    bad = [
        f"{way}: {name}: {timing.verdict}"
        for way, found in timings.items()
        for name, timing in found.items()
        if timing.verdict not in ("", OK, "not compared")
    ]
    compared = sum(timing.verdict == OK for found in timings.values() for timing in found.values())
    return [*bad, f"{compared} answers are DuckDB's, row by row{f'; {len(bad)} are not' if bad else ''}"]


def is_bad(way: str, found: Mapping[str, Timing]) -> bool:
    """Whether an answer of ours failed or was another one."""
    ours = way not in ("duckdb", "influxdb1", "victoriametrics")
    return ours and any(timing.verdict not in ("", OK, "not compared") for timing in found.values())


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]


@dataclass(frozen=True, slots=True)
class SpecialGoal:
    text: str
    measured: Callable[[Mapping[str, float]], float | None]
    met: Callable[[float], bool]
    unit: str = "x"


def quotient(above: str, below: str) -> Callable[[Mapping[str, float]], float | None]:
    return lambda figures: figures[above] / figures[below] if above in figures and figures.get(below) else None


def at_most(limit: float) -> Callable[[float], bool]:
    return lambda value: value <= limit


SPECIAL_GOALS: dict[str, tuple[SpecialGoal, ...]] = {
    "wide": (SpecialGoal("JSON at most 2 x the Flight time", quotient("json ms", "flight ms"), at_most(2)),),
    "mixed": (
        SpecialGoal(
            "p99 during writes at most 10 x the idle p50",
            quotient("32 clients during writes p99 ms", "idle p50 ms"),
            at_most(10),
        ),
        SpecialGoal(
            "a write's p50 slowed by at most 20 %",
            quotient("writes during 32 clients p50 ms", "writes alone p50 ms"),
            at_most(1.2),
        ),
        SpecialGoal(
            "rows/s kept within 20 %",
            quotient("writes during 32 clients rows/s", "writes alone rows/s"),
            lambda value: value >= 0.8,
        ),
    ),
    "many-files": (SpecialGoal("at most 3 x the same in memory", quotient("files p50 ms", "memory p50 ms"), at_most(3)),),
    "export": (
        SpecialGoal(
            "at least 40 % of a do-nothing DoGet", quotient("flightline rows/s", "nothing rows/s"), lambda value: value >= 0.4
        ),
    ),
}


def special(name: str, title: str, found: Measured) -> str:
    lines = [f"\n## {name}: {title} ({load()})"]
    lines += aligned(
        [[key, f"{value:,.2f}" if value < 100 else f"{value:,.0f}"] for key, value in found.figures.items()] or [["", ""]]
    )
    lines += found.notes
    for goal in SPECIAL_GOALS.get(name, ()):
        value = goal.measured(found.figures)
        said = "not measured" if value is None else f"{value:.2f} {goal.unit}: {'met' if goal.met(value) else 'MISSED'}"
        lines.append(f"goal {goal.text}: {said}")
    return "\n".join(lines)

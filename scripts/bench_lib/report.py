"""Tables, ratios and goals.

R1  A figure of several runs is their median, and the one that a scenario is about also shows the least and the most.
R2  Nothing is left out: a failed run and a failed check stand in the table, and a goal that was not measured says so.

Held by tests/bench/test_report.py.
"""

import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psutil

from .scenarios import SCENARIOS, Figures
from .targets import version

Runs = Mapping[str, Sequence[Figures]]
Value = Callable[[Figures], float | None]


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    value: Value
    digits: int = 1


RATE = Column("rows/s", lambda f: f.rows_per_s or None, 0)
COSTS = (
    Column("CPU s/M", lambda f: f.cpu_s_per_million, 2),
    Column("client", lambda f: f.client_cpu_s_per_million, 2),
)
LATENCY = (Column("p50 ms", lambda f: f.p50_ms), Column("p99 ms", lambda f: f.p99_ms), Column("max ms", lambda f: f.max_ms))
MEMORY = Column("RSS MB", lambda f: f.peak_rss_mb, 0)
NOISE = Column("others %", lambda f: None if f.others_cpu_share is None else 100 * f.others_cpu_share, 0)
START = Column("start s", lambda f: f.start_s, 2)
SETTLED = (
    Column("settled CPU s/M", lambda f: f.settled_cpu_s_per_million, 2),
    Column("B/row", lambda f: f.disk_bytes_per_row, 2),
)
RESTART = (Column("restart s", lambda f: f.restart_s, 2), Column("lost rows", lambda f: f.lost_rows, 0))
WHOLE = (RATE, *COSTS, *LATENCY, MEMORY, START, NOISE)
COLUMNS: dict[str, tuple[Column, ...]] = {
    "disk": (RATE, COSTS[0], *SETTLED, MEMORY, *RESTART, NOISE),
    "replay": (RATE, START, *RESTART, Column("replayed rows/s", lambda f: replay_rate(f), 0), NOISE),
    "soak": (Column("rows", lambda f: f.rows, 0), RATE, *COSTS, MEMORY, NOISE),
}
ABOUT = {"one-line-idle": "p50 ms", "thousand": "p99 ms", "disk": "B/row", "replay": "restart s"}
BAD = ("WRONG", "LOST", "FAILED")
US, PEER, LIMIT = "flightline", "victoriametrics", "nothing"


def head(targets: Sequence[str]) -> str:
    memory = psutil.virtual_memory().total / 2**30
    one, five, _ = psutil.getloadavg()
    machine = (
        f"{psutil.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, load {one:.1f} now, {five:.1f} in 5 min"
    )
    peers = [f"{name} {version(name)}" for name in targets if version(name)]
    return "\n".join(
        [
            "# ingest",
            machine,
            *([", ".join(peers)] if peers else []),
            "CPU s/M: seconds of the server's tree per million rows; others: share of the machine used by somebody else",
        ]
    )


def table(name: str, data: str, runs: Runs, plain: Runs | None = None) -> str:
    """`plain`: the scenario `http` on the same data, for what is measured against it."""
    columns = COLUMNS.get(name, WHOLE)
    rows = [["", *(column.title for column in columns), "rows asked back"]]
    rows += [[target, *(cell(column, name, found) for column in columns), verdict(found)] for target, found in runs.items()]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    aligned = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]
    lines = ["  ".join(row) for row in aligned]
    heading = f"\n## {name}{f', data set {data}' if data else ''}: {SCENARIOS[name].title}"
    return "\n".join([heading, *lines, *details(name, runs), *ratios(runs), *goals(name, runs, plain or {})])


def cell(column: Column, name: str, found: Sequence[Figures]) -> str:
    values = [value for one in found if (value := column.value(one)) is not None]
    if not values:
        return "-"
    middle = f"{statistics.median(values):,.{column.digits}f}"
    if len(values) == 1 or column.title != ABOUT.get(name, RATE.title):
        return middle
    return f"{middle} ({min(values):,.{column.digits}f}..{max(values):,.{column.digits}f})"


def verdict(found: Sequence[Figures]) -> str:
    bad = [one.checked for one in found if one.checked.startswith(BAD)]
    return bad[0] if bad else found[0].checked if found else "-"


def details(name: str, runs: Runs) -> list[str]:
    """What a column cannot hold: outcomes other than success, memory and rates over time."""
    lines = []
    for target, found in runs.items():
        odd = {
            key: count for one in found for key, count in one.outcomes.items() if key not in ("204", "acknowledged", "synced")
        }
        if odd or name == "thousand":
            lines.append(
                f"{target}: outcomes {', '.join(f'{key} {count:,}' for one in found for key, count in one.outcomes.items())}"
            )
        errors = [one.first_error for one in found if one.first_error]
        if errors:
            lines.append(f"{target}: first error {errors[0]}")
        if name == "thousand" and found[0].rss_over_time_mb:
            lines.append(f"{target}: RSS MB after each quarter {spelled(found[0].rss_over_time_mb)}")
        if name == "soak" and found[0].rates_over_time:
            lines.append(f"{target}: rows/s in each round {spelled(found[0].rates_over_time)}")
            lines.append(f"{target}: peak RSS MB in each round {spelled(found[0].rss_over_time_mb)}")
    return lines


def spelled(values: Sequence[float]) -> str:
    return " ".join(f"{value:,.0f}" for value in values)


def median(runs: Runs, target: str, value: Value) -> float | None:
    values = [number for one in runs.get(target, ()) if (number := value(one)) is not None]
    return statistics.median(values) if values else None


def ratios(runs: Runs) -> list[str]:
    mine = median(runs, US, RATE.value)
    found = {other: quotient(mine, median(runs, other, RATE.value)) for other in (PEER, "influxdb1", LIMIT, "append")}
    parts = [f"{ratio:.2f} x {other}" for other, ratio in found.items() if ratio is not None]
    return [f"flightline rows/s: {', '.join(parts)}"] if parts else []


@dataclass(frozen=True, slots=True)
class Goal:
    """`measured` takes these runs and those of `http`, and gives None when they do not have what it needs; `met` judges."""

    text: str
    measured: Callable[[Runs, Runs], float | None]
    met: Callable[[float], bool]
    unit: str = ""


Measured = Callable[[Runs, Runs], float | None]


def ours(value: Value) -> Measured:
    return lambda runs, _plain: median(runs, US, value)


def against_peer(value: Value) -> Measured:
    return lambda runs, _plain: quotient(median(runs, US, value), median(runs, PEER, value))


def against_plain(runs: Runs, plain: Runs) -> float | None:
    return quotient(median(runs, US, RATE.value), median(plain, US, RATE.value))


def quotient(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def replay_rate(found: Figures) -> float | None:
    """Rows by the time that the restart took longer than the start on an empty directory; needs many rows and quiet."""
    if found.restart_s is None or found.start_s is None or found.restart_s - found.start_s < 0.05:
        return None
    return found.rows / (found.restart_s - found.start_s)


def silent(found: Figures) -> float | None:
    """Requests that were neither acknowledged nor told 503."""
    return sum(count for key, count in found.outcomes.items() if key not in ("204", "503")) if found.outcomes else None


def growth(found: Figures) -> float | None:
    """Memory at the end of the last quarter, against that of the second."""
    memory = found.rss_over_time_mb
    return memory[-1] / memory[1] if len(memory) == 4 and memory[1] else None


def slowdown(found: Figures) -> float | None:
    """The last rounds over each data set against the first ones."""
    rates = found.rates_over_time
    return 100 * (1 - sum(rates[-2:]) / sum(rates[:2])) if len(rates) >= 4 else None


STREAMS = Goal("2 million rows/s", ours(RATE.value), lambda rate: rate >= 2e6, "rows/s")
GOALS: dict[str, tuple[Goal, ...]] = {
    "http": (
        Goal("5 x victoriametrics rows/s", against_peer(RATE.value), lambda ratio: ratio >= 5, "x"),
        Goal("at most 1.5 CPU s per million rows", ours(lambda f: f.cpu_s_per_million), lambda cost: cost <= 1.5, "s"),
    ),
    "http-gzip": (Goal("0.6 x the plain figure", against_plain, lambda ratio: ratio >= 0.6, "x"),),
    "adbc": (STREAMS,),
    "doput": (STREAMS,),
    "one-line-idle": (Goal("p50 at most 2.5 ms", ours(lambda f: f.p50_ms), lambda ms: ms <= 2.5, "ms"),),
    "one-line-64": (Goal("2,000 writes/s", ours(RATE.value), lambda rate: rate >= 2000, "writes/s"),),
    "thousand": (
        Goal("every write acknowledged or told 503", ours(silent), lambda count: count == 0, "others"),
        Goal("p99 at most 250 ms", ours(lambda f: f.p99_ms), lambda ms: ms <= 250, "ms"),
        Goal("memory flat (second half within 10 %)", ours(growth), lambda ratio: ratio <= 1.1, "x"),
    ),
    "disk": (
        Goal(
            "at most 2 CPU s per million rows, settled",
            ours(lambda f: f.settled_cpu_s_per_million),
            lambda cost: cost <= 2,
            "s",
        ),
        Goal(
            "no more bytes a row than victoriametrics",
            against_peer(lambda f: f.disk_bytes_per_row),
            lambda ratio: ratio <= 1,
            "x",
        ),
    ),
    "replay": (
        Goal("no acknowledged row lost", ours(lambda f: f.lost_rows), lambda rows: rows == 0, "rows"),
        Goal("2 million rows/s, beyond what an empty start takes", ours(replay_rate), lambda rate: rate >= 2e6, "rows/s"),
    ),
    "soak": (Goal("no slow-down beyond 10 %", ours(slowdown), lambda percent: percent <= 10, "%"),),
}


def goals(name: str, runs: Runs, plain: Runs) -> list[str]:
    if US not in runs:
        return []
    lines = []
    for goal in GOALS.get(name, ()):
        value = goal.measured(runs, plain)
        said = "not measured" if value is None else f"{value:,.2f} {goal.unit}: {'met' if goal.met(value) else 'MISSED'}"
        lines.append(f"goal {goal.text}: {said}")
    return lines

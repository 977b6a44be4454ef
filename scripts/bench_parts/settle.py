"""What it costs to settle rows: order, merge, encode, verify. Run it alone: python scripts/bench_parts/settle.py [rows]

Rows are like TSBS cpu-only: 10 tags, 10 integers that walk between 0 and 100, a row of each host every 10 s. CPU time of the
whole process, best of three, in nanoseconds a row; the baseline is what pyarrow does without us.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parents[2]))

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine import _native
from engine.files.parquet import FileDescription, encode, open_rows, verify
from engine.merge import merged, row_schema

T = TypeVar("T")

START_NS = 1_451_606_400_000_000_000
STEP_NS = 10_000_000_000
FIELDS = [
    f"usage_{name}" for name in ("guest", "guest_nice", "idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user")
]
REGIONS = [
    "ap-northeast-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "eu-central-1",
    "eu-west-1",
    "sa-east-1",
    "us-east-1",
    "us-west-1",
]
TAGS: dict[
    str, tuple[int | None, Callable[[int], str]]
] = {  # in series key order: how many values a tag has, and how the n-th looks
    "hostname": (None, lambda n: f"host_{n}"),
    "region": (8, lambda n: REGIONS[n]),
    "datacenter": (24, lambda n: REGIONS[n // 3] + "abc"[n % 3]),
    "rack": (100, str),
    "os": (3, lambda n: ["Ubuntu15.10", "Ubuntu16.04LTS", "Ubuntu16.10"][n]),
    "arch": (2, lambda n: ["x64", "x86"][n]),
    "team": (4, lambda n: ["CHI", "LON", "NYC", "SF"][n]),
    "service": (20, str),
    "service_version": (2, str),
    "service_environment": (3, lambda n: ["production", "staging", "test"][n]),
}


def arriving(hosts: int, steps: int) -> pa.RecordBatch:
    """Rows as they come: at each step one of each host."""
    count = hosts * steps
    at = pa.array(range(count), pa.int64())
    by_host = pc.add(pc.multiply(pc.subtract(at, pc.multiply(pc.divide(at, hosts), hosts)), steps), pc.divide(at, hosts))
    columns = [
        pc.subtract(at, pc.multiply(pc.divide(at, hosts), hosts)).cast(pa.int32()),
        pc.add(pc.multiply(pc.divide(at, hosts), STEP_NS), START_NS).view(pa.timestamp("ns")),
        *[walk(hosts, steps, seed).take(by_host) for seed in range(len(FIELDS))],
    ]
    return pa.RecordBatch.from_arrays(columns, schema=row_schema(pa.schema([(name, pa.int64()) for name in FIELDS])))


def walk(hosts: int, steps: int, seed: int) -> pa.Int64Array:
    """Of each host in turn: from anywhere, in steps of deviation 1, reflected at 0 and at 100."""
    count = hosts * steps
    draws = [pc.random(count, initializer=seed * 5 + draw) for draw in range(4)]
    moves = pc.multiply(pc.subtract(pc.add(pc.add(draws[0], draws[1]), pc.add(draws[2], draws[3])), 2.0), 3**0.5)
    starts = pc.multiply(pc.random(hosts, initializer=seed * 5 + 4), 200.0)
    position = pc.abs(pc.add(pc.cumulative_sum(moves), starts.take(pc.divide(pa.array(range(count), pa.int64()), steps))))
    folded = pc.subtract(position, pc.multiply(pc.floor(pc.divide(position, 200.0)), 200.0))
    return pc.subtract(100.0, pc.abs(pc.subtract(folded, 100.0))).cast(pa.int64(), safe=False)


def hydrated(batch: pa.RecordBatch, hosts: int) -> pa.Table:
    """Tags in place of series numbers, columns in alphabetical order."""
    columns = dict(zip(batch.schema.names[1:], batch.columns[1:], strict=True))
    for position, (tag, (bounded, value)) in enumerate(TAGS.items()):
        distinct = bounded or hosts
        code_of_series = pa.array(
            [host * (position + 1) * 7919 % distinct if position else host for host in range(hosts)], pa.int32()
        )
        codes = _native.remap(batch.column(0).buffers()[1], code_of_series.buffers()[1])
        indices = pa.Int32Array.from_buffers(pa.int32(), batch.num_rows, [None, pa.py_buffer(codes)])
        columns[tag] = pa.DictionaryArray.from_arrays(indices, pa.array([value(n) for n in range(distinct)]))
    return pa.table({name: columns[name] for name in sorted(columns)})


def measured(work: Callable[[], T]) -> tuple[float, T]:
    best, result = float("inf"), work()
    for _ in range(3):
        del result  # so that its memory serves the next run
        begin = time.process_time()
        result = work()
        best = min(best, time.process_time() - begin)
    return best, result


def report(name: str, rows: int, ours: float, baseline: float | None = None, note: str = "") -> None:
    against = "" if baseline is None else f"{baseline / rows * 1e9:9.0f} {baseline / ours:7.1f}x"
    print(f"  {name:34}{ours / rows * 1e9:9.1f} {against:18} {note}")


def plain_file(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue()


def settle(hosts: int, steps: int) -> None:
    batch = arriving(hosts, steps)
    rows = batch.num_rows
    fields = pa.schema(list(batch.schema)[2:])
    series, times = batch.column(0).buffers()[1], batch.column(1).buffers()[1]
    keys = [("series", "ascending"), ("time", "ascending")]
    print(f"{hosts} hosts x {steps} steps, {rows} rows          ns/row   pyarrow   ratio")

    sort, _ = measured(lambda: _native.sort_rows(series, times))
    arrow_sort, _ = measured(lambda: pc.sort_indices(batch, keys))
    report("order", rows, sort, arrow_sort)
    in_order = merged([batch], fields)
    report(
        "order, in order already", rows, measured(lambda: _native.sort_rows(*[c.buffers()[1] for c in in_order.columns[:2]]))[0]
    )
    late = pa.concat_batches([batch.slice(rows // 10), batch.slice(0, rows // 10)])
    report(
        "order, a tenth late",
        rows,
        measured(lambda: _native.sort_rows(late.column(0).buffers()[1], late.column(1).buffers()[1]))[0],
    )

    merge, _ = measured(lambda: merged([batch], fields))
    arrow_merge, _ = measured(lambda: batch.take(pc.sort_indices(batch, keys)))
    report("merge (order and take)", rows, merge, arrow_merge)
    repeated = [batch, batch.slice(rows // 2, max(1, rows // 100))]
    report("merge, 1 % twice", rows, measured(lambda: merged(repeated, fields))[0])

    hydrate, table = measured(lambda: hydrated(in_order, hosts))
    report("tags from series numbers", rows, hydrate)
    write, data = measured(lambda: encode(table, FileDescription("cpu", tuple(TAGS))))
    arrow_write, arrow_data = measured(lambda: plain_file(table))
    report("encode", rows, write, arrow_write, f"{data.size / rows:.2f} bytes a row, pyarrow {arrow_data.size / rows:.2f}")
    report("verify", rows, measured(lambda: verify(data))[0])
    report("read", rows, measured(lambda: open_rows(data))[0], measured(lambda: pq.read_table(pa.BufferReader(arrow_data)))[0])
    report("order + take + tags + encode + verify", rows, merge + hydrate + write + measured(lambda: verify(data))[0])


if __name__ == "__main__":
    row_count = int(sys.argv[1]) if len(sys.argv) > 1 else 600_000
    settle(100, row_count // 100)
    settle(4000, row_count // 4000)
    settle(100, 60)

"""How long a catalog takes to load, what a commit costs in a small and in a large one, and what a checkpoint costs.

    python scripts/bench_parts/catalog.py

The log is in memory, so the figures are the catalog's own; a real commit adds one fsync or one PUT.
"""

import gc
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from catalog.catalog import Catalog
from catalog.codec import decode_checkpoint, encode_checkpoint
from catalog.growth import WantedTable, plan_schema_changes
from catalog.schema import FieldType
from tests.helpers.catalog_log import FixedClock, MemoryLog

TAGS = tuple(f"tag_{number}" for number in range(10))
FIELD_COUNT = 40
TABLES = 10_000
ROUNDS = 3
COMMITS_PER_ROUND = 60


def best_ms(task: Callable[[], object], times: int = 5) -> float:
    found = []
    for _ in range(times):
        gc.collect()
        start = time.perf_counter()
        task()
        found.append((time.perf_counter() - start) * 1e3)
    return min(found)


def catalog_of(table_count: int) -> Catalog:
    catalog = Catalog.open(MemoryLog(), clock=FixedClock())
    fields = tuple((f"field_number_{number}", FieldType.FLOAT) for number in range(FIELD_COUNT))
    wanted = [WantedTable(f"table_{number}", None, TAGS, fields) for number in range(table_count)]
    catalog.commit(lambda state: plan_schema_changes(state, "db", wanted))
    return catalog


def add_field(catalog: Catalog, table: int, name: str) -> None:
    wanted = [WantedTable(f"table_{table}", table, (), ((name, FieldType.FLOAT),))]
    catalog.commit(lambda state: plan_schema_changes(state, "db", wanted))


def commit_us(table_count: int) -> float:
    """A new field in one table: the median, and the same table for all of them, so that its own growth weighs the same."""
    took = []
    for _ in range(ROUNDS):
        catalog = catalog_of(table_count)
        for number in range(COMMITS_PER_ROUND):
            start = time.perf_counter()
            add_field(catalog, table_count // 2, f"added_{number}")
            took.append(time.perf_counter() - start)
    return sorted(took)[len(took) // 2] * 1e6


def commit_during_checkpoints_ms(catalog: Catalog) -> tuple[float, float]:
    """(median, worst) while another thread writes one checkpoint after the other."""
    stop = threading.Event()

    def write_checkpoints() -> None:
        while not stop.is_set():
            catalog.write_checkpoint()

    writer = threading.Thread(target=write_checkpoints)
    writer.start()
    took = []
    for number in range(COMMITS_PER_ROUND):
        start = time.perf_counter()
        add_field(catalog, number, "added_meanwhile")
        took.append((time.perf_counter() - start) * 1e3)
        time.sleep(0.002)  # where a real commit waits for the store
    stop.set()
    writer.join()
    return sorted(took)[len(took) // 2], max(took)


def main() -> None:
    for table_count in (1, TABLES):
        print(f"add a field, {table_count:6} tables   {commit_us(table_count):8.1f} us a commit")
    catalog = catalog_of(TABLES)
    stored = encode_checkpoint(catalog.state())
    log = MemoryLog()
    log.write_checkpoint(catalog.state().sequence, stored)
    print(f"{TABLES} tables of {len(TAGS) + FIELD_COUNT} columns   {len(stored) / 1e6:8.1f} MB of checkpoint")
    print(f"  write it                   {best_ms(lambda: encode_checkpoint(catalog.state())):8.1f} ms")
    print(f"  decode it                  {best_ms(lambda: decode_checkpoint(stored, 'checkpoint')):8.1f} ms")
    print(f"  open the catalog           {best_ms(lambda: Catalog.open(log, clock=FixedClock())):8.1f} ms")
    print(f"  and ask for every column   {best_ms(lambda: touch_all(log)):8.1f} ms")
    median, worst = commit_during_checkpoints_ms(catalog)
    print(f"add a field while checkpoints are written: median {median:.2f} ms, worst {worst:.1f} ms")


def touch_all(log: MemoryLog) -> int:
    tables = Catalog.open(log, clock=FixedClock()).state().database("db").tables
    return sum(len(table.tags) + len(table.fields) for table in tables)


if __name__ == "__main__":
    main()

"""A body whose rows of one table do not fit into one batch is one write all the same."""

from engine.storage.memory import MemoryStore
from tests.helpers.engine import read, running, write


def test_rows_that_come_in_several_parts_are_one_table() -> None:
    count = 3000
    body = "".join(f"m,t={at % 7} f{at}=1 {at}\n" for at in range(count))

    with running(MemoryStore()) as node:
        reports = [write(node, body) for _ in range(2)]
        found = read(node, f"SELECT count(*) AS rows, count(f0) AS first, count(f{count - 1}) AS last, count(t) AS tags FROM m")

    assert [report.rows for report in reports] == [count, count]
    assert found == [{"rows": count, "first": 1, "last": 1, "tags": count}]

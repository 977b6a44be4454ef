"""Bodies that travel together are answered and stored as if each had come alone (I5)."""

import json
from collections.abc import Callable

from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.node import Node
from engine.storage.memory import MemoryStore
from flightserver import wire
from flightserver.auth import Everyone
from flightserver.handlers.call import Call, Guard
from flightserver.handlers.writes import Writes
from tests.helpers.engine import read, running

NO_ARENA = memoryview(b"")
plain = st.builds("m,host={} v={} {}".format, st.sampled_from("ab"), st.integers(0, 9), st.integers(1, 6))
odd = st.sampled_from(
    [
        'm s="x',
        '" 5',
        'm s="x\ny" 7',
        "# comment",
        "",
        "m v=1\\",
        "\\",
        "rubbish",
        "m v=1i 3",
        "\r",
        "m v=1 4\r",
        "n,host=c w=1 9",
        "m v=",
    ]
)
body = st.lists(st.one_of(plain, plain, odd), min_size=1, max_size=3).flatmap(
    lambda lines: st.sampled_from(["\n".join(lines), "\n".join(lines) + "\n"])
)
header = st.sampled_from(
    [wire.WriteHeader("d"), wire.WriteHeader("d", accept_partial=False, precision="nanosecond", door="v2")]
)


def written(bodies: list[str], given: wire.WriteHeader, together: bool) -> tuple[list[object], list[object]]:
    """The answers, and the rows afterwards."""
    messages = [memoryview(wire.encode_write_header(given) + text.encode()) for text in bodies]
    writes = Writes(None, 1 << 20, lambda: False)
    with running(MemoryStore(), wal_flush_interval_ms=1) as node:
        call = Call(Guard(node, Everyone()))
        if together:
            answers = writes._answer_all(call, messages)
        else:
            answers = [writes._answer(call, message, NO_ARENA) for message in messages]
        return [json.loads(answer) for answer in answers], [rows_of(node, table) for table in "mn"]


def rows_of(node: Node, table: str) -> object:
    exists = "d" in [found.name for found in node.list_databases()]
    known = [found.name for found in node.list_tables("d")] if exists else []
    return sorted(read(node, f"SELECT * FROM {table}", "d"), key=str) if table in known else None


@given(st.lists(body, min_size=2, max_size=4), header)
@settings(max_examples=40, deadline=None)
@example(["m,host=a v=1 1", "m,host=a v=2 1"], wire.WriteHeader("d"))
@example(['m s="x', '" 5'], wire.WriteHeader("d"))
@example(['m s="x', 'y",v=1 5\nm v=1 6'], wire.WriteHeader("d"))
@example(["m v=1 1\r", "m v=2 2"], wire.WriteHeader("d"))
@example(["m v=1 1", "m v=1i 2"], wire.WriteHeader("d", accept_partial=False))
def test_together_is_as_one_by_one(bodies: list[str], given: wire.WriteHeader) -> None:
    """I5."""
    assert written(bodies, given, together=True) == written(bodies, given, together=False)


def counted(node: Node) -> Callable[[], int]:
    """How many writes the log has got since."""
    appended = []
    append = node._wal.append

    def note(*args: object, **options: object) -> object:
        appended.append(args)
        return append(*args, **options)  # type: ignore[arg-type]

    node._wal.append = note  # type: ignore[assignment]
    return lambda: len(appended)


def test_plain_lines_with_times_are_read_as_one_and_others_are_not() -> None:
    """I5: two lines without a time may mean two points, so each gets its own."""
    writes = Writes(None, 1 << 20, lambda: False)
    with running(MemoryStore(), wal_flush_interval_ms=1) as node:
        call = Call(Guard(node, Everyone()))
        appended = counted(node)
        start = wire.encode_write_header(wire.WriteHeader("d"))
        writes._answer_all(call, [memoryview(start + b"m v=1 1"), memoryview(start + b"m v=2 2\nm v=3 3\n")])
        assert appended() == 1

        writes._answer_all(call, [memoryview(start + b"k,host=a v=1"), memoryview(start + b"k,host=a v=2")])
        assert appended() == 3
        assert read(node, "SELECT count(*) AS n FROM m", "d") == [{"n": 3}]

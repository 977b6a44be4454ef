"""Rows of files in memory, as statements have wanted them."""

import threading
from collections.abc import Callable, Sequence

import pyarrow as pa
import pytest

from catalog.errors import Damaged
from catalog.schema import FieldType, Table
from engine._native import SeriesIndex
from engine.buffer.rows import HeldFile
from engine.files import parquet
from engine.files.access import FileAccess
from engine.files.footers import Bounds
from engine.files.manifest import DataFile
from engine.files.parquet import FileDescription, encode
from engine.hydrate import hydrated, table_schema
from engine.query.decoded import WHOLE, Decoded, DecodedTable, Piece, Share
from engine.storage.memory import MemoryStore

TABLE = Table.create(0, "t", ["host", "rack"], [("s", FieldType.STRING), ("v", FieldType.FLOAT), ("w", FieldType.INTEGER)])
HOSTS, STEPS, GROUP_ROWS = 8, 50, 50
PLENTY = 1 << 20
FIELDS = ["s", "v", "w"]


class Counting(MemoryStore):
    """Notes how often an object is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    def get(self, path: str) -> bytes:
        self.reads.append(path)
        return super().get(path)


@pytest.fixture
def store() -> Counting:
    return Counting()


def content() -> pa.Table:
    """Eight hosts, every other one with a rack, fifty rows each, one row group each; `w` came later."""
    schema = pa.schema([field for field in table_schema(TABLE) if field.name != "w"])
    rows = range(HOSTS * STEPS)
    columns = {
        "host": pa.array([f"h{row // STEPS}" for row in rows]).dictionary_encode(),
        "rack": pa.array([None if row // STEPS % 2 else "r" for row in rows]).dictionary_encode(),
        "s": pa.array([f"text {row}" for row in rows]),
        "time": pa.array([row % STEPS for row in rows], pa.timestamp("ns")),
        "v": pa.array([None if row % 7 == 0 else row / 7 for row in rows]),
    }
    return pa.table(columns, schema=schema)


def put(store: MemoryStore, monkeypatch: pytest.MonkeyPatch, name: str = "a") -> HeldFile:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", GROUP_ROWS)
    path, data = (
        f"n/dbs/1/0/2024-01-01/00-00/0000000001-000-{name}.parquet",
        encode(content(), FileDescription("t", TABLE.tags)),
    )
    store.put_new(path, data)
    return HeldFile(DataFile(path, 1, 0, HOSTS * STEPS, len(data), 0, STEPS - 1))


def kept_in(store: MemoryStore, budget_bytes: int = PLENTY, grown: Callable[[int], None] = lambda _: None) -> Decoded:
    return Decoded(FileAccess(store, lambda _: None), budget_bytes, grown)


def of_table(decoded: Decoded, index: SeriesIndex | None = None) -> DecodedTable:
    return decoded.of_table(TABLE, SeriesIndex(2) if index is None else index, threading.Lock())


def bounds(*hosts: str) -> Bounds:
    return Bounds(tags={"host": frozenset(hosts)}) if hosts else Bounds()


def wanted(table: DecodedTable, held: HeldFile, names: Sequence[str], *hosts: str) -> list[Piece]:
    found = table.pieces(held, bounds(*hosts), names, table.share())
    assert found is not None
    return found


def test_a_piece_is_the_rows_of_its_row_groups_with_their_series(store: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    """D1, D4."""
    held, index = put(store, monkeypatch), SeriesIndex(2)
    table = of_table(kept_in(store), index)

    (piece,) = wanted(table, held, FIELDS, "h3")

    assert piece.unit == 3
    assert (piece.times.start_ns, piece.times.end_ns) == (0, STEPS - 1)
    rows = hydrated(piece.with_fields(FIELDS), TABLE, index)
    expected = content().slice(3 * STEPS, STEPS)
    assert rows.column("w").null_count == STEPS
    assert [{**row, "w": None} for row in expected.to_pylist()] == [
        {name: row[name] for name in [*expected.column_names, "w"]} for row in rows.to_pylist()
    ]


def test_a_file_of_which_most_is_wanted_is_one_piece_and_its_groups_are_forgotten(
    store: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D1: and from then on for whoever wants a part of it."""
    held, decoded = put(store, monkeypatch), kept_in(store)
    index = SeriesIndex(2)
    table = of_table(decoded, index)
    wanted(table, held, ["v"], "h1", "h2")[0].with_fields(["v"])

    (piece,) = wanted(table, held, ["v"])
    rows = hydrated(piece.with_fields(["v"]), TABLE, index, ["host", "rack", "time", "v"])

    assert rows.to_pylist() == content().select(["host", "rack", "time", "v"]).to_pylist()
    assert [piece.unit for piece in wanted(table, held, ["v"], "h1")] == [WHOLE]
    assert not any(decoded.has((held.file.path, number, name)) for number in range(HOSTS) for name in ("", "v"))


def test_text_is_never_decoded_for_a_whole_file(store: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    """D1."""
    held = put(store, monkeypatch)

    pieces = wanted(of_table(kept_in(store)), held, ["s"])

    assert [piece.unit for piece in pieces] == list(range(HOSTS))
    assert [text for piece in pieces for text in piece.with_fields(["s"]).column("s").to_pylist()] == [
        f"text {row}" for row in range(HOSTS * STEPS)
    ]


def test_what_was_decoded_once_is_not_read_again(store: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    held, decoded = put(store, monkeypatch), kept_in(store)
    (first,) = wanted(of_table(decoded), held, ["v"], "h3")
    first.with_fields(["v"])
    reads = len(store.reads)

    (again,) = wanted(of_table(decoded), held, ["v"], "h3")

    assert again.rows is first.rows
    assert again.with_fields(["v"]).column("v") is not None
    assert len(store.reads) == reads
    again.with_fields(["s"])
    assert len(store.reads) == reads + 1


def test_what_is_kept_stays_within_the_budget_and_the_last_to_be_asked_for_stays(
    store: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D2."""
    told: list[int] = []
    held, decoded = put(store, monkeypatch), kept_in(store, 4_000, told.append)
    table = of_table(decoded)

    for host in ("h0", "h1", "h2", "h0", "h3", "h4"):
        wanted(table, held, ["v"], host)[0].with_fields(["v"])
        assert decoded.byte_count <= 4_000

    assert decoded.has((held.file.path, 4, ""))
    assert decoded.has((held.file.path, 0, ""))
    assert not decoded.has((held.file.path, 1, ""))
    assert told == sorted(told)
    assert told[-1] > 3_000


def test_a_statement_that_wants_more_than_its_share_reads_files_as_they_lie(
    store: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D3: and what was kept before stays."""
    held, other, decoded = put(store, monkeypatch), put(store, monkeypatch, "b"), kept_in(store, 20_000)
    table = of_table(decoded)
    wanted(table, held, ["v"], "h3")
    before = decoded.byte_count
    share = table.share()

    assert table.pieces(other, bounds(), FIELDS, share) is None
    assert table.pieces(held, bounds("h1"), ["v"], share) is None
    assert decoded.byte_count == before
    assert table.pieces(held, bounds("h1"), ["v"], table.share()) is not None


def test_nothing_is_kept_without_a_budget(store: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    """D2, D3."""
    table = of_table(kept_in(store, 0))

    assert table.pieces(put(store, monkeypatch), bounds("h3"), ["v"], table.share()) is None


def test_a_damaged_file_is_named(store: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is kept."""
    held, decoded = put(store, monkeypatch), kept_in(store)
    (piece,) = wanted(of_table(decoded), held, [], "h3")
    data = bytearray(store.get(held.file.path))
    for at in range(8, len(data) // 2):
        data[at] ^= 0xFF
    store.delete(held.file.path)
    store.put_new(held.file.path, bytes(data))

    with pytest.raises(Damaged, match=held.file.path):
        piece.with_fields(["v"])
    assert not decoded.has((held.file.path, 3, "v"))


def test_threads_that_want_the_same_decode_it_once(store: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    held, decoded = put(store, monkeypatch), kept_in(store)
    table, barrier, found = of_table(decoded), threading.Barrier(4), []

    def want() -> None:
        barrier.wait()
        found.append(wanted(table, held, ["v"])[0].rows)

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({id(rows) for rows in found}) == 1


def test_fields_of_a_small_row_group_are_read_with_its_tags(store: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    held, decoded = put(store, monkeypatch), kept_in(store)
    of_table(decoded).pieces(held, bounds("h7"), [], Share(PLENTY))  # the footer is known from now on
    reads = len(store.reads)

    (piece,) = wanted(of_table(decoded), held, ["s", "v"], "h3")

    assert len(store.reads) == reads + 1
    assert piece.with_fields(["s", "v"]).column("s").to_pylist() == [f"text {row}" for row in range(3 * STEPS, 4 * STEPS)]
    assert len(store.reads) == reads + 1

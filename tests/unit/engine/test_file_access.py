"""Reading live files, and what is said about those that cannot be read."""

import errno
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from catalog.errors import Damaged, ServiceError
from catalog.schema import FieldType, Table
from engine.files import access as access_module
from engine.files.access import FileAccess
from engine.files.manifest import DataFile
from engine.files.parquet import FileDescription, check_footer, encode
from engine.hydrate import table_schema
from engine.storage.base import ObjectStore, StoreUnavailable
from engine.storage.local import LocalStore
from engine.storage.memory import MemoryStore
from tests.helpers.wal import DoubtfulStore, flip

PATH = "n/dbs/1/0/2024-01-01/00-00/0000000001-000-ab.parquet"
TABLE = Table.create(0, "t", ["host"], [("s", FieldType.STRING), ("v", FieldType.FLOAT), ("w", FieldType.INTEGER)])
ROWS = 300


def content() -> bytes:
    rows = pa.table(
        {
            "host": pa.array([f"h{row // 100}" for row in range(ROWS)]).dictionary_encode(),
            "s": pa.array([f"text {row}" for row in range(ROWS)]),
            "time": pa.array(range(ROWS), pa.timestamp("ns")),
            "v": pa.array([row / 7 for row in range(ROWS)]),
        },
        schema=pa.schema(
            [
                ("host", pa.dictionary(pa.int32(), pa.utf8())),
                ("s", pa.utf8()),
                pa.field("time", pa.timestamp("ns"), nullable=False),
                ("v", pa.float64()),
            ]
        ),
    )
    return bytes(memoryview(encode(rows, FileDescription("t", ("host",)))))


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path)


def put(store: ObjectStore, data: bytes) -> DataFile:
    store.put_new(PATH, data)
    return DataFile(PATH, 1, 0, ROWS, len(data), 0, ROWS - 1)


def nothing_is_damaged(damage: Damaged) -> None:
    pytest.fail(f"called damaged: {damage}")


def scanned(access: FileAccess, file: DataFile, columns: list[str] | None = None) -> pa.Table:
    schema = table_schema(TABLE)
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    return pa.Table.from_batches(access.batches(file, schema, columns, pc.field("v") >= 1.0), wanted)


def whole(access: FileAccess, file: DataFile) -> pa.Table:
    return access.rows(file)


def test_rows_come_with_the_columns_of_the_table_and_through_the_filter(store: ObjectStore) -> None:
    """O1."""
    access, file = FileAccess(store, nothing_is_damaged), put(store, content())

    assert access.rows(file).num_rows == ROWS
    found = scanned(access, file)
    assert found.num_rows == ROWS - 7
    assert found.schema.names == ["host", "s", "time", "v", "w"]
    assert found.column("w").null_count == found.num_rows
    assert scanned(access, file, ["host"]).column("host").to_pylist()[0] == "h0"


READ: list[Callable[[FileAccess, DataFile], pa.Table]] = [scanned, whole]


@pytest.mark.parametrize("read", READ)
def test_a_missing_file_is_named(store: ObjectStore, read: Callable[[FileAccess, DataFile], pa.Table]) -> None:
    """O1."""
    noted: list[Damaged] = []
    file = put(store, content())
    store.delete(PATH)

    with pytest.raises(Damaged, match=f"file {PATH} is missing"):
        read(FileAccess(store, noted.append), file)

    assert [damage.message for damage in noted] == [f"file {PATH} is missing"]


@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize("kept", [0, 1, 7, 12, 1000, -1])
def test_a_file_that_was_cut_short_is_named(
    store: ObjectStore, read: Callable[[FileAccess, DataFile], pa.Table], kept: int
) -> None:
    """O1, O4."""
    noted: list[Damaged] = []
    file = put(store, content())
    store.put(PATH, content()[:kept])

    with pytest.raises(Damaged, match=f"file {PATH} is damaged"):
        read(FileAccess(store, noted.append), file)

    assert len(noted) == 1


def test_a_changed_byte_gives_the_right_rows_or_the_name_of_the_file(tmp_path: Path) -> None:
    """O1, O4: bytes that a scan does not need may pass; none of them changes what it yields, nor ends the process."""
    store, chance = LocalStore(tmp_path), random.Random(5)
    data = content()
    file = put(store, data)
    access = FileAccess(store, lambda _: None)
    expected = scanned(access, file)
    found = 0

    for at in chance.sample(range(len(data)), 250) + list(range(len(data) - 60, len(data))):
        flip(tmp_path / PATH, at)
        with pytest.raises(Damaged, match=PATH):
            access.rows(file)
        try:
            rows: pa.Table | None = scanned(access, file)
        except Damaged:
            rows = None
            found += 1
        assert rows is None or rows.equals(expected)
        flip(tmp_path / PATH, at)
    assert found > 200


def test_a_footer_that_was_changed_is_never_shown_to_arrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """O4."""
    store = LocalStore(tmp_path)
    data = content()
    file = put(store, data)
    monkeypatch.setattr(access_module, "read_footer", lambda _: pytest.fail("Arrow was shown the file"))
    monkeypatch.setattr(access_module, "read_row_groups", lambda *_: pytest.fail("Arrow was shown the file"))
    footer = int.from_bytes(data[-8:-4], "little") + 8

    for at in range(len(data) - footer - 16, len(data), 7):
        flip(tmp_path / PATH, at)
        with pytest.raises(Damaged, match=PATH):
            scanned(FileAccess(store, lambda _: None), file)
        flip(tmp_path / PATH, at)


def test_a_footer_is_checked_in_memory_as_it_is_on_disk() -> None:
    """O4."""
    data = content()

    check_footer(data, name="f", size_bytes=len(data))
    with pytest.raises(Damaged, match="should have"):
        check_footer(data, name="f", size_bytes=len(data) + 1)
    with pytest.raises(Damaged, match="footer"):
        check_footer(data[:-1] + b"?", name="f", size_bytes=len(data))


def test_a_store_that_does_not_answer_is_no_damage() -> None:
    """O2."""
    store = DoubtfulStore()
    file = put(store, content())
    access = FileAccess(store, nothing_is_damaged)
    for read in READ:
        store.unreadable = 1
        with pytest.raises(StoreUnavailable):
            read(access, file)
        assert read(access, file).num_rows > 0


def test_a_disk_that_cannot_be_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """O2."""
    store = LocalStore(tmp_path)
    file = put(store, content())

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(access_module, "check_footer", fail)

    with pytest.raises(StoreUnavailable, match="input/output error"):
        scanned(FileAccess(store, nothing_is_damaged), file)


def test_a_filter_that_cannot_be_computed_is_not_the_files_fault(store: ObjectStore) -> None:
    """O1."""
    access, file = FileAccess(store, nothing_is_damaged), put(store, content())
    overflowing = pc.multiply_checked(pc.field("time").cast(pa.int64()), pc.scalar(2**62)) > pc.scalar(0)

    with pytest.raises(pa.ArrowInvalid, match="overflow") as failure:
        list(access.batches(file, table_schema(TABLE), None, overflowing))

    assert not isinstance(failure.value, ServiceError)


def test_a_file_that_was_found_damaged_is_refused_until_it_is_right_again(store: ObjectStore) -> None:
    """O3: whoever found it."""
    data = content()
    file = put(store, data)
    noted: list[Damaged] = []
    access = FileAccess(store, noted.append)
    store.put(PATH, data[:20] + b"?" + data[21:])
    access.refuse_damaged([file])
    assert noted == [], "nobody has looked at it yet"

    access.note(Damaged(f"file {PATH} is damaged", object=PATH))
    for _ in range(2):
        with pytest.raises(Damaged, match=PATH):
            access.refuse_damaged([file])

    store.put(PATH, data)
    access.refuse_damaged([file])
    store.delete(PATH)
    with pytest.raises(Damaged, match="is missing"):
        access.rows(file)
    with pytest.raises(Damaged, match="is missing"):
        access.refuse_damaged([file])

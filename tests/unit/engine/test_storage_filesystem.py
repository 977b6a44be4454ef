"""engine/storage/filesystem.py, through the libraries that it is for."""

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as fs
import pyarrow.parquet as pq
import pytest

from engine.storage.filesystem import StoreFileSystem
from engine.storage.memory import MemoryStore


class Counting(MemoryStore):
    fetched = 0

    def get_range(self, path: str, offset: int, length: int) -> bytes:
        found = super().get_range(path, offset, length)
        self.fetched += len(found)
        return found


@pytest.fixture
def store() -> Counting:
    opened = Counting()
    table = pa.table({"time": pa.array(range(50_000)), "usage": pa.array([0.5] * 50_000)})
    for name in ("1", "2"):
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, use_dictionary=False, compression="none")
        opened.put(f"n/dbs/{name}.parquet", sink.getvalue().to_pybytes())
    return opened


def test_parquet_is_read_by_ranges_and_only_where_needed(store: Counting) -> None:
    """F2."""
    arrow = fs.PyFileSystem(fs.FSSpecHandler(StoreFileSystem(store)))

    table = pq.read_table("n/dbs/1.parquet", columns=["usage"], filesystem=arrow)

    assert table.num_rows == 50_000
    assert 0 < store.fetched < store.list("n/dbs/1")[0].size * 0.7


def test_a_directory_is_a_dataset(store: Counting) -> None:
    """F2."""
    arrow = fs.PyFileSystem(fs.FSSpecHandler(StoreFileSystem(store)))

    assert ds.dataset("n/dbs", filesystem=arrow, format="parquet").count_rows() == 100_000


def test_names_sizes_and_bytes_are_those_of_the_store(store: Counting) -> None:
    """F2."""
    files = StoreFileSystem(store)
    store.put("n/dbs/deep/er", b"0123456789")

    assert files.ls("", detail=False) == ["n"]
    assert files.ls("n/dbs", detail=False) == ["n/dbs/1.parquet", "n/dbs/2.parquet", "n/dbs/deep"]
    assert files.find("n") == [info.path for info in store.list("n/")]
    assert files.info("n/dbs") == {"name": "n/dbs", "size": 0, "type": "directory"}
    assert files.info("n/dbs/deep/er") == {"name": "n/dbs/deep/er", "size": 10, "type": "file"}
    assert files.ls("n/dbs/deep/er", detail=False) == ["n/dbs/deep/er"]
    assert [files.cat_file("n/dbs/deep/er", *span) for span in [(), (2, 5), (None, 3), (7, None), (-3, None)]] == [
        b"0123456789", b"234", b"012", b"789", b"789",
    ]  # fmt: skip
    with files.open("n/dbs/deep/er") as file:
        file.seek(4)
        assert file.read(3) == b"456"


def test_what_is_missing_is_a_missing_file(store: Counting) -> None:
    """F2."""
    files = StoreFileSystem(store)

    for call in (files.info, files.ls, files.cat_file, files.open):
        with pytest.raises(FileNotFoundError, match="n/none"):
            call("n/none")
    assert not files.exists("n/none")


def test_nothing_can_be_changed_through_it(store: Counting) -> None:
    """F1."""
    files = StoreFileSystem(store)
    before = store.list("")

    with pytest.raises(NotImplementedError):
        files.open("n/new", "wb")
    with pytest.raises(NotImplementedError):
        files.rm("n/dbs/1.parquet")
    with pytest.raises(NotImplementedError):
        files.pipe_file("n/new", b"x")

    assert store.list("") == before

"""What every object store does, over every kind there is: the invariants of engine/storage/base.py."""

from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from engine.storage.base import BadObjectPath, ObjectExists, ObjectInfo, ObjectMissing, ObjectStore, StoreError, store_once
from engine.storage.together import put_new_all
from tests.helpers.stores import store

__all__ = ["store"]


def names(store: ObjectStore, prefix: str) -> list[str]:
    return [info.path for info in store.list(prefix)]


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5000])
def test_what_was_stored_comes_back(store: ObjectStore, data: bytes) -> None:
    """S1, S3. Like everything here through a store that is counted: U1."""
    store.put_new("node/wal/1.wal", data)

    assert store.get("node/wal/1.wal") == data
    assert store.list("node/") == [ObjectInfo("node/wal/1.wal", len(data))]


@pytest.mark.parametrize("count", [0, 1, 3, 300])
def test_many_objects_are_stored_as_if_one_by_one(store: ObjectStore, count: int) -> None:
    """G1, S1-S3. (A local disk takes 256 at a time.)"""
    objects = [(f"n/dbs/{number % 7}/{number}/x", b"%d" % number) for number in range(count)]

    put_new_all(store, objects)

    assert sorted((path, store.get(path)) for path in names(store, "")) == sorted(objects)
    if objects:
        with pytest.raises(ObjectExists):
            put_new_all(store, [("n/new", b""), objects[-1]])
        assert store.get(objects[-1][0]) == objects[-1][1]


def test_any_kind_of_bytes_may_be_stored(store: ObjectStore) -> None:
    """S1."""
    store.put_new("a", memoryview(b"abcdef")[2:4])
    store.put_new("b", bytearray(b"xyz"))
    store.put("c", memoryview(bytearray(b"uvw")))
    store.put_new("d", memoryview(array("b", [-1, 0, 127])))
    store.put("e", memoryview(array("q", [-1])))

    assert [store.get(path) for path in "abcde"] == [b"cd", b"xyz", b"uvw", b"\xff\0\x7f", b"\xff" * 8]


def test_a_taken_name_is_refused_and_keeps_its_bytes(store: ObjectStore) -> None:
    """S2, S5."""
    store.put_new("a/1", b"first")

    with pytest.raises(ObjectExists, match="a/1") as refused:
        store.put_new("a/1", b"second")

    assert store.get("a/1") == b"first"
    assert store.url in str(refused.value)
    assert refused.value.details["path"] == "a/1"


def test_of_many_who_want_a_name_one_gets_it(store: ObjectStore) -> None:
    """S2, S8, M1."""
    together = Barrier(8)

    def try_it(number: int) -> int | None:
        together.wait()
        try:
            store.put_new("race/x", b"%d" % number)
        except ObjectExists:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(try_it, range(8)) if number is not None]

    assert len(winners) == 1
    assert store.get("race/x") == b"%d" % winners[0]


def test_put_replaces(store: ObjectStore) -> None:
    """S3."""
    store.put("a", b"longer than the next")
    store.put("a", b"short")

    assert store.get("a") == b"short"
    assert store.list("") == [ObjectInfo("a", 5)]


def test_a_reader_sees_the_old_or_the_new_bytes_and_nothing_between(store: ObjectStore) -> None:
    """S1, S8."""
    versions = [bytes([number]) * 200_000 for number in range(6)]
    store.put("a", versions[0])

    def write() -> None:
        for version in versions:
            store.put("a", version)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        seen = [store.get("a")]
        while not writing.done():
            seen.append(store.get("a"))
        writing.result()

    assert all(found in versions for found in seen)


def test_a_range_is_a_slice(store: ObjectStore) -> None:
    store.put("a", b"0123456789")

    for offset, length in [(0, 10), (3, 4), (9, 1), (0, 0), (4, 0), (8, 100), (0, 1000), (10, 1), (10, 0), (11, 5), (4096, 8)]:
        assert store.get_range("a", offset, length) == b"0123456789"[offset : offset + length], (offset, length)


def test_a_range_of_an_empty_object_is_empty(store: ObjectStore) -> None:
    store.put("a", b"")

    assert store.get_range("a", 0, 4) == b""


def test_what_is_missing_is_said_to_be_missing(store: ObjectStore) -> None:
    """S5."""
    reads: list[Callable[[], bytes]] = [
        lambda: store.get("no/such"),
        lambda: store.get_range("no/such", 0, 1),
        lambda: store.get_range("no/such", 0, 0),
    ]
    for read in reads:
        with pytest.raises(ObjectMissing, match="no/such"):
            read()


def test_a_listing_is_sorted_by_path_and_holds_what_begins_with_the_prefix(store: ObjectStore) -> None:
    """S4."""
    paths = ["n/wal/10", "n/wal/09", "n/wal/1", "n/wal-x/1", "n/wal.d/1", "n/wal/a/b/c", "n/w", "m/z", "n=1/2", "N/1"]
    for path in paths:
        store.put_new(path, b"x" * len(path))

    for prefix in [
        "",
        "n",
        "n/",
        "n/w",
        "n/wal",
        "n/wal/",
        "n/wal/0",
        "n/wal/1",
        "n/wal/a/b/",
        "n/wal.",
        "x",
        "x/y/",
        "n/wal/1/",
    ]:
        expected = [ObjectInfo(path, len(path)) for path in sorted(paths) if path.startswith(prefix)]
        assert store.list(prefix) == expected, prefix


def test_a_listing_longer_than_a_page_is_whole(store: ObjectStore) -> None:
    """S4: servers answer 1,000 names or fewer at a time (gcs_front.py: 100, Azurite: 5,000)."""
    many = 130 if store.url.startswith(("gs:", "azure:")) else 1010
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.put(f"p/{number:05}", b"."), range(many)))

    assert names(store, "p/") == [f"p/{number:05}" for number in range(many)]


def test_a_deleted_object_is_gone_and_its_name_is_free(store: ObjectStore) -> None:
    """S2, S3."""
    store.put_new("a/b/c/d/1", b"1")
    store.put_new("a/b/c/d/2", b"2")
    store.delete("a/b/c/d/1")

    assert names(store, "") == ["a/b/c/d/2"]
    store.delete("a/b/c/d/2")
    assert names(store, "") == []
    with pytest.raises(ObjectMissing):
        store.get("a/b/c/d/1")
    store.put_new("a/b/c/d/1", b"again")
    assert store.get("a/b/c/d/1") == b"again"


def test_deleting_what_is_not_there_is_fine(store: ObjectStore) -> None:
    store.delete("never/was")


BAD_PATHS = ["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".hidden", "a/.tmp-1"]
BAD_PATHS += ["a\\b", "a\0b", "a\nb", "ä", "a b", "a%2e", "x" * 201, "a/" * 450 + "a"]


def test_a_path_that_is_not_plain_is_refused_by_every_call(store: ObjectStore) -> None:
    """S7."""
    calls: list[Callable[[str], object]] = [
        store.get,
        lambda path: store.get_range(path, 0, 1),
        lambda path: store.put_new(path, b""),
        lambda path: store.put(path, b""),
        store.delete,
        store.local_path,
    ]
    for path in BAD_PATHS:
        for call in calls:
            with pytest.raises(BadObjectPath):
                call(path)

    assert names(store, "") == []


def test_a_listing_prefix_that_is_not_plain_is_refused(store: ObjectStore) -> None:
    """S7."""
    for prefix in ["/", "/a", "a//", "../", "..", "a/../b/", "./", "a/.t", "a/ "]:
        with pytest.raises(BadObjectPath):
            store.list(prefix)


def test_many_threads_at_once_get_in_nobodys_way(store: ObjectStore) -> None:
    """S8."""

    def work(number: int) -> bool:
        path, data = f"t/{number % 5}/a/b/{number}", b"%d" % number * 1000
        store.put_new(path, data)
        read = store.get(path) == data
        store.delete(path)
        return read

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(120)))

    assert names(store, "t/") == []


def test_a_local_path_is_the_object(store: ObjectStore) -> None:
    store.put_new("a/b", b"bytes")

    found = store.local_path("a/b")

    assert found is None or found.read_bytes() == b"bytes"
    assert (found is None) == (store.durable_appends is None)


def test_files_appended_below_the_root_are_objects(store: ObjectStore) -> None:
    """S4: the segments of the write-ahead log on local disk."""
    if store.durable_appends is None:
        return
    store.put_new("n/wal/1", b"1")
    with open(store.durable_appends / "n" / "wal" / "2", "ab") as segment:
        segment.write(b"22")

    assert store.list("n/wal/") == [ObjectInfo("n/wal/1", 1), ObjectInfo("n/wal/2", 2)]


def test_finding_ones_own_bytes_is_success_and_anothers_is_not(store: ObjectStore) -> None:
    store_once(store, "a", b"mine")
    store_once(store, "a", memoryview(b"mine"))
    store_once(store, "signed", memoryview(array("b", [-1])))
    store_once(store, "signed", memoryview(array("b", [-1])))

    with pytest.raises(ObjectExists):
        store_once(store, "a", b"other")


def test_a_closed_store_object_does_not_take_the_objects_with_it(store: ObjectStore) -> None:
    store.put("a", b"1")
    store.close()

    assert issubclass(ObjectMissing, StoreError)
    assert names(store, "") == ["a"]

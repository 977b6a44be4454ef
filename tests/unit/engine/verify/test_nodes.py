"""Are a node's manifests, files and log whole?"""

import shutil
from dataclasses import replace

import pytest

from engine.files.manifest import decode_live_files, decode_manifest, encode_live_files, encode_manifest
from engine.storage.local import LocalStore
from tests.helpers.engine import open_node
from tests.unit.engine.verify.conftest import Damaged

FIRST_SEGMENT, LAST_SEGMENT = f"n/wal/{35:020}.wal", f"n/wal/{37:020}.wal"


def manifest(number: int) -> str:
    return f"n/snapshots/{number:020}.manifest"


def index(number: int) -> str:
    return f"n/snapshots/{number:020}.index"


def files(store: Damaged) -> list[str]:
    return store.all("n/dbs/**/*.parquet")


def test_a_whole_node_is_described(store: Damaged) -> None:
    """B1-B4."""
    report = store.report()

    assert report.findings == ()
    (node,) = report.nodes
    assert (node.node_id, node.catalog, node.snapshots, node.files, node.rows) == ("n", "n", 34, 34, 34)
    assert (node.first_group, node.last_group, node.rows_in_log) == (35, 38, 8)
    assert set(report.sound) >= {FIRST_SEGMENT, LAST_SEGMENT, manifest(34), index(32), *files(store)}


def test_any_object_with_a_changed_byte_is_named(store: Damaged) -> None:
    """B1-B3."""
    changed = [manifest(33), index(32), FIRST_SEGMENT, *files(store)[:8]]
    for number, path in enumerate(changed):
        size = (store.root / path).stat().st_size
        store.flip(path, size * (number + 1) // (len(changed) + 1))

    assert store.found() == sorted((("damaged", path) for path in changed), key=lambda found: found[1])


def test_any_object_that_was_cut_short_is_named(store: Damaged) -> None:
    """B1-B3."""
    changed = [manifest(33), index(32), FIRST_SEGMENT, files(store)[3]]
    for path in changed:
        store.cut(path, by=5)

    assert sorted(store.found()) == sorted(("damaged", path) for path in changed)


def test_a_missing_file_is_named_with_what_is_lost(store: Damaged) -> None:
    """B2."""
    gone = store.delete(files(store)[4])

    findings = store.report().findings

    assert [finding.about for finding in findings] == [("missing", gone)]
    assert findings[0].message == "a manifest lists it, with 1 row"


def test_a_file_in_the_place_of_another_is_named(store: Damaged) -> None:
    """B2."""
    here, there = files(store)[4], files(store)[5]
    shutil.copy(store.root / there, store.root / here)

    findings = store.report().findings

    assert [finding.about for finding in findings] == [("damaged", here)]
    assert "as its first time, and its manifest says" in findings[0].message


def test_a_manifest_that_lies_about_rows_is_found_out(store: Damaged) -> None:
    """B2."""
    path = store.root / manifest(34)
    read = decode_manifest(path.read_bytes(), "")
    path.write_bytes(encode_manifest(replace(read, added=(replace(read.added[0], rows=2),))))

    findings = store.report().findings

    assert [finding.message for finding in findings] == ["it has 1 row, and its manifest says 2"]


def test_a_missing_manifest_is_named_and_its_file_is_no_orphan(store: Damaged) -> None:
    """B1, B4."""
    store.delete(manifest(33))

    assert store.found() == [("missing", manifest(33))]


def test_the_newest_manifest_is_missed_by_the_files_that_it_listed(store: Damaged) -> None:
    """B1, B4."""
    store.delete(manifest(34))

    assert ("missing", manifest(34)) in store.found()


def test_an_index_that_the_manifests_do_not_make_is_named(store: Damaged) -> None:
    """B1."""
    path = store.root / index(32)
    live = decode_live_files(path.read_bytes(), "")
    path.write_bytes(encode_live_files(replace(live, files=live.files[1:])))

    findings = store.report().findings

    assert ("damaged", index(32)) in [finding.about for finding in findings]


def test_a_missing_segment_of_the_log_is_named_by_what_should_be_there(store: Damaged) -> None:
    """B3."""
    store.delete(FIRST_SEGMENT)

    findings = store.report().findings

    assert [finding.about for finding in findings] == [("missing", FIRST_SEGMENT)]
    assert findings[0].message == f"the log goes on with group 37 in {LAST_SEGMENT} where 35 should come"


def test_a_damaged_group_in_the_middle_is_named_with_its_place(store: Damaged) -> None:
    """B3."""
    store.flip(FIRST_SEGMENT, 60)

    findings = store.report().findings

    assert [finding.message for finding in findings] == ["checksum mismatch at byte 0; writes of that group are lost"]


@pytest.mark.parametrize("torn", [b"", b"FLWALG01", bytes(40)])
def test_a_torn_end_of_the_log_was_never_acknowledged(store: Damaged, torn: bytes) -> None:
    """B3."""
    data = (store.root / LAST_SEGMENT).read_bytes()
    (store.root / LAST_SEGMENT).write_bytes(data + (torn or data[: len(data) // 3]))

    report = store.report()

    assert report.findings == ()
    assert report.nodes[0].torn_bytes == len(torn or data[: len(data) // 3])


def test_a_last_group_that_is_whole_and_wrong_is_damaged(store: Damaged) -> None:
    """B3."""
    store.flip(LAST_SEGMENT, -3)

    assert store.found() == [("damaged", LAST_SEGMENT)]


def test_segments_under_wrong_names_are_named(store: Damaged) -> None:
    """B3."""
    (store.root / FIRST_SEGMENT).rename(store.root / f"n/wal/{34:020}.wal")

    assert ("damaged", f"n/wal/{34:020}.wal") in store.found()


def test_what_lies_among_our_objects_and_is_listed_nowhere_is_named(store: Damaged) -> None:
    """B4."""
    copied = files(store)[0].replace("0000000001-000-", "0000000001-001-")
    shutil.copy(store.root / files(store)[0], store.root / copied)
    strays = [
        store.add("n/dbs/1/0/copy.parquet"),
        store.add("n/wal/old.wal"),
        store.add("n/snapshots/1.bak"),
        store.add("n/notes"),
        store.add("n/dbs/probe/0123/object"),
    ]

    found = store.found()

    assert sorted(found) == sorted(("orphan", path) for path in [copied, *strays])


def test_files_of_an_unfinished_snapshot_wait_to_be_listed(store: Damaged) -> None:
    """B4."""
    shutil.copy(store.root / files(store)[-1], store.root / files(store)[-1].replace("0000000034", "0000000035"))

    report = store.report()

    assert report.findings == ()
    assert report.nodes[0].waiting_files == 1


def test_files_that_a_manifest_has_taken_out_wait_to_be_deleted(store: Damaged) -> None:
    """B4."""
    node = open_node(LocalStore(store.root))
    node.drop_database("db", hard_delete_at_ns=0)
    node._schedule._removals.look()
    node.close()
    taken_out = store.report()
    for path in store.all("n/snapshots/*.manifest"):  # as time goes by
        if path < index(32):
            store.delete(path)

    much_later = store.report()

    assert taken_out.findings == much_later.findings == ()
    assert taken_out.nodes[0].files == 0
    assert taken_out.nodes[0].waiting_files == much_later.nodes[0].waiting_files >= 34


def test_rows_of_a_table_that_the_catalog_has_never_had_are_named(store: Damaged) -> None:
    """B6."""
    for number in (4, 5):
        store.delete(f"n/catalog/log/{number:020}.catalog")
    store.delete("n/catalog/checkpoint")

    found = store.found()

    assert ("damaged", FIRST_SEGMENT) in found

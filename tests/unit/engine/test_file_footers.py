"""Footers: which row groups can match, and how many are kept."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.files.footers import Bounds, Footers

TAG = pa.dictionary(pa.int32(), pa.utf8())


def metadata(*groups: list[tuple[str | None, int]], statistics: bool = True) -> pq.FileMetaData:
    sink = io.BytesIO()
    schema = pa.schema([("host", TAG), ("time", pa.timestamp("ns"))])
    with pq.ParquetWriter(sink, schema, write_statistics=statistics) as writer:
        for group in groups:
            writer.write_table(
                pa.table([pa.array([h for h, _ in group], TAG), pa.array([t for _, t in group])], ["host", "time"]).cast(schema)
            )
    return pq.read_metadata(sink)


GROUPS: tuple[list[tuple[str | None, int]], ...] = ([("a", 5), ("c", 1)], [("d", 3), (None, 9)], [(None, 4), (None, 6)])


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (Bounds(), [0, 1, 2]),
        (Bounds(tags={"host": frozenset(["b"])}), [0]),
        (Bounds(tags={"host": frozenset(["d", "zz"])}), [1]),
        (Bounds(tags={"host": frozenset([None])}), [1, 2]),
        (Bounds(tags={"host": frozenset(["c", None])}), [0, 1, 2]),
        (Bounds(tags={"host": frozenset()}), []),
        (Bounds(first_ns=7), [1]),
        (Bounds(first_ns=2, last_ns=2), [0]),
        (Bounds(last_ns=0), []),
        (Bounds(6, 8, {"host": frozenset([None])}), [1, 2]),
        (Bounds(tags={"added later": frozenset(["x"])}), []),
        (Bounds(tags={"added later": frozenset(["x", None])}), [0, 1, 2]),
    ],
)
def test_row_groups_that_cannot_match_are_ruled_out(bounds: Bounds, expected: list[int]) -> None:
    """K1."""
    footer = Footers().of("f", lambda: metadata(*GROUPS))

    assert footer.matching(bounds) == expected


def test_without_statistics_every_row_group_is_read() -> None:
    """K1."""
    footer = Footers().of("f", lambda: metadata(*GROUPS, statistics=False))

    assert footer.matching(Bounds(100, 200, {"host": frozenset(["q"])})) == [0, 1, 2]


def test_footers_are_kept_within_a_budget() -> None:
    """K2."""
    read: list[str] = []

    def footer(path: str) -> None:
        def parse() -> pq.FileMetaData:
            read.append(path)
            return metadata(*GROUPS)

        footers.of(path, parse)

    one = Footers().of("f", lambda: metadata(*GROUPS)).byte_count
    footers = Footers(2 * one)
    for path in "abacab":
        footer(path)

    assert read == ["a", "b", "c", "b"]
    assert footers.byte_count == 2 * one
    footers.forget("b")
    assert footers.byte_count == one

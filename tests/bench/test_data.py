"""The generators make what they promise (scripts/bench_lib/data.py)."""

import gzip
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from scripts.bench_lib import data as rows_of
from scripts.bench_lib.data import CPU_FIELDS, CPU_TAGS, DATA_SETS, STEP_NS, Bodies, DataSet

SMALL = rows_of.cpu("small", hosts=30, rows=3_000)
IOT = replace(DATA_SETS["C"], name="mixed", width=100)
LINE = re.compile(rb'^((?:\\.|[^ ])+) ((?:[^ "]|"(?:\\.|[^"\\])*")+) (\d+)$')
FIELD = re.compile(rb'([a-z_0-9]+)=("(?:\\.|[^"\\])*"|[^,]+)')


def lines_of(made: Bodies) -> list[tuple[bytes, dict[bytes, bytes], int]]:
    """A plain parser: series key, fields, time."""
    parsed = []
    for line in made.data.read_bytes().splitlines():
        match = LINE.match(line)
        assert match is not None, line
        parsed.append((match[1], dict(FIELD.findall(match[2])), int(match[3])))
    return parsed


def test_cpu_lines_are_those_of_tsbs() -> None:
    lines = lines_of(rows_of.bodies(SMALL, 3_000, 500))

    assert len(lines) == 3_000
    for number, (key, fields, time) in enumerate(lines):
        measurement, *tags = key.decode().split(",")
        assert (measurement, tuple(tag.split("=")[0] for tag in tags)) == ("cpu", CPU_TAGS)
        assert tags[0] == f"hostname=host_{number % 30}"
        assert tuple(name.decode() for name in fields) == CPU_FIELDS
        assert all(re.fullmatch(rb"\d{1,3}i", value) and int(value[:-1]) <= 100 for value in fields.values())
        assert time == SMALL.start_ns + number // 30 * STEP_NS


@pytest.mark.parametrize("name", ["A", "B"])
def test_a_cpu_line_is_about_345_bytes_long(name: str) -> None:
    made = rows_of.bodies(DATA_SETS[name], 8_000, 5_000)

    assert 335 < made.data.stat().st_size / 8_000 < 355


def test_a_walk_moves_in_small_steps() -> None:
    values = rows_of.cpu_values(SMALL, 3_000).reshape(100, 30, 10).astype(int)

    assert 0 < abs(values[1:] - values[:-1]).mean() < 2
    assert values.min() >= 0
    assert values.max() <= 100


@pytest.mark.parametrize(("data", "check"), [(SMALL, b"usage_user"), (IOT, b"sequence")])
def test_the_index_tells_where_a_body_lies_and_what_is_in_it(data: DataSet, check: bytes) -> None:
    """D3."""
    made = rows_of.bodies(data, 20_000, 700)
    text = made.data.read_bytes()

    end = 0
    for offset, length, rows, total in made.load_index().tolist():
        lines = text[offset : offset + length].splitlines(keepends=True)
        assert offset == end
        assert len(lines) == rows
        assert all(line.endswith(b"\n") for line in lines)
        assert sum(int(re.findall(rb"[ ,]" + check + rb"=(\d+)i", line)[0]) for line in lines) == total
        end = offset + length
    assert end == len(text)


def test_gzipped_bodies_hold_the_plain_ones() -> None:
    plain, packed = (rows_of.bodies(SMALL, 3_000, 500, gzip=packed) for packed in (False, True))

    text = packed.data.read_bytes()
    unpacked = [gzip.decompress(text[offset : offset + length]) for offset, length, _, _ in packed.load_index().tolist()]

    assert b"".join(unpacked) == plain.data.read_bytes()
    assert packed.load_index()[:, 2:].tolist() == plain.load_index()[:, 2:].tolist()


def test_the_same_data_comes_out_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D1."""
    before = [rows_of.bodies(data, 4_000, 1_000, number=1).data.read_bytes() for data in (SMALL, IOT)]

    monkeypatch.setenv("FLIGHTLINE_BENCH_CACHE", str(tmp_path))
    after = [rows_of.bodies(data, 4_000, 1_000, number=1).data.read_bytes() for data in (SMALL, IOT)]

    assert after == before


@pytest.mark.parametrize("data", [SMALL, IOT])
def test_no_row_occurs_twice_in_two_rounds(data: DataSet) -> None:
    """D2. Times are compared in milliseconds, which is all that some servers keep."""
    rounds = [lines_of(rows_of.bodies(data, 15_000 if data is IOT else 3_000, 5_000, number=number)) for number in (0, 1)]

    points = [(key, time // 1_000_000) for lines in rounds for key, _, time in lines]

    assert len(set(points)) == len(points)
    assert max(time for _, _, time in rounds[0]) < min(time for _, _, time in rounds[1])


def test_the_mixed_stream_is_mixed() -> None:
    lines = lines_of(rows_of.bodies(IOT, 15_000, 5_000))

    tables = {key.split(b",")[0] for key, _, _ in lines}
    shapes = {tuple(fields) for _, fields, _ in lines}
    values = {bytes(value) for _, fields, _ in lines for value in fields.values()}
    newest: dict[bytes, int] = {}
    late = 0
    for key, _, time in lines:
        late += time < newest.get(key, 0)
        newest[key] = max(time, newest.get(key, 0))

    assert {table.decode() for table in tables} == set(IOT.tables)
    assert len(shapes) > 50
    assert {b"true", b"f", b'"failed, retry"', b'"warn: filter \\"B\\""'} <= values
    assert 0.003 < late / len(lines) < 0.03
    assert {b",firmware=" in key for key, _, _ in lines} == {True, False}
    assert len({re.sub(rb"=[^,]*", b"", key) for key, _, _ in lines}) == len(tables)


def test_arrow_batches_hold_the_rows_of_the_text() -> None:
    table = pa.ipc.open_file(rows_of.batches(SMALL, 3_000)).read_all()

    lines = lines_of(rows_of.bodies(SMALL, 3_000, 500))
    rows = table.cast(pa.schema([field.with_type(pa.utf8()) if field.name in CPU_TAGS else field for field in table.schema]))
    for row, (key, fields, time) in zip(rows.to_pylist(), lines, strict=True):
        assert "cpu," + ",".join(f"{tag}={row[tag]}" for tag in CPU_TAGS) == key.decode()
        assert {name.encode(): f"{row[name]}i".encode() for name in CPU_FIELDS} == fields
        assert row["time"].value == time

"""What the benchmarks write: line protocol in ready bodies, and the same rows as Arrow batches.

D1  The same data set, rows and round always give the same bytes; nothing depends on the clock or on earlier calls.
D2  No two rows share series and time, within a round and between rounds, so what was acknowledged can be counted.
D3  Each body carries its number of rows and the sum of one field that every row has; together they are the answer that
    the server has to give when it is asked back.

Held by tests/bench/test_data.py. Bodies are made before a run and kept in a directory under the temporary one
(`FLIGHTLINE_BENCH_CACHE` elsewhere); a client process maps them, so that a run pays for nothing but sending.
They are on the disk before a run, which would else share it with them.
Elsewhere: the loop that makes the text (lines.cpp).

cpu   TSBS cpu-only: 10 tags, 10 integer fields, one row per host every 10 s, all hosts of one timestamp and then the next.
iot   50 tables with two or three tags, floats, strings, booleans, missing fields, one row in fifty ten minutes late.
"""

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from isal import igzip

SEED = 20160101
CPU_TAGS = (
    "hostname",
    "region",
    "datacenter",
    "rack",
    "os",
    "arch",
    "team",
    "service",
    "service_version",
    "service_environment",
)
CPU_FIELDS = tuple(
    f"usage_{name}" for name in ("user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
)
REGIONS = {
    "us-east-1": "abcde",
    "us-west-1": "ab",
    "us-west-2": "abc",
    "eu-west-1": "abc",
    "eu-central-1": "ab",
    "ap-southeast-1": "ab",
    "ap-southeast-2": "ab",
    "ap-northeast-1": "ac",
    "sa-east-1": "abc",
}
STEP_NS = 10_000_000_000
IOT_TABLES = 50
LINE_BYTES = 512  # no line is longer
CHUNK_ROWS = 200_000
ARROW_BATCH_ROWS = 10_000

Int64s = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class DataSet:
    """A stream of rows. `width` rows share a timestamp; a round is one stretch of time, the next one follows it."""

    name: str
    width: int
    full_rows: int
    start_ns: int
    tables: tuple[str, ...]
    check_field: str

    def steps(self, rows: int) -> int:
        return max(1, rows // self.width)

    def round_start_ns(self, rows: int, number: int) -> int:
        return self.start_ns + number * (self.steps(rows) + 100) * STEP_NS

    def time_range_ns(self, rows: int, rounds: int = 1) -> tuple[int, int]:
        return self.start_ns, self.round_start_ns(rows, rounds)


def cpu(name: str, hosts: int, rows: int, start_s: int = 1_451_606_400) -> DataSet:
    return DataSet(name, hosts, rows, start_s * 1_000_000_000, ("cpu",), "usage_user")


DATA_SETS = {
    "A": cpu("A", hosts=100, rows=2_592_000),  # three days
    "B": cpu("B", hosts=4_000, rows=2_880_000, start_s=1_483_228_800),  # two hours
    "C": DataSet("C", 2_000, 1_000_000, 1_514_764_800_000_000_000, tuple(f"iot_{n:02}" for n in range(IOT_TABLES)), "sequence"),
}


@dataclass(frozen=True, slots=True)
class Bodies:
    """Requests in order: `index` has offset, length, rows and check sum (D3) of each."""

    data: Path
    index: Path

    def load_index(self) -> Int64s:
        index: Int64s = np.load(self.index)
        return index


def cache_directory() -> Path:
    named = os.environ.get("FLIGHTLINE_BENCH_CACHE")
    directory = Path(named) if named else Path(tempfile.gettempdir()) / f"flightline-bench-{os.getuid()}"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def bodies(data: DataSet, rows: int, lines_per_body: int, *, gzip: bool = False, number: int = 0) -> Bodies:
    """The bodies of one round, made unless they are there already. Rows are rounded down to whole timestamps."""
    name = f"{data.name}-{data.width}-{data.steps(rows)}-{lines_per_body}-r{number}-{_version()}{'-gz' if gzip else ''}"
    found = Bodies(cache_directory() / f"{name}.bin", cache_directory() / f"{name}.npy")
    if not found.index.exists():
        parts = (
            _gzipped(bodies(data, rows, lines_per_body, number=number)) if gzip else _plain(data, rows, lines_per_body, number)
        )
        _store(found, parts)
    return found


def tidy() -> None:
    """Drop what other versions of this file left behind more than a day ago."""
    for path in cache_directory().iterdir():
        with suppress(FileNotFoundError):
            if _version() not in path.name and path.stat().st_mtime < time.time() - 86_400:
                path.unlink()


def forget(made: Bodies) -> None:
    made.index.unlink(missing_ok=True)
    made.data.unlink(missing_ok=True)


def batches(data: DataSet, rows: int) -> Path:
    """The rows of a cpu data set as an Arrow file: tags as dictionaries, integers, `time`; 10,000 rows a batch."""
    path = cache_directory() / f"{data.name}-{data.width}-{data.steps(rows)}-{_version()}.arrow"
    if not path.exists():
        unfinished = path.with_suffix(f".{os.getpid()}")
        with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, arrow_schema()) as writer:
            for batch in _arrow(data, rows):
                writer.write_batch(batch)
        unfinished.rename(path)
    return path


def arrow_schema() -> pa.Schema:
    tag_type = pa.dictionary(pa.int32(), pa.utf8())
    tags = [pa.field(name, tag_type, metadata={"iox::column::type": "iox::column_type::tag"}) for name in CPU_TAGS]
    fields = [
        pa.field(name, pa.int64(), metadata={"iox::column::type": "iox::column_type::field::integer"}) for name in CPU_FIELDS
    ]
    return pa.schema([*tags, *fields, pa.field("time", pa.timestamp("ns"), nullable=False)])


def cpu_tags(hosts: int) -> list[tuple[str, ...]]:
    """The ten tag values of each host; a host is the same in every data set."""
    choose = np.random.default_rng(SEED)
    regions = list(REGIONS)
    rows: list[tuple[str, ...]] = []
    for host in range(hosts):
        region = regions[choose.integers(len(regions))]
        zone = REGIONS[region][choose.integers(len(REGIONS[region]))]
        rows.append(
            (
                f"host_{host}",
                region,
                region + zone,
                str(choose.integers(100)),
                ("Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10")[choose.integers(3)],
                ("x64", "x86")[choose.integers(2)],
                ("SF", "NYC", "LON", "CHI")[choose.integers(4)],
                str(choose.integers(20)),
                str(choose.integers(2)),
                ("production", "staging", "test")[choose.integers(3)],
            )
        )
    return rows


def cpu_values(data: DataSet, rows: int) -> Bytes:
    """Ten random walks between 0 and 100 for each host, in line order: shape (rows, 10)."""
    steps = data.steps(rows)
    choose = np.random.default_rng([SEED, data.width])
    state = choose.uniform(0, 100, (data.width, len(CPU_FIELDS))).astype(np.float32)
    values = np.empty((steps, data.width, len(CPU_FIELDS)), np.uint8)
    for step in range(steps):
        values[step] = state
        state += choose.standard_normal(state.shape, np.float32)
        np.clip(state, 0, 100, out=state)
    return values.reshape(steps * data.width, len(CPU_FIELDS))


def _plain(data: DataSet, rows: int, lines_per_body: int, number: int) -> Iterator[tuple[memoryview, Int64s]]:
    """Text and index of one chunk after the other; a body never spans two chunks."""
    start_ns = data.round_start_ns(rows, number)
    rendered = _iot_chunks(data, rows, start_ns) if len(data.tables) > 1 else _cpu_chunks(data, rows, start_ns, lines_per_body)
    for text, ends, checks in rendered:
        first = np.arange(0, len(ends), lines_per_body)
        last = np.minimum(first + lines_per_body, len(ends)) - 1
        begins = np.where(first == 0, 0, ends[first - 1])
        index = np.stack([begins, ends[last] - begins, last - first + 1, np.add.reduceat(checks, first)], axis=1)
        yield text[: ends[-1]], index


Chunk = tuple[memoryview, Int64s, Int64s]


def _cpu_chunks(data: DataSet, rows: int, start_ns: int, lines_per_body: int) -> Iterator[Chunk]:
    values = cpu_values(data, rows)
    heads = [
        ("cpu," + ",".join(f"{key}={value}" for key, value in zip(CPU_TAGS, tags, strict=True))).encode()
        for tags in cpu_tags(data.width)
    ]
    head_ends = np.cumsum([len(head) for head in heads], dtype=np.int64)
    chunk = max(lines_per_body, CHUNK_ROWS // lines_per_body * lines_per_body)
    text = bytearray(chunk * LINE_BYTES)
    for first in range(0, len(values), chunk):
        part = values[first : first + chunk]
        ends = np.empty(len(part), np.int64)
        _native().render_cpu(
            b"".join(heads),
            _address(head_ends),
            data.width,
            _address(part),
            first,
            len(part),
            start_ns,
            STEP_NS,
            _address(np.frombuffer(text, np.uint8)),
            _address(ends),
        )
        yield memoryview(text), ends, part[:, 0].astype(np.int64)


def _iot_chunks(data: DataSet, rows: int, start_ns: int) -> Iterator[Chunk]:
    steps, chunk = data.steps(rows), max(1, CHUNK_ROWS // data.width)
    text = bytearray(chunk * data.width * 2 * LINE_BYTES)
    for first in range(0, steps, chunk):
        ends = np.empty(chunk * data.width * 2, np.int64)
        checks = np.empty_like(ends)
        count = _native().render_iot(
            SEED,
            len(data.tables),
            data.width,
            first,
            min(chunk, steps - first),
            start_ns,
            STEP_NS,
            _address(np.frombuffer(text, np.uint8)),
            _address(ends),
            _address(checks),
        )
        yield memoryview(text), ends[:count], checks[:count]


def _gzipped(plain: Bodies) -> Iterator[tuple[memoryview, Int64s]]:
    text = np.memmap(plain.data, np.uint8, "r")
    for offset, length, rows, check in plain.load_index().tolist():
        packed = igzip.compress(text[offset : offset + length], 2)
        yield memoryview(packed), np.array([[0, len(packed), rows, check]], np.int64)


def _store(made: Bodies, parts: Iterator[tuple[memoryview, Int64s]]) -> None:
    """The index appears last and whole, so a half-made cache is made again."""
    unfinished = made.data.with_suffix(f".{os.getpid()}")
    written, indexes = 0, []
    with unfinished.open("wb") as sink:
        for text, index in parts:
            index[:, 0] += written
            indexes.append(index)
            written += sink.write(text)
        sink.flush()
        os.fsync(sink.fileno())
    unfinished.rename(made.data)
    with unfinished.open("wb") as sink:
        np.save(sink, np.concatenate(indexes))
    unfinished.rename(made.index)


def _arrow(data: DataSet, rows: int) -> Iterator[pa.RecordBatch]:
    values = cpu_values(data, rows)
    hosts = [pa.array(column).dictionary_encode() for column in zip(*cpu_tags(data.width), strict=True)]
    for first in range(0, len(values), ARROW_BATCH_ROWS):
        part = values[first : first + ARROW_BATCH_ROWS]
        row = np.arange(first, first + len(part), dtype=np.int64)
        host = pa.array(row % data.width, pa.int32())
        tags = [pa.DictionaryArray.from_arrays(column.indices.take(host), column.dictionary) for column in hosts]
        fields = [pa.array(part[:, number].astype(np.int64)) for number in range(len(CPU_FIELDS))]
        time = pa.array(data.start_ns + row // data.width * STEP_NS).cast(pa.timestamp("ns"))
        yield pa.record_batch([*tags, *fields, time], schema=arrow_schema())


def _address(array: npt.NDArray[np.generic]) -> int:
    return array.ctypes.data


@cache
def _version() -> str:
    source = Path(__file__)
    return hashlib.sha1(source.read_bytes() + source.with_name("lines.cpp").read_bytes()).hexdigest()[:8]


@cache
def _native() -> ctypes.CDLL:
    source = Path(__file__).with_name("lines.cpp")
    library = cache_directory() / f"lines-{_version()}.so"
    if not library.exists():
        if shutil.which("g++") is None:
            raise SystemExit("the benchmarks make their data with a small C++ helper: install g++ and try again")
        unfinished = library.with_suffix(f".{os.getpid()}")
        subprocess.run(
            ["g++", "-O3", "-std=c++17", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", unfinished, source], check=True
        )
        unfinished.rename(library)
    native = ctypes.CDLL(str(library))
    number, address = ctypes.c_int64, ctypes.c_void_p
    native.render_cpu.restype = native.render_iot.restype = number
    native.render_cpu.argtypes = [ctypes.c_char_p, address, number, address, *[number] * 4, address, address]
    native.render_iot.argtypes = [*[number] * 7, address, address, address]
    return native

"""The compiled part: line protocol in, series numbers, sorted rows out. Sources in engine/native.

Every function that touches rows releases the GIL. A `Buffer` is anything with the buffer protocol (bytes, pyarrow.Buffer,
memoryview); what comes back as `memoryview` owns its bytes and can be wrapped with pyarrow.py_buffer.
Field types are catalog.schema.FieldType: 1 float, 2 integer, 3 uinteger, 4 string, 5 boolean.
Precisions are engine.lineprotocol.precision.Precision: 0 auto, 1 second, 2 millisecond, 3 microsecond, 4 nanosecond.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, final

from typing_extensions import Buffer  # in collections.abc from 3.12 on; needed by type checkers only

class SeriesIndex:
    """One table's series: a number (dense, from 0) for each combination of tag values, null being a value.

    Any number of threads may read while one writes; the caller keeps writers apart.
    """

    def __init__(self, tag_count: int) -> None: ...
    def __len__(self) -> int: ...
    @property
    def tag_count(self) -> int: ...
    @property
    def memory_bytes(self) -> int: ...
    def add_tags(self, count: int) -> None:
        """More tags at the end of the key; null in every series known so far."""
    def resolve(self, columns: Sequence[Any], rows: int) -> memoryview:
        """The series number of each row (int32), new series added. `columns`: one Arrow array per tag, string or large_string
        or dictionary of string (anything with __arrow_c_array__), None for a tag that is null in all rows."""
    def codes(self, tag: int, series: Buffer | None = None) -> memoryview:
        """The value code (int32, -1 for null) of a tag for each series number given; for all series without."""
    def find_codes(self, tag: int, values: Sequence[str | None]) -> memoryview:
        """The codes (int32) of those of the values that the tag has in any series; -1 for None."""
    def having(self, tag: int, codes: Buffer) -> memoryview:
        """The series (int32, ascending) whose value of a tag has one of the codes, none of which is given twice. From lists
        that are made when somebody asks; ValueError for a code that is no value's."""
    def values(self, tag: int, series: Buffer | None = None) -> Any:
        """The distinct values of a tag by code; with `series`, the value in each of these series, null where it has none.
        An object with __arrow_c_array__ (utf8)."""
    def columns(self, tags: Sequence[int], series: Buffer) -> Any:
        """These tags in rows of these series: an object with __arrow_c_array__, to be taken once, a struct of dictionaries
        (int32, utf8), null where a series has no value. A dictionary has all values of its tag, by code."""
    def pick(
        self,
        tags: Sequence[int],
        series: Buffer,
        times: Buffer,
        newest: bool,
        ascending: bool | None = None,
        nulls_first: bool = False,
    ) -> memoryview | None:
        """Of rows of these series and times the number (int32) of one with the newest (oldest) time for each combination of
        the tags' values; by the values of the first tag, rising or falling, or, without `ascending`, in the order in which the
        combinations were met. None when that is each row, in its place."""
    def set_floor(self, time_ns: int) -> None:
        """Rows at or before this may exist in files: series first seen from now on count them as late."""
    def arrive(self, series: Buffer, times: Buffer) -> tuple[int, int, int]:
        """Take note of rows in order of arrival: (late rows, earliest, latest late time). A row is late when its time is not
        after the newest seen of its series (or the floor); only late rows can be duplicates."""
    def newest(self, series: Buffer | None = None) -> memoryview:
        """The newest time seen of each series (int64)."""
    def rank(self, parts: Sequence[Buffer]) -> memoryview:
        """For each series of the index (int32) its place among those that the parts name, ordered by the bytes of their tags in
        the order of the key, null first; 0 for all others."""
    def define(self, series: Buffer, epoch: int) -> memoryview:
        """Those of `series` not yet defined in `epoch`, each once (int32), and marks them defined. One epoch at a time."""

class LineSchema:
    """What the parser knows of one database: its tables, their columns and series. One writer, any number of readers."""

    def __init__(self, *, extend_tags: bool = False, column_limit: int = 0) -> None: ...
    def put_table(self, name: str, tags: Sequence[str], fields: Sequence[tuple[str, int]], index: SeriesIndex) -> None:
        """Make a table known, or widen it (same index)."""
    def drop_table(self, name: str) -> None: ...
    @property
    def memory_bytes(self) -> int: ...

@final
class ParsedTable:
    """The rows of one table in one body. Columns a line lacks are null in its row."""

    @property
    def name(self) -> str: ...
    @property
    def is_new(self) -> bool: ...
    @property
    def rows(self) -> int: ...
    @property
    def tags(self) -> list[str]:
        """All tags of the table as this body sees them, new ones at the end. If the catalog came to another order meanwhile
        (another writer won), parse again instead of settling."""
    @property
    def new_tags(self) -> list[str]: ...
    @property
    def new_fields(self) -> list[tuple[str, int]]: ...
    @property
    def time_min_ns(self) -> int: ...
    @property
    def time_max_ns(self) -> int: ...
    @property
    def new_series(self) -> int:
        """Combinations of tags that the index did not know when the body was parsed."""
    def settle(self, index: SeriesIndex) -> None:
        """Give the unknown series their numbers, and let the index remember how series were spelled. Call once, as the index's
        writer, even without new series; before __arrow_c_array__. The index must have all of `tags`."""
    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """A struct of `series` (int32), `time` (timestamp ns) and the fields that any row has, in table order."""

class Parsed(NamedTuple):
    lines: int
    """Lines that were rows or errors; blank lines and comments are neither."""
    rows: int
    tables: list[ParsedTable]
    """A table occurs again only when its rows do not fit into one batch (more than 2 GiB of strings in a column, or so few
    values per column that the nulls would outweigh the body). Take them in order: later entries build on the columns of
    earlier ones."""
    errors: list[tuple[int, str, str]]
    """(physical line number, message, the line up to 1024 bytes)"""
    takes_now: bool
    """Whether a row has the time `now_ns`, as one without a timestamp has."""

def parse(
    schema: LineSchema,
    body: Buffer,
    precision: int,
    now_ns: int,
    *,
    stop_at_first_error: bool = False,
    tables_left: int = -1,
    table_count: int = 0,
    error_limit: int = -1,
) -> Parsed:
    """Line protocol to columns. Pure: neither the schema nor any index changes, whatever the body says.
    `tables_left`: how many tables the body may create, -1 for any number; `table_count`: how many there are, for the text that
    says so. `error_limit`: how many errors are kept; what was refused beyond them shows in `lines` less `rows`."""

def sort_rows(series: Buffer, times: Buffer, rank: Buffer | None = None) -> tuple[memoryview | None, memoryview | None]:
    """Stable order by (series, time), or by (rank[series], time): (indices int32, starts int32).
    indices is None when the rows are in order already; starts is None when no key occurs twice, else the sorted
    positions at which a new key begins. ValueError for a negative series or rank, and for a series without a rank."""

def last_valid(count: int, indices: Buffer | None, starts: Buffer, validity: Buffer | None, offset: int) -> memoryview:
    """For each run of equal keys the row (int32, unsorted numbering) whose value stands: the last valid one, or the last.
    `count` rows in all; `validity` is an Arrow bitmap in which bit `offset` is row 0, None when all rows are valid."""

def remap(numbers: Buffer, mapping: Buffer) -> memoryview:
    """mapping[n] for each n (int32); ValueError for a number outside the mapping."""

def assign(mapping: bytearray, numbers: Buffer, values: Buffer) -> None:
    """mapping[numbers[i]] = values[i] (int32)."""

def series_runs(series: Buffer) -> tuple[memoryview, memoryview]:
    """Of rows grouped by series: (the number of each run, the position where it begins), both int32."""

def find_ranges(
    numbers: Buffer,
    starts: Buffer,
    times: Buffer,
    first: int,
    last: int,
    wanted: Buffer | None = None,
    ascending: bool = False,
    order: Buffer | None = None,
) -> tuple[memoryview, memoryview, int]:
    """Of runs of rows (int32 numbers, int32 starts; times rise within each) the parts with times in [first, last]: begins,
    ends (int32) and how many rows. `wanted`: numbers, rising; of the runs with these alone. `ascending`: those of the runs rise
    too. With `order`, runs are of positions in it: position p is row order[p]."""

def spread(begins: Buffer, ends: Buffer) -> memoryview:
    """The numbers (int32) of all rows in the ranges, in their order."""

def spell(batch: Any, schema: Any) -> Any:
    """A batch (what has __arrow_c_array__) with texts where it has dictionaries (int32, utf8) and the schema (what has
    __arrow_c_schema__) has utf8; other columns must have the schema's types and are handed on. The outcome has
    __arrow_c_array__, and is taken once. ValueError for what does not fit."""

def keep_thread_state() -> None:
    """For a thread of another library that calls Python again and again: its thread state is kept until it ends."""

def inverse(order: Buffer) -> memoryview:
    """places[order[i]] = i (int32), for an order of all rows."""

def scatter(parts: Sequence[Buffer], places: Buffer, out: Buffer) -> None:
    """out[places[row]] = the value of each row (8 bytes each); rows are counted through all parts. `out` must be writable."""

def narrow(values: Buffer) -> memoryview | None:
    """The int64 values as int32, int16 or int8, whatever holds all of them in the fewest bytes; None when nothing less does."""

def time_range(times: Buffer) -> tuple[int, int]:
    """(earliest, latest) of one time or more."""

def count_windows(times: Buffer, width: int) -> dict[int, int]:
    """How many times lie in each window that has any; windows are counted from 1970."""

@final
class Fold:
    """Counts, sums and extremes of columns, by key and by bin of time. One thread at a time.

    `kinds`: a FieldType from 1 to 3 for each column, or 0 for what is only counted. `cells_max`: how many cells rows may make.
    """

    def __init__(self, kinds: Sequence[int], cells_max: int = ...) -> None: ...
    def add(
        self,
        codes: Buffer | None,
        keys: Buffer,
        times: Buffer,
        first: int,
        last: int,
        origin: int,
        width: int,
        columns: Sequence[tuple[Buffer | None, Buffer | None, int]],
        begins: Buffer | None = None,
        ends: Buffer | None = None,
    ) -> None:
        """Take in rows: either all, whose keys are keys[codes[row]] (int64 by int32), or, without codes, those in ranges
        (int32), each of the key that stands at its place and in order of time. Negative keys are left out, and so are times
        outside of [first, last]. Bin n begins at origin + n * width; with width 0 there is one. Columns are values of 8 bytes,
        an Arrow bitmap or None, and which of its bits is row 0. MemoryError where there would be too many cells."""
    def merge(self, other: Fold) -> None:
        """Take in what another has, and how many cells it may have."""
    def outcome(
        self, keys: Sequence[int], origin: int, width: int, measures: Sequence[tuple[str, int]]
    ) -> tuple[int, list[tuple[bytes | None, bytes, int]]]:
        """(how many rows, their columns): a row for each key and bin that has any, by bins, those of one bin by keys. Each
        column is an Arrow bitmap (None: all are valid), values, and how many are null.
        `keys`: -1 for the beginning of the bin (int64), or the number of a tag, whose code (int32) is 21 bits of the key less
        one, null for 0. `measures`: count, sum, avg, min or max of a column, 8 bytes each; count of -1 counts rows."""

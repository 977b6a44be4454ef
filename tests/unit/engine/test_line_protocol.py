"""The native parser by example: what a line may look like, what is told of a bad one, and what is left behind by either."""

import random
import threading
from collections.abc import Sequence

import pyarrow as pa
import pytest

from engine import _native
from tests.helpers.native_lines import Store, batch
from tests.helpers.reference_lines import Options, Row

TAIL = "\n" * 120  # the fast reader keeps away from the end of the body
NOW_NS = 1_700_000_000_123_456_789
NANOSECONDS = Options()
AT_NOW = Options(now_ns=NOW_NS)


def rows(text: str, options: Options = AT_NOW) -> list[Row]:
    """The rows of a good body, read cold and warm."""
    store = Store()
    cold, warm = (store.write((text + tail).encode(), options) for tail in ("", TAIL))
    assert cold.errors == warm.errors == []
    assert {name: table.rows for name, table in cold.tables.items()} == {
        name: table.rows for name, table in warm.tables.items()
    }
    return [row for table in cold.tables.values() for row in table.rows]


def errors(text: str | bytes, options: Options = NANOSECONDS, store: Store | None = None) -> list[tuple[int, str, str]]:
    body = text if isinstance(text, bytes) else text.encode()
    return (store or Store()).write(body, options).errors


def messages(text: str | bytes, options: Options = NANOSECONDS, store: Store | None = None) -> list[str]:
    return [message for _, message, _ in errors(text, options, store)]


# ---- values


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("23i", 23),
        ("-9223372036854775808i", -(2**63)),
        ("18446744073709551615u", 2**64 - 1),
        ("44", 44.0),
        ("-0.25", -0.25),
        ("1.234456e+02", 123.4456),
        ("0.30000000000000004", 0.30000000000000004),
        ("9007199254740993", 9007199254740992.0),
        ("2.2250738585072011e-308", 2.2250738585072011e-308),
        ("4.9e-324", 5e-324),
        ("1e-400", 0.0),
        ("1e400", float("inf")),
        ("-1e400", float("-inf")),
        ("0." + "0" * 400 + "1e401", 1.0),
        ("1" + "0" * 400 + "e-400", 1.0),
        ("1e" + "9" * 400, float("inf")),
        ("1e-" + "9" * 400, 0.0),
        ('""', ""),
        (r'"a\"b\\c\d"', r'a"b\c\d'),
        ('"two\nlines"', "two\nlines"),
        ('"ünï日本🎈"', "ünï日本🎈"),
        *[(word, True) for word in ("t", "T", "true", "True", "TRUE")],
        *[(word, False) for word in ("f", "F", "false", "False", "FALSE")],
    ],
)
def test_a_value_is_read_as_its_type(written: str, value: float | str | bool) -> None:
    """P4, G2."""
    found = rows(f"m f={written} 1\nm f={written},g={written} 2\n")

    assert found == [Row({}, 1, {"f": value}), Row({}, 2, {"f": value, "g": value})]
    assert type(found[0].fields["f"]) is type(value)


def test_a_million_bytes_are_a_string_and_one_more_is_too_many() -> None:
    long = "x" * 1048576

    assert rows(f'm f="{long}" 1')[0].fields == {"f": long}
    assert messages(f'm f="{long}x" 1') == ["String is greater than 1MB"]
    assert messages(f"m {long}x=1") == ["String is greater than 1MB"]
    assert messages(f"m,t={long}x f=1") == ["String is greater than 1MB"]
    assert rows(f"m,t={long} f=1 1")[0].tags == {"t": long}


def test_decimals_are_rounded_correctly() -> None:
    """Against Python's own reading: short ones, long ones, and those that lie exactly between two floats."""
    rng = random.Random(3)
    texts = [f"{rng.uniform(0, 100):.{digits}f}" for digits in range(1, 18) for _ in range(300)]
    texts += [str(rng.randrange(2**53, 2**54) | 1) for _ in range(500)]
    texts += [f"{rng.randrange(2**52, 2**53)}.5" for _ in range(500)]
    texts += [f"{mantissa // 4}.{mantissa % 4 * 25:02}" for mantissa in (rng.randrange(2**53, 2**54) for _ in range(500))]
    texts += [repr(rng.random() * 10 ** rng.randrange(-20, 25)) for _ in range(3000)]

    found = rows("".join(f"m f={text} 1\n" for text in texts))

    assert [row.fields["f"] for row in found] == [float(text) for text in texts]


# ---- names


@pytest.mark.parametrize(
    ("line", "row"),
    [
        (r"a\,b f=1 1", Row({}, 1, {"f": 1.0})),
        (r"m,k\=x=v\,w f=1 1", Row({"k=x": "v,w"}, 1, {"f": 1.0})),
        (r"m,k=a\ b f\ g=1 1", Row({"k": "a b"}, 1, {"f g": 1.0})),
        (r"m,k=a=b f=1 1", Row({"k": "a=b"}, 1, {"f": 1.0})),
        (r"m,k=\\a\\b f=1 1", Row({"k": r"\a\b"}, 1, {"f": 1.0})),
        ('m,k="q" f=1 1', Row({"k": '"q"'}, 1, {"f": 1.0})),
        ("m a,b=1,c=2 1", Row({}, 1, {"a,b": 1.0, "c": 2.0})),
        ("m  f=1  1  ", Row({}, 1, {"f": 1.0})),
        ("\t m f=1 1", Row({}, 1, {"f": 1.0})),
    ],
)
def test_a_name_may_hold_what_is_escaped(line: str, row: Row) -> None:
    assert rows(line + "\n" + line + "\n") == [row, row]


def test_spellings_of_one_measurement_are_one_table() -> None:
    store = Store()
    for _ in range(2):
        outcome = store.write((r"a\b f=1 1" + "\n" + r"a\\b f=2 2" + "\n" + r"a\\\\b f=3 3" + TAIL).encode(), Options())
        assert {name: len(table.rows) for name, table in outcome.tables.items()} == {r"a\b": 2, r"a\\b": 1}


def test_tags_in_another_order_or_spelling_are_the_same_series() -> None:
    lines = ["m,a=1,b=x=y f=1i 1", "m,b=x=y,a=1 f=2i 2", r"m,a=1,b=x\=y f=3i 3", "m,a=1 f=4i 4", "m f=5i 5"]
    store = Store()
    for _ in range(3):
        (table,) = store.parse(("\n".join(lines) + TAIL).encode(), Options()).tables
        store.admit(table)

        assert batch(table).column("series").to_pylist() == [0, 0, 0, 1, 2]
    assert len(store.indices["m"]) == 3


# ---- lines


def test_line_numbers_count_every_newline_of_the_body() -> None:
    """P1."""
    body = '\n# comment\nm f="a\nb\nc" 1\n  \nbad\r\nm g=2 2\n#\n\\\n bad2\nm g=3 x'

    assert errors(body) == [
        (7, "Expected at least one space character, got end of input", "bad"),
        (10, "No fields were provided", "\\\n bad2"),
        (12, "Could not parse entire line. Found trailing content: ` x`", "m g=3 x"),
    ]


def test_crlf_ends_a_line_and_a_lone_carriage_return_does_not() -> None:
    assert [row.time_ns for row in rows("m f=1 1\r\nm f=2 2\r\n\r\nm f=3\r\nm f=4 \r\n")] == [1, 2, NOW_NS, NOW_NS]
    assert messages("m f=1 1\r") == ["Could not parse entire line. Found trailing content: `\r`"]


def test_the_original_line_is_whole_up_to_a_kilobyte_and_cut_between_characters() -> None:
    assert errors("  bad é")[0][2] == "  bad é"
    assert errors("m " + "é" * 600)[0][2] == "m " + "é" * 511
    assert errors("mm " + "é" * 600)[0][2] == "mm " + "é" * 510
    assert errors(b"m " + b"\x80" * 1100)[0][2] == "m " + "\ufffd" * 1022


@pytest.mark.parametrize(
    "raw", [b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80", b"\xf8\x88\x80\x80\x80"]
)
def test_bytes_that_are_no_utf8_are_refused_where_they_stand(raw: bytes) -> None:
    good = b'm,t=a f="x" 1\n'
    tail = TAIL.encode()
    for bad, offset in ((b"m,t=" + raw + b" f=1 1", 4), (b' m,t=a f="x' + raw + b'" 1', 11), (b"m,t=a f" + raw + b"=1 1", 7)):
        store = Store()
        for _ in range(2):
            assert errors(good + bad + b"\n" + good + tail, store=store) == [
                (2, f"body content is not valid utf8: byte offset {offset} of the line", bad.decode(errors="replace"))
            ]
    assert len(store.indices["m"]) == 1


def test_a_comment_is_not_looked_at() -> None:
    assert rows('# a="b\nm f=1 1\n #\xff "\nm f=2 2') == [Row({}, 1, {"f": 1.0}), Row({}, 2, {"f": 2.0})]


def test_what_comes_empty_is_empty() -> None:
    for body in ("", "\n\n", "# nothing", " \t\r\n", "#"):
        parsed = Store().parse(body.encode(), Options())
        assert (parsed.lines, parsed.rows, parsed.tables, parsed.errors) == (0, 0, [], [])


def test_the_first_error_stops_when_asked() -> None:
    parsed = Store().parse(b"m f=1 1\nbad\nworse\nm f=2 2", Options(stop_at_first_error=True))

    assert [error[0] for error in parsed.errors] == [2]
    assert parsed.lines == 2


# ---- time


@pytest.mark.parametrize(
    ("precision", "written", "time_ns"),
    [
        (1, "7", 7_000_000_000),
        (2, "7", 7_000_000),
        (3, "-7", -7_000),
        (4, "9223372036854775807", 2**63 - 1),
        (4, "-9223372036854775808", -(2**63)),
        (0, "4999999999", 4_999_999_999_000_000_000),
        (0, "5000000000", 5_000_000_000_000_000),
        (0, "4999999999999", 4_999_999_999_999_000_000),
        (0, "5000000000000", 5_000_000_000_000_000),
        (0, "4999999999999999", 4_999_999_999_999_999_000),
        (0, "5000000000000000", 5_000_000_000_000_000),
        (0, "-9223372036854775808", -(2**63)),
        (0, "-1", -1_000_000_000),
    ],
)
def test_a_timestamp_counts_units_of_the_precision(precision: int, written: str, time_ns: int) -> None:
    assert rows(f"m f=1 {written}\nm f=1 {written}\n", Options(precision=precision))[0].time_ns == time_ns


@pytest.mark.parametrize(
    ("precision", "time_ns"),
    [(0, NOW_NS), (1, 1_700_000_000_000_000_000), (2, 1_700_000_000_123_000_000), (3, 1_700_000_000_123_456_000), (4, NOW_NS)],
)
def test_a_missing_timestamp_is_now_in_the_precision(precision: int, time_ns: int) -> None:
    found = rows("m f=1\nm f=2\n", Options(precision=precision, now_ns=NOW_NS))

    assert [row.time_ns for row in found] == [time_ns, time_ns]


@pytest.mark.parametrize(("precision", "name"), [(1, "Second"), (2, "Millisecond"), (3, "Microsecond")])
def test_a_timestamp_out_of_range_names_the_precision(precision: int, name: str) -> None:
    body = f"m f=1 1\nm f=1 9223372036854775807\n{TAIL}"

    assert messages(body, Options(precision=precision)) == [
        f"timestamp, 9223372036854775807, out of range for precision: {name}"
    ]


# ---- columns


CONFLICT = "invalid column type for column 'f', expected iox::column_type::field::float, got iox::column_type::field::{}"


@pytest.mark.parametrize(("written", "got"), [("1i", "integer"), ("1u", "uinteger"), ('"1"', "string"), ("t", "boolean")])
def test_a_field_keeps_the_type_of_its_first_good_line(written: str, got: str) -> None:
    store = Store()

    assert messages(f"m f=1 1\nm f={written} 2\n{TAIL}", store=store) == [CONFLICT.format(got)]
    assert messages(f"m f={written} 2\n{TAIL}", store=store) == [CONFLICT.format(got)]


def test_a_name_is_a_tag_or_a_field() -> None:
    store = Store()
    body = f"m,t=a f=1 1\nm,f=a f=1 2\nm,t=a t=1i 3\nn,x=1 x=2 4\n{TAIL}"
    expected = [
        "invalid column type for column 'f', expected iox::column_type::field::float, got iox::column_type::tag",
        "invalid column type for column 't', expected iox::column_type::tag, got iox::column_type::field::integer",
        "invalid column type for column 'x', expected iox::column_type::tag, got iox::column_type::field::float",
    ]

    assert messages(body, store=store) == expected
    assert messages(body, store=store) == expected


@pytest.mark.parametrize("name", ["time", "__chunk_order"])
def test_some_names_are_reserved(name: str) -> None:
    assert messages(f"m {name}=1\nm,{name}=a f=1\n{TAIL}") == [f"'{name}' is a reserved column"] * 2


def test_a_column_name_has_no_null_character() -> None:
    refused = "'a\0b' is not a possible name: it contains a null character"

    assert messages(f"m a\0b=1\nm,a\0b=x f=1\nm,t=a\0b f=1\n{TAIL}") == [refused, refused]


def test_what_occurs_twice_in_a_line_is_refused() -> None:
    store = Store()
    body = f"m,a=1,b=2 f=1 1\nm,a=1,a=1 f=1 2\nm,a=1 f=1,g=2,f=3 3\nn,a=1,a=1 f=1 4\nm,a=1 f=1,f=1i 5\n{TAIL}"
    expected = [
        "Must not contain duplicate tags, but `a` was repeated",
        "invalid line protocol - multiple instances of 'f' field found",
        "Must not contain duplicate tags, but `a` was repeated",
        "invalid line protocol - multiple instances of 'f' field found",
    ]

    assert messages(body, store=store) == expected
    assert messages(body, store=store) == expected
    assert list(store.fields) == ["m"]


def test_the_first_write_fixes_the_tag_set() -> None:
    store = Store()
    refused = "unknown tag 'b' for table 'm': the tag set of a table is fixed by its first write"

    assert messages(f"m,a=1 f=1 1\nm,a=1,b=2 f=1 2\nm f=3 3\n{TAIL}", store=store) == [refused]
    assert messages(f"m,a=1,b=2 f=1 2\n{TAIL}", store=store) == [refused]
    assert store.tags["m"] == ["a"]


def test_new_tags_extend_the_key_when_the_schema_says_so() -> None:
    store = Store(extend_tags=True)
    first = store.write(f"m,a=1 f=1 1\nm,a=1,b=2 f=1 2\nm,c=3,b=2 f=1 3\n{TAIL}".encode(), Options())
    second = store.write(f"m,a=1 f=1 4\nm,d=4,a=1 f=1 5\nm,a=1,b=2 f=1 6\n{TAIL}".encode(), Options())

    assert first.tables["m"].new_tags == ["a", "b", "c"]
    assert second.tables["m"].new_tags == ["d"]
    assert [row.tags for row in second.tables["m"].rows] == [{"a": "1"}, {"d": "4", "a": "1"}, {"a": "1", "b": "2"}]
    assert len(store.indices["m"]) == 4


def test_a_refused_line_leaves_no_trace() -> None:
    """P1."""
    body = "x,t=1 f=1 oops\nm,a=1 f=1,g=2i,time=3 1\nm,z=9 h=1,h=2 1\nm,b=2 f=1i 2\nm,b=3 f=1,n=1 1\n" + TAIL
    parsed = Store().parse(body.encode(), Options())

    (table,) = parsed.tables
    assert (table.name, table.tags, table.new_tags) == ("m", ["b"], ["b"])
    assert table.new_fields == [("f", 2)]
    assert (table.rows, table.new_series) == (1, 1)
    assert len(parsed.errors) == 4


def test_parsing_changes_nothing_but_settling_does() -> None:
    """P2."""
    store = Store()
    store.write(b"m,a=1 f=1 1", Options())
    before = len(store.indices["m"])

    parsed = [store.parse(b"m,a=2 f=1,g=2 1\nm,a=1 f=1 1\nn f=1 1", Options()) for _ in range(3)]
    assert len(store.indices["m"]) == before
    assert [[table.new_series for table in each.tables] for each in parsed] == [[1, 1]] * 3
    for each in parsed:
        each.tables[0].settle(store.indices["m"])

    assert len(store.indices["m"]) == before + 1
    assert [batch(each.tables[0]).column("series").to_pylist() for each in parsed] == [[1, 0]] * 3


def test_rows_are_given_away_only_once_their_series_have_numbers() -> None:
    """U1."""
    (table,) = Store().parse(b"m,a=1 f=1 1", Options()).tables

    with pytest.raises(ValueError, match="settle"):
        pa.array(table)
    with pytest.raises(ValueError, match="fewer tags"):
        table.settle(_native.SeriesIndex(0))
    index = _native.SeriesIndex(1)
    table.settle(index)
    with pytest.raises(ValueError, match="settled already"):
        table.settle(index)


def test_a_widened_table_is_the_same_to_those_who_remember_its_series() -> None:
    """L1, L2: what followed what is remembered by table, across bodies, columns and indices."""
    store = Store()
    lines = "".join(f"{table},t={at} f={at} 1\n" for at in range(5) for table in ("a", "b")) + TAIL
    wider = lines.replace(" 1\n", ",g=1 1\n")
    for body in (lines, lines, wider, lines, wider):
        outcome = store.write(body.encode(), Options())
        assert [row.tags["t"] for row in outcome.tables["b"].rows] == list("01234")
    store.schema.drop_table("a")
    index = store.indices["a"] = _native.SeriesIndex(1)
    store.schema.put_table("a", ["t"], store.fields["a"], index)
    index.resolve([pa.array(["4", "3"])], 2)

    outcome = store.write(lines.encode(), Options())

    assert [row.tags["t"] for row in outcome.tables["a"].rows] == list("01234")
    assert len(index) == 5


def test_errors_beyond_the_limit_are_counted_only() -> None:
    parsed = _native.parse(_native.LineSchema(), b"bad\nm f=1\n" * 50, 4, 0, error_limit=3)

    assert [number for number, _, _ in parsed.errors] == [1, 3, 5]
    assert (parsed.lines, parsed.rows) == (100, 50)


def test_rows_of_a_known_table_settle_in_its_index_only() -> None:
    store = Store()
    store.write(b"m,a=1 f=1 1", Options())
    (table,) = store.parse(b"m,a=1 f=1 1", Options()).tables

    with pytest.raises(ValueError, match="index"):
        table.settle(_native.SeriesIndex(1))


def test_a_dropped_table_is_new_again() -> None:
    """L2."""
    store = Store()
    store.write(b"m,a=1 f=1 1\nn f=1 1", Options())
    store.schema.drop_table("m")

    tables = store.parse(b"n f=1 1\nm,b=1 f=1i 1", Options()).tables

    assert {table.name: (table.is_new, table.tags) for table in tables} == {"n": (False, []), "m": (True, ["b"])}


# ---- limits


def test_a_table_has_no_more_columns_than_the_limit() -> None:
    store = Store(column_limit=3)
    refused = "Update to schema would exceed number of columns per table limit of 3 columns"

    assert messages("m,a=1 f=1,g=1 1\nm,a=1 f=1,h=1 2\nn,a=1,b=2 f=1,g=1 3\nm,a=2 g=1 4", store=store) == [refused, refused]
    assert messages("m,a=1 h=1 2", store=store) == [refused]
    assert list(store.tags) == ["m"]


def test_a_body_creates_no_more_tables_than_are_left() -> None:
    refused = (
        "Update to schema would exceed number of tables limit: "
        "attempted to create table but already have {} table(s) (limit: 5)"
    )
    store = Store()
    store.write(b"known f=1", Options())

    parsed = store.parse(b"a f=1\nb f=1\na f=2\nknown f=1\nbad f=\nc f=1", Options(tables_left=1, table_count=4))

    assert [table.name for table in parsed.tables] == ["known", "a"] or [table.name for table in parsed.tables] == [
        "a",
        "known",
    ]
    assert [error[1] for error in parsed.errors] == [refused.format(5), "No fields were provided", refused.format(5)]
    assert messages("a f=1", Options(tables_left=0, table_count=5)) == [refused.format(5)]


# ---- columns of a body


def test_columns_come_in_table_order_whatever_the_lines_say() -> None:
    store = Store()
    store.write(b"m a=1,b=2i,c=3 1", Options())

    (table,) = store.parse(f"m z=1,c=1 1\nm b=1i,y=2 2\n{TAIL}".encode(), Options()).tables
    store.admit(table)

    assert batch(table).schema.names == ["series", "time", "b", "c", "z", "y"]


def test_nulls_stand_wherever_a_line_lacks_a_field() -> None:
    """C2, C3."""
    kinds = ["1.5", "2i", "3u", '"four"', "t"]
    lines = [f"m f{at % 5}={kinds[at % 5]} {at}" for at in range(100)] + ["m only=1 100"]
    store = Store()
    for _ in range(2):
        outcome = store.write(("\n".join(lines) + TAIL).encode(), Options())
        assert [list(row.fields) for row in outcome.tables["m"].rows] == [[f"f{at % 5}"] for at in range(100)] + [["only"]]


def test_a_body_too_sparse_for_one_batch_comes_in_parts() -> None:
    """P5, B1."""
    count = 8000
    body = "".join(f"m,t={at % 7} f{at}=1 {at}\n" for at in range(count)).encode()
    store = Store()
    for _ in range(2):
        parsed = store.parse(body + TAIL.encode(), Options())
        assert parsed.errors == []
        assert len(parsed.tables) > 1
        assert {table.name for table in parsed.tables} == {"m"}
        assert parsed.rows == sum(table.rows for table in parsed.tables) == count
        cells = 0
        found: list[Row] = []
        for table in parsed.tables:
            store.admit(table)
            found += store.rows(table)
            cells += batch(table).num_columns * table.rows
        assert [row.fields for row in found] == [{f"f{at}": 1.0} for at in range(count)]
        assert [row.tags for row in found] == [{"t": str(at % 7)} for at in range(count)]
        assert cells * 8 < 64 * len(body) + 100 * 2**20
    assert len(store.fields["m"]) == count


def test_long_bodies_grow_their_columns() -> None:
    lines = "".join(f'm,t={at % 3} f={at}i,g={at}.5,s="{at}",b={"tf"[at % 2]} {at}\n' for at in range(5000))
    found = rows(lines)

    assert found == [
        Row({"t": str(at % 3)}, at, {"f": at, "g": at + 0.5, "s": str(at), "b": at % 2 == 0}) for at in range(5000)
    ]


# ---- the edges


def test_any_buffer_will_do_and_wrong_arguments_are_told() -> None:
    schema = _native.LineSchema()
    for body in (b"m f=1 1", bytearray(b"m f=1 1"), memoryview(b"m f=1 1"), pa.py_buffer(b"m f=1 1")):
        assert _native.parse(schema, body, 4, 0).rows == 1
    with pytest.raises(ValueError, match="precision"):
        _native.parse(schema, b"", 5, 0)
    with pytest.raises(ValueError, match="field type"):
        schema.put_table("m", [], [("f", 6)], _native.SeriesIndex(0))
    with pytest.raises(ValueError, match="twice"):
        schema.put_table("m", ["a"], [("a", 1)], _native.SeriesIndex(1))
    with pytest.raises(ValueError, match="fewer tags"):
        schema.put_table("m", ["a"], [], _native.SeriesIndex(0))
    with pytest.raises(TypeError):
        schema.put_table("m", ["a"], [], schema)  # type: ignore[arg-type]


def test_rows_outlive_what_they_came_from() -> None:
    """U2."""
    store = Store()
    body = bytearray(b'm,t=a f="text" 1\nm,t=b f="more" 2\n')
    (table,) = store.parse(bytes(body), Options()).tables
    body[:] = b"x" * len(body)
    store.admit(table)
    columns = batch(table)
    del table, store, body

    assert columns.column("f").to_pylist() == ["text", "more"]
    columns.validate(full=True)


@pytest.mark.parametrize(
    "piece",
    [
        'm a,b="x\n',
        'm f="',
        "m f=\\",
        "m,a=\\\n",
        "m f=1,",
        '"=',
        "m f=1e",
        "m " + "a" * 50,
        "\\",
        "#\n ",
        'm f="\\\n',
        "m,=",
        '\n" =',
    ],
)
def test_no_pattern_makes_parsing_slow(piece: str) -> None:
    """P3, G3: a megabyte of anything takes a fraction of a second."""
    body = (piece * (1_000_000 // len(piece))).encode()

    def work() -> None:
        Store().parse(body, Options())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def test_threads_may_parse_while_another_settles() -> None:
    store = Store()
    store.write(b"m,t=seed f=1 1", Options())
    index = store.indices["m"]
    done: list[list[tuple[str, int]]] = []

    def read(start: int) -> None:
        found = []
        for turn in range(20):
            names = [str((start + turn * 37 + at) % 400) for at in range(100)]
            body = "".join(f"m,t={name} f=1 1\n" for name in names) + TAIL
            (table,) = store.parse(body.encode(), Options()).tables
            with lock:
                table.settle(index)
            found += list(zip(names, batch(table).column("series").to_pylist(), strict=True))
        done.append(found)

    lock = threading.Lock()
    run_all([threading.Thread(target=read, args=(start,)) for start in (0, 100, 200, 300)])

    numbers: dict[str, int] = {}
    for name, number in (pair for found in done for pair in found):
        assert numbers.setdefault(name, number) == number
    values = pa.array(index.values(0)).to_pylist()
    assert {values[index.codes(0)[number]]: number for number in numbers.values()} == numbers


def run_all(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

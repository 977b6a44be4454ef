"""The native parser against the plain one: any body, good or bad, must come out the same, down to error texts and line numbers.

Each body is read twice by one native parser: cold, and again once its columns, series and their spellings are known, which is
when the fast reader does the work. A tail of blank lines lets the fast reader come to the last line too.
"""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import reference_lines
from tests.helpers.native_lines import Store
from tests.helpers.reference_lines import Options, Outcome

NOW_NS = 1_700_000_000_123_456_789

MEASUREMENTS = ["m", "n", "cpu", r"a\,b", r"a\ b", r"a\b", r"a\\b", "m=1", "é", "time"]
TAG_KEYS = ["t", "u", "host", r"k\=", r"k\ y", "f", "time", "ü"]
TAG_VALUES = ["a", "b", "server01", r"x\,y", r"x\=y", "x=y", '"q"', "日本", "a" * 40, r"w\q", "c:\\\\d"]
FIELD_KEYS = [
    "f",
    "g",
    "usage_user",
    "usage_system",
    "t",
    r"a\=b",
    r"a\,b",
    "x,y",
    "a_name_of_more_than_thirty_two_bytes",
    "time",
    "ß",
]
NUMBERS = ["0", "1", "-1", "12", "12345678", "123456789", "1234567890123456", "99999999999999999", "9223372036854775807"]
FLOATS = [
    "1.5",
    "-0.25",
    "0.1",
    "1e3",
    "1E-5",
    "2.5e+10",
    "1e400",
    "-1e400",
    "1e-400",
    "3.141592653589793238462643",
    "00.10",
    "1.",
    ".5",
    "1e",
    "+1",
]
FLOATS += ["9007199254740993", "123456789.123456789", "5e-324", "1.7976931348623157e308", "0.000001", "123456789012345.678"]
STRINGS = [
    '""',
    '"x"',
    r'"a\"b"',
    r'"a\\b"',
    r'"a\b"',
    '"two\nlines"',
    '"' + "long " * 10 + '"',
    '"é日本"',
    '"a,b=c d"',
    '"open',
    r'"end\\"',
    '"\r\n"',
]
BOOLEANS = ["t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE", "tr", "foo", "truefalse"]
TIMES = [
    "",
    " 1",
    " -1",
    " 1700000000",
    " 1700000000123",
    " 1700000000123456789",
    " 99999999999999999999",
    " 9223372036854775807",
    " 5000000000",
]
TIMES += ["  7", " 7 ", " 7  ", " ", " x", " 7x", "\t7", " -9223372036854775808", " 9223372036855"]
ENDS = ["\n", "\n", "\n", "\r\n", "\n\n", "\n# comment\n", "\n \t\n", "\r\r\n"]

values = st.one_of(
    st.builds("{}i".format, st.sampled_from(NUMBERS)),
    st.builds("{}u".format, st.sampled_from(NUMBERS)),
    st.sampled_from(NUMBERS),
    st.sampled_from(FLOATS),
    st.sampled_from(STRINGS),
    st.sampled_from(BOOLEANS),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**65), 2**65).map("{}i".format),
)
plain_values = st.one_of(
    st.integers(0, 100).map("{}i".format), st.sampled_from(["1.5", "2.25", '"s"', '"é"', "t", "false", "7u"])
)


def joined(keys: list[str], texts: st.SearchStrategy[str], low: int, high: int) -> st.SearchStrategy[str]:
    pairs = st.tuples(st.sampled_from(keys), texts).map("=".join)
    return st.lists(pairs, min_size=low, max_size=high).map(",".join)


odd_lines = st.builds(
    "{}{}{} {}{}".format,
    st.sampled_from(["", "", "", " ", "\t"]),
    st.sampled_from(MEASUREMENTS),
    joined(TAG_KEYS, st.sampled_from(TAG_VALUES), 0, 3).map(lambda text: "," + text if text else ""),
    joined(FIELD_KEYS, values, 1, 4),
    st.sampled_from(TIMES),
)
plain_lines = st.builds(
    "{}{} {} {}".format,
    st.sampled_from(["m", "n"]),
    joined(["t", "u"], st.sampled_from("ab"), 0, 2).map(lambda text: "," + text if text else ""),
    joined(["f", "g", "usage_user", "a_name_of_more_than_thirty_two_bytes"], plain_values, 1, 4),
    st.integers(0, 2**60),
)
hostile_characters = st.text(st.sampled_from('m ,=\\"\n\r\t#\0i1.-tfeé'), max_size=12)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    parts = []
    for line in draw(st.lists(st.one_of(plain_lines, plain_lines, odd_lines, hostile_characters), max_size=8)):
        raw = (line + draw(st.sampled_from(ENDS))).encode()
        if raw and draw(st.integers(0, 5)) == 0:
            at = draw(st.integers(0, len(raw)))
            raw = (
                raw[:at]
                + draw(st.sampled_from([b"", b"\xff", b"\xc3", b" ", b",", b"\\", b'"', b"\n", b"=", b"\0"]))
                + raw[at + draw(st.integers(0, 2)) :]
            )
        parts.append(raw)
    return b"".join(parts)


options = st.builds(
    Options,
    precision=st.integers(0, 4),
    now_ns=st.just(NOW_NS),
    extend_tags=st.booleans(),
    column_limit=st.sampled_from([0, 0, 3]),
    tables_left=st.sampled_from([-1, -1, 0, 1]),
    table_count=st.integers(0, 3),
    stop_at_first_error=st.sampled_from([False, False, False, True]),
)


def same(native: Outcome, plain: Outcome) -> None:
    assert native.errors == plain.errors
    assert native.lines == plain.lines
    assert native.tables == plain.tables


@settings(max_examples=600, deadline=None)
@given(bodies(), options)
def test_every_body_is_read_as_the_plain_parser_reads_it(body: bytes, options: Options) -> None:
    """P1, P2, P4, G1, G2."""
    store = Store(extend_tags=options.extend_tags, column_limit=options.column_limit)
    tables: dict[str, reference_lines.Table] = {}

    same(store.write(body, options), reference_lines.parse(tables, body, options))
    same(store.write(body + b"\n" * 120, options), reference_lines.parse(tables, body + b"\n" * 120, options))


@settings(max_examples=150, deadline=None)
@given(st.lists(bodies(), max_size=4), options)
def test_bodies_that_build_on_each_other_agree_too(several: list[bytes], options: Options) -> None:
    """P1, P2: what one body adds, the next one meets."""
    options = replace(options, stop_at_first_error=False)
    store = Store(extend_tags=options.extend_tags, column_limit=options.column_limit)
    tables: dict[str, reference_lines.Table] = {}

    for body in several:
        same(store.write(body + b"\n" * 120, options), reference_lines.parse(tables, body + b"\n" * 120, options))

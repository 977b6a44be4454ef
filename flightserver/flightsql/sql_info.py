"""GetSqlInfo: what this server can do, by the standard's numbers. Pure.

N1  It answers the ids it was asked for and knows (all for an empty list), each with the kind that clients cast to.
N2  What is answered is true: functions listed exist, conversions listed work, what is refused is said to be missing.
N3  The union's children have the standard's nullability and types: one driver crashes on any other.

Held by tests/unit/flightserver/test_flightsql_sql_info.py (N1-N3).
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa

Info = str | bool | int | tuple[str, ...] | Mapping[int, Sequence[int]]
_STRING, _BOOL, _BIGINT, _INT32, _STRINGS, _MAP = range(6)
_KINDS = [
    pa.field("string_value", pa.utf8(), nullable=False),
    pa.field("bool_value", pa.bool_(), nullable=False),
    pa.field("bigint_value", pa.int64(), nullable=False),
    pa.field("int32_bitmask", pa.int32(), nullable=False),
    pa.field("string_list", pa.list_(pa.utf8())),
    pa.field("int32_to_int32_list_map", pa.map_(pa.int32(), pa.list_(pa.int32()))),
]
_UNION = pa.dense_union(_KINDS)
SQL_INFO = pa.schema([pa.field("info_name", pa.uint32(), nullable=False), pa.field("value", _UNION, nullable=False)])


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


KEYWORDS = _words(
    """absolute action add all allocate alter and any are as asc assertion at authorization avg begin between bit bit_length
    both by cascade cascaded case cast catalog char char_length character character_length check close coalesce collate
    collation column commit connect connection constraint constraints continue convert corresponding count create cross current
    current_date current_time current_timestamp current_user cursor date day deallocate dec decimal declare default deferrable
    deferred delete desc describe descriptor diagnostics disconnect distinct domain double drop else end end-exec escape except
    exception exec execute exists external extract false fetch first float for foreign found from full get global go goto grant
    group having hour identity immediate in indicator initially inner input insensitive insert int integer intersect interval
    into is isolation join key language last leading left level like local lower match max min minute module month names
    national natural nchar next no not null nullif numeric octet_length of on only open option or order outer output overlaps
    pad partial position precision prepare preserve primary prior privileges procedure public read real references relative
    restrict revoke right rollback rows schema scroll second section select session session_user set size smallint some space
    sql sqlcode sqlerror sqlstate substring sum system_user table temporary then time timestamp timezone_hour timezone_minute
    to trailing transaction translate translation trim true union unique unknown update upper usage user using value values
    varchar varying view when whenever where with work write year zone"""
)
NUMERIC_FUNCTIONS = _words(
    """abs acos acosh asin asinh atan atan2 atanh cbrt ceil cos cosh cot degrees exp factorial floor gcd isnan iszero lcm ln log
    log10 log2 nanvl pi power radians random round signum sin sinh sqrt tan tanh trunc"""
)
STRING_FUNCTIONS = _words(
    """ascii bit_length btrim character_length chr concat concat_ws contains ends_with find_in_set initcap left length
    levenshtein lower lpad ltrim md5 octet_length overlay regexp_count regexp_like regexp_match regexp_replace repeat replace
    reverse right rpad rtrim sha224 sha256 sha384 sha512 split_part starts_with strpos substr substr_index to_hex translate
    trim upper uuid"""
)
SYSTEM_FUNCTIONS = ("arrow_cast", "arrow_typeof", "coalesce", "greatest", "least", "make_array", "nullif", "nvl", "struct")
DATETIME_FUNCTIONS = _words(
    """current_date current_time current_timestamp date_bin date_part date_trunc from_unixtime make_date now to_char to_date
    to_local_time to_timestamp to_timestamp_micros to_timestamp_millis to_timestamp_nanos to_timestamp_seconds
    to_unixtime"""
)

_BIGINT_TYPE, _BIT, _CHAR, _DATE, _DECIMAL, _FLOAT, _INTEGER, _DAYS, _MONTHS = 0, 2, 3, 4, 5, 6, 7, 8, 9
_NUMERIC, _REAL, _SMALLINT, _TIME, _TIMESTAMP, _TINYINT, _VARCHAR = 12, 13, 14, 15, 16, 17, 19
_TEXTS = (_CHAR, _VARCHAR)
_INTEGERS = (_BIGINT_TYPE, _INTEGER, _SMALLINT, _TINYINT)
_DECIMALS = (_DECIMAL, _NUMERIC)
_NUMBERS = (*_INTEGERS, _FLOAT, _REAL, *_DECIMALS)
_INTERVALS = (_DAYS, _MONTHS)
_EVERYTHING = (*_NUMBERS, _BIT, *_TEXTS, _DATE, _TIME, _TIMESTAMP, *_INTERVALS)


def _conversions() -> Mapping[int, Sequence[int]]:
    targets: dict[int, tuple[int, ...]] = {
        **dict.fromkeys(_TEXTS, _EVERYTHING),
        **dict.fromkeys(_INTEGERS, (*_NUMBERS, _BIT, *_TEXTS, _TIMESTAMP)),
        **dict.fromkeys((_FLOAT, _REAL), (*_NUMBERS, _BIT, *_TEXTS, _TIMESTAMP)),
        **dict.fromkeys(_DECIMALS, (*_NUMBERS, *_TEXTS, _TIMESTAMP)),
        **dict.fromkeys(_INTERVALS, (*_INTERVALS, *_TEXTS)),
        _BIT: (*_INTEGERS, _FLOAT, _REAL, _BIT, *_TEXTS),
        _DATE: (_BIGINT_TYPE, _INTEGER, *_TEXTS, _DATE, _TIMESTAMP),
        _TIME: (_BIGINT_TYPE, *_TEXTS, _TIME),
        _TIMESTAMP: (*_NUMBERS, *_TEXTS, _DATE, _TIME, _TIMESTAMP),
    }
    targets[_INTEGER] += (_DATE,)
    targets[_BIGINT_TYPE] += (_DATE, _TIME)
    return {source: sorted(found) for source, found in sorted(targets.items())}


_BY_KIND: Mapping[int, Mapping[int, Info]] = {
    _STRING: {0: "InfluxDB IOx", 2: "1.3", 504: '"', 513: "\\", 514: "", 529: "schema", 530: "procedure", 531: "catalog"},
    _BOOL: {
        **dict.fromkeys((4, 9, 10, 506, 515, 516, 518, 520, 521, 523, 524, 532, 539, 556, 566, 572), True),
        **dict.fromkeys((3, 5, 11, 500, 501, 502, 519, 527, 536, 537, 563, 565, 573, 574, 575, 576), False),
    },
    _BIGINT: {**dict.fromkeys((*range(541, 556), *range(557, 562)), 2147483647), 562: 0},
    _INT32: {
        8: 0, 100: 0, 101: 0, 503: 3, 505: 1, 507: 0, 522: 3, 525: 1, 526: 7, 528: 2, 533: 0, 534: 0, 535: 0, 538: 15, 540: 3,
        **dict.fromkeys((564, *range(567, 572)), 0),
    },
    _STRINGS: {
        508: KEYWORDS, 509: NUMERIC_FUNCTIONS, 510: STRING_FUNCTIONS, 511: SYSTEM_FUNCTIONS, 512: DATETIME_FUNCTIONS,
    },
    _MAP: {517: _conversions()},
}  # fmt: skip


def sql_info(wanted: Sequence[int], version: str) -> pa.Table:
    known: dict[int, tuple[int, Info]] = {1: (_STRING, version)}
    for kind, values in _BY_KIND.items():
        known |= {number: (kind, value) for number, value in values.items()}
    found = sorted(set(wanted) & set(known)) if wanted else sorted(known)
    names = pa.array(found, pa.uint32())
    return pa.Table.from_arrays([names, _union([known[number] for number in found])], schema=SQL_INFO)


def _union(values: Sequence[tuple[int, Info]]) -> pa.UnionArray:
    """A dense union whose children keep their nullability (UnionArray.from_dense makes all of them nullable)."""
    by_kind: list[list[object]] = [[] for _ in _KINDS]
    offsets = []
    for kind, value in values:
        offsets.append(len(by_kind[kind]))
        by_kind[kind].append(list(value.items()) if isinstance(value, Mapping) else value)
    children = [pa.array(held, column.type) for held, column in zip(by_kind, _KINDS, strict=True)]
    type_ids = pa.array([kind for kind, _ in values], pa.int8())
    buffers = [None, type_ids.buffers()[1], pa.array(offsets, pa.int32()).buffers()[1]]
    return pa.Array.from_buffers(_UNION, len(values), buffers, children=children)

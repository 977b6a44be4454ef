"""Flight SQL's metadata results as Arrow tables. Pure.

I1  Names, types, order and nullability of the columns are the standard's: clients compare them, some crash on others.
I2  Filters: catalogs are compared exactly, patterns are SQL LIKE over the whole name, an empty list of types means all.
I3  GetSqlInfo answers the ids it was asked for and knows (all for an empty list), each with the kind that clients cast to.

Held by tests/unit/flightserver/test_flightsql_info.py (I1-I3).
Elsewhere: which tables there are (engine.node), who asks (flightserver.handlers.metadata).
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from engine.requests import TableListing
from flightserver.flightsql.results import plain_schema

CATALOG = "public"
DEFAULT_SCHEMA = "iox"
ALWAYS_THERE = ("information_schema", DEFAULT_SCHEMA)
TABLE_TYPES = ("BASE TABLE", "VIEW")

CATALOGS = pa.schema([pa.field("catalog_name", pa.utf8(), nullable=False)])
DB_SCHEMAS = pa.schema([pa.field("catalog_name", pa.utf8()), pa.field("db_schema_name", pa.utf8(), nullable=False)])
TABLES = pa.schema(
    [
        pa.field("catalog_name", pa.utf8()),
        pa.field("db_schema_name", pa.utf8()),
        pa.field("table_name", pa.utf8(), nullable=False),
        pa.field("table_type", pa.utf8(), nullable=False),
    ]
)
TABLES_WITH_SCHEMA = TABLES.append(pa.field("table_schema", pa.binary(), nullable=False))
TABLE_TYPES_SCHEMA = pa.schema([pa.field("table_type", pa.utf8(), nullable=False)])

Info = str | bool | int
_STRING, _BOOL, _BIGINT, _INT32 = range(4)
_INFO_KINDS = [
    pa.field("string_value", pa.utf8(), nullable=False),
    pa.field("bool_value", pa.bool_(), nullable=False),
    pa.field("bigint_value", pa.int64(), nullable=False),
    pa.field("int32_bitmask", pa.int32(), nullable=False),
    pa.field("string_list", pa.list_(pa.utf8())),
    pa.field("int32_to_int32_list_map", pa.map_(pa.int32(), pa.list_(pa.int32()))),
]
_INFO_UNION = pa.dense_union(_INFO_KINDS)
SQL_INFO = pa.schema([pa.field("info_name", pa.uint32(), nullable=False), pa.field("value", _INFO_UNION, nullable=False)])

_STRINGS: Mapping[int, str] = {0: "InfluxDB IOx", 2: "1.3", 504: '"', 513: "\\", 514: "", 529: "schema", 530: "procedure"}
_BOOLS: Mapping[int, bool] = {
    **dict.fromkeys((4, 10, 506, 515, 516, 520, 521, 523, 524, 539, 556, 566), True),
    **dict.fromkeys((3, 5, 9, 11, 500, 501, 502, 518, 519, 527, 532, 536, 537, 563, 565, 572, 573, 574, 575, 576), False),
}
_BIGINTS: Mapping[int, int] = {
    **dict.fromkeys((*range(541, 556), *range(557, 562)), 2147483647),
    562: 0,
}
_INT32S: Mapping[int, int] = {
    8: 0, 100: 0, 101: 0, 503: 3, 505: 1, 507: 0, 522: 3, 525: 1, 526: 7, 528: 2, 533: 0, 534: 0, 535: 0, 538: 15, 540: 3,
    **dict.fromkeys((564, *range(567, 572)), 0),
}  # fmt: skip


def catalogs() -> pa.Table:
    return pa.table([[CATALOG]], schema=CATALOGS)


def db_schemas(names: Iterable[str], catalog: str | None, pattern: str | None) -> pa.Table:
    known = sorted({*names, *ALWAYS_THERE}) if catalog in (None, CATALOG) else []
    found = [name for name in known if like(name, pattern)]
    return pa.table([[CATALOG] * len(found), found], schema=DB_SCHEMAS)


def tables(
    listings: Iterable[TableListing],
    *,
    catalog: str | None = None,
    schema_pattern: str | None = None,
    name_pattern: str | None = None,
    kinds: Sequence[str] = (),
    include_schema: bool = False,
) -> pa.Table:
    found = sorted(
        (
            listing
            for listing in (listings if catalog in (None, CATALOG) else ())
            if like(listing.db_schema, schema_pattern)
            and like(listing.name, name_pattern)
            and (not kinds or listing.kind in kinds)
        ),
        key=lambda listing: (listing.db_schema, listing.name, listing.kind),
    )
    columns = [
        [CATALOG] * len(found),
        [listing.db_schema for listing in found],
        [listing.name for listing in found],
        [listing.kind for listing in found],
    ]
    if not include_schema:
        return pa.table(columns, schema=TABLES)
    schemas = [plain_schema(listing.schema).serialize().to_pybytes() for listing in found]
    return pa.table([*columns, schemas], schema=TABLES_WITH_SCHEMA)


def table_types() -> pa.Table:
    return pa.table([list(TABLE_TYPES)], schema=TABLE_TYPES_SCHEMA)


def like(text: str, pattern: str | None) -> bool:
    """SQL LIKE over the whole text, case-sensitive; no pattern matches everything."""
    if pattern is None:
        return True
    parts = {"%": ".*", "_": "."}
    expression = "".join(parts.get(character) or re.escape(character) for character in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def sql_info(wanted: Sequence[int], version: str) -> pa.Table:
    known: dict[int, tuple[int, Info]] = {1: (_STRING, version)}
    for kind, values in ((_STRING, _STRINGS), (_BOOL, _BOOLS), (_BIGINT, _BIGINTS), (_INT32, _INT32S)):
        known |= {number: (kind, value) for number, value in values.items()}
    found = sorted(set(wanted) & set(known)) if wanted else sorted(known)
    names = pa.array(found, pa.uint32())
    return pa.Table.from_arrays([names, _union([known[number] for number in found])], schema=SQL_INFO)


def _union(values: Sequence[tuple[int, Info]]) -> pa.UnionArray:
    """A dense union whose children keep their nullability (UnionArray.from_dense makes all of them nullable)."""
    by_kind: list[list[Info]] = [[] for _ in _INFO_KINDS]
    offsets = []
    for kind, value in values:
        offsets.append(len(by_kind[kind]))
        by_kind[kind].append(value)
    children = [pa.array(held, column.type) for held, column in zip(by_kind, _INFO_KINDS, strict=True)]
    type_ids = pa.array([kind for kind, _ in values], pa.int8())
    buffers = [None, type_ids.buffers()[1], pa.array(offsets, pa.int32()).buffers()[1]]
    return pa.Array.from_buffers(_INFO_UNION, len(values), buffers, children=children)

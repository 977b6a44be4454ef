"""Flight SQL's metadata results as Arrow tables. Pure.

I1  Names, types, order and nullability of the columns are the standard's: clients compare them, some crash on others.
I2  Filters: catalogs are compared exactly, patterns are SQL LIKE over the whole name, an empty list of types means all.
I3  The primary key of a table is its series key and its time; there are no foreign keys.

Held by tests/unit/flightserver/test_flightsql_info.py (I1-I3).
Elsewhere: GetSqlInfo (sql_info), which tables there are (engine.node), who asks (flightserver.handlers.metadata).
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from catalog.names import TIME_COLUMN
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

PRIMARY_KEYS = pa.schema(
    [
        pa.field("catalog_name", pa.utf8()),
        pa.field("db_schema_name", pa.utf8()),
        pa.field("table_name", pa.utf8(), nullable=False),
        pa.field("column_name", pa.utf8(), nullable=False),
        pa.field("key_name", pa.utf8()),
        pa.field("key_sequence", pa.int32(), nullable=False),
    ]
)
FOREIGN_KEYS = pa.schema(
    [
        pa.field("pk_catalog_name", pa.utf8()),
        pa.field("pk_db_schema_name", pa.utf8()),
        pa.field("pk_table_name", pa.utf8(), nullable=False),
        pa.field("pk_column_name", pa.utf8(), nullable=False),
        pa.field("fk_catalog_name", pa.utf8()),
        pa.field("fk_db_schema_name", pa.utf8()),
        pa.field("fk_table_name", pa.utf8(), nullable=False),
        pa.field("fk_column_name", pa.utf8(), nullable=False),
        pa.field("key_sequence", pa.int32(), nullable=False),
        pa.field("fk_key_name", pa.utf8()),
        pa.field("pk_key_name", pa.utf8()),
        pa.field("update_rule", pa.uint8(), nullable=False),
        pa.field("delete_rule", pa.uint8(), nullable=False),
    ]
)
TYPES = pa.schema(
    [
        pa.field("type_name", pa.utf8(), nullable=False),
        pa.field("data_type", pa.int32(), nullable=False),
        pa.field("column_size", pa.int32()),
        pa.field("literal_prefix", pa.utf8()),
        pa.field("literal_suffix", pa.utf8()),
        pa.field("create_params", pa.list_(pa.field("item", pa.utf8(), nullable=False))),
        pa.field("nullable", pa.int32(), nullable=False),
        pa.field("case_sensitive", pa.bool_(), nullable=False),
        pa.field("searchable", pa.int32(), nullable=False),
        pa.field("unsigned_attribute", pa.bool_()),
        pa.field("fixed_prec_scale", pa.bool_(), nullable=False),
        pa.field("auto_increment", pa.bool_()),
        pa.field("local_type_name", pa.utf8()),
        pa.field("minimum_scale", pa.int32()),
        pa.field("maximum_scale", pa.int32()),
        pa.field("sql_data_type", pa.int32(), nullable=False),
        pa.field("datetime_subcode", pa.int32()),
        pa.field("num_prec_radix", pa.int32()),
        pa.field("interval_precision", pa.int32()),
    ]
)
KEY_NAME = "series"
_PATTERN_PART = re.compile(r"\\([%_\\])|(.)", re.DOTALL)
_UNLIMITED = 2147483647
_NUMBER = {"num_prec_radix": 2, "unsigned_attribute": False, "auto_increment": False}
_QUOTED = {"literal_prefix": "'", "literal_suffix": "'", "column_size": _UNLIMITED}
_TYPES: Mapping[tuple[str, int], Mapping[str, object]] = {
    ("BOOLEAN", -7): {"column_size": 1},
    ("BIGINT", -5): {"column_size": 64, **_NUMBER},
    ("BIGINT UNSIGNED", -5): {"column_size": 64, **_NUMBER, "unsigned_attribute": True},
    ("INTEGER", 4): {"column_size": 32, **_NUMBER},
    ("FLOAT", 6): {"column_size": 24, **_NUMBER},
    ("DOUBLE", 8): {"column_size": 53, **_NUMBER},
    ("INTERVAL", 10): {**_QUOTED, "datetime_subcode": 0},
    ("VARCHAR", 12): {**_QUOTED, "create_params": ["length"], "case_sensitive": True},
    ("DATE", 91): _QUOTED,
    ("TIME", 92): _QUOTED,
    ("TIMESTAMP", 93): _QUOTED,
}


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


def table_types(kinds: Sequence[str] = TABLE_TYPES) -> pa.Table:
    return pa.table([sorted(kinds)], schema=TABLE_TYPES_SCHEMA)


def primary_keys(listings: Iterable[TableListing], name: str, *, catalog: str | None, db_schema: str | None) -> pa.Table:
    """The series key and the time: what makes a row of a table one row."""
    rows = [
        (CATALOG, listing.db_schema, listing.name, column, KEY_NAME, sequence)
        for listing in (listings if catalog in (None, CATALOG) else ())
        if listing.name == name and listing.db_schema == DEFAULT_SCHEMA and db_schema in (None, DEFAULT_SCHEMA)
        for sequence, column in enumerate((*listing.tags, TIME_COLUMN), 1)
    ]
    return _table(rows, PRIMARY_KEYS)


def no_foreign_keys() -> pa.Table:
    return FOREIGN_KEYS.empty_table()


def types(data_type: int | None) -> pa.Table:
    """The types that columns and literals have, by the numbers that ODBC and JDBC share."""
    found = [
        {
            "type_name": name,
            "local_type_name": name,
            "data_type": number,
            "sql_data_type": number,
            "nullable": 1,
            "searchable": 3,
            "case_sensitive": False,
            "fixed_prec_scale": False,
            **more,
        }
        for (name, number), more in _TYPES.items()
        if data_type in (None, number)
    ]
    return pa.Table.from_pylist(found, schema=TYPES)


def _table(rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema)


def like(text: str, pattern: str | None) -> bool:
    """SQL LIKE over the whole text, case-sensitive, with `\\` to escape; no pattern matches everything."""
    if pattern is None:
        return True
    parts = {"%": ".*", "_": "."}
    expression = "".join(
        re.escape(escaped) if escaped else parts.get(character) or re.escape(character)
        for escaped, character in _PATTERN_PART.findall(pattern)
    )
    return re.fullmatch(expression, text, re.DOTALL) is not None

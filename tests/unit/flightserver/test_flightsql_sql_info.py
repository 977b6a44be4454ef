"""What the server says that it can do."""

from typing import Any

import datafusion
import pyarrow as pa
import pytest

from flightserver.flightsql.sql_info import (
    DATETIME_FUNCTIONS,
    NUMERIC_FUNCTIONS,
    SQL_INFO,
    STRING_FUNCTIONS,
    SYSTEM_FUNCTIONS,
    sql_info,
)

SQL_TYPES = {
    0: "BIGINT", 2: "BOOLEAN", 3: "CHAR", 4: "DATE", 5: "DECIMAL(20,4)", 6: "FLOAT", 7: "INTEGER", 8: "INTERVAL",
    9: "INTERVAL", 12: "NUMERIC(20,4)", 13: "REAL", 14: "SMALLINT", 15: "TIME", 16: "TIMESTAMP", 17: "TINYINT", 19: "VARCHAR",
}  # fmt: skip


def facts(*wanted: int) -> dict[int, Any]:
    return {row["info_name"]: row["value"] for row in sql_info(wanted, "1.2.3").to_pylist()}


def test_facts_come_by_number_and_by_the_kind_that_drivers_cast_to() -> None:
    """N1, N3."""
    found = sql_info([504, 8, 3, 1, 562, 509, 517, 10_000_000], "1.2.3")

    assert found.schema == SQL_INFO
    found.validate(full=True)
    kinds = dict(zip(found.column(0).to_pylist(), found.column(1).chunk(0).type_codes.to_pylist(), strict=True))
    assert kinds == {1: 0, 3: 1, 8: 3, 504: 0, 509: 4, 517: 5, 562: 2}
    assert facts(1, 3, 8, 504, 562) == {1: "1.2.3", 3: False, 8: 0, 504: '"', 562: 0}


def test_an_empty_list_asks_for_everything_that_is_known() -> None:
    """N1."""
    everything = sql_info([], "1")
    numbers = everything.column(0).to_pylist()

    everything.validate(full=True)
    assert numbers == sorted(set(numbers))
    assert set(numbers) == {*range(6), *range(8, 12), 100, 101, *range(500, 577)}
    assert sql_info([10_000_000], "1").num_rows == 0


def test_the_children_of_the_union_are_null_where_the_standard_says_so() -> None:
    """N3."""
    union = SQL_INFO.field("value").type

    assert [(union.field(n).name, union.field(n).type, union.field(n).nullable) for n in range(union.num_fields)] == [
        ("string_value", pa.utf8(), False),
        ("bool_value", pa.bool_(), False),
        ("bigint_value", pa.int64(), False),
        ("int32_bitmask", pa.int32(), False),
        ("string_list", pa.list_(pa.utf8()), True),
        ("int32_to_int32_list_map", pa.map_(pa.int32(), pa.list_(pa.int32())), True),
    ]


def test_it_can_be_written_to_cancels_and_has_no_transactions() -> None:
    """N2."""
    assert facts(3, 5, 8, 9, 10, 11, 502) == {3: False, 5: False, 8: 0, 9: True, 10: True, 11: False, 502: False}


@pytest.mark.parametrize("functions", [NUMERIC_FUNCTIONS, STRING_FUNCTIONS, SYSTEM_FUNCTIONS, DATETIME_FUNCTIONS])
def test_every_function_listed_exists(functions: tuple[str, ...]) -> None:
    """N2."""
    context = datafusion.SessionContext(datafusion.SessionConfig().with_information_schema(True))
    known = context.sql("SELECT DISTINCT routine_name FROM information_schema.routines").to_pydict()["routine_name"]

    assert set(functions) <= {*known, "nullif", "coalesce"}


def test_every_conversion_listed_works_and_no_other() -> None:
    """N2."""
    listed = {source: set(targets) for source, targets in facts(517)[517]}
    context = datafusion.SessionContext()

    def converts(source: str, target: str) -> bool:
        inner = f"SELECT CAST(NULL AS {source}) AS x"
        try:
            context.sql(f"SELECT CAST(x AS {target}) FROM ({inner} UNION ALL {inner})").collect()
        except Exception:  # the bindings raise nothing more precise
            return False
        return True

    works = {source: {target for target, to in SQL_TYPES.items() if converts(of, to)} for source, of in SQL_TYPES.items()}
    assert listed == works

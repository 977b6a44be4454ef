"""SHOW (H1, H2)."""

import pyarrow as pa
import pytest
from datafusion import SessionConfig, SessionContext
from datafusion.catalog import Catalog, Schema

from engine.query.messages import QueryRefused
from engine.query.show import VIEWS, as_select


def context_with(*schemas: str) -> SessionContext:
    context = SessionContext(SessionConfig().with_default_catalog_and_schema("public", "iox").with_information_schema(True))
    catalog = Catalog.memory_catalog(context)
    context.register_catalog_provider("public", catalog)
    for name in schemas:
        catalog.register_schema(name, Schema.memory_schema(context))
        for table in ("b", "a", "tables"):
            batch = pa.record_batch({"v": [1]})
            context.register_record_batches(f"public.{name}.{table}", [[batch]])
    return context


@pytest.mark.parametrize("text", ["SHOW TABLES", "show  tables ;", "-- all\nSHOW\tTABLES;\n", "/* all */ Show Tables"])
def test_tables_come_in_order(text: str) -> None:
    """H1: user's, system's, views; whatever order the schemas have by themselves."""
    for schemas in (("iox", "system"), ("system", "iox")):
        rows = context_with(*schemas).sql(as_select(text)).to_arrow_table().to_pylist()

        assert [row["table_catalog"] for row in rows] == ["public"] * len(rows)
        assert [(row["table_schema"], row["table_name"], row["table_type"]) for row in rows] == [
            *(("iox", name, "BASE TABLE") for name in ("a", "b", "tables")),
            *(("system", name, "BASE TABLE") for name in ("a", "b", "tables")),
            *(("information_schema", name, "VIEW") for name in VIEWS),
        ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SHOW DATABASES", "SHOW DATABASES is not supported: use SELECT database_name FROM system.databases"),
        ("show measurements;", "SHOW measurements is not supported: use SHOW TABLES"),
        ("SHOW TAG VALUES FROM cpu WITH KEY = host", "SHOW TAG VALUES FROM cpu WITH KEY = host is not supported: use SELECT"),
        ("SHOW TAG\n KEYS", "SHOW TAG KEYS is not supported: use SHOW COLUMNS"),
        ("SHOW FIELD KEYS", "SHOW FIELD KEYS is not supported"),
        ("SHOW RETENTION POLICIES", "retention_period_ns"),
        ("SHOW TABLES LIKE 'a%'", "information_schema.tables WHERE"),
        ("SHOW TABLES FROM iox", "information_schema.tables"),
        ("SHOW FULL TABLES", "information_schema.tables"),
        ("SHOW SCHEMAS", "information_schema.schemata"),
        ("SHOW QUERIES", "system.queries"),
        ("SHOW GRANTS", "system.tokens"),
    ],
)
def test_what_others_have_is_refused_with_what_to_ask_instead(text: str, said: str) -> None:
    """H2."""
    with pytest.raises(QueryRefused) as refused:
        as_select(text)

    assert said in refused.value.message


@pytest.mark.parametrize(
    "text",
    [
        "SHOW COLUMNS FROM t",
        "SHOW ALL",
        "SHOW FUNCTIONS",
        "SHOW datafusion.execution.batch_size",
        "SHOW",
        "SHOW ;",
        "SELECT 'show tables'",
        "-- SHOW TABLES\nSELECT 1",
        "SELECT show FROM tables",
    ],
)
def test_everything_else_goes_on_as_it_came(text: str) -> None:
    """H2."""
    assert as_select(text) == text

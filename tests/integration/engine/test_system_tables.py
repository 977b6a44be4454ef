"""The schema `system` (K1-K4, D1, D2)."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from catalog.errors import InvalidRequest, ServiceError
from engine.node import Node
from engine.query import system_tables as declared
from engine.query.system_tables import SYSTEM_TABLES, Sources
from engine.requests import Origin
from engine.storage.memory import MemoryStore
from tests.helpers.engine import read, running, write

OF_ANY = sorted(table.name for table in SYSTEM_TABLES if not table.internal)
OF_INTERNAL = sorted(table.name for table in SYSTEM_TABLES)


@pytest.fixture
def node() -> Iterator[Node]:
    with running(MemoryStore(), wal_flush_interval_ms=1) as node:
        write(node, 'cpu,host=a,region=x f=1,i=1i,u=1u,s="s",b=t 5\ncpu,host=b f=2 7')
        write(node, "mem,host=a v=1 1", "other")
        yield node


def column(node: Node, sql: str, database: str = "db") -> list[Any]:
    return [next(iter(row.values())) for row in read(node, sql, database)]


# all of them


@pytest.mark.parametrize(("database", "names"), [("db", OF_ANY), ("_internal", OF_INTERNAL)])
def test_every_declared_table_is_there_and_no_other(node: Node, database: str, names: list[str]) -> None:
    """K1: in information_schema, in SHOW TABLES and in what drivers are told."""
    listed = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'system' ORDER BY 1"

    assert column(node, listed, database) == names
    assert [row["table_name"] for row in read(node, "SHOW TABLES", database) if row["table_schema"] == "system"] == names
    assert [table.name for table in node.list_tables(database) if table.db_schema == "system"] == names


@pytest.mark.parametrize("table", SYSTEM_TABLES, ids=lambda table: table.name)
def test_every_table_has_the_declared_columns_and_no_row_breaks_them(node: Node, table: declared.SystemTable) -> None:
    """K1, D1."""
    result = node.query_sql("_internal", f"SELECT * FROM system.{table.name}")
    rows = pa.Table.from_batches(result.batches, result.schema)

    assert result.schema.equals(table.schema)
    rows.validate(full=True)
    assert all(column.null_count == 0 for column, field in zip(rows.columns, table.schema, strict=True) if not field.nullable)
    assert column(node, f"SELECT count(*) FROM system.{table.name}", "_internal") == [
        rows.num_rows + (table.name in ("queries", "query_log"))  # which have heard of the statement before
    ]


def test_a_tables_retention_is_its_own_or_its_databases(node: Node) -> None:
    """K3."""
    node.set_retention("db", 3_600_000_000_000)
    node.set_table_retention("other", "mem", 60_000_000_000)
    write(node, "gone v=1 1")
    node.drop_table("db", "gone")

    rows = read(node, "SELECT * FROM system.retention ORDER BY database_name", "_internal")

    assert [tuple(row.values()) for row in rows] == [
        ("db", "cpu", 3_600_000_000_000, "database"),
        ("other", "mem", 60_000_000_000, "table"),
    ]


def test_tables_of_the_server_are_in_the_internal_database_only(node: Node) -> None:
    with pytest.raises(InvalidRequest, match=r"table 'public.system.tokens' not found. It is in the database '_internal'"):
        read(node, "SELECT * FROM system.tokens")


def test_no_row_is_made_before_a_plan_runs(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """K2, D2."""
    made: list[str] = []

    def rows(sources: Sources, wanted: object) -> list[tuple[object, ...]]:
        made.append("rows")
        return []

    table = declared.SystemTable("told", "", pa.schema([("a", pa.utf8())]), rows)
    monkeypatch.setattr(declared, "_OF_ANY", {"told": table})

    node.plan_sql("db", "SELECT * FROM system.told")
    read(node, "SELECT * FROM information_schema.columns")
    read(node, "DESCRIBE system.told")
    read(node, "EXPLAIN SELECT * FROM system.told")
    before = list(made)
    read(node, "SELECT * FROM system.told")

    assert (before, made) == ([], ["rows"])


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("measurement = 'cpu' AND key = 'f'", 1),
        ("measurement = 'cpu' AND key != 'f'", 7),
        ("measurement = 'nowhere'", 0),
        ("measurement = 'nowhere' OR key = 'f'", 1),
        ("key IN ('f', 'i') AND data_type = 'float'", 1),
        ("key IN ('f', 'i', 'u', 's', 'b')", 5),
        ("key LIKE '%o%'", 2),
        ("NOT (data_type = 'tag')", 6),
        ("data_type IS NULL", 0),
        ("data_type IS NOT NULL AND key > 'r'", 4),
        ("key ~ '^.$'", 5),
        ("starts_with(key, 'h') AND measurement = 'cpu'", 1),
        ("false", 0),
        (" OR ".join(f"key = 'none{number}'" for number in range(400)) + " OR key = 'f'", 1),
    ],
)
def test_a_filter_lets_through_what_it_says(node: Node, condition: str, rows: int) -> None:
    """D1: on texts that are views, which pyarrow cannot compare."""
    assert len(read(node, f"SELECT key FROM system.influxdb_schema WHERE {condition}")) == rows
    assert column(node, f"SELECT count(*) FROM system.influxdb_schema WHERE {condition}") == [rows]


def test_more_rows_than_one_batch(node: Node) -> None:
    """D1."""
    write(node, "\n".join(f"t{number} v=1 1" for number in range(5_000)), "many")

    assert column(node, "SELECT count(*) FROM system.influxdb_schema", "many") == [10_000]
    assert column(node, "SELECT count(key) FROM system.influxdb_schema WHERE measurement = 't77'", "many") == [2]


def test_system_tables_join_with_each_other_and_with_rows(node: Node) -> None:
    sql = """
        SELECT s.key, c.data_type FROM system.influxdb_schema s
        JOIN information_schema.columns c ON c.table_name = s.measurement AND c.column_name = s.key AND c.table_schema = 'iox'
        WHERE s.data_type IN ('tag', 'time') ORDER BY s.key
    """

    assert read(node, sql) == [
        {"key": "host", "data_type": "Dictionary(Int32, Utf8)"},
        {"key": "region", "data_type": "Dictionary(Int32, Utf8)"},
        {"key": "time", "data_type": "Timestamp(ns)"},
    ]


# one by one


def test_schema_in_the_words_of_influxql(node: Node) -> None:
    """K3: of the tables that are there now."""
    write(node, "gone v=1 1")
    node.drop_table("db", "gone")

    rows = read(node, "SELECT key, data_type FROM system.influxdb_schema")

    assert [tuple(row.values()) for row in rows] == [
        ("b", "boolean"),
        ("f", "float"),
        ("host", "tag"),
        ("i", "integer"),
        ("region", "tag"),
        ("s", "string"),
        ("time", "time"),
        ("u", "uinteger"),
    ]


def test_files_of_the_database(node: Node) -> None:
    """K3."""
    write(node, "late v=1 1")
    assert read(node, "SELECT * FROM system.parquet_files") == []
    node.snapshot_now()

    files = read(node, "SELECT * FROM system.parquet_files")

    live = {file.path: file for file in node._files.files}
    assert [(file["table_name"], file["row_count"], file["min_time"], file["max_time"]) for file in files] == [
        ("cpu", 2, 5, 7),
        ("late", 1, 1, 1),
    ]
    assert [file["size_bytes"] for file in files] == [live[file["path"]].size_bytes for file in files]
    assert read(node, "SELECT * FROM system.parquet_files WHERE table_name = 'late'") == files[1:]
    assert read(node, "SELECT * FROM system.parquet_files WHERE table_name = 'mem'") == []


def test_files_and_rows_of_a_statement_are_of_one_moment(node: Node) -> None:
    """K2: the view was taken before anything ran."""
    result = node.query_sql("db", "SELECT count(*) AS files FROM system.parquet_files")
    node.snapshot_now()

    assert pa.Table.from_batches(result.batches).to_pylist() == [{"files": 0}]


def test_databases_and_tables_with_what_is_deleted(node: Node) -> None:
    """K3."""
    node.set_retention("db", 3_600_000_000_000)
    node.drop_table("db", "cpu", 1_900_000_000_999_999_999)
    node.drop_database("other")

    databases = read(node, "SELECT * FROM system.databases", "_internal")
    tables = read(node, "SELECT * FROM system.tables", "_internal")

    internal, db, other = databases
    assert (internal["database_name"], internal["retention_period_ns"]) == ("_internal", 7 * 86_400_000_000_000)
    assert (db["database_name"], db["retention_period_ns"], db["deleted"]) == ("db", 3_600_000_000_000, False)
    assert other["database_name"].startswith("other-")
    assert (other["deleted"], other["hard_deletion_time"]) == (True, None)
    cpu, mem = tables
    assert cpu["table_name"].startswith("cpu-")
    assert (cpu["column_count"], cpu["series_key_columns"], cpu["deleted"]) == (8, "host, region", True)
    assert cpu["hard_deletion_time"].isoformat() == "2030-03-17T17:46:40+00:00"
    assert (mem["database_name"], mem["table_name"], mem["deleted"]) == (other["database_name"], "mem", True)


def test_nodes_and_generations(node: Node) -> None:
    """K3."""
    (found,) = read(node, "SELECT * FROM system.nodes", "_internal")

    assert (found["node_id"], found["instance_id"]) == (node.node_id, node.instance_id)
    assert (found["mode"], found["state"], found["cli_params"]) == (["all"], "running", None)
    assert read(node, "SELECT * FROM system.generation_durations", "_internal") == [{"level": 1, "duration_seconds": 600}]


# statements


def logged(node: Node, text: str, columns: str = "*") -> list[dict[str, Any]]:
    quoted = text.replace("'", "''")
    return read(node, f"SELECT {columns} FROM system.query_log WHERE query_text = '{quoted}'", "_internal")


def test_a_statement_is_logged_with_its_times_and_its_answer(node: Node) -> None:
    """K3."""
    node.snapshot_now()
    node._views.evict(0)
    read(node, "SELECT host FROM cpu")

    (found,) = logged(node, "SELECT host FROM cpu")

    assert (found["phase"], found["success"], found["running"], found["cancelled"]) == ("success", True, False, False)
    assert (found["query_type"], found["database_name"], found["error"]) == ("sql", "db", None)
    assert (found["row_count"], found["parquet_files"]) == (2, 1)
    assert found["size_bytes"] > 0
    spans = [found[name].value for name in ("permit_duration", "plan_duration", "execute_duration", "end2end_duration")]
    assert all(span > 0 for span in spans)
    assert sum(spans[:3]) <= spans[3]


def test_a_failed_statement_is_logged_with_its_reason(node: Node) -> None:
    """K3: failed while it was planned, only described, or run."""
    failing = {
        "SELECT nothing FROM cpu": "nothing",
        "SELECT 1 / 0 FROM cpu": "Divide by zero",
    }
    for sql in failing:
        with pytest.raises(ServiceError):
            read(node, sql)
    with pytest.raises(ServiceError):
        node.plan_sql("db", "SELECT * FROM nowhere")

    for sql, words in (failing | {"SELECT * FROM nowhere": "nowhere"}).items():
        (found,) = logged(node, sql)
        assert (found["phase"], found["success"], found["running"]) == ("fail", False, False)
        assert words in found["error"]


def test_a_statement_that_was_left_is_cancelled(node: Node) -> None:
    """K3."""
    result = node.query_sql("db", "SELECT f FROM cpu")
    next(result.batches)
    (running,) = logged(node, "SELECT f FROM cpu")
    result.close()
    (left,) = logged(node, "SELECT f FROM cpu")

    assert (running["phase"], running["running"], running["end2end_duration"]) == ("execution_permit", True, None)
    assert (left["phase"], left["cancelled"], left["success"], left["running"]) == ("cancel", True, False, False)


def test_a_statement_reads_of_itself_that_it_runs(node: Node) -> None:
    (found,) = read(node, "SELECT running, query_text FROM system.queries")

    assert found == {"running": True, "query_text": "SELECT running, query_text FROM system.queries"}


def test_statements_of_all_databases_are_seen_from_each(node: Node) -> None:
    read(node, "SELECT 1 AS there", "other")

    assert "SELECT 1 AS there" in column(node, "SELECT query_text FROM system.queries")


def test_the_door_of_a_statement_is_told_and_the_servers_own_are_not_logged(node: Node) -> None:
    """K3."""
    for origin in (Origin("flightsql", "INSERT INTO t SELECT 1", "77aa"), Origin(logged=False)):
        for _ in node.query_sql("db", "SELECT 1 AS of_it", None, origin):
            continue

    assert logged(node, "SELECT 1 AS of_it") == []
    (found,) = logged(node, "INSERT INTO t SELECT 1")
    assert (found["query_type"], found["trace_id"]) == ("flightsql", "77aa")


def test_neither_tokens_nor_parameters_are_logged(node: Node) -> None:
    """K4."""
    token = "apiv3_" + "Zz9-" * 20
    for _ in node.query_sql("db", f"SELECT '{token}' = $p AS same", {"p": "a secret value"}):
        continue

    texts = " ".join(column(node, "SELECT query_text || coalesce(error, '') FROM system.query_log", "_internal"))

    assert "Zz9" not in texts
    assert "SELECT 'apiv3_…' = $p AS same" in texts
    assert "secret" not in texts


def test_the_log_has_the_size_that_was_asked_for() -> None:
    with running(MemoryStore(), wal_flush_interval_ms=1, query_log_max_entries=3) as node:
        node.create_database("db")
        for number in range(9):
            read(node, f"SELECT {number} AS n")

        texts = column(node, "SELECT query_text FROM system.queries")

    assert texts == [*(f"SELECT {number} AS n" for number in (6, 7, 8)), "SELECT query_text FROM system.queries"]

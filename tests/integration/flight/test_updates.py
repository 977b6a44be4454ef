"""INSERT over a real node, however it arrives."""

from collections.abc import Iterator
from typing import Any

import adbc_driver_flightsql.dbapi as flight_sql
import adbc_driver_manager.dbapi as adbc
import pyarrow as pa
import pyarrow.flight as fl
import pytest

from engine.node import Node
from engine.requests import WriteRequest
from flightserver.flightsql import commands
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.server import EngineServer
from tests.helpers.flight_process import within
from tests.helpers.memory_node import MemoryNode, wait_until_closed

DATABASE = fl.FlightCallOptions(headers=[(b"database", b"db")])
LINES = b"cpu,host=a usage=1 1\ncpu,host=b usage=2 2\ncpu,host=a usage=3 3\n"


@pytest.fixture
def url(real_node: Node, real_server: EngineServer) -> str:
    real_node.write_lp(WriteRequest("db", LINES, 4))
    return f"grpc://127.0.0.1:{real_server.port}"


def update(flight: fl.FlightClient, query: str, options: fl.FlightCallOptions = DATABASE) -> int:
    """As C++ and flightsql-dbapi send it: with an empty schema."""
    command = commands.pack(sql.CommandStatementUpdate(query=query))
    writer, reader = flight.do_put(fl.FlightDescriptor.for_command(command), pa.schema([]), options)
    writer.done_writing()
    answer = reader.read()
    writer.close()
    return commands.parse(sql.DoPutUpdateResult, answer.to_pybytes()).record_count


def read(node: Node, query: str = "SELECT host, usage FROM cpu ORDER BY time, host") -> list[dict[str, Any]]:
    result = node.query_sql("db", query)
    found: list[dict[str, Any]] = pa.Table.from_batches(list(result), result.schema).to_pylist()
    return found


FORMER = [{"host": "a", "usage": 1.0}, {"host": "b", "usage": 2.0}, {"host": "a", "usage": 3.0}]


def test_values_enter_an_existing_table(flight: fl.FlightClient, real_node: Node) -> None:
    """J1."""
    assert update(flight, "INSERT INTO cpu (host, usage, time) VALUES ('c', 4, '1970-01-01T00:00:00.000000004Z')") == 1
    assert update(flight, "INSERT INTO cpu VALUES ('d', 5, '5.5')") == 1

    assert read(real_node) == [*FORMER, {"host": "c", "usage": 4.0}, {"host": "d", "usage": 5.5}]


def test_a_query_fills_a_new_table_whose_tags_stay_tags(flight: fl.FlightClient, real_node: Node) -> None:
    """J1."""
    assert update(flight, "INSERT INTO busy SELECT host, usage * 2 AS double, time FROM cpu WHERE usage > 1") == 2

    (listed,) = [table for table in real_node.list_tables("db") if table.name == "busy"]
    assert listed.tags == ("host",)
    assert read(real_node, "SELECT host, double FROM busy ORDER BY time") == [
        {"host": "b", "double": 4.0},
        {"host": "a", "double": 6.0},
    ]


def test_values_make_a_new_table_with_the_tags_of_the_header(flight: fl.FlightClient, real_node: Node) -> None:
    tags = fl.FlightCallOptions(headers=[(b"database", b"db"), (b"x-flightline-tags", b"host")])

    assert update(flight, "INSERT INTO new (host, n, time) VALUES ('a', 1, 1), ('b', 2, 1)", tags) == 2

    (listed,) = [table for table in real_node.list_tables("db") if table.name == "new"]
    assert listed.tags == ("host",)
    assert listed.schema.field("n").type == pa.int64()


def test_a_table_can_be_filled_from_itself(flight: fl.FlightClient, real_node: Node) -> None:
    assert update(flight, "INSERT INTO cpu SELECT host, usage + 10 AS usage, time + INTERVAL '1 second' AS time FROM cpu") == 3

    assert read(real_node, "SELECT sum(usage) AS s, count(*) AS n FROM cpu") == [{"s": 42.0, "n": 6}]


def test_new_fields_are_added_and_unknown_tags_refused(flight: fl.FlightClient, real_node: Node) -> None:
    assert update(flight, "INSERT INTO cpu (host, idle, time) VALUES ('a', 9, 1)") == 1

    assert read(real_node, "SELECT usage, idle FROM cpu ORDER BY time, host LIMIT 1") == [{"usage": 1.0, "idle": 9}]


def test_many_rows_travel_in_batches(flight: fl.FlightClient, real_node: Node) -> None:
    """J2."""
    assert update(flight, "INSERT INTO big SELECT value AS n, value AS time FROM generate_series(1, 100000)") == 100_000

    assert read(real_node, "SELECT count(*) AS n, sum(n) AS s FROM big") == [{"n": 100_000, "s": 5_000_050_000}]


def test_what_was_stored_before_a_failure_stays(flight: fl.FlightClient, real_node: Node) -> None:
    """J2."""
    with pytest.raises(pa.ArrowInvalid, match="Divide by zero"):
        update(
            flight,
            "INSERT INTO part SELECT 1 / (60000 - value) AS n, value AS time FROM generate_series(1, 65536)",
        )

    (found,) = read(real_node, "SELECT count(*) AS n FROM part")
    assert 0 < found["n"] < 65536


def test_an_insert_of_nothing_counts_nothing(flight: fl.FlightClient, real_node: Node) -> None:
    assert update(flight, "INSERT INTO nothing SELECT * FROM cpu WHERE usage > 100") == 0

    assert "nothing" not in [table.name for table in real_node.list_tables("db")]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("DELETE FROM cpu", "DELETE is not supported"),
        ("UPDATE cpu SET usage = 1", "UPDATE is not supported"),
        ("CREATE TABLE x (a INT)", "CREATE is not supported"),
        ("DROP TABLE cpu", "DROP is not supported"),
        ("COPY cpu TO '/tmp/x.parquet'", "COPY is not supported"),
        ("SET x = 1", "SET is not supported"),
    ],
)
def test_other_changes_are_refused_by_their_kind(flight: fl.FlightClient, query: str, words: str) -> None:
    """J4."""
    with pytest.raises(pa.ArrowNotImplementedError, match=words):
        update(flight, query)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("INSERT INTO cpu (host) SELECT nothing FROM cpu", "nothing"),
        ("INSERT INTO cpu (usage, time) VALUES ('much', 1)", "column 'usage' of cpu"),
        ("INSERT INTO cpu (host, time) VALUES ('a', 1)", "at least one field"),
        ("INSERT INTO new VALUES (1, 2)", "name its columns"),
        ("INSERT INTO system.queries VALUES (1)", "tables live in public.iox"),
        ("INSERT INTO cpu (usage, time) VALUES (1, 1) RETURNING usage", "RETURNING"),
        ("INSERT INTO cpu (usage, time) VALUES (1, 1); SELECT 1", "more than one statement"),
    ],
)
def test_a_wrong_insert_says_what_is_wrong_and_stores_nothing(
    flight: fl.FlightClient, real_node: Node, query: str, words: str
) -> None:
    with pytest.raises(pa.ArrowInvalid, match=words) as caught:
        update(flight, query)

    assert "Traceback" not in str(caught.value)
    assert read(real_node) == FORMER


def test_a_statement_that_reads_is_run_and_counts_nothing(flight: fl.FlightClient) -> None:
    """J4."""
    assert update(flight, "SELECT * FROM cpu") == 0
    with pytest.raises(pa.ArrowInvalid, match="nothing"):
        update(flight, "SELECT * FROM nothing")


def test_transactions_and_missing_databases_are_refused(flight: fl.FlightClient) -> None:
    command = commands.pack(sql.CommandStatementUpdate(query="INSERT INTO cpu VALUES (1)", transaction_id=b"t"))
    writer, reader = flight.do_put(fl.FlightDescriptor.for_command(command), pa.schema([]), DATABASE)
    writer.done_writing()
    assert reader.read() is None
    with pytest.raises(pa.ArrowNotImplementedError, match="transactions are not supported"):
        writer.close()
    with pytest.raises(pa.ArrowInvalid, match="no 'database' header"):
        update(flight, "INSERT INTO cpu VALUES (1)", fl.FlightCallOptions())
    with pytest.raises(fl.FlightInternalError, match="database not found: other"):
        update(flight, "INSERT INTO cpu VALUES (1)", fl.FlightCallOptions(headers=[(b"database", b"other")]))


def test_an_insert_asked_for_like_a_query_answers_its_count_and_runs_once(flight: fl.FlightClient, real_node: Node) -> None:
    """J1: GetFlightInfo runs nothing, each DoGet does."""
    command = commands.pack(sql.CommandStatementQuery(query="INSERT INTO cpu VALUES ('c', 4, 4)"))
    info = flight.get_flight_info(fl.FlightDescriptor.for_command(command), DATABASE)
    assert read(real_node) == FORMER

    table = flight.do_get(info.endpoints[0].ticket).read_all()

    assert table.schema == info.schema
    assert table.to_pylist() == [{"count": 1}]
    assert read(real_node)[-1] == {"host": "c", "usage": 4.0}


def test_adbc_inserts_with_and_without_values(connection: adbc.Connection, real_node: Node) -> None:
    """J1."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO cpu (host, usage, time) VALUES ('c', 4, 4)")
        assert cursor.rowcount == 1
        cursor.execute("INSERT INTO cpu (host, usage, time) VALUES ($1, $2, $3)", ("d", 5.0, 5))
        assert cursor.rowcount == 1
        cursor.adbc_statement.set_sql_query("INSERT INTO cpu (host, usage, time) VALUES ('e', 6, 6)")
        assert cursor.adbc_statement.execute_update() == 1

    assert read(real_node)[3:] == [{"host": "c", "usage": 4.0}, {"host": "d", "usage": 5.0}, {"host": "e", "usage": 6.0}]


def test_executemany_stores_columns_at_once(connection: adbc.Connection, real_node: Node) -> None:
    """J3."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO cpu (time, host, usage) VALUES ($1, $2, $3)",
            [(100 + number, f"h{number % 7}", number if number % 2 else None) for number in range(5_000)],
        )
        assert cursor.rowcount == 5_000

    assert read(real_node, "SELECT count(*) AS n, count(usage) AS u, sum(usage) AS s FROM cpu WHERE host LIKE 'h%'") == [
        {"n": 5_000, "u": 2_500, "s": 6_250_000.0}
    ]


def test_executemany_runs_other_inserts_once_for_each_row(connection: adbc.Connection, real_node: Node) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO cpu (host, usage, time) SELECT $1, usage + $2, time + INTERVAL '1 hour' FROM cpu WHERE host = 'b'",
            [("x", 1.0), ("y", 2.0)],
        )
        assert cursor.rowcount == 2

    assert read(real_node)[3:] == [{"host": "x", "usage": 3.0}, {"host": "y", "usage": 4.0}]


def test_executemany_names_what_does_not_fit(connection: adbc.Connection, real_node: Node) -> None:
    with connection.cursor() as cursor:
        with pytest.raises(connection.Error, match=r"3 parameters \(\$1, \$2, \$3\), 2 values were bound"):
            cursor.executemany("INSERT INTO cpu (host, usage, time) VALUES ($1, $2, $3)", [("a", 1.0)])
        with pytest.raises(connection.Error, match="column 'usage' of cpu"):
            cursor.executemany("INSERT INTO cpu (host, usage, time) VALUES ($1, $2, $3)", [("a", "much", 1)])

    assert read(real_node) == FORMER


def test_a_driver_that_is_refused_hears_why(connection: adbc.Connection) -> None:
    """T1: it still has rows to send when the refusal is certain."""
    rows = pa.table({"host": pa.array(["a"] * 200_000).dictionary_encode(), "usage": ["much"] * 200_000})
    for _ in range(5):
        with connection.cursor() as cursor, pytest.raises(connection.Error, match="column 'usage' of table cpu"):
            cursor.adbc_ingest("cpu", rows, mode="append")


@pytest.fixture
def slow(node: MemoryNode) -> Iterator[EngineServer]:
    node.write_lp(WriteRequest("db", LINES, 4))
    server = EngineServer(node, "grpc://127.0.0.1:0")
    yield server
    server.shutdown()


def test_an_insert_whose_client_is_gone_reads_no_more(slow: EngineServer, node: MemoryNode) -> None:
    """J5."""
    node.before_batch = wait_until_closed
    command = commands.pack(sql.CommandStatementUpdate(query="INSERT INTO copy SELECT * FROM cpu"))
    with fl.FlightClient(f"grpc://127.0.0.1:{slow.port}") as flight:
        options = fl.FlightCallOptions(headers=[(b"database", b"db")], timeout=1)
        writer, reader = flight.do_put(fl.FlightDescriptor.for_command(command), pa.schema([]), options)
        writer.done_writing()
        assert reader.read() is None
        with pytest.raises(fl.FlightTimedOutError):
            writer.close()

    within(60, lambda: node.closed_results == 1)
    assert "copy" not in node.databases["db"]


def test_adbc_prepares_an_insert_on_any_connection(url: str, real_node: Node) -> None:
    """As a user without autocommit has it: the driver warns, and the rows are there."""
    with (
        pytest.warns(Warning, match="autocommit"),
        flight_sql.connect(url, db_kwargs={"adbc.flight.sql.rpc.call_header.database": "db"}) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("INSERT INTO cpu VALUES ('c', 4, 4)")

    assert len(read(real_node)) == 4

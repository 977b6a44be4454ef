"""What is refused before the planner sees it, and what the planner itself refuses: nothing ends the process."""

import subprocess
import sys
import textwrap
import time

import pytest

from engine.query import guard
from engine.query.guard import StatementTooLarge
from engine.query.messages import QueryRefused
from engine.query.statement import prepare
from tests.helpers.sql import column, context_of, rows

CPU = rows({"host": "a", "time": "2024-01-01", "busy": 1})


def chain(sign: str, part: str, count: int) -> str:
    return f"SELECT {sign.join([part] * count)} FROM (VALUES (1)) AS t(x)"


def doubling(levels: int) -> str:
    tables = ", ".join(f"c{level} AS (SELECT a.x FROM c{level - 1} a, c{level - 1} b)" for level in range(1, levels))
    return f"WITH c0 AS (SELECT 1 AS x), {tables} SELECT * FROM c{levels - 1}"


MONSTERS = {
    "10 MB": "SELECT '" + "x" * 10_000_000 + "'",
    "many tokens": "SELECT 1 WHERE 1 IN (" + "1," * 200_000 + "1)",
    "brackets": "SELECT " + "(" * 10_000 + "1" + ")" * 10_000,
    "lists": "SELECT " + "[" * 10_000 + "1" + "]" * 10_000,
    "functions": "SELECT " + "abs(" * 10_000 + "1" + ")" * 10_000,
    "sub-queries": "SELECT * FROM " + "(SELECT * FROM " * 10_000 + "t" + ")" * 10_000,
    "scalar sub-queries": "SELECT " + "(SELECT " * 20 + "1" + ")" * 20,
    "sub-queries in conditions": "SELECT 1 WHERE 1 IN (" * 20 + "1" + ")" * 20,
    "plus": chain(" + ", "x", 10_000),
    "or": chain(" OR ", "x = 1", 10_000),
    "concatenations": chain(" || ", "'a'", 10_000),
    "casts": "SELECT 1" + "::int" * 10_000,
    "is null": "SELECT 1" + " IS NULL" * 10_000,
    "time zones": "SELECT now()" + " AT TIME ZONE 'UTC'" * 3_000,
    "between": "SELECT " + "1 BETWEEN 0 AND " * 10_000 + "1",
    "unions": " UNION ALL ".join(["SELECT 1"] * 5_000),
    "joins": "SELECT * FROM t0" + "".join(f" JOIN t{n} ON t{n}.x = t0.x" for n in range(1, 200)),
    "comma joins": "SELECT 1 FROM " + ", ".join(f"t t{n}" for n in range(200)),
    "columns": "SELECT " + ", ".join(f"x + {n} AS c{n}" for n in range(50_000)),
    "doubling": doubling(30),
}


@pytest.mark.parametrize("name", MONSTERS)
def test_what_the_planner_could_not_survive_is_refused_at_once(name: str) -> None:
    """G1."""
    began = time.process_time()

    with pytest.raises(StatementTooLarge):
        guard.check(MONSTERS[name])

    assert time.process_time() - began < 3


@pytest.mark.parametrize(
    "text",
    [
        chain(" + ", "x", 900),
        chain(" OR ", "x = 1", 450),
        "SELECT 1" + "::int" * 900,
        "SELECT 1 WHERE 1 IN (" + ",".join(map(str, range(20_000))) + ")",
        "SELECT count(*) FROM (VALUES " + ",".join(f"({n})" for n in range(10_000)) + ") AS t",
        " UNION ALL ".join(["SELECT 1 AS x"] * 400),
        "SELECT " + ", ".join(f"x + {n} AS c{n}" for n in range(1_000)) + " FROM (VALUES (1)) AS t(x)",
        "SELECT CASE " + " ".join(f"WHEN x = {n} THEN {n}" for n in range(1_000)) + " END FROM (VALUES (1)) AS t(x)",
        "SELECT '" + "x" * 1_000_000 + "'",
        doubling(4),
        "SELECT " + "(" * 30 + "1" + ")" * 30,
        "SELECT " + "(SELECT " * 10 + "1" + ")" * 10,
    ],
    ids=lambda text: text[:24],
)
def test_what_is_merely_long_is_planned(text: str) -> None:
    """G1."""
    prepare(context_of(), text, {})


def test_the_longest_chains_fit_into_a_small_stack() -> None:
    """G1: threads of other libraries have as little as 2 MiB. In a process of its own, which may die of it."""
    script = """
        import threading
        from engine.query import guard
        from engine.query.statement import prepare
        from tests.helpers.sql import context_of, read

        texts = [
            "SELECT " + " + ".join(["x"] * (guard.CHAIN // 2)) + " FROM (VALUES (1)) AS t(x)",
            "SELECT " + " OR ".join(["x = 1"] * (guard.CHAIN // 4)) + " FROM (VALUES (1)) AS t(x)",
            "SELECT " + " || ".join(["'a'"] * (guard.CHAIN // 3 - 1)),
            "SELECT 1" + "::int" * (guard.CHAIN // 2 - 1),
            "SELECT " + "(" * 45 + "1" + ")" * 45,
        ]
        failures = []

        def plan():
            for text in texts:
                try:
                    prepare(context_of(), text, {})
                except BaseException as error:
                    failures.append((text[:30], error))

        threading.stack_size(2 << 20)
        thread = threading.Thread(target=plan)
        thread.start()
        thread.join()
        assert not failures, failures
    """

    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=100)

    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("CREATE TABLE x (a INT)", "DDL not supported: CreateMemoryTable"),
        ("CREATE TABLE x AS SELECT * FROM cpu", "DDL not supported: CreateMemoryTable"),
        ("CREATE VIEW x AS SELECT * FROM cpu", "DDL not supported: CreateView"),
        ("CREATE SCHEMA x", "DDL not supported: CreateCatalogSchema"),
        ("CREATE DATABASE x", "DDL not supported: CreateCatalog"),
        ("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/hosts'", "DDL not supported: CreateExternalTable"),
        ("CREATE FUNCTION f(int) RETURNS int RETURN 1", "DDL not supported: CreateFunction"),
        ("DROP TABLE cpu", "DDL not supported: DropTable"),
        ("DROP VIEW cpu", "DDL not supported: DropView"),
        ("INSERT INTO cpu (time, host) VALUES (now(), 'b')", "DML not supported: Insert"),
        ("INSERT INTO cpu VALUES (1)", "DML not supported: Insert"),
        ("UPDATE cpu SET busy = 1", "DML not supported: Update"),
        ("DELETE FROM cpu", "DML not supported: Delete"),
        ("TRUNCATE TABLE cpu", "not supported"),
        ("COPY cpu TO 'x.parquet'", "DML not supported: COPY"),
        ("COPY cpu TO 'x'", "DML not supported: COPY"),
        ("COPY (SELECT 1) TO '/tmp/x.csv' STORED AS CSV", "DML not supported: COPY"),
        ("SET datafusion.execution.batch_size = 1", "Statement not supported: SetVariable"),
        ("RESET datafusion.execution.batch_size", "not supported"),
        ("PREPARE p AS SELECT 1", "Statement not supported: Prepare"),
        ("EXECUTE p", "Statement not supported: Execute"),
        ("DEALLOCATE p", "Statement not supported: Deallocate"),
        ("BEGIN", "Unsupported SQL statement: BEGIN"),
        ("START TRANSACTION", "not supported"),
        ("COMMIT", "not supported"),
        ("USE other", "Unsupported SQL statement: USE other"),
        ("EXPLAIN CREATE TABLE x (a INT)", "DDL not supported"),
        ("EXPLAIN ANALYZE INSERT INTO cpu SELECT * FROM cpu", "DML not supported"),
        ("SELECT * INTO x FROM cpu", "DDL not supported: CreateMemoryTable"),
        ("SELECT * FROM '/etc/hosts'", "table 'public.iox./etc/hosts' not found"),
        ("SELECT * FROM 'file.parquet'", "table 'public.iox.file.parquet' not found"),
        ("SELECT * FROM parquet_metadata('/x')", "table function 'parquet_metadata' not found"),
        ("SELECT * FROM read_parquet('/x')", "table function 'read_parquet' not found"),
        ("SELECT 1; DROP TABLE cpu", "more than one statement in a request"),
        ("LOAD DATA", "Unsupported SQL statement: LOAD DATA"),
    ],
)
def test_a_statement_that_does_not_only_read_is_refused_by_kind(text: str, said: str) -> None:
    """G2."""
    context = context_of(cpu=CPU)

    with pytest.raises(QueryRefused) as caught:
        prepare(context, text, {})

    assert said in str(caught.value)
    assert column(context, "SELECT count(*) FROM cpu") == [1]


@pytest.mark.parametrize(
    "text",
    [
        *("SHOW TABLES", "SHOW COLUMNS FROM cpu", "SHOW ALL", "SHOW FUNCTIONS", "DESCRIBE cpu", "EXPLAIN SELECT * FROM cpu"),
        *(
            "EXPLAIN ANALYZE SELECT * FROM cpu",
            "SELECT * FROM information_schema.tables",
            "VALUES (1)",
            "SELECT * FROM cpu;;",
            "SELECT 1 ;",
        ),
    ],
)
def test_what_only_reads_is_planned(text: str) -> None:
    """G2."""
    prepare(context_of(cpu=CPU), text, {})

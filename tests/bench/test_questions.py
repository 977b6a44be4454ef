"""The questions ask what they promise (scripts/bench_lib/questions.py)."""

from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pytest

from scripts.bench_lib import data as rows_of
from scripts.bench_lib.data import CPU_FIELDS, CPU_TAGS, DATA_SETS
from scripts.bench_lib.query_client import DuckAsker, part
from scripts.bench_lib.query_scenarios import PEERS, asked_in, sorted_parquet
from scripts.bench_lib.questions import HOUR_NS, MINUTE_NS, QUESTIONS, VARIANTS, draws

SMALL = rows_of.cpu("questions", hosts=10, rows=7_200)  # two hours
TSBS = """single-groupby-1-1-1 single-groupby-1-1-12 single-groupby-1-8-1 single-groupby-5-1-1 single-groupby-5-8-1
    cpu-max-all-1 cpu-max-all-8 double-groupby-1 double-groupby-5 double-groupby-all high-cpu-1 high-cpu-all lastpoint
    groupby-orderby-limit"""


def test_all_questions_of_tsbs_are_there() -> None:
    assert set(TSBS.split()) | {"last-value", "tag-values", "count-all", "scan-agg", "tiny"} == set(QUESTIONS)


@pytest.mark.parametrize("data", ["A", "B"])
def test_wordings_differ_and_are_the_same_every_time(data: str) -> None:
    """Q1."""
    made = [draws(DATA_SETS[data], DATA_SETS[data].full_rows) for _ in range(2)]

    wordings = [QUESTIONS["single-groupby-1-8-1"].sql(draw) for draw in made[0]]

    assert made[0] == made[1]
    assert len(set(wordings)) == VARIANTS


@pytest.mark.parametrize("bucket_ns", [MINUTE_NS, HOUR_NS])
def test_windows_are_whole_buckets_within_the_data(bucket_ns: int) -> None:
    """Q3."""
    for draw in draws(SMALL, SMALL.full_rows):
        start, end = draw.window(1, bucket_ns)
        all_of_it = draw.window(12, bucket_ns)

        assert start % bucket_ns == end % bucket_ns == 0
        assert end - start == HOUR_NS
        assert draw.first_ns <= start < end <= draw.end_ns
        assert all_of_it == (draw.first_ns, draw.end_ns)


def test_metricsql_looks_back_from_the_end_of_each_bucket() -> None:
    """Q3."""
    draw = draws(SMALL, SMALL.full_rows)[0]
    ask = QUESTIONS["single-groupby-1-1-1"].metricsql
    assert ask is not None

    asked = parse_qs(urlsplit(ask(draw)).query)

    start, end = draw.window(1, MINUTE_NS)
    assert float(asked["start"][0]) == start / 1e9 + 60 - 0.001
    assert float(asked["end"][0]) == end / 1e9 - 0.001


@pytest.mark.parametrize("language", [*PEERS.values(), "http"])
def test_a_question_has_all_wordings_in_a_language_or_none(language: str) -> None:
    """Q1, Q2."""
    for asked in asked_in(language, QUESTIONS, draws(SMALL, SMALL.full_rows)):
        assert len(asked["requests"]) == VARIANTS
        assert all(request.startswith("/") for request in asked["requests"])


@pytest.fixture(scope="module")
def duck() -> DuckAsker:
    pytest.importorskip("duckdb")
    return DuckAsker(part("duckdb", "duckdb", str(sorted_parquet(SMALL, SMALL.full_rows)), []))


def rows_for(duck: DuckAsker, name: str) -> tuple[Sequence[str], list[dict[str, object]]]:
    duck.ask(asked_in("duckdb", [name], draws(SMALL, SMALL.full_rows))[0]["requests"][0])
    assert isinstance(duck.last, pa.Table)
    return duck.last.schema.names, duck.last.to_pylist()


@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [
        ("single-groupby-1-1-1", 60, 2),
        ("single-groupby-5-8-1", 60, 6),
        ("cpu-max-all-8", 2, 11),
        ("double-groupby-all", 20, 12),
        ("lastpoint", 10, 21),
        ("last-value", 10, 12),
        ("groupby-orderby-limit", 5, 2),
        ("tag-values", 10, 1),
        ("count-all", 1, 1),
        ("scan-agg", 1, 4),
        ("tiny", 1, 1),
    ],
)
def test_answers_have_the_size_that_the_question_implies(duck: DuckAsker, name: str, rows: int, columns: int) -> None:
    names, found = rows_for(duck, name)

    assert (len(found), len(names)) == (rows, columns)


def test_the_newest_rows_are_the_same_however_they_are_asked_for(duck: DuckAsker) -> None:
    """Q2."""
    _, rows = rows_for(duck, "lastpoint")
    _, values = rows_for(duck, "last-value")

    def key(row: dict[str, object]) -> str:
        return str(row["hostname"])

    plain = [{name: row[name] for name in ("hostname", "time", *CPU_FIELDS)} for row in sorted(rows, key=key)]
    assert plain == sorted(values, key=key)
    assert set(rows[0]) == {*CPU_TAGS, *CPU_FIELDS, "time"}

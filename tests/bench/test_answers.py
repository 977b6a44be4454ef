"""Two answers are the same, or it is said where they differ (scripts/bench_lib/answers.py)."""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from scripts.bench_lib.answers import OK, compared, from_influxql, from_json, from_metricsql, plain, verdict
from scripts.bench_lib.query_client import keep_table

MINUTE_NS = 60_000_000_000
EXPECTED = plain(
    pa.table(
        {
            "hostname": ["a", "b"],
            "minute": pa.array([datetime(2016, 1, 1), datetime(2016, 1, 1, 0, 1)], pa.timestamp("us")),
            "usage_user": pa.array([1, 2], pa.int32()),
            "mean": [0.1, 2.5],
        }
    )
)


def changed(name: str, values: list[object]) -> pa.Table:
    place = EXPECTED.schema.get_field_index(name)
    return EXPECTED.set_column(place, name, pa.array(values).cast(EXPECTED.schema.field(name).type))


def test_the_order_of_rows_and_columns_and_the_last_digit_do_not_matter() -> None:
    """C1."""
    other = changed("mean", [0.1 + 1e-12, 2.5]).take([1, 0]).select(["mean", "minute", "usage_user", "hostname"])

    assert compared(other, EXPECTED) == OK


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (EXPECTED.slice(1), "WRONG: 1 rows, not 2"),
        (
            EXPECTED.drop_columns(["mean"]),
            "WRONG: columns hostname, minute, usage_user, not hostname, minute, usage_user, mean",
        ),
        (changed("usage_user", [1, 3]), "WRONG: usage_user is 3, not 2, in row 1"),
        (changed("usage_user", [1, None]), "WRONG: usage_user is None, not 2, in row 1"),
        (changed("mean", [0.1, 2.51]), "WRONG: mean is 2.51, not 2.5, in row 1"),
        (changed("hostname", ["a", "c"]), "WRONG: hostname is c, not b, in row 1"),
    ],
)
def test_a_difference_is_said(other: pa.Table, said: str) -> None:
    """C1."""
    assert compared(other, EXPECTED) == said


def test_types_are_what_they_mean() -> None:
    mixed = pa.table({"sum": pa.array([Decimal(7)], pa.decimal128(38, 0)), "tag": pa.array(["x"]).dictionary_encode()})

    assert plain(mixed).to_pylist() == [{"sum": 7.0, "tag": "x"}]


def test_rows_of_json_are_read_by_the_expected_types() -> None:
    body = json.dumps(
        [
            {"hostname": "b", "minute": "2016-01-01T00:01:00", "usage_user": 2, "mean": 2.5},
            {"hostname": "a", "minute": "2016-01-01T00:00:00", "usage_user": 1, "mean": 0.1},
        ]
    ).encode()

    assert compared(from_json(body, EXPECTED.schema, 0), EXPECTED) == OK
    assert compared(from_json(b"[]", EXPECTED.schema, 0), EXPECTED) == "WRONG: 0 rows, not 2"
    assert compared(from_json(b'[{"other":1}]', EXPECTED.schema, 0), EXPECTED).startswith("WRONG: columns other, not")


def test_influxql_tags_and_times_become_columns() -> None:
    """C2: the mean is not asked for."""
    series = [
        {"tags": {"hostname": host}, "columns": ["time", "usage_user"], "values": [[time, value]]}
        for host, time, value in (("a", 1451606400000000000, 1), ("b", 1451606460000000000, 2))
    ]

    found = from_influxql(json.dumps({"results": [{"series": series}]}).encode(), EXPECTED.schema, 0)

    assert found.schema.names == ["hostname", "minute", "usage_user"]
    assert compared(found, EXPECTED, whole=False) == OK


def test_metricsql_series_become_rows_and_metrics_columns() -> None:
    """C2."""
    ends = {"a": 1451606459.999, "b": 1451606519.999}
    result = [
        {"metric": {"__name__": name, "hostname": host, "rack": "7"}, "values": [[ends[host], str(value)]]}
        for name, host, value in (
            ("cpu_usage_user", "a", 1),
            ("cpu_usage_user", "b", 2),
            ("cpu_mean", "a", 0.1),
            ("cpu_mean", "b", 2.5),
        )
    ]

    found = from_metricsql(json.dumps({"data": {"result": result}}).encode(), EXPECTED.schema, MINUTE_NS)

    assert compared(found, EXPECTED, whole=False) == OK
    assert found.num_columns == 4


def test_a_peer_that_gives_nothing_of_what_was_asked_is_wrong() -> None:
    """C2."""
    assert compared(pa.table({"other": [1, 2]}), EXPECTED, whole=False) == "WRONG: no column of the answer is known"


def test_kept_answers_are_compared_from_their_files(tmp_path: Path) -> None:
    keep_table(EXPECTED, tmp_path / "expected")
    keep_table(changed("usage_user", [1, 3]), tmp_path / "other")

    assert verdict(tmp_path / "expected", "arrow", tmp_path / "expected", 0) == OK
    assert verdict(tmp_path / "other", "arrow", tmp_path / "expected", 0).startswith("WRONG")
    assert verdict(tmp_path / "other", "arrow", tmp_path / "missing", 0) == "not compared"

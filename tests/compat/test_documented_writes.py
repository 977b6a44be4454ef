"""The write and query examples of the documentation, as printed, with curl."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.helpers.asking import Reached

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

SUNROOM = "home,room=Sunroom temp=96\nhome,room=Sunroom temp=hi"
CPU = """cpu,host=Alpha,region=us-west,application=webserver val=1i,usage_percent=20.5,status="OK"
cpu,host=Bravo,region=us-east,application=database val=2i,usage_percent=55.2,status="OK"
cpu,host=Charlie,region=us-west,application=cache val=3i,usage_percent=65.4,status="OK"
cpu,host=Bravo,region=us-east,application=database val=4i,usage_percent=70.1,status="Warn"
cpu,host=Bravo,region=us-central,application=database val=5i,usage_percent=80.5,status="OK"
cpu,host=Alpha,region=us-west,application=webserver val=6i,usage_percent=25.3,status="Warn"
"""
BAD_LINE = {"error_message": "No fields were provided", "line_number": 2, "original_line": "home,room=Sunroom temp=hi"}


def curl(reached: Reached, path: str, *options: str) -> tuple[int, str]:
    trust = ["--cacert", str(reached.ca_file)] if reached.ca_file else []
    command = ["curl", "-sS", "-w", "\n%{http_code}", *trust, *options, reached.url + path]
    body, _, status = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.rpartition("\n")
    return int(status), body


def told(reached: Reached, path: str, *options: str) -> tuple[int, Any]:
    status, body = curl(reached, path, *options)
    return status, json.loads(body)


def test_a_partial_write_keeps_what_is_good(reached: Reached) -> None:
    status, document = told(
        reached, "/api/v3/write_lp?db=sensors_partial&precision=auto&accept_partial=true", "--data-raw", SUNROOM
    )

    assert (status, document) == (400, {"error": "partial write of line protocol occurred", "data": [BAD_LINE]})
    assert reached.rows("sensors_partial", "select room, temp from home") == [{"room": "Sunroom", "temp": 96.0}]


def test_a_write_that_may_not_be_partial_keeps_nothing(reached: Reached) -> None:
    status, document = told(reached, "/api/v3/write_lp?db=sensors&precision=auto&accept_partial=false", "--data-raw", SUNROOM)

    assert (status, document) == (400, {"error": "parsing failed for write_lp endpoint", "data": BAD_LINE})
    _, listed = told(reached, "/api/v3/configure/database?format=json")
    assert {"iox::database": "sensors"} not in listed


def test_a_write_need_not_wait(reached: Reached) -> None:
    path = "/api/v3/write_lp?db=sensors_no_sync&precision=auto&no_sync=true"

    assert curl(reached, path, "--data-raw", "home,room=Sunroom temp=96") == (204, "")


@pytest.mark.parametrize(
    "path",
    [
        "/write?db=mydb_v1&precision=ns",
        "/api/v2/write?bucket=mydb_v2&precision=ns",
        "/api/v3/write_lp?db=mydb_v3&precision=nanosecond&accept_partial=true",
        "/write?db=mydb_v1_old,precision=ns",
        "/api/v2/write?db=mydb_v2_old,precision=ns",
        "/api/v3/write_lp?db=mydb_v3_old,precision=ns",
    ],
)
def test_every_write_endpoint_takes_the_lines_that_are_printed(reached: Reached, path: str) -> None:
    """Rows of one series get one time here, the time of the request: the last of them stays."""
    database = path.partition("=")[2].partition("&")[0].partition(",")[0]

    assert curl(reached, path, "--data-raw", CPU) == (204, "")

    found = reached.rows(database, "select host, region, application, val, usage_percent, status from cpu order by val")
    assert [row["val"] for row in found] == [3, 4, 5, 6]
    assert found[-1] == {
        "host": "Alpha",
        "region": "us-west",
        "application": "webserver",
        "val": 6,
        "usage_percent": 25.3,
        "status": "Warn",
    }


def test_a_tag_that_a_table_does_not_have_is_refused_with_its_line(reached: Reached) -> None:
    """Tags of a table do not change after its first write."""
    path = "/api/v3/write_lp?db=immutable_tags"
    assert curl(reached, path, "--data-raw", "cpu,host=a usage=1 1") == (204, "")

    status, document = told(reached, path, "--data-raw", "cpu,host=a,rack=r1 usage=2 2\ncpu,host=b usage=3 3")

    assert status == 400
    assert [line["line_number"] for line in document["data"]] == [1]
    assert "rack" in document["data"][0]["error_message"]
    assert reached.rows("immutable_tags", "select usage from cpu order by time") == [{"usage": 1.0}, {"usage": 3.0}]


def test_queries_are_answered_as_printed(reached: Reached) -> None:
    assert curl(reached, "/api/v3/write_lp?db=servers", "--data-raw", CPU)[0] == 204

    by_get = told(reached, "/api/v3/query_sql?db=servers&q=select+*+from+cpu+limit+5")
    by_post = told(reached, "/api/v3/query_sql", "--data", '{"db": "servers", "q": "select * from cpu limit 5"}')

    assert by_get[0] == by_post[0] == 200
    assert len(by_get[1]) == len(by_post[1]) == 4
    assert list(by_get[1][0]) == ["application", "host", "region", "status", "time", "usage_percent", "val"]

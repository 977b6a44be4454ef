"""Values as a server spells them, which lacks libraries that tests have: pandas makes Python's moments of nanoseconds."""

from collections.abc import Iterator
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from tests.conftest import PRODUCT
from tests.helpers.servers import Server, running

MOMENT = "TIMESTAMP '2023-11-14T22:13:20.123456789'"
LINES = b"t,host=a v=1 1700000000123456789\nt,host=b v=2 1700000000123456790\nt,host=a v=3 1700000001000000000"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("values"), "--object-store", "memory", command=PRODUCT) as server:
        urlopen(Request(f"{server.url}/api/v3/write_lp?db=db&precision=ns", data=LINES, method="POST"), timeout=60).close()
        yield server


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        (f"SELECT {MOMENT} AS t", "2023-11-14T22:13:20.123456789"),
        ("SELECT to_timestamp(1) AS t, 'x' AS s", "1970-01-01T00:00:00.000000001,x"),
        ("SELECT arrow_cast(1, 'Duration(Nanosecond)') AS d, INTERVAL '1 nanosecond' AS i", "PT0.000000001S,0.000000001 secs"),
        (f"SELECT v FROM t WHERE time IN ({MOMENT}, TIMESTAMP '2023-11-14T22:13:21') ORDER BY v", "1.0\n3.0"),
        (f"SELECT host, max(time) FROM t WHERE time <= {MOMENT} GROUP BY host", "a,2023-11-14T22:13:20.123456789"),
        (f"SELECT time - {MOMENT} AS d FROM t ORDER BY time LIMIT 2", "P0D\nPT0.000000001S"),
        (
            f"SELECT date_bin_gapfill(INTERVAL '1 second', time, {MOMENT}) AS s, count(*) FROM t "
            f"WHERE time >= {MOMENT} AND time < TIMESTAMP '2023-11-14T22:13:22.2' GROUP BY s ORDER BY s",
            "2023-11-14T22:13:20.123456789,3\n2023-11-14T22:13:21.123456789,0\n2023-11-14T22:13:22.123456789,0",
        ),
    ],
)
def test_moments_between_microseconds_are_answered(server: Server, sql: str, rows: str) -> None:
    question = urlencode({"db": "db", "q": sql, "format": "csv"})

    assert server.get(f"/api/v3/query_sql?{question}").decode().partition("\n")[2] == rows + "\n"

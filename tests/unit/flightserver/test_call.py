"""Which database a call means."""

from collections.abc import Mapping, Sequence

import pytest

from catalog.errors import InvalidRequest
from flightserver.handlers.call import Call, Guard
from tests.helpers.memory_node import MemoryNode

GUARD = Guard(MemoryNode())


@pytest.mark.parametrize(
    "headers",
    [
        {"database": ["db"]},
        {"bucket": ["db"]},
        {"bucket-name": ["db"]},
        {"iox-namespace-name": ["db"]},
        {"database": ["db"], "bucket": ["db"]},
        {"database": ["db", "ignored"]},
    ],
)
def test_every_header_names_the_database(headers: Mapping[str, Sequence[str]]) -> None:
    """K1."""
    assert Call(GUARD, headers).database() == "db"


def test_headers_that_disagree_are_refused_by_name() -> None:
    """K1."""
    with pytest.raises(InvalidRequest, match=r'More than one headers are found in request: \["database", "bucket"\]'):
        Call(GUARD, {"database": ["a"], "bucket": ["b"]}).database()


def test_a_call_without_database_says_so() -> None:
    """K1."""
    assert Call(GUARD, {}).find_database() is None
    with pytest.raises(InvalidRequest, match="no 'database' header in request"):
        Call(GUARD, {"database": [""]}).database()

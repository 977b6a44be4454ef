"""Tables that fit terminals."""

import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightserver.cli.tables import PAGE_ROWS, fitted


def width_of(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def test_a_table_that_fits_looks_like_the_servers() -> None:
    assert list(fitted(["a", "bb"], [["1", "x"], ["22", ""]], 80)) == [
        "+----+----+",
        "| a  | bb |",
        "+----+----+",
        "| 1  | x  |",
        "| 22 |    |",
        "+----+----+",
    ]


@given(
    st.integers(1, 6).flatmap(
        lambda columns: st.lists(st.lists(st.text(max_size=30), min_size=columns, max_size=columns), min_size=1, max_size=5)
    ),
    st.integers(20, 90),
)
def test_no_line_is_wider_than_the_terminal(rows: list[list[str]], width: int) -> None:
    """Y1."""
    lines = list(fitted(rows[0], rows[1:], width))

    assert all(width_of(line) <= width for line in lines)


def test_no_rows_of_no_known_columns_are_an_empty_table() -> None:
    assert list(fitted([], [], 80)) == ["(no rows)"]
    assert list(fitted(["a"], [], 80)) == ["+---+", "| a |", "+---+"]


def test_columns_without_room_are_named() -> None:
    """Y1."""
    names = [f"column{number}" for number in range(10)]

    lines = list(fitted(names, [["value"] * 10], 40))

    assert lines[-1].startswith("(--full shows 7 columns more: column3, ")
    assert lines[1] == "| column0 | column1 | column2 |"


def test_empty_columns_give_way_first() -> None:
    """Y1."""
    lines = list(fitted(["token_id", "name", "description", "permissions"], [["0", "_admin", "", "*:*:*"]], 44))

    assert lines[1] == "| token_id | name   | permissions |"
    assert lines[-1] == "(--full shows 1 column more: description)"


def test_a_long_table_is_read_page_by_page() -> None:
    """Y2."""
    taken = 0

    def rows() -> Iterator[list[str]]:
        nonlocal taken
        for number in range(PAGE_ROWS * 3):
            taken += 1
            yield [str(number)]

    lines = fitted(["n"], rows(), 80)

    assert next(lines).startswith("+")
    assert taken == PAGE_ROWS
    assert len(list(lines)) == PAGE_ROWS * 3 + 3


@pytest.mark.parametrize(("cell", "shown"), [("a\x1b[31mb", "a␛[31mb"), ("a\nb", "a↵b"), ("\x07", "␇"), ("\x9b1m", "·1m")])
def test_a_cell_cannot_control_the_terminal(cell: str, shown: str) -> None:
    """Y3."""
    assert f"| {shown} " in list(fitted(["x"], [[cell]], 80))[3]

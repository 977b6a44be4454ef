"""Refused lines, told to a person."""

import pytest

from flightserver.cli.refused import RefusedLine, find_place, told

FLOAT, INTEGER = "iox::column_type::field::float", "iox::column_type::field::integer"


@pytest.mark.parametrize(
    ("message", "line", "marked", "expected"),
    [
        (
            "Could not parse entire line. Found trailing content: `usage=hi,s...`",
            'cpu,host=A val=1i,usage=hi,status="OK"',
            'hi,status="OK"',
            "a number (1.5), an integer (1i), true, false or a string in double quotes",
        ),
        ("Could not parse entire line. Found trailing content: ` xx`", "cpu,host=A val=1i xx", " xx", None),
        (
            f"invalid column type for column 'val', expected {INTEGER}, got {FLOAT}",
            "cpu,val=x,host=A\\ B other=1,val=1.5",
            "x,host",
            "an integer, as 1i",
        ),
        (f"invalid column type for column 'a b', expected {FLOAT}, got {INTEGER}", "cpu a\\ b=1i", "1i", "a float, as 1.5"),
        ("Expected at least one space character, got end of input", "cpu", "", "a space and a field, as temp=21.5"),
        ("Tag set malformed: could not find equals sign in `host val=1`", "cpu,host val=1", "host val", None),
        ("No fields were provided", "home,room=Sunroom temp=hi", "hi", "a number (1.5), an integer (1i), true"),
        ("No fields were provided", "home,room=Sunroom ", "", "a space and a field, as temp=21.5"),
        ("Unable to parse integer value `99999999999999999999`", "a b=99999999999999999999i", "999", None),
        ("timestamp, 12, out of range for precision: Second", "a12 b=12 12", "12", None),
        ("invalid line protocol - multiple instances of 'val' field found", "cpu val=1i,val=2i", "val=2i", None),
        ("Must not contain duplicate tags, but `a` was repeated", "cpu,a=1,b=2,a=3 f=1", "a=3", None),
        ("unknown tag 'rack' for table 'cpu'", "cpu,host=a,rack=1 f=1", "rack=1", None),
    ],
)
def test_the_place_of_a_mistake_is_found(message: str, line: str, marked: str, expected: str | None) -> None:
    """J2."""
    place = find_place(message, line)

    assert place is not None
    assert line[place.column :].startswith(marked)
    assert (place.expected or "").startswith(expected or "")
    if "\n" not in line and message.startswith(("timestamp", "Could not parse entire line. Found trailing content: ` ")):
        assert line[place.column :] == marked


@pytest.mark.parametrize("message", ["something unheard of", "invalid column type for column 'x', expected a, got b"])
def test_what_cannot_be_located_has_no_caret(message: str) -> None:
    """J2."""
    assert find_place(message, "cpu f=1") is None
    assert told([RefusedLine(3, message, "cpu f=1")]) == f"  line 3: {message}\n    cpu f=1"


def test_lines_are_told_in_the_order_of_the_file_and_not_too_many() -> None:
    """J1."""
    lines = [RefusedLine(number, "No fields were provided", "cpu", "data.lp") for number in range(30, 10, -1)]

    text = told(lines)

    assert text.splitlines()[0] == "  data.lp, line 11, column 4: No fields were provided"
    assert text.endswith("… and 10 more lines")


def test_a_long_line_is_shown_around_the_place() -> None:
    """J2."""
    line = "cpu " + ",".join(f"field{number}={number}" for number in range(200)) + ",last=hi"

    shown = told([RefusedLine(1, "Could not parse entire line. Found trailing content: `last=hi`", line)]).splitlines()

    assert shown[0].startswith(f"  line 1, column {line.index('hi') + 1}: ")
    assert shown[1].strip().startswith("…")
    assert shown[1][shown[2].index("^") :] == "hi"

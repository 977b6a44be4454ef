"""Bodies cut from streams of lines."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightserver.cli.splitting import Body, Read, bodies


def reading(data: bytes, step: int = 1 << 20) -> Read:
    place = 0

    def read(count: int) -> bytes:
        nonlocal place
        found = data[place : place + min(count, step)]
        place += len(found)
        return found

    return read


def cut(data: bytes, size_max: int, step: int = 1 << 20) -> list[bytes]:
    return [body.data for body in bodies(reading(data, step), size_max)]


word = st.text('ab\\ ,="#', min_size=1, max_size=5).map(str.encode)
string = st.text('ab\n,= \\"', max_size=12).map(
    lambda text: b'"' + text.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'
)
line = st.one_of(
    st.builds(lambda value, other: b"cpu,host=a s=" + value + b",t=" + other + b" 12\n", string, string),
    st.builds(lambda text: b"#" + text.replace(b'"', b"").replace(b"\n", b"") + b"\n", word),
    st.sampled_from([b"\n", b'cpu,size=5" f=1\n', b"cpu\\ x,host=a f=1i\n", b"cpu\\\n", b'm,t=a\\ b s="x"\r\n']),
)


@given(st.lists(line, max_size=20), st.integers(1, 200), st.integers(1, 64))
def test_the_bodies_of_a_stream_are_the_stream(lines: list[bytes], size_max: int, step: int) -> None:
    """S1."""
    assert b"".join(cut(b"".join(lines), size_max, step)) == b"".join(lines)


@given(st.lists(line, max_size=20), st.integers(1, 200))
def test_a_body_ends_where_a_line_ends_and_is_no_longer_than_it_may_be(lines: list[bytes], size_max: int) -> None:
    """S2, S3."""
    ends = {0}
    for each in lines:
        ends.add(max(ends) + len(each))
    longest = max(map(len, lines), default=0)

    place = 0
    for body in bodies(reading(b"".join(lines)), max(size_max, longest)):
        assert body.at == place
        place += len(body.data)
        assert place in ends
        assert len(body.data) <= max(size_max, longest)


def test_a_body_knows_its_first_byte_and_line() -> None:
    """S4."""
    data = b'a s="1\n2"\nb f=1\nc f=2'

    found = list(bodies(reading(data), 12))

    assert found == [Body(b'a s="1\n2"\n', 0, 1, 2), Body(b"b f=1\nc f=2", 10, 3, 2)]


def test_a_line_that_is_too_long_is_a_body_by_itself() -> None:
    """S3."""
    long = b'cpu s="' + b"x" * 5000 + b'"\n'

    assert cut(b"a f=1\n" + long + b"b f=1\n", 100) == [b"a f=1\n", long, b"b f=1\n"]


@pytest.mark.parametrize("data", [b'cpu s="never closed\nb f=1\n' * 200, b'cpu s="' + b"x\n" * 5000])
def test_a_string_that_nobody_closes_stops_nothing(data: bytes) -> None:
    """S1, S3."""
    found = cut(data, 64)

    assert b"".join(found) == data
    assert len(found) > 10


def test_a_pause_sends_what_has_come_up_to_the_last_whole_line() -> None:
    """S5."""
    coming: Iterator[bytes | None] = iter([b"a f=1\nb f", None, b"=2\nc f=3\n", None, b""])

    found = [body.data for body in bodies(lambda _: next(coming), 1000)]

    assert found == [b"a f=1\n", b"b f=2\nc f=3\n"]

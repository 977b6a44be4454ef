"""First bytes of a connection (N1-N3)."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpapi.sniff import ENOUGH_BODY_BYTES, HTTP2_PREFACE, LONGEST_HEADER_BYTES, Sniffer, Verdict

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /w HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /w HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


def look_at(*pieces: bytes) -> Verdict:
    """The first verdict that is not MORE, or MORE."""
    sniffer, buffer = Sniffer(), bytearray()
    for piece in pieces:
        buffer += piece
        if (verdict := sniffer.look(buffer)) is not Verdict.MORE:
            return verdict
    return Verdict.MORE


@pytest.mark.parametrize("whole", [GET, POST, CHUNKED])
def test_a_complete_request_is_ready_and_every_prefix_waits(whole: bytes) -> None:
    """N2."""
    assert look_at(whole) is Verdict.READY
    for cut in range(len(whole)):
        assert look_at(whole[:cut]) is Verdict.MORE, whole[:cut]


def test_http2_is_known_by_its_preface_and_not_earlier() -> None:
    assert look_at(HTTP2_PREFACE) is Verdict.HTTP2
    for cut in range(14):
        assert look_at(HTTP2_PREFACE[:cut]) is Verdict.MORE
    assert look_at(b"PRI * HTTP/1.1\r\n\r\n") is Verdict.READY
    assert look_at(b"PRINT / HTTP/1.1\r\n\r\n") is Verdict.READY


@given(st.sampled_from([GET, POST, CHUNKED, HTTP2_PREFACE]), st.lists(st.integers(0, 80), max_size=6))
def test_the_verdict_does_not_depend_on_the_pieces(whole: bytes, cuts: list[int]) -> None:
    """N1."""
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})

    pieces = [whole[start:end] for start, end in itertools.pairwise(edges)]

    assert look_at(*pieces) is look_at(whole)


@given(st.binary(max_size=300))
def test_any_bytes_get_a_verdict(junk: bytes) -> None:
    assert look_at(*(junk[at : at + 1] for at in range(len(junk)))) in Verdict


def test_a_long_body_is_handed_on_once_enough_of_it_is_there() -> None:
    """N2."""
    header = b"POST /w HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n"

    assert look_at(header, b"x" * (ENOUGH_BODY_BYTES - 1)) is Verdict.MORE
    assert look_at(header, b"x" * ENOUGH_BODY_BYTES) is Verdict.READY


def test_a_header_without_end_is_too_long_some_day() -> None:
    """N3."""
    assert look_at(b"GET / HTTP/1.1\r\n", b"X-A: b\r\n" * (LONGEST_HEADER_BYTES // 8)) is Verdict.TOO_LONG


def test_a_tls_handshake_is_known_by_its_first_byte() -> None:
    """N3."""
    assert look_at(b"\x16") is Verdict.TLS
    assert look_at(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03") is Verdict.TLS


@pytest.mark.parametrize("length", [b"-5", b"five", b"9" * 30, b""])
def test_a_length_that_is_none_is_left_to_the_parser(length: bytes) -> None:
    """N3."""
    assert look_at(b"POST / HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\n") is Verdict.READY


def test_an_expectation_is_answered_and_then_forgotten() -> None:
    sniffer = Sniffer()
    buffer = bytearray(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert sniffer.look(buffer) is Verdict.EXPECTS

    sniffer.drop_expectation(buffer)

    assert buffer == b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"
    assert sniffer.look(buffer) is Verdict.MORE
    buffer += b"hello"
    assert sniffer.look(buffer) is Verdict.READY


def test_a_body_that_came_along_makes_the_expectation_pointless() -> None:
    assert look_at(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi") is Verdict.READY

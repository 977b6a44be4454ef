"""What a connection's first bytes are, and when a request is worth a thread. No I/O.

N1  A verdict depends on the bytes, never on how they were cut into pieces.
N2  READY means that a thread will not wait for a slow client: the header is complete, and so is the body or its first 64 KiB.
N3  A header beyond its limit is TOO_LONG, and a TLS handshake is told from its first byte, or its client would wait for an
    answer to it. Nothing else is judged here, that is the parser's task.

Held by tests/unit/httpapi/test_sniff.py (N1-N3).
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HTTP2_LINE = 14  # no HTTP/1 request can begin with these bytes of the preface
TLS_HANDSHAKE = b"\x16"  # the first byte of one
LONGEST_HEADER_BYTES = 128 * 1024
ENOUGH_BODY_BYTES = 64 * 1024

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)


class Verdict(Enum):
    MORE = auto()
    READY = auto()
    HTTP2 = auto()
    EXPECTS = auto()  # the client waits for "100 Continue" before it sends the body
    TOO_LONG = auto()
    TLS = auto()


@dataclass(slots=True)
class Sniffer:
    """The state of one request on its way in; `restart` before the next one."""

    scanned: int = 0
    needed: int | None = None  # length of the buffer at which the request is ready, once the header is complete
    chunked: bool = False
    header_end: int = 0

    def restart(self) -> None:
        self.scanned, self.needed, self.chunked, self.header_end = 0, None, False, 0

    def look(self, buffer: bytearray) -> Verdict:
        if self.needed is None:
            if buffer.startswith(TLS_HANDSHAKE):
                return Verdict.TLS
            if HTTP2_PREFACE.startswith(buffer[:HTTP2_LINE]):
                return Verdict.HTTP2 if len(buffer) >= HTTP2_LINE else Verdict.MORE
            if not self._find_header(buffer):
                return Verdict.TOO_LONG if len(buffer) > LONGEST_HEADER_BYTES else Verdict.MORE
        assert self.needed is not None
        if len(buffer) >= self.needed or (self.chunked and len(buffer) > self.header_end and buffer.endswith(b"\r\n\r\n")):
            return Verdict.READY
        return Verdict.EXPECTS if _EXPECT.search(buffer, 0, self.header_end) else Verdict.MORE

    def _find_header(self, buffer: bytearray) -> bool:
        end = buffer.find(b"\r\n\r\n", max(0, self.scanned - 3))
        self.scanned = len(buffer)
        if end < 0:
            return False
        self.header_end = end + 4
        length = _CONTENT_LENGTH.search(buffer, 0, end + 2)
        self.chunked = _CHUNKED.search(buffer, 0, end + 2) is not None
        body = ENOUGH_BODY_BYTES if self.chunked else min(int(length[1]), ENOUGH_BODY_BYTES) if length else 0
        self.needed = self.header_end + body
        return True

    def drop_expectation(self, buffer: bytearray) -> None:
        """Take the Expect header out, once it has been answered."""
        found = _EXPECT.search(buffer, 0, self.header_end)
        if found:
            del buffer[found.start() : found.end()]
        self.restart()

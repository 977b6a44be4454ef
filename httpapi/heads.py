"""Heads of requests that need no parser: writes as client libraries send them, and nothing else. No I/O.

E1  What is taken means to gunicorn's parser what it means here: the same path, query, length and credential, no encoding of the
    body, and a connection that stays open. Whatever could mean anything else is left to that parser.

Held by tests/property/test_plain_heads.py (E1).
Elsewhere: where a head ends (sniff.py), what the query string means (routes/write.py).
"""

import re

from httpapi.bodies import Environ

_REQUEST = re.compile(
    rb"POST (/api/v3/write_lp|/api/v2/write|/write)\?([!\"$-~]+) HTTP/1\.1\r\n((?:[A-Za-z0-9-]+:[\t -~]*\r\n)+)\r\n"
)
_FIELD = re.compile(r"([A-Za-z0-9-]+):[ \t]*([\t -~]*?)[ \t]*\r\n")
_LONGEST_BYTES = 4096
_MOST_FIELDS = 50
_NEEDED = frozenset({"host", "content-length"})
_NOT_PLAIN = frozenset({"content-encoding", "transfer-encoding", "trailer", "expect", "upgrade"})
_SCHEMES = frozenset({"x-forwarded-protocol", "x-forwarded-proto", "x-forwarded-ssl"})  # two may contradict each other


def plain_write(buffer: bytearray, header_end: int) -> Environ | None:
    """What a request's head says, as far as a write asks; None for one that is not plain (E1)."""
    found = _REQUEST.fullmatch(buffer, 0, header_end) if header_end <= _LONGEST_BYTES else None
    if found is None:
        return None
    path, query_string, text = (part.decode("ascii") for part in found.groups())
    pairs = _FIELD.findall(text)
    fields = {name.lower(): value for name, value in pairs}
    names = fields.keys()
    if len(fields) < len(pairs) or len(pairs) > _MOST_FIELDS or not names >= _NEEDED or not names.isdisjoint(_NOT_PLAIN):
        return None
    length = fields["content-length"]
    if fields.get("connection", "keep-alive").lower() != "keep-alive" or not length.isdigit() or len(names & _SCHEMES) > 1:
        return None
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "QUERY_STRING": query_string, "CONTENT_LENGTH": length}
    if "authorization" in fields:
        environ["HTTP_AUTHORIZATION"] = fields["authorization"]
    return environ

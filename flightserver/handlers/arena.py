"""Memory shared with another process of this host: files in the hand-over directory that both sides map.

H1  A file is opened by a name of the agreed shape only, in that directory only, never through a link.
H2  It has no name any more once it is mapped: whoever dies then, nothing is left behind.
H3  What an earlier engine left is removed before the first call.

Held by tests/unit/flightserver/test_arena.py (H1-H3).
Elsewhere: who writes them and when (flightserver.client).
"""

import mmap
import os
import stat
from pathlib import Path

from catalog.errors import InvalidRequest, Unavailable
from flightserver import wire


class HandoverDirectory:
    def __init__(self, path: Path) -> None:
        self._path = path
        for left in path.iterdir():
            if wire.is_arena_name(left.name):
                left.unlink(missing_ok=True)

    def open_arena(self, name: str) -> memoryview:
        """The arena's bytes, all of them. The mapping lives as long as any view of it."""
        if not wire.is_arena_name(name):
            raise InvalidRequest("not an arena's name")
        path = self._path / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            raise Unavailable("no such arena", hint="open another") from None
        try:
            path.unlink(missing_ok=True)
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size != wire.ARENA_BYTES:
                raise InvalidRequest("not an arena")
            return memoryview(mmap.mmap(descriptor, wire.ARENA_BYTES, prot=mmap.PROT_READ))
        finally:
            os.close(descriptor)

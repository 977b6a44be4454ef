"""Bodies that another process on this host left in the hand-over directory.

H1  A file is opened by a name of the agreed shape only, in that directory only, never through a link.
H2  It has no name any more when its bytes are used: whatever happens then, nothing is left behind.
H3  What an earlier engine left is removed before the first call.

Held by tests/unit/flightserver/test_handover.py (H1-H3).
Elsewhere: who writes them and when (flightserver.client).
"""

import mmap
import os
import stat
from pathlib import Path

from catalog.errors import InvalidRequest, TooLarge
from flightserver import wire


class HandoverDirectory:
    def __init__(self, path: Path) -> None:
        self._path = path
        for left in path.iterdir():
            if wire.is_handover_name(left.name):
                left.unlink(missing_ok=True)

    def take(self, name: str, bytes_max: int) -> memoryview:
        """The bytes of a file, which is unlinked by then. They live as long as the view."""
        if not wire.is_handover_name(name):
            raise InvalidRequest("not a hand-over file's name")
        path = self._path / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise wire.HandoverMissing("no hand-over file of that name") from None
        try:
            path.unlink(missing_ok=True)
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise InvalidRequest("not a hand-over file")
            if found.st_size > bytes_max:
                raise TooLarge(f"the body has {found.st_size} bytes, the limit is {bytes_max}")
            if found.st_size == 0:
                return memoryview(b"")
            flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
            return memoryview(mmap.mmap(descriptor, found.st_size, flags=flags, prot=mmap.PROT_READ))
        finally:
            os.close(descriptor)

"""Files that hold a whole answer, or are not there.

I1  A file appears under its name when all of it has been written; what was there before stays until then.

Held by tests/integration/cli/test_query.py (I1).
"""

import os
import tempfile
from collections.abc import Iterable

from flightserver.cli.console import CommandError


def write_file(path: str, parts: Iterable[bytes]) -> None:
    """The whole answer under its name, or nothing."""
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # a device or a pipe has no name to be moved to
            with open(path, "wb") as stream:
                stream.writelines(parts)
            return
        directory = os.path.dirname(os.path.abspath(path))
        descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=".influxdb3-")
        try:
            with open(descriptor, "wb") as stream:
                stream.writelines(parts)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from None

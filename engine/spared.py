"""What libraries would import, and nothing here uses.

pyarrow imports numpy and pandas wherever they are installed: half of the time that an engine takes to start, and tens of
megabytes in each process. What starts as a process of its own says `spare` before it imports anything else; then they count as
not installed. A process that runs other people's code must not.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

MODULES = frozenset({"numpy", "pandas", "cloudpickle"})


class NotInstalled(MetaPathFinder):
    """(`None` in sys.modules would not do: compiled modules take that for the module.)"""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name in MODULES:
            raise ModuleNotFoundError(f"{name} is not used here", name=name)


def spare() -> None:
    if not any(isinstance(finder, NotInstalled) for finder in sys.meta_path):
        sys.meta_path.insert(0, NotInstalled())

"""Many objects at once, where a store is quicker at that than one after another.

G1  Afterwards each object is stored as put_new would have stored it. When one is not, the first error is raised; those beside
    it may be stored or not.

Held by tests/contract/test_object_store.py (G1).
"""

from collections.abc import Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from engine.storage.base import Data, ObjectStore

Objects: TypeAlias = Sequence[tuple[str, Data]]


@runtime_checkable
class StoresTogether(Protocol):
    """A store that has a way of its own."""

    def put_new_all(self, objects: Objects) -> None: ...


def put_new_all(store: ObjectStore, objects: Objects) -> None:
    if isinstance(store, StoresTogether):
        store.put_new_all(objects)
        return
    for path, data in objects:
        store.put_new(path, data)

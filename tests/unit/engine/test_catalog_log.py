"""The catalog's log in the object store, when objects are missing."""

import pytest

from catalog import changes
from catalog.catalog import Catalog
from catalog.errors import Damaged
from engine.catalog_log import StoredCatalogLog
from engine.paths import CatalogPaths
from engine.storage.base import Listing
from engine.storage.memory import MemoryStore
from tests.helpers.engine import ManualClock

PATHS = CatalogPaths("n")


def opened(store: MemoryStore) -> Catalog:
    return Catalog.open(StoredCatalogLog(store, PATHS), clock=ManualClock())


def grown(store: MemoryStore, databases: int) -> Catalog:
    catalog = opened(store)
    for number in range(databases):
        name = f"db{number}"
        catalog.commit(lambda state, name=name: changes.create_database(state, name))  # type: ignore[misc]
    return catalog


@pytest.mark.parametrize("missing", [1, 3, 5])
def test_a_missing_commit_stops_the_start_by_name(missing: int) -> None:
    """L2: and nothing is committed in its place."""
    store = MemoryStore()
    grown(store, 5)
    store.delete(PATHS.log(missing))
    before = [info.path for info in store.list("")]

    with pytest.raises(Damaged, match=f"{PATHS.log(missing)} is missing"):
        opened(store)

    assert [info.path for info in store.list("")] == before


def test_commits_that_a_checkpoint_covers_may_be_missing() -> None:
    """L2."""
    store = MemoryStore()
    catalog = grown(store, 5)
    catalog.write_checkpoint()
    catalog.commit(lambda state: changes.create_database(state, "last"))
    for sequence in range(1, 7):
        store.delete(PATHS.log(sequence))

    assert opened(store).state() == catalog.state()


def test_a_commit_that_another_node_makes_while_we_look_is_not_missing() -> None:
    """L2."""

    class Racing(MemoryStore):
        def list(self, prefix: str) -> Listing:
            if other is not None:
                other.commit(lambda state: changes.create_database(state, "theirs"))
                other.commit(lambda state: changes.create_database(state, "theirs-too"))
            return super().list(prefix)

    other: Catalog | None = None
    store = Racing()
    other = grown(store, 2)

    catalog = opened(store)
    catalog.refresh()

    assert catalog.state() == other.state()


def test_the_store_is_listed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """L2: a commit does not cost what the log has grown to."""
    store = MemoryStore()
    catalog = grown(store, 3)
    monkeypatch.setattr(store, "list", lambda _: pytest.fail("listed"))

    catalog.refresh()
    catalog.commit(lambda state: changes.create_database(state, "another"))

    assert catalog.state().find_database("another") is not None

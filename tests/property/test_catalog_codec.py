"""What comes back from the bytes, for any names and numbers, and for bytes that something has changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.apply import apply_all
from catalog.codec import Batch, decode_batch, decode_checkpoint, encode_batch, encode_checkpoint
from catalog.errors import Damaged, ServiceError
from catalog.ids import DatabaseId, NodeNumber, TableId
from catalog.ops import (
    AddFields,
    AddTags,
    CreateDatabase,
    CreateTable,
    DropDatabase,
    DropTable,
    FoundCluster,
    Op,
    RegisterNode,
    RemoveDatabase,
    RemoveTable,
    SetRetention,
    SetTableRetention,
    StopNode,
)
from catalog.persistent import PersistentMap
from catalog.schema import Database, FieldType, Table
from catalog.state import EMPTY, CatalogState, Node
from tests.helpers.catalog_states import EVERY_OP

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
times = st.integers(-(2**63), 2**63 - 1)
maybe_times = st.none() | times
numbers = st.integers(0, 2**32)
database_ids, table_ids = numbers.map(DatabaseId), numbers.map(TableId)
tags = st.lists(texts, max_size=5).map(tuple)
fields = st.lists(st.tuples(texts, st.sampled_from(FieldType)), max_size=5).map(tuple)

ops: st.SearchStrategy[Op] = st.one_of(
    st.builds(FoundCluster, texts),
    st.builds(RegisterNode, texts, texts, tags, numbers, times, st.none() | texts),
    st.builds(StopNode, texts, times),
    st.builds(CreateDatabase, database_ids, texts, maybe_times),
    st.builds(CreateTable, database_ids, table_ids, texts, tags, fields, maybe_times),
    st.builds(AddFields, database_ids, table_ids, fields),
    st.builds(AddTags, database_ids, table_ids, tags),
    st.builds(SetRetention, database_ids, maybe_times),
    st.builds(SetTableRetention, database_ids, table_ids, maybe_times),
    st.builds(DropDatabase, database_ids, texts, times, maybe_times),
    st.builds(DropTable, database_ids, table_ids, texts, times, maybe_times),
    st.builds(RemoveDatabase, database_ids),
    st.builds(RemoveTable, database_ids, table_ids),
)

columns = st.dictionaries(texts, st.sampled_from("@tfiusb"), max_size=6)


@st.composite
def tables(draw: st.DrawFn, id: TableId) -> Table:
    kinds = draw(columns)
    return Table(
        id,
        draw(texts),
        tuple(kinds),
        "".join(kinds.values()),
        draw(maybe_times),
        draw(maybe_times),
        draw(maybe_times),
    )


@st.composite
def databases(draw: st.DrawFn, id: DatabaseId) -> Database:
    found = {id: draw(tables(id)) for id in draw(st.sets(table_ids, max_size=4))}
    found = {table.id: table for table in {table.name: table for table in found.values()}.values()}
    return Database(
        id,
        draw(texts),
        draw(maybe_times),
        draw(maybe_times),
        draw(maybe_times),
        draw(table_ids),
        sum(table.deleted for table in found.values()),
        PersistentMap(found),
        PersistentMap({table.name: table.id for table in found.values()}),
    )


@st.composite
def states(draw: st.DrawFn) -> CatalogState:
    found = {id: draw(databases(id)) for id in draw(st.sets(database_ids, max_size=4))}
    found = {database.id: database for database in {database.name: database for database in found.values()}.values()}
    nodes = draw(
        st.lists(
            st.builds(Node, numbers.map(NodeNumber), texts, texts, tags, numbers, texts, times, st.none() | texts), max_size=3
        )
    )
    return CatalogState(
        draw(numbers),
        draw(texts),
        draw(database_ids),
        NodeNumber(draw(numbers)),
        PersistentMap(found),
        PersistentMap({database.name: database.id for database in found.values()}),
        PersistentMap({node.node_id: node for node in nodes}),
    )


@given(st.builds(Batch, numbers, texts, times, st.lists(ops, max_size=8).map(tuple)))
def test_a_batch_is_read_as_it_was_written(batch: Batch) -> None:
    """F1."""
    assert decode_batch(encode_batch(batch), "batch") == batch


@given(states())
def test_a_checkpoint_is_read_as_it_was_written(state: CatalogState) -> None:
    """F1."""
    assert decode_checkpoint(encode_checkpoint(state), "checkpoint") == state


STORED_BATCH = encode_batch(Batch(7, "nonce", 1, EVERY_OP))
STORED_CHECKPOINT = encode_checkpoint(apply_all(EVERY_OP, EMPTY))


@given(st.data(), st.booleans())
def test_any_changed_byte_is_noticed(data: st.DataObject, batch: bool) -> None:
    """F1."""
    stored = bytearray(STORED_BATCH if batch else STORED_CHECKPOINT)
    stored[data.draw(st.integers(0, len(stored) - 1))] ^= data.draw(st.integers(1, 255))

    with pytest.raises(Damaged, match="the object"):
        decode_batch(bytes(stored), "the object") if batch else decode_checkpoint(bytes(stored), "the object")


@given(st.data(), st.booleans())
def test_any_missing_end_is_noticed(data: st.DataObject, batch: bool) -> None:
    """F1."""
    stored = STORED_BATCH if batch else STORED_CHECKPOINT
    stored = stored[: data.draw(st.integers(0, len(stored) - 1))]

    with pytest.raises(Damaged, match="the object"):
        decode_batch(stored, "the object") if batch else decode_checkpoint(stored, "the object")


@given(st.binary(max_size=200), st.sampled_from([b"", b"FLCB", b"FLCC"]))
def test_any_bytes_at_all_are_refused_with_an_error_of_ours(junk: bytes, start: bytes) -> None:
    """F1."""
    for decode in (decode_batch, decode_checkpoint):
        with pytest.raises(ServiceError):
            decode(start + junk, "the object")

"""Catalog files as versions of the past wrote them: each stays readable for ever (F4).

A new format version adds its files here and changes none.
"""

from pathlib import Path

import pytest

from catalog.apply import apply_all
from catalog.codec import decode_batch, decode_checkpoint
from catalog.schema import FieldType
from catalog.state import EMPTY
from tests.helpers.catalog_states import FIRST_OPS, TOKEN_OPS

FILES = Path(__file__).parent / "catalog"


@pytest.mark.parametrize("version", [1])
def test_a_stored_batch_of_every_kind_of_op_is_readable(version: int) -> None:
    """F4, O2."""
    batch = decode_batch((FILES / f"batch-{version}.bin").read_bytes(), "batch")

    assert (batch.sequence, batch.time_ns) == (1, 1_700_000_000_000_000_000)
    assert batch.ops == FIRST_OPS
    assert apply_all(batch.ops, EMPTY).node("node0").state == "stopped"


def test_a_stored_batch_of_token_ops_is_readable() -> None:
    """F4, O2."""
    batch = decode_batch((FILES / "batch-1-tokens.bin").read_bytes(), "batch")

    assert batch.ops == TOKEN_OPS


def test_a_stored_checkpoint_with_tokens_is_readable() -> None:
    """F4."""
    tokens = decode_checkpoint((FILES / "checkpoint-1-tokens.bin").read_bytes(), "checkpoint").tokens

    assert tokens == apply_all(TOKEN_OPS, EMPTY).tokens
    assert (tokens.next_id, [token.name for token in tokens.all]) == (3, ["_admin", "reader"])


@pytest.mark.parametrize("version", [1])
def test_a_stored_checkpoint_is_readable(version: int) -> None:
    """F4."""
    state = decode_checkpoint((FILES / f"checkpoint-{version}.bin").read_bytes(), "checkpoint")

    assert (state.sequence, state.uuid) == (42, "5e0c9a86-3a0e-4b8e-9d0b-0d6f3a1f7c11")
    assert [database.name for database in state.databases] == ["_internal", "db", "other/rp-20240101T000000"]
    database = state.database("db")
    assert (database.retention_ns, database.next_table_id, database.live_table_count) == (2_592_000_000_000_000, 3, 1)
    table = database.table("mém ory\n")
    assert table.fields == {member.name: member for member in FieldType}
    assert table.retention_ns == 3_600_000_000_000
    gone = database.table("cpu-20240101T000001")
    assert (gone.tags, gone.hard_delete_at_ns) == (("host",), 1_704_326_401_000_000_000)
    assert state.node("node0").cli_params == '{"data_dir":"/data"}'

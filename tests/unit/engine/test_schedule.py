"""When a snapshot is due."""

from engine.persist.schedule import Figures, due
from engine.settings import Settings

MIB = 1 << 20
SETTINGS = Settings("n", force_snapshot_mem_bytes=1024 * MIB, buffer_mem_limit_bytes=2048 * MIB)


def test_nothing_is_due_while_nothing_waits() -> None:
    """D1."""
    assert due(Figures(0, 1e9, 1 << 60), SETTINGS) is None


def test_size_age_and_memory_each_make_it_due() -> None:
    """D1."""
    assert due(Figures(MIB, 1, 0), SETTINGS) is None
    assert due(Figures(256 * MIB, 1, 0), SETTINGS) == "size"
    assert due(Figures(MIB, 600, 0), SETTINGS) == "age"
    assert due(Figures(16 * MIB, 1, 1024 * MIB), SETTINGS) == "memory"


def test_memory_that_rows_do_not_take_makes_nothing_due() -> None:
    """D1: a snapshot would not help."""
    assert due(Figures(MIB, 1, 1 << 40), SETTINGS) is None


def test_a_small_budget_makes_snapshots_smaller() -> None:
    """D1, D2: what waits stays far from the limit at which writes are refused."""
    small = Settings("n", buffer_mem_limit_bytes=64 * MIB)

    assert due(Figures(16 * MIB, 1, 0), small) == "size"

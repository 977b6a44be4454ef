"""Object paths: what is built is read back, and names sort as numbers do."""

from engine.paths import CatalogPaths, NodePaths, number_of


def test_names_sort_like_their_numbers() -> None:
    """P1."""
    paths = NodePaths("n")
    for name in (paths.wal, paths.manifest, paths.file_index, CatalogPaths("n").log):
        assert sorted(name(number) for number in (1000, 9, 10, 1)) == [name(number) for number in (1, 9, 10, 1000)]


def test_a_number_is_read_back_from_its_path() -> None:
    """P2."""
    paths = NodePaths("n")
    for name in (paths.wal, paths.manifest, paths.file_index, CatalogPaths("n").log):
        assert number_of(name(12345)) == 12345


def test_a_file_lies_under_its_window() -> None:
    """P1."""
    paths = NodePaths("n")

    assert paths.parquet(1, 2, 1_735_043_400_000_000_000, 7, 3, "ab") == "n/dbs/1/2/2024-12-24/12-30-0000000007-003-ab.parquet"
    assert paths.parquet(1, 2, -(2**63), 7, 0, "ab").startswith("n/dbs/1/2/1677-09-21/")

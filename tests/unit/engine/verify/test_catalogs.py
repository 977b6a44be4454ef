"""Is a catalog whole?"""

import shutil

from tests.unit.engine.verify.conftest import Damaged

CHECKPOINT = "n/catalog/checkpoint"


def commit(number: int) -> str:
    return f"n/catalog/log/{number:020}.catalog"


def test_a_whole_catalog_is_described(store: Damaged) -> None:
    """A1, A2."""
    report = store.report()

    assert report.findings == ()
    assert [(catalog.prefix, catalog.commits, catalog.checkpoint_sequence) for catalog in report.catalogs] == [("n", 5, 5)]
    assert report.catalogs[0].nodes == ("n",)
    assert CHECKPOINT in report.sound
    assert commit(3) in report.sound


def test_a_changed_or_shortened_commit_is_named(store: Damaged) -> None:
    """A1."""
    store.flip(commit(2), 40)
    store.cut(commit(3))

    assert store.found() == [("damaged", commit(2)), ("damaged", commit(3))]


def test_a_commit_that_is_missing_in_the_middle_is_named(store: Damaged) -> None:
    """A1."""
    store.delete(commit(3))

    findings = store.report().findings

    assert [finding.about for finding in findings] == [("missing", commit(3))]
    assert findings[0].message == "later commits of the catalog are there"


def test_the_last_commits_are_missed_where_the_checkpoint_has_them(store: Damaged) -> None:
    """A1."""
    store.delete(commit(5))

    assert store.found() == [("missing", commit(5))]


def test_a_commit_under_another_ones_name_is_named(store: Damaged) -> None:
    """A1."""
    shutil.copy(store.root / commit(2), store.root / commit(3))

    findings = store.report().findings

    assert [(finding.object, finding.message) for finding in findings] == [(commit(3), "it holds commit 2")]


def test_a_changed_checkpoint_is_named_and_the_catalog_read_without_it(store: Damaged) -> None:
    """A2."""
    store.flip(CHECKPOINT, 60)

    report = store.report()

    assert [finding.about for finding in report.findings] == [("damaged", CHECKPOINT)]
    assert "move it away" in report.findings[0].next_step
    assert report.catalogs[0].databases == 2


def test_a_checkpoint_of_another_catalog_is_named(store: Damaged, filled_otherwise: Damaged) -> None:
    """A2."""
    shutil.copy(filled_otherwise.root / CHECKPOINT, store.root / CHECKPOINT)

    findings = store.report().findings

    assert [finding.about for finding in findings] == [("damaged", CHECKPOINT)]


def test_what_is_no_part_of_a_catalog_is_an_orphan(store: Damaged) -> None:
    stray = store.add("n/catalog/log/notes.txt")

    assert store.found() == [("orphan", stray)]

"""The reference is what the code declares."""

from pathlib import Path

import pytest

from scripts.reference_pages import PAGES, Undescribed, pages, sentence_of

ROOT = Path(__file__).parents[2]


def test_the_stored_pages_are_those_that_the_declarations_make() -> None:
    """R1."""
    wanted = pages()

    stored = {path.name: path.read_text() for path in PAGES.glob("*.md")}

    stale = sorted(name for name in wanted.keys() | stored.keys() if wanted.get(name) != stored.get(name))
    assert not stale, f"run scripts/reference and commit docs/reference: {stale}"


def test_what_has_no_sentence_is_named() -> None:
    """R2."""

    def undescribed() -> None: ...

    def described() -> None:
        """What it is,
        in two lines.

        More.
        """

    assert sentence_of(described) == "What it is, in two lines."
    with pytest.raises(Undescribed, match=r"test_reference.py: .*undescribed has no docstring"):
        sentence_of(undescribed)

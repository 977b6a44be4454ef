"""Every document does what it says: its blocks are run against a real server, and what they print is compared.

How a document is read: tests/helpers/documents.py.
"""

import re
from pathlib import Path

import pytest

from tests.helpers.documents import ROOT, Reader, agrees, blocks_of

DOCUMENTS = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
#: blocks that no test runs, with their reasons in the documents: a number that should be small, and grow only on purpose
NOT_RUN = 12


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_what_a_document_shows_is_what_happens(path: Path, tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    try:
        for played in reader.play(path.read_text()):
            assert played.true, (
                f"{name_of(path)}:{played.block.line}: exit status {played.status}, wanted {played.wanted_status}\n"
                f"--- the document shows\n{played.shown}--- printed\n{played.printed}"
            )
    finally:
        reader.stop()


def test_the_blocks_that_nobody_runs_are_counted_and_say_why() -> None:
    skipped = [
        (name_of(path), block.line, block.value)
        for path in DOCUMENTS
        for block in blocks_of(path.read_text())
        if block.mark == "not run"
    ]

    assert all(reason for _path, _line, reason in skipped), skipped
    assert len(skipped) == NOT_RUN, skipped


def test_every_document_is_reached_from_the_list_of_documents() -> None:
    listed = (ROOT / "docs" / "README.md").read_text()

    missing = [
        path.relative_to(ROOT / "docs").as_posix()
        for path in sorted((ROOT / "docs").rglob("*.md"))
        if path != ROOT / "docs" / "README.md" and f"({path.relative_to(ROOT / 'docs').as_posix()})" not in listed
    ]

    assert not missing


@pytest.mark.parametrize("path", sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]), ids=name_of)
def test_links_within_the_tree_lead_somewhere(path: Path) -> None:
    broken = []
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", path.read_text()):
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and anchor not in anchors(there.read_text())):
            broken.append(target)

    assert not broken


def anchors(text: str) -> set[str]:
    """As GitHub makes them from headings."""
    outside_code = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.+?) *$", outside_code, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


DOCUMENT = """\
# A document

<!-- file: greeting -->
```text
hello
```

```bash
name=$(cat greeting)
```

It stays:

```bash
echo "$name, port 8181"
```

```output
hello, port 8181
```

```python
print("one"); print(2)
```

```output
one
…
```

<!-- exits: 3 -->
```bash
echo no >&2; exit 3
```

```output
n…
```

<!-- not run: nobody can -->
```bash
rm -rf /
```
"""


def test_a_document_is_played_from_its_first_block_to_its_last(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    reader.serve = lambda command: None  # type: ignore[method-assign]  # these blocks ask no server anything

    played = list(reader.play(DOCUMENT))

    assert [(each.true, each.block.language) for each in played] == [
        (True, "bash"),
        (True, "bash"),
        (True, "python"),
        (True, "bash"),
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [("hello, port", "good day, port"), ("one\n…", "two\n…"), ("exits: 3", "exits: 1"), ('print("one")', 'print("ones")')],
)
def test_a_document_that_is_wrong_is_noticed(tmp_path: Path, before: str, after: str) -> None:
    assert DOCUMENT.count(before) == 1
    reader = Reader(tmp_path)
    reader.serve = lambda command: None  # type: ignore[method-assign]  # these blocks ask no server anything

    played = list(reader.play(DOCUMENT.replace(before, after)))

    assert [each.true for each in played].count(False) == 1


@pytest.mark.parametrize(
    ("shown", "printed", "wanted"),
    [
        ("a\n", "a\n", True),
        ("a\n", "a  \n\n", True),
        ("a\n", "b\n", False),
        ("a\n", "a\nb\n", False),
        ("a … c\n", "a b c\n", True),
        ("a … c\n", "a\nc\n", False),
        ("a\n…\nz\n", "a\nz\n", True),
        ("a\n…\nz\n", "a\nb\nc\nz\n", True),
        ("a\n…\nz\n", "a\nb\nc\n", False),
        ("", "", True),
        ("", "a\n", False),
    ],
)
def test_printed_lines_agree_but_for_what_may_differ(shown: str, printed: str, wanted: bool) -> None:
    assert agrees(shown, printed) is wanted


def test_what_health_may_say_is_what_the_code_says() -> None:
    """Each sentence of the table, part by part between its `…`, stands in the engine's sources."""
    section = (ROOT / "docs" / "operating.md").read_text().partition("## What `/health` may say")[2].partition("\n## ")[0]
    sources = "\n".join(path.read_text() for path in sorted((ROOT / "engine").rglob("*.py")))
    sentences = [
        sentence for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for sentence in re.findall("`(.*?)`", row)
    ]

    unknown = [
        part
        for sentence in sentences
        for part in (each.strip() for each in sentence.split("…"))
        if part and part not in sources
    ]

    assert len(sentences) >= 10
    assert not unknown

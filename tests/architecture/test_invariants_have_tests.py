"""Every invariant that a module header states is cited by the tests that the header names."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TAG = re.compile(r"^([A-Z]\d+)  \S", re.MULTILINE)
HELD = re.compile(r"^Held by (.*?)(?:\n\n|\nElsewhere|\Z)", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"tests/[\w/.]+")
SOURCES = sorted(
    path for package in ("catalog", "engine", "flightserver", "httpapi") for path in (ROOT / package).rglob("*.py")
)


def header(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def cited(text: str) -> set[str]:
    """Tags in a text, with ranges spelled out: "B1, B3-B5"."""
    found = set(re.findall(r"\b[A-Z]\d+\b", text))
    for letter, first, last in re.findall(r"\b([A-Z])(\d+)-\1(\d+)\b", text):
        found |= {f"{letter}{number}" for number in range(int(first), int(last) + 1)}
    return found


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if TAG.search(header(path))], ids=lambda path: str(path.relative_to(ROOT))
)
def test_each_stated_invariant_is_cited_where_the_header_says(path: Path) -> None:
    text = header(path)
    held = HELD.search(text)
    assert held, "the header states invariants and does not say which tests hold them"
    places = [ROOT / name.rstrip(".") for name in FILE.findall(held.group(1))]
    missing = [str(place.relative_to(ROOT)) for place in places if not place.exists()]
    assert not missing, f"named in the header and not there: {missing}"
    files = [file for place in places for file in (sorted(place.rglob("*.py")) if place.is_dir() else [place])]
    there = set().union(*(cited(file.read_text()) for file in files))
    assert set(TAG.findall(text)) <= there, f"no test cites {sorted(set(TAG.findall(text)) - there)}"

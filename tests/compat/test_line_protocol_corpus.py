"""Line protocol cases recorded from InfluxDB 3's own tests, at the level of the parser. Kept outside of this repository."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.native_lines import Store
from tests.helpers.reference_lines import Options, Row

ROOT = Path(__file__).parents[2]
PLACES = [parent / "shared" / "conformance" / "line_protocol.jsonl" for parent in ROOT.parents]
CORPUS = next((place for place in PLACES if place.exists()), PLACES[0])
NOW_NS = 1_700_000_000_123_456_789

#: cases where our rules differ on purpose, by id, with the reason
DIFFERENCES: dict[str, str] = {}


def cases() -> list[Any]:
    if not CORPUS.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"no corpus at {CORPUS}"))]
    found = [json.loads(line) for line in CORPUS.read_text().splitlines()]
    return [pytest.param(case, id=case["id"]) for case in found if case["id"] not in DIFFERENCES]


def expanded(text: str) -> str:
    """`{{repeat:x:n}}` stands for n times x."""
    return re.sub(r"\{\{repeat:(.):(\d+)\}\}", lambda found: found[1] * int(found[2]), text)


def row(parsed: dict[str, Any]) -> tuple[str, Row]:
    fields = {expanded(name): _value(kind, value) for name, kind, value in parsed["fields"]}
    tags = {expanded(name): expanded(value) for name, value in parsed["tags"]}
    return expanded(parsed["measurement"]), Row(tags, NOW_NS if parsed["timestamp"] is None else parsed["timestamp"], fields)


def _value(kind: str, value: Any) -> float | int | str | bool:
    if kind == "f":
        return float(value)
    return expanded(value) if kind == "s" else value


@pytest.mark.parametrize("case", cases())
@pytest.mark.parametrize("tail", ["", "\n" * 120], ids=["", "with-tail"])
def test_a_recorded_case_comes_out_as_recorded(case: dict[str, Any], tail: str) -> None:
    lines = [line for line in case["lines"] if not line.get("server")]
    good = [row(line["parsed"]) for line in lines if line["ok"]]

    outcome = Store().write((expanded(case["lp"]) + tail).encode(), Options(now_ns=NOW_NS))

    assert [message for _, message, _ in outcome.errors][: len(lines) - len(good)] == [
        line["error"] for line in lines if not line["ok"]
    ]
    assert outcome.lines == len(case["lines"])
    assert {name: table.rows for name, table in outcome.tables.items()} == {
        name: [each for measurement, each in good if measurement == name] for name, _ in good
    }

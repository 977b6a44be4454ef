"""What a client knows of its rows while servers die under it: what is stored for certain, and what may be.

L1  A field of a row has the value that was last acknowledged. After a write whose fate is unknown it has that one or the
    attempted one, and the row is not written again: a lost request may still be carried out behind a later one.
L2  A row that nobody tried to write does not exist, and no row exists twice.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Key: TypeAlias = tuple[str | None, str | None, int]
Value: TypeAlias = float | int | str | bool


@dataclass
class Row:
    stored: dict[str, Value] = field(default_factory=dict)
    perhaps: dict[str, Value] = field(default_factory=dict)

    def problems(self, found: Mapping[str, Value]) -> Iterable[str]:
        for name in self.stored.keys() | self.perhaps.keys() | found.keys():
            allowed = [known[name] for known in (self.stored, self.perhaps) if name in known]
            if name not in self.stored:
                allowed.append(None)  # type: ignore[arg-type]
            if found.get(name) not in allowed:
                yield f"{name} is {found.get(name)!r}, expected {' or '.join(map(repr, allowed))}"


class Ledger:
    """The rows of one table that one client writes."""

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self._recent: deque[Key] = deque(maxlen=400)

    @property
    def recent(self) -> list[Key]:
        """Keys that were acknowledged of late and are in no doubt."""
        return [key for key in self._recent if not self.rows[key].perhaps]

    def acknowledged(self, points: Iterable[tuple[Key, Mapping[str, Value]]]) -> None:
        for key, fields in points:
            self.rows.setdefault(key, Row()).stored.update(fields)
            self._recent.append(key)

    def unknown(self, points: Iterable[tuple[Key, Mapping[str, Value]]]) -> None:
        for key, fields in points:
            self.rows.setdefault(key, Row()).perhaps.update(fields)

    def problems(self, found: Iterable[Mapping[str, Any]]) -> list[str]:
        """What contradicts L1 and L2 in rows with `host`, `zone` and `ns`."""
        problems: list[str] = []
        seen: set[Key] = set()
        for row in found:
            key = row.get("host"), row.get("zone"), int(row["ns"])
            values = {name: value for name, value in row.items() if name not in ("host", "zone", "ns") and value is not None}
            if key in seen:
                problems.append(f"{key} is there twice")
            seen.add(key)
            known = self.rows.get(key)
            if known is None:
                problems.append(f"{key} is there, and nobody wrote it: {values}")
            else:
                problems += [f"{key}: {problem}" for problem in known.problems(values)]
        lost = [key for key, row in self.rows.items() if row.stored and key not in seen]
        return problems + [f"{key} was acknowledged and is gone: {self.rows[key].stored}" for key in lost]

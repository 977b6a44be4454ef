"""Rows as a table that fits a terminal. Pure.

Y1  No line is wider than the terminal: wide cells are cut with an ellipsis, and columns that find no room are named below.
    Empty ones give way first.
Y2  A table of any length is printed page by page; only one page is held.
Y3  A cell cannot control the terminal: control characters are shown as symbols.

Held by tests/unit/flightserver/cli/test_tables.py (Y1-Y3).
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

PAGE_ROWS = 1000
COLUMN_MIN = 8
_SYMBOLS = {code: chr(0x2400 + code) for code in range(32)} | {0x7F: "␡"} | dict.fromkeys(range(128, 160), "·")


def fitted(header: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> Iterator[str]:
    """Lines, without their ends."""
    if not header:  # nobody knows the columns of no rows
        yield "(no rows)"
        return
    rows = iter(rows)
    page = [list(map(_shown, row)) for row in islice(rows, PAGE_ROWS)]
    titles = [_shown(title) for title in header]
    wanted = [max(map(_width, cells)) for cells in zip(titles, *page, strict=True)]
    empty = [bool(page) and not any(row[place] for row in page) for place in range(len(titles))]
    places = _places(wanted, empty, width)
    widths = dict(zip(places, _shrunk([wanted[place] for place in places], width), strict=True))
    border = "+" + "+".join("-" * (widths[place] + 2) for place in places) + "+"
    yield from (border, _line(titles, widths), border)
    shown = 0
    while page:
        shown += len(page)
        yield from (_line(row, widths) for row in page)
        page = [list(map(_shown, row)) for row in islice(rows, PAGE_ROWS)]
    if shown:
        yield border
    left_out = [title for place, title in enumerate(titles) if place not in widths]
    if left_out:
        yield _cut(f"(--full shows {_count(left_out)} more: {', '.join(left_out)})", width).rstrip()


def _count(columns: Sequence[str]) -> str:
    return f"{len(columns)} column{'' if len(columns) == 1 else 's'}"


def _places(wanted: Sequence[int], empty: Sequence[bool], width: int) -> list[int]:
    """Which columns are shown: all if they fit, else those that are not empty, else the first of these."""
    places = list(range(len(wanted)))
    if sum(found + 3 for found in wanted) + 1 > width and not all(empty):
        places = [place for place in places if not empty[place]]
    while len(places) > 1 and sum(min(wanted[place], COLUMN_MIN) + 3 for place in places) + 1 > width:
        places.pop()
    return places


def _shrunk(wanted: Sequence[int], width: int) -> list[int]:
    """Widths that fit together: the widest give way."""
    room = max(width - 1 - 3 * len(wanted), 1)
    widths = list(wanted)
    while (surplus := sum(widths) - room) > 0 and max(widths) > 1:
        widest = max(widths)
        following = max((found for found in widths if found < widest), default=1)
        many = widths.count(widest)
        lower = max(following, widest - -(-surplus // many), 1)
        widths = [min(found, lower) for found in widths]
    cut = [place for place, found in enumerate(widths) if found < wanted[place]]
    for place in cut[: max(room - sum(widths), 0)]:
        widths[place] += 1
    return widths


def _line(cells: Sequence[str], widths: Mapping[int, int]) -> str:
    return "|" + "|".join(f" {_cut(cells[place], width)} " for place, width in widths.items()) + "|"


def _cut(text: str, width: int) -> str:
    """Exactly `width` columns."""
    found = _width(text)
    if found <= width:
        return text + " " * (width - found)
    kept, used = [], 0
    for character in text:
        used += _width(character)
        if used > width - 1:
            break
        kept.append(character)
    cut = "".join(kept) + "…"
    return cut + " " * (width - _width(cut))


def _shown(text: str) -> str:
    return text.replace("\n", "↵").translate(_SYMBOLS)


def _width(text: str) -> int:
    """Columns of a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)

"""Rows as a table that fits a terminal. Pure.

Y1  No line is wider than the terminal: wide cells are cut with an ellipsis, and columns that find no room are named below.
Y2  A table of any length is printed page by page; only one page is held.
Y3  A cell cannot control the terminal: control characters are shown as symbols.

Held by tests/unit/flightserver/cli/test_tables.py (Y1-Y3).
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

PAGE_ROWS = 1000
COLUMN_MIN = 6
_SYMBOLS = {code: chr(0x2400 + code) for code in range(32)} | {0x7F: "␡"} | dict.fromkeys(range(128, 160), "·")


def fitted(header: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> Iterator[str]:
    """Lines, without their ends. Where nobody knows the columns of no rows, the empty table that the server prints."""
    if not header:
        yield from ("++", "++")
        return
    rows = iter(rows)
    page = [list(map(_shown, row)) for row in islice(rows, PAGE_ROWS)]
    titles = [_shown(title) for title in header]
    widths = _fit([max(map(_width, cells)) for cells in zip(titles, *page, strict=True)], width)
    places = [number for number, found in enumerate(widths) if found]
    border = "+" + "+".join("-" * (widths[place] + 2) for place in places) + "+"
    yield from (border, _line(titles, places, widths), border)
    shown = 0
    while page:
        shown += len(page)
        yield from (_line(row, places, widths) for row in page)
        page = [list(map(_shown, row)) for row in islice(rows, PAGE_ROWS)]
    if shown:
        yield border
    left_out = [title for title, found in zip(titles, widths, strict=True) if not found]
    if left_out:
        yield _cut(f"({len(left_out)} columns find no room: {', '.join(left_out)}; use --full)", width).rstrip()


def _fit(widths: list[int], width: int) -> list[int]:
    """Widths that fit together; zero for a column that is left out."""
    kept = len(widths)
    while kept > 1 and sum(min(found, COLUMN_MIN) + 3 for found in widths[:kept]) + 1 > width:
        kept -= 1
    room = max(width - 1 - 3 * kept, 1)
    fitted_widths = widths[:kept]
    while (surplus := sum(fitted_widths) - room) > 0 and max(fitted_widths) > 1:
        widest = max(fitted_widths)
        following = max((found for found in fitted_widths if found < widest), default=1)
        many = fitted_widths.count(widest)
        lower = max(following, widest - -(-surplus // many), 1)
        fitted_widths = [min(found, lower) for found in fitted_widths]
    cut = [place for place in range(kept) if fitted_widths[place] < widths[place]]
    for place in cut[: max(room - sum(fitted_widths), 0)]:
        fitted_widths[place] += 1
    return fitted_widths + [0] * (len(widths) - kept)


def _line(cells: Sequence[str], places: Sequence[int], widths: Sequence[int]) -> str:
    return "|" + "|".join(f" {_cut(cells[place], widths[place])} " for place in places) + "|"


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

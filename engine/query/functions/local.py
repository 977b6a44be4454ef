"""Functions that others say: each call's own span is replaced by an expression of functions that DataFusion has.

    selector_first(v, t)      first_value(v ORDER BY t) FILTER (WHERE v and t are there), as a struct or as the part asked for
    difference(v) OVER w      v - lag(v) IGNORE NULLS OVER w
    tz(t, zone)               a cast
    approx_distinct(x)        that of how x is spelled: DataFusion counts neither tags nor floats
    to_timestamp(x)           to_timestamp_nanos(x)
    influx_regex_match(s, p)  regexp_like(s, p')
    date_bin_wallclock(…)     t moved by what wallclock.py says

L1  Only the span of a call changes; a statement without such a call is not touched at all.
L2  A selector's parts come from one and the same row.
L3  A call that can not be right is refused with the sentence that InfluxDB 3 has for it.

Held by tests/unit/engine/query/test_local_functions.py (L1-L3).
Elsewhere: the columns' names afterwards (names.py); gap filling (gapfill.py).
"""

import re
from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.query.functions.tokens import Tokens, quoted_string, string_value
from engine.query.functions.wallclock import SHIFT
from engine.query.messages import planning

#: what a call's name may be for this module to have work; a statement is searched for them before anything else happens
NAMES = (
    *("selector_first", "selector_last", "selector_min", "selector_max"),
    *("difference", "non_negative_difference", "derivative", "non_negative_derivative"),
    *("tz", "to_timestamp", "influx_regex_match", "influx_regex_not_match", "date_bin_wallclock", "sleep"),
    "approx_distinct",
)
_ORDERS = {
    "selector_first": "({time}) ASC",
    "selector_last": "({time}) DESC",
    "selector_min": "({value}) ASC, ({time}) ASC",
    "selector_max": "({value}) DESC, ({time}) ASC",
}
_EPOCH = "TIMESTAMP '1970-01-01T00:00:00'"
_OFFSET = re.compile(r"[+-]\d\d(?::?\d\d)?")
_NEEDS_NO_ESCAPE = re.compile(r"[^\w\s\\.+*?()|\[\]{}^$#&\-~]")

IntervalOf = Callable[[str], tuple[int, int, int] | None]
"""Months, days and nanoseconds of a constant interval; None for what is none."""


class LocalFunctions:
    """One statement being rewritten. `text_of` says what a parameter holds that a function needs to know before planning."""

    def __init__(self, tokens: Tokens, text_of: Callable[[str], str | None], interval_of: IntervalOf) -> None:
        self._tokens = tokens
        self._text_of = text_of
        self._interval_of = interval_of
        self.used: set[str] = set()

    def rewritten(self) -> str:
        tokens = self._tokens
        if not len(tokens):
            return tokens.text
        return tokens.text[: tokens[0].start] + self._render(0, len(tokens)) + tokens.text[tokens[-1].end :]

    def _render(self, start: int, stop: int) -> str:
        tokens = self._tokens
        if start >= stop:
            return ""
        pieces: list[str] = []
        position, index = tokens[start].start, start
        while index < stop:
            handler = _HANDLERS.get(tokens[index].name) if tokens.is_call(index) else None
            if handler is None:
                index += 1
                continue
            pieces.append(tokens.text[position : tokens[index].start])
            self.used.add(tokens[index].name)
            replacement, index = handler(self, index)
            pieces.append(replacement)
            position = tokens[index - 1].end
        return "".join(pieces) + tokens.text[position : tokens[stop - 1].end]

    def _arguments(self, index: int) -> list[str]:
        return [self._render(start, stop) for start, stop in self._tokens.arguments(index)]

    def _selector(self, index: int) -> tuple[str, int]:
        tokens, name = self._tokens, self._tokens[index].name
        arguments = self._arguments(index)
        if len(arguments) < 2:
            raise planning(f"{name} requires at least 2 arguments, got {len(arguments)}")
        value, time, *others = arguments
        parts = {"value": value, "time": time} | {f"other_{number}": other for number, other in enumerate(others, start=1)}
        after, condition = tokens.over(index + 1), ""
        if tokens.says(after, "filter", "(", "where"):
            end = tokens.over(after + 1)
            condition, after = f"({self._render(after + 3, end - 1)}) AND ", end
        if tokens.says(after, "over"):
            raise planning(f"{name} is an aggregate: it can not have an OVER clause")
        picked = None
        if tokens.says(after, "[") and tokens.says(after + 2, "]") and not others:
            picked = parts.get(string_value(tokens[after + 1]) or "")
            after = after if picked is None else after + 3
        struct = ", ".join(f"{quoted_string(part)}, {argument}" for part, argument in parts.items())
        order = _ORDERS[name].format(value=value, time=time)
        what = f"named_struct({struct})" if picked is None else picked
        there = f"({value}) IS NOT NULL AND ({time}) IS NOT NULL"
        return f"first_value({what} ORDER BY {order}) FILTER (WHERE {condition}{there})", after

    def _tz(self, index: int) -> tuple[str, int]:
        tokens = self._tokens
        spans, arguments = tokens.arguments(index), self._arguments(index)
        if len(arguments) not in (1, 2):
            raise planning(f"tz expects 1 or 2 arguments, got {len(arguments)}")
        zone, casts = "UTC", ["UTC", "UTC", "UTC"]
        if len(arguments) == 2:
            is_open = tokens[spans[1][0]].kind == "param"
            zone = self._text(*spans[1]) or ("UTC" if is_open else "")
            casts = ["UTC", zone]
        if not _is_zone(zone):
            raise planning(f'TZ requires a valid timezone string, got "{zone}"')
        what = arguments[0]
        for cast in casts:
            what = f"arrow_cast({what}, {quoted_string(_zoned(cast))})"
        return what, tokens.over(index + 1)

    def _to_timestamp(self, index: int) -> tuple[str, int]:
        """DataFusion takes an integer for seconds, InfluxDB for nanoseconds; of texts both think the same."""
        tokens, name = self._tokens, self._tokens.source(index, index + 1)
        spans = tokens.arguments(index)
        if not spans or len(spans) > 1 or tokens[spans[0][0]].kind == "string":
            return name, index + 1
        return f"to_timestamp_nanos({self._render(*spans[0])})", tokens.over(index + 1)

    def _approx_distinct(self, index: int) -> tuple[str, int]:
        tokens, name = self._tokens, self._tokens.source(index, index + 1)
        spans = tokens.arguments(index)
        if len(spans) != 1 or tokens.says(spans[0][0], "distinct"):
            return name, index + 1
        return f"{name}(CAST({self._render(*spans[0])} AS VARCHAR))", tokens.over(index + 1)

    def _regex(self, index: int) -> tuple[str, int]:
        tokens, name = self._tokens, self._tokens[index].name
        spans = tokens.arguments(index)
        if len(spans) != 2:
            raise planning(f"{name} expects 2 arguments, got {len(spans)}")
        value, pattern = self._arguments(index)
        start, stop = spans[1]
        text = string_value(tokens[start]) if stop == start + 1 else None
        if text is not None:
            pattern = quoted_string(without_needless_escapes(text))
        negated = "NOT " if name == "influx_regex_not_match" else ""
        return f"({negated}regexp_like({value}, {pattern}))", tokens.over(index + 1)

    def _wallclock(self, index: int) -> tuple[str, int]:
        tokens, name = self._tokens, self._tokens[index].name
        arguments = self._arguments(index)
        if len(arguments) not in (2, 3):
            raise planning(f"{name.upper()} expects 2 or 3 arguments, got {len(arguments)}")
        return wallclock_bin(*arguments), tokens.over(index + 1)

    def _sleep(self, index: int) -> tuple[str, int]:
        tokens = self._tokens
        spans = tokens.arguments(index)
        if len(spans) != 1:
            raise planning(f"sleep expects 1 argument, got {len(spans)}")
        start, stop = spans[0]
        seconds = self._render(start, stop)
        durations = any(tokens.says(at, "interval") or "duration" in tokens[at].name.lower() for at in range(start, stop))
        return f"sleep(extract(epoch FROM {seconds}))" if durations else f"sleep({seconds})", tokens.over(index + 1)

    def _difference(self, index: int) -> tuple[str, int]:
        name = self._tokens[index].name
        arguments, over, after = self._window(index, (1,), "expects 1 argument")
        change = f"({arguments[0]}) - lag({arguments[0]}) IGNORE NULLS {over}"
        if name == "difference":
            return f"({change})", after
        return f"(CASE WHEN {change} < 0 THEN NULL ELSE {change} END)", after

    def _derivative(self, index: int) -> tuple[str, int]:
        name = self._tokens[index].name
        arguments, over, after = self._window(index, (2, 3), "expects 2 or 3 arguments")
        value, time = f"({arguments[0]})", f"CAST({arguments[1]} AS BIGINT)"
        unit = self._unit_ns(name, arguments[2]) if len(arguments) == 3 else 1_000_000_000
        rise = f"CAST({value} AS DOUBLE) - CAST(lag({value}) IGNORE NULLS {over} AS DOUBLE)"
        run = f"CAST({time} - lag(CASE WHEN {value} IS NOT NULL THEN {time} END) IGNORE NULLS {over} AS DOUBLE)"
        slope = f"({rise}) / ({run} / {unit}.0)"
        if name == "derivative":
            return f"({slope})", after
        return f"(CASE WHEN {slope} < 0 THEN NULL ELSE {slope} END)", after

    def _window(self, index: int, counts: tuple[int, ...], expects: str) -> tuple[list[str], str, int]:
        tokens, name = self._tokens, self._tokens[index].name
        arguments, after = self._arguments(index), tokens.over(index + 1)
        if len(arguments) not in counts:
            raise planning(f"{name} {expects}, got {len(arguments)}")
        if not tokens.says(after, "over"):
            raise planning(f"{name} is a window function: it needs an OVER clause")
        end = tokens.over(after + 1)
        return arguments, f"OVER {self._render(after + 1, end)}", end

    def _unit_ns(self, name: str, text: str) -> int:
        interval = self._interval_of(text)
        if interval is None:
            raise planning(f"{name} unit parameter must be a non-null literal interval")
        months, days, nanoseconds = interval
        if months or days:
            raise planning(f"{name} unit parameter cannot contain months or days")
        if nanoseconds <= 0:
            raise planning(f"{name} unit parameter must be positive")
        return nanoseconds

    def _text(self, start: int, stop: int) -> str:
        """What a constant string says, or the parameter that stands for it; else the source, which is then no such thing."""
        tokens = self._tokens
        if stop == start + 1:
            token = tokens[start]
            text = self._text_of(token.name) if token.kind == "param" else string_value(token)
            if text is not None:
                return text
        return tokens.source(start, stop)


def wallclock_bin(interval: str, time: str, origin: str = _EPOCH) -> str:
    """The start of the bin by the wall clock of the time's own zone."""
    return f"(({time}) + {SHIFT}({interval}, CAST({time} AS BIGINT), arrow_typeof({time}), {origin}))"


def without_needless_escapes(pattern: str) -> str:
    r"""A pattern as Go writes it, `\:` and all, for a regular expression engine that insists on none."""
    return re.sub(
        r"\\(.)", lambda found: found[1] if _NEEDS_NO_ESCAPE.fullmatch(found[1]) else found[0], pattern, flags=re.DOTALL
    )


def _zoned(zone: str) -> str:
    return f'Timestamp(Nanosecond, Some("{zone}"))'


def _is_zone(name: str) -> bool:
    if _OFFSET.fullmatch(name):
        return True
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


_HANDLERS: Mapping[str, Callable[[LocalFunctions, int], tuple[str, int]]] = {
    **dict.fromkeys(_ORDERS, LocalFunctions._selector),
    "tz": LocalFunctions._tz,
    "to_timestamp": LocalFunctions._to_timestamp,
    "influx_regex_match": LocalFunctions._regex,
    "influx_regex_not_match": LocalFunctions._regex,
    "date_bin_wallclock": LocalFunctions._wallclock,
    "sleep": LocalFunctions._sleep,
    "approx_distinct": LocalFunctions._approx_distinct,
    "difference": LocalFunctions._difference,
    "non_negative_difference": LocalFunctions._difference,
    "derivative": LocalFunctions._derivative,
    "non_negative_derivative": LocalFunctions._derivative,
}

"""Columns without an alias are named after what was asked for, not after what was planned in its stead.

C1  The name of an expression that local.py replaced reads as if DataFusion knew the function that was called.

Held by tests/unit/engine/query/test_column_names.py (C1).
"""

import re
from collections.abc import Callable, Iterable
from functools import partial

from engine.query.functions.wallclock import SHIFT

_OVER = (
    r"(?:PARTITION BY \[.*?\] )?(?:ORDER BY \[.*?\] )?"
    r"(?:ROWS|RANGE|GROUPS) BETWEEN .*? AND (?:CURRENT ROW|UNBOUNDED FOLLOWING|.*? FOLLOWING|.*? PRECEDING)"
)
_LAG = rf"(?P<v>.+?) - lag\((?P=v)\) IGNORE NULLS (?P<o>{_OVER})"
_SLOPE = (
    rf"{_LAG} / (?P<t>.+?) - lag\(CASE WHEN (?P=v) IS NOT NULL THEN (?P=t) END\) IGNORE NULLS (?P=o)"
    r" / Float64\((?P<unit>\d+)\)"
)
_SELECTED = (
    r"first_value\((?P<what>.+?)\) FILTER \(WHERE (?:(?P<f>.+?) AND )?(?P<v>.+?) IS NOT NULL AND (?P<t>.+?) IS NOT NULL\)"
)
_ORDERS = {
    "selector_first": r"(?P=t) ASC NULLS LAST",
    "selector_last": r"(?P=t) DESC NULLS FIRST",
    "selector_min": r"(?P=v) ASC NULLS LAST, (?P=t) ASC NULLS LAST",
    "selector_max": r"(?P=v) DESC NULLS FIRST, (?P=t) ASC NULLS LAST",
}
_EPOCH = 'Utf8("1970-01-01T00:00:00")'
#: a second argument; within conditions and orders a blank stands before it
_ZONED = r', ?Utf8\("Timestamp\(Nanosecond, Some\("{}"\)\)"\)'
_UTC = _ZONED.format("UTC")
#: names longer than this are left as they are: matching them would cost more than they are worth
_LONGEST = 4000

Replacement = str | Callable[[re.Match[str]], str]
Rule = tuple[re.Pattern[str], Replacement]


def restored(names: Iterable[str], used: Iterable[str]) -> list[str]:
    """The names of columns after the functions in `used` were replaced."""
    rules = [rule for function in _RULES if function in set(used) for rule in _RULES[function]]
    return [_restored(name, rules) for name in names]


def bins(name: str, function: str) -> str:
    """The name of a gap-filling call, from that of the call which makes its bins."""
    plain = function.removesuffix("_gapfill")
    return re.sub(rf"^{plain}\(", f"{function}(", restored([name], ["tz", plain])[0])


def moment(now_ns: int) -> str:
    """`now()` as an instant that all parts of a statement share."""
    return f"arrow_cast({now_ns}, 'Timestamp(Nanosecond, None)')"


def _restored(name: str, rules: list[Rule]) -> str:
    if len(name) > _LONGEST:
        return name
    previous = ""
    while name != previous:
        previous = name
        for pattern, replacement in rules:
            name = pattern.sub(replacement, name)
    return name


def _selector(function: str, found: re.Match[str]) -> str:
    what, value, time = found["what"], found["v"], found["t"]
    struct = f'named_struct(Utf8("value"),{value},Utf8("time"),{time}'
    others, part = "", ""
    if what.startswith(struct):
        others = re.sub(r',Utf8\("other_\d+"\),', ",", what[len(struct) : -1])
    elif what in (value, time):
        part = "[value]" if what == value else "[time]"
    else:
        return found[0]
    condition = f" FILTER (WHERE {found['f']})" if found["f"] else ""
    return f"{function}({value},{time}{others}){condition}{part}"


def _derivative(function: str, found: re.Match[str]) -> str:
    unit = int(found["unit"])
    interval = f"IntervalMonthDayNano {{ months: 0, days: 0, nanoseconds: {unit} }}"
    third = "" if unit == 1_000_000_000 else f',IntervalMonthDayNano("{interval}")'
    return f"{function}({found['v']},{found['t']}{third}) {found['o']}"


def _rule(pattern: str, replacement: Replacement) -> Rule:
    return re.compile(pattern), replacement


_NEGATIVE = r"CASE WHEN (?P<change>{0}) < Int64\(0\) THEN NULL ELSE (?P=change) END"

_RULES: dict[str, list[Rule]] = {
    "now": [_rule(r'arrow_cast\(Int64\(\d+\),Utf8\("Timestamp\(Nanosecond, None\)"\)\)', "now()")],
    "to_timestamp": [_rule(r"\bto_timestamp_nanos\(", "to_timestamp(")],
    "tz": [
        _rule(rf"arrow_cast\(arrow_cast\(arrow_cast\((?P<t>.+?){_UTC}\){_UTC}\){_UTC}\)", r"tz(\g<t>)"),
        _rule(
            rf"arrow_cast\(arrow_cast\((?P<t>.+?){_UTC}\){_ZONED.format('(?P<zone>[^()]+?)')}\)",
            r'tz(\g<t>,Utf8("\g<zone>"))',
        ),
    ],
    "influx_regex_not_match": [_rule(r"NOT regexp_like\(", "influx_regex_not_match(")],
    "influx_regex_match": [_rule(r"\bregexp_like\(", "influx_regex_match(")],
    "date_bin_wallclock": [
        _rule(
            rf"(?P<t>.+?) \+ {SHIFT}\((?P<i>.+?),(?P=t),arrow_typeof\((?P=t)\),(?P<o>Utf8\(\".*?\"\)|.+?)\)",
            lambda found: (
                f"date_bin_wallclock({found['i']},{found['t']}" + ("" if found["o"] == _EPOCH else f",{found['o']}") + ")"
            ),
        )
    ],
    **{
        function: [_rule(rf"{_SELECTED} ORDER BY \[{order}\]", partial(_selector, function))]
        for function, order in _ORDERS.items()
    },
    "non_negative_derivative": [_rule(_NEGATIVE.format(_SLOPE), partial(_derivative, "non_negative_derivative"))],
    "non_negative_difference": [_rule(_NEGATIVE.format(_LAG), r"non_negative_difference(\g<v>) \g<o>")],
    "derivative": [_rule(_SLOPE, partial(_derivative, "derivative"))],
    "difference": [_rule(_LAG, r"difference(\g<v>) \g<o>")],
}

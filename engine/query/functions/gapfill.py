"""Gap filling: a SELECT whose GROUP BY has date_bin_gapfill becomes two statements with the filling in between.

    SELECT host, date_bin_gapfill('1m', time) AS t, locf(avg(x)) FROM cpu WHERE … GROUP BY host, t HAVING … ORDER BY t

    rows    SELECT date_bin('1m', time) AS __k0, host AS __k1, avg(x) AS __a0 FROM cpu WHERE … GROUP BY 1, 2 ORDER BY 2, 1
    filled  one row for each series and bin (fill.py), as the table flightline.gapfill_1
    rest    SELECT __k1 AS "host", __k0 AS t, __f0 AS "locf(avg(cpu.x))" FROM flightline.gapfill_1 WHERE … ORDER BY t

The rest stands where the SELECT stood: in a sub-query, a common table expression, an arm of a union. Only tokens are moved;
names are resolved, types found and mistakes seen by DataFusion.

G1  The rest means over the filled rows what the statement means over its groups: aggregates and grouping expressions are
    replaced, each by the column that holds it, and nothing else is.
G2  What gap filling can not mean is refused with the sentence that InfluxDB 3 has for it.
G3  A part is planned before anything runs.

Held by tests/unit/engine/query/test_gapfill.py (G1-G3).
Elsewhere: the range (bounds.py), the filling (fill.py).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from datafusion import DataFrame
from datafusion.plan import LogicalPlan

from engine.query.functions import names
from engine.query.functions.bounds import cover_of
from engine.query.functions.clauses import Item, Select, Span, arm_around, queries_around, select, visible
from engine.query.functions.fill import Bins, How, Output, filled
from engine.query.functions.late import LateTable
from engine.query.functions.local import wallclock_bin
from engine.query.functions.tokens import Tokens, quoted_name
from engine.query.messages import QueryRefused, not_implemented, planning
from engine.query.stop import Stop

BINS = ("date_bin_gapfill", "date_bin_wallclock_gapfill")
FILLS = ("locf", "interpolate")
NAMES = (*BINS, *FILLS)
SCHEMA = "flightline"
#: what an aggregate of no rows is, where that is not null
_EMPTY = {"count": 0, "approx_distinct": 0, "regr_count": 0}

_COLUMN = re.compile(rf"(?:(?:public\.)?(?:{SCHEMA}\.)?gapfill_\d+\.)?(__gap\d+_[akf]\d+)\b")

Plan = Callable[[str], DataFrame]
Register = Callable[[str, LateTable], None]
"""Makes a table known under a name of the schema `flightline`."""


@dataclass(frozen=True, slots=True)
class GapFill:
    """One step: its plan makes the rows, `fill` makes the table of them that later plans read.

    `shadow` is the same SELECT without filling: when the rest can not be planned, its plan says why in words of the statement.
    """

    name: str
    text: str
    shadow: str
    frame: DataFrame
    table: LateTable
    bins: Bins
    keys: int
    outputs: tuple[Output, ...]
    written: LogicalPlan

    def fill(self, batches: Iterable[pa.RecordBatch]) -> None:
        rows = pa.Table.from_batches(list(batches), self.frame.schema())
        self.table.rows = lambda: filled(rows, self.bins, self.keys, self.outputs, self.table.schema)


@dataclass(slots=True)
class Split:
    """A statement in parts: the steps to run in order, the text of the rest, what its columns stand for."""

    text: str
    steps: list[GapFill] = field(default_factory=list)
    displays: dict[str, str] = field(default_factory=dict)


class GapFilling:
    """`plan` plans a text, `optimized` takes its plan as far as conditions have come down to their tables."""

    def __init__(
        self,
        plan: Plan,
        optimized: Callable[[DataFrame, str], DataFrame],
        register: Register,
        aggregates: Iterable[str],
        stop: Stop,
    ) -> None:
        self._stop = stop
        self._plan = plan
        self._optimized = optimized
        self._register = register
        self._aggregates = frozenset(aggregates)

    def split(self, text: str) -> Split:
        split = Split(text)
        while (tokens := Tokens(split.text)) and (calls := _calls(tokens, BINS, (0, len(tokens)))):
            query, index = _innermost(tokens, calls)
            self._cut(tokens, arm_around(tokens, query, index), split)
        for index in _calls(tokens, FILLS, (0, len(tokens))):
            raise _misplaced(tokens[index].name)
        return split

    def _cut(self, tokens: Tokens, span: Span, split: Split) -> None:
        chosen = select(tokens, span)
        number = len(split.steps) + 1
        scope = visible(tokens, span[0])
        groups = self._groups(tokens, chosen, scope)
        bins = _bins_of(tokens, chosen, groups)
        others = [group for group in groups if not _same(tokens, group, bins)]
        rest = _Rest(tokens, chosen, number, [bins, *others], self._aggregates)
        text = rest.text()
        rows = rest.rows_text(scope)
        written = self._plan(rows)
        step = self._step(rest, rows, scope + rest.shadow(), written, tokens[bins[0]].name)
        split.displays |= dict(zip(rest.sources, _displays(written), strict=True))
        split.displays[rest.bins] = names.bins(split.displays[rest.bins], tokens[bins[0]].name)
        split.displays |= {name: f"{how}({split.displays[source]})" for (how, source), name in rest.fills.items()}
        split.steps.append(step)
        split.text = tokens.text[: tokens[span[0]].start] + text + tokens.text[tokens[span[1] - 1].end :]

    def _step(self, rest: "_Rest", text: str, shadow: str, written: DataFrame, function: str) -> GapFill:
        frame = self._optimized(written, text)
        schema = frame.schema()
        cover = cover_of(frame.logical_plan(), function.upper())
        zone = schema.field(0).type.tz
        bins = Bins.of(cover, zone, by_wallclock=function == "date_bin_wallclock_gapfill")
        outputs, fields = [], []
        for number, name in enumerate(rest.sources):
            empty = rest.empties.get(name)
            outputs.append(Output(name, number, empty=empty))
            kept = schema.field(number).with_name(name)
            fields.append(kept if empty is not None else kept.with_nullable(True))
        for (how, source), name in rest.fills.items():
            number = list(rest.sources).index(source)
            outputs.append(Output(name, number, how))
            fields.append(pa.field(name, schema.field(number).type))
            if how == "interpolate":
                _check_interpolated(schema.field(number).type)
        table = LateTable(pa.schema(fields), self._stop)
        self._register(rest.table, table)
        return GapFill(rest.table, text, shadow, frame, table, bins, rest.keys - 1, tuple(outputs), written.logical_plan())

    def _groups(self, tokens: Tokens, chosen: Select, scope: str) -> list[Span]:
        """The grouping expressions, with ordinals and aliases replaced by what they stand for."""
        if "group" not in chosen.clauses:
            return []
        start, stop = chosen.clauses["group"]
        columns: frozenset[str] | None = None
        groups: list[Span] = []
        for span in (_without_brackets(tokens, each) for each in tokens.split(start + 2, stop)):
            first = tokens[span[0]]
            single = span[1] - span[0] == 1
            if first.kind == "word" and first.name in ("rollup", "cube", "grouping"):
                raise not_implemented("gap filling over grouping sets")
            if single and tokens.says(span[0], "all"):
                groups += [item.span for item in chosen.items if not self._has_aggregate(tokens, item.span)]
            elif single and first.kind == "number" and first.name.isdigit() and 0 < int(first.name) <= len(chosen.items):
                groups.append(chosen.items[int(first.name) - 1].span)
            elif single and tokens.is_name(span[0]) and any(item.name == first.name for item in chosen.items):
                if columns is None:
                    columns = self._columns(tokens, chosen, scope)
                aliased = next(item.span for item in chosen.items if item.name == first.name)
                groups.append(span if first.name in columns else aliased)
            else:
                groups.append(span)
        return groups

    def _columns(self, tokens: Tokens, chosen: Select, scope: str) -> frozenset[str]:
        """The columns that a SELECT reads from: a grouping name means one of them before it means an alias."""
        if "from" not in chosen.clauses:
            return frozenset()
        return frozenset(self._plan(f"{scope}SELECT * {tokens.source(*chosen.clauses['from'])}").schema().names)

    def _has_aggregate(self, tokens: Tokens, span: Span) -> bool:
        return any(not _call_end(tokens, index)[1] for index in _calls(tokens, self._aggregates, span))


class _Rest:
    """The SELECT over the filled rows, and the columns that it asks them for."""

    def __init__(self, tokens: Tokens, chosen: Select, number: int, groups: Sequence[Span], aggregates: frozenset[str]) -> None:
        self._tokens = tokens
        self._select = chosen
        self._prefix = f"__gap{number}_"
        self._aggregates = aggregates
        self._groups = [(_units(tokens, group), f"{self._prefix}k{place}") for place, group in enumerate(groups)]
        self._aliases = {item.name: item.span for item in chosen.items if item.name is not None}
        self.table = f"gapfill_{number}"
        self.keys = len(groups)
        #: column of the filled rows: the text of what it holds
        self.sources = {name: tokens.source(*group) for (_, name), group in zip(self._groups, groups, strict=True)}
        self.bins = f"{self._prefix}k0"
        self.sources[self.bins] = _bin_text(tokens, groups[0][0])
        self.empties: dict[str, int] = {}
        self.fills: dict[tuple[How, str], str] = {}
        self._known: dict[tuple[str, ...], str] = {}

    def text(self) -> str:
        tokens, clauses = self._tokens, self._select.clauses
        quantifier = self._render(self._select.quantifier) if self._select.quantifier[0] < self._select.quantifier[1] else ""
        items = ", ".join(self._item(item) for item in self._select.items)
        parts = [f"SELECT {quantifier} {items} FROM {SCHEMA}.{self.table}"]
        if "having" in clauses:
            start, stop = clauses["having"]
            parts.append(f"WHERE {self._render((start + 1, stop), named=True)}")
        parts += [self._render(clauses[word], named=word == "qualify") for word in ("window", "qualify") if word in clauses]
        if "order" in clauses:
            parts.append(self._render(clauses["order"], ordered=True))
        parts += [tokens.source(*clauses[word]) for word in ("limit", "offset", "fetch") if word in clauses]
        return " ".join(parts)

    def rows_text(self, scope: str) -> str:
        """The statement that makes the rows. The bins come first: a grouping key that is constant may be planned away."""
        tokens, clauses = self._tokens, self._select.clauses
        columns = ", ".join(f"{text} AS {name}" for name, text in self.sources.items())
        below = " ".join(tokens.source(*clauses[word]) for word in ("from", "where") if word in clauses)
        numbers = [str(number) for number in range(1, self.keys + 1)]
        order = ", ".join([*numbers[1:], "1"])
        return f"{scope}SELECT {columns} {below} GROUP BY {', '.join(numbers)} ORDER BY {order}"

    def shadow(self) -> str:
        tokens = self._tokens
        pieces: list[str] = []
        start, stop = self._select.span
        position, index = tokens[start].start, start
        while index < stop:
            name = tokens[index].name
            if tokens.is_call(index) and name in NAMES:
                end = tokens.over(index + 1) if name == "date_bin_wallclock_gapfill" else index + 1
                new = {"date_bin_gapfill": "date_bin", "date_bin_wallclock_gapfill": ""}.get(name, "")
                pieces += [
                    tokens.text[position : tokens[index].start],
                    new or (_bin_text(tokens, index) if name in BINS else ""),
                ]
                position, index = tokens[end - 1].end, end
            else:
                index += 1
        return "".join(pieces) + tokens.text[position : tokens[stop - 1].end]

    def _item(self, item: Item) -> str:
        text = self._render(item.span)
        if item.alias is not None:
            return f"{text} AS {item.alias}"
        units = _units(self._tokens, item.span)
        if len(units) == 1 and isinstance(units[0], tuple):
            return f"{text} AS {quoted_name(units[0][-1])}"
        return text

    def _render(self, span: Span, *, ordered: bool = False, named: bool = False) -> str:
        """The text of a span with the columns of the filled rows in their places (G1).

        In ORDER BY an alias is the item's column (`ordered`); in conditions it stands for the item (`named`).
        """
        tokens = self._tokens
        start, stop = span
        pieces: list[str] = []
        position, index = tokens[start].start, start
        while index < stop:
            found = self._column_at(index, span, ordered=ordered, named=named)
            if found is None:
                index = (
                    tokens.over(index) if tokens.says(index, "(", "select") or tokens.says(index, "(", "with") else index + 1
                )
                continue
            column, end = found
            pieces += [tokens.text[position : tokens[index].start], column]
            position, index = tokens[end - 1].end, end
        return "".join(pieces) + tokens.text[position : tokens[stop - 1].end]

    def _column_at(self, index: int, span: Span, *, ordered: bool, named: bool) -> tuple[str, int] | None:
        tokens = self._tokens
        if tokens.is_call(index):
            if tokens[index].name in FILLS:
                return self._fill(index), tokens.over(index + 1)
            end, windowed = _call_end(tokens, index)
            if tokens[index].name in self._aggregates and not windowed:
                return self._aggregate((index, end)), end
        alias = self._aliases.get(tokens[index].name) if _is_bare_name(tokens, index) else None
        if alias is not None and ordered:
            return tokens.source(index, index + 1), index + 1
        for units, column in self._groups:
            matched = _matched(tokens, index, span, units)
            if matched is not None:
                return column, matched
        if alias is not None and named and alias != span:
            return f"({self._render(alias)})", index + 1
        return None

    def _aggregate(self, span: Span) -> str:
        for index in _calls(self._tokens, FILLS, span):
            raise _misplaced(self._tokens[index].name)
        return self._source(span, "a", _EMPTY.get(self._tokens[span[0]].name))

    def _source(self, span: Span, kind: str, empty: int | None = None) -> str:
        tokens = self._tokens
        words = tuple(token.name for token in tokens.all[slice(*span)])
        if words not in self._known:
            name = self._known[words] = f"{self._prefix}{kind}{len(self.sources)}"
            self.sources[name] = tokens.source(*span)
            if empty is not None:
                self.empties[name] = empty
        return self._known[words]

    def _fill(self, index: int) -> str:
        tokens = self._tokens
        how: How = "locf" if tokens[index].name == "locf" else "interpolate"
        arguments = tokens.arguments(index)
        if len(arguments) != 1:
            raise planning(f"{how} expects 1 argument, got {len(arguments)}")
        span = arguments[0]
        if _calls(tokens, FILLS, span):
            raise not_implemented("multiple fill strategies for the same column")
        aggregates = [at for at in _calls(tokens, self._aggregates, span) if not _call_end(tokens, at)[1]]
        if not aggregates:
            raise planning(f"{how} must be called on an aggregate column in a gap-filling query")
        whole = aggregates[0] == span[0] and _call_end(tokens, span[0])[0] == span[1]
        source = self._aggregate(span) if whole else self._source(span, "a")
        if any(other != how and filled == source for other, filled in self.fills):
            raise not_implemented("multiple fill strategies for the same column")
        return self.fills.setdefault((how, source), f"{self._prefix}f{len(self.fills)}")


Unit = str | tuple[str, ...]
"""A token, or a column with what stands before its name."""


def _calls(tokens: Tokens, names: Iterable[str], span: Span) -> list[int]:
    wanted = frozenset(names)
    return [at for at in range(*span) if tokens[at].name in wanted and tokens.is_call(at)]


def _misplaced(fill: str) -> QueryRefused:
    return planning(f"{fill} may only be used in the SELECT list of a gap-filling query")


def _innermost(tokens: Tokens, calls: Sequence[int]) -> tuple[Span, int]:
    """The first query that has such a call and in which no other such query lies."""
    queries = {queries_around(tokens, index)[-1]: index for index in reversed(calls)}
    leaves = [
        query
        for query in queries
        if not any(other != query and query[0] <= other[0] and other[1] <= query[1] for other in queries)
    ]
    chosen = min(leaves)
    return chosen, queries[chosen]


def _bins_of(tokens: Tokens, chosen: Select, groups: Sequence[Span]) -> Span:
    """The grouping expression that makes the bins (G2)."""
    calls = _calls(tokens, BINS, chosen.span)
    function = tokens[calls[0]].name
    found = [span for span in groups if tokens[span[0]].name in BINS and tokens.is_call(span[0])]
    whole = [span for span in found if tokens.over(span[0] + 1) == span[1]]
    nested = [span for span in groups if span not in whole and _calls(tokens, BINS, span)]
    if nested:
        raise planning(
            f"{function.upper()} must be a top-level expression in the GROUP BY clause when gap filling. "
            "It cannot be part of another expression or cast"
        )
    if not whole:
        raise planning(f"{function} may only be used as a GROUP BY expression")
    bins = whole[0]
    if any(not _same(tokens, span, bins) for span in whole):
        raise planning(f"{function.upper()} specified more than once")
    for index in calls:
        if not _same(tokens, (index, tokens.over(index + 1)), bins):
            raise planning(f"{tokens[index].name} may only be used as a GROUP BY expression")
    arguments = tokens.arguments(bins[0])
    if len(arguments) not in (2, 3):
        raise planning(f"{function.upper()} expects 2 or 3 arguments, got {len(arguments)}")
    return bins


def _bin_text(tokens: Tokens, index: int) -> str:
    arguments = [tokens.source(*span) for span in tokens.arguments(index)]
    return (
        wallclock_bin(*arguments) if tokens[index].name == "date_bin_wallclock_gapfill" else f"date_bin({', '.join(arguments)})"
    )


def _call_end(tokens: Tokens, index: int) -> tuple[int, bool]:
    """Where a call ends, with what belongs to it; and whether it is one over a window."""
    end = tokens.over(index + 1)
    while True:
        if tokens.says(end, "within", "group", "("):
            end = tokens.over(end + 2)
        elif tokens.says(end, "ignore", "nulls") or tokens.says(end, "respect", "nulls"):
            end += 2
        elif tokens.says(end, "filter", "("):
            end = tokens.over(end + 1)
        else:
            return end, tokens.says(end, "over")


def _without_brackets(tokens: Tokens, span: Span) -> Span:
    start, stop = span
    while tokens.says(start, "(") and tokens.close[start] == stop - 1 and len(tokens.split(start + 1, stop - 1)) == 1:
        start, stop = start + 1, stop - 1
    return start, stop


def _units(tokens: Tokens, span: Span) -> list[Unit]:
    units: list[Unit] = []
    index, stop = span
    while index < stop:
        unit, index = _unit(tokens, index, stop)
        units.append(unit)
    return units


def _unit(tokens: Tokens, index: int, stop: int) -> tuple[Unit, int]:
    if not tokens.is_name(index) or tokens.is_call(index):
        return tokens[index].name, index + 1
    names = [tokens[index].name]
    index += 1
    while index + 1 < stop and tokens.says(index, ".") and tokens.is_name(index + 1):
        names.append(tokens[index + 1].name)
        index += 2
    return tuple(names), index


def _alike(one: Unit, other: Unit) -> bool:
    """The same token, or the same column with more or less before its name."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    shorter = min(len(one), len(other))
    return one[-shorter:] == other[-shorter:]


def _matched(tokens: Tokens, index: int, span: Span, units: Sequence[Unit]) -> int | None:
    """Where a grouping expression that stands at `index` ends. One made of several parts must stand alone: `a + 1` is no
    part of `2 * a + 1`."""
    if tokens.says(index - 1, ".") or tokens.says(index - 1, ":") or tokens.says(index - 1, "::"):
        return None
    at = index
    for unit in units:
        if at >= span[1]:
            return None
        found, at = _unit(tokens, at, span[1])
        if not _alike(found, unit):
            return None
    if (
        len(units) > 1
        and not (tokens.is_call(index) and tokens.over(index + 1) == at)
        and not _stands_alone(tokens, index, at, span)
    ):
        return None
    return at


def _stands_alone(tokens: Tokens, start: int, stop: int, span: Span) -> bool:
    before = start == span[0] or tokens[start - 1].name in ("(", ",", "[") or tokens[start - 1].kind == "word"
    after = stop == span[1] or tokens[stop].name in (")", ",", "]") or tokens[stop].kind == "word"
    return before and after


def _is_bare_name(tokens: Tokens, index: int) -> bool:
    return (
        tokens.is_name(index)
        and not tokens.is_call(index)
        and not tokens.says(index + 1, ".")
        and not tokens.says(index - 1, ".")
    )


def _same(tokens: Tokens, one: Span, other: Span) -> bool:
    left, right = _units(tokens, one), _units(tokens, other)
    return len(left) == len(right) and all(map(_alike, left, right))


def _displays(frame: DataFrame) -> Iterator[str]:
    """What DataFusion calls the expressions of a statement whose columns all have an alias."""
    plan = frame.logical_plan()
    while type(node := plan.to_variant()).__name__ != "Projection":
        plan = plan.inputs()[0]
    for output in node.projections():
        yield (output.to_variant().expr() if output.variant_name() == "Alias" else output).schema_name()


def display(name: str, displays: Mapping[str, str]) -> str:
    """The name of a result's column, with what the columns of filled rows stand for."""
    return _COLUMN.sub(lambda found: displays.get(found[1], found[0]), name)


def _check_interpolated(kind: pa.DataType) -> None:
    value = kind.field("value").type if pa.types.is_struct(kind) and kind.get_field_index("value") >= 0 else kind
    if value not in (pa.float64(), pa.int64(), pa.uint64()):
        raise planning(f"interpolate works on Float64, Int64, UInt64 and selectors of these, not on {kind}")

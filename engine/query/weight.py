"""Which statements must not run in this process, since nothing could stop them: judged by their plan, from above.

    swells    by the text, before it is planned: functions that make much of a few words are computed while planning
    explodes  by the physical plan: operators that ask no scan for batches while they multiply rows, or search their texts

What runs here looks at its flag between batches; `searches` says how small these have to be.

The bounds are of rows, never estimates: what is let through can not exceed them.

W1  A plan is let through only if no operator of it that multiplies rows can make, or look at, more than WORK_ROWS, nor one
    that searches texts after all scans have ended.
W2  Joins whose one side has each key once, and those that only ask whether there is a partner, multiply nothing.
W3  What is not understood counts as too much; a wrong guess costs a hop into another process and nothing else.

Held by tests/unit/engine/query/test_weight.py (W1-W3).
Elsewhere: where such statements run (elsewhere/).
"""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from datafusion.plan import ExecutionPlan, LogicalPlan

from engine.query.functions.tokens import Tokens

#: rows that an operator may make between two looks at a flag: half a second at worst
WORK_ROWS = 500_000
#: texts of rows that are searched in the time of one row that is made
SEARCHED_ROWS = 4
#: what functions of a statement may multiply their arguments by, all together
SWELLING = 1_000
#: what sub-queries of a statement may make of a text by joining it to itself again and again
GROWING = 200
#: rows of what the catalog knows, or a planner
LISTED_ROWS = 100_000
#: bytes that a row takes at least where it is written out
WRITTEN_BYTES = 4
#: elements of a list that no function of a statement has swelled
LIST_ROWS = 10_000

#: functions that make much of little: which arguments say how much
_BUILDERS: Mapping[str, slice] = {
    "range": slice(None),
    "generate_series": slice(None),
    "repeat": slice(1, None),
    "lpad": slice(1, 2),
    "rpad": slice(1, 2),
    "array_repeat": slice(1, None),
    "list_repeat": slice(1, None),
    "array_resize": slice(1, 2),
    "list_resize": slice(1, 2),
}
#: functions whose value is about as long as all of their arguments are
_JOINING = frozenset(
    [
        "concat",
        "concat_ws",
        "array_concat",
        "array_cat",
        "list_concat",
        "list_cat",
        "array_append",
        "array_prepend",
        "make_array",
    ]
)
#: functions that may put their third argument in the place of each character
_REPLACING = frozenset(["replace", "regexp_replace"])
#: functions that compare each character with each: hours for two long texts
_ENDLESS = frozenset(["levenshtein"])
_BUILDS = re.compile(rf"\b(?:{'|'.join([*_BUILDERS, *_JOINING, *_REPLACING, *_ENDLESS])})\b|\|\|", re.IGNORECASE)
_SEARCHES = re.compile(r"\b(?:regexp_\w+|i?like|similar|replace|translate|strpos|position|contains)\b|~", re.IGNORECASE)

_SUSPECT = re.compile(r"Join|RecursiveQuery|Unnest|WindowAggr|TableScan: (?:range|generate_series)\(")
_GATHERS = re.compile(r" *(?:Sort|Aggregate|WindowAggr|Distinct)\b")
_GATHERING = re.compile(r"SortExec|AggregateExec|\w*WindowAggExec")
_ON = re.compile(r"\((.*?)@\d+, (.*?)@\d+\)")
_RENAMED = re.compile(r"([^,\[\]()]+)@\d+ as ([^,\[\]()]+)")
_KEYS = re.compile(r"gby=\[(.*?)\](?:, |$)")
_SERIES = re.compile(r"(?:range|generate_series): start=(-?\d+), end=(-?\d+),(?: step=(-?\d+),)? batch_size")
_FETCH = re.compile(r"^(?:SortExec: TopK\(|GlobalLimitExec: (?:skip=\d+, )?|LocalLimitExec: )fetch=(\d+)")
_GROUPED = re.compile(r"^AggregateExec: mode=\w+, gby=\[\]")
_HOARDING = re.compile(r"array_agg|string_agg|median|percentile|quantile|approx_|DISTINCT", re.IGNORECASE)

_JOINS = frozenset(["HashJoinExec", "SortMergeJoinExec", "SortMergeJoin", "SymmetricHashJoinExec"])
_PRODUCTS = frozenset(["CrossJoinExec", "NestedLoopJoinExec", "PiecewiseMergeJoinExec"])
_SINGLE = frozenset(["PlaceholderRowExec", "EmptyExec"])


def swells(text: str) -> bool:
    """Whether the functions of a statement may make more of a value than SWELLING, or GROWING, times as much."""
    if not _BUILDS.search(text):
        return False
    tokens = Tokens(text)
    factor, joined, levels = 1.0, 0.0, 0
    for index, token in enumerate(tokens.all):
        name = token.name.lower()
        if tokens.says(index, "|", "|"):
            joined += 1
        elif token.kind == "word" and name == "select":
            levels += 1
        elif tokens.is_name(index) and tokens.says(index + 1, "("):
            arguments = tokens.arguments(index)
            if name in _BUILDERS:
                factor *= max([1.0, *(abs(_number(tokens, span)) for span in arguments[_BUILDERS[name]])])
            elif name in _JOINING:
                joined += len(arguments)
            elif name in _ENDLESS:
                return True
            elif name in _REPLACING:
                joined += max([1.0, *(_length(tokens, span) for span in arguments[2:3])])
    # a sub-query can multiply what the one below it has made; most comes of it when each has its share of what joins
    shares = min(levels, max(1.0, joined / math.e))
    return factor > SWELLING or (joined > 0 and (joined / shares) ** shares > GROWING)


def searches(text: str) -> int:
    """How often a statement looks through texts, at most, for each row."""
    return sum(1 for _ in _SEARCHES.finditer(text))


def _length(tokens: Tokens, span: tuple[int, int]) -> float:
    start, stop = span
    return len(tokens[start].name) if stop - start == 1 and tokens[start].kind == "string" else math.inf


def _number(tokens: Tokens, span: tuple[int, int]) -> float:
    start, stop = span
    if tokens.says(start, "-"):
        start += 1
    if stop - start != 1 or tokens[start].kind != "number":
        return math.inf
    return float(tokens[start].name)


@dataclass(frozen=True, slots=True)
class Scans:
    """What is known of the tables that a plan reads: rows of any one scan at most, and the columns that make a row of any of
    the tables the only one of its kind. And of the statement: its size, which bounds the rows written out in it."""

    rows: float
    keys: Collection[str] = ()
    text_bytes: int = 0


def is_suspect(plan: LogicalPlan) -> bool:
    """Whether a plan has an operator that could explode: what has none need not be weighed, whatever rows there are."""
    said = plan.display_indent()
    return bool(_SUSPECT.search(said)) or _searches_what_was_gathered(said)


def _searches_what_was_gathered(said: str) -> bool:
    searching: list[int] = []
    for line in said.splitlines():
        depth = len(line) - len(line.lstrip())
        searching = [above for above in searching if above < depth]
        if searching and _GATHERS.match(line):
            return True
        if _SEARCHES.search(line):
            searching.append(depth)
    return False


def explodes(plan: ExecutionPlan, scans: Scans) -> bool:
    """Whether a suspect must not run here. `scans` is what is known once the plan has been made physical."""
    return _Weighing(scans).is_too_much(plan)


class _Weighing:
    def __init__(self, scans: Scans) -> None:
        self._scans = scans

    def is_too_much(self, plan: ExecutionPlan) -> bool:
        """Bottom up, without recursion."""
        done: list[tuple[float, bool]] = []  # rows, and whether they were gathered before they went on
        work = 0.0
        waiting = [(plan, False)]
        while waiting:
            node, visited = waiting.pop()
            below = node.children()
            if not visited:
                waiting.append((node, True))
                waiting += [(child, False) for child in below]
                continue
            inputs = [done.pop() for _ in below]  # the first child was pushed first and so is done last
            rows = [count for count, _ in inputs]
            said = node.display()
            made, looked_at = self._made(said, below, rows)
            were_gathered = any(gathered for _, gathered in inputs)
            work += looked_at
            if were_gathered:
                work += sum(rows) * searches(said) / SEARCHED_ROWS
            if work > WORK_ROWS:
                return True
            done.append((made, were_gathered or bool(_GATHERING.match(said))))
        return False

    def _made(self, said: str, below: list[ExecutionPlan], rows: list[float]) -> tuple[float, float]:
        """Rows that an operator yields, and how many it works through that no scan is asked for (0: none)."""
        name = said.partition(":")[0].split(" ")[0].split("\n")[0]
        if not below:
            return self._of_leaf(name, said), 0.0 if name != "LazyMemoryExec" else self._of_leaf(name, said)
        if name in _PRODUCTS:
            left, right = (max(1.0, each) for each in rows)
            is_passed_on = left == 1 or (right == 1 and name != "CrossJoinExec")  # whose left side is walked row by row
            return left * right, 0.0 if is_passed_on else left * right
        if name in _JOINS:
            return self._joined(said, below, rows)
        if name == "UnnestExec":
            return rows[0] * LIST_ROWS, rows[0] * LIST_ROWS
        if name == "RecursiveQueryExec":
            return math.inf, math.inf
        if name.endswith("WindowAggExec") and _HOARDING.search(said):
            return rows[0], rows[0] * rows[0]
        fetched = _FETCH.match(said)
        if fetched:
            return min(float(fetched[1]), rows[0]), 0.0
        if _GROUPED.match(said):
            return 1.0, 0.0
        if "gby=[(" in said:
            return sum(rows) * (said.count("), (") + 1), 0.0
        return sum(rows), 0.0

    def _of_leaf(self, name: str, said: str) -> float:
        if name == "DatasetExec":
            return self._scans.rows
        if name == "LazyMemoryExec":
            series = _SERIES.search(said)
            return abs(int(series[2]) - int(series[1])) / abs(int(series[3] or 1)) + 1 if series else math.inf
        if name == "DataSourceExec":
            return self._scans.text_bytes / WRITTEN_BYTES
        return 1.0 if name in _SINGLE else LISTED_ROWS

    def _joined(self, said: str, below: list[ExecutionPlan], rows: list[float]) -> tuple[float, float]:
        left, right = rows
        on = _ON.findall(said)
        filtered = ", filter=" in said
        if "join_type=LeftSemi" in said or "join_type=LeftAnti" in said or "join_type=LeftMark" in said:
            made, looked_at = left, left * right if filtered else 0.0
        elif "join_type=RightSemi" in said or "join_type=RightAnti" in said or "join_type=RightMark" in said:
            made, looked_at = right, left * right if filtered else 0.0
        elif self._has_each_once(below[0], {name for name, _ in on}) or self._has_each_once(below[1], {name for _, name in on}):
            made, looked_at = left + right, 0.0
        else:
            made = looked_at = max(1.0, left) * max(1.0, right)
        return made, looked_at

    def _has_each_once(self, node: ExecutionPlan, names: set[str]) -> bool:
        """W2: whether no two rows of a plan agree in all of these columns."""
        while True:
            said = node.display()
            if said.startswith("AggregateExec: mode=") and not said.startswith("AggregateExec: mode=Partial"):
                keys = _KEYS.search(said)
                made = [name for _, name in _RENAMED.findall(keys[1])] if keys else []
                return bool(made) and set(made) <= names
            if said.startswith("DatasetExec"):
                return bool(self._scans.keys) and set(self._scans.keys) <= names
            if said.startswith("ProjectionExec: expr=["):
                renamed = {new.strip(): old.strip() for old, new in _RENAMED.findall(said.partition("expr=[")[2])}
                names = {renamed[name] for name in names if name in renamed}
            below = node.children()
            if len(below) != 1 or not said.startswith(_UNCHANGED):
                return False
            node = below[0]


_UNCHANGED = (
    "ProjectionExec: expr=[",
    "RepartitionExec",
    "CoalescePartitionsExec",
    "CoalesceBatchesExec",
    "CooperativeExec",
    "FilterExec",
    "SortExec",
    "SortPreservingMergeExec",
)

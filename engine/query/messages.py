"""What is wrong with a statement, in one line, with the name that was probably meant.

M1  A message is one line of at most MESSAGE_BYTES: the planner's own sentence, without the words that its layers put around it.
M2  A name that does not exist comes with the most similar one that does.

Held by tests/unit/engine/query/test_messages.py (M1, M2).
"""

import difflib
import re
from collections.abc import Callable, Iterable

from catalog.errors import InvalidRequest, ServiceError
from catalog.names import INTERNAL_DATABASE
from engine.query.system_tables import SCHEMA as SYSTEM
from engine.query.system_tables import SYSTEM_TABLES

MESSAGE_BYTES = 1000

#: words around a message that say where in the planner it arose, not what is wrong
_WRAPPING = re.compile(
    r"^(?:DataFusion error|Execution error: DataFusion error|External error|Optimizer rule '\w+' failed): *", re.DOTALL
)
_TABLE = re.compile(r"table '(?:[^'.]*\.)?(?:(?P<schema>[^'.]*)\.)?(?P<name>[^']*)' not found")
_FUNCTION = re.compile(r"Invalid function '(?P<name>[^']*)'\..*", re.DOTALL)
_DEPTH = re.compile(r"RecursionLimitExceeded \(current limit: (\d+)\)")
_RAISED = re.compile(r"PyErr \{ type: .*?, value: \w+\((['\"])(?P<said>.*?)\1\), traceback: .*\}", re.DOTALL)
_BUG = re.compile(r"\.?\s*This issue was likely caused by a bug in DataFusion's code.*", re.DOTALL)


class QueryRefused(InvalidRequest):
    """The statement is wrong, or asks for what a query may not do."""

    code = "query_refused"


class QueryPanicked(ServiceError):
    """DataFusion has met a case that it holds to be impossible."""

    code = "query_panicked"


def is_panic(error: BaseException) -> bool:
    """Panics come as an exception of the bindings that is no Exception."""
    return type(error).__name__ == "PanicException"


def reason_of(error: BaseException) -> ServiceError:
    """What a client is told of whatever ended a statement."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, Exception):
        return QueryRefused(planner_message(error))
    return QueryPanicked(f"the query planner failed on this query: {shortened(str(error))}")


def runs_out_of_memory(error: BaseException) -> bool:
    """Of DataFusion's own pool. (55: a nested-loop join without memory reads its inputs anew, which a repartitioned one takes
    for impossible.)"""
    text = str(error)
    return "Resources exhausted" in text or (is_panic(error) and text == "partition not used yet")


def planning(message: str) -> QueryRefused:
    return QueryRefused(f"Error during planning: {message}")


def not_implemented(message: str) -> QueryRefused:
    return QueryRefused(f"This feature is not implemented: {message}")


def planner_message(
    error: Exception,
    tables: Callable[[str], Iterable[str]] = lambda _: (),
    functions: Callable[[], Iterable[str]] = tuple,
) -> str:
    """The sentence of an error of the bindings. `tables` lists those of a schema, `functions` all that a statement may call."""
    text = str(error).rpartition("caused by\n")[2] or type(error).__name__
    previous = ""
    while previous != text:
        previous, text = text, _WRAPPING.sub("", text)
    text = _BUG.sub("", text)
    text = _RAISED.sub(lambda found: found["said"], text)
    text = text.replace("The context currently only supports a single SQL statement", "more than one statement in a request")
    text = _DEPTH.sub(lambda found: f"the statement is nested more than {found[1]} levels deep", text)
    missing = _TABLE.search(text)
    if missing:
        text = text.rstrip(".") + (
            _elsewhere(missing["schema"], missing["name"]) or _suggestion(missing["name"], tables(missing["schema"] or ""))
        )
    unknown = _FUNCTION.search(text)
    if unknown:
        text = text[: unknown.start()] + f"Invalid function '{unknown['name']}'" + _suggestion(unknown["name"], functions())
    return shortened(" ".join(text.split()))


def shortened(text: str) -> str:
    encoded = text.encode()
    return text if len(encoded) <= MESSAGE_BYTES else encoded[: MESSAGE_BYTES - 3].decode(errors="ignore") + "…"


def _elsewhere(schema: str | None, name: str) -> str:
    is_internal = schema == SYSTEM and any(table.name == name and table.internal for table in SYSTEM_TABLES)
    return f". It is in the database '{INTERNAL_DATABASE}'" if is_internal else ""


def _suggestion(name: str, known: Iterable[str]) -> str:
    """A sentence to add to one that has no full stop."""
    folded = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    return f". Did you mean '{folded[close[0]]}'?" if close else ""

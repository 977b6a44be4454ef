"""Plans of statements that have been asked before, so that asking again does not mean planning again.

A plan says which columns of which tables go through which operators. Which rows there are, it asks when it runs (shell.py):
so new rows cannot make it wrong. All that can is in its key: the catalog's state, the text, and the values in it.

P1  A plan is used by one statement at a time, and only for the same text, the same values and types, and the same catalog.
P2  A statement that asks what time it is, or that has a state of its own, is planned anew each time.
P3  PLANS_MAX plans are kept, those asked for last.

Held by tests/unit/engine/query/test_plans.py (P1-P3) and tests/integration/engine/test_plans.py (P1, P2).
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Generic, TypeVar

PLANS_MAX = 128
#: statements that are the same and run at the same time
ALIKE_MAX = 4
TEXT_MAX = 10_000

#: functions of the moment, which are worked out while planning
_MOMENT = re.compile(r"\b(?:now|today|current_\w+|localtime\w*)\b", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"[$?]")

Key = tuple[int, int, str, object]
Plan = TypeVar("Plan")


def key_of(sequence: int, database_id: int, text: str, params: Mapping[str, object] | None) -> Key | None:
    """What has to be the same for a plan to be right; None for a statement whose plan is right only once (P2).

    Parameters that stay open (None) are values of their own, unless the statement has no place for any.
    """
    if len(text) > TEXT_MAX or _MOMENT.search(text):
        return None
    if not params:
        is_open = params is None and _PLACEHOLDER.search(text)
        return sequence, database_id, text, "open" if is_open else ()
    values = tuple((name, type(value), repr(value)) for name, value in params.items())
    return sequence, database_id, text, values


class Plans(Generic[Plan]):
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, list[Plan]] = OrderedDict()

    def find(self, key: Key | None) -> Plan | None:
        """One that is kept, for who asks what is the same of it whoever uses it."""
        with self._lock:
            alike = None if key is None else self._kept.get(key)
            return alike[-1] if alike else None

    def take(self, key: Key | None) -> Plan | None:
        """A plan that nobody else has until it is kept again (P1)."""
        if key is None:
            return None
        with self._lock:
            alike = self._kept.get(key)
            if alike is None:
                return None
            self._kept.move_to_end(key)
            return alike.pop() if alike else None

    def keep(self, key: Key | None, plan: Plan) -> None:
        if key is None:
            return
        with self._lock:
            alike = self._kept.setdefault(key, [])
            self._kept.move_to_end(key)
            if len(alike) < ALIKE_MAX:
                alike.append(plan)
            if len(self._kept) > PLANS_MAX:
                self._kept.popitem(last=False)

"""Which kinds of statements are brief, judged by how the last one of the kind ran.

Handing a result from one thread to another costs more than most small statements do, and under load each hand-over waits its
turn. So a statement of a kind that was brief is expected to be so again, and is run by its call's own thread.

V1  Brief is what was read to its end within BRIEF_S of its turn and took no more than BRIEF_BYTES; whatever ended otherwise is
    not. (If waiting in line counted, small statements would cost more whenever there are many.)
V2  The KNOWN_MAX kinds that ran last are remembered, by a number made of what they have in common.

Held by tests/unit/flightserver/test_brief.py (V1, V2).
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable

#: far below the time after which a proxy wants to hear something
BRIEF_S = 0.5
BRIEF_BYTES = 1 << 20
KNOWN_MAX = 4_096


class Brief:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[int, None] = OrderedDict()

    def expects(self, kind: Hashable) -> bool:
        return hash(kind) in self._known

    def note(self, kind: Hashable, seconds: float, size_bytes: int, *, is_whole: bool) -> None:
        number = hash(kind)
        is_brief = is_whole and seconds < BRIEF_S and size_bytes <= BRIEF_BYTES
        if is_brief == (number in self._known):
            return
        with self._lock:
            if not is_brief:
                self._known.pop(number, None)
                return
            self._known[number] = None
            if len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)

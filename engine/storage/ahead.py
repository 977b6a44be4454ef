"""Reading many objects one after the other, some of them fetched ahead: each costs a round trip on a distant store.

A1  Objects come in the order in which they were named, each once.
A2  At most `AHEAD` objects are under way or waiting, and no more than `AHEAD_BYTES` of them unless one alone has more.
A3  An object that cannot be read raises where it would come; what is under way behind it is let go.

Held by tests/unit/engine/test_storage_ahead.py (A1-A3).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from engine.storage.base import ObjectInfo

AHEAD = 16
AHEAD_BYTES = 128 << 20


def read_ahead(read: Callable[[str], bytes], objects: Iterable[ObjectInfo]) -> Iterator[tuple[ObjectInfo, bytes]]:
    """Each object with its bytes."""
    coming = deque(objects)
    fetched: deque[tuple[ObjectInfo, Future[bytes]]] = deque()
    byte_count = 0
    pool = ThreadPoolExecutor(AHEAD, thread_name_prefix="read-ahead")
    try:
        while coming or fetched:
            while coming and (not fetched or (len(fetched) < AHEAD and byte_count + coming[0].size <= AHEAD_BYTES)):
                info = coming.popleft()
                byte_count += info.size
                fetched.append((info, pool.submit(read, info.path)))
            info, future = fetched.popleft()
            yield info, future.result()
            byte_count -= info.size
    finally:
        pool.shutdown(wait=False, cancel_futures=True)

"""A result on its way to a client: read ahead a little by one thread, sent by another; or, when it is brief, both by one.

    the engine's batches ─▶ Ahead (a thread of ours) ─▶ at most AHEAD_BYTES wait ─▶ ResultStream (the call's own thread) ─▶ gRPC
                         ─▶ AtOnce (the call's own thread) ───────────────────────▶

Z1  A client that does not read stops the engine: no more than AHEAD_BYTES and one batch are ready for it.
Z2  When the client is gone, its deadline has passed or the query is cancelled, QueryResult.close is called within
    WATCH_INTERVAL_S, while the engine works on a batch too; planning that can be ended is. It is called once a stream ends,
    however it ends. (Asking gRPC stops all of Python for some 0.1 ms: who waits in a long line is asked less often, in a
    WATCH_SHARE of the time.)
Z3  While the engine needs its time, an empty batch goes out after every KEEP_ALIVE_S of silence, so that no proxy gives up.
    (Not while a statement runs that was brief the last time, and takes its time now; the next time it is not taken for brief.)
Z4  A call's context is asked by the call's own thread, or while that thread waits: it is gone with the call.

Z5  A stream whose caller has lost the right to be here ends before its next batch.

Held by tests/integration/flight/test_streams.py (Z1-Z4) and tests/integration/flight/test_tokens.py (Z5).
Elsewhere: what the batches look like (flightsql.results), cancelling by name (handlers.running), which statements are brief
(handlers.brief).
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import partial

import pyarrow as pa

from engine.requests import QueryResult
from flightserver.errors import Cancelled, flight_errors
from flightserver.flightsql.results import empty_batch, plain_batches
from flightserver.handlers.brief import Brief
from flightserver.handlers.call import Call
from flightserver.handlers.guarded import GuardedNode
from flightserver.handlers.running import Running
from flightserver.handlers.threads import Threads

AHEAD_BYTES = 4 << 20
KEEP_ALIVE_S = 5.0
WATCH_INTERVAL_S = 0.02
WATCH_SHARE = 0.1
_UNWATCHED_S = 0.01
_LINGER_S = 1.0


class Nothing(Enum):
    """What there is instead of a batch."""

    YET = 1
    MORE = 2


class Made:
    """How long a result took to make, and how large it is."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self.seconds = 0.0
        self.size_bytes = 0
        self.is_whole = False

    def ends(self) -> None:
        self.seconds, self.is_whole = time.monotonic() - self._began_s, True


class AtOnce:
    """Batches of one result, made by whoever takes them."""

    def __init__(self, result: QueryResult, schema: pa.Schema) -> None:
        self._result = result
        self._batches = plain_batches(result, schema)
        self._is_cancelled = False
        self.made = Made()

    def take(self) -> pa.RecordBatch | Nothing:
        batch, size = next(self._batches, (Nothing.MORE, 0))
        if self._is_cancelled:
            raise Cancelled("the query was cancelled")
        if batch is Nothing.MORE:
            self.made.ends()
        self.made.size_bytes += size
        return batch

    def cancel(self) -> None:
        self._is_cancelled = True
        self.close()

    def close(self) -> None:
        self._result.close()


class Ahead:
    """Batches of one result, made by a thread while they are wanted. The thread goes home when enough are ready."""

    def __init__(self, result: QueryResult, schema: pa.Schema, threads: Threads) -> None:
        self._result = result
        self._batches = plain_batches(result, schema)
        self._threads = threads
        self._changed = threading.Condition()
        self._ready: deque[tuple[pa.RecordBatch, int]] = deque()  # with its bytes
        self._ready_bytes = 0
        self._ended = self._working = self._closed = False
        self._failure: Exception | None = None
        self.made = Made()

    def begin(self) -> None:
        """The engine works while the schema is on its way."""
        with self._changed:
            self._work_on()

    def take(self, timeout_s: float) -> pa.RecordBatch | Nothing:
        """The next batch, if there is one in time. Raises what went wrong."""
        with self._changed:
            self._work_on()
            self._changed.wait_for(lambda: self._ready or self._ended, timeout_s)
            if self._ready:
                batch, size = self._ready.popleft()
                self._ready_bytes -= size
                return batch
            if self._failure is not None:
                raise self._failure
            return Nothing.MORE if self._ended else Nothing.YET

    def cancel(self) -> None:
        self._end(Cancelled("the query was cancelled"))
        self.close()

    def close(self) -> None:
        with self._changed:
            if self._closed:
                return
            self._closed = True
        self._result.close()

    def _work_on(self) -> None:
        if not self._working and not self._ended and self._ready_bytes < AHEAD_BYTES:
            self._working = True
            self._threads.run(self._work)

    def _work(self) -> None:
        try:
            while self._is_wanted():
                batch, size = next(self._batches, (None, 0))
                if batch is None:
                    self._end(None)
                else:
                    self._show(batch, size)
        except Exception as error:  # the thread's edge: the call's own thread raises it
            self._end(error)

    def _is_wanted(self) -> bool:
        with self._changed:
            self._working = not self._ended and self._ready_bytes < AHEAD_BYTES
            return self._working

    def _show(self, batch: pa.RecordBatch, size: int) -> None:
        self.made.size_bytes += size
        with self._changed:
            if not self._ended:
                self._ready.append((batch, size))
                self._ready_bytes += size
                self._changed.notify()

    def _end(self, failure: Exception | None) -> None:
        """The first end counts. What was ready before a failure of the engine is still sent, but nothing after a cancel."""
        with self._changed:
            if self._ended:
                return
            self._ended, self._failure = True, failure
            if failure is None:
                self.made.ends()
            if isinstance(failure, Cancelled):
                self._ready.clear()
            self._changed.notify()


class Watcher:
    """One thread, while there are calls that wait for their engine, and a little longer: it asks whether their clients still
    wait for them."""

    def __init__(self) -> None:
        self._watched: dict[object, tuple[Callable[[], bool], Callable[[], None]]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, is_cancelled: Callable[[], bool], cancel: Callable[[], None]) -> Iterator[None]:
        """`cancel` is called, by another thread, once `is_cancelled` says so inside the block. Afterwards nobody asks (Z4)."""
        key = object()
        with self._lock:
            self._watched[key] = is_cancelled, cancel
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watch-calls", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._watched[key]

    def _run(self) -> None:
        idle = 0
        asking_s = 0.0
        while True:
            time.sleep(max(WATCH_INTERVAL_S, asking_s / WATCH_SHARE))
            with self._lock:
                idle = 0 if self._watched else idle + 1
                if idle * WATCH_INTERVAL_S > _LINGER_S:
                    self._thread = None
                    return
                keys = list(self._watched)
            began_s = time.thread_time()
            for key in keys:
                self._ask(key)
            asking_s = time.thread_time() - began_s

    def _ask(self, key: object) -> None:
        with self._lock:  # whoever has done with waiting waits for one question at most
            watched = self._watched.get(key)
            is_gone = watched is not None and watched[0]()
        if watched is not None and is_gone:
            watched[1]()


class Streams:
    """What all streams of a server share."""

    def __init__(self, watcher: Watcher, running: Running, keep_alive_s: float = KEEP_ALIVE_S) -> None:
        self._watcher = watcher
        self._running = running
        self._keep_alive_s = keep_alive_s
        self._threads = Threads("read-ahead")
        self._brief = Brief()

    @contextmanager
    def watched(self, call: Call, query_id: bytes, cancel: Callable[[], None]) -> Iterator[None]:
        """While the call's own thread is planning (Z2): there is no stream yet that could end."""
        with self._watcher.watching(call.is_cancelled, cancel), self._running.beginning(query_id, call.identity, cancel):
            yield

    def open(
        self,
        call: Call,
        node: GuardedNode,
        result: QueryResult,
        schema: pa.Schema,
        query_id: bytes,
    ) -> "ResultStream":
        """`schema` is what leaves, `query_id` the name by which the query may be cancelled; empty if it has none."""
        is_brief = result.kind is not None and self._brief.expects(result.kind)
        source = AtOnce(result, schema) if is_brief else Ahead(result, schema, self._threads)
        end = partial(self._end, query_id, source, result)
        stream = ResultStream(source, schema, call, node, self._watcher, self._keep_alive_s, end)
        if query_id:
            self._running.begin(query_id, node.identity, source.cancel)
        if isinstance(source, Ahead):
            source.begin()
        return stream

    def _end(self, query_id: bytes, source: Ahead | AtOnce, result: QueryResult) -> None:
        source.close()
        if query_id:
            self._running.end(query_id, source.cancel)
        if result.kind is not None:
            made = source.made
            self._brief.note(result.kind, made.seconds - result.waited_s(), made.size_bytes, is_whole=made.is_whole)


class ResultStream(Iterator[pa.RecordBatch]):
    """What Flight sends: asked for batch after batch by the call's own thread, and dropped when the call ends.

    Not a generator: one that was never asked for its first item would run none of its endings.
    """

    def __init__(
        self,
        source: Ahead | AtOnce,
        schema: pa.Schema,
        call: Call,
        node: GuardedNode,
        watcher: Watcher,
        keep_alive_s: float,
        end: Callable[[], None],
    ) -> None:
        self._source = source
        self._schema = schema
        self._call = call
        self._node = node
        self._watcher = watcher
        self._keep_alive_s = keep_alive_s
        self._end = end
        self._is_finished = False

    def __next__(self) -> pa.RecordBatch:
        try:
            with flight_errors(detailed=self._call.detailed):
                batch = self._next()
                self._node.check_again()
        except Exception:
            self._finish()
            raise
        if batch is Nothing.MORE:
            self._finish()
            raise StopIteration
        return batch

    def _next(self) -> pa.RecordBatch | Nothing:
        """The next batch or, of an engine that needs its time, an empty one to be sent meanwhile."""
        source = self._source
        if isinstance(source, AtOnce):
            with self._watcher.watching(self._call.is_cancelled, source.cancel):
                return source.take()
        batch = source.take(_UNWATCHED_S)
        if batch is Nothing.YET:
            with self._watcher.watching(self._call.is_cancelled, source.cancel):
                batch = source.take(self._keep_alive_s - _UNWATCHED_S)
        return empty_batch(self._schema) if batch is Nothing.YET else batch

    def _finish(self) -> None:
        """Once. The collector may come upon a failed stream at any moment: then nothing is left to do, and no lock to take."""
        if not self._is_finished:
            self._is_finished = True
            self._end()

    def __del__(self) -> None:
        self._finish()

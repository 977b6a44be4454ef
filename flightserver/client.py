"""The typed client of the engine process, used by HTTP workers and the command line.

C1  What the engine raised is raised here: same class, same words, same details.
C2  An engine that can not be reached, or does not answer in time, is Unavailable; once it is back the next call reaches it.
C3  A write is sent once: again only if the lane was found closed before the engine can have seen the message.
C4  One client serves any number of threads.
C5  An arena is a lane's own, allocated before it is written to; where there is no room the lines travel in the message. Who
    receives a large body may borrow one, so that the body comes to lie where the engine reads it.
C6  Small writes that wait at the same time travel in one message; each gets the answer to its own lines. Who starts one need
    not wait for it.

Writes go through lanes (flightserver.wire), kept open between calls, each used by one thread at a time. Measured on two
cores over a unix socket, CPU of both sides, the engine reading every byte once:

    body         action        lane          file per body, named in a lane   lane with arena
    300 B        380 µs        130-190 µs    250-320 µs                       125-145 µs
    65 KB        440-480 µs    290-340 µs    390-450 µs                       220-270 µs
    520 KB                     780-1100 µs   640-770 µs                       250-350 µs
    1.7 MB       4100 µs       1800-2500 µs  1300-1500 µs                     410-430 µs  (0.08 µs a row of 345 bytes)

Held by tests/integration/flight/test_engine_client.py (C1-C6).
Elsewhere: names and encodings (flightserver.wire), the other end (flightserver.handlers.writes).
"""

import logging
import mmap
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import pyarrow as pa
import pyarrow.flight as fl

from catalog.errors import ServiceError, Unavailable, decode_error
from flightserver import wire

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

log = logging.getLogger(__name__)

ARENA_FROM_BYTES = 32 * 1024
LANE_AGE_MAX_S = 30.0
IDLE_LANES_MAX = 32

# One convoy being stored and one being gathered by the engine keep both processes busy.
CONVOYS_MAX = 2
CONVOY_WRITES_MAX = 512  # a second of a store that bills requests
CONVOY_BODY_BYTES_MAX = 8 * 1024

# An engine that restarts is back within a second; gRPC's own back-off would wait up to two minutes.
_CHANNEL_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 250),
    ("grpc.max_metadata_size", 65536),
    ("grpc.absolute_max_metadata_size", 131072),
]


class EngineUnreachable(Unavailable):
    """The HTTP process cannot reach the engine process, which is starting or has died."""

    code = "engine_unreachable"


class CallCancelled(Unavailable):
    """By this side: nobody waits for the answer any more."""

    code = "call_cancelled"


class EngineTimeout(Unavailable):
    """The engine process did not answer in time."""

    code = "engine_timeout"


#: what became of a write, for `report_of`
Outcome: TypeAlias = Mapping[str, Any] | Exception


def report_of(outcome: Outcome) -> wire.WriteReportDict:
    """The report of a write, or the error that there is instead of one."""
    with _service_errors():
        if isinstance(outcome, Exception):
            raise outcome
    if "error" in outcome:
        raise decode_error(wire.encode_json(outcome["error"]))
    return cast("wire.WriteReportDict", outcome)


class ResultStream:
    """A query's answer: the schema first, then its batches as they arrive. Leave early with close()."""

    def __init__(self, reader: fl.FlightStreamReader) -> None:
        self._reader = reader
        with _service_errors():
            self.schema: pa.Schema = reader.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while True:
            with _service_errors():
                try:
                    chunk = self._reader.read_chunk()
                except StopIteration:
                    return
            if chunk.data is not None:
                yield chunk.data

    def read_all(self) -> pa.Table:
        return pa.Table.from_batches(list(self), self.schema)

    def close(self) -> None:
        self._reader.cancel()


class EngineClient:
    """`timeout_s` bounds each call; a write waits at most LANE_AGE_MAX_S longer (a lane's deadline is set when it opens)."""

    def __init__(
        self,
        location: str,
        *,
        headers: Mapping[str, str] | None = None,
        handover_dir: Path | None = None,
        timeout_s: float | None = None,
        tls_root_certs: bytes | None = None,
        tls_verify: bool = True,
    ) -> None:
        self._client = fl.FlightClient(
            location,
            generic_options=_CHANNEL_OPTIONS,
            tls_root_certs=tls_root_certs,
            disable_server_verification=not tls_verify,
        )
        self._headers = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        self._headers.append((wire.ERROR_DETAILS_HEADER.encode(), b"1"))
        self._timeout_s = timeout_s
        self._options_without_user = fl.FlightCallOptions(timeout=timeout_s, headers=self._headers)
        self._lanes = _Lanes(self._client, self._headers, handover_dir, timeout_s)
        self._convoys = _Convoys(self._lanes)

    def write_lp(
        self,
        *,
        db: str,
        body: "ReadableBuffer",
        precision: str = "auto",
        accept_partial: bool = True,
        no_sync: bool = False,
        door: str = "v3",
        authorization: str | None = None,
    ) -> wire.WriteReportDict:
        """Store the lines of a body. Raises LinesRejected (and stores nothing) when a line is bad and accept_partial is off."""
        return self.send_lp(wire.WriteHeader(db, precision, accept_partial, no_sync, door, authorization), body)

    def send_lp(self, header: wire.WriteHeader, body: "ReadableBuffer", room: "Room | None" = None) -> wire.WriteReportDict:
        """`room`: where the body lies, from its first byte on."""
        lines = memoryview(body).cast("B")
        if room is None and lines.nbytes < CONVOY_BODY_BYTES_MAX:
            waiter = _Waiter()
            self.start_lp(header, lines, waiter.told)
            return report_of(waiter.wait())
        with _service_errors():
            answer = wire.decode_object(self._lanes.send(header, lines) if room is None else room.send(header, lines))
        return report_of(answer)

    def room_for(self, size: int) -> AbstractContextManager["Room | None"]:
        """Memory in which a large body may be put together, so that it need not be copied; None where there is none."""
        return self._lanes.room_for(size)

    def start_lp(self, header: wire.WriteHeader, lines: "ReadableBuffer", told: Callable[[Outcome], None]) -> None:
        """The same for less than CONVOY_BODY_BYTES_MAX. `told` hears what became of it, in a thread of this client's, where it
        should do little."""
        self._convoys.enter(b"".join((wire.encode_write_header(header), lines)), told)

    def query(
        self,
        *,
        db: str,
        q: str,
        language: str = "sql",
        params: Mapping[str, object] | None = None,
        authorization: str | None = None,
        query_id: str = "",
    ) -> ResultStream:
        """Run a statement. Errors of planning are raised here, those of running while the batches are read.
        By `query_id`, which nobody else uses, it can be cancelled until this returns."""
        ticket = {"database": db, "sql_query": q, "query_type": language, "params": dict(params or {}), "query_id": query_id}
        with _service_errors():
            reader = self._client.do_get(fl.Ticket(wire.encode_json(ticket)), self._options(authorization))
        return ResultStream(reader)

    def cancel(self, query_id: str, authorization: str | None = None) -> None:
        """Raises while the engine does not know the query, and when it is over."""
        self._action(wire.CANCEL, wire.encode_cancel(query_id.encode()), authorization)

    def admin(self, verb: str, payload: Mapping[str, Any], authorization: str | None = None) -> dict[str, Any]:
        return wire.decode_object(self._action(wire.ADMIN + verb, wire.encode_json(dict(payload)), authorization))

    def authenticate(self, authorization: str | None, resource: str | None = None) -> None:
        """Raises for nobody, and for who may not read this resource of the server."""
        self._action(wire.AUTHENTICATE, wire.encode_json({"resource": resource}), authorization)

    def health(self, authorization: str | None = None) -> dict[str, Any]:
        return wire.decode_object(self._action(wire.HEALTH, authorization=authorization))

    def ready(self, authorization: str | None = None) -> list[str]:
        """Why the engine should get no traffic now; nothing if it should."""
        return list(wire.decode_object(self._action(wire.READY, authorization=authorization))["problems"])

    def metrics(self, authorization: str | None = None) -> bytes:
        return self._action(wire.METRICS, authorization=authorization)

    def identity(self) -> dict[str, Any]:
        return wire.decode_object(self._action(wire.IDENTITY))

    def close(self) -> None:
        self._convoys.close()
        self._lanes.close()
        self._client.close()

    def _action(self, name: str, body: bytes = b"", authorization: str | None = None) -> bytes:
        with _service_errors():
            results = self._client.do_action(fl.Action(name, body), self._options(authorization))
            return b"".join(result.body.to_pybytes() for result in results)

    def _options(self, authorization: str | None) -> fl.FlightCallOptions:
        if authorization is None:
            return self._options_without_user
        headers = [*self._headers, (b"authorization", authorization.encode("utf-8", "replace"))]
        return fl.FlightCallOptions(timeout=self._timeout_s, headers=headers)


class Room:
    """A lane of one's own for a while, and its arena."""

    def __init__(self, lanes: "_Lanes", lane: "_Lane", memory: memoryview) -> None:
        self.memory = memory
        self.lane: _Lane | None = lane
        self._lanes = lanes

    def send(self, header: wire.WriteHeader, lines: memoryview) -> bytes:
        """The answer to one write, whose lines are the first bytes of `memory`."""
        lane, self.lane = self.lane, None
        assert lane is not None
        try:
            answer = lane.exchange(wire.encode_write_header(replace(header, arena_bytes=lines.nbytes)))
        except _LaneClosed:  # while the body came
            lane.close()
            return self._lanes.send(header, lines)
        except BaseException:
            lane.close()
            raise
        self.lane = lane
        return answer


class _LaneClosed(Exception):
    """The lane had ended before this message, which was not sent."""


class _Lane:
    def __init__(self, client: fl.FlightClient, options: fl.FlightCallOptions, arena: "_Arena | None") -> None:
        command = wire.lane_command(arena.name if arena else None)
        self._old_from_s = time.monotonic() + LANE_AGE_MAX_S
        self._arena = arena
        try:
            self._writer, self._reader = client.do_put(fl.FlightDescriptor.for_command(command), pa.schema([]), options)
        except BaseException:
            self._forget_arena()
            raise

    def send(self, header: wire.WriteHeader, lines: memoryview) -> bytes:
        """The answer to one write. After any exception the lane is of no more use."""
        if self._arena is not None and lines.nbytes >= ARENA_FROM_BYTES and self._arena.fill(lines):
            return self.exchange(wire.encode_write_header(replace(header, arena_bytes=lines.nbytes)))
        return self.exchange(b"".join((wire.encode_write_header(header), lines)))

    def exchange(self, message: bytes) -> bytes:
        try:
            self._writer.write_metadata(message)
        except fl.FlightError:
            raise _LaneClosed from None
        answer = self._reader.read()
        if answer is None:
            self._writer.close()  # raises what ended the stream
            raise EngineUnreachable("the engine closed the connection")
        return cast("bytes", answer.to_pybytes())

    def room_for(self, size: int) -> memoryview | None:
        """The arena, if it has room for so much."""
        return self._arena.allocated(size) if self._arena is not None else None

    def is_old(self) -> bool:
        return time.monotonic() >= self._old_from_s

    def close(self) -> None:
        with suppress(fl.FlightError, pa.ArrowException):
            self._writer.close()
        self._forget_arena()

    def _forget_arena(self) -> None:
        if self._arena is not None:
            self._arena.unlink()


class _Arena:
    """Shared memory that the engine maps too.

    Pages are allocated before they are touched: on a full tmpfs that is an error, and touching them a signal.
    """

    def __init__(self, directory: Path) -> None:
        self.name = wire.new_arena_name()
        self._path = directory / self.name
        self._descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._descriptor, wire.ARENA_BYTES)
        self._memory = mmap.mmap(self._descriptor, wire.ARENA_BYTES)
        self._allocated = 0

    def fill(self, lines: memoryview) -> bool:
        """False: it does not fit, or there is no room for more pages."""
        memory = self.allocated(lines.nbytes)
        if memory is None:
            return False
        memory[: lines.nbytes] = lines
        return True

    def allocated(self, size: int) -> memoryview | None:
        """The memory, of which at least so much may be written to."""
        if size > wire.ARENA_BYTES:
            return None
        if size > self._allocated:
            try:
                os.posix_fallocate(self._descriptor, 0, size)
            except OSError:
                return None
            self._allocated = size
        return memoryview(self._memory)

    def unlink(self) -> None:
        """The engine has done this when it mapped the file, if it came to that."""
        self._path.unlink(missing_ok=True)

    def __del__(self) -> None:
        os.close(self._descriptor)


class _Lanes:
    """The lanes nobody uses right now, the latest used first; more are opened on demand."""

    def __init__(
        self,
        client: fl.FlightClient,
        headers: list[tuple[bytes, bytes]],
        handover_dir: Path | None,
        timeout_s: float | None,
    ) -> None:
        deadline_s = None if timeout_s is None else timeout_s + LANE_AGE_MAX_S
        self._client = client
        self._options = fl.FlightCallOptions(timeout=deadline_s, headers=headers)
        self._handover_dir = handover_dir
        self._idle: deque[_Lane] = deque()
        self._lock = threading.Lock()

    def send(self, header: wire.WriteHeader, lines: memoryview) -> bytes:
        return self._on_a_lane(lambda lane: lane.send(header, lines))

    def exchange(self, message: bytes) -> bytes:
        return self._on_a_lane(lambda lane: lane.exchange(message))

    @contextmanager
    def room_for(self, size: int) -> Iterator[Room | None]:
        if self._handover_dir is None or not ARENA_FROM_BYTES <= size <= wire.ARENA_BYTES:
            yield None
            return
        try:
            lane, _ = self._take()
        except (fl.FlightError, pa.ArrowException):  # whoever sends the body will be told
            yield None
            return
        memory = lane.room_for(size)
        room = None if memory is None else Room(self, lane, memory)
        try:
            yield room
        finally:
            kept = lane if room is None else room.lane
            if kept is not None:
                self._give_back(kept)

    def _on_a_lane(self, talk: Callable[[_Lane], bytes]) -> bytes:
        while True:
            lane, is_new = self._take()
            try:
                answer = talk(lane)
            except _LaneClosed:
                lane.close()
                if is_new:
                    raise EngineUnreachable("the engine is not reachable", hint="it may be starting; try again") from None
                continue
            except BaseException:
                lane.close()
                raise
            self._give_back(lane)
            return answer

    def close(self) -> None:
        with self._lock:
            idle, self._idle = list(self._idle), deque()
        for lane in idle:
            lane.close()

    def _take(self) -> tuple[_Lane, bool]:
        """An open lane, young enough to have the whole time-out before its deadline; and whether it is new."""
        with self._lock:
            lane = self._idle.pop() if self._idle else None
        if lane is not None and not lane.is_old():
            return lane, False
        if lane is not None:
            lane.close()
        return self._open(), True

    def _open(self) -> _Lane:
        arena = None
        if self._handover_dir is not None:
            with suppress(OSError):
                arena = _Arena(self._handover_dir)
        return _Lane(self._client, self._options, arena)

    def _give_back(self, lane: _Lane) -> None:
        done = []
        with self._lock:
            self._idle.append(lane)
            while self._idle and (self._idle[0].is_old() or len(self._idle) > IDLE_LANES_MAX):
                done.append(self._idle.popleft())
        for old in done:
            old.close()


class _Waiter:
    """A thread that waits for what became of its write."""

    def __init__(self) -> None:
        self._outcome: SimpleQueue[Outcome] = SimpleQueue()
        self.told = self._outcome.put
        self.wait = self._outcome.get


_Passenger: TypeAlias = tuple[bytes, Callable[[Outcome], None]]


class _Convoys:
    """Small writes that are ready at the same time travel in one message; a lone one leaves at once.

    Each of a few threads takes what waits when it is free, and tells everybody when it is back.
    """

    def __init__(self, lanes: _Lanes) -> None:
        self._lanes = lanes
        self._waiting: SimpleQueue[_Passenger | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._drives = self._closed = False

    def enter(self, message: bytes, told: Callable[[Outcome], None]) -> None:
        with self._lock:
            if not self._drives:
                self._start()
            self._waiting.put((message, told))

    def close(self) -> None:
        """What waits leaves first. Afterwards nothing enters."""
        with self._lock:
            self._closed = True
            for _ in range(CONVOYS_MAX if self._drives else 0):
                self._waiting.put(None)
            self._drives = False

    def _start(self) -> None:
        """With the first write: a process that was forked before has none of its parent's threads."""
        if self._closed:
            raise EngineUnreachable("the connection to the engine is closed")
        for number in range(CONVOYS_MAX):
            threading.Thread(target=self._drive, name=f"convoy-{number}", daemon=True).start()
        self._drives = True

    def _drive(self) -> None:
        while convoy := self._gathered():
            outcomes = self._outcomes([message for message, _ in convoy])
            for (_, told), outcome in zip(convoy, outcomes, strict=True):
                try:
                    told(outcome)
                except Exception:  # the thread has to live on
                    log.exception("an answer ended with an error that nobody caught, please report it with this line")

    def _gathered(self) -> list[_Passenger]:
        """Those who wait, at least one; nobody at the end."""
        convoy: list[_Passenger] = []
        with suppress(Empty):
            while len(convoy) < CONVOY_WRITES_MAX:
                passenger = self._waiting.get(block=not convoy)
                if passenger is None:
                    if convoy:
                        self._waiting.put(None)
                    break
                convoy.append(passenger)
        return convoy

    def _outcomes(self, messages: Sequence[bytes]) -> Sequence[Outcome]:
        try:
            if len(messages) == 1:
                return [wire.decode_object(self._lanes.exchange(messages[0]))]
            answers = wire.decode_object(self._lanes.exchange(wire.encode_convoy(messages)))["answers"]
            return [answer for answer, _ in zip(answers, messages, strict=True)]
        except Exception as error:  # everybody's
            return [error] * len(messages)


@contextmanager
def _service_errors() -> Iterator[None]:
    """Flight's exceptions as ours (C1, C2)."""
    try:
        yield
    except fl.FlightError as error:
        raise _service_error(error) from None
    except pa.ArrowException as error:
        raise ServiceError(str(error)) from None


def _service_error(error: fl.FlightError) -> ServiceError:
    if error.extra_info:
        with suppress(ValueError, KeyError, TypeError):
            return decode_error(error.extra_info)
    if isinstance(error, fl.FlightUnavailableError):
        return EngineUnreachable("the engine is not reachable", hint="it may be starting; try again")
    if isinstance(error, fl.FlightCancelledError):
        return CallCancelled("the call was cancelled")
    if isinstance(error, fl.FlightTimedOutError):
        return EngineTimeout("the engine did not answer in time")
    return ServiceError(str(error))

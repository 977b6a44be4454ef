"""The engine's own client: what it sends is what the node gets, what the node raises is what it raises."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import DatabaseNotFound, InvalidRequest, LinesRejected, TooLarge, Unavailable, UnsupportedFeature
from engine.requests import WriteRequest
from flightserver import client as client_module
from flightserver import wire
from flightserver.client import ARENA_FROM_BYTES, EngineClient
from flightserver.server import EngineServer
from tests.helpers.flight_process import FlightProcess, within
from tests.helpers.memory_node import MemoryNode

LINE = b"cpu,host=a usage=1 %d\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "handover").mkdir(mode=0o700)
    return tmp_path


@pytest.fixture
def location(directory: Path) -> str:
    return f"grpc+unix://{directory}/engine.sock"


@pytest.fixture
def engine(node: MemoryNode, location: str, directory: Path) -> Iterator[EngineServer]:
    server = EngineServer(node, location, handover_dir=directory / "handover", max_message_bytes=8 << 20)
    yield server
    server.shutdown()


@pytest.fixture
def client(engine: EngineServer, location: str, directory: Path) -> Iterator[EngineClient]:
    client = EngineClient(location, handover_dir=directory / "handover")
    yield client
    client.close()


def lines(count: int) -> bytes:
    return b"".join(LINE % number for number in range(count))


@pytest.mark.parametrize(
    ("count", "line_bytes"), [(1, 40), (100, 40), (5_000, 40), (5_000, 1_000)], ids=["line", "message", "arena", "beyond"]
)
def test_a_body_of_any_size_arrives_whole(
    client: EngineClient, node: MemoryNode, directory: Path, count: int, line_bytes: int
) -> None:
    body = b"cpu,host=%s usage=1 1\n" % (b"a" * line_bytes) * count
    bodies = []
    node.before_lines = lambda request: bodies.append(bytes(request.body))

    report = client.write_lp(db="db", body=body, precision="second", no_sync=True, door="v1")

    assert report == {"rows": count, "rejected": []}
    assert bodies == [body]
    request = node.requests[0]
    assert (request.database, request.precision, request.no_sync, request.door) == ("db", 1, True, "v1")
    assert list((directory / "handover").iterdir()) == []


def test_large_bodies_lie_in_shared_memory_and_small_ones_in_the_message(client: EngineClient, node: MemoryNode) -> None:
    is_shared = []
    node.before_lines = lambda request: is_shared.append(memoryview(request.body).obj.__class__.__name__ == "mmap")

    client.write_lp(db="db", body=lines(1))
    client.write_lp(db="db", body=lines(ARENA_FROM_BYTES // 20))

    assert is_shared == [False, True]


def test_a_body_that_was_put_together_in_an_arena_stays_where_it_is(client: EngineClient, node: MemoryNode) -> None:
    """C5."""
    seen: list[tuple[str, bytes]] = []
    node.before_lines = lambda request: seen.append((memoryview(request.body).obj.__class__.__name__, bytes(request.body)))
    body = lines(ARENA_FROM_BYTES // 20)

    for _ in range(2):
        with client.room_for(len(body)) as room:
            assert room is not None
            room.memory[: len(body)] = body
            report = client.send_lp(wire.WriteHeader("db"), room.memory[: len(body)], room)
        assert report == {"rows": body.count(b"\n"), "rejected": []}

    assert seen == [("mmap", body)] * 2
    with client.room_for(wire.ARENA_BYTES + 1) as room:
        assert room is None


def test_the_arena_is_the_engines_until_it_answers(client: EngineClient, node: MemoryNode) -> None:
    """C4, P3, L2: concurrent writers never see each other's lines."""
    seen: list[tuple[bytes, bytes]] = []

    def look_twice(request: Any) -> None:
        first = bytes(request.body)
        time.sleep(0.02)
        seen.append((first, bytes(request.body)))

    node.before_lines = look_twice
    bodies = [b"cpu,host=%d usage=1 1\n" % number * 4000 for number in range(8)]

    threads = [threading.Thread(target=client.write_lp, kwargs={"db": "db", "body": body}) for body in bodies * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(first == second for first, second in seen)
    assert sorted(first for first, _ in seen) == sorted(bodies * 3)


def test_refused_lines_are_listed(client: EngineClient) -> None:
    report = client.write_lp(db="db", body=b"cpu,host=a usage=1 1\nrubbish\n")

    assert report["rows"] == 1
    assert [(line["line_number"], line["original_line"]) for line in report["rejected"]] == [(2, "rubbish")]


def test_a_refused_body_is_raised_with_all_its_lines_and_the_lane_goes_on(client: EngineClient) -> None:
    """C1, L1."""
    body = b"".join(b"rubbish %d\n" % number * 3 for number in range(5_000))

    with pytest.raises(LinesRejected) as caught:
        client.write_lp(db="db", body=body, accept_partial=False)

    assert caught.value.message == "parsing failed for write_lp endpoint"
    assert len(caught.value.details["rejected"]) == 15_000
    assert client.write_lp(db="db", body=lines(1))["rows"] == 1


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("no", hint="yes"),
        DatabaseNotFound("db"),
        Unavailable("the log is full", retry_after_s=1),
        TooLarge("too much", limit=5),
        UnsupportedFeature("not here"),
    ],
)
def test_what_the_node_raises_comes_out_as_it_was(client: EngineClient, node: MemoryNode, error: Exception) -> None:
    """C1."""
    for call in (
        lambda: client.write_lp(db="db", body=lines(1)),
        lambda: client.query(db="db", q="SELECT 1"),
        lambda: client.admin("create_database", {"name": "db"}),
    ):
        node.fail_with = error
        with pytest.raises(type(error)) as caught:
            call()
        assert caught.value == error


def test_an_error_in_the_middle_of_a_result_comes_out_as_it_was(client: EngineClient, node: MemoryNode) -> None:
    """C1."""
    node.create_database("db")
    stream = client.query(db="db", q="SELECT 1 / (value - 20000) AS v FROM generate_series(0, 30000)")

    with pytest.raises(InvalidRequest, match="Divide by zero"):
        stream.read_all()


def test_a_body_beyond_the_limit_is_too_large(client: EngineClient) -> None:
    with pytest.raises(TooLarge, match="the limit is 8388608"):
        client.write_lp(db="db", body=b"x" * (9 << 20))


def test_queries_and_admin_verbs(client: EngineClient) -> None:
    client.admin("create_database", {"name": "db"})
    client.write_lp(db="db", body=lines(3))

    assert client.query(db="db", q="SELECT count(*) AS n FROM cpu").read_all().to_pylist() == [{"n": 3}]
    assert client.query(db="db", q="SELECT $a + 1 AS n", params={"a": 2}).read_all().to_pylist() == [{"n": 3}]
    assert [database["name"] for database in client.admin("list_databases", {})["databases"]] == ["db"]
    assert client.health() == {"status": "ok"}
    assert client.metrics() == b"flightline_up 1\n"
    assert client.identity()["node_id"] == "memory"


def test_a_result_that_is_left_early_is_closed_in_the_engine(client: EngineClient, node: MemoryNode) -> None:
    node.create_database("db")
    stream = client.query(db="db", q="SELECT value FROM generate_series(0, 100000000)")
    next(iter(stream))

    stream.close()

    within(60, lambda: node.closed_results == 1)


def test_a_full_hand_over_directory_is_no_reason_to_fail(
    client: EngineClient, node: MemoryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C5."""

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_room)

    assert client.write_lp(db="db", body=lines(5_000))["rows"] == 5_000


def test_without_hand_over_directory_lines_travel_in_the_message(engine: EngineServer, location: str) -> None:
    """C5."""
    client = EngineClient(location)

    assert client.write_lp(db="db", body=lines(5_000))["rows"] == 5_000
    client.close()


def test_after_a_restart_the_next_call_reaches_the_new_engine(directory: Path, location: str) -> None:
    """C2, C3."""
    handover = directory / "handover"
    client = EngineClient(location, handover_dir=handover)
    engine = FlightProcess(location, handover)
    threads = [threading.Thread(target=client.write_lp, kwargs={"db": "db", "body": lines(5_000)}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    engine.kill()
    with pytest.raises(Unavailable, match="not reachable"):
        client.write_lp(db="db", body=lines(1))
    with pytest.raises(Unavailable, match="not reachable"):
        client.health()
    (directory / "engine.sock").unlink(missing_ok=True)
    (handover / wire.new_arena_name()).write_bytes(b"left behind")
    engine = FlightProcess(location, handover)

    def reaches() -> bool:
        try:
            return client.write_lp(db="db", body=lines(5_000))["rows"] == 5_000
        except Unavailable:
            return False

    within(60, reaches)
    assert list(handover.iterdir()) == []
    client.close()
    engine.kill()


def test_lanes_that_a_restart_has_closed_are_replaced_without_an_error(directory: Path, location: str) -> None:
    """C3."""
    client = EngineClient(location, handover_dir=directory / "handover")
    engine = FlightProcess(location, directory / "handover")
    client.write_lp(db="db", body=lines(1))
    engine.kill()
    (directory / "engine.sock").unlink(missing_ok=True)
    engine = FlightProcess(location, directory / "handover")
    within(60, lambda: _is_up(client))

    assert client.write_lp(db="db", body=lines(1))["rows"] == 1
    client.close()
    engine.kill()


def test_a_body_outlives_the_lane_in_whose_arena_it_lies(location: str, directory: Path) -> None:
    """C3, C5: an engine that was there before is gone when the last byte has come."""
    client = EngineClient(location, handover_dir=directory / "handover")
    engine = FlightProcess(location, directory / "handover")
    body = lines(5_000)
    with client.room_for(len(body)) as room:
        assert room is not None
        engine.kill()
        (directory / "engine.sock").unlink(missing_ok=True)
        engine = FlightProcess(location, directory / "handover")
        within(60, lambda: _is_up(client))
        room.memory[: len(body)] = body
        assert client.send_lp(wire.WriteHeader("db"), room.memory[: len(body)], room)["rows"] == 5_000

    client.close()
    engine.kill()


def _is_up(client: EngineClient) -> bool:
    try:
        return bool(client.health())
    except Unavailable:
        return False


def test_an_engine_that_does_not_answer_is_given_up_in_time(
    directory: Path, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C2."""
    monkeypatch.setattr(client_module, "LANE_AGE_MAX_S", 0.3)
    client = EngineClient(location, timeout_s=0.3)
    engine = FlightProcess(location, directory / "handover")
    client.write_lp(db="db", body=lines(1))
    engine.pause()
    started_s = time.monotonic()

    with pytest.raises(Unavailable, match="did not answer in time"):
        client.health()
    with pytest.raises(Unavailable, match="did not answer in time"):
        client.write_lp(db="db", body=lines(1))

    assert time.monotonic() - started_s < 30
    engine.resume()
    within(60, lambda: _is_up(client))
    client.close()
    engine.kill()


def test_old_lanes_are_replaced(client: EngineClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LANE_AGE_MAX_S", 0.0)

    for _ in range(3):
        assert client.write_lp(db="db", body=lines(5_000))["rows"] == 5_000


def test_a_stopping_server_refuses_writes_on_lanes_that_are_open(
    client: EngineClient, engine: EngineServer, node: MemoryNode
) -> None:
    client.write_lp(db="db", body=lines(1))
    stopping = threading.Thread(target=engine.shutdown)
    stopping.start()

    def refused() -> bool:
        try:
            client.write_lp(db="db", body=lines(1))
        except Unavailable:
            return True
        return False

    within(60, refused)
    client.close()
    stopping.join(60)
    assert not stopping.is_alive()


def test_writes_that_travel_together_get_their_own_answers(client: EngineClient, node: MemoryNode) -> None:
    """C6, C4: good bodies, refused lines and refused bodies from many threads at once."""
    gate = threading.Event()

    def hold(_: WriteRequest) -> None:
        gate.wait(0.05)

    node.before_lines = hold
    outcomes: dict[int, object] = {}

    def write(number: int) -> None:
        try:
            if number % 3 == 0:
                outcomes[number] = client.write_lp(db="db", body=b"t v=1 %d" % number, precision="nanosecond")["rows"]
            elif number % 3 == 1:
                report = client.write_lp(db="db", body=b"t v=1 %d\nbad%d" % (number, number), precision="nanosecond")
                outcomes[number] = (report["rows"], [line["original_line"] for line in report["rejected"]])
            else:
                client.write_lp(db="db", body=b"bad%d" % number, precision="nanosecond", accept_partial=False)
        except LinesRejected as refused:
            outcomes[number] = refused.details["rejected"][0]["original_line"]

    threads = [threading.Thread(target=write, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(60)

    expected: dict[int, object] = {}
    for number in range(60):
        expected[number] = (1, (1, [f"bad{number}"]), f"bad{number}")[number % 3]
    assert outcomes == expected


def test_an_engine_that_is_gone_is_told_to_everybody_who_travels(location: str, directory: Path) -> None:
    """C2, C6."""
    client = EngineClient(location, handover_dir=directory / "handover")
    refused: list[Exception] = []

    def write() -> None:
        try:
            client.write_lp(db="db", body=b"t v=1 1")
        except Unavailable as error:
            refused.append(error)

    threads = [threading.Thread(target=write) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(refused) == 20
    client.close()


@pytest.mark.parametrize(
    "message", [b"convoy ", b"convoy {}\n", b'convoy {"lengths":[5]}\nabc', b'convoy {"lengths":[-1,4]}\nabc']
)
def test_a_convoy_that_is_not_what_it_says_is_refused(message: bytes) -> None:
    """C6."""
    with pytest.raises(InvalidRequest):
        wire.decode_convoy(memoryview(message))

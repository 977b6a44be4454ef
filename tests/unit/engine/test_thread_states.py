"""Threads that are not Python's own and call it again and again."""

import ctypes
import threading
import weakref
from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.flight as fl

from engine._native import keep_thread_state

_STARTED = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)


class Token:
    pass


def run_in_a_foreign_thread(run: Callable[[], None]) -> None:
    def started(_: int | None) -> None:
        run()

    system, number, callback = ctypes.CDLL(None), ctypes.c_ulong(), _STARTED(started)
    assert system.pthread_create(ctypes.byref(number), None, callback, None) == 0
    assert system.pthread_join(number, None) == 0


def test_what_a_thread_kept_goes_when_the_next_one_asks() -> None:
    """H2."""
    kept, tokens = threading.local(), []

    def run() -> None:
        keep_thread_state()
        keep_thread_state()
        kept.token = Token()
        tokens.append(weakref.ref(kept.token))

    for _ in range(3):
        run_in_a_foreign_thread(run)

    assert [token() is None for token in tokens] == [True, True, False]
    run_in_a_foreign_thread(keep_thread_state)
    assert tokens[-1]() is None


def test_a_thread_of_pythons_own_may_ask_for_it_too() -> None:
    """H1."""
    thread = threading.Thread(target=keep_thread_state)

    thread.start()
    thread.join()

    assert not thread.is_alive()


def test_what_a_call_left_in_its_thread_is_there_when_the_same_call_comes_again() -> None:
    """H1: gRPC's threads come in for the headers, for the handler and for the end of a call."""
    kept, found = threading.local(), []

    class Keeper(fl.ServerMiddlewareFactory):  # type: ignore[misc]  # pyarrow ships no types
        def start_call(self, info: fl.CallInfo, headers: Mapping[str, list[str]]) -> None:
            keep_thread_state()
            kept.said = headers["said"][0]

    class Server(fl.FlightServerBase):  # type: ignore[misc]  # pyarrow ships no types
        def do_action(self, context: fl.ServerCallContext, action: fl.Action) -> list[bytes]:
            found.append(kept.said)
            return []

    server = Server("grpc://127.0.0.1:0", middleware={"keeper": Keeper()})
    with server, fl.connect(f"grpc://127.0.0.1:{server.port}") as client:
        for word in (b"one", b"two"):
            options = fl.FlightCallOptions(headers=[(b"said", word)])
            assert list(client.do_action(fl.Action("any", pa.py_buffer(b"")), options)) == []

    assert found == ["one", "two"]

"""Start, stop and mishaps of a server, as processes (B1-B4, K1, K2, L2, P5)."""

import http.client
import json
import os
import signal
import socket
import threading
from contextlib import closing
from pathlib import Path

import psutil
import pyarrow.flight as flight
import pytest

from tests.helpers.servers import Server, action, launch, running, wait_until


def gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def answers(server: Server) -> bool:
    try:
        return server.get("/pid").isdigit()
    except OSError:
        return False


def refuses_connections(server: Server) -> bool:
    try:
        socket.create_connection((server.host, server.port), timeout=60).close()
    except ConnectionError:
        return True
    return False


def flight_answers(server: Server) -> bool:
    try:
        with server.flight() as client:
            return action(client, "echo", b"x") == b"x"
    except flight.FlightError:
        return False


def test_a_started_server_says_where_it_is_in_one_line_and_answers_both_protocols(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        assert server.get("/pid").isdigit()
        assert flight_answers(server)

        wait_until(lambda: "url=" in server.text)
        [line] = server.text.splitlines()
        assert f"url=http://127.0.0.1:{server.port}" in line
        assert f"store=file://{tmp_path}" in line
        assert "node=node" in line


def test_it_stops_on_sigterm_with_exit_code_0_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """B3, B4."""
    with running(tmp_path) as server:
        assert answers(server)
        family = [child.pid for child in server.children()]
        directory = server.run_directory()
        assert directory.is_dir()

        assert server.stop() == 0

        assert server.journal == ["start", "stopped"]
        assert gone(family)
        assert not directory.exists()


def test_ctrl_c_in_a_terminal_is_an_orderly_stop_too(tmp_path: Path) -> None:
    """K2: the children are in groups of their own, or gunicorn would stop at once and the engine with it."""
    with running(tmp_path) as server:
        assert all(os.getpgid(child.pid) != os.getpgid(server.process.pid) for child in server.children())
        server.signal(signal.SIGINT)

        assert server.wait() == 0
        assert server.journal == ["start", "stopped"]


def test_a_request_that_runs_while_it_stops_is_answered(tmp_path: Path) -> None:
    """B3, P5."""
    with running(tmp_path) as server, closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request("GET", "/sleep?s=1")
        response = connection.getresponse()
        server.signal(signal.SIGTERM)

        assert (response.status, response.read()) == (200, b"slept")
        assert server.wait() == 0


def test_a_request_whose_answer_has_not_begun_when_it_stops_is_answered(tmp_path: Path) -> None:
    """B3, P5."""
    held = tmp_path / "held"
    with running(tmp_path) as server, closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request("GET", f"/held?by={held}")
        wait_until(held.with_suffix(".asked").exists)
        server.signal(signal.SIGTERM)
        wait_until(lambda: refuses_connections(server))
        held.touch()
        response = connection.getresponse()

        assert (response.status, response.read()) == (200, b"held")
        assert server.wait() == 0


def test_a_flight_call_that_runs_while_it_stops_is_answered(tmp_path: Path) -> None:
    """B3."""
    with running(tmp_path) as server, server.flight() as client:
        answers = client.do_action(flight.Action("sleep", b"1"))
        assert next(answers).body.to_pybytes() == b"asleep"
        server.signal(signal.SIGTERM)

        assert [answer.body.to_pybytes() for answer in answers] == [b"1"]
        assert server.wait() == 0


def test_stopping_under_load_refuses_the_new_and_finishes_the_old(tmp_path: Path) -> None:
    """B3, P5: every request is answered whole, or its connection could not be opened."""
    done, broken = [], []

    def client(port: int) -> None:
        while True:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
                try:
                    connection.connect()
                except OSError:
                    return
                try:
                    connection.request("POST", "/echo", body=b"x" * 1000)
                    done.append(len(connection.getresponse().read()))
                except (OSError, http.client.HTTPException) as error:
                    broken.append(error)

    with running(tmp_path) as server:
        threads = [threading.Thread(target=client, args=(server.port,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(done) > 50)

        assert server.stop() == 0

        for thread in threads:
            thread.join(60)
    assert set(done) == {1000}
    assert broken == []


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    with running(tmp_path) as server, closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request("GET", "/sleep?s=20")
        connection.getresponse()
        server.signal(signal.SIGINT)
        wait_until(lambda: "stopping" in server.text)
        server.signal(signal.SIGINT)

        assert server.wait(60) == 130


def test_a_request_without_end_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    """B3."""
    with running(tmp_path) as server, socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(b"POST /echo HTTP/1.1\r\nContent-Length: 1000\r\n\r\nx")

        assert server.stop() == 0


def test_a_dead_engine_is_started_again_and_http_stays_up_meanwhile(tmp_path: Path) -> None:
    """B2."""
    with running(tmp_path) as server:
        os.kill(server.engine_pid(), signal.SIGKILL)

        assert answers(server)
        wait_until(lambda: flight_answers(server))
        assert server.journal == ["start", "start"]
        assert "the engine process was ended by SIGKILL, starting it again" in server.text
        assert server.stop() == 0


def test_a_call_that_comes_while_the_engine_starts_waits_for_it(tmp_path: Path) -> None:
    """Y4."""
    with running(tmp_path) as server:
        (tmp_path / "slow").touch()
        os.kill(server.engine_pid(), signal.SIGKILL)
        wait_until(lambda: server.journal == ["start", "start"])

        with server.flight() as client:
            assert action(client, "echo", b"patience") == b"patience"


def test_a_dead_worker_and_a_dead_master_are_replaced_and_no_connection_is_refused(tmp_path: Path) -> None:
    """B1, B2."""
    with running(tmp_path) as server:
        os.kill(int(server.get("/pid")), signal.SIGKILL)
        assert answers(server)

        master = server.master_pid()
        os.kill(master, signal.SIGKILL)
        assert answers(server)
        wait_until(lambda: "starting it again" in server.text)
        assert answers(server)
        assert flight_answers(server)
        assert server.stop() == 0


def test_when_the_supervisor_is_killed_the_rest_goes_too_and_a_new_one_can_start(tmp_path: Path) -> None:
    """B4, K1."""
    with running(tmp_path) as server:
        assert answers(server)
        family = [child.pid for child in server.children()]
        left_behind = server.run_directory()
        server.process.kill()

        wait_until(lambda: gone(family))
        with running(tmp_path, bind=f"127.0.0.1:{server.port}") as again:
            assert answers(again)
            assert not left_behind.exists()


def test_a_second_server_on_the_same_node_is_told_so_and_the_first_goes_on(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        port = first.port
        second = launch(tmp_path, "--node-id", "node")

        assert second.wait() == 1
        assert second.text.splitlines()[-1] == "Serve command failed: node node is in use by another server"
        first.port = port
        assert answers(first)
        assert flight_answers(first)


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    """B1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for option in ("--http-bind", "--flight-bind"):
            server = launch(tmp_path, option, f"127.0.0.1:{port}")

            assert server.wait() == 1
            expected = f"Serve command failed: cannot listen on 127.0.0.1:{port}: the port is taken by another process"
            assert server.text.splitlines() == [expected]


def test_an_engine_that_refuses_to_start_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "refuse").write_text("the store file:///x is read-only")
    server = launch(tmp_path)

    assert server.wait() == 1
    assert server.text.splitlines() == ["Serve command failed: the store file:///x is read-only"]


def test_an_engine_that_dies_before_it_is_ready_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "die").touch()
    server = launch(tmp_path)

    assert server.wait() == 1
    assert server.text.splitlines() == ["Serve command failed: the engine ended with exit code 7 before it was ready"]


def test_a_part_that_keeps_dying_ends_the_server_with_a_sentence(tmp_path: Path) -> None:
    """B2."""
    with running(tmp_path) as server:
        (tmp_path / "die").touch()
        os.kill(server.engine_pid(), signal.SIGKILL)

        assert server.wait(60) == 1
        assert server.text.splitlines()[-1] == (
            "Serve command failed: the engine process keeps dying; it ended with exit code 7"
        )
        assert server.text.count("starting it again") == 3


def test_sigterm_before_it_is_ready_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "slow").touch()
    server = launch(tmp_path)
    wait_until(lambda: (tmp_path / "journal").exists())

    assert server.stop() == 0
    assert "ready" not in server.text


def test_an_engine_that_refuses_to_come_back_is_quoted_at_the_end(tmp_path: Path) -> None:
    """B2."""
    with running(tmp_path) as server:
        (tmp_path / "refuse").write_text("the store is gone")
        os.kill(server.engine_pid(), signal.SIGKILL)

        assert server.wait(60) == 1
        expected = "Serve command failed: the engine process keeps dying; it cannot start again: the store is gone"
        assert server.text.splitlines()[-1] == expected


def test_it_listens_on_ipv6_too(tmp_path: Path) -> None:
    with running(tmp_path, bind="[::1]:0") as server:
        server.host = "[::1]"

        assert answers(server)
        assert flight_answers(server)
        wait_until(lambda: f"url=http://[::1]:{server.port}" in server.text)


def test_flight_has_an_address_of_its_own_when_asked(tmp_path: Path) -> None:
    with running(tmp_path, "--flight-bind", "127.0.0.1:0") as server:
        wait_until(lambda: "flight=" in server.text)
        port = server.text.split("flight=")[1].split()[0]

        with flight.connect(f"grpc://127.0.0.1:{port}") as client:
            assert action(client, "echo", b"direct") == b"direct"


def test_all_processes_log_in_the_same_format(tmp_path: Path) -> None:
    """L2."""
    with running(tmp_path, "--log-format", "json", "--log-filter", "debug") as server:
        with pytest.raises(OSError, match="500"):
            server.get("/fail")
        assert server.stop() == 0

        events = [json.loads(line) for line in server.text.splitlines()]
        targets = {event["target"] for event in events}
        assert {"flightserver.boot", "gunicorn.error"} <= targets
        [failure] = [event for event in events if "asked to fail" in event.get("exception", "")]
        assert failure["level"] == "error"


def test_a_start_costs_little(tmp_path: Path) -> None:
    """B5: in processor time, since other tests may keep the machine busy."""
    with running(tmp_path) as server:
        assert answers(server)
        family = [psutil.Process(server.process.pid), *server.children()]

        assert sum(sum(process.cpu_times()[:2]) for process in family) < 3

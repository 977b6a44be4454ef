"""The one port over TLS, with real clients of both kinds (P1, P4)."""

import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as flight
import pytest
import requests

from httpapi.connections import IO_TIMEOUT_S
from tests.helpers.certificates import Certificate, make_certificate
from tests.helpers.servers import Server, action, launch, read_response, running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), *certificate.options) as started:
        yield started


def flight_client(server: Server, certificate: Certificate) -> flight.FlightClient:
    return flight.connect(f"grpc+tls://127.0.0.1:{server.port}", tls_root_certs=certificate.cert.read_bytes())


def tls(server: Server, certificate: Certificate, *protocols: str, newest: ssl.TLSVersion | None = None) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(certificate.cert))
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if newest is not None:
        context.maximum_version = newest
    return context.wrap_socket(socket.create_connection(("127.0.0.1", server.port), timeout=60), server_hostname="localhost")


def test_http_and_grpc_share_the_port_over_tls(server: Server, certificate: Certificate) -> None:
    url = f"https://127.0.0.1:{server.port}"
    with flight_client(server, certificate) as client, requests.Session() as session:
        session.verify, session.trust_env = str(certificate.cert), False
        for number in range(10):
            body = str(number).encode()
            assert action(client, "echo", body) == body
            assert session.post(url + "/echo", data=body, timeout=60).content == body
        assert session.get(url + "/scheme", timeout=60).content == b"https"
    assert f"url=https://127.0.0.1:{server.port}" in server.text


def test_large_bodies_and_streams_arrive_whole(server: Server, certificate: Certificate) -> None:
    body = os.urandom(5_000_000)
    response = requests.post(f"https://127.0.0.1:{server.port}/echo", data=body, verify=str(certificate.cert), timeout=60)
    assert response.content == body

    batch = pa.record_batch({"x": pa.array(range(131072), pa.int64())})
    with flight_client(server, certificate) as client:
        assert action(client, "echo", body) == body
        assert client.do_get(flight.Ticket(b"50")).read_all().num_rows == 50 * 131072
        writer, acknowledgements = client.do_put(flight.FlightDescriptor.for_path("t"), batch.schema)
        for _ in range(20):
            writer.write_batch(batch)
            assert acknowledgements.read().to_pybytes() == b"131072"
        writer.close()


@pytest.mark.parametrize(
    ("offered", "spoken"), [(("h2", "http/1.1"), "http/1.1"), (("http/1.1", "h2"), "http/1.1"), (("h2",), "h2"), ((), None)]
)
def test_clients_that_could_speak_both_speak_http_1(
    server: Server, certificate: Certificate, offered: tuple[str, ...], spoken: str | None
) -> None:
    """P1."""
    with tls(server, certificate, *offered) as connection:
        assert connection.selected_alpn_protocol() == spoken
        if spoken == "h2":
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
            assert connection.recv(9)[3] == 4
        else:
            connection.sendall(b"GET /scheme HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_response(connection) == (200, b"https")


def test_requests_sent_without_waiting_are_all_answered(server: Server, certificate: Certificate) -> None:
    """Decrypted bytes that wait in the TLS layer do not make a socket readable."""
    with tls(server, certificate) as eager:
        eager.sendall(b"GET /scheme HTTP/1.1\r\nHost: x\r\n\r\n" * 30)
        received = b""
        while received.count(b"https") < 30:
            received += eager.recv(65536)


def test_handshakes_that_stall_and_plain_text_hold_nobody_up(server: Server, certificate: Certificate) -> None:
    """P4."""
    with ExitStack() as stack:
        for beginning in (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"):
            for _ in range(50):
                silent = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
                silent.sendall(beginning)
        began = time.monotonic()
        with tls(server, certificate) as connection:
            connection.sendall(b"GET /scheme HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_response(connection) == (200, b"https")
        assert time.monotonic() - began < IO_TIMEOUT_S, "sooner than those are given up"


def test_the_oldest_version_is_the_one_that_was_asked_for(tmp_path: Path, certificate: Certificate, server: Server) -> None:
    with tls(server, certificate, newest=ssl.TLSVersion.TLSv1_2) as connection:
        assert connection.version() == "TLSv1.2"

    with running(tmp_path, *certificate.options, "--tls-minimum-version", "tls-1.3") as strict:
        with tls(strict, certificate) as connection:
            assert connection.version() == "TLSv1.3"
        with pytest.raises(ssl.SSLError):
            tls(strict, certificate, newest=ssl.TLSVersion.TLSv1_2)


def test_a_key_that_does_not_fit_is_one_sentence(tmp_path: Path, certificate: Certificate) -> None:
    other = make_certificate(tmp_path)
    server = launch(tmp_path / "data", "--tls-cert", str(certificate.cert), "--tls-key", str(other.key))

    assert server.wait() == 1
    assert server.text == (
        f"Serve command failed: --tls-cert {certificate.cert} and --tls-key {other.key} cannot be used: "
        "the key does not belong to the certificate\n"
    )

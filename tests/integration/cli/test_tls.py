"""Commands over TLS, with HTTP and with gRPC."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PRODUCT
from tests.helpers.certificates import Certificate, make_certificate
from tests.helpers.cli import influxdb3
from tests.helpers.servers import Server, running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("secure")
    with running(directory, "--object-store", "memory", *certificate.options, command=PRODUCT) as server:
        yield server


@pytest.mark.parametrize("scheme", ["https", "grpc+tls"])
@pytest.mark.parametrize("trusted", [True, False])
def test_commands_work_when_the_certificate_is_trusted_or_need_not_be(
    secure: Server, certificate: Certificate, scheme: str, trusted: bool
) -> None:
    url = f"{scheme}://127.0.0.1:{secure.port}"
    variables = {"INFLUXDB3_TLS_CA": str(certificate.cert)} if trusted else {"INFLUXDB3_TLS_NO_VERIFY": "true"}
    to = ("-d", "cli_tls")

    written = influxdb3("write", *to, "-q", "cpu n=1i 1", url=url, variables=variables)
    asked = influxdb3("query", *to, "--format", "csv", "SELECT n FROM cpu", url=url, variables=variables)
    listed = influxdb3("show", "databases", "--format", "csv", url=url, variables=variables)

    assert (written.code, written.err) == (0, "")
    assert asked.lines == ["n", "1"]
    assert "cli_tls" in listed.lines


@pytest.mark.parametrize(
    "arguments", [("show", "databases"), ("query", "-d", "x", "SELECT 1"), ("write", "-d", "x", "-q", "a b=1")]
)
@pytest.mark.parametrize("scheme", ["https", "grpc+tls"])
def test_a_certificate_that_nobody_vouches_for_is_refused(secure: Server, scheme: str, arguments: tuple[str, ...]) -> None:
    done = influxdb3(*arguments, url=f"{scheme}://127.0.0.1:{secure.port}")

    assert done.code == 1
    assert "the certificate is not trusted" in done.err
    assert "--tls-ca names one to trust" in done.err


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_who_forgets_that_the_server_has_a_certificate_is_told(secure: Server, scheme: str) -> None:
    done = influxdb3("show", "databases", url=f"{scheme}://127.0.0.1:{secure.port}")

    assert done.code == 1
    wanted = {"http": "https", "grpc": "grpc+tls"}[scheme]
    assert f"closed without an answer (a server with a certificate wants {wanted}://)" in done.err


def test_a_lost_token_is_replaced_over_tls(tmp_path: Path, certificate: Certificate) -> None:
    listener = tmp_path / "recovery"
    options = (
        *("--object-store", "memory", *certificate.options),
        *("--admin-token-recovery-http-bind", "127.0.0.1:0", "--admin-token-recovery-tcp-listener-file-path", str(listener)),
    )
    trusting = {"INFLUXDB3_TLS_CA": str(certificate.cert)}
    with running(tmp_path / "data", *options, command=PRODUCT, with_tokens=True) as server:
        here, there = f"https://127.0.0.1:{server.port}", f"https://{listener.read_text()}"
        influxdb3("create", "token", "--admin", url=here, variables=trusting)

        plain = influxdb3("create", "token", "--admin", "--regenerate", "-y", url=there.replace("https", "http"))
        made = influxdb3("create", "token", "--admin", "--regenerate", "-y", "--format", "json", url=there, variables=trusting)
        token = json.loads(made.out)["token"]
        used = influxdb3("show", "databases", "--token", token, url=here, variables=trusting)

    assert plain.code == 1
    assert (used.code, used.err) == (0, "")

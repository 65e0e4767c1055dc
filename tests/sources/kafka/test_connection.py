"""How to connect, as a person wrote it: what is wrong is said by the field's name."""

import pytest

from sources.kafka import connection
from sources.source import NotReady


@pytest.mark.parametrize("server", ["nohostport", "b:", ":9092", "b:http", "b:0", "b:65536", "a:1,b:2",
                                    "kafka://b:9092", "::1:9092"])
def test_no_address(server):
    """What is no HOST:PORT is named with its place in the list."""
    with pytest.raises(NotReady) as refused:
        connection.arguments({"bootstrapServers": ["b:9092", server]}, {})

    assert refused.value.reason == "BootstrapServerInvalid"
    assert str(refused.value) == f"spec.bootstrapServers[1]: HOST:PORT expected, not '{server}'"


def test_addresses():
    """Names, IPv4 and IPv6 are taken, with spaces around them, too."""
    servers = ["b.example:9092", "10.0.0.1:1", "[::1]:65535", " b_1:9092 "]

    found = connection.of_secret(servers, {})["bootstrap_servers"]

    assert found == ["b.example:9092", "10.0.0.1:1", "[::1]:65535", "b_1:9092"]


@pytest.mark.parametrize("text", [
    "s3cret", "-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----\n", "s3cret \u00e4"])
def test_no_certificate(text):
    """What is no PEM certificate is called so, and not shown."""
    spec = {"bootstrapServers": ["b:9092"], "net": {"tls": {"enable": True}}}

    with pytest.raises(NotReady) as refused:
        connection.arguments(spec, {"caCert": text})

    assert refused.value.reason == "CertificateInvalid"
    assert str(refused.value) == (
        "spec.net.tls.caCert: is no PEM certificate (-----BEGIN CERTIFICATE-----)")

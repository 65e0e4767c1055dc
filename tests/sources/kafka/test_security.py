"""KafkaSource over SASL and TLS, against a broker that insists on them; no secret is ever printed."""

import pytest

from eventing import projection
from tests.servers.kafka import PASSWORD, USER

NAME = "KafkaSource/default/k"


async def secured(stage, record, secrets):
    """Project a source together with its secrets."""
    await projection.write(stage.store, "source-secrets", NAME, secrets)
    await stage.project(record | {"secret_versions": ["s=1"]})


def sasl(stage, topic):
    """A KafkaSource that authenticates with user and password."""
    return stage.record(topic, bootstrapServers=[stage.kafka.sasl], net={"sasl": {"enable": True}})


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_sasl(stage, mechanism):
    """User and password are accepted with each mechanism."""
    topic = stage.kafka.topic()
    stage.produce(topic, "secret")

    await secured(stage, sasl(stage, topic), {"user": USER, "password": PASSWORD, "type": mechanism})

    await stage.arrived("secret")


@pytest.mark.parametrize("listener", ["sasl", "tls"])
async def test_nothing_to_log_in_with(stage, listener):
    """A server that hangs up on whoever has no login is named, with what it may want."""
    server = getattr(stage.kafka, listener)
    await stage.source("t", bootstrapServers=[server])

    state = await stage.state(ready=False)

    assert state["reason"] == "BrokerUnreachable"
    assert state["message"].startswith(f"{server}: ")
    assert state["message"].endswith("; it may want SASL or TLS")
    assert "AddressFamily" not in state["message"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_wrong_password(stage, mechanism, capfd):
    """A wrong password is named as the reason, and is itself printed nowhere."""
    await secured(stage, sasl(stage, stage.kafka.topic()),
                  {"user": USER, "password": "opensesame", "type": mechanism})

    state = await stage.state(ready=False)

    assert state["reason"] == "AuthenticationFailed"
    assert "opensesame" not in repr(state) + "".join(capfd.readouterr())


async def test_mechanism_that_is_not_offered(stage):
    """A mechanism that we do not have is refused before anything is sent."""
    await secured(stage, sasl(stage, "t"), {"user": USER, "password": PASSWORD, "type": "OAUTHBEARER"})

    assert (await stage.state(ready=False))["reason"] == "SASLMechanismUnsupported"


def tls(stage, topic, **secrets):
    """A KafkaSource over TLS, and its secrets: files of the broker's directory, by name."""
    read = {name: (stage.kafka.directory / file).read_text() for name, file in secrets.items()}
    return stage.record(topic, bootstrapServers=[stage.kafka.tls], net={"tls": {"enable": True}}), read


async def test_mutual_tls(stage):
    """Certificates are checked on both sides."""
    topic = stage.kafka.topic()
    stage.produce(topic, "sealed")

    await secured(stage, *tls(stage, topic, caCert="ca.crt", cert="client.crt", key="client.key"))

    await stage.arrived("sealed")


@pytest.mark.parametrize(("files", "reason"), [
    pytest.param({"cert": "client.crt", "key": "client.key"}, "CertificateInvalid", id="authority not known"),
    pytest.param({"caCert": "ca.crt"}, "BrokerUnreachable", id="no certificate of ours: it only hangs up"),
    pytest.param({"caCert": "client.key"}, "CertificateInvalid", id="no certificate at all"),
    pytest.param({"caCert": "ca.crt", "cert": "client.crt", "key": "server.key"}, "CertificateInvalid",
                 id="a key of another certificate"),
])
async def test_tls_that_fails(stage, files, reason):
    """What is wrong with the certificates is said."""
    await secured(stage, *tls(stage, stage.kafka.topic(), **files))

    assert (await stage.state(ready=False))["reason"] == reason

"""Where the server is, from a Secret; and that no Secret is shown."""

import pytest

from sources.rabbitmq import address
from sources.source import NotReady


@pytest.mark.parametrize(("secrets", "vhost", "expected"), [
    ({"uri": "amqp://u:p@mq.example:5673/v"}, "/", ("mq.example", 5673, "u", "p", "v", False)),
    ({"uri": "amqp://u:p@mq.example/v"}, "other", ("mq.example", 5672, "u", "p", "other", False)),
    ({"uri": "amqps://mq.example"}, "/", ("mq.example", 5671, "guest", "guest", "/", True)),
    ({"uri": "mq.example:1", "username": "u", "password": "p@/"}, "/",
     ("mq.example", 1, "u", "p@/", "/", False)),
    ({"uri": "amqp://u:p%40%2F@h/%2Fv"}, "/", ("h", 5672, "u", "p@/", "/v", False)),
    ({"uri": "https://mq.example:15671", "port": "5674"}, "/",
     ("mq.example", 5674, "guest", "guest", "/", False)),
    ({"host": "mq.default.svc", "port": "5672", "username": "u", "password": "p"}, "/",
     ("mq.default.svc", 5672, "u", "p", "/", False)),
    ({"uri": "amqp://[::1]:5672"}, "/", ("::1", 5672, "guest", "guest", "/", False)),
])
def test_address(secrets, vhost, expected):
    """Every form in which people write it is understood; keys go before the URI."""
    at = address.of(secrets, vhost)

    assert (at.host, at.port, at.login, at.password, at.virtualhost, at.ssl) == expected


def test_options():
    """The URI's query is the client's options."""
    assert address.of({"uri": "amqps://h?cafile=/ca.pem"}, "/").options == {"cafile": "/ca.pem"}


@pytest.mark.parametrize("secrets", [
    {"uri": ""}, {"uri": "ftp://u:s3cret@h"}, {"uri": "amqp://u:s3cret@h:port"}, {"uri": "amqp://u:s3cret@[h"},
    {"uri": "h", "port": "s3cret"}, {"uri": "h", "port": "70000"}, {"uri": "amqp://h:0"},
])
def test_what_is_none(secrets):
    """What cannot be read is refused in words that have nothing of the Secret in them."""
    with pytest.raises(NotReady, match="the Secret's") as caught:
        address.of(secrets, "/")

    assert caught.value.reason == "SecretInvalid"
    assert "s3cret" not in f"{caught.value} {caught.value.__cause__!r}"


def test_repr():
    """An address that is printed hides the password."""
    assert "s3cret" not in repr(address.of({"uri": "amqp://u:s3cret@h"}, "/"))

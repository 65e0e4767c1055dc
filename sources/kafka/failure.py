"""
What aiokafka raises -> why a KafkaSource is not ready: the one place that knows the library's errors.

    reason                what happened
    BrokerUnreachable     no connection, or it was lost, or no answer in time
    AuthenticationFailed  user and password, or the certificate, were refused
    AuthorizationFailed   the user may not read the topic or use the group
    CertificateInvalid    the server's certificate is not by an authority that we know, or not for its name
    TopicNotFound         the cluster has no such topic
    KafkaError            anything else, with the library's words
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

from aiokafka import errors
from aiokafka.conn import create_conn

from sources.source import NotReady

UNREACHABLE = "BrokerUnreachable"
_PROBE_MS = 5000

_REASONS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((errors.AuthenticationFailedError, errors.AuthenticationMethodNotSupported,
      errors.SaslAuthenticationFailed, errors.UnsupportedSaslMechanismError), "AuthenticationFailed"),
    ((errors.TopicAuthorizationFailedError, errors.GroupAuthorizationFailedError,
      errors.ClusterAuthorizationFailedError), "AuthorizationFailed"),
    ((errors.UnknownTopicOrPartitionError,), "TopicNotFound"),
    ((ssl.SSLCertVerificationError,), "CertificateInvalid"),
    # A broker that dislikes our certificate says so in the handshake; with TLS 1.3 many only hang up.
    ((ssl.SSLError,), "AuthenticationFailed"),
    ((errors.KafkaConnectionError, errors.NodeNotReadyError, errors.KafkaTimeoutError,
      errors.RequestTimedOutError, OSError, TimeoutError), UNREACHABLE),
)


def not_ready(error: BaseException) -> NotReady:
    """*error*, or the first one in a group, as what stands in a condition."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, NotReady):
        return error
    for kinds, reason in _REASONS:
        if isinstance(error, kinds):
            return NotReady(reason, str(error) or type(error).__name__)
    return NotReady("KafkaError", f"{type(error).__name__}: {error}")


async def explain(connection: Mapping[str, Any]) -> NotReady | None:
    """
    Why none of the bootstrap servers can be used: the library only logs that. None if one can.

    Args:
        connection: arguments of a client, as `connection.arguments` makes them.
    """
    how = {name: value for name, value in connection.items() if name != "bootstrap_servers"}
    why: NotReady | None = None
    for server in connection["bootstrap_servers"]:
        host, _, port = server.rpartition(":")
        try:
            made = await asyncio.wait_for(create_conn(host, int(port), request_timeout_ms=_PROBE_MS, **how),
                                          2 * _PROBE_MS / 1000)
        except (errors.KafkaError, OSError, TimeoutError, ValueError) as error:
            found = not_ready(error)
            why = why or NotReady(found.reason, f"{server}: {found}")
        else:
            made.close()
            return None
    return why

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
# Of a listener that wants more than it gets there is only this to see: it hangs up.
_HINTS = {"PLAINTEXT": "; it may want SASL or TLS", "SASL_PLAINTEXT": "; it may want TLS",
          "SSL": "; it may want SASL, or a certificate of ours"}

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
            return NotReady(reason, _words(error))
    return NotReady("KafkaError", f"{type(error).__name__}: {error}")


def _words(error: BaseException) -> str:
    words = str(error) or type(error).__name__
    # The library goes on with its own view of the servers, as Python prints it.
    return "none of the bootstrap servers answers" if "Unable to bootstrap from" in words else words


async def explain(connection: Mapping[str, Any], error: BaseException) -> NotReady:
    """
    Why none of the bootstrap servers can be used, of which the library says little.

    Args:
        connection: arguments of a client, as `connection.arguments` makes them.
        error: what that client's start raised.
    """
    how = {name: value for name, value in connection.items() if name != "bootstrap_servers"}
    why: NotReady | None = None
    hint = _HINTS.get(connection["security_protocol"], "")
    for server in connection["bootstrap_servers"]:
        host, _, port = server.rpartition(":")
        try:
            async with asyncio.timeout(2 * _PROBE_MS / 1000):
                made = await create_conn(host, int(port), request_timeout_ms=_PROBE_MS, **how)
        except (errors.KafkaError, OSError, TimeoutError, ValueError) as problem:
            found = not_ready(problem)
            more = hint if isinstance(problem, errors.KafkaConnectionError) else ""
            why = why or NotReady(found.reason, f"{server}: {found}{more}")
        else:
            made.close()
            if not isinstance(error, errors.KafkaConnectionError):
                return not_ready(error)
            # It greets whoever comes; who then asks for something without a login is hung up on.
            return NotReady(UNREACHABLE, f"{server}: it takes connections and answers nothing{hint}")
    return why or not_ready(error)

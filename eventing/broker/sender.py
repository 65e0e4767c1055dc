"""
One attempt: an event out by POST, an Answer back. Whatever goes wrong on the way is an Answer too.

The message is binary, or structured where the trigger's delivery says `format: json`. Headers beside the
event's own (eventing.md 2.6): `Kn-Namespace` always, `Prefer: reply` towards subscribers, whether they
reply or not. Trace context travels as the event's attributes `traceparent` and `tracestate`, and as plain
headers.

Hosts of our own are not looked up: Services are dialled at the activator's socket, which wakes them.
Redirects are not followed; they are no success. An answer larger than the largest event is none.
"""

from eventing import binding
from eventing.broker.delivery import NO_ANSWER, Answer, Policy
from eventing.broker.lane import OPEN_LIMIT
from eventing.config import Config
from eventing.errors import NoAnswer, NotACloudEvent
from eventing.event import Event
from eventing.http.client import Address, Client, ClientLimits
from eventing.http.client import Answer as Response

_HTTP_PORT = 80
_PREFER = (b"prefer", b"reply")
_TRACE = ("traceparent", "tracestate")
_EVENT_TYPES = b"application/cloudevents"
# A reply may be as large as an event may be, and in JSON base64 makes a third more of it.
_ANSWER_FACTOR = 2


class Sender:
    """Attempts of one process, over one pool of connections."""

    def __init__(self, config: Config) -> None:
        """Connect as *config* says our own hosts are reached."""
        self._config = config
        self._service_suffix = config.service_suffixes
        # Windows bound what is open; all Services share one address, so it gets as many.
        self._client = Client(limits=ClientLimits(connections=2 * OPEN_LIMIT), dial=self._dial)

    def __repr__(self) -> str:
        """Connections."""
        return f"<Sender [{self._client!r}]>"

    async def attempt(
        self, url: str, event: Event, *, namespace: str, policy: Policy, wants_reply: bool
    ) -> Answer:
        """Send *event* to *url* once."""
        try:
            headers, body = binding.to_http(event, policy.structured)
            headers.append((b"kn-namespace", namespace.encode()))
            if wants_reply:
                headers.append(_PREFER)
            for name in _TRACE:
                if name in event.attributes:
                    headers.append((name.encode(), event.attributes[name].encode()))
            response = await self._client.request(
                "POST", url, headers, body, timeout_s=policy.timeout_s,
                max_answer_bytes=_ANSWER_FACTOR * self._config.body_limit_bytes)
        except NoAnswer as error:
            return Answer(NO_ANSWER, None, str(error).encode())
        return _read(response)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    def _dial(self, host: str, port: int) -> Address | None:
        if host.endswith(self._service_suffix) and port in (_HTTP_PORT, self._config.port):
            return str(self._config.activator_socket)
        if host == "localhost" and port == self._config.port and self._config.host != "0.0.0.0":
            return self._config.host, port
        return None


def _read(response: Response) -> Answer:
    """Take the event out of an answer, if it is a success and carries one."""
    status, headers, body = response
    if not 200 <= status < 300:  # noqa: PLR2004  HTTP's own classes
        return Answer(status, None, body)
    is_event = response.header(b"ce-specversion") is not None or \
        (response.header(b"content-type") or b"").lstrip().lower().startswith(_EVENT_TYPES)
    if not is_event:
        return Answer(status, None, body)
    try:
        return Answer(status, binding.from_http(headers, body))
    except NotACloudEvent as error:
        return Answer(status, None, f"the reply is not a CloudEvent: {error}".encode())

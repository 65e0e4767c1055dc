"""
The client of the store, all of whose connections lead to a primary.

A Redis that fails over may keep connections open to what was its primary, and is a replica now. So a
connection asks for the ROLE as it is opened, and does not open to a replica; one that is told READONLY is
closed, and what was asked goes again over another; and `Watch` asks every 2 s over one that stays open, and
cuts all of them when it has become one to a replica: those that only read would be told nothing.

Who uses the client finds the store away, and waits for it, until there is a primary. A server that does not
tell its role (an ACL, a proxy) is taken for one. Nothing here knows what is stored.
"""

import asyncio
import weakref
from typing import Any

import redis.asyncio
import redis.exceptions
import structlog
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from eventing import cancellation

# The embedded Valkey is back within 0.1 s of a crash: five tries in 0.6 s see most commands through it.
_RETRIES = 5
_FIRST_RETRY_S = 0.02
_LONGEST_RETRY_S = 0.5
_CONNECT_TIMEOUT_S = 5.0
_LOOK_S = 2.0  # three calls a second of all roles together
# What a server says that is no primary. (LOADING is a lost connection already, for redis-py.)
_NO_PRIMARY = (redis.exceptions.ReadOnlyError, redis.exceptions.MasterDownError,
               redis.exceptions.ClusterDownError)
_NO_PRIMARY_WORDS = ("READONLY", "MASTERDOWN", "CLUSTERDOWN", "LOADING")

log = structlog.get_logger(__name__)


class NoPrimary(redis.exceptions.ConnectionError):
    """What answers is no primary: the connection is closed, and nothing was written over it."""


def connect(url: str) -> "redis.asyncio.Redis":
    """A client of the store at *url* that sees commands through a short absence of it."""
    retry = Retry(ExponentialBackoff(cap=_LONGEST_RETRY_S, base=_FIRST_RETRY_S), _RETRIES)
    # A peer that vanished without a word is noticed by TCP; a unix socket's peer cannot vanish so.
    over_tcp = {} if url.startswith("unix:") else {"socket_keepalive": True}
    client = redis.asyncio.Redis.from_url(url, retry=retry, socket_connect_timeout=_CONNECT_TIMEOUT_S,
                                          **over_tcp)
    pool = client.connection_pool
    pool.connection_class = type("Leading", (_Leading, pool.connection_class), {"opened": weakref.WeakSet()})
    return cancellation.heeding(client)


def leads_elsewhere(refusal: Exception) -> bool:
    """Whether an error that the store answered says that its connection is to be closed."""
    return str(refusal).startswith(_NO_PRIMARY_WORDS)


class _Leading(AbstractConnection):
    """A connection that is lost where it leads to no primary, or where uvloop has closed its transport."""

    opened: "weakref.WeakSet[_Leading]"

    async def connect_check_health(self, *arguments: Any, **options: Any) -> None:
        try:
            await super().connect_check_health(*arguments, **options)
        except redis.exceptions.ConnectionError as error:
            if isinstance(error.__cause__, NoPrimary):  # of a unix socket redis-py says what it heard so
                raise error.__cause__ from None
            raise

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        await super().on_connect_check_health(check_health)
        self.opened.add(self)
        await self.ask_role(check_health=False)

    async def ask_role(self, *, check_health: bool = True) -> None:
        """Raises NoPrimary, among others."""
        await self.send_command("ROLE", check_health=check_health)
        try:
            answer = await self.read_response()
        except redis.exceptions.ResponseError:
            return  # it does not tell
        if answer[0] == b"slave":
            raise NoPrimary("the store is a replica, and read-only")

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        try:
            await super().send_packed_command(*arguments, **options)
        except RuntimeError as error:  # "unable to perform operation on <TCPTransport closed=True ..."
            raise redis.exceptions.ConnectionError(str(error)) from error

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*arguments, **options)
        except _NO_PRIMARY as error:
            await self.disconnect(nowait=True)
            raise NoPrimary(f"the store is no primary: {error}") from error

    def cut(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()


class Watch:
    """Whether the store is a primary; `complaint` is a line for /readyz, empty while it is."""

    def __init__(self, store: "redis.asyncio.Redis") -> None:
        """Of a client that `connect` has made."""
        pool = store.connection_pool
        self._connection: Any = pool.connection_class(**pool.connection_kwargs)
        self.complaint = ""

    def __repr__(self) -> str:
        """What it has to say."""
        return f"<Watch [{self.complaint or 'a primary'}]>"

    async def run(self) -> None:
        """Look for ever."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(_LOOK_S)
        finally:
            await self._connection.disconnect(nowait=True)

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await self._connection.ask_role()
        except NoPrimary as error:
            if not self.complaint:
                log.warning("all connections to the store are made anew", reason=str(error))
                for connection in list(self._connection.opened):
                    connection.cut()
            self.complaint = str(error)
            await self._connection.disconnect(nowait=True)
        except (redis.exceptions.RedisError, OSError, TimeoutError):
            pass  # those who need the store say that it is away
        else:
            self.complaint = ""

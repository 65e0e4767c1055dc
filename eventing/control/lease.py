"""
Who reconciles: one process at a time, by a key in Redis that expires.

The holder is `host pid token`. A process that finds the lease held by one of its own host that is no longer
alive takes it over at once, so a killed control role is replaced without waiting for the expiry.
"""

import asyncio
import contextlib
import os
import secrets
import socket

import redis.asyncio
import redis.exceptions

from eventing import keys
from eventing.errors import ClarionError

# Renewed three times within its life: one lost renewal, or a Valkey that restarts, does not lose it.
_LIFE_MS = 6000
_RENEWAL_S = 2.0
_TAKE_S = 0.5  # between two tries to get it

# A store that refuses (it cannot write to its disk, it became a replica) is asked again, as one that is away.
_AWAY = (redis.exceptions.RedisError, OSError, TimeoutError)

# KEYS 1 the lease. ARGV 1 the holder that we saw, 2 ourselves, 3 life in ms (0: give it up).
# Returns 1 if the holder was the one that we saw. allow-oom: a full store must not end the control role.
_SWAP = """#!lua flags=allow-oom
local holder = redis.call('GET', KEYS[1]) or ''
if holder ~= ARGV[1] then return 0 end
if ARGV[3] == '0' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
"""


class LeaseLost(ClarionError):
    """Another process reconciles now; this one must stop at once."""


class Lease:
    """This process's claim."""

    def __init__(self, server: redis.asyncio.Redis) -> None:
        """Claim nothing yet."""
        self._server = server
        self._swap = server.register_script(_SWAP)
        self._self = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(8)}"

    def __repr__(self) -> str:
        """Who we are."""
        return f"<Lease {self._self}>"

    async def acquire(self) -> None:
        """Wait until it is ours."""
        while True:
            with contextlib.suppress(*_AWAY):
                seen = await self._server.get(keys.CONTROL_LEASE) or b""
                holder = seen.decode() if isinstance(seen, bytes) else seen
                if (not holder or _is_dead(holder)) and await self._change(holder, _LIFE_MS):
                    return
            await asyncio.sleep(_TAKE_S)

    async def keep(self) -> None:
        """Renew until cancelled; LeaseLost when it is somebody else's, or could not be renewed in time."""
        loop = asyncio.get_running_loop()
        good_until = loop.time() + _LIFE_MS / 1000
        while True:
            await asyncio.sleep(_RENEWAL_S)
            asked = loop.time()
            with contextlib.suppress(*_AWAY):
                if not await self._change(self._self, _LIFE_MS) and not await self._change("", _LIFE_MS):
                    raise LeaseLost("another control process reconciles")
                good_until = asked + _LIFE_MS / 1000
            if loop.time() > good_until:
                raise LeaseLost("the lease could not be renewed in time")

    async def release(self) -> None:
        """Give it up, so that the next one need not wait."""
        with contextlib.suppress(*_AWAY):
            await self._change(self._self, 0)

    async def _change(self, seen: str, life_ms: int) -> bool:
        return bool(await self._swap(keys=[keys.CONTROL_LEASE], args=[seen, self._self, life_ms]))


def _is_dead(holder: str) -> bool:
    host, pid, _ = holder.split(" ")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False

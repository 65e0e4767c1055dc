"""
Asking a worker how it is: readiness until it passes, liveness until it fails.

    probe        passes when
    -----        -----------
    httpGet      the answer's status is 200..399
    any other    a TCP connection is accepted (Knative's substitute for exec; gRPC would need HTTP/2)

A probe's port is ignored: a worker has one, and it is the one of its address. What a probe may hold and
what its defaults are is `probes.py`'s business; this module only does what it says.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from eventing.errors import NoAnswer
from eventing.http.client import Client
from serving.workers.backend import Address

Probe = Mapping[str, Any]

# Knative's queue-proxy asks every 50 ms where periodSeconds is 0, until it passes.
_EAGER_S = 0.05
# Kubernetes' defaults.
_LIVENESS_PERIOD_S = 10.0
_LIVENESS_FAILURES = 3
_TIMEOUT_S = 1.0
_ANSWER_BYTES = 64 * 1024


def needs_asking(probe: Probe | None) -> bool:
    """Does *probe* ask for more than that the port is open?"""
    return bool(probe) and "httpGet" in (probe or {})


async def until_ready(client: Client, address: Address, probe: Probe) -> None:
    """Return once *probe* has passed `successThreshold` times in a row."""
    await asyncio.sleep(probe.get("initialDelaySeconds") or 0)
    missing = wanted = probe.get("successThreshold") or 1
    while True:
        missing = missing - 1 if await passes(client, address, probe) else wanted
        if missing <= 0:
            return
        await asyncio.sleep(probe.get("periodSeconds") or _EAGER_S)


async def until_dead(client: Client, address: Address, probe: Probe) -> None:
    """Return once *probe* has failed `failureThreshold` times in a row."""
    await asyncio.sleep(probe.get("initialDelaySeconds") or 0)
    left = allowed = probe.get("failureThreshold") or _LIVENESS_FAILURES
    while left > 0:
        await asyncio.sleep(probe.get("periodSeconds") or _LIVENESS_PERIOD_S)
        left = allowed if await passes(client, address, probe) else left - 1


async def passes(client: Client, address: Address, probe: Probe) -> bool:
    """Ask once."""
    timeout_s = probe.get("timeoutSeconds") or _TIMEOUT_S
    asked = probe.get("httpGet")
    if asked is None:
        return await _accepts(address, timeout_s)
    extra = asked.get("httpHeaders") or ()
    headers = [(b"user-agent", b"kube-probe/1.0"),
               *((field["name"].lower().encode(), field["value"].encode()) for field in extra)]
    host, port = address
    try:
        answer = await client.request("GET", f"http://{host}:{port}{asked.get('path') or '/'}", headers,
                                      timeout_s=timeout_s, max_answer_bytes=_ANSWER_BYTES)
    except NoAnswer:
        return False
    return 200 <= answer.status < 400  # noqa: PLR2004  Kubernetes' definition of a success


async def _accepts(address: Address, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(*address)
    except OSError:  # TimeoutError is one
        return False
    writer.close()
    # A connection from a port to itself succeeds, with nobody there.
    return bool(writer.get_extra_info("sockname") != writer.get_extra_info("peername"))

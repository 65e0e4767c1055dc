"""
Asking a worker once how it is, as kubelet and Knative's queue-proxy do.

    probe        passes when                                                  asked in
    -----        -----------                                                  --------
    httpGet      the answer's status is 200..399                              httpprobe.py
    grpc         grpc.health.v1.Health/Check answers SERVING                  grpcprobe.py
    exec         the command ends with status 0, in the worker's place        inside.py
    tcpSocket    a TCP connection is accepted                                 here

`port` stands in a probe only where it is not the one that the worker serves (objects/probes.py). All workers
share the ports of this machine: behind another one may be somebody else, so the listener has to be the
worker's (listening.py).
"""

import asyncio
import os
from typing import Any

from serving.workers import grpcprobe, httpprobe, listening
from serving.workers.backend import Address
from serving.workers.inside import Inside
from serving.workers.thresholds import Probe, Timing

_HANDLERS = ("httpGet", "grpc", "tcpSocket")


def trusts_socket(probe: Probe | None) -> bool:
    """Is *probe* content with a port that is open? A function's always is: we made the socket ourselves."""
    asked = probe or {}
    return "httpGet" not in asked and "grpc" not in asked and "exec" not in asked


def goes_on(probe: Probe | None) -> bool:
    """
    Is a readiness *probe* asked after it has passed once?

    Not the one that everybody has by default: a port that is closed is noticed by connecting to it.
    """
    return bool(probe) and not (trusts_socket(probe) and not (probe or {}).get("periodSeconds"))


class Asker:
    """Asks one worker."""

    def __init__(self, address: Address, inside: Inside) -> None:
        """It serves at *address*; commands are run *inside*."""
        self._address = address
        self._inside = inside

    async def ask(self, probe: Probe) -> str:
        """Ask once: why *probe* did not pass, in a line, or "" where it did."""
        timeout_s = Timing.of(probe).timeout_s
        if "exec" in probe:
            return await self._inside.run(probe["exec"].get("command") or (), timeout_s)
        name = next((name for name in _HANDLERS if name in probe), "tcpSocket")
        handler: dict[str, Any] = probe.get(name) or {}
        host, port = handler.get("host") or self._address[0], handler.get("port") or self._address[1]
        try:
            async with asyncio.timeout(timeout_s):
                if handler.get("port") and not handler.get("host"):
                    await asyncio.to_thread(listening.demand, self._inside.pid, port)
                if name == "httpGet":
                    return await httpprobe.ask((host, port), handler)
                if name == "grpc":
                    return await grpcprobe.ask((host, port), handler.get("service") or "")
                return await _connect((host, port))
        except TimeoutError:
            return f"no answer from {host}:{port} within {timeout_s:g} s"
        except Exception as error:  # noqa: BLE001  whatever a probe asks for, and is told
            return f"{host}:{port}: {_reason(error)}"


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionError) and error.errno:  # asyncio words these its own way
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


async def _connect(address: Address) -> str:
    _, writer = await asyncio.open_connection(*address)
    writer.close()
    # A connection from a port to itself succeeds, with nobody there.
    itself = writer.get_extra_info("sockname") == writer.get_extra_info("peername")
    return f"nobody listens at {address[0]}:{address[1]}" if itself else ""

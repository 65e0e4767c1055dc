"""
The composition root: what surrounds a role, and which role lives in which room.

`run_role` gives a role its settings, store, metrics and the word to stop, answers for it on its admin
socket (/healthz /readyz /metrics), and ends the process when the role ends:

    started -> ready -> stopping (SIGTERM, SIGINT) -> drained -> exit 0
    started -> ready -> raised -> exit 1, and the supervisor starts another

A role's room is imported in the role's own process: only the control role pays for the API server.
"""

import asyncio
import importlib
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping

import prometheus_client
import redis.exceptions
import structlog
import uvloop

from eventing import telemetry
from eventing.config import Config
from eventing.connection import Watch, connect
from eventing.errors import ClarionError
from eventing.http import server
from eventing.http.exchange import Exchange
from eventing.process import allow_descriptors
from eventing.runtime import Runtime

# Each has `async def run(runtime: Runtime) -> None`.
ROOMS = {
    "ingress": "eventing.broker.ingress",
    "dispatcher": "eventing.broker.dispatcher",
    "control": "eventing.apiserver",
    "sources": "sources.role",
    "serving": "serving.role",
}

# What a role gets beyond config.drain_s before its work is cancelled, and after that to say goodbye.
_CANCEL_GRACE_S = 0.5

_TEXT = ((b"content-type", b"text/plain; charset=utf-8"),)


def run_role(role: str, config: Config, index: int, sockets: Mapping[str, socket.socket]) -> int:
    """
    Run one role in this process until a signal, or until it fails.

    Args:
        role: one of `eventing.config.ROLES`.
        config: the settings, ports resolved.
        index: which of several processes of this role.
        sockets: those it serves on, listening: "data" for the ingress, "control" for the control role.

    Returns:
        The process' exit status: 0 after a drain, 1 after a failure, which is logged.
    """
    telemetry.configure_logging(config.log_format, config.log_level, role, index)
    allow_descriptors()
    log = structlog.get_logger(__name__)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_live(role, config, index, sockets))
    except Exception as error:
        reasons = _reasons(error)
        if reasons is None:
            log.exception("role failed")
        else:
            log.error("role ends", reason=reasons)  # noqa: TRY400  it says why; where does not matter
        return 1
    return 0


def _reasons(error: Exception) -> str | None:
    """What a role says that ended for a reason that is known; None if any of it was not foreseen."""
    if isinstance(error, ExceptionGroup):
        parts = [_reasons(part) for part in error.exceptions]
        return None if None in parts else "; ".join(filter(None, parts))
    if isinstance(error, redis.exceptions.ConnectionError):  # for longer than a command is tried again
        return f"the store is away: {error}"
    return str(error) if isinstance(error, ClarionError) else None


async def _live(role: str, config: Config, index: int, sockets: Mapping[str, socket.socket]) -> None:
    run: Callable[[Runtime], Awaitable[None]] = importlib.import_module(ROOMS[role]).run
    runtime = Runtime(config=config, store=connect(config.store_url), metrics=_registry(), index=index,
                      sockets=sockets)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, runtime.stopping.set)
    path = config.admin_socket(role, index)
    path.unlink(missing_ok=True)  # a killed predecessor left it
    watch = Watch(runtime.store)
    admin = await server.serve(lambda exchange: _answer(runtime, watch, exchange), path=path)
    try:
        await _until_stopped(run, runtime, watch)
    finally:
        await admin.close(0.0)
        path.unlink(missing_ok=True)
        await runtime.store.aclose()


async def _until_stopped(run: Callable[[Runtime], Awaitable[None]], runtime: Runtime, store: Watch) -> None:
    """Run the role; once it is told to stop it has `config.drain_s`, then its work is cancelled."""
    async with asyncio.TaskGroup() as tasks:
        role = tasks.create_task(_run(run, runtime))
        watch = tasks.create_task(runtime.stopping.wait())
        looks = tasks.create_task(store.run())
        await asyncio.wait((role, watch), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait((role,), timeout=runtime.config.drain_s + _CANCEL_GRACE_S)
        if not role.done():
            structlog.get_logger(__name__).warning("did not drain in time", drain_s=runtime.config.drain_s)
        for task in (role, watch, looks):
            task.cancel()


async def _run(run: Callable[[Runtime], Awaitable[None]], runtime: Runtime) -> None:
    await run(runtime)
    if not runtime.stopping.is_set():
        raise RuntimeError("the role returned although nobody told it to stop")


def _registry() -> prometheus_client.CollectorRegistry:
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.ProcessCollector(registry=registry)
    return registry


def _answer(runtime: Runtime, watch: Watch, exchange: Exchange) -> None:
    """The admin endpoint of one process."""
    path = exchange.target.partition(b"?")[0]
    if path == b"/healthz":
        exchange.respond(200, _TEXT, b"ok\n")
    elif path == b"/readyz":
        complaint = watch.complaint or runtime.complaint or ("" if runtime.is_ready else "starting")
        exchange.respond(503 if complaint else 200, _TEXT, f"{complaint or 'ok'}\n".encode())
    elif path == b"/metrics":
        exchange.respond(200, _TEXT, prometheus_client.generate_latest(runtime.metrics))
    else:
        exchange.respond(404, _TEXT, b"this socket answers /healthz, /readyz and /metrics\n")

"""
What goes wrong: one function a fault. Each does it, undoes what would not end by itself, and says whom
it hit.

A fault gets the scene and dice of its own; it raises Nobody where there is nobody to hurt at the moment.
What a function is called is its name on the command line, with `-` for `_`.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import redis.exceptions

from tests.chaos import tear
from tests.chaos.clock import Clock
from tests.chaos.proxy import Proxy
from tests.chaos.system import Nobody, Process, System

# The lease is 2.5 s: a dispatcher that sleeps longer wakes as a zombie. The ingress waits 5 s for its store.
_PAST_THE_LEASE_S = (3.5, 6.0)
_BRIEF_S = (0.2, 2.0)
_STORE_PAUSE_S = (0.3, 7.0)


@dataclass
class Scene:
    """Whatever faults can take hold of."""

    system: System
    ingress: Proxy  # before the ingress
    subscriber: Proxy  # before the subscribers of some triggers
    clock: Clock


Act = Callable[[Scene, object], Awaitable[str]]
FAULTS: dict[str, Act] = {}


def fault(act: Act) -> Act:
    """Register a fault."""
    FAULTS[act.__name__.replace("_", "-")] = act
    return act


@fault
async def kill_ingress(scene, dice):
    """SIGKILL the ingress."""
    return _kill(scene, "clarion-ingress", dice)


@fault
async def kill_dispatcher(scene, dice):
    """SIGKILL one of the dispatchers."""
    return _kill(scene, "clarion-dispatc", dice)


@fault
async def kill_control(scene, dice):
    """SIGKILL the control plane."""
    return _kill(scene, "clarion-control", dice)


@fault
async def kill_serving(scene, dice):
    """SIGKILL the serving role; its zygote and workers go with it."""
    return _kill(scene, "clarion-serving", dice)


@fault
async def kill_sources(scene, dice):
    """SIGKILL the sources."""
    return _kill(scene, "clarion-sources", dice)


@fault
async def kill_zygote(scene, dice):
    """SIGKILL the process that workers are forked from."""
    return _kill(scene, "python", dice)


@fault
async def kill_worker(scene, dice):
    """SIGKILL a worker of the function."""
    return _kill(scene, "function-", dice)


@fault
async def kill_valkey(scene, dice):
    """SIGKILL the store."""
    return _kill(scene, "valkey-server", dice)


@fault
async def kill_supervisor(scene, _dice):
    """SIGKILL the supervisor, with which all others go, and start everything again."""
    await scene.system.restart(lambda family: _kill_pid(next(iter(family))))
    return "supervisor, and all below it"


@fault
async def kill_all(scene, dice):
    """SIGKILL every single process, in any order, and start everything again."""

    def each(family):
        for pid in dice.sample(sorted(family), len(family)):
            try:
                _kill_pid(pid)
            except Nobody:
                continue  # its parent was killed before
    await scene.system.restart(each)
    return "every process"


@fault
async def stop_dispatcher(scene, dice):
    """SIGSTOP a dispatcher until its lease is another's, then SIGCONT: the zombie."""
    return await _stop(scene, "clarion-dispatc", dice, _PAST_THE_LEASE_S)


@fault
async def stop_ingress(scene, dice):
    """SIGSTOP the ingress, SIGCONT later."""
    return await _stop(scene, "clarion-ingress", dice, _BRIEF_S)


@fault
async def stop_serving(scene, dice):
    """SIGSTOP the serving role, SIGCONT later."""
    return await _stop(scene, "clarion-serving", dice, _BRIEF_S)


@fault
async def stop_worker(scene, dice):
    """SIGSTOP a worker of the function, SIGCONT later."""
    return await _stop(scene, "function-", dice, _BRIEF_S)


@fault
async def pause_valkey(scene, dice):
    """SIGSTOP the store for less or more than leases and patience last, then SIGCONT."""
    return await _stop(scene, "valkey-server", dice, _STORE_PAUSE_S)


@fault
async def fill_valkey(scene, dice):
    """Say that the store's memory is full; later it has room again."""
    pause_s = dice.uniform(0.5, 4.0)
    async with scene.system.store_async() as store:
        try:
            limit = (await store.config_get("maxmemory"))["maxmemory"]
            await store.config_set("maxmemory", 1)
            await asyncio.sleep(pause_s)
            await store.config_set("maxmemory", limit)
        except (redis.exceptions.RedisError, OSError):
            return "the store, which restarted meanwhile"  # and has the limit of its command line again
    return f"the store, for {pause_s:.1f} s"


@fault
async def cut_clients(scene, _dice):
    """Close every connection to the store from its side."""
    async with scene.system.store_async() as store:
        try:
            count = await store.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        except (redis.exceptions.RedisError, OSError) as error:
            raise Nobody("valkey-server") from error
    return f"{count} connections to the store"


@fault
async def cut_ingress(scene, dice):
    """Cut producers' connections when their answers come: they never know that they were heard."""
    return await _cut(scene.ingress, dice)


@fault
async def cut_subscriber(scene, dice):
    """Cut the dispatchers' connections when subscribers answer: what was delivered does not look so."""
    return await _cut(scene.subscriber, dice)


@fault
async def tear_log(scene, dice):
    """Kill the store in the middle of a write, and leave a random part of that write in its log."""
    with Process(scene.system.pid_of("valkey-server")) as victim:
        return await tear.tear(scene.system.directory / "valkey", victim, dice)


@fault
async def step_clock(scene, dice):
    """Step the clock that all processes read, and later back."""
    if not scene.clock.is_available:
        raise Nobody("libfaketime (Debian: apt install faketime)")
    step_s = dice.choice((-1, 1)) * dice.uniform(1.0, 20.0)
    scene.clock.step(step_s)
    await asyncio.sleep(dice.uniform(1.0, 5.0))
    scene.clock.step(0.0)
    return f"everybody's clock by {step_s:+.1f} s, and back"


def _kill(scene, name, dice):
    pid = scene.system.pid_of(name, dice)
    _kill_pid(pid)
    return f"{name} ({pid})"


def _kill_pid(pid):
    with Process(pid) as victim:
        victim.signal(signal.SIGKILL)


async def _stop(scene, name, dice, bounds_s):
    pause_s = dice.uniform(*bounds_s)
    with Process(scene.system.pid_of(name, dice)) as victim:
        victim.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(pause_s)
        finally:
            victim.signal(signal.SIGCONT)
        return f"{name} ({victim.pid}) for {pause_s:.1f} s"


async def _cut(proxy, dice):
    wanted, before = dice.randint(1, 12), proxy.cut
    proxy.cut_next(wanted)
    await asyncio.sleep(dice.uniform(0.2, 1.5))
    proxy.cut_next(0)
    return f"{proxy.cut - before} answers"

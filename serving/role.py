"""
The serving role: workers, who decides how many, and the door that every request for a Service comes through.

    tables revisions, configs -> scaler -> backend -> zygotes, workers
    table routes -> activator <- unix socket `activator.sock` <- dispatcher, ingress
                              <- outer <- unix socket `handover.sock` <- connections that the ingress gives
    scaler -> table scales -> the Revision's status
    table deployments -> keeper -> backend -> programs; keeper -> table deployment-states
    table volumes -> backend, before it hears of what has them

When the role starts there are no workers: those of its predecessor died with their zygote. Revisions that
have shown that they can start (table `scales`, same uid) are not asked to show it again.
"""

import asyncio
from collections.abc import Mapping

from eventing.http.client import Client, ClientLimits
from eventing.http.server import Limits, serve
from eventing.process import run_when_woken
from eventing.projection import Follower
from eventing.runtime import Runtime, end
from serving.activator.coldstart import ColdStarts
from serving.activator.door import Activator
from serving.activator.gauges import Gauges
from serving.activator.outer import Outer
from serving.autoscaler.scaler import Scaler
from serving.deployments.keeper import Keeper
from serving.workers.local import LocalBackend
from serving.workers.sweep import Sweeper

# The body of a request crosses at the pace of its worker, which may think for as long as its timeout says.
_LIMITS = Limits(connections=4000, body_s=3600.0, write_s=3600.0)
_CLIENT_LIMITS = ClientLimits(connections=4000)


async def run(runtime: Runtime) -> None:
    """Serve until `runtime.stopping`; then finish what is in flight within `config.drain_s`, and end."""
    run_when_woken()  # twice in each request: measured, a warm one gains a fifth of a millisecond by it
    config = runtime.config
    backend = LocalBackend(config, runtime.store)
    client = Client(limits=_CLIENT_LIMITS)
    async with asyncio.TaskGroup() as tasks:
        scaler = Scaler(backend, runtime.store, tasks)
        activator = Activator(scaler, client, tasks, ColdStarts(runtime.metrics), config.domain)
        runtime.metrics.register(Gauges(scaler, activator))
        keeper = Keeper(backend, runtime.store, tasks)
        tasks.create_task(backend.run())
        await scaler.recall()

        def configured(name: str, data: Mapping[str, str] | None) -> None:
            scaler.config(name, data)
            activator.config(name, data)

        follower = Follower(runtime.store, {
            "volumes": backend.volumes, "configs": configured, "revisions": scaler.revision,
            "routes": activator.route, "deployments": keeper.deployment})
        owned = [tasks.create_task(follower.run())]
        await follower.loaded.wait()
        scaler.loaded()
        sweeper = Sweeper(config.data_dir, runtime.store, backend,
                          lambda: (*scaler.records().items(), *keeper.pods().items()))
        owned += [tasks.create_task(scaler.tick()), tasks.create_task(scaler.survey()),
                  tasks.create_task(scaler.publish()), tasks.create_task(keeper.publish()),
                  tasks.create_task(sweeper.run())]
        config.activator_socket.parent.mkdir(parents=True, exist_ok=True)
        config.activator_socket.unlink(missing_ok=True)
        listener = await serve(activator.handle, path=config.activator_socket, limits=_LIMITS)
        outer = Outer(activator, config.handover_socket, tasks)
        await backend.warm()
        runtime.ready()
        await runtime.stopping.wait()
        # 1. Programs of Deployments are told to end. 2. No new requests; what is in flight, or waits for a
        # worker, is answered. 3. Workers end by themselves, they have nothing left to do. 4. What did not end
        # is killed. 5. Nobody is left to tell.
        deadline = asyncio.get_running_loop().time() + config.drain_s
        keeper.close()
        async with asyncio.TaskGroup() as closing:
            closing.create_task(outer.close(config.drain_s))
            closing.create_task(listener.close(config.drain_s))
        await scaler.drain(deadline - asyncio.get_running_loop().time())
        await keeper.drain(deadline - asyncio.get_running_loop().time())
        await backend.close()
        await client.close()
        await end(owned)

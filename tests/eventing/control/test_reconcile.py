"""The loop over a real Valkey: level-triggered, tracked, owned, retried, finalized, quiet."""

import asyncio
from dataclasses import replace

import pytest

from eventing import keys, projection
from eventing.config import Config
from eventing.control import kind as kinds
from eventing.control import resource
from eventing.control.address import Unresolved
from eventing.control.context import NotYet
from eventing.control.failure import Failure
from eventing.control.kind import named
from eventing.control.lease import Lease
from eventing.control.objects import NotOwned
from eventing.control.plane import Plane
from tests.cluster import running


def toy(name="bear", **spec):
    """A Toy to create."""
    return {"metadata": {"name": name}, "spec": spec}


@pytest.fixture
def behave(toys):
    """`behave(reconcile, finalize)`: what Toys do from now on; returns the kind."""
    def change(reconcile, finalize=None, reports=None):
        return kinds.register(replace(toys, reconcile=reconcile, finalize=finalize, reports=reports))
    yield change
    kinds.register(toys)


async def test_a_change_while_it_is_reconciled_is_not_lost(store, behave, eventually):
    """However fast an object changes, the last state is what is reconciled last."""
    seen = []

    async def slow(one, context):
        seen.append(one["spec"]["size"])
        await asyncio.sleep(0)
        resource.status(one)["seen"] = one["spec"]["size"]

    kind = behave(slow)
    async with running(Plane(Config(), store)) as plane:
        await plane.objects.create(kind, "default", toy(size=1))
        for size in range(2, 8):
            await plane.objects.patch(kind, "default", "bear",
                                      lambda one, size=size: one | {"spec": {"size": size}})
        await eventually(lambda: plane.store.get(kind, "default", "bear").get("status", {}).get("seen") == 7)
    assert seen[-1] == 7


async def test_a_world_at_rest_writes_nothing(store, behave, eventually):
    """Once all is reconciled no version is taken any more, also over a restart that looks at everything."""
    rounds = []

    async def steady(one, context):
        rounds.append(resource.name(one))
        resource.set_condition(resource.status(one), "Ready", "True", now=context.now)
        await context.project("toys", resource.name(one), {"size": one["spec"]["size"]})

    kind = behave(steady)
    async with running(Plane(Config(), store)) as plane:
        for name in "abc":
            await plane.objects.create(kind, "default", toy(name, size=1))
        await eventually(lambda: all(map(resource.is_ready, plane.store.list(kind))))
        await eventually(lambda: not len(plane.reconciler.queue))
        version = plane.store.version
    assert sorted(rounds) == ["a", "b", "c"]
    async with running(Plane(Config(), store)) as plane:
        await eventually(lambda: len(rounds) == 6)
        await eventually(lambda: not len(plane.reconciler.queue))
        assert plane.store.version == version
        assert await projection.read(store, "toys") == {name: {"size": 1} for name in "abc"}


async def test_what_fails_is_asked_again_and_says_what_it_found(store, behave, eventually):
    """A reconciler that raises is retried; the status it had written so far is stored."""
    tries = []

    async def third_time(one, context):
        tries.append(one)
        resource.status(one)["tries"] = len(tries)
        if len(tries) < 3:
            raise RuntimeError("not today")
        resource.status(one)["done"] = True

    kind = behave(third_time)
    async with running(Plane(Config(), store)) as plane:
        await plane.objects.create(kind, "default", toy())
        await eventually(lambda: plane.store.get(kind, "default", "bear").get("status", {}).get("done"))
        assert plane.store.get(kind, "default", "bear")["status"]["tries"] >= 3


async def test_one_that_hangs_or_fails_holds_up_nobody(store, behave, eventually):
    """Objects are reconciled at once: a stuck one leaves the others alone."""
    stuck = asyncio.Event()

    async def some(one, context):
        if resource.name(one) == "stuck":
            await stuck.wait()
        resource.status(one)["done"] = True

    kind = behave(some)
    async with running(Plane(Config(), store)) as plane:
        await plane.objects.create(kind, "default", toy("stuck"))
        await plane.objects.create(kind, "default", toy("free"))
        await eventually(lambda: plane.store.get(kind, "default", "free").get("status"))
        assert not plane.store.get(kind, "default", "stuck").get("status")
        stuck.set()


async def test_what_is_tracked_wakes_its_tracker(store, behave, eventually):
    """A target that appears, gets an address, and goes: each is seen, without polling."""
    async def follow(one, context):
        target = {"ref": {"apiVersion": "toys.knative.dev/v1", "kind": "Block", "name": "cube"}}
        try:
            url = await context.resolve(target, "default")
        except Unresolved as error:
            url = error.reason
        resource.status(one)["url"] = url

    kind, blocks = behave(follow), named("Block.toys.knative.dev")
    async with running(Plane(Config(), store)) as plane:
        def url():
            return plane.store.get(kind, "default", "bear").get("status", {}).get("url")

        await plane.objects.create(kind, "default", toy())
        await eventually(lambda: url() == "NotFound")
        await plane.objects.create(blocks, "default", {"metadata": {"name": "cube"}})
        await eventually(lambda: url() == "AddressNotSet")
        await plane.objects.patch_status(blocks, "default", "cube",
                                         lambda one: one | {"status": {"address": {"url": "http://cube"}}})
        await eventually(lambda: url() == "http://cube")
        await plane.objects.delete(blocks, "default", "cube")
        await eventually(lambda: url() == "NotFound")


async def test_children_are_made_kept_and_taken_along(store, behave, eventually):
    """A child that drifts or goes is brought back; it goes with its owner; another's child is left alone."""
    failures = []

    async def parent(one, context):
        child = {"apiVersion": "toys.knative.dev/v1", "kind": "Block",
                 "metadata": {"name": resource.name(one), "namespace": "default"}, "spec": {"size": 1}}
        try:
            await context.apply(child, one)
        except NotOwned as error:
            failures.append(str(error))

    kind, blocks = behave(parent), named("Block.toys.knative.dev")
    async with running(Plane(Config(), store)) as plane:
        await plane.objects.create(kind, "default", toy())
        child = await eventually(lambda: plane.store.get(blocks, "default", "bear"))
        assert child["metadata"]["ownerReferences"][0]["controller"] is True
        await plane.objects.patch(blocks, "default", "bear", lambda one: one | {"spec": {"size": 5}})
        await eventually(lambda: plane.store.get(blocks, "default", "bear")["spec"] == {"size": 1})
        await plane.objects.delete(blocks, "default", "bear")
        again = await eventually(lambda: plane.store.get(blocks, "default", "bear"))
        assert again["metadata"]["uid"] != child["metadata"]["uid"]
        await plane.objects.delete(kind, "default", "bear")
        await eventually(lambda: plane.store.get(blocks, "default", "bear") is None)
        await plane.objects.create(blocks, "default", {"metadata": {"name": "free"}})
        await plane.objects.create(kind, "default", toy("free"))
        await eventually(lambda: failures == ['Toy: "free" does not own Block: "free"'])


@pytest.mark.parametrize(("policy", "child_stays"), [
    ("Background", False), ("Foreground", False), ("Orphan", True)])
async def test_deletion_policies(store, toys, eventually, policy, child_stays):
    """Background and foreground take dependents along; orphan leaves them, without their owner."""
    blocks = named("Block.toys.knative.dev")
    async with running(Plane(Config(), store)) as plane:
        owner = await plane.objects.create(toys, "default", toy())
        reference = resource.controller_reference(owner)
        child = {"metadata": {"name": "cube", "ownerReferences": [reference]}}
        await plane.objects.create(blocks, "default", child)
        await plane.objects.delete(toys, "default", "bear", propagation=policy)
        await eventually(lambda: plane.store.get(toys, "default", "bear") is None)
        if child_stays:
            assert resource.owners(plane.store.get(blocks, "default", "cube")) == []
        else:
            await eventually(lambda: plane.store.get(blocks, "default", "cube") is None)


async def test_orphans_of_an_earlier_life_are_found(store, toys, eventually):
    """What lost its owner while nobody looked goes at the next start."""
    blocks = named("Block.toys.knative.dev")
    reference = {"apiVersion": "toys.knative.dev/v1", "kind": "Toy", "name": "bear", "uid": "gone"}
    plane = Plane(Config(), store)
    await plane.store.load()
    orphan = {"apiVersion": "toys.knative.dev/v1", "kind": "Block", "metadata": {
        "name": "cube", "namespace": "default", "uid": "u", "ownerReferences": [reference]}}
    await plane.store.put(blocks, orphan, None)
    async with running(Plane(Config(), store)) as plane:
        await eventually(lambda: plane.store.get(blocks, "default", "cube") is None)


async def test_an_object_stays_until_it_is_finalized(store, behave, eventually):
    """Its kind's finalizer is there from the start, and the object goes once the work is done."""
    may_go, calls = asyncio.Event(), []

    async def reconcile(one, context):
        await context.project("toys", "bear", {"size": 1})

    async def finalize(one, context):
        calls.append(resource.name(one))
        if not may_go.is_set():
            raise NotYet(0.01)
        await context.project("toys", "bear", None)

    kind = behave(reconcile, finalize)
    async with running(Plane(Config(), store)) as plane:
        made = await plane.objects.create(kind, "default", toy())
        assert resource.finalizers(made) == ["toys.toys.knative.dev"]
        dying = await plane.objects.delete(kind, "default", "bear")
        assert resource.is_deleted(dying)
        await eventually(lambda: len(calls) > 1)
        assert plane.store.get(kind, "default", "bear") is not None
        may_go.set()
        await eventually(lambda: plane.store.get(kind, "default", "bear") is None)
    assert await projection.read(store, "toys") == {}


async def test_reports_and_wishes_wake_an_object(store, behave, eventually):
    """A record of another role, or the time that was asked for, reconciles the object."""
    async def tell(one, context):
        record = context.projected("toy-states", "default/bear")
        resource.status(one)["mood"] = (record or {}).get("mood", "none")
        resource.status(one)["rounds"] = rounds = resource.status(one).get("rounds", 0) + 1
        if rounds < 3:
            context.requeue(0.01)

    kind = behave(tell, reports="toy-states")
    async with running(Plane(Config(), store)) as plane:
        await plane.objects.create(kind, "default", toy())
        def status():
            return plane.store.get(kind, "default", "bear").get("status", {})

        await eventually(lambda: status().get("rounds", 0) >= 3)
        await projection.write(store, "toy-states", "default/bear", {"mood": "happy"})
        await eventually(lambda: status()["mood"] == "happy")


async def test_a_namespace_takes_its_content_along(store, toys, eventually):
    """A deleted namespace is Terminating, takes nothing new, is emptied, and goes."""
    namespaces, blocks = named("Namespace"), named("Block.toys.knative.dev")
    async with running(Plane(Config(), store)) as plane:
        await plane.objects.create(namespaces, "", {"metadata": {"name": "shop"}})
        held = {"metadata": {"name": "held", "finalizers": ["x.io/wait"]}}
        await plane.objects.create(blocks, "shop", held)
        await plane.objects.create(toys, "shop", toy())
        await plane.objects.delete(namespaces, "", "shop")
        await eventually(lambda: plane.store.get(toys, "shop", "bear") is None)
        assert plane.store.get(namespaces, "", "shop")["status"]["phase"] == "Terminating"
        with pytest.raises(Failure, match="because it is being terminated") as refused:
            await plane.objects.create(blocks, "shop", {"metadata": {"name": "late"}})
        assert refused.value.status == 403
        await plane.objects.patch(blocks, "shop", "held",
                                  lambda one: one | {"metadata": one["metadata"] | {"finalizers": []}})
        await eventually(lambda: plane.store.get(namespaces, "", "shop") is None)


async def test_settings_reach_the_data_plane(store, toys, eventually):
    """A ConfigMap of a system namespace is a `configs` record, and goes with it."""
    maps, seen = named("ConfigMap"), {}
    async with running(Plane(Config(), store)) as plane:
        name = {"metadata": {"name": "config-autoscaler"}, "data": {"stable-window": "60s"}}
        await plane.objects.create(maps, "knative-serving", name)
        await plane.objects.create(maps, "default", name)
        async with asyncio.timeout(10):
            while not seen:
                seen = await projection.read(store, "configs")
        assert seen == {"knative-serving/config-autoscaler": {"stable-window": "60s"}}
        await plane.objects.delete(maps, "knative-serving", "config-autoscaler")
        await eventually(lambda: plane.store.get(maps, "knative-serving", "config-autoscaler") is None)
        assert await projection.read(store, "configs") == {}


async def test_events_are_counted_not_multiplied(store, toys):
    """The same note about an object is one Event; what is said too often is not written at all."""
    events, now = named("Event"), [1000.0]
    plane = Plane(Config(), store, clock=lambda: now[0])
    await plane.store.load()
    await plane.objects.create(named("Namespace"), "", {"metadata": {"name": "default"}})
    about = {"kind": "Toy", "name": "bear", "namespace": "default", "uid": "u"}
    for _ in range(5):
        await plane.objects.record_event(about, "Warning", "Broken", "an arm is off")
    now[0] += 60
    await plane.objects.record_event(about, "Warning", "Broken", "an arm is off")
    [event] = plane.store.list(events, "default")
    assert (event["count"], event["reason"], event["involvedObject"]) == (2, "Broken", about)
    assert event["lastTimestamp"] > event["firstTimestamp"]


async def test_only_one_process_reconciles(store, behave, eventually):
    """A second control plane serves and waits; it takes over when the first one leaves."""
    who = []

    async def tell(one, context):
        who.append(context.objects)

    kind = behave(tell)
    async with running(Plane(Config(), store)) as second:
        async with asyncio.TaskGroup():
            await eventually(lambda: not len(second.reconciler.queue))
        async with running(Plane(Config(), store)) as first:
            await second.objects.create(kind, "default", toy())
            await eventually(lambda: first.store.get(kind, "default", "bear") is not None)
        await eventually(lambda: len(who) >= 1)
    assert set(who) == {second.objects}


async def test_who_loses_the_lease_waits_for_it_anew(store, behave, eventually):
    """A control plane whose lease is another's stops at once, and begins anew when it is free."""
    began, ended, may_end = [], [], asyncio.Event()

    async def tell(one, context):
        began.append(one)
        await may_end.wait()
        ended.append(one)

    kind = behave(tell)
    async with running(Plane(Config(), store)) as plane:
        await plane.objects.create(kind, "default", toy())
        await eventually(lambda: len(began) == 1)
        await store.set(keys.CONTROL_LEASE, "elsewhere 1 other")
        await eventually(lambda: repr(plane.reconciler.queue).startswith("<Queue [0 waiting | 0 running"))

        await store.delete(keys.CONTROL_LEASE)
        await eventually(lambda: len(began) == 2)
        assert not ended
        may_end.set()
        await eventually(lambda: len(ended) == 1)


async def test_the_lease_of_a_dead_process_is_taken_at_once(store):
    """Nobody waits for the lease of a process of this host that is gone."""
    import socket  # noqa: PLC0415  for the host's name

    await store.set(keys.CONTROL_LEASE, f"{socket.gethostname()} 4194399 dead")
    lease = Lease(store)
    async with asyncio.timeout(5):
        await lease.acquire()
    await lease.release()
    assert await store.get(keys.CONTROL_LEASE) is None


async def test_the_lease_in_a_full_store(store):
    """Who reconciles is decided, and renewed, although nothing else can be written."""
    lease = Lease(store)
    await store.config_set("maxmemory", 1)
    try:
        async with asyncio.timeout(10):
            await lease.acquire()
            await store.pexpire(keys.CONTROL_LEASE, 5000)
            async with asyncio.TaskGroup() as tasks:
                keeping = tasks.create_task(lease.keep())
                while await store.pttl(keys.CONTROL_LEASE) <= 5000:
                    await asyncio.sleep(0.05)
                keeping.cancel()
    finally:
        await store.config_set("maxmemory", 0)
    await lease.release()

"""An ApiServerSource in the sources role, watching a real kube-apiserver in which `kubectl` makes changes."""

import asyncio
import json

import pytest

from sources.apiserver.event import types


async def test_reference(flow, sources, sink, kubernetes):
    """Mode Reference tells who was added, updated, deleted, with Knative's attributes; not who was there."""
    await flow.config_map("before")
    state = await flow.apply()

    await flow.apply_config_map("a")
    await flow.apply_config_map("a", "2")
    await flow.kubectl("delete", "configmap", "a")
    await sink.until(lambda sink: len(sink.events) == 3)

    place = f"/apis/v1/namespaces/{flow.namespace}/configmaps/a"
    assert sink.told("type", "source", "subject", "kind", "apiversion", "name", "namespace") == [
        (f"dev.knative.apiserver.ref.{what}", kubernetes.url, place, "ConfigMap", "v1", "a", flow.namespace)
        for what in ("add", "update", "delete")]
    assert [json.loads(event.data) for event in sink.events] == [
        {"kind": "ConfigMap", "namespace": flow.namespace, "name": "a", "apiVersion": "v1"}] * 3
    assert state["status"] == {
        "namespaces": [flow.namespace],
        "ceAttributes": [{"type": type_, "source": kubernetes.url} for type_ in types("Reference")]}


async def test_resource(flow, sources, sink):
    """Mode Resource tells the whole object, as it is after the change."""
    await flow.apply(mode="Resource")

    await flow.apply_config_map("a", "1")
    await flow.apply_config_map("a", "2")
    await sink.until(lambda sink: len(sink.events) == 2)

    objects = [json.loads(event.data) for event in sink.events]
    assert [event.attributes["type"] for event in sink.events] == [
        "dev.knative.apiserver.resource.add", "dev.knative.apiserver.resource.update"]
    assert [each["data"]["value"] for each in objects] == ["1", "2"]
    assert {(each["apiVersion"], each["kind"]) for each in objects} == {("v1", "ConfigMap")}


async def test_selector(flow, sources, sink):
    """A label selector picks objects; one whose labels change comes and goes."""
    await flow.apply(resources=[{"apiVersion": "v1", "kind": "ConfigMap", "selector": {
        "matchLabels": {"tier": "web"}, "matchExpressions": [{"key": "old", "operator": "DoesNotExist"}]}}])

    await flow.config_map("other", tier="db")
    await flow.config_map("a", tier="web")
    await flow.config_map("a", tier="web", old="yes")
    await sink.until(lambda sink: len(sink.events) == 2)

    assert sink.changes() == [("add", "a"), ("delete", "a")]


async def test_owner(flow, sources, sink):
    """With an owner only objects are told whose controller is of that kind."""
    await flow.apply(owner={"apiVersion": "apps/v1", "kind": "Deployment"})
    owned = {"apiVersion": "v1", "kind": "ConfigMap"}
    for name, kind, controls in (("no", "Deployment", False), ("other", "ReplicaSet", True),
                                 ("owned", "Deployment", True)):
        reference = {"apiVersion": "apps/v1", "kind": kind, "name": "d", "uid": "1", "controller": controls}
        meta = {"name": name, "namespace": flow.namespace, "ownerReferences": [reference]}
        await asyncio.to_thread(flow.kubernetes.apply, {**owned, "metadata": meta})
    await flow.config_map("last")

    await sink.until(lambda sink: sink.events)
    assert sink.changes() == [("add", "owned")]


async def test_filters(flow, sources, sink):
    """Filters see the event's attributes, extensions too."""
    await flow.apply(filters=[{"suffix": {"type": ".add"}}, {"not": {"exact": {"name": "hidden"}}}])

    for name in ("hidden", "a"):
        await flow.config_map(name)
        await flow.config_map(name, "2")
    await flow.config_map("b")
    await sink.until(lambda sink: len(sink.events) == 2)

    assert sink.changes() == [("add", "a"), ("add", "b")]


async def test_several_resources(flow, sources, sink):
    """Several kinds are watched side by side, in any group; one that is named twice is told once."""
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}
    await flow.apply(resources=[{"apiVersion": "v1", "kind": "Event"}, role, role,
                                {"apiVersion": "v1", "kind": "Namespace"}])
    note = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "note", "namespace": flow.namespace},
            "involvedObject": {"kind": "Pod", "name": "p", "namespace": flow.namespace}, "reason": "Started",
            "message": "as told", "type": "Normal"}
    await asyncio.to_thread(flow.kubernetes.apply, note)
    await flow.kubectl("create", "role", "reader", "--verb=get", "--resource=pods")
    other = await asyncio.to_thread(flow.kubernetes.namespace)

    roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{flow.namespace}/roles"
    wanted = {(f"/apis/v1/namespaces/{flow.namespace}/events/note", flow.namespace),
              (f"{roles}/reader", flow.namespace),
              (f"/apis/v1/namespaces//namespaces/{other}", None)}
    await sink.until(lambda sink: wanted <= set(sink.told("subject", "namespace")))
    assert sink.repeats == 0


async def test_ce_overrides(flow, sources, sink):
    """What ceOverrides says is in every event."""
    flow.record["extensions"] = {"Cluster": "test"}
    await flow.apply()

    await flow.config_map("a")
    await sink.until(lambda sink: sink.events)

    assert sink.told("cluster") == [("test",)]


@pytest.mark.parametrize("selector", [{}, {"matchLabels": {}}])
async def test_all_namespaces(flow, sources, sink, selector):
    """An empty namespaceSelector is all of them."""
    state = await flow.apply(namespaceSelector=selector, filters=[{"prefix": {"name": "mine-"}}])
    other = await asyncio.to_thread(flow.kubernetes.namespace)

    await flow.config_map("mine-a")
    await flow.config_map("mine-b", namespace=other)
    await sink.until(lambda sink: len(sink.events) == 2)

    assert sink.told("name", "namespace") == [("mine-a", flow.namespace), ("mine-b", other)]
    assert state["status"]["namespaces"] == [""]


async def test_namespace_selector(flow, sources, sink):
    """Selected namespaces are watched; one that comes in brings its objects, one that leaves is left."""
    mark = flow.namespace
    selected = await asyncio.to_thread(flow.kubernetes.namespace, mark=mark)
    await flow.config_map("there", namespace=selected)
    picked = {"matchLabels": {"mark": mark}}
    kinds = [{"apiVersion": "v1", "kind": "ConfigMap"},
             {"apiVersion": "v1", "kind": "Namespace", "selector": picked}]
    state = await flow.apply(namespaceSelector=picked, resources=kinds,
                             filters=[{"suffix": {"type": ".add"}}])
    assert state["status"]["namespaces"] == [selected]

    await flow.config_map("no")
    await flow.config_map("a", namespace=selected)
    late = await asyncio.to_thread(flow.kubernetes.namespace)
    await flow.config_map("early", namespace=late)
    await asyncio.to_thread(flow.kubernetes.kubectl, "label", "namespace", late, f"mark={mark}")
    await sink.until(lambda sink: ("add", "early") in sink.changes())
    state = await flow.until(lambda state: len(state.get("status", {}).get("namespaces", ())) == 2)
    await flow.config_map("b", namespace=late)
    await sink.until(lambda sink: ("add", "b") in sink.changes())
    await asyncio.to_thread(flow.kubernetes.kubectl, "label", "namespace", late, "mark-")
    await flow.until(lambda state: state["status"]["namespaces"] == [selected])
    await flow.config_map("c", namespace=late)
    await flow.config_map("d", namespace=selected)
    await sink.until(lambda sink: ("add", "d") in sink.changes())

    assert [name for _, name in sink.changes() if name != late] == ["a", "early", "b", "d"]
    assert sink.changes().count(("add", late)) == 1


async def test_edits(flow, sources, sink):
    """An edit takes effect; what is watched already goes on without a gap, what is new begins silently."""
    await flow.kubectl("create", "role", "early", "--verb=get", "--resource=pods")
    await flow.apply()
    await flow.delete()
    await flow.config_map("a")

    await flow.apply(resources=[{"apiVersion": "v1", "kind": "ConfigMap"},
                                {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}])
    await flow.kubectl("create", "role", "late", "--verb=get", "--resource=pods")
    await sink.until(lambda sink: len(sink.events) == 2)

    assert sink.changes() == [("add", "a"), ("add", "late")]

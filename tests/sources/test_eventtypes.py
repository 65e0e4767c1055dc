"""EventTypes of sources: made of what a source says it emits, behind the flag."""

import pytest

import sources.ping
import sources.redisstream
from eventing.control import resource
from eventing.control.kind import named
from sources.eventtypes import SOURCE_LABEL

# Importing these registered their kinds.
SOURCES = (sources.ping, sources.redisstream)
KIND = "EventType.eventing.knative.dev"
FLAG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: config-features, namespace: knative-eventing}
data: {eventtype-auto-create: VALUE}
"""
PING = """
apiVersion: sources.knative.dev/v1
kind: PingSource
metadata: {name: tick}
spec: {schedule: '* * * * *', sink: SINK}
"""
BROKER = "{ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}}"


def types(cluster):
    """All EventTypes."""
    return cluster.plane.store.list(named(KIND))


async def test_a_source_has_one_for_what_it_emits(cluster):
    """Its type and source, a reference to its sink, and the source as its controller."""
    await cluster.apply(FLAG.replace("VALUE", "enabled"))
    await cluster.apply(PING.replace("SINK", BROKER))

    (made,) = await cluster.until(lambda: types(cluster))
    spec = made["spec"]
    assert (spec["type"], spec["source"], spec["reference"]["kind"]) == (
        "dev.knative.sources.ping", "/apis/v1/namespaces/default/pingsources/tick", "Broker")
    assert resource.labels(made) == {SOURCE_LABEL: "tick"}
    assert resource.is_controlled_by(made, cluster.get("PingSource.sources.knative.dev", "tick"))


async def test_it_follows_the_flag_and_the_source(cluster):
    """It is made when the flag is turned on, and goes when the sink is no object any more."""
    await cluster.apply(PING.replace("SINK", BROKER))
    await cluster.until_condition("PingSource.sources.knative.dev", "tick", "SinkProvided", status="False")
    assert types(cluster) == []

    await cluster.apply(FLAG.replace("VALUE", "enabled"))
    await cluster.until(lambda: types(cluster))
    await cluster.apply(PING.replace("SINK", "{uri: 'http://127.0.0.1:9/'}"))
    await cluster.until(lambda: not types(cluster))


@pytest.mark.parametrize("value", ["disabled", "allowed"])
async def test_without_the_flag_there_is_none(cluster, value):
    """Knative's default is off."""
    await cluster.apply(FLAG.replace("VALUE", value))
    await cluster.apply(PING.replace("SINK", "{uri: 'http://127.0.0.1:9/'}"))
    await cluster.until_condition("PingSource.sources.knative.dev", "tick", "SinkProvided", status="True")

    assert types(cluster) == []

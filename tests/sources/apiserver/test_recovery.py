"""Nothing is lost when anything dies; what comes twice was on the way, which WINDOW bounds."""

import asyncio
import json

from sources.apiserver.collection import WINDOW
from tests.sources.process import role_process

OBJECTS = 150


def last_values(sink):
    """What the sink knows: name of each object that is there -> the value in it."""
    known = {}
    for event in sink.events:
        if event.attributes["type"].endswith(".delete"):
            known.pop(event.attributes["name"], None)
        else:
            known[event.attributes["name"]] = json.loads(event.data)["data"]["value"]
    return known


def all_of(value, count=OBJECTS):
    """What there is after `flow.config_maps(count, value)`."""
    return {f"n-{number}": value for number in range(count)}


async def test_sink_down(flow, sources, sink):
    """A sink that refuses connections for 10 s gets every change once it is back, and none twice."""
    await flow.apply(mode="Resource")
    await flow.config_maps(10)
    await sink.until(lambda sink: len(sink.events) == 10)

    await sink.stop()
    await flow.config_maps(100, "2")
    await asyncio.sleep(10)  # an outage takes time
    await sink.start()
    await sink.until(lambda sink: len(sink.events) == 110)

    assert sink.changes() == [*(("add", f"n-{number}") for number in range(10)),
                              *(("update", f"n-{number}") for number in range(10)),
                              *(("add", f"n-{number}") for number in range(10, 100))]
    assert last_values(sink) == all_of("2", 100)


async def test_sink_overloaded(flow, sources, sink):
    """A sink that answers 503 for a while gets every change exactly once."""
    sink.answers = [503] * 4
    await flow.apply()

    await flow.config_maps(50)
    await sink.until(lambda sink: len(sink.events) == 50)

    assert (sink.refused, sink.repeats) == (4, 0)


async def test_source_restarted(flow, sources, sink):
    """A source that is stopped and started mid-stream goes on where it was."""
    await flow.apply(mode="Resource")
    changes = asyncio.gather(flow.config_maps(OBJECTS))

    for part in (20, 60, 100):
        await sink.until(lambda sink, part=part: len(sink.events) > part)
        await flow.project()  # another generation: the old run ends, a new one begins
    await changes
    await sink.until(lambda sink: last_values(sink) == all_of("1"))

    assert sink.repeats <= 3 * WINDOW


async def test_role_killed(flow, sink, valkey_socket, tmp_path):
    """SIGKILL of the sources role mid-stream, and changes while it is away."""
    await flow.project(mode="Resource")

    with role_process(valkey_socket, tmp_path):
        await flow.until(lambda state: state["ready"])
        changes = asyncio.gather(flow.config_maps(OBJECTS))
        await sink.until(lambda sink: len(sink.events) > 50)
    await changes
    await flow.kubectl("delete", "configmap", "n-0")
    with role_process(valkey_socket, tmp_path):
        expected = all_of("1")
        del expected["n-0"]
        await sink.until(lambda sink: ("delete", "n-0") in sink.changes())

    assert last_values(sink) == expected
    assert sink.repeats <= WINDOW
    assert flow.secrets["kubeconfig"] not in (tmp_path / "log").read_text()


async def test_changes_while_away(flow, sources, sink):
    """What changed while the source was away, and the server remembers, is told change by change."""
    await flow.apply(mode="Resource")
    await flow.delete()

    await flow.config_map("a", "1")
    await flow.config_map("a", "2")
    await flow.config_map("short")
    await flow.kubectl("delete", "configmap", "short")
    await flow.apply()
    await sink.until(lambda sink: len(sink.events) == 4)

    assert sink.changes() == [("add", "a"), ("update", "a"), ("add", "short"), ("delete", "short")]


async def test_server_restarted(flow, sources, sink, neighbour, kubernetes):
    """
    A kube-apiserver is killed mid-stream and started again, after etcd was compacted: it has forgotten (410).

    What its outage took from a source that ran, and what changed while another was away, is found by
    comparing, deletes too, over the pages of a list.
    """
    await flow.config_maps(OBJECTS)
    for name in ("changed", "deleted", "same", "another"):
        await flow.config_map(name)
    await flow.apply(mode="Resource")
    await flow.delete()
    await change_while_away(flow)
    await neighbour.apply(mode="Resource")
    writing = asyncio.gather(neighbour.config_maps(300), return_exceptions=True)
    await neighbour.sink.until(lambda sink: len(sink.events) >= 30)

    await asyncio.to_thread(kubernetes.compact)
    await flow.stop_api()
    state = await neighbour.until(lambda state: not state["ready"])
    await writing  # it failed in the middle
    await flow.start_api()

    await neighbour.config_maps(40, "2")
    await neighbour.sink.until(lambda sink: last_values(sink) | all_of("2", 40) == last_values(sink))
    assert state["reason"] in {"ConnectionLost", "ConnectionFailed"}
    assert neighbour.sink.repeats <= WINDOW
    assert (await neighbour.until(lambda state: state["ready"]))["reason"] == ""
    await check_found(flow, sink)


async def change_while_away(flow):
    """One changes twice, two go, one of them comes back as another, one is new, and one comes and goes."""
    await flow.config_map("changed", "2")
    await flow.config_map("changed", "3")
    await flow.kubectl("delete", "configmap", "deleted", "another")
    await flow.config_map("another", "2")
    await flow.config_map("new")
    await flow.config_map("short")
    await flow.kubectl("delete", "configmap", "short")


async def check_found(flow, sink):
    """Each is told once, as it is now."""
    await flow.apply()
    await flow.config_map("last")
    await sink.until(lambda sink: ("add", "last") in sink.changes())

    assert sorted(sink.changes()) == [("add", "another"), ("add", "last"), ("add", "new"),
                                      ("delete", "another"), ("delete", "deleted"), ("update", "changed")]
    assert sink.changes().index(("delete", "another")) < sink.changes().index(("add", "another"))
    gone = next(event for event in sink.events if event.attributes["name"] == "deleted")
    assert json.loads(gone.data)["metadata"]["namespace"] == flow.namespace
    assert last_values(sink)["changed"] == "3"


async def test_another_server(flow, sources, sink, store, kubernetes):
    """A place from elsewhere, ahead of the server (its data was restored from a copy), makes it compare."""
    await flow.apply(mode="Resource")
    await flow.delete()
    page = next(iter(await store.hgetall(f"{{clarion:source:{flow.record['uid']}}}:pages")))
    await store.hset(f"{{clarion:source:{flow.record['uid']}}}:pages", page, "99999999")

    await flow.config_map("a")
    await flow.apply()
    await sink.until(lambda sink: sink.events)

    assert sink.changes()[0] == ("add", "a")


async def test_one_failure_touches_no_other(flow, sources, sink, neighbour, kubernetes):
    """A source whose server is away leaves its neighbour alone."""
    text = flow.secrets["kubeconfig"].replace(kubernetes.url, "https://127.0.0.1:1")
    neighbour.secrets = {"kubeconfig": text}
    await neighbour.project()
    state = await neighbour.until(lambda state: not state["ready"])
    await flow.apply()

    await flow.config_map("a")
    await sink.until(lambda sink: sink.events)

    assert (state["reason"], "https://127.0.0.1:1" in state["message"]) == ("ConnectionFailed", True)

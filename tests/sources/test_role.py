"""The sources role over a real Valkey, emitting to a real HTTP sink."""

import asyncio
import base64
import uuid
from datetime import UTC, datetime

import pytest
import structlog.testing

from eventing import keys, projection
from sources import source

EVERY_SECOND = "* * * * * *"
NAME = "PingSource/default/tick"


def record(sink, **spec):
    """A PingSource as its reconciler projects it."""
    return {"uid": "3f1cbb7c-6d0a-4f6e-9d52-0d4f8f2f9a10", "generation": 1, "source": "/ping",
            "sink": sink.url, "extensions": {}, "missed": "skip", "spec": {"schedule": EVERY_SECOND, **spec}}


async def state_of(store, name, condition):
    """The reported state of a source once *condition* holds of it."""
    async with asyncio.timeout(20):
        while True:
            state = (await projection.read(store, "source-states")).get(name)
            if state is not None and condition(state):
                return state
            await asyncio.sleep(0)


async def test_ping(store, sources, sink):
    """A PingSource emits its data at every tick, with an id made from its uid and the tick."""
    made = record(sink, contentType="application/json", data='{"a": 1}')
    await projection.write(store, "sources", NAME, made)

    await sink.until(lambda sink: len(sink.events) > 1)

    first, second = sink.events[:2]
    assert first.data == b'{"a": 1}'
    assert {key: first.attributes[key] for key in ("type", "source", "datacontenttype")} == {
        "type": "dev.knative.sources.ping", "source": "/ping", "datacontenttype": "application/json"}
    assert uuid.UUID(first.attributes["id"]) != uuid.UUID(second.attributes["id"])
    assert first.attributes["time"] < second.attributes["time"]


@pytest.mark.parametrize(("missed", "made_up"), [("skip", 0), ("once", 1), ("all", 3)])
async def test_missed_ticks(store, sources, sink, missed, made_up):
    """What was missed while nobody ticked is made up for as the object says, from the stored tick on."""
    yearly = record(sink, schedule="0 0 1 1 *", data="yearly") | {"missed": missed}
    year = datetime.now(UTC).year
    await store.set(keys.source_place(yearly["uid"]), datetime(year - 3, 6, 1, tzinfo=UTC).timestamp())
    other = record(sink) | {"uid": str(uuid.uuid4())}

    await projection.write_many(store, "sources", {NAME: yearly, "PingSource/default/other": other})
    await sink.until(lambda sink: len(sink.events) > made_up)

    times = [event.attributes["time"] for event in sink.events if event.data == b"yearly"]
    assert times == [f"{year - back}-01-01T00:00:00Z" for back in reversed(range(made_up))]


async def test_last_tick_is_stored(store, sources, sink):
    """The last tick that the sink took is stored, and no other: one that it refuses is made up for."""
    made = record(sink) | {"missed": "all"}
    await projection.write(store, "sources", NAME, made)
    await sink.until(lambda sink: sink.events)
    sink.answers = [503] * 1000

    held = await until_place(store, made, lambda place: place > 0)
    await sink.until(lambda sink: sink.answers[-1:] and len(sink.answers) < 1000)

    taken = datetime.fromisoformat(sink.events[-1].attributes["time"]).timestamp()
    assert held <= taken
    assert await until_place(store, made, lambda place: place == taken) == taken


async def until_place(store, made, condition):
    """The stored place once *condition* holds of it."""
    async with asyncio.timeout(10):
        while True:
            place = float(await store.get(keys.source_place(made["uid"])) or 0)
            if condition(place):
                return place
            await asyncio.sleep(0.01)


async def test_binary_data_and_overrides(store, sources, sink):
    """dataBase64 is sent as the bytes it is; ceOverrides come last."""
    made = record(sink, dataBase64=base64.b64encode(b"\0\1").decode())
    made["extensions"] = {"Region": "eu"}
    await projection.write(store, "sources", NAME, made)

    await sink.until(lambda sink: sink.events)

    assert sink.events[0].data == b"\0\1"
    assert sink.events[0].attributes["region"] == "eu"


async def test_sink_that_is_not_there_yet(store, sources, sink):
    """An event that the sink could not take is sent again until it is taken, under the same id."""
    sink.answers = [503, 404, 500]
    await projection.write(store, "sources", NAME, record(sink))

    await sink.until(lambda sink: sink.events)

    assert sink.asked[:4] == [sink.events[0].attributes["id"]] * 4


async def test_a_sink_that_takes_nothing(store, sources, sink):
    """The source stays ready, and says what its sink answers until that takes events again."""
    sink.answers = [503] * 4
    await projection.write(store, "sources", NAME, record(sink))

    state = await state_of(store, NAME, lambda state: state.get("sink"))
    assert (state["ready"], state["sink"]) == (True, f"{sink.url}: HTTP 503")

    state = await state_of(store, NAME, lambda state: "sink" not in state)
    assert state["ready"]


async def test_edit_and_delete(store, sources, sink):
    """An edited source goes on as edited; a deleted one emits nothing more."""
    await projection.write(store, "sources", NAME, record(sink, data="old"))
    await sink.until(lambda sink: sink.events)
    edited = record(sink, data="new") | {"generation": 2}
    await projection.write(store, "sources", NAME, edited)
    await sink.until(lambda sink: sink.events[-1].data == b"new")
    assert (await state_of(store, NAME, lambda state: state["generation"] == 2))["ready"]

    await projection.write(store, "sources", NAME, None)
    other = "PingSource/default/other"
    await projection.write(store, "sources", other, record(sink, data="other"))
    await sink.until(lambda sink: sink.events[-1].data == b"other")
    before = len(sink.events)
    await sink.until(lambda sink: len(sink.events) > before + 1)

    assert {event.data for event in sink.events[before:]} == {b"other"}


async def test_refused_for_good(store, sources, sink):
    """A sink that refuses for good leaves the source ready: it says so until one is taken, and goes on."""
    sink.answers = [400] * 1000
    with structlog.testing.capture_logs() as logged:
        await projection.write(store, "sources", NAME, record(sink) | {"missed": "all"})
        state = await state_of(store, NAME, lambda state: state.get("sink"))
        await sink.until(lambda sink: len(sink.asked) > 1)
        assert (await projection.read(store, "source-states"))[NAME] == state
        assert state["ready"]
        assert state["sink"].startswith(f"{sink.url} answered 400")

        sink.answers = []
        assert (await state_of(store, NAME, lambda state: "sink" not in state))["ready"]

    assert len(set(sink.asked)) == len(sink.asked)
    assert [line["event"] for line in logged if line.get("source") == NAME] == [
        "sink did not accept", "event skipped", "sink accepts again"]


async def test_one_failure_touches_no_other(store, sources, sink):
    """A source that always fails is reported so; its neighbour goes on."""
    bad = record(sink, schedule="not a schedule")
    await projection.write_many(store, "sources", {"PingSource/default/bad": bad, NAME: record(sink)})

    state = await state_of(store, "PingSource/default/bad", lambda state: not state["ready"])
    await sink.until(lambda sink: sink.events)

    assert state == {"uid": bad["uid"], "generation": 1, "ready": False, "reason": "SourceFailed",
                     "message": "ScheduleInvalid: expected 5 to 6 fields, found 3: [not a schedule]"}


async def test_unknown_kind_is_left_alone(store, sources, sink):
    """A record of a kind that this process does not have is ignored."""
    unknown = "NoSuchSource/default/x"
    await projection.write_many(store, "sources", {unknown: record(sink), NAME: record(sink)})

    await sink.until(lambda sink: sink.events)

    assert source.named("NoSuchSource") is None
    assert unknown not in await projection.read(store, "source-states")


@pytest.mark.parametrize("outage", ["DEBUG SLEEP 1", "CLIENT KILL TYPE normal", "CLIENT KILL TYPE pubsub"])
async def test_store_away(store, sources, sink, outage):
    """A store that hangs or drops its connections stops no source, and later changes still arrive."""
    await projection.write(store, "sources", NAME, record(sink, data="old"))
    await sink.until(lambda sink: sink.events)

    await asyncio.gather(store.execute_command(*outage.split()), return_exceptions=True)
    await projection.write(store, "sources", NAME, record(sink, data="new"))

    await sink.until(lambda sink: sink.events[-1].data == b"new")

"""What is said of a sink, over real HTTP: as it changes, and not at the rate of events."""

import pytest
import structlog.testing

from eventing.event import Event
from eventing.http.client import Client
from sources import emitter, tally
from sources.emitter import Emitter
from sources.source import Refused


class Said:
    """What a source's sink is said to be."""

    def __init__(self):
        self.sink = []

    def state(self, reason="", message="", status=None, *, sink=""):
        """Hear of the source's state."""
        self.sink.append(sink)


@pytest.fixture
def said():
    """Nothing yet."""
    return Said()


@pytest.fixture
async def emit(sink, said):
    """A source's way to the sink."""
    client = Client()
    record = {"sink": sink.url, "extensions": {}}
    made = Emitter(client, record, name="PingSource/default/tick", count=dict.fromkeys(tally.RESULTS, 0),
                   on_state=said.state, on_place=lambda place: None, ledger=None, batches=None)
    made.ready()
    yield made
    await client.close()


async def send(emit, sink, statuses):
    """An event for each of *statuses*, which is what the sink answers; what was logged of it."""
    with structlog.testing.capture_logs() as lines:
        for number, status in enumerate(statuses):
            sink.answers = [status]
            try:
                await emit(Event({"id": str(number), "source": "/s", "type": "t", "specversion": "1.0"}, b""))
            except Refused:
                assert status == 400
    return [line["event"] for line in lines]


async def test_some_events_are_refused(emit, sink, said, monkeypatch):
    """A sink that refuses each second event is said to refuse once, and once to accept."""
    monkeypatch.setattr(emitter, "_WELL_AGAIN_S", 3600.0)
    assert await send(emit, sink, [202, 400] * 20 + [202]) == ["sink did not accept", "sink accepts again"]

    assert [bool(problem) for problem in said.sink] == [False, True, False]


async def test_a_sink_that_is_well_for_a_while(emit, sink, said, monkeypatch):
    """One that refuses again later is said to refuse again, and to accept when it does."""
    monkeypatch.setattr(emitter, "_WELL_AGAIN_S", 0.0)
    assert await send(emit, sink, [202, 400, 202, 400, 400, 202]) == [
        "sink did not accept", "sink accepts again"] * 2

    assert [bool(problem) for problem in said.sink] == [False, True, False, True, False]

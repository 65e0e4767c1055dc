"""KafkaSources as their reconciler projects them, and what is written for them to read."""

import asyncio
import uuid

import pytest

from eventing import projection

NAME = "KafkaSource/default/k"
SOURCE = "/apis/v1/namespaces/default/kafkasources/k"


class Stage:
    """A broker, a sink, the sources role between them, and the table that tells it what to run."""

    def __init__(self, store, kafka, sink, runtime):
        self.store = store
        self.kafka = kafka
        self.sink = sink
        self._runtime = runtime
        self._producer = kafka.producer()

    def record(self, *topics, **spec):
        """A KafkaSource of these topics, in a consumer group of its own, as its reconciler projects it."""
        return {
            "uid": str(uuid.uuid4()), "generation": 1, "source": f"{SOURCE}#{topics[0]}",
            "sink": self.sink.url, "extensions": {}, "delivery": None, "key_type": "string",
            "secret_versions": [],
            "spec": {"bootstrapServers": [self.kafka.plain], "topics": topics, "consumers": 1, "net": {},
                     "consumerGroup": f"g-{uuid.uuid4()}", "initialOffset": "earliest",
                     "ordering": "unordered", **spec},
        }

    async def project(self, record, name=NAME):
        """Tell the role of a source; None for a deleted one."""
        await projection.write(self.store, "sources", name, record)

    async def source(self, *topics, **spec):
        """Tell the role of a new KafkaSource; returns its record."""
        record = self.record(*topics, **spec)
        await self.project(record)
        return record

    async def state(self, *, ready, generation=1, name=NAME):
        """The reported state, once it is so."""
        async with asyncio.timeout(30):
            while True:
                state = (await projection.read(self.store, "source-states")).get(name)
                if state and (state["ready"], state["generation"]) == (ready, generation):
                    return state
                await asyncio.sleep(0.01)

    async def counted(self, result, count):
        """Return once that many events had this result."""
        async with asyncio.timeout(10):
            while self._runtime.metrics.get_sample_value(
                    "clarion_source_events_total", {"source": NAME, "result": result}) != count:
                await asyncio.sleep(0.01)

    def produce(self, topic, *values, **fields):
        """Write records with confluent-kafka; they are in the broker when this returns."""
        for value in values:
            self._producer.produce(topic, value, **fields)
            self._producer.poll(0)
        assert self._producer.flush(30) == 0

    async def arrived(self, *values):
        """Return once the sink has accepted all these data."""
        wanted = {value.encode() for value in values}
        await self.sink.until(lambda sink: len(sink.events) >= len(wanted)
                              and wanted <= {event.data for event in sink.events})


@pytest.fixture(scope="session")
def instance(instances):
    """A running `clarion up`, for all tests of this folder that need a whole one."""
    made = instances()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def stage(store, kafka, sink, sources):
    """All that a KafkaSource needs, running."""
    return Stage(store, kafka, sink, sources)

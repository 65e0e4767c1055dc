"""KafkaSource against a real broker: what is written arrives, whatever it is and however it is written."""

from sources.kafka.member import IN_FLIGHT


def numbers(start, end):
    """Decimal numbers as text."""
    return [str(number) for number in range(start, end)]


async def test_every_record_of_all_partitions(stage):
    """Every record of several topics and partitions is an event, once, and the source is Ready."""
    first, second = stage.kafka.topic(3), stage.kafka.topic(1)
    stage.produce(first, *numbers(0, 500))
    stage.produce(second, *numbers(500, 1000))

    await stage.source(first, second)
    await stage.sink.until(lambda sink: len(sink.events) >= 1000)

    assert sorted(int(event.data) for event in stage.sink.events) == list(range(1000))
    assert (await stage.state(ready=True))["reason"] == ""


async def test_ordered_partitions_side_by_side(stage):
    """With `ordered` each partition keeps its order, also while the sink takes nothing."""
    topic = stage.kafka.topic(4)
    for partition in range(4):
        stage.produce(topic, *(f"{partition}/{number:03}" for number in range(100)), partition=partition)
    stage.sink.answers = [503] * 6

    await stage.source(topic, ordering="ordered")
    await stage.sink.until(lambda sink: len(sink.events) >= 400)

    for partition in range(4):
        own = [event.data for event in stage.sink.events if event.data.startswith(b"%d/" % partition)]
        assert own == sorted(own)


async def test_latest_means_since_the_source_came_up(stage):
    """With `latest` nothing older arrives, and nothing newer is missed, not even over a restart."""
    topic = stage.kafka.topic(2)
    stage.produce(topic, "before", partition=0)
    record = await stage.source(topic, initialOffset="latest")
    await stage.state(ready=True)

    await stage.project(None)
    stage.produce(topic, "while it was away", partition=0)
    await stage.project(record)
    await stage.arrived("while it was away")

    assert [event.data for event in stage.sink.events] == [b"while it was away"]


async def test_topic_that_comes_later(stage):
    """A missing topic is said in the state and waited for; what is in it from the start is not missed."""
    await stage.source("later-than-source", initialOffset="latest")
    state = await stage.state(ready=False)
    assert (state["reason"], state["message"]) == (
        "TopicNotFound", "the cluster has no topic later-than-source; it is waited for")

    stage.kafka.create("later-than-source")
    stage.produce("later-than-source", "first")

    await stage.arrived("first")
    await stage.state(ready=True)


async def test_unreachable_broker(stage):
    """Without a broker the state says so and names the address."""
    await stage.source("t", bootstrapServers=["127.0.0.1:1"])

    state = await stage.state(ready=False)

    assert state["reason"] == "BrokerUnreachable"
    assert state["message"].startswith("127.0.0.1:1: ")


async def test_slow_sink_bounds_what_is_under_way(stage):
    """Behind a sink that takes nothing no more than IN_FLIGHT events are under way, however many wait."""
    topic = stage.kafka.topic(4)
    for partition in range(4):
        stage.produce(topic, *numbers(0, 1000), partition=partition)
    stage.sink.answers = [503] * 100_000

    await stage.source(topic)
    await stage.sink.until(lambda sink: len(sink.asked) > 3 * IN_FLIGHT)

    assert len(set(stage.sink.asked)) == IN_FLIGHT


async def test_refused_event_does_not_stop_the_partition(stage):
    """An event that the sink refuses is skipped and counted; with a dead letter sink it goes there."""
    topic = stage.kafka.topic()
    stage.produce(topic, "bad", "good")
    stage.sink.answers = [400]
    record = await stage.source(topic, ordering="ordered")
    await stage.arrived("good")
    assert [event.data for event in stage.sink.events] == [b"good"]
    await stage.counted("skipped", 1)

    delivery = {"retry": 1, "backoff_s": 0.01, "dead_letter_url": f"{stage.sink.url}/dead"}
    await stage.project(record | {"delivery": delivery, "generation": 2})
    await stage.state(ready=True, generation=2)
    stage.sink.answers = [503, 503]
    stage.produce(topic, "too late")
    await stage.arrived("too late")

    letter = stage.sink.events[-1]
    assert (letter.attributes["knativeerrordest"], letter.attributes["knativeerrorcode"]) == (
        stage.sink.url, "503")
    await stage.counted("dead_lettered", 1)


async def test_compression(stage):
    """Records come compressed in any way that Kafka knows."""
    topic = stage.kafka.topic()
    codecs = ("gzip", "snappy", "lz4", "zstd")
    for codec in codecs:
        producer = stage.kafka.producer(**{"compression.type": codec})
        producer.produce(topic, codec * 1000)
        producer.flush(30)

    await stage.source(topic)

    await stage.arrived(*(codec * 1000 for codec in codecs))


async def test_consumers_share_the_partitions(stage):
    """Several consumers read a topic together; when their number changes meanwhile, no record is lost."""
    topic = stage.kafka.topic(4)
    record = await stage.source(topic, consumers=3)
    stage.produce(topic, *numbers(0, 300))
    await stage.state(ready=True)

    record["spec"]["consumers"] = 1
    await stage.project(record | {"generation": 2})
    stage.produce(topic, *numbers(300, 600))

    await stage.arrived(*numbers(0, 600))


async def test_another_member_of_the_group(stage):
    """When another process joins the group and leaves again, no record is lost between the two."""
    topic = stage.kafka.topic(4)
    record = await stage.source(topic)
    await stage.state(ready=True)
    stage.produce(topic, *numbers(0, 300))
    await stage.project(record | {"uid": "other"}, "KafkaSource/default/other")
    await stage.state(ready=True, name="KafkaSource/default/other")
    stage.produce(topic, *numbers(300, 600))
    await stage.project(None, "KafkaSource/default/other")
    stage.produce(topic, *numbers(600, 900))

    await stage.arrived(*numbers(0, 900))


async def test_paused(stage):
    """With no consumers the source is Ready and reads nothing."""
    await stage.source(stage.kafka.topic(), consumers=0)

    await stage.state(ready=True)


async def test_record_that_cannot_be_read(stage):
    """Records whose checksum does not fit are passed by and counted; those before and behind arrive."""
    topic = stage.kafka.topic()
    for value in ("before", "broken-1", "broken-2", "behind"):
        stage.produce(topic, value)
    stage.kafka.stop()
    (log,) = stage.kafka.directory.glob(f"data/{topic}-0/*.log")
    log.write_bytes(log.read_bytes().replace(b"broken", b"brOken"))
    stage.kafka.start()

    await stage.source(topic)
    await stage.arrived("before", "behind")

    assert [event.data for event in stage.sink.events] == [b"before", b"behind"]
    await stage.counted("skipped", 2)

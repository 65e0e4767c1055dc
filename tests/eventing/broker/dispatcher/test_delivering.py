"""From the stream to the subscribers."""

from eventing.event import Event


async def test_delivers_what_matches(bench, subscriber, eventually):
    """An event goes to the triggers whose filter passes, as it was stored, and nowhere else."""
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, filter={"type": "order"})

    await bench.send("1", type="other")
    await bench.send("2", type="order", data=b'{"sku": "A1"}', datacontenttype="application/json", subject="s")
    await bench.send("3", type="order", data=None)
    await eventually(lambda: len(subscriber.received) == 2)

    (event, headers), (bare, _) = subscriber.received
    attributes = dict(event.attributes)
    del attributes["knativearrivaltime"]
    assert event.data == b'{"sku": "A1"}'
    assert attributes == {"specversion": "1.0", "id": "2", "source": "/test", "type": "order",
                          "datacontenttype": "application/json", "subject": "s"}
    assert bare == Event(bare.attributes, None)
    assert headers[b"prefer"] == b"reply"
    assert headers[b"kn-namespace"] == b"shop"

"""Answers that are none: each is a failed attempt that says why, and costs bounded memory."""

import asyncio
import contextlib

import pytest

from eventing.broker import courier, sender

LIMIT_BYTES = 32 * 1024 * 1024  # far below what is offered, far above an answer's limit and all buffers
CHUNK = b"x" * 65536


class Mouth:
    """A subscriber that reads a request's head, then says what it wants; counts the bytes it got rid of."""

    def __init__(self, say):
        self._say = say
        self.sent_bytes = 0

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}/"

    async def stop(self):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                for chunk in self._say():
                    writer.write(chunk)
                    await writer.drain()
                    self.sent_bytes += len(chunk)
                if not reader.at_eof():
                    await reader.read()
                break
        writer.close()


def endless(head, chunk):
    """A head, and then the same for ever."""
    def say():
        yield head
        while True:
            yield chunk
    return say


def said(*chunks):
    """Exactly that."""
    return lambda: iter(chunks)


HUNDRED = 100 * 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\n"
CASES = [
    pytest.param(said(b"hello, this is no HTTP\r\n\r\n"), "cannot parse the answer: ", id="not HTTP"),
    pytest.param(said(OK, b"content-length: x\r\n\r\n"), "cannot parse the answer: ",
                 id="a length that is none"),
    pytest.param(said(OK, b"transfer-encoding: chunked\r\n\r\nzz\r\n"), "cannot parse the answer: ",
                 id="a chunk without a size"),
    pytest.param(said(OK, b"content-length: 10\r\n\r\nabc"), "no answer within 0.3 s", id="half an answer"),
    pytest.param(said(OK, b"content-length: %d\r\n\r\n" % HUNDRED, *[CHUNK] * (HUNDRED // 65536)),
                 "the answer is larger than 2097152 bytes", id="100 MB"),
    pytest.param(endless(OK + b"transfer-encoding: chunked\r\n\r\n", b"10000\r\n%b\r\n" % CHUNK),
                 "the answer is larger than 2097152 bytes", id="endless chunks"),
    pytest.param(endless(OK + b"\r\n", CHUNK), "the answer is larger than 2097152 bytes",
                 id="endless, until it closes"),
    pytest.param(endless(OK, b"x-header: %b\r\n" % CHUNK[:1000]),
                 "the answer's head is larger than 65536 bytes", id="endless headers"),
    pytest.param(endless(OK + b"x: ", CHUNK), "the answer's head is larger than 65536 bytes",
                 id="one endless header"),
    pytest.param(endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
                 "the answer's head is larger than 65536 bytes", id="endless early hints"),
    pytest.param(said(OK, b"ce-specversion: 1.0\r\ncontent-length: 0\r\n\r\n"),
                 "the subscriber answered 200 with a body that is no event", id="half an event"),
]


@pytest.fixture
async def mouth(request):
    """The subscriber that says what the test's parameter says."""
    made = Mouth(request.param)
    await made.start()
    yield made
    await made.stop()


@pytest.mark.parametrize(("mouth", "reason"), CASES, indirect=["mouth"])
async def test_what_is_no_answer(bench, subscriber, eventually, delivery, *, mouth, reason):
    """It becomes a dead letter with that reason, what is offered is not taken, and others are served."""
    await bench.dispatcher()
    await bench.trigger("mouth", mouth.url,
                        delivery=delivery(timeout_s=0.3 if "within" in reason else 60.0))
    await bench.trigger("other", subscriber.url)

    await bench.send("1")
    letters = await bench.letters("mouth")
    (letter,) = await bench.until(lambda: bench.at_least(1, letters))

    assert reason in letter.reason
    assert mouth.sent_bytes < LIMIT_BYTES
    await eventually(lambda: subscriber.ids == ["1"])


DEEP = b'{"specversion":"1.0","id":"r","type":"rr","source":"/r","data":%b%b}' % (b"[" * 300, b"]" * 300)


async def test_a_reply_that_is_nested_too_deep(bench, subscriber, delivery):
    """JSON that is read, and could not be written again, is a failed attempt with that reason."""
    subscriber.answer = lambda exchange, event: exchange.respond(
        200, [(b"content-type", b"application/cloudevents+json")], DEEP)
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, delivery=delivery(retry=2))

    await bench.send("1")
    letters = await bench.letters("mine")
    (letter,) = await bench.until(lambda: bench.at_least(1, letters))

    assert subscriber.ids == ["1", "1", "1"]
    assert letter.body == b"the reply is not a CloudEvent: data: is nested more than 254 levels deep"


@pytest.mark.parametrize(("room", "name"), [(sender, "_read"), (courier, "stamp"), (courier, "decide")])
async def test_a_mistake_of_ours_is_a_failed_attempt(bench, subscriber, delivery, monkeypatch, *, room, name):
    """Wherever on the way of an answer it happens, the event is retried, given up, and others go on."""
    def fail(*_args, **_more):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(room, name, fail)
    subscriber.answer = lambda exchange, event: exchange.respond(
        200, [(b"content-type", b"application/cloudevents+json")],
        b'{"specversion":"1.0","id":"r","type":"rr","source":"/r"}')
    await bench.dispatcher()
    await bench.trigger("mine", subscriber.url, delivery=delivery(retry=1), annotations={
        "kafka.eventing.knative.dev/delivery.order": "ordered"})

    await bench.send("1", "2", partitionkey="k")
    letters = await bench.letters("mine")
    found = await bench.until(lambda: bench.at_least(2, letters))

    assert {(letter.attempts, letter.body[:33]) for letter in found} == {
        (2, b"dispatch error: ZeroDivisionError")}
    assert sorted(subscriber.ids) == ["1", "1", "2", "2"]


class Failing:
    """A subscriber that answers event 1, and ends the connection of any other one a while after it came."""

    def __init__(self):
        self.heads = []

    async def serve(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while b"ce-id: 1\r\n" in (head := await reader.readuntil(b"\r\n\r\n")):
                await reader.readexactly(2)
                writer.write(OK + b"content-length: 0\r\n\r\n")
            self.heads.append(head)
            await asyncio.sleep(0.3)
        writer.close()


async def test_a_connection_that_ends_after_a_while_was_an_attempt(bench, delivery):
    """A subscriber that fails at an event gets it as often as its retries say, on an old connection too."""
    failing = Failing()
    server = await asyncio.start_server(failing.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    await bench.dispatcher()
    await bench.trigger("failing", f"http://{host}:{port}/", delivery=delivery(retry=1))

    await bench.send("1")
    await bench.records(1)
    await bench.send("2")
    letters = await bench.letters("failing")
    (letter,) = await bench.until(lambda: bench.at_least(1, letters))
    server.close()

    assert "closed" in letter.reason
    assert len(failing.heads) == 2


async def test_an_answer_like_one_before(bench, subscriber, eventually):
    """It is taken for what it says: done; or an event without data, or a body that is none, every time."""
    answers = {"done": (202, [], b""), "body": (200, [], b"\r\n\r\n"),
               "reply": (200, [(b"ce-specversion", b"1.0"), (b"ce-id", b"1"), (b"ce-source", b"/r"),
                               (b"ce-type", b"r")], b"")}
    subscriber.answer = lambda exchange, event: exchange.respond(*answers[event.attributes["subject"]])
    await bench.dispatcher()
    await bench.trigger("usual", subscriber.url, filter={"type": "t"})

    subjects = ["done", "done", "reply", "done", "body", "reply", "done", "body"]
    for number, subject in enumerate(subjects):
        await bench.send(str(number), subject=subject)
        await eventually(lambda wanted=number + 1: len(subscriber.received) == wanted)

    said = {int(record[2]): record[-1] for record in await bench.records(len(subjects))}
    words = {"done": "settled", "reply": "replied", "body": "dead letter"}
    assert [said[number] for number in range(len(subjects))] == [words[subject] for subject in subjects]

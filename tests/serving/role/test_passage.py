"""One request through the activator to a real worker: held, limited, streamed, late, or left alone."""

import asyncio
import json
import os
import signal
import sys
import time

import pytest
from prometheus_client import generate_latest

from eventing.errors import NoAnswer

# Streams three chunks, a while apart; may die or hang in between.
STREAM = """
import asyncio, os, signal
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in b"123":
        await send({"type": "http.response.body", "body": bytes([number]), "more_body": True})
        await asyncio.sleep(0.1)
        if scope["query_string"] == b"die=1":
            os.kill(os.getpid(), signal.SIGKILL)
        if scope["query_string"] == b"hang=1" and number == 49:
            await asyncio.sleep(1)
    await send({"type": "http.response.body"})
"""
# Switches to a protocol of its own, which sends back what it gets.
ECHO = """
import os, socket
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    connection, _ = server.accept()
    if b"\\r\\n\\r\\n" in connection.recv(65536):
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\n"
                           b"connection: upgrade\\r\\nupgrade: echo\\r\\n\\r\\n")
        while data := connection.recv(65536):
            connection.sendall(data)
    connection.close()
"""


async def test_request_wakes_a_worker_from_zero(house):
    """The first request is held until a worker has it, and says how long that took; the next is warm."""
    await house.revision("a")
    cold = await house.ask("a", method="POST", body=b"12345")
    assert (cold.status, json.loads(cold.body)["size"]) == (200, 5)
    assert float(cold.header(b"clarion-cold-start")) > 0
    warm = await house.ask("a")
    assert warm.header(b"clarion-cold-start") is None
    assert json.loads(warm.body)["pid"] == json.loads(cold.body)["pid"]
    assert b"clarion_cold_start_seconds_count 1.0" in generate_latest(house.metrics)


@pytest.mark.parametrize("size", [1_000, 100_000], ids=["gathered", "streamed"])
async def test_cold_start_is_not_the_upload(house, size):
    """How long a client takes to send its body is no part of the cold start that it is told."""
    await house.revision("a")
    reader, writer = await asyncio.open_unix_connection(house.config.activator_socket)
    writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size + bytes(size - 1))
    began = time.monotonic()
    if size > 64 * 1024:  # a worker is asked for before all of it is here
        await house.scale("a", lambda record: record["actual"] == 1)
    there = time.monotonic()
    await asyncio.sleep(0.3)
    ended = time.monotonic()
    writer.write(b"x")
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
    told_s = float(head.lower().partition(b"clarion-cold-start: ")[2].split()[0]) / 1000
    assert 0 <= told_s <= time.monotonic() - began - (ended - there)
    writer.close()


async def test_cold_start_is_told_stage_by_stage(house):
    """Each stage of a start is counted once, and together they are the whole."""
    await house.revision("a")
    seen = {}

    async def counted():
        samples = [sample for metric in house.metrics.collect() for sample in metric.samples
                   if metric.name == "clarion_cold_start_stage_seconds"]
        seen.update({(sample.labels["stage"], sample.name.rpartition("_")[2]): sample.value
                     for sample in samples if not sample.name.endswith("_bucket")})
        return ("first_byte", "count") in seen

    await house.ask("a")
    await house.until(counted)
    stages = ("queued", "forked", "imported", "listening", "first_byte")
    assert [seen[stage, "count"] for stage in stages] == [1.0] * 5
    whole = house.metrics.get_sample_value("clarion_cold_start_seconds_sum")
    assert sum(seen[stage, "sum"] for stage in stages) == pytest.approx(whole)


async def test_burst_at_zero_is_held_and_answered(house):
    """Two hundred requests that meet a revision at zero are all answered."""
    await house.revision("a")
    answers = await asyncio.gather(*(house.ask("a") for _ in range(200)))
    assert {answer.status for answer in answers} == {200}


async def test_limit_of_concurrency_is_never_exceeded(house):
    """With containerConcurrency 1 no worker ever sees two requests at a time, however many wait."""
    await house.revision("a", container_concurrency=1)
    answers = await asyncio.gather(*(house.ask("a", "?sleep=0.01") for _ in range(40)))
    bodies = [json.loads(answer.body) for answer in answers]
    assert {body["most"] for body in bodies} == {1}
    assert len({body["pid"] for body in bodies}) >= 2  # more where the machine is so slow that it goes on


async def test_limit_holds_after_clients_left(house):
    """A function goes on after its client left: its place is not given to another before it has ended."""
    await house.revision("a", container_concurrency=1, annotations={"max-scale": "1"})
    await house.ask("a")

    async def leave():
        async with asyncio.timeout(0.1):
            await house.ask("a", "?sleep=0.3")
    gone = await asyncio.gather(*[leave() for _ in range(3)], return_exceptions=True)
    assert {type(error) for error in gone} == {TimeoutError}
    assert json.loads((await house.ask("a")).body)["most"] == 1


async def test_request_that_takes_too_long(house):
    """TimeoutSeconds: 504 in Knative's words, and the worker goes on serving."""
    await house.revision("a", timeout_s=0.3)
    await house.revision("b", response_start_timeout_s=0.3)
    for name in "ab":
        answer = await house.ask(name, "?sleep=1")
        assert (answer.status, answer.body) == (504, b"activator request timeout\n")
        assert (await house.ask(name)).status == 200


async def test_hung_worker_with_a_limit_is_replaced(house):
    """Where concurrency is limited, a function that ran out of time may keep its place: a new worker."""
    await house.revision("a", timeout_s=0.5, container_concurrency=1, annotations={"max-scale": "1"})
    first = await house.pid("a")
    assert (await house.ask("a", "?sleep=60")).status == 504
    assert await house.pid("a") != first


async def test_worker_that_dies_under_a_request(house):
    """Its client gets 502, and the next request a new worker."""
    await house.revision("a")
    first = await house.pid("a")
    assert (await house.ask("a", "?die=1", method="POST", body=b"x")).status == 502
    assert await house.pid("a") != first


# Notes each POST that it is given, and dies of it.
FATAL = """
import os, signal
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await receive()
    if scope["method"] == "POST":
        with open("{}", "a") as notes:
            notes.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body"}})
"""


@pytest.mark.parametrize("begins_at", ["zero", "a worker"])
async def test_no_worker_reads_a_post_that_another_has_read(house, begins_at):
    """A request that kills its worker kills no other one: it is not sent again once it has been read."""
    notes = house.config.data_dir / "notes"
    await house.revision("a", code=FATAL.format(notes))
    for posted in range(1, 4):
        if begins_at != "zero":
            assert (await house.ask("a")).status == 200
        assert (await house.ask("a", method="POST", body=b"x")).status == 502
        assert (await house.ask("a")).status == 200
        assert notes.read_text() == "x" * posted


# Notes what it is asked for and closes the connection, after an answer where the path is "/".
CLOSER = """
import os, socket, sys
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    connection, _ = server.accept()
    path = "/"
    while data := connection.recv(65536):
        path = data.split()[1].decode()
        with open("{}", "a") as notes:
            notes.write(f"{{os.getpid()}} {{path}}\\n")
        if path != "/":
            break
        connection.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok")
    if path == "/reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0, 0, 0, 0, 0)))
    connection.close()
"""


@pytest.mark.parametrize("path", ["close", "reset"])
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_get_that_no_worker_answers(house, path, workers):
    """It is sent twice in all, also where the connection was idle; if it was read, to another worker."""
    notes = house.config.data_dir / "notes"
    await house.revision("a", code=CLOSER.format(notes), command=[sys.executable, "func.py"],
                         annotations={"min-scale": str(workers), "max-scale": str(workers)})
    await house.scale("a", lambda record: record["actual"] == workers)
    assert (await house.ask("a")).status == 200
    assert (await house.ask("a", path)).status == 502
    readers = [line.split()[0] for line in notes.read_text().splitlines() if line.endswith(path)]
    assert len(readers) == 2
    assert len(set(readers)) == workers or path == "reset"  # which says that it was not read


async def test_worker_killed_between_requests_costs_nothing(house):
    """What comes while a killed worker is replaced is answered by the new one."""
    await house.revision("a")
    for _ in range(2):
        os.kill(await house.pid("a"), signal.SIGKILL)
        answers = await asyncio.gather(*(house.ask("a") for _ in range(20)))
        assert {answer.status for answer in answers} == {200}


async def test_answer_is_streamed_as_it_comes(house):
    """The first chunk of an answer arrives before its last one was sent."""
    await house.revision("a", code=STREAM)
    await house.ask("a")
    reader, writer = await asyncio.open_unix_connection(house.config.activator_socket)
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    async with asyncio.timeout(5):
        text = await reader.readuntil(b"\r\n1\r\n")
    assert text.startswith(b"HTTP/1.1 200")
    assert b"\r\n3\r\n" not in text
    async with asyncio.timeout(5):
        await reader.readuntil(b"\r\n0\r\n\r\n")
    writer.close()


async def test_answer_that_breaks_off_is_cut_visibly(house):
    """A worker that dies in the middle, or pauses for longer than idleTimeoutSeconds: no end is pretended."""
    await house.revision("a", code=STREAM, idle_timeout_s=0.5)
    for query in ("?die=1", "?hang=1"):
        with pytest.raises(NoAnswer, match="in the middle"):
            await house.ask("a", query)
    assert (await house.ask("a")).body == b"123"


async def test_upgraded_connection_passes_bytes_both_ways(house):
    """After a 101, which says how long a worker was awaited, the activator only carries bytes."""
    await house.revision("a", code=ECHO, command=[sys.executable], args=["func.py"])
    reader, writer = await asyncio.open_unix_connection(house.config.activator_socket)
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n")
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101")
    assert float(head.lower().partition(b"clarion-cold-start: ")[2].split()[0]) > 0
    for text in (b"one", b"two"):
        writer.write(text)
        async with asyncio.timeout(5):
            assert await reader.readexactly(3) == text
    writer.close()


async def test_large_bodies_cross_in_both_directions(house):
    """A body too large to keep is streamed."""
    await house.revision("a")
    answer = await house.ask("a", method="POST", body=bytes(3_000_000))
    assert json.loads(answer.body)["size"] == 3_000_000

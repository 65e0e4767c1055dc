"""sources/batches.py: who waits together goes together, and nobody is left waiting."""

import asyncio
import contextlib

import pytest

from eventing import binding
from eventing.event import Event
from sources.batches import AT_ONCE, Batches


class Broker:
    """Keeps what is posted; answers only when told to."""

    def __init__(self):
        self.posted = []
        self.answers = []
        self.batches = Batches(self.post)

    async def post(self, body):
        """Take one batch."""
        self.posted.append(binding.from_batch(body))
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]

    def sizes(self):
        """How many events each batch had."""
        return [len(batch) for batch in self.posted]

    async def send(self, tasks, count, data=b"x"):
        """Events 0, 1, ..: AT_ONCE of them on their way by themselves, the others waiting."""
        sent = []
        for number in range(count):
            sent.append(tasks.create_task(self.batches.send(event(number, data))))
            if number < AT_ONCE:
                await self.sees(*[1] * (number + 1))
        await asyncio.sleep(0)
        return sent

    async def sees(self, *sizes):
        """Return once batches of these sizes were posted."""
        async with asyncio.timeout(5):
            while self.sizes() != list(sizes):
                await asyncio.sleep(0)


def event(number, data=b"x"):
    """One of many."""
    return Event({"specversion": "1.0", "id": str(number), "source": "/s", "type": "t"}, data)


@pytest.fixture
def broker():
    """A broker that nobody has sent to."""
    return Broker()


async def test_who_waits_goes_together(broker):
    """The first go at once; what comes while they are under way is one batch, in order."""
    async with asyncio.TaskGroup() as tasks:
        sent = await broker.send(tasks, AT_ONCE + 10)
        broker.answers[0].set_result(True)
        await broker.sees(*[1] * AT_ONCE, 10)
        assert [each.attributes["id"] for each in broker.posted[-1]] == [
            str(number) for number in range(AT_ONCE, AT_ONCE + 10)]
        for answer in broker.answers[1:]:
            answer.set_result(True)

    assert all(task.result() for task in sent)
    assert repr(broker.batches) == "<Batches [0 under way | 0 waiting]>"


async def test_who_comes_together_goes_together(broker):
    """Events of one turn of the loop are one batch, and what does not fit is the next one, at once."""
    async with asyncio.TaskGroup() as tasks:
        for number in range(100):
            tasks.create_task(broker.batches.send(event(number)))
        await broker.sees(64, 36)
        for answer in broker.answers:
            answer.set_result(True)


async def test_data_stays_as_it_is(broker):
    """The bytes of an event's data arrive as they are; none stays none."""
    odd = b'{"a" :  1.10, "b": 123456789012345678901234567890}'
    for data in (odd, b"\xff", None):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(broker.batches.send(event(1, data)))
            await broker.sees(*[1] * (len(broker.answers) + 1))
            broker.answers[-1].set_result(True)
        assert [each.data for each in broker.posted[-1]] == [data]


async def test_batch_that_is_not_accepted(broker):
    """Each event of a batch that failed has to be sent by itself."""
    async with asyncio.TaskGroup() as tasks:
        sent = await broker.send(tasks, AT_ONCE + 3)
        broker.answers[0].set_result(True)
        await broker.sees(*[1] * AT_ONCE, 3)
        for answer in broker.answers[1:]:
            answer.set_result(False)

    assert [task.result() for task in sent] == [True] + [False] * (AT_ONCE + 2)


async def test_large_events_go_in_several_batches(broker):
    """A batch stays far below what the ingress takes."""
    async with asyncio.TaskGroup() as tasks:
        await broker.send(tasks, AT_ONCE + 3, bytes(100_000))
        broker.answers[0].set_result(True)
        await broker.sees(*[1] * AT_ONCE, 2)
        broker.answers[1].set_result(True)
        await broker.sees(*[1] * AT_ONCE, 2, 1)
        for answer in broker.answers[2:]:
            answer.set_result(True)


@pytest.mark.parametrize("victim", [0, AT_ONCE, AT_ONCE + 1])
async def test_cancelled(broker, victim):
    """Whoever is cancelled, under way or waiting, holds nobody up."""
    async with asyncio.TaskGroup() as tasks:
        sent = await broker.send(tasks, AT_ONCE + 3)
        if victim:
            broker.answers[0].set_result(True)
            await asyncio.sleep(0)
        sent[victim].cancel()
        async with asyncio.timeout(5):
            while not all(task.done() for task in sent):
                for answer in broker.answers:
                    with contextlib.suppress(asyncio.InvalidStateError):
                        answer.set_result(True)
                await asyncio.sleep(0)

    assert sent[victim].cancelled()
    assert repr(broker.batches) == "<Batches [0 under way | 0 waiting]>"

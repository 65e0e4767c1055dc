"""What waits for a trigger outlives the stream that it came in, and keeps nothing else."""

import pytest

from eventing import keys
from eventing.broker import archive, retention
from eventing.broker.drawer import Drawer
from eventing.broker.lane import Lane
from eventing.broker.lease import Fenced, Lease
from eventing.broker.page import Ledger, Page, place_of
from eventing.broker.retention import Retention
from eventing.broker.settings import Settings

BROKER = "ns/b"
STREAM = keys.events(BROKER, 0)
SPARED = "{ns/b/0}:spared"
LITTLE = Settings(retention_age_s=1e10, retention_bytes=40_000)


class Owned:
    """A partition of 200 entries, 1-0 to 200-0, of a kilobyte each; the floor is behind them."""

    def __init__(self, store):
        self.store = store
        self.lease = Lease(store, BROKER, 0, "mine")
        self.retention = Retention(store, BROKER, 0, self.lease)
        self._commits = 0

    async def fill(self):
        await self.lease.acquire()
        for number in range(1, 201):
            await self.store.xadd(STREAM, {"a": b'{"id":"%d"}' % number, "d": b"\xff\x00" * 500},
                                  id=f"{number}-0")
        await self.commit(floor="200-0")
        return self

    async def commit(self, **page):
        self._commits += 1
        await self.lease.commit(self._commits, Page(**page).arguments())

    async def retry(self, uid, *numbers):
        """Let a trigger wait for its second attempt of these."""
        await self.commit(retries=[(1, place_of(f"{number}-0"), f"{uid} 2 {number}-0") for number in numbers])

    async def park(self, uid, *numbers):
        """Let these be in a trigger's backlog."""
        await self.commit(parked={uid: {f"{number}-0 1": place_of(f"{number}-0") for number in numbers}})

    async def settle(self, uid, *members):
        """Take these out of a trigger's backlog."""
        await self.commit(drained={uid: list(members)})

    async def drawn(self, *uids):
        """What is queued for each trigger, retries among it: members, ids of events, and their data."""
        lanes = {uid: Lane(uid, f"ns/{uid}") for uid in uids}
        await self.lease.renew()
        drawer = Drawer(self.lease, Ledger(), lanes)
        drawer.backlogged, drawer.next_due_ms = set(lanes.values()), 1.0
        await drawer.draw(lambda lane: None)
        return {uid: {each.member: (each.event.attributes["id"], each.event.data) for each in lane.queue}
                for uid, lane in lanes.items()}

    async def first(self):
        """Milliseconds of the first entry that is left."""
        return int((await self.store.xrange(STREAM, count=1))[0][0].partition(b"-")[0])


@pytest.fixture
async def owned(store):
    """A partition to be kept small."""
    return await Owned(store).fill()


def event(number):
    """Id and data of an entry."""
    return str(number), b"\xff\x00" * 500


async def test_what_waits_does_not_keep_what_came_after(owned):
    """Few events that wait are kept by themselves, byte for byte; the rest goes as if they did not wait."""
    await owned.retry("u", 3, 90)
    await owned.park("v", 5)

    await owned.retention.keep(LITTLE)

    assert await owned.store.xlen(STREAM) < 60
    assert await owned.drawn("u", "v") == {"u": {"3-0 2": event(3), "90-0 2": event(90)},
                                           "v": {"5-0 1": event(5)}}


async def test_nothing_is_copied_where_there_is_enough_room(owned):
    """As long as a partition keeps within its bounds, what waits stays where it is."""
    await owned.retry("u", 3)

    await owned.retention.keep(Settings(retention_age_s=1e10, retention_bytes=10_000_000))

    assert not await owned.store.exists(SPARED)
    assert await owned.store.xlen(STREAM) == 200


async def test_what_is_too_old_goes_without_what_waits(owned):
    """An age bounds like a size does."""
    await owned.retry("u", 3)

    await owned.retention.keep(Settings(retention_age_s=60.0, retention_bytes=10_000_000))

    assert await owned.store.xlen(STREAM) < 10
    assert await owned.drawn("u") == {"u": {"3-0 2": event(3)}}


async def test_a_copy_goes_when_nobody_waits_for_it(owned):
    """Two triggers wait for the same event: its copy stays for the second, and goes with it."""
    await owned.park("u", 3)
    await owned.park("v", 3)
    await owned.retention.keep(LITTLE)
    assert await owned.store.hkeys(SPARED) == [b"3-0"]

    await owned.settle("u", "3-0 1")
    await owned.retention.keep(LITTLE)
    assert await owned.drawn("v") == {"v": {"3-0 1": event(3)}}

    await owned.settle("v", "3-0 1")
    await owned.retention.keep(LITTLE)
    assert not await owned.store.exists(SPARED)


async def test_one_that_fails_again_keeps_its_copy(owned):
    """An event goes from the backlog to its next retry and back as often as it fails; its copy stays."""
    await owned.retry("u", 3)
    await owned.retention.keep(LITTLE)
    await owned.drawn("u")
    await owned.commit(drained={"u": ["3-0 2"]}, retries=[(1, place_of("3-0"), "u 3 3-0")])
    await owned.retention.keep(LITTLE)

    assert await owned.drawn("u") == {"u": {"3-0 3": event(3)}}


async def test_copies_are_bounded(owned, monkeypatch):
    """What waits beyond that many stays in the stream, and all after it; nothing that waits is lost."""
    monkeypatch.setattr(retention, "COPIES", 12)
    waiting = list(range(2, 82, 4))
    await owned.park("u", *waiting)
    await owned.park("v", *waiting[:7])

    await owned.retention.keep(LITTLE)

    assert await owned.store.hlen(SPARED) == 12
    assert waiting[11] <= await owned.first() <= waiting[12]
    assert (await owned.drawn("u"))["u"] == {f"{number}-0 1": event(number) for number in waiting}
    await owned.settle("u", *(f"{number}-0 1" for number in waiting[:10]))
    await owned.settle("v", *(f"{number}-0 1" for number in waiting[:7]))
    await owned.retention.keep(LITTLE)
    assert await owned.store.xlen(STREAM) < 60
    assert (await owned.drawn("u"))["u"] == {f"{number}-0 1": event(number) for number in waiting[10:]}


async def test_nothing_above_the_floor_goes(owned):
    """What has not been settled or held below is read again by the next owner: it is in the stream."""
    await owned.commit(floor="50-0")
    await owned.park("u", 3)

    await owned.retention.keep(LITTLE)

    assert 40 < await owned.first() <= 50
    assert archive.order_of((await owned.store.hkeys(SPARED))[0].decode()) == (3, 0)


async def test_an_owner_of_before_copies_nothing(owned):
    """What an ownership that has ended would write is refused."""
    await owned.park("u", 3)
    await owned.store.delete("{ns/b/0}:lease")
    await Lease(owned.store, BROKER, 0, "theirs").acquire()

    with pytest.raises(Fenced):
        await owned.retention.keep(LITTLE)

    assert (await owned.first(), await owned.store.exists(SPARED)) == (1, 0)

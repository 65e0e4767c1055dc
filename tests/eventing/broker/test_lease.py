"""One owner at a time, and every write of an older one refused."""

import asyncio

import orjson
import pytest

from eventing import keys
from eventing.broker.lease import Fenced, Lease, living, owners
from eventing.broker.page import Page

TAG = "{ns/b/0}"


def lease_of(store, name):
    """A claim of one dispatcher."""
    return Lease(store, "ns/b", 0, name)


async def dump(store):
    """Everything that is kept about the partition, without the lease's own time."""
    return {key: await store.dump(key) for key in sorted(await store.keys("{*"))}


async def test_one_owner(store):
    """Nobody else becomes the owner while the lease lasts; the owner itself may, with a new epoch."""
    mine, theirs = lease_of(store, "a"), lease_of(store, "b")
    assert await mine.acquire() == 0.0
    assert 0 < await theirs.acquire() <= 3.0
    assert theirs.grant is None

    epoch = mine.grant.epoch
    assert await mine.acquire() == 0.0
    assert int(mine.grant.epoch) > int(epoch)


async def test_release_hands_over_at_once(store):
    """After a release the next owner need not wait, and has a greater epoch."""
    mine, theirs = lease_of(store, "a"), lease_of(store, "b")
    await mine.acquire()
    epoch = mine.grant.epoch
    await mine.release()

    assert await theirs.acquire() == 0.0
    assert int(theirs.grant.epoch) > int(epoch)
    assert not mine.grant.holds


async def test_an_older_epoch_is_refused_and_changes_nothing(store):
    """Whatever an owner of before asks for is refused as a whole."""
    old, new = lease_of(store, "old"), lease_of(store, "new")
    await old.acquire()
    await store.delete(f"{TAG}:lease")  # as when it has run out
    await new.acquire()
    await new.commit(1, Page(floor="5-0", retries=[(10, 5, "u 2 5-0")]).arguments())
    before = await dump(store)

    page = Page(floor="9-0", resolved=["9-0 u"], passed=["5-0 u"], parked={"u": {"9-0 1": 9}},
                drained={"u": ["5-0 1"]}, retries=[(1, 1, "u 2 9-0")], dead=[("u", True, {"a": b"{}"})],
                redeemed={"u": ["1-0"]}, rows=[[1]])
    for ask in (lambda: old.commit(1, page.arguments()), old.renew,
                lambda: old.owned("clarion_draw", 10**15, 10, 10**6, b'{"u":[9,[]]}', 1),
                lambda: old.owned("clarion_forget", "u", "0", 10), lambda: old.owned("clarion_erase")):
        with pytest.raises(Fenced):
            await ask()
    await old.release()

    assert await dump(store) == before


async def test_the_same_owner_goes_on_after_its_lease(store):
    """A lease that ran out while nobody came is renewed, and commits under it hold."""
    mine = lease_of(store, "a")
    await mine.acquire()
    await store.delete(f"{TAG}:lease")

    await mine.renew()
    await mine.commit(1, Page(floor="1-0").arguments())
    assert await store.get(f"{TAG}:lease") == b"a"
    assert await store.hget(f"{TAG}:state", "floor") == b"1-0"


async def test_a_commit_that_is_repeated_counts_once(store):
    """After a lost answer the same commit goes again and changes nothing."""
    mine = lease_of(store, "a")
    await mine.acquire()
    page = Page(dead=[("u", False, {"a": b"{}"})], rows=[[1], [2]]).arguments()

    await mine.commit(1, page)
    await mine.commit(1, page)
    assert await store.xlen(f"{TAG}:dead:u") == await store.xlen(f"{TAG}:records") == 1
    await mine.commit(2, page)
    assert await store.xlen(f"{TAG}:dead:u") == 2


async def test_the_next_owner_learns_everything(store):
    """Floor, resolved pairs, backlogs and the next retry are what the last commit left."""
    mine, theirs = lease_of(store, "a"), lease_of(store, "b")
    await mine.acquire()
    await mine.commit(1, Page(floor="5-0", resolved=["7-0 u", "8-0 u"], retries=[(1234, 5, "v 2 5-0")],
                              parked={"u": {"3-0 1": 3, "4-0 1": 4}}).arguments())
    await mine.commit(2, Page(passed=["7-0 u"], drained={"u": ["3-0 1"]}).arguments())
    await mine.release()

    await theirs.acquire()
    grant = theirs.grant
    assert (grant.floor, grant.resolved, grant.backlogs, grant.next_due_ms) == \
        ("5-0", ["8-0 u"], {"u": 1, "v": 0}, 1234.0)


async def test_due_retries_become_backlog(store):
    """At its time, and not before, a retry is drawn, in the place of its entry; now is an argument."""
    mine = lease_of(store, "a")
    await mine.acquire()
    entry = (await store.xadd(f"{TAG}:events", {"a": "{}", "d": "x"})).decode()
    await mine.commit(1, Page(retries=[(5000, 7, f"u 3 {entry}")]).arguments())
    wants = orjson.dumps({"u": [10, []]})

    due, touched, [[_, more, *drawn]] = await mine.owned("clarion_draw", 4999, 10, 10**6, wants, 1)
    assert (due, touched, more, drawn) == (b"5000", [], 0, [])
    due, touched, [[_, more, *drawn]] = await mine.owned("clarion_draw", 5000, 10, 10**6, wants, 2)
    assert (due, touched, more) == (b"", [b"u"], 0)
    assert drawn == [f"{entry} 3".encode(), [b"a", b"{}", b"d", b"x"]]
    assert await store.zscore(f"{TAG}:backlog:u", f"{entry} 3") == 7
    assert not await store.exists(f"{TAG}:retries", f"{TAG}:waiting")


async def test_draw_gives_what_is_not_in_hand(store):
    """A draw skips what the owner has, keeps the order, and says when there is more."""
    mine = lease_of(store, "a")
    await mine.acquire()
    ids = [(await store.xadd(f"{TAG}:events", {"a": "{}"})).decode() for _ in range(5)]
    parked = {f"{name} 1": place for place, name in enumerate(ids)}
    await mine.commit(1, Page(parked={"u": parked}).arguments())

    wants = orjson.dumps({"u": [2, [f"{ids[0]} 1", f"{ids[2]} 1"]]})
    _, _, [[_, more, *drawn]] = await mine.owned("clarion_draw", 0, 10, 10**6, wants, 3)
    assert (more, drawn[::2]) == (1, [f"{ids[1]} 1".encode(), f"{ids[3]} 1".encode()])
    _, _, [[_, more, *drawn]] = await mine.owned("clarion_draw", 0, 10, 1, wants, 4)
    assert (more, drawn[::2]) == (1, [f"{ids[1]} 1".encode()])


async def test_the_living(store):
    """A dispatcher is believed to live for as long as it said, and until it says that it leaves."""
    assert await living(store, "a") == ["a"]
    assert sorted(await living(store, "b", 0.05)) == ["a", "b"]
    async with asyncio.timeout(5):
        while await living(store, "a") != ["a"]:
            await asyncio.sleep(0.01)
    assert await living(store, "a", 0) == []


@pytest.mark.parametrize("partitions", [1, 2, 3, 4, 7, 8, 16, 21])
@pytest.mark.parametrize("dispatchers", [1, 2, 3, 5])
def test_partitions_are_shared_out_evenly(partitions, dispatchers):
    """Of each broker no dispatcher owns two partitions more than another, and all reckon the same."""
    names = [f"host-{number}" for number in range(dispatchers)]
    shared = owners("ns/b", partitions, names)

    shares = [shared.count(name) for name in names]
    assert sum(shares) == partitions
    assert max(shares) - min(shares) <= 1
    assert shared == owners("ns/b", partitions, reversed(names))


def test_brokers_of_one_partition_are_spread():
    """Many small brokers do not all meet at one dispatcher; without any there is no owner."""
    shared = [owners(f"ns/b{number}", 1, ["a", "b"])[0] for number in range(200)]

    assert 60 < shared.count("a") < 140
    assert owners("ns/b", 4, []) == []


def test_sharing_out_moves_little_else():
    """When one of three leaves, its partitions move, and few others."""
    before = owners("ns/b", 300, ["a", "b", "c"])
    after = owners("ns/b", 300, ["a", "c"])

    moved = sum(one != other for one, other in zip(before, after, strict=True) if one != "b")
    assert moved <= 30


async def test_a_clock_that_was_stepped_back(store):
    """A dead owner's lease ends when leases do, and it is not believed to live, whatever the clock says."""
    mine, theirs = lease_of(store, "a"), lease_of(store, "b")
    await mine.acquire()
    await store.pexpire(f"{TAG}:lease", 3_600_000)  # as it looks after a step of an hour
    assert 0 < await theirs.acquire() <= 3.0
    assert 0 < await store.pttl(f"{TAG}:lease") <= 3000

    await living(store, "a")
    await store.zadd(keys.DISPATCHERS, {"a": 32_503_680_000_000})
    assert set(await living(store, "b")) == {"a", "b"}
    async with asyncio.timeout(10):
        while await living(store, "b") != ["b"]:
            await asyncio.sleep(0.1)

"""Time limits that share one timer."""

import asyncio
from time import monotonic

from serving.activator.wheel import Wheel


class Entry:
    """Notes when it was checked; may do something then."""

    spoke = 0

    def __init__(self, then=lambda: None):
        self.checked = []
        self._then = then

    def check(self):
        """Its time has come."""
        self.checked.append(monotonic())
        self._then()


async def seen(condition):
    """Return once *condition* is true."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_checked_once_and_never_early():
    """Each entry is checked once, not before its time; the wheel rests when nothing is set."""
    wheel = Wheel(asyncio.get_running_loop())
    now = monotonic()
    entries = {due: Entry() for due in (now - 1, now + 0.1, now + 0.4)}
    for due, entry in entries.items():
        wheel.set(entry, due)
    await seen(lambda: repr(wheel) == "<Wheel [0 entries]>")
    assert all(len(entry.checked) == 1 and entry.checked[0] >= due for due, entry in entries.items())


async def test_dropped_is_not_checked():
    """An entry that was dropped is not checked, not even when one that is due with it drops it."""
    wheel = Wheel(asyncio.get_running_loop())
    pair = []
    pair += [Entry(lambda: wheel.drop(pair[1])), Entry(lambda: wheel.drop(pair[0]))]
    gone, due = Entry(), monotonic() + 0.1
    for entry in (gone, *pair):
        wheel.set(entry, due)
    wheel.drop(gone)
    wheel.drop(gone)
    await seen(lambda: any(entry.checked for entry in pair) and repr(wheel) == "<Wheel [0 entries]>")
    assert sorted(len(entry.checked) for entry in pair) == [0, 1]
    assert not gone.checked


async def test_set_again_in_its_check():
    """An entry may set itself again when it is checked, and other entries do not hold it up."""
    wheel = Wheel(asyncio.get_running_loop())
    again = Entry(lambda: len(again.checked) < 3 and wheel.set(again, monotonic()))
    late = Entry()
    wheel.set(again, monotonic())
    wheel.set(late, monotonic() + 3600)
    await seen(lambda: len(again.checked) == 3)
    assert not late.checked
    wheel.drop(late)

"""
One partition, between being read and being committed.

    taken     read from Kafka, its event perhaps on its way; at most WINDOW records are so and not committed
    settled   the sink accepted the event, or it was given up in the open
    floor     the offset below which every record is settled: what is committed

What is repeated after a crash was taken and not committed, so WINDOW bounds the duplicates, and the memory.
Records may be settled in any order; the floor waits for the slowest. Pure: no I/O, no clock. Offsets have
gaps (compaction, transactions), so the order is kept, not counted.
"""

from collections import OrderedDict

# Enough for one partition to keep 128 events in flight while 128 others wait for their commit.
WINDOW = 256
# Committing is urgent when this many settled records wait for it: reading would stop soon.
URGENT = WINDOW // 2


class Lane:
    """Offsets of one partition."""

    def __init__(self, start: int) -> None:
        """Begin at offset *start*, the next one to be read."""
        self.next = start  # to be read
        self.floor = start
        self.committed = start
        self._taken: OrderedDict[int, bool] = OrderedDict()  # offset -> settled, from the floor on
        self._below = 0  # how many records have passed below the floor
        self._safe = 0  # how many of them are committed

    def __repr__(self) -> str:
        """Counts and offsets."""
        return f"<Lane {self.committed}..{self.floor}..{self.next} [{len(self._taken)} taken]>"

    @property
    def room(self) -> int:
        """How many records may be taken now."""
        return WINDOW - len(self._taken) - (self._below - self._safe)

    @property
    def is_urgent(self) -> bool:
        """Whether a commit should not wait."""
        return self._below - self._safe >= URGENT

    @property
    def is_dirty(self) -> bool:
        """Whether there is something to commit."""
        return self.floor != self.committed

    def take(self, offset: int) -> None:
        """A record was read."""
        self._taken[offset] = False
        self.next = offset + 1

    def settle(self, offset: int) -> None:
        """A taken record is done with."""
        self._taken[offset] = True
        while self._taken:
            first = next(iter(self._taken))
            if not self._taken[first]:
                break
            del self._taken[first]
            self.floor = first + 1
            self._below += 1

    def mark(self) -> tuple[int, int]:
        """What there is to commit: the floor, and the records passed by then; `commit` takes it back."""
        return self.floor, self._below

    def commit(self, mark: tuple[int, int]) -> None:
        """What *mark* said is committed now; an older mark changes nothing."""
        self.committed, self._safe = max(self.committed, mark[0]), max(self._safe, mark[1])

"""
What happened in a run, as plain values: the checker reads nothing else, and a test can write one by hand.

All times are seconds of CLOCK_MONOTONIC, which all processes of a machine share and which nobody steps.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

ACCEPTED = "accepted"  # at least one POST of it got 202
REFUSED = "refused"  # 4xx: it must never be delivered
UNKNOWN = "unknown"  # no POST of it got 202, and one of them may have been stored all the same

TERMINAL = frozenset({"settled", "replied", "reply dropped", "dead letter"})


@dataclass(slots=True)
class Send:
    """One event of a producer; a POST with an unknown outcome is sent again with the same id."""

    id: str
    broker: str
    attributes: dict[str, str]
    digest: str
    began: float  # of the first POST
    key: str = ""
    sequence: int = 0  # within its key
    delay_s: float = 0.0
    outcome: str = UNKNOWN
    ended: float = float("inf")  # when the outcome was known
    posts: int = 0


@dataclass(slots=True)
class Receipt:
    """One request at a subscriber, or one call of the function."""

    trigger: str
    id: str
    digest: str
    began: float
    ended: float = float("inf")  # when it was answered, or its connection was lost
    status: int = 0  # 0: it was not answered

    @property
    def is_success(self):
        return 200 <= self.status < 300


class Row(NamedTuple):
    """One attempt as the product's own delivery record has it."""

    partition: str  # namespace/broker/number
    ref: str  # of the entry; `d..`: a dead letter on its way to the sink
    id: str
    trigger: str
    attempt: int
    status: int
    word: str


@dataclass(slots=True)
class Fault:
    """One fault, from its beginning to the end of what the nemesis itself did."""

    name: str
    began: float
    ended: float = float("inf")
    what: str = ""  # which process, how long
    missed: bool = False  # there was nobody to hurt


@dataclass(slots=True)
class Final:
    """What is left at the end, when everything should have come to rest."""

    stored: dict[tuple[str, str], int] = field(default_factory=dict)  # (broker, id): entries in the archive
    pending: set[tuple[str, str]] = field(default_factory=set)  # (trigger, id) that still waits
    kept_dead: set[tuple[str, str]] = field(default_factory=set)  # (trigger, id) in a dead letter stream
    leftovers: dict[str, int] = field(default_factory=dict)  # key in the store: members that should not be
    strangers: list[str] = field(default_factory=list)  # processes that should not be, or no longer
    exceptions: dict[str, int] = field(default_factory=dict)  # that nobody foresaw, in the system's log


@dataclass(slots=True)
class History:
    """One run."""

    sends: list[Send] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    final: Final = field(default_factory=Final)
    dispatchers: int = 1
    start_s: float = 1.0  # what the first start took: how fast this machine is at the moment
    began: float = 0.0  # of the first producer
    healed: float = 0.0  # no fault after this
    drained: float | None = None  # nothing waited any more; None: that never came

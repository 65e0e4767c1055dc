"""
Which revision a request goes to: a Route's percentages, kept exactly.

Pure: a `Route` is built from one record of table `routes` and asked once a request. It lays the targets
out once, evenly mixed, in a cycle whose length is the sum of the percentages reduced by their common
divisor, and walks around it. So of every 100 consecutive requests exactly P go to a target of P percent
(and of every 4, one to a target of 25), where a die would need thousands to come near; and no client
sticks to a revision. A target of 0 percent gets nothing; its tag has a host of its own.
"""

import math
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any


class Route:
    """One host's targets and whose turn it is."""

    __slots__ = ("_cycle", "_next", "service")

    def __init__(self, record: Mapping[str, Any]) -> None:
        """Lay out the targets of a *record*: `{"service", "targets": [{"revision", "percent", "tag"}]}`."""
        self.service: str = record.get("service") or ""
        self._cycle = _mixed((target["revision"], int(target["percent"])) for target in record["targets"])
        self._next = 0

    def __repr__(self) -> str:
        """Targets with their share of the cycle."""
        shares = " | ".join(f"{name} {self._cycle.count(name)}" for name in dict.fromkeys(self._cycle))
        return f"<Route {self.service} [{shares} of {len(self._cycle)}]>"

    def choose(self) -> str | None:
        """The revision (`namespace/name`) of the next request; None where no target has a share."""
        cycle = self._cycle
        if len(cycle) == 1:
            return cycle[0]
        if not cycle:
            return None
        turn = self._next
        self._next = turn + 1 if turn + 1 < len(cycle) else 0
        return cycle[turn]


def _mixed(shares: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """Each name as often as its share says, spread evenly: at every step the one that is most behind."""
    weights: dict[str, int] = {}
    for name, share in shares:
        if share > 0:
            weights[name] = weights.get(name, 0) + share
    if not weights:
        return ()
    divisor = reduce(math.gcd, weights.values())
    length = sum(weights.values()) // divisor
    credit = dict.fromkeys(weights, 0)
    cycle = []
    for _ in range(length):
        for name, weight in weights.items():
            credit[name] += weight // divisor
        name = max(credit, key=credit.__getitem__)
        credit[name] -= length
        cycle.append(name)
    return tuple(cycle)

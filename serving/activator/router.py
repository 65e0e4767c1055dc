"""
Which revision a request goes to: a Route's percentages, kept exactly.

Pure: a `Route` is built from one record of table `routes` and asked once a request. It lays the targets
out once, evenly mixed, in a cycle whose length is the sum of the percentages reduced by their common
divisor, and walks around it. So of every 100 consecutive requests exactly P go to a target of P percent
(and of every 4, one to a target of 25), where a die would need thousands to come near; and no client
sticks to a revision. A target of 0 percent gets nothing; its tag has a host of its own.

Where the feature tag-header-based-routing is on, header `Knative-Serving-Tag` chooses a tag at the untagged
host, too, and the function is told which way the request came:

    host           the request's tag    targets of    header that is added
    ----           -----------------    ----------    --------------------
    untagged       one of the Route     that tag      none: the request has it
    untagged       none, or unknown     the Route     Knative-Serving-Default-Route: true
    of tag T       any                  tag T         Knative-Serving-Tag: T
"""

import math
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

from eventing.http.wire import Header

TAG, DEFAULT_ROUTE = b"knative-serving-tag", b"knative-serving-default-route"
_BY_DEFAULT = (DEFAULT_ROUTE, b"true")


class Route:
    """One host's targets and whose turn it is."""

    __slots__ = ("_by_tag", "_cycle", "_next", "mark", "service", "why")

    def __init__(self, record: Mapping[str, Any]) -> None:
        """Lay out the targets of a *record* of table `routes`: eventing/keys.py has its fields."""
        self.service: str = record.get("service") or ""
        self._cycle = _mixed((target["revision"], int(target["percent"])) for target in record["targets"])
        self.why: str = record.get("why") or ""  # nobody answers there yet
        self._next = 0
        tags: Mapping[str, Any] | None = record.get("tags")
        self.mark: Header | None = None if tags is None else _mark(record["targets"])
        self._by_tag = {tag.encode(): Route({"service": self.service, "targets": targets})
                        for tag, targets in (tags or {}).items()}

    def __repr__(self) -> str:
        """Targets with their share of the cycle."""
        shares = " | ".join(f"{name} {self._cycle.count(name)}" for name in dict.fromkeys(self._cycle))
        return f"<Route {self.service} [{shares} of {len(self._cycle)}]>"

    def tagged(self, tag: bytes | None) -> "Route":
        """The targets for a request whose header says *tag*."""
        return self if tag is None else self._by_tag.get(tag, self)

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


def _mark(targets: Iterable[Mapping[str, Any]]) -> Header:
    """What the function is told of a request to a host with these *targets*."""
    tag = next((target["tag"] for target in targets), "")
    return (TAG, tag.encode()) if tag else _BY_DEFAULT


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

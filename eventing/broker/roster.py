"""
The triggers of a partition: each is a lane, and what its record says is what the lane does.

    record, from the projection `triggers`    -> matcher: which events
                                              -> flow, policy, routes: how they are sent, and where to

What comes of its events is not known here.
"""

import time
from collections.abc import Callable, Mapping

import structlog

from eventing.broker.delivery import policy_of
from eventing.broker.filters import FilterInvalid
from eventing.broker.flow import PLAIN, FlowInvalid, flow_of
from eventing.broker.keeper import Keeper
from eventing.broker.lane import NOWHERE, Lane
from eventing.broker.matcher import Matcher
from eventing.broker.sender import Sender
from eventing.broker.settings import Settings
from eventing.broker.succession import Succession
from eventing.broker.turns import Turns
from eventing.projection import Record

_TELL_S = 60.0

log = structlog.get_logger(__name__)


class Roster:
    """Lanes of one partition by trigger."""

    def __init__(self, number: int, keeper: Keeper, sender: Sender, turns: Turns,
                 succession: Succession, *, on_unjudged: Callable[[Lane, str], None]) -> None:
        """*number* is the partition's; *on_unjudged* hears whose filter did not look at an event, and why."""
        self.matcher: Matcher[Lane] = Matcher(self._unjudged)
        self._on_unjudged = on_unjudged
        self._number = number
        self._keeper = keeper
        self._sender = sender
        self._turns = turns
        self._succession = succession
        self._lanes: dict[str, Lane] = {}  # by namespace/trigger

    def __repr__(self) -> str:
        """Count of lanes."""
        return f"<Roster [{len(self._lanes)} lanes]>"

    @property
    def lanes(self) -> Mapping[str, Lane]:
        """Lanes by `namespace/trigger`."""
        return self._lanes

    def adopt(self, name: str, record: Record, settings: Settings) -> bool:
        """Match trigger *name* from the next entry on, as *record* says; False when that is not possible."""
        lane = self._lanes.get(name)
        if lane is not None and lane.uid != record["uid"]:
            self.drop(name)
            lane = None
        if lane is not None and lane.generation > record["generation"]:
            return True  # a follower that was overtaken
        fresh = lane or Lane(record["uid"], name)
        try:
            self.matcher.put(fresh, record)
        except FilterInvalid as error:
            log.warning("filter does not compile", trigger=name, error=str(error))
            return False
        fresh.generation = record["generation"]
        self._instruct(fresh, record, settings)
        if lane is None:
            self._lanes[name] = fresh
            self._keeper.welcome(fresh)
        return True

    def drop(self, name: str) -> None:
        """Forget a deleted trigger."""
        lane = self._lanes.pop(name, None)
        if lane is not None:
            self.matcher.remove(lane)
            self._turns.forget(lane)
            self._keeper.dismiss(lane)

    def _instruct(self, lane: Lane, record: Record, settings: Settings) -> None:
        """Let *lane* serve its trigger as *record* says."""
        try:
            flow = flow_of(record.get("annotations") or {}).share(self._number, settings.partitions)
        except FlowInvalid as error:
            # Refused at admission; one that was there before is served as if it said nothing.
            log.warning("annotation not understood", trigger=lane.name, error=str(error))
            flow = PLAIN
        self._turns.follow(lane, flow)
        self._succession.follow(lane, settings.growths)
        lane.subscriber = record.get("subscriber") or ""
        lane.policy = policy_of(record.get("delivery"), max_age_s=flow.max_age_s, waits=flow.waits_for_poison)
        lane.route = self._sender.route(
            lane.subscriber, lane.namespace, wants_reply=flow.batch_events == 1)
        sink = lane.policy.dead_letter_url
        lane.letter_route = NOWHERE if sink is None else \
            self._sender.route(sink, lane.namespace, wants_reply=False)

    def _unjudged(self, lane: Lane, reason: str) -> None:
        """An event that the filter of *lane* did not look at, to save time: logged once a minute."""
        self._on_unjudged(lane, reason)
        lane.unjudged += 1
        now = time.monotonic()
        if now >= lane.tell_unjudged_at:
            log.warning("filter taken for false: it cannot be judged", trigger=lane.name,
                        reason=reason, events=lane.unjudged)
            lane.unjudged, lane.tell_unjudged_at = 0, now + _TELL_S

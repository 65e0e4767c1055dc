"""A history, looked up: who sent what, what came of it, and why something came more than once. Pure."""

import collections
import itertools
from functools import cached_property

from tests.chaos import scenario
from tests.chaos.history import ACCEPTED, History, Send

UNEXPLAINED, WORKER_ENDED = "unexplained", "worker of the function ended"
# Which faults explain that a request is not on record.
EXCUSES = {
    "crash before the commit": frozenset({
        "kill-dispatcher", "stop-dispatcher", "kill-supervisor", "kill-all", "kill-valkey", "pause-valkey",
        "tear-log", "cut-clients", "fill-valkey", "step-clock"}),
    "answer lost on the way": frozenset({"cut-subscriber"}),
    WORKER_ENDED: frozenset({"kill-worker", "kill-zygote", "kill-serving", "stop-worker", "stop-serving"}),
}
# How long after its end a fault shows: the lease (2.5 s), the pause before a restart, a busy machine.
_AFTERMATH_S = 20.0
_ANSWER = "answer-"


class Facts:
    """What follows from a history."""

    def __init__(self, history: History):
        """Look things up in *history*."""
        self.history = history
        self._sends = {send.id: send for send in history.sends}
        self._receipts = collections.defaultdict(list)
        for receipt in sorted(history.receipts, key=lambda receipt: receipt.began):
            self._receipts[receipt.trigger, receipt.id].append(receipt)
        self._rows = collections.defaultdict(list)
        for row in history.rows:
            if row.ref[0] not in "dr":
                self._rows[row.trigger, row.id].append(row)
        # What the function answers is sent by nobody of ours: accepted if the call was.
        for send in [send for send in history.sends if self._calls(send)]:
            reply = _reply_to(send)
            self._sends[reply.id] = reply

    @staticmethod
    def _calls(send):
        function = scenario.TRIGGERS["function"]
        return send.broker == function.broker and function.wants(send.attributes)

    def due(self):
        """(trigger, send) of all that was accepted and is wanted."""
        for send in self._sends.values():
            for trigger in scenario.TRIGGERS.values():
                if send.outcome == ACCEPTED and trigger.broker == send.broker \
                        and trigger.wants(send.attributes):
                    yield trigger, send

    def send_of(self, receipt):
        """The send that *receipt* belongs to, or None."""
        return self._sends.get(receipt.id)

    @staticmethod
    def is_valid(send):
        """Whether it is an event at all: one producer sends nonsense on purpose."""
        return not send.id.startswith(scenario.NONSENSE)

    def receipts(self, trigger, event_id):
        """Requests of one event at one subscriber, by time."""
        return self._receipts.get((trigger, event_id), [])

    def is_taken(self, trigger, event_id):
        """Whether one of them was answered with success."""
        return any(receipt.is_success for receipt in self.receipts(trigger, event_id))

    def is_kept(self, trigger, event_id):
        """Whether it waits, or is a dead letter."""
        return self.is_pending(trigger, event_id) or (trigger, event_id) in self.history.final.kept_dead \
            or "dead letter" in self.words(trigger, event_id)

    def is_pending(self, trigger, event_id):
        """Whether it still waits; what answers a call waits with it."""
        if trigger == "answers":
            return self.is_pending("function", event_id.removeprefix(_ANSWER)) or \
                (trigger, event_id) in self.history.final.pending
        return (trigger, event_id) in self.history.final.pending

    def words(self, trigger, event_id):
        """What the product's records say of it."""
        return [row.word for row in self._rows.get((trigger, event_id), [])]

    def by_key(self, trigger):
        """Accepted sends that *trigger* wants, by key, in the order in which they were sent."""
        found = collections.defaultdict(list)
        for wanted, send in self.due():
            if wanted is trigger and send.key:
                found[send.key].append(send)
        return {key: sorted(sends, key=lambda send: send.sequence) for key, sends in found.items()}

    def undisturbed(self, trigger):
        """(event id, requests) of events of which every attempt is known to have been one request."""
        for (name, event_id), rows in self._rows.items():
            receipts = self.receipts(trigger, event_id)
            if name == trigger and len(receipts) == len(rows) > 1 and len({row.ref for row in rows}) == 1 \
                    and all(row.status == receipt.status for row, receipt in zip(
                        sorted(rows, key=lambda row: row.attempt), receipts, strict=True)) \
                    and not self.has_stepped(receipts[0].began, receipts[-1].began):
                yield event_id, receipts

    def has_stepped(self, began, ended):
        """Whether the clock was stepped between two times, or just before."""
        return self._was_any({"step-clock"}, began, ended)

    def repeats(self):
        """{(trigger, event id): how many requests too many, by cause}."""
        found = {}
        for (trigger, event_id), receipts in self._receipts.items():
            causes = self._causes(trigger, event_id, receipts)
            if causes:
                found[trigger, event_id] = causes
        return found

    def _causes(self, trigger, event_id, receipts):
        """
        Why an event came more often than once.

        A record stands for one attempt, which is one request, or two where the first one's connection was
        closed without an answer (an idle connection may have been closed a moment ago). Attempts that failed
        are no repeats. Requests that no record knows of were not decided on, or that was not committed.
        """
        send = self._sends.get(event_id)
        if send is None or len(receipts) < 2:
            return {}
        rows = self._rows.get((trigger, event_id), [])
        failed = sum(not 200 <= row.status < 300 for row in rows)
        successes = sum(receipt.is_success for receipt in receipts)
        copies = self.history.final.stored.get((send.broker, event_id), 1)
        causes = collections.Counter({"sent again by its producer": max(0, copies - 1)})
        if successes > copies:
            causes["answer lost on the way"] = max(0, failed - (len(receipts) - successes))
        # Letters have records by another name, that of the letter.
        unknown = len(receipts) - len(rows) if trigger in scenario.TRIGGERS else successes - copies
        if unknown > 0:
            closed = min(unknown, sum(not receipt.status for receipt in receipts))
            causes["connection closed without an answer"] = closed
            causes[self._excuse(trigger, receipts)] += unknown - closed
        return +causes

    def _excuse(self, trigger, receipts):
        """Why requests are not on record."""
        began, ended = receipts[0].began, receipts[-1].began
        for cause, faults in EXCUSES.items():
            if (cause != WORKER_ENDED or trigger == "function") and self._was_any(faults, began, ended):
                return cause
        return UNEXPLAINED

    def _was_any(self, names, began, ended):
        return any(fault.name in names and not fault.missed and fault.began <= ended
                   and fault.ended + _AFTERMATH_S >= began for fault in self.history.faults)

    @cached_property
    def unavailable_s(self):
        """Longest time in which no producer was told that an event is accepted."""
        times = sorted(send.ended for send in self.history.sends if send.outcome == ACCEPTED)
        times = [self.history.began, *times]
        return max((after - before for before, after in itertools.pairwise(times)), default=0.0)


def _reply_to(send):
    event_id = _ANSWER + send.id
    attributes = {"id": event_id, "source": "/function", "type": "chaos.answer"}
    return Send(event_id, scenario.AUDIT, attributes, scenario.call_digest(event_id, {"to": send.id}),
                send.began, outcome=send.outcome, ended=send.ended)

"""
The invariants, each a pure function from a history to what breaks it; empty means that it holds.

    I0   no role meets what it did not foresee: the log has no traceback
    I1   accepted and wanted: delivered, dead-lettered, or still waiting; nothing is lost
    I2   what is delivered was sent, and not refused; what is valid is not refused
    I3   nobody gets what the filter does not want
    I4   every repeat has a named cause; where the broker knows repeats, an event is stored once
    I5   what arrives is what was sent
    I6   attempts: at most retry + 1, none twice, back-off never early
    I7   one terminal verdict for each stored entry and trigger that wants it
    I8   with one key in order: an event comes first only after all before it were taken
    I9   never before it is due
    I10  concurrency and rate limits hold
    I11  when faults end everything is delivered in time; while they last something is accepted now and then
    I12  nothing is left over: in the store, among processes
    I13  what is called a dead letter is at the sink, or still kept

A send whose outcome is unknown may be delivered or not. What a clock step could excuse is not judged.
"""

import collections
import itertools
from collections.abc import Callable, Iterator

from tests.chaos import scenario
from tests.chaos.facts import UNEXPLAINED, Facts
from tests.chaos.history import ACCEPTED, REFUSED, TERMINAL, History

# Clocks are read some lines of code apart, and the store's has milliseconds.
_SLACK_S = 0.005
_CALM_S = 10.0  # after the last fault: what zombies and killed owners had open has ended by then
# The supervisor waits up to 30 s before it starts again what ends again and again, and may be killed as it
# starts. On a machine that is so busy that one start takes long, as many times that.
_UNAVAILABLE_LIMIT_S = 60.0
_UNAVAILABLE_STARTS = 15
_RATE_WINDOW_S = 5.0

Check = Callable[[Facts], Iterator[str]]
INVARIANTS: dict[str, Check] = {}


def invariant(check: Check) -> Check:
    """Register the invariant whose name the function's name begins with."""
    INVARIANTS[check.__name__.partition("_")[0].upper()] = check
    return check


def check(history: History) -> dict[str, list[str]]:
    """What breaks each invariant."""
    facts = Facts(history)
    return {name: list(each(facts)) for name, each in INVARIANTS.items()}


@invariant
def i0_no_surprise(facts):
    """No role meets what it did not foresee: the log has no traceback."""
    for said, times in facts.history.final.exceptions.items():
        yield f"{times} times {said}"


@invariant
def i1_nothing_is_lost(facts):
    """Accepted and wanted is delivered, dead-lettered or waiting."""
    for trigger, send in facts.due():
        if not facts.is_taken(trigger.name, send.id) and not facts.is_kept(trigger.name, send.id):
            copies = facts.history.final.stored.get((send.broker, send.id), 0)
            where = "it is not in the archive" if not copies else f"it is in the archive {copies} times"
            yield (f"{send.id} for {trigger.name}: {where}, {len(facts.receipts(trigger.name, send.id))} "
                   f"requests, records {facts.words(trigger.name, send.id)}")


@invariant
def i2_nothing_unexpected(facts):
    """What is delivered was sent and not refused; what is valid is not refused."""
    for receipt in facts.history.receipts:
        send = facts.send_of(receipt)
        if send is None:
            yield f"{receipt.id} came to {receipt.trigger}, and nobody sent it"
        elif send.outcome == REFUSED:
            yield f"{receipt.id} came to {receipt.trigger}, and its sender was refused"
    for send in facts.history.sends:
        if send.outcome == REFUSED and facts.is_valid(send):
            yield f"{send.id} was refused, and is valid"
        if send.outcome == ACCEPTED and not facts.is_valid(send):
            yield f"{send.id} was accepted, and is no event"


@invariant
def i3_filters_are_exact(facts):
    """Nobody gets what it does not want."""
    for receipt in facts.history.receipts:
        send, trigger = facts.send_of(receipt), scenario.TRIGGERS.get(receipt.trigger)
        if send and trigger and not (trigger.broker == send.broker and trigger.wants(send.attributes)):
            yield f"{receipt.id} came to {receipt.trigger}, which does not want {send.attributes}"


@invariant
def i4_repeats_have_causes(facts):
    """Each repeat is explained; where repeats are known an event is stored once."""
    for (trigger, event_id), causes in facts.repeats().items():
        if causes[UNEXPLAINED]:
            yield f"{event_id} came to {trigger} {causes[UNEXPLAINED]} times too often: {dict(causes)}"
    for (broker, event_id), copies in facts.history.final.stored.items():
        if broker == scenario.AUDIT and copies > 1:
            yield f"{event_id} is stored {copies} times in {broker}, which knows repeats"


@invariant
def i5_payload_is_identical(facts):
    """What arrives is what was sent."""
    for receipt in facts.history.receipts:
        send = facts.send_of(receipt)
        if send and receipt.digest != send.digest:
            yield f"{receipt.id} came to {receipt.trigger} as something else"


@invariant
def i6_attempts_are_bounded(facts):
    """At most retry + 1 attempts, none recorded twice, and back-off never early."""
    attempts = collections.defaultdict(list)
    for row in facts.history.rows:
        attempts[row.trigger, row.partition, row.ref].append(row.attempt)
    for (trigger, _, ref), numbers in attempts.items():
        retry = scenario.TRIGGERS[trigger].retry
        if len(set(numbers)) < len(numbers) or (retry is not None and max(numbers) > retry + 1):
            yield f"{ref} for {trigger}: attempts {numbers}"
    for trigger in scenario.TRIGGERS.values():
        for event_id, receipts in facts.undisturbed(trigger.name):
            for number, (one, next_) in enumerate(itertools.pairwise(receipts), 1):
                if next_.began - one.ended < number * trigger.backoff_s - _SLACK_S:
                    yield (f"{event_id} for {trigger.name}: retry {number} came after "
                           f"{next_.began - one.ended:.3f} s, not {number * trigger.backoff_s:.3f}")


@invariant
def i7_one_verdict(facts):
    """One terminal verdict for each stored entry and trigger that wants it."""
    verdicts = collections.Counter((row.trigger, row.partition, row.ref) for row in facts.history.rows
                                   if row.word in TERMINAL)
    for (trigger, partition, ref), count in verdicts.items():
        if count > 1:
            yield f"{ref} of {partition} for {trigger}: {count} verdicts"
    for trigger, send in facts.due():
        copies = facts.history.final.stored.get((send.broker, send.id), 0)
        count = sum(word in TERMINAL for word in facts.words(trigger.name, send.id))
        if count != copies and not facts.is_pending(trigger.name, send.id):
            yield f"{send.id} for {trigger.name}: stored {copies} times, {count} verdicts"


@invariant
def i8_keys_are_in_order(facts):
    """An event of a key comes for the first time only after all before it were taken."""
    for trigger in scenario.TRIGGERS.values():
        if not trigger.is_ordered:
            continue
        for key, sends in facts.by_key(trigger).items():
            taken, before = 0.0, ""
            for send in sends:
                receipts = facts.receipts(trigger.name, send.id)
                if receipts and receipts[0].began < taken:
                    yield f"{send.id} (key {key}) came before {before} was taken"
                successes = [receipt.ended for receipt in receipts if receipt.is_success]
                if successes and successes[0] > taken:
                    taken, before = successes[0], send.id


@invariant
def i9_never_before_due(facts):
    """A delayed event comes when its time has come."""
    for receipt in facts.history.receipts:
        send = facts.send_of(receipt)
        if send and send.delay_s and not facts.has_stepped(send.began, receipt.began) \
                and receipt.began < send.began + send.delay_s - _SLACK_S:
            yield (f"{receipt.id} came to {receipt.trigger} {receipt.began - send.began:.3f} s after it was "
                   f"sent, not {send.delay_s}")


@invariant
def i10_limits_hold(facts):
    """Requests open at once, and requests begun in a time, are what the trigger allows."""
    history = facts.history
    first_fault = min((fault.began for fault in history.faults), default=float("inf"))
    for trigger in scenario.TRIGGERS.values():
        receipts = [each for each in history.receipts if each.trigger == trigger.name]
        if trigger.concurrency is not None:
            calm = [each for each in receipts
                    if each.ended < first_fault or each.began > history.healed + _CALM_S]
            # A zombie's requests stay open beside its heir's, and those of the heir's heir.
            for open_, limit in ((overlap(calm), trigger.concurrency),
                                 (overlap(receipts), trigger.concurrency * history.dispatchers)):
                if open_ > limit:
                    yield f"{trigger.name}: {open_} requests at once, {limit} allowed"
        if trigger.rate_per_s is not None:
            most = busiest([each.began for each in receipts], _RATE_WINDOW_S)
            limit = trigger.rate_per_s * (_RATE_WINDOW_S + 1.0)
            if most > limit:
                yield f"{trigger.name}: {most} requests in {_RATE_WINDOW_S} s, {limit} allowed"


@invariant
def i11_progress(facts):
    """Everything is delivered in time once faults end, and meanwhile something is accepted now and then."""
    if facts.history.drained is None:
        waiting = {key: count for key, count in facts.history.final.leftovers.items() if count}
        yield f"events still wait long after the last fault: {waiting}"
    if facts.unavailable_s > max(_UNAVAILABLE_LIMIT_S, _UNAVAILABLE_STARTS * facts.history.start_s):
        yield f"nothing was accepted for {facts.unavailable_s:.1f} s"


@invariant
def i12_nothing_is_left(facts):
    """Nothing is left over, in the store or among processes."""
    for key, count in facts.history.final.leftovers.items():
        yield f"{key}: {count}"
    yield from facts.history.final.strangers


@invariant
def i13_letters_arrive(facts):
    """What is called a dead letter is at the sink, or still kept."""
    for row in facts.history.rows:
        if row.word == "dead letter" and row.ref[0] not in "dr" \
                and not facts.is_taken(scenario.LETTERS, row.id) \
                and (row.trigger, row.id) not in facts.history.final.kept_dead:
            yield f"{row.id} of {row.trigger} is a dead letter, and nowhere"


def overlap(receipts):
    """Most requests that were open at once."""
    changes = sorted([(each.began, 1) for each in receipts] + [(each.ended, -1) for each in receipts])
    return max(itertools.accumulate(change for _, change in changes), default=0)


def busiest(times, window_s):
    """Most of *times* that lie within one window."""
    times, most, first = sorted(times), 0, 0
    for last, time in enumerate(times):
        while times[first] <= time - window_s:
            first += 1
        most = max(most, last - first + 1)
    return most

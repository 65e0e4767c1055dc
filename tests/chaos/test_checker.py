"""The checker, over histories written by hand: a good one passes, each invariant notices what breaks it."""

import pytest

from tests.chaos import checker, scenario
from tests.chaos.history import ACCEPTED, REFUSED, UNKNOWN, Fault, Final, History, Receipt, Row, Send
from tests.chaos.tear import last_block


def send(identity, broker=scenario.ORDERS, type_="chaos.order", **given):
    """An accepted send; it took from 1 s to 1.1 s."""
    attributes = {"id": identity, "source": scenario.SOURCE, "type": type_, **given.pop("attributes", {})}
    defaults = {"began": 1.0, "ended": 1.1, "outcome": ACCEPTED, "digest": f"of {identity}"}
    return Send(identity, broker, attributes, **{**defaults, **given})


def receipt(trigger, identity, began, took=0.1, status=202, **given):
    """A request that was answered."""
    return Receipt(trigger, identity, given.pop("digest", f"of {identity}"), began, began + took, status)


def row(trigger, identity, word, attempt=1, status=202, *, ref="1-0"):
    """A row of the delivery record; the ref is unique for its event."""
    return Row("default/orders/0", f"{ref}/{identity}", identity, trigger, attempt, status, word)


def audit(identity, **given):
    """A send that `failing` wants."""
    return send(identity, scenario.AUDIT, "chaos.audit", **given)


@pytest.fixture
def history():
    """All went well: three events of a key, one that failed for good, one call, one nonsense."""
    keyed = [send(f"k{number}", key="k", sequence=number) for number in (1, 2, 3)]
    call = send("c1", scenario.AUDIT, "chaos.call")
    receipts = [receipt("ordered", each.id, 1.0 + each.sequence) for each in keyed]
    receipts += [receipt("failing", "a1", at, status=503) for at in (2.0, 2.4, 2.9, 3.7)]
    receipts += [receipt(scenario.LETTERS, "a1", 4.0), receipt("function", "c1", 2.0, 0.0, 200)]
    receipts.append(receipt("answers", "answer-c1", 2.5,
                            digest=scenario.call_digest("answer-c1", {"to": "c1"})))
    rows = [row("ordered", each.id, "settled") for each in keyed]
    rows += [row("failing", "a1", "retry", attempt, 503) for attempt in (1, 2, 3)]
    rows += [row("failing", "a1", "dead letter", 4, 503), row("failing", "a1", "settled", 1, 202, ref="d9-0")]
    rows += [row("function", "c1", "replied"), row("answers", "answer-c1", "settled")]
    stored = {(scenario.ORDERS, each.id): 1 for each in keyed}
    stored |= dict.fromkeys([(scenario.AUDIT, name) for name in ("a1", "c1", "answer-c1")], 1)
    nonsense = send("nonsense-1", outcome=REFUSED)
    return History(sends=[*keyed, audit("a1"), call, nonsense], receipts=receipts, rows=rows,
                   final=Final(stored=stored), dispatchers=2, began=1.0, healed=30.0, drained=31.0)


def broken(history):
    """Names of the invariants that do not hold."""
    return {name for name, breaches in checker.check(history).items() if breaches}


def test_a_good_run_passes(history):
    """Nothing is broken in a run in which all went well."""
    assert checker.check(history) == {name: [] for name in checker.INVARIANTS}
    assert list(checker.INVARIANTS) == [f"I{number}" for number in range(14)]


def test_i0_a_traceback(history):
    """What a role did not foresee is a breach, even if nothing came of it."""
    history.final.exceptions = {"dispatcher: role failed: KeyError: 'x'": 1}
    assert broken(history) == {"I0"}


def test_i1_an_accepted_event_that_came_nowhere(history):
    """Stored, called settled, and never taken by its subscriber: lost."""
    history.receipts = [each for each in history.receipts if each.id != "k3"]
    assert broken(history) == {"I1"}


def test_i1_an_accepted_event_that_only_failed(history):
    """That it was tried is not enough: no success, no dead letter, and nothing waits."""
    history.receipts[2].status = 503
    assert broken(history) == {"I1"}


def test_i1_what_still_waits_is_not_lost(history):
    """An event in a backlog is late, which another invariant says."""
    history.receipts = [each for each in history.receipts if each.id != "k3"]
    history.rows = [each for each in history.rows if each.id != "k3"]
    history.final.pending = {("ordered", "k3")}
    history.final.leftovers = {"a backlog": 1}
    history.drained = None
    assert broken(history) == {"I11", "I12"}


def test_i1_the_answer_of_a_function(history):
    """A call that was settled owes its answer."""
    history.receipts = [each for each in history.receipts if each.trigger != "answers"]
    history.rows = [each for each in history.rows if each.trigger != "answers"]
    del history.final.stored[scenario.AUDIT, "answer-c1"]
    assert broken(history) == {"I1"}


def test_unknown_outcomes_bind_nobody(history):
    """An event whose producer was never told may be delivered or not."""
    history.sends += [audit("u1", outcome=UNKNOWN), audit("u2", outcome=UNKNOWN)]
    history.receipts.append(receipt("failing", "u1", 2.0))
    history.rows.append(row("failing", "u1", "settled"))
    assert broken(history) == set()


def test_i2_what_was_refused_is_delivered(history):
    """A refused event must not arrive."""
    history.receipts.append(receipt("ordered", "nonsense-1", 2.0))
    assert broken(history) == {"I2"}


def test_i2_what_nobody_sent(history):
    """Neither must one that nobody sent."""
    history.receipts.append(receipt("filtered", "?", 2.0))
    assert broken(history) == {"I2"}


def test_i2_what_is_valid_is_refused(history):
    """A producer of events is never told that it sent none."""
    history.sends.append(send("k4", outcome=REFUSED))
    assert broken(history) == {"I2"}


def test_i3_what_the_filter_does_not_want(history):
    """An event that does not match is a breach, however well it is answered."""
    history.receipts.append(receipt("slow", "k1", 2.0))
    history.rows.append(row("slow", "k1", "settled"))
    assert broken(history) == {"I3"}


def test_i4_a_repeat_without_a_cause(history):
    """A second success of one event needs a reason."""
    history.receipts.append(receipt("failing", "a1", 5.0, status=503))
    assert broken(history) == {"I4"}


@pytest.mark.parametrize(("name", "is_excused"), [
    ("kill-dispatcher", True), ("cut-subscriber", True), ("kill-control", False), ("kill-worker", False)])
def test_i4_a_repeat_beside_a_fault(history, name, is_excused):
    """A fault excuses it if it is one that can be the reason."""
    history.receipts.append(receipt("ordered", "k3", 5.0))
    history.faults.append(Fault(name, 4.2, 4.3))
    assert broken(history) == (set() if is_excused else {"I4"})


def test_i4_stored_twice(history):
    """A repeated POST is stored twice where repeats are not known, and once where they are."""
    history.receipts += [receipt("ordered", "k3", 5.0)]
    history.rows.append(row("ordered", "k3", "settled", ref="2-0"))
    history.final.stored[scenario.ORDERS, "k3"] = 2
    assert broken(history) == set()
    history.final.stored[scenario.AUDIT, "c1"] = 2
    assert "I4" in broken(history)


def test_i5_something_else_arrives(history):
    """A body or an attribute that changed on the way."""
    history.receipts[0].digest = "of something else"
    assert broken(history) == {"I5"}


def test_i6_one_attempt_too_many(history):
    """Four attempts is what three retries make."""
    history.receipts.append(receipt("failing", "a1", 4.9, status=503))
    history.rows.append(row("failing", "a1", "retry", 5, 503))
    assert broken(history) == {"I6"}


def test_i6_too_early(history):
    """The second retry is due two back-offs after the first."""
    history.receipts[5].began = 2.8
    assert broken(history) == {"I6"}
    history.faults.append(Fault("step-clock", 0.0, 1.0))
    assert broken(history) == set()


def test_i7_two_verdicts(history):
    """Dead-lettered and settled are one verdict too many."""
    history.rows.append(row("failing", "a1", "settled"))
    assert broken(history) == {"I6", "I7"}


def test_i7_no_verdict(history):
    """An event at rest that nobody decided about."""
    history.rows = [each for each in history.rows if each.id != "k3"]
    assert "I7" in broken(history)


def test_i8_overtaken(history):
    """The third of a key comes before the second was taken."""
    history.receipts[1].began, history.receipts[1].ended = 5.0, 5.1
    assert broken(history) == {"I8"}


def test_i8_a_failure_does_not_let_the_next_one_pass(history):
    """While the second is retried the third has to wait."""
    history.receipts[1].status = 503
    history.receipts.append(receipt("ordered", "k2", 6.0))
    history.rows.append(row("ordered", "k2", "retry", 1, 503))
    history.rows = [each if each.id != "k2" or each.word == "retry" else each._replace(attempt=2)
                    for each in history.rows]
    assert broken(history) == {"I8"}


def test_i9_before_it_is_due(history):
    """A delayed event that comes at once."""
    history.sends[3].delay_s = 1.5
    assert broken(history) == {"I9"}
    history.sends[3].delay_s = 1.0
    assert broken(history) == set()


def test_i10_too_many_at_once(history):
    """Five requests of a trigger that allows four, in calm times; eight while two may believe they own."""
    names = [f"s{number}" for number in range(9)]
    for name in names[:5]:
        history.sends.append(send(name, type_="chaos.other", attributes={"pace": "slow"}))
        history.receipts.append(receipt("slow", name, 10.0, 0.3))
        history.rows.append(row("slow", name, "settled"))
        history.final.stored[scenario.ORDERS, name] = 1
    assert broken(history) == {"I10"}
    history.faults.append(Fault("stop-dispatcher", 5.0, 9.0))
    assert broken(history) == set()


def test_i11_nothing_is_accepted(history):
    """A producer that hears nothing for more than a minute."""
    history.sends[2].ended = 70.0
    assert broken(history) == {"I11"}


def test_i12_something_is_left(history):
    """A process that should have ended."""
    history.final.strangers.append("function-00001-1")
    assert broken(history) == {"I12"}


def test_i13_a_letter_is_nowhere(history):
    """Recorded as a dead letter, and neither at the sink nor kept."""
    history.receipts = [each for each in history.receipts if each.trigger != scenario.LETTERS]
    assert broken(history) == {"I13"}
    history.final.kept_dead.add(("failing", "a1"))
    assert broken(history) == set()


@pytest.mark.parametrize(("log", "start"), [
    (b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n", 14),
    (b"*1\r\n$4\r\nPING\r\n*1\r\n$5\r\nMULTI\r\n*1\r\n$1\r\nX\r\n*1\r\n$4\r\nEXEC\r\n", 14),
    (b"*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nEXEC\r\n*1\r\n$4\r\nPING\r\n", 29),
    (b"*1\r\n$4\r\nPI", None),
])
def test_the_last_block_of_a_log(log, start):
    """What may be torn off is the last command, or the last transaction as a whole."""
    assert last_block(log) == start

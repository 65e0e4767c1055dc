"""A run in figures, for a person: what was accepted, what became of it, what broke, and how to repeat it."""

import collections
import itertools
import statistics

from rich.table import Table

from tests.chaos import checker, scenario
from tests.chaos.facts import Facts
from tests.chaos.history import ACCEPTED, REFUSED

_SHOWN = 10  # breaches of one invariant


def show(console, history, breaches, seed):
    """Print everything."""
    facts = Facts(history)
    _events(console, facts, breaches)
    _faults(console, history)
    _invariants(console, breaches)
    lost, accepted = len(breaches["I1"]), _count(history, ACCEPTED)
    if not any(breaches.values()) and accepted:
        # No loss in n trials: with 95 % confidence the rate is below 3 / n (the rule of three).
        console.print(f"Nothing lost in {accepted:,} accepted events: with these faults fewer than "
                      f"{3 / accepted:.1g} of all are, with 95 % confidence.")
    else:
        console.print(f"[red]{lost} lost; broken: "
                      f"{', '.join(name for name, broken in breaches.items() if broken)}[/]")
    console.print(f"The same plan again: make chaos SEED={seed}")


def _count(history, outcome):
    return sum(send.outcome == outcome for send in history.sends)


def _events(console, facts, breaches):
    history = facts.history
    table = Table(title="Events", title_justify="left", show_header=False)
    table.add_row("accepted", f"{_count(history, ACCEPTED):,}")
    table.add_row("refused (nonsense, on purpose)", f"{_count(history, REFUSED):,}")
    table.add_row("posts without a known outcome, sent again",
                  f"{sum(send.posts - 1 for send in history.sends):,}")
    table.add_row("deliveries wanted", f"{sum(1 for _ in facts.due()):,}")
    table.add_row("requests at subscribers, calls of the function", f"{len(history.receipts):,}")
    table.add_row("dead letters", f"{sum(row.word == 'dead letter' for row in history.rows):,}")
    table.add_row("lost", str(len(breaches["I1"])))
    table.add_row("unexpected", str(len(breaches["I2"])))
    causes = collections.Counter()
    for each in facts.repeats().values():
        causes.update(each)
    table.add_row("repeated", f"{causes.total():,} ({causes.total() / max(1, len(history.receipts)):.2%})")
    for cause, count in causes.most_common():
        table.add_row(f"  {cause}", f"{count:,}")
    table.add_row("longest time without an accepted event", f"{facts.unavailable_s:.1f} s")
    table.add_row("longest time without a delivery", f"{_gap(_deliveries(history)):.1f} s")
    drained = "never" if history.drained is None else f"{history.drained - history.healed:.1f} s"
    table.add_row("from the last fault until nothing waited", drained)
    late = sorted(facts.receipts(trigger.name, send.id)[0].began - send.ended - send.delay_s
                  for trigger, send in facts.due()
                  if send.delay_s and facts.receipts(trigger.name, send.id))
    if late:
        table.add_row("delayed events, late by (median, most)",
                      f"{statistics.median(late):.2f} s, {late[-1]:.1f} s")
    console.print(table)


def _deliveries(history):
    return sorted(receipt.began for receipt in history.receipts
                  if receipt.trigger in ("filtered", "ordered", scenario.LETTERS, "failing"))


def _gap(times):
    return max((after - before for before, after in itertools.pairwise(times)), default=0.0)


def _faults(console, history):
    table = Table("fault", "times", "nobody there", "next accepted after, median / most",
                  "next delivery after", title="Faults", title_justify="left")
    accepted = sorted(send.ended for send in history.sends if send.outcome == ACCEPTED)
    deliveries = _deliveries(history)
    for name in sorted({fault.name for fault in history.faults}):
        faults = [fault for fault in history.faults if fault.name == name]
        hits = [fault for fault in faults if not fault.missed]
        table.add_row(name, str(len(hits)), str(len(faults) - len(hits)) if len(faults) > len(hits) else "",
                      _recovery(hits, accepted), _recovery(hits, deliveries))
    console.print(table)


def _recovery(faults, times):
    """Median and most of the time from the end of a fault to the next of *times*."""
    waits = [next((time - fault.ended for time in times if time >= fault.ended), None) for fault in faults]
    known = [wait for wait in waits if wait is not None]
    return f"{statistics.median(known):.2f} / {max(known):.2f} s" if known else ""


def _invariants(console, breaches):
    table = Table("", "invariant", "holds", title="Invariants", title_justify="left")
    for name, broken in breaches.items():
        sentence = checker.INVARIANTS[name].__doc__.splitlines()[0]
        table.add_row(name, sentence, f"[red]{len(broken)} breaches[/]" if broken else "yes")
    console.print(table)
    for name, broken in breaches.items():
        for each in broken[:_SHOWN]:
            console.print(f"[red]{name}[/] {each}", markup=True, soft_wrap=True, highlight=False)
        if len(broken) > _SHOWN:
            console.print(f"[red]{name}[/] and {len(broken) - _SHOWN} more")

"""The chaos run itself: a short one that must find nothing, and one of a planted bug that must find it."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.chaos import checker
from tests.chaos.history import ACCEPTED
from tests.chaos.run import Options, Run

SEED = 4
# One of each kind of trouble; what takes longest to heal (a role that is killed again and again) is left out.
SHORT = ("kill-dispatcher", "kill-valkey", "cut-ingress", "cut-subscriber", "tear-log")


def run(options):
    """(history, breaches) of a run whose directory is removed."""
    made = Run(options)
    try:
        history = asyncio.run(made.run())
    finally:
        made.system.remove()
    return history, checker.check(history)


@pytest.mark.timeout(300)
def test_a_short_run():
    """Killed, cut and torn for some seconds: every invariant holds."""
    history, breaches = run(Options(SEED, 7.0, SHORT, 60))

    assert breaches == {name: [] for name in checker.INVARIANTS}
    assert any(send.outcome == ACCEPTED for send in history.sends)
    assert history.faults


@pytest.mark.timeout(300)
def test_a_planted_bug_is_caught():
    """A dispatcher that settles before it delivers loses events, and the run says so."""
    planted = (sys.executable, str(Path(__file__).with_name("planted.py")))
    _, breaches = run(Options(SEED, 3.0, ("kill-dispatcher",), 60, drain_s=2.0, program=planted))

    assert any("for failing" in each for each in breaches["I1"])

"""The plan of the nemesis."""

import itertools

from tests.chaos.faults import FAULTS
from tests.chaos.nemesis import plan


def test_a_seed_is_a_plan():
    """The same seed gives the same faults at the same times; another one does not."""
    assert plan(7, 600, FAULTS) == plan(7, 600, reversed(FAULTS))
    assert plan(7, 600, FAULTS) != plan(8, 600, FAULTS)


def test_every_fault_has_its_turn():
    """Each fault comes once before any comes again, every 1 to 5 s."""
    planned = plan(1, 600, FAULTS)

    assert {each.name for each in planned[:len(FAULTS)]} == set(FAULTS)
    assert all(1.0 <= after.at_s - before.at_s <= 5.0
               for before, after in itertools.pairwise(planned))
    assert planned[-1].at_s < 600

"""When probes are asked, and what their answers add up to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.workers.thresholds import Streak, Timing


@given(answers=st.lists(st.booleans(), max_size=60), failures=st.integers(1, 5), successes=st.integers(1, 5),
       passing=st.booleans())
def test_a_state_changes_where_enough_answers_in_a_row_say_so(answers, failures, successes, passing):
    """Whatever the answers: it is left at the first run of so many that speak against it, and only there."""
    timing = Timing.of({"failureThreshold": failures, "successThreshold": successes})
    streak = Streak(timing, passing=passing)
    begun = 0  # where the present state began
    for count, passed in enumerate(answers, 1):
        wanted = failures if passing else successes
        last = answers[max(begun, count - wanted):count]
        is_over = len(last) == wanted and all(each != passing for each in last)
        assert streak.add(passed=passed) == is_over
        if is_over:
            passing, begun = not passing, count
        assert streak.passing == passing


@pytest.mark.parametrize(
    ("probe", "starting_period_s", "period_s"),
    [
        ({"httpGet": {}}, 0.05, 10.0),  # Knative's eager one, and Kubernetes' period from then on
        ({"httpGet": {}, "periodSeconds": 0}, 0.05, 10.0),
        ({"httpGet": {}, "periodSeconds": 30}, 0.2, 30),
        ({"httpGet": {}, "periodSeconds": 0.1}, 0.1, 0.1),
        ({"exec": {"command": ["true"]}}, 1.0, 10.0),
        ({"exec": {"command": ["true"]}, "periodSeconds": 5}, 1.0, 5),
    ],
)
def test_periods(probe, starting_period_s, period_s):
    """A worker that starts is asked more often than one that runs, and a command is not run for nothing."""
    timing = Timing.of(probe)
    assert (timing.starting_period_s, timing.period_s) == (starting_period_s, period_s)


def test_defaults():
    """Kubernetes' own."""
    timing = Timing.of({})
    assert (timing.delay_s, timing.timeout_s, timing.failures, timing.successes) == (0, 1.0, 3, 1)

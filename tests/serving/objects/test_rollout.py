"""A gradual rollout, in virtual time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.objects import rollout
from serving.objects.rollout import Rollout

SECOND_NS = 10**9
START_NS = 1_800_000_000 * SECOND_NS


def goal(revision, percent=100, configuration="c", tag=""):
    """All of the share for one revision."""
    return Rollout(configuration, tag, percent, ((revision, percent),))


def walk(goals, before, duration_s, until_s=10_000):
    """What holds after each step: {second: shares}, and the last state."""
    now_ns, found = START_NS, {}
    state = rollout.step(goals, before, now_ns, duration_s)
    while True:
        found[round((now_ns - START_NS) / SECOND_NS, 3)] = state[0].revisions
        due_s = rollout.due_s(state, now_ns)
        if due_s is None or now_ns - START_NS > until_s * SECOND_NS:
            return found, state
        now_ns += round(due_s * SECOND_NS)
        state = rollout.step(goals, state, now_ns, duration_s)


@pytest.mark.parametrize(("percent", "duration_s", "expected"), [
    pytest.param(100, 5, {0: 1, 1: 26, 2: 51, 3: 76, 4: 100}, id="steps of a second"),
    pytest.param(100, 2, {0: 1, 1: 100}, id="one step"),
    pytest.param(100, 1, {0: 1, 1: 100}, id="shorter than a step"),
    pytest.param(5, 41, {0: 1, 10: 2, 20: 3, 30: 4, 40: 5}, id="a percent at a time"),
    pytest.param(2, 31, {0: 1, 30: 2}, id="two percent"),
    pytest.param(1, 60, {0: 1}, id="one percent has nothing to move"),
    pytest.param(100, 0, {0: 100}, id="no duration"),
])
def test_pace(percent, duration_s, expected):
    """The new revision has 1 % at once and all of the share when the duration is over."""
    seen, _ = walk([goal("new", percent)], [goal("old", percent)], duration_s)

    assert {second: dict(shares)["new"] for second, shares in seen.items()} == expected


def test_nothing_to_roll_out():
    """The first revision, and one that stays, have all of it."""
    assert rollout.step([goal("a")], [], START_NS, 60) == [goal("a")]
    assert rollout.step([goal("a")], [goal("a")], START_NS, 60) == [goal("a")]
    assert rollout.step([goal("a", 40)], [goal("a", 70)], START_NS, 60) == [goal("a", 40)]


def test_several_in_flight():
    """A third revision drains the second before the first, in steps of its own pace."""
    state = rollout.step([goal("b")], [goal("a")], START_NS, 11)
    state = rollout.step([goal("b")], state, START_NS + SECOND_NS, 11)
    assert state[0].revisions == (("a", 89), ("b", 11))

    state = rollout.step([goal("c")], state, START_NS + SECOND_NS, 11)
    assert state[0].revisions == (("a", 89), ("b", 10), ("c", 1))
    state = rollout.step([goal("c")], state, START_NS + 2 * SECOND_NS, 11)
    assert state[0].revisions == (("a", 89), ("c", 11))
    state = rollout.step([goal("c")], state, START_NS + 3 * SECOND_NS, 11)
    assert state[0].revisions == (("a", 79), ("c", 21))


def test_too_early():
    """Whoever asks before a step is due changes nothing."""
    state = rollout.step([goal("b")], [goal("a")], START_NS, 60)

    assert rollout.step([goal("b")], state, START_NS + SECOND_NS // 2, 60) == state


@pytest.mark.parametrize(("percent", "expected"), [
    (90, (("a", 39), ("b", 51))),
    (30, (("b", 30),)),
    (100, (("a", 39), ("b", 61))),
    (0, (("b", 0),)),
])
def test_share_changes(percent, expected):
    """More goes to the newest, less is taken from the oldest."""
    rolling = Rollout("c", "", 80, (("a", 39), ("b", 41)),
                      rollout.Pace(START_NS, START_NS + 60 * SECOND_NS, SECOND_NS, 10))
    (state,) = rollout.step([goal("b", percent)], [rolling], START_NS, 600)

    assert state.revisions == expected
    assert state.percent == percent


def test_deleted_revision():
    """A revision that is no more loses its share to the newest one."""
    state = rollout.step([goal("b")], [goal("a")], START_NS, 60)

    assert rollout.step([goal("b")], state, START_NS, 60, gone=["a"]) == [goal("b")]
    assert rollout.step([goal("b")], [goal("a")], START_NS, 60, gone=["a"]) == [goal("b")]


def test_back_to_the_one_before():
    """A latest revision that becomes latest again keeps what it has, and gets the rest in steps."""
    state = rollout.step([goal("b")], [goal("a")], START_NS, 60)
    state = rollout.step([goal("a")], state, START_NS, 60)

    assert state[0].revisions == (("b", 1), ("a", 99))


def test_state_as_json():
    """The state is Knative's JSON, and comes back as it was; garbage is no state."""
    state = rollout.step([goal("b"), goal("b", tag="t")], [goal("a"), goal("x", tag="t")], START_NS, 60)
    text = rollout.dump(state)

    assert rollout.load(text) == state
    assert text.startswith('{"configurations":[{"configurationName":"c","tag":"","percent":100,"revisions":'
                           '[{"revisionName":"a","percent":99},{"revisionName":"b","percent":1}],'
                           '"stepParams":{"starttime":1800000000000000000,"nextStepTime":')
    for garbage in ("", "null", "[]", "{", '{"configurations":[{}]}'):
        assert rollout.load(garbage) == []


@given(st.integers(1, 100), st.integers(1, 400), st.lists(st.sampled_from("abcd"), min_size=1, max_size=6),
       st.lists(st.integers(0, 40), min_size=6, max_size=6))
def test_shares_add_up(percent, duration_s, latest, pauses):
    """Whatever comes when: shares are positive, sum up, and end at the latest, in about that time."""
    state, now_ns = [goal("first", percent)], START_NS
    for revision, pause_s in zip(latest, pauses, strict=False):
        now_ns += pause_s * SECOND_NS
        state = rollout.step([goal(revision, percent)], state, now_ns, duration_s)
        assert sum(share for _, share in state[0].revisions) == percent
        assert all(share > 0 for _, share in state[0].revisions)
        assert state[0].revisions[-1][0] == revision
    seen, _ = walk([goal(latest[-1], percent)], [goal("first", percent)], duration_s)
    assert list(seen.values())[-1] == ((latest[-1], percent),)
    assert max(seen) <= 1.5 * duration_s  # steps are whole percents, as in Knative

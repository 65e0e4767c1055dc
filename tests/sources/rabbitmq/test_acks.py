"""What is acknowledged, and that nothing is that was not done."""

from hypothesis import given
from hypothesis import strategies as st

from sources.rabbitmq.acks import Acks


def test_together():
    """The oldest that are done are acknowledged together, others by themselves."""
    acks = Acks()
    for tag in range(1, 7):
        acks.delivered(tag)
    for tag in (2, 1, 4, 6):
        acks.done(tag)

    assert acks.take() == (2, [4, 6])
    acks.done(3)
    assert acks.take() == (3, [])
    assert acks.take() == (0, [])
    acks.rejected(5)
    assert repr(acks) == "<Acks [0 open | 0 done]>"


@given(st.lists(st.tuples(st.sampled_from(["deliver", "done", "reject", "take"]), st.integers(0, 20))))
def test_any_order(steps):
    """Whatever happens in whatever order, exactly what is done is acknowledged, once."""
    acks, last, waiting, done, acknowledged = Acks(), 0, [], set(), set()
    for step, choice in steps:
        if step == "deliver":
            last += 1
            acks.delivered(last)
            waiting.append(last)
        elif step == "take":
            upto, others = acks.take()
            said = {tag for tag in done if tag <= upto} | set(others)
            assert not any(tag <= upto for tag in waiting)
            assert said == done
            acknowledged |= said
            done = set()
        elif waiting:
            tag = waiting.pop(choice % len(waiting))
            if step == "done":
                acks.done(tag)
                done.add(tag)
            else:
                acks.rejected(tag)

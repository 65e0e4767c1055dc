"""A short race and a small burst; `python -m tests.serving.race` and `..race.burst` are the long ones."""

from tests.serving.race import burst
from tests.serving.race.race import Race

SEED = 7


async def test_nothing_is_dropped(instance, tmp_path):
    """Workers come, go, roll out and are killed: every request is answered, every event is handled."""
    tally = await Race(instance, 9, SEED, rollouts=1).run(tmp_path, calm=3, victims=1)

    assert not tally.problems, str(tally)
    assert tally.answers.total() > 20
    assert tally.sent


async def test_burst_at_zero(instance, tmp_path):
    """Requests that do not wait for each other meet a Service at zero: every one is answered."""
    burst.prepare(instance, tmp_path)
    one = burst.Burst()
    await one.run(instance.state["port"], 300, 2)

    assert one.answers == {200: one.answers.total()}, str(one)
    assert one.answers.total() > 100
